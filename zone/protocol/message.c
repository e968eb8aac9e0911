// SPDX-License-Identifier: Apache-2.0
#include "zone/protocol/message.h"

#include <string.h>

int zl_zone_message_append(
        struct zl_buffer *out, const ProtobufCMessage *message, struct zl_error *err)
{
	size_t size = protobuf_c_message_get_packed_size(message);
	zl_auto(free) uint8_t *packed = malloc(size > 0 ? size : 1);
	size_t done = 0;

	if (packed == NULL)
		return zl_error_nomem(err);
	protobuf_c_message_pack(message, packed);
	do {
		struct zl_frame frame = {.kind = ZL_FRAME_CONTROL, .bytes = packed + done};

		frame.length = size - done;
		if (frame.length > ZL_FRAME_PAYLOAD_MAX)
			frame.length = ZL_FRAME_PAYLOAD_MAX;
		done += frame.length;
		frame.more = done < size;
		if (zl_frame_append(out, &frame, err) < 0)
			return -1;
	} while (done < size);
	return 0;
}

void zl_zone_message_reader_release(struct zl_zone_message_reader *reader)
{
	zl_buffer_release(&reader->partial);
}

static int unpack(const struct zl_zone_message_reader *reader, const void *bytes, size_t length,
        void **ret, struct zl_error *err)
{
	*ret = zl_zone_message_unpack(reader->type, bytes, length, err);
	if (*ret == NULL)
		return -1;
	if (reader->scrub)
		zl_zone_message_scrub(*ret);
	return 0;
}

int zl_zone_message_take(struct zl_zone_message_reader *reader, const struct zl_frame *frame,
        void **ret, struct zl_error *err)
{
	struct zl_buffer *partial = &reader->partial;
	int result;

	*ret = NULL;
	if (partial->length == 0 && !frame->more)
		return unpack(reader, frame->bytes, frame->length, ret, err);
	if (partial->length + frame->length > partial->limit)
		return zl_error_set(err, ZL_DATA_LOSS,
		        "the peer sent a control message of more than %zu bytes", partial->limit);
	if (zl_buffer_append(partial, frame->bytes, frame->length, err) < 0)
		return -1;
	if (frame->more)
		return 0;
	result = unpack(reader, partial->data, partial->length, ret, err);
	zl_buffer_release(partial);
	return result;
}

// An allocator that stops. free() needs no counting: unpacking only grows, and a message is freed
// as a whole.
struct budget {
	ProtobufCAllocator allocator;
	size_t left;
};

enum { ALLOCATION_OVERHEAD = 32, BASE_BUDGET = 64 * 1024 };

static void *budget_alloc(void *data, size_t size)
{
	struct budget *budget = data;

	if (size > budget->left || budget->left - size < ALLOCATION_OVERHEAD)
		return NULL;
	budget->left -= size + ALLOCATION_OVERHEAD;
	return malloc(size > 0 ? size : 1);
}

static void budget_free(void *data, void *pointer)
{
	(void)data;
	free(pointer);
}

void zl_zone_message_free(void *message)
{
	if (message != NULL)
		protobuf_c_message_free_unpacked(message, NULL);
}

// Length of the valid UTF-8 sequence at `text`, 0 if there is none (RFC 3629).
static size_t utf8_length(const unsigned char *text)
{
	unsigned char first = text[0];
	size_t length = first < 0xe0 ? 2 : first < 0xf0 ? 3 : 4;

	if (first < 0xc2 || first > 0xf4)
		return 0;
	for (size_t i = 1; i < length; i++) {
		if ((text[i] & 0xc0) != 0x80)
			return 0;
	}
	if ((first == 0xe0 && text[1] < 0xa0) || (first == 0xed && text[1] > 0x9f) ||
	        (first == 0xf0 && text[1] < 0x90) || (first == 0xf4 && text[1] > 0x8f))
		return 0;
	return length;
}

void zl_zone_text_scrub(char *text)
{
	unsigned char *at = (unsigned char *)text;

	while (*at != '\0') {
		size_t length = 1;

		if (*at >= 0x80)
			length = utf8_length(at);
		else if ((*at < 0x20 && *at != '\n' && *at != '\t') || *at == 0x7f)
			length = 0;
		if (length == 0)
			*at++ = '?';
		else
			at += length;
	}
}

static void scrub_member(const ProtobufCFieldDescriptor *field, const void *member)
{
	void *value;

	memcpy(&value, member, sizeof(value));
	if (value == NULL)
		return;
	if (field->type == PROTOBUF_C_TYPE_MESSAGE)
		zl_zone_message_scrub(value);
	// An absent string is a constant of the library or of the generated code.
	else if (value != field->default_value && value != (const void *)protobuf_c_empty_string)
		zl_zone_text_scrub(value);
}

static void scrub_repeated(const ProtobufCFieldDescriptor *field, const uint8_t *base)
{
	const uint8_t *members;
	size_t count;

	memcpy(&count, base + field->quantifier_offset, sizeof(count));
	memcpy(&members, base + field->offset, sizeof(members));
	for (size_t i = 0; i < count; i++)
		scrub_member(field, members + i * sizeof(void *));
}

// Whether this member of a oneof is the one that is there.
static bool is_chosen(const ProtobufCFieldDescriptor *field, const uint8_t *base)
{
	uint32_t chosen;

	if ((field->flags & PROTOBUF_C_FIELD_FLAG_ONEOF) == 0)
		return true;
	memcpy(&chosen, base + field->quantifier_offset, sizeof(chosen));
	return chosen == field->id;
}

// Our messages are not recursive, so neither depth nor work can run away.
void zl_zone_message_scrub(ProtobufCMessage *message)
{
	const ProtobufCMessageDescriptor *type = message->descriptor;
	const void *base = message;

	for (unsigned i = 0; i < type->n_fields; i++) {
		const ProtobufCFieldDescriptor *field = &type->fields[i];

		if (field->type != PROTOBUF_C_TYPE_STRING && field->type != PROTOBUF_C_TYPE_MESSAGE)
			continue;
		if (field->label == PROTOBUF_C_LABEL_REPEATED)
			scrub_repeated(field, base);
		else if (is_chosen(field, base))
			scrub_member(field, (const uint8_t *)base + field->offset);
	}
}

void *zl_zone_message_unpack(const ProtobufCMessageDescriptor *type, const void *bytes,
        size_t length, struct zl_error *err)
{
	struct budget budget = {
	        .allocator = {budget_alloc, budget_free, &budget},
	        .left = BASE_BUDGET + length * ZL_ZONE_MESSAGE_EXPANSION,
	};
	ProtobufCMessage *message =
	        protobuf_c_message_unpack(type, &budget.allocator, length, bytes);

	if (message == NULL)
		zl_error_set(err, ZL_DATA_LOSS,
		        "the peer sent a control message that is malformed or expands too much");
	return message;
}

void *zl_zone_message_copy(const ProtobufCMessage *message, struct zl_error *err)
{
	size_t size = protobuf_c_message_get_packed_size(message);
	zl_auto(free) uint8_t *packed = malloc(size > 0 ? size : 1);

	if (packed == NULL) {
		zl_error_nomem(err);
		return NULL;
	}
	protobuf_c_message_pack(message, packed);
	return zl_zone_message_unpack(message->descriptor, packed, size, err);
}
