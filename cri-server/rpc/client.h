// SPDX-License-Identifier: Apache-2.0
//
// A client for any gRPC server on a unix socket: zonectl, tests, measurements.
//
// Thread rule: one client may be used by many threads at the same time; a stream by one.
#ifndef ZL_CRI_SERVER_RPC_CLIENT_H
#define ZL_CRI_SERVER_RPC_CLIENT_H

#include <protobuf-c/protobuf-c.h>

#include "base/cancel.h"
#include "base/error.h"
#include "cri-server/message/arena.h"
#include "cri-server/message/message.h"

struct zl_rpc_client;

// Connects lazily: an absent server shows at the first call (UNAVAILABLE, naming the socket).
struct zl_rpc_client *zl_rpc_client_open(const char *socket_path, struct zl_error *err);
void zl_rpc_client_close(struct zl_rpc_client *client);
ZL_AUTO_DEFINE(rpc_client, struct zl_rpc_client *, zl_rpc_client_close);

// Calls `method` of the service ("RunPodSandbox" of &runtime__v1__runtime_service__descriptor) and
// returns the reply, decoded into the arena. The server's status becomes the error, code and
// message. timeout_ms: the deadline that the server sees too, -1 none. The token cancels the call.
void *zl_rpc_client_call(struct zl_rpc_client *client, const ProtobufCServiceDescriptor *service,
        const char *method, const ProtobufCMessage *request, struct zl_arena *arena, int timeout_ms,
        const struct zl_cancel *cancel, struct zl_error *err);

// Typed, for the CRI: ZL_CRI_CALL(client, runtime_service, Version, &request, arena, 1000, err).
#define ZL_CRI_CALL(client, service, Method, request, arena, timeout_ms, err)                      \
	((Runtime__V1__##Method##Response *)zl_rpc_client_call((client),                           \
	        &runtime__v1__##service##__descriptor, #Method, &(request)->base, (arena),         \
	        (timeout_ms), NULL, (err)))

// A server-side stream.
struct zl_rpc_stream;
struct zl_rpc_stream *zl_rpc_client_stream(struct zl_rpc_client *client,
        const ProtobufCServiceDescriptor *service, const char *method,
        const ProtobufCMessage *request, int timeout_ms, struct zl_error *err);
// The next message, decoded into the arena. NULL with err->code ZL_OK at the stream's good end,
// NULL with an error else.
void *zl_rpc_stream_next(struct zl_rpc_stream *stream, struct zl_arena *arena,
        const struct zl_cancel *cancel, struct zl_error *err);
// Cancels what is still running and frees.
void zl_rpc_stream_close(struct zl_rpc_stream *stream);
ZL_AUTO_DEFINE(rpc_stream, struct zl_rpc_stream *, zl_rpc_stream_close);

#endif
