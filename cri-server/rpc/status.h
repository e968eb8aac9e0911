// SPDX-License-Identifier: Apache-2.0
//
// Between our errors and bytes, and gRPC's.
#ifndef ZL_CRI_SERVER_RPC_STATUS_H
#define ZL_CRI_SERVER_RPC_STATUS_H

#include <grpc/grpc.h>
#include <grpc/slice.h>

#include "base/error.h"
#include "cri-server/message/message.h"

grpc_status_code zl_status_from_code(enum zl_code code);
// Unknown numbers become ZL_UNKNOWN.
enum zl_code zl_status_to_code(grpc_status_code status);

// Packs a scrubbed message. NULL past `limit` bytes (RESOURCE_EXHAUSTED).
grpc_byte_buffer *zl_payload_pack(
        const ProtobufCMessage *message, size_t limit, struct zl_error *err);
// Decodes into the arena with ZL_MESSAGE_MEMORY_LIMIT; the payload stays the caller's.
void *zl_payload_unpack(grpc_byte_buffer *payload, const ProtobufCMessageDescriptor *descriptor,
        struct zl_arena *arena, struct zl_error *err);

// grpc_init, with the core's own messages sent to our log instead of stderr. Each to be undone by
// grpc_shutdown_blocking.
void zl_grpc_begin(void);

#endif
