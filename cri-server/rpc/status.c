// SPDX-License-Identifier: Apache-2.0
#include "cri-server/rpc/status.h"

#include <grpc/byte_buffer.h>
#include <grpc/byte_buffer_reader.h>
#include <grpc/support/log.h>
#include <string.h>

#include "base/cleanup.h"
#include "base/log.h"

static const struct {
	enum zl_code code;
	grpc_status_code status;
} codes[] = {
        {ZL_OK, GRPC_STATUS_OK},
        {ZL_CANCELLED, GRPC_STATUS_CANCELLED},
        {ZL_UNKNOWN, GRPC_STATUS_UNKNOWN},
        {ZL_INVALID_ARGUMENT, GRPC_STATUS_INVALID_ARGUMENT},
        {ZL_DEADLINE_EXCEEDED, GRPC_STATUS_DEADLINE_EXCEEDED},
        {ZL_NOT_FOUND, GRPC_STATUS_NOT_FOUND},
        {ZL_ALREADY_EXISTS, GRPC_STATUS_ALREADY_EXISTS},
        {ZL_PERMISSION_DENIED, GRPC_STATUS_PERMISSION_DENIED},
        {ZL_RESOURCE_EXHAUSTED, GRPC_STATUS_RESOURCE_EXHAUSTED},
        {ZL_FAILED_PRECONDITION, GRPC_STATUS_FAILED_PRECONDITION},
        {ZL_ABORTED, GRPC_STATUS_ABORTED},
        {ZL_OUT_OF_RANGE, GRPC_STATUS_OUT_OF_RANGE},
        {ZL_UNIMPLEMENTED, GRPC_STATUS_UNIMPLEMENTED},
        {ZL_INTERNAL, GRPC_STATUS_INTERNAL},
        {ZL_UNAVAILABLE, GRPC_STATUS_UNAVAILABLE},
        {ZL_DATA_LOSS, GRPC_STATUS_DATA_LOSS},
        {ZL_UNAUTHENTICATED, GRPC_STATUS_UNAUTHENTICATED},
};

grpc_status_code zl_status_from_code(enum zl_code code)
{
	for (size_t i = 0; i < ZL_ARRAY_SIZE(codes); i++) {
		if (codes[i].code == code)
			return codes[i].status;
	}
	return GRPC_STATUS_UNKNOWN;
}

enum zl_code zl_status_to_code(grpc_status_code status)
{
	for (size_t i = 0; i < ZL_ARRAY_SIZE(codes); i++) {
		if (codes[i].status == status)
			return codes[i].code;
	}
	return ZL_UNKNOWN;
}

grpc_byte_buffer *zl_payload_pack(
        const ProtobufCMessage *message, size_t limit, struct zl_error *err)
{
	size_t length = protobuf_c_message_get_packed_size(message);
	grpc_byte_buffer *payload;
	grpc_slice slice;

	if (length > limit) {
		(void)zl_error_set(err, ZL_RESOURCE_EXHAUSTED,
		        "%s takes %zu bytes, more than the %zu that a message may have",
		        message->descriptor->short_name, length, limit);
		return NULL;
	}
	slice = grpc_slice_malloc(length);
	(void)protobuf_c_message_pack(message, GRPC_SLICE_START_PTR(slice));
	payload = grpc_raw_byte_buffer_create(&slice, 1);
	grpc_slice_unref(slice);
	return payload;
}

void *zl_payload_unpack(grpc_byte_buffer *payload, const ProtobufCMessageDescriptor *descriptor,
        struct zl_arena *arena, struct zl_error *err)
{
	grpc_byte_buffer_reader reader;
	grpc_slice slice;
	void *message;

	if (!grpc_byte_buffer_reader_init(&reader, payload)) {
		(void)zl_error_set(
		        err, ZL_INTERNAL, "%s: unreadable payload", descriptor->short_name);
		return NULL;
	}
	slice = grpc_byte_buffer_reader_readall(&reader);
	grpc_byte_buffer_reader_destroy(&reader);
	message = zl_message_unpack(arena, descriptor, GRPC_SLICE_START_PTR(slice),
	        GRPC_SLICE_LENGTH(slice), ZL_MESSAGE_MEMORY_LIMIT, err);
	grpc_slice_unref(slice);
	return message;
}

// What the core calls errors are mostly clients that went away: a warning to us, its rest a detail.
static void log_core(gpr_log_func_args *args)
{
	const char *file = strrchr(args->file, '/');

	zl_log(args->severity == GPR_LOG_SEVERITY_ERROR ? ZL_LOG_WARNING : ZL_LOG_DEBUG,
	        "grpc: %s (%s:%d)", args->message, file != NULL ? file + 1 : args->file,
	        args->line);
}

void zl_grpc_begin(void)
{
	gpr_set_log_function(log_core);
	grpc_init();
}
