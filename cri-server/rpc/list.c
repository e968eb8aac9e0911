// SPDX-License-Identifier: Apache-2.0
#include "cri-server/rpc/list.h"

#include <string.h>

// How many of the items go into one message, at least one.
static size_t batch(void **items, size_t count)
{
	size_t bytes = 0;
	size_t n = 0;

	while (n < count && n < ZL_LIST_ITEMS && bytes < ZL_LIST_BYTES)
		bytes += protobuf_c_message_get_packed_size(items[n++]);
	return n;
}

int zl_call_send_list(struct zl_call *call, const ProtobufCMessageDescriptor *type, void **items,
        size_t count, struct zl_error *err)
{
	const ProtobufCFieldDescriptor *field = &type->fields[0];

	while (count > 0) {
		zl_auto(arena) struct zl_arena arena = ZL_ARENA_INIT;
		char *message = zl_message_new(&arena, type);
		size_t n = batch(items, count);

		memcpy(message + field->quantifier_offset, &n, sizeof(n));
		memcpy(message + field->offset, &items, sizeof(items));
		if (zl_call_send(call, (ProtobufCMessage *)message, err) < 0)
			return -1;
		items += n;
		count -= n;
	}
	return 0;
}
