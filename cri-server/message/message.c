// SPDX-License-Identifier: Apache-2.0
#include "cri-server/message/message.h"

#include <string.h>

// protobuf-c's allocator over an arena. Nothing is given back before the arena is released, so what
// was allocated is all that counts.
struct budget {
	struct zl_arena *arena;
	size_t left;
	bool exhausted;
};

static void *budget_alloc(void *user, size_t size)
{
	struct budget *budget = user;
	void *piece;

	// Counted with the arena's rounding, or a million empty strings would be free of charge.
	size_t cost = size + 16;

	if (size > budget->left || cost > budget->left) {
		budget->exhausted = true;
		return NULL;
	}
	piece = zl_arena_try(budget->arena, size);
	if (piece == NULL)
		budget->exhausted = true;
	else
		budget->left -= cost;
	return piece;
}

static void budget_free(void *user, void *piece)
{
	(void)user;
	(void)piece;
}

static void *unpack(struct budget *budget, const ProtobufCMessageDescriptor *descriptor,
        const void *bytes, size_t length)
{
	ProtobufCAllocator allocator = {
	        .alloc = budget_alloc, .free = budget_free, .allocator_data = budget};

	return protobuf_c_message_unpack(
	        descriptor, &allocator, length, length > 0 ? bytes : (const uint8_t *)"");
}

void *zl_message_new(struct zl_arena *arena, const ProtobufCMessageDescriptor *descriptor)
{
	// Room for the message itself, so that unpacking nothing into it cannot fail.
	struct budget budget = {.arena = arena, .left = SIZE_MAX};
	void *message = unpack(&budget, descriptor, NULL, 0);

	return message != NULL ? message : zl_arena_alloc(arena, SIZE_MAX / 2);
}

void *zl_message_unpack(struct zl_arena *arena, const ProtobufCMessageDescriptor *descriptor,
        const void *bytes, size_t length, size_t memory_limit, struct zl_error *err)
{
	struct budget budget = {.arena = arena, .left = memory_limit};
	void *message;

	if (zl_message_scan(descriptor, bytes, length, err) < 0) {
		(void)zl_error_wrap(err, "%s", descriptor->short_name);
		return NULL;
	}
	message = unpack(&budget, descriptor, bytes, length);
	if (message == NULL && budget.exhausted)
		(void)zl_error_set(err, ZL_RESOURCE_EXHAUSTED,
		        "%s: decoding its %zu bytes takes more than %zu MiB of memory; send less",
		        descriptor->short_name, length, memory_limit >> 20);
	else if (message == NULL)
		(void)zl_error_set(
		        err, ZL_INVALID_ARGUMENT, "%s: malformed protobuf", descriptor->short_name);
	return message;
}

// ---- output

// How many elements the field has, and where the first is. Strings and messages are pointers.
static size_t field_elements(
        ProtobufCMessage *message, const ProtobufCFieldDescriptor *field, void ***ret)
{
	unsigned char *base = (unsigned char *)message;
	void *place;

	if (field->label == PROTOBUF_C_LABEL_REPEATED) {
		size_t count;

		memcpy(&count, base + field->quantifier_offset, sizeof(count));
		memcpy(ret, base + field->offset, sizeof(*ret));
		return count;
	}
	if ((field->flags & PROTOBUF_C_FIELD_FLAG_ONEOF) != 0) {
		uint32_t chosen;

		memcpy(&chosen, base + field->quantifier_offset, sizeof(chosen));
		if (chosen != field->id)
			return 0;
	}
	place = base + field->offset;
	*ret = place;
	return **ret == NULL ? 0 : 1;
}

static void scrub_string(struct zl_arena *arena, void **place)
{
	const char *text = *place;

	if (text == NULL) {
		*place = zl_arena_strdup(arena, "");
		return;
	}
	if (!zl_utf8_valid(text, strlen(text)))
		*place = zl_utf8_scrub(arena, text, strlen(text));
}

void zl_message_scrub(struct zl_arena *arena, ProtobufCMessage *message)
{
	const ProtobufCMessageDescriptor *descriptor = message->descriptor;

	for (unsigned i = 0; i < descriptor->n_fields; i++) {
		const ProtobufCFieldDescriptor *field = &descriptor->fields[i];
		void **places = NULL;
		size_t count;

		if (field->type != PROTOBUF_C_TYPE_STRING && field->type != PROTOBUF_C_TYPE_MESSAGE)
			continue;
		count = field_elements(message, field, &places);
		for (size_t j = 0; j < count; j++) {
			if (field->type == PROTOBUF_C_TYPE_STRING) {
				scrub_string(arena, &places[j]);
				continue;
			}
			if (places[j] == NULL)
				places[j] = zl_message_new(arena, field->descriptor);
			zl_message_scrub(arena, places[j]);
		}
	}
}

int zl_message_pack(const ProtobufCMessage *message, struct zl_buffer *out, struct zl_error *err)
{
	size_t length = protobuf_c_message_get_packed_size(message);
	uint8_t *place;

	place = zl_buffer_reserve(out, length, err);
	if (place == NULL)
		return zl_error_wrap(
		        err, "%s of %zu bytes", message->descriptor->short_name, length);
	out->length += protobuf_c_message_pack(message, place);
	out->data[out->length] = 0;
	return 0;
}

void *zl_message_copy(struct zl_arena *arena, const ProtobufCMessage *message)
{
	struct budget budget = {.arena = arena, .left = SIZE_MAX};
	size_t length = protobuf_c_message_get_packed_size(message);
	uint8_t *packed = zl_arena_alloc(arena, length + 1);
	void *copy;

	(void)protobuf_c_message_pack(message, packed);
	copy = unpack(&budget, message->descriptor, packed, length);
	return copy != NULL ? copy : zl_arena_alloc(arena, SIZE_MAX / 2);
}
