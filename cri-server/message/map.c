// SPDX-License-Identifier: Apache-2.0
//
// map<string, string> fields. On the wire and in protobuf-c a map is a repeated message with a key
// (field 1) and a value (field 2); protoc makes a type for each map, all of this one layout.
#include <assert.h>
#include <string.h>

#include "cri-server/message/message.h"

struct map_entry {
	ProtobufCMessage base;
	const char *key;
	const char *value;
};

static const struct map_entry *entry_at(const void *entries, size_t index)
{
	return ((const struct map_entry *const *)entries)[index];
}

void *zl_message_map_entry(struct zl_arena *arena, const ProtobufCMessageDescriptor *entry,
        const char *key, const char *value)
{
	struct map_entry *made;

	assert(entry->sizeof_message == sizeof(struct map_entry));
	made = zl_message_new(arena, entry);
	made->key = zl_arena_strdup(arena, key);
	made->value = zl_arena_strdup(arena, value);
	return made;
}

void *zl_message_map(struct zl_arena *arena, const ProtobufCMessageDescriptor *entry,
        const void *entries, size_t count)
{
	void **made = zl_arena_array(arena, count, sizeof(*made));

	for (size_t i = 0; i < count; i++) {
		const struct map_entry *from = entry_at(entries, i);

		made[i] = zl_message_map_entry(arena, entry, from->key, from->value);
	}
	return made;
}

const char *zl_message_map_get(const void *entries, size_t count, const char *key)
{
	for (size_t i = count; i > 0; i--) {
		const struct map_entry *entry = entry_at(entries, i - 1);

		if (strcmp(entry->key, key) == 0)
			return entry->value;
	}
	return NULL;
}

bool zl_message_map_matches(
        const void *entries, size_t count, const void *selector, size_t selector_count)
{
	for (size_t i = 0; i < selector_count; i++) {
		const struct map_entry *wanted = entry_at(selector, i);
		const char *value = zl_message_map_get(entries, count, wanted->key);

		if (value == NULL || strcmp(value, wanted->value) != 0)
			return false;
	}
	return true;
}
