// SPDX-License-Identifier: Apache-2.0
//
// The look at a message's wire bytes before protobuf-c sees them. Encoding: protobuf.dev,
// "Encoding" (tag = field number << 3 | wire type; varints of 7 bits, least significant first).
#include <string.h>

#include "cri-server/message/message.h"

enum {
	SCAN_DEPTH = 64, // nesting; the CRI's deepest message has 6 levels
	FIELD_NUMBER_MAX = (1 << 29) - 1,
};

enum wire_type { WIRE_VARINT = 0, WIRE_FIXED64 = 1, WIRE_BYTES = 2, WIRE_FIXED32 = 5 };

struct cursor {
	const uint8_t *at;
	size_t left;
};

// The way to the field at hand, innermost first.
struct scope {
	const struct scope *outer;
	const char *field;
	unsigned depth;
};

static size_t path_write(const struct scope *scope, char *out, size_t size)
{
	size_t used = 0;
	int n;

	if (scope == NULL || scope->field == NULL)
		return 0;
	if (scope->outer != NULL)
		used = path_write(scope->outer, out, size);
	if (used >= size)
		return used;
	n = snprintf(out + used, size - used, "%s%s", used > 0 ? "." : "", scope->field);
	return used + (n > 0 ? (size_t)n : 0);
}

static int refuse(const struct scope *scope, const char *what, struct zl_error *err)
{
	char path[256] = "";

	(void)path_write(scope, path, sizeof(path));
	return zl_error_set(err, ZL_INVALID_ARGUMENT, "%s%s%s",
	        path[0] != '\0' ? path : "the message", path[0] != '\0' ? ": " : " ", what);
}

static bool read_varint(struct cursor *cursor, uint64_t *ret)
{
	uint64_t value = 0;

	for (unsigned shift = 0; shift < 64; shift += 7) {
		uint8_t byte;

		if (cursor->left == 0)
			return false;
		byte = *cursor->at++;
		cursor->left--;
		value |= (uint64_t)(byte & 0x7f) << shift;
		if ((byte & 0x80) == 0) {
			*ret = value;
			return true;
		}
	}
	return false;
}

static bool skip(struct cursor *cursor, uint64_t count)
{
	if (count > cursor->left)
		return false;
	cursor->at += count;
	cursor->left -= (size_t)count;
	return true;
}

static int scan_message(const ProtobufCMessageDescriptor *descriptor, struct cursor cursor,
        const struct scope *scope, struct zl_error *err);

// The content of a field with wire type 2.
static int scan_bytes(const ProtobufCFieldDescriptor *field, struct cursor content,
        const struct scope *scope, struct zl_error *err)
{
	if (field->type == PROTOBUF_C_TYPE_STRING) {
		if (content.left > 0 && memchr(content.at, '\0', content.left) != NULL)
			return refuse(scope,
			        "has a NUL byte in it, which no name, path or "
			        "argument can have",
			        err);
		if (!zl_utf8_valid(content.at, content.left))
			return refuse(scope, "is not valid UTF-8", err);
	}
	if (field->type == PROTOBUF_C_TYPE_MESSAGE)
		return scan_message(field->descriptor, content, scope, err);
	return 0;
}

// One field. *field_scope->field is set to its name once that is known.
static int scan_field(const ProtobufCMessageDescriptor *descriptor, struct cursor *cursor,
        struct scope *scope, struct zl_error *err)
{
	const ProtobufCFieldDescriptor *field;
	struct cursor content;
	uint64_t tag;
	uint64_t value;

	scope->field = NULL;
	if (!read_varint(cursor, &tag) || tag >> 3 == 0 || tag >> 3 > FIELD_NUMBER_MAX)
		return refuse(scope->outer, "is malformed: a bad field number", err);
	field = protobuf_c_message_descriptor_get_field(descriptor, (unsigned)(tag >> 3));
	scope->field = field != NULL ? field->name : "an unknown field";
	if (field != NULL && (tag & 7) != WIRE_BYTES &&
	        (field->type == PROTOBUF_C_TYPE_STRING || field->type == PROTOBUF_C_TYPE_MESSAGE ||
	                field->type == PROTOBUF_C_TYPE_BYTES))
		return refuse(scope, "is malformed: it has the wire type of a number", err);
	switch (tag & 7) {
	case WIRE_VARINT:
		return read_varint(cursor, &value) ? 0 : refuse(scope, "is cut short", err);
	case WIRE_FIXED64:
		return skip(cursor, 8) ? 0 : refuse(scope, "is cut short", err);
	case WIRE_FIXED32:
		return skip(cursor, 4) ? 0 : refuse(scope, "is cut short", err);
	case WIRE_BYTES:
		if (!read_varint(cursor, &value))
			return refuse(scope, "is cut short", err);
		content.at = cursor->at;
		if (!skip(cursor, value))
			return refuse(scope, "is longer than the message that holds it", err);
		content.left = (size_t)value;
		return field == NULL ? 0 : scan_bytes(field, content, scope, err);
	default:
		return refuse(scope, "is malformed: an unknown wire type", err);
	}
}

static int scan_message(const ProtobufCMessageDescriptor *descriptor, struct cursor cursor,
        const struct scope *outer, struct zl_error *err)
{
	struct scope scope = {.outer = outer, .depth = outer == NULL ? 0 : outer->depth + 1};

	if (scope.depth > SCAN_DEPTH)
		return refuse(outer, "is nested too deeply", err);
	while (cursor.left > 0) {
		if (scan_field(descriptor, &cursor, &scope, err) < 0)
			return -1;
	}
	return 0;
}

int zl_message_scan(const ProtobufCMessageDescriptor *descriptor, const void *bytes, size_t length,
        struct zl_error *err)
{
	struct cursor cursor = {.at = bytes, .left = length};

	return scan_message(descriptor, cursor, NULL, err);
}
