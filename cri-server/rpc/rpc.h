// SPDX-License-Identifier: Apache-2.0
//
// The gRPC server: a unix socket, a table of methods, a thread per running call.
//
// A service is a generated descriptor and a table of handlers. Every method of the descriptor is
// served: one without a handler answers UNIMPLEMENTED with a message that says so, so that nothing
// of the CRI is ever forgotten silently. A handler is a plain function that reads top-down, blocks
// where it must, and hands call->cancel down to whatever blocks. Its error becomes the gRPC status
// (ZL_OK to ZL_UNAUTHENTICATED have gRPC's own meanings).
//
// A request reaches the handler decoded, within ZL_MESSAGE_MEMORY_LIMIT, with every string valid
// UTF-8 and free of NUL bytes; fields that are absent are NULL (messages) or "" (strings). Strings
// of a reply are scrubbed before they are packed, so bytes from a guest may be put into it.
//
// Threads: one thread accepts, one waits in the completion queue, workers run handlers. The pool
// grows with the calls that are running, up to `workers`; methods marked `slow` (they may block for
// long: ExecSync, PullImage, streams) leave ZL_RPC_RESERVE workers to the others; what finds no
// worker waits its turn, and past ZL_RPC_QUEUE_LIMIT is refused with RESOURCE_EXHAUSTED.
//
// Lock order: the server's one mutex (queue and list of calls) is a leaf; no handler runs under it.
// Block the signals that the program handles itself before zl_rpc_server_start: gRPC makes threads.
#ifndef ZL_CRI_SERVER_RPC_RPC_H
#define ZL_CRI_SERVER_RPC_RPC_H

#include <protobuf-c/protobuf-c.h>
#include <stdbool.h>
#include <stddef.h>
#include <sys/socket.h>
#include <sys/types.h>

#include "base/cancel.h"
#include "base/error.h"
#include "cri-server/message/arena.h"
#include "cri-server/message/message.h"

// ---- a call, as its handler sees it

struct zl_call {
	// Fires at the deadline of the client, when the client cancels or is gone, and at shutdown.
	struct zl_cancel cancel;
	const char *method; // "RunPodSandbox"
	// Who connected, by SO_PEERCRED; pid 0 and uid and gid -1 where the connection is gone.
	struct ucred peer;
	// Memory of request and reply; lives until the reply is sent. The response, and what it
	// points to, is allocated here (or is static, or outlives the call).
	struct zl_arena arena;
	// How a stream sends (zl_call_send); NULL for unary methods.
	int (*send)(struct zl_call *call, ProtobufCMessage *message, struct zl_error *err);
};

// A call outside any server, for unit tests of handlers: init, run the handler, release. `send` may
// be set by the test.
#define ZL_CALL_INIT {.cancel = ZL_CANCEL_INIT, .arena = ZL_ARENA_INIT}

