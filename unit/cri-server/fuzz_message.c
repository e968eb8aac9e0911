// SPDX-License-Identifier: Apache-2.0
//
// Requests as the server decodes them: the first byte chooses the method, the rest is the message.
// Whatever is accepted must be packable again, with every string valid.
#include <stdint.h>
#include <stdlib.h>

#include "api.pb-c.h"
#include "cri-server/message/message.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	const ProtobufCServiceDescriptor *service = &runtime__v1__runtime_service__descriptor;
	zl_auto(arena) struct zl_arena arena = ZL_ARENA_INIT;
	zl_auto(buffer) struct zl_buffer packed = ZL_BUFFER_INIT;
	struct zl_error err = ZL_ERROR_INIT;
	const ProtobufCMessageDescriptor *descriptor;
	ProtobufCMessage *message;

	if (size == 0)
		return 0;
	descriptor = service->methods[data[0] % service->n_methods].input;
	message = zl_message_unpack(&arena, descriptor, data + 1, size - 1, 1 << 20, &err);
	if (message == NULL) {
		if (err.code != ZL_INVALID_ARGUMENT && err.code != ZL_RESOURCE_EXHAUSTED)
			abort();
		return 0;
	}
	zl_message_scrub(&arena, message);
	if (zl_message_pack(message, &packed, &err) < 0)
		abort();
	// What comes out of the packer must pass the scan: no string was bad.
	if (zl_message_scan(descriptor, packed.data, packed.length, &err) < 0)
		abort();
	return 0;
}