// Memory of the call; never NULL (arena.h).
#define zl_call_alloc(call, size)    zl_arena_alloc(&(call)->arena, (size))
#define zl_call_array(call, n, size) zl_arena_array(&(call)->arena, (n), (size))
#define zl_call_strdup(call, text)   zl_arena_strdup(&(call)->arena, (text))
#define zl_call_printf(call, ...)    zl_arena_printf(&(call)->arena, __VA_ARGS__)
// An initialised CRI message: ZL_CALL_NEW(call, ContainerStatus, container_status).
#define ZL_CALL_NEW(call, Type, name) ZL_MESSAGE_NEW(&(call)->arena, Type, name)
// NOLINTBEGIN(bugprone-macro-parentheses): types cannot be in parentheses
// Room for a repeated field of messages: Runtime__V1__##Type *[n], each to be filled by the caller.
#define ZL_CALL_NEW_LIST(call, Type, n)                                                            \
	((Runtime__V1__##Type **)zl_call_array((call), (n), sizeof(Runtime__V1__##Type *)))
// NOLINTEND(bugprone-macro-parentheses)

// Sends one message of a server-side stream and waits until the transport took it: that is the back
// pressure. CANCELLED or DEADLINE_EXCEEDED when the client is gone, the handler then returns. The
// message is scrubbed in place. Memory of many messages: use an arena of the handler's own for each
// rather than the call's.
static inline int zl_call_send(
        struct zl_call *call, ProtobufCMessage *message, struct zl_error *err)
{
	return call->send(call, message, err);
}

// ---- handlers

// `response` is initialised, of the method's type; NULL for streams. 0, or -1 with the error that
// becomes the status.
typedef int zl_rpc_handler(void *service, struct zl_call *call, const ProtobufCMessage *request,
        ProtobufCMessage *response, struct zl_error *err);

// Defines a handler `name` with typed arguments:
//
//   ZL_RPC_HANDLER(zl_handle_version, struct zl_services, VersionRequest, VersionResponse)
//   {
//       response->runtime_name = zl_call_strdup(call, "zonelet");
//       return 0;
//   }
//
// In its body: service, call, request, response, err. Declare it elsewhere as
// `zl_rpc_handler zl_handle_version;`. For streams Response is the type sent, response is NULL.
// NOLINTBEGIN(bugprone-macro-parentheses): types cannot be in parentheses
#define ZL_RPC_HANDLER(name, Service, Request, Response)                                           \
	static int name##_typed(Service *service, struct zl_call *call,                            \
	        const Runtime__V1__##Request *request, Runtime__V1__##Response *response,          \
	        struct zl_error *err);                                                             \
	zl_rpc_handler name;                                                                       \
	int name(void *service, struct zl_call *call, const ProtobufCMessage *request,             \
	        ProtobufCMessage *response, struct zl_error *err)                                  \
	{                                                                                          \
		return name##_typed((Service *)service, call,                                      \
		        (const Runtime__V1__##Request *)request,                                   \
		        (Runtime__V1__##Response *)response, err);                                 \
	}                                                                                          \
	static int name##_typed(Service *service __attribute__((unused)),                          \
	        struct zl_call *call __attribute__((unused)),                                      \
	        const Runtime__V1__##Request *request __attribute__((unused)),                     \
	        Runtime__V1__##Response *response __attribute__((unused)),                         \
	        struct zl_error *err __attribute__((unused)))
// NOLINTEND(bugprone-macro-parentheses)

struct zl_rpc_method {
	const char *name;        // as in the .proto: "RunPodSandbox"
	zl_rpc_handler *handler; // NULL: UNIMPLEMENTED
	const char *why; // with handler NULL: ends the message, "streaming exec is not there yet"
	bool stream;     // the reply is a stream of messages
	bool slow;       // may block for long
};

struct zl_rpc_service {
	const ProtobufCServiceDescriptor *descriptor; // &runtime__v1__runtime_service__descriptor
	const struct zl_rpc_method *methods; // in any order; those left out are UNIMPLEMENTED
	size_t method_count;
	void *service; // handed to the handlers
};

// ---- the server

enum {
	ZL_RPC_RESERVE = 16,       // workers that slow methods never take
	ZL_RPC_QUEUE_LIMIT = 1024, // calls waiting for a worker
	ZL_RPC_WORKERS_DEFAULT = 256,
};

struct zl_rpc_options {
	const char *socket_path; // its directory must exist; "<path>.lock" is made beside it
	gid_t socket_group;      // (gid_t)-1: leave
	const struct zl_rpc_service *services;
	size_t service_count;
	unsigned workers;    // most threads that run handlers; 0: the default; at least 2
	const char *version; // zonelet's, for UNIMPLEMENTED messages
};

struct zl_rpc_server;

// Listens (mode 0660) and serves. Options and what they point to must outlive the server.
// ALREADY_EXISTS: another zoneletd holds the lock file. INVALID_ARGUMENT: a table names a method
// that its service does not have.
struct zl_rpc_server *zl_rpc_server_start(
        const struct zl_rpc_options *options, struct zl_error *err);

// Stops accepting, fires the cancel tokens of streams and slow calls at once and those of the
// others after grace_ms, waits for all handlers, removes the socket. Runs no handler after its
// return.
void zl_rpc_server_stop(struct zl_rpc_server *server, int grace_ms);

// How many methods are served, with and without a handler.
size_t zl_rpc_server_method_count(const struct zl_rpc_server *server);
// How many calls are running or waiting.
size_t zl_rpc_server_call_count(struct zl_rpc_server *server);

#endif
