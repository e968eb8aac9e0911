// SPDX-License-Identifier: Apache-2.0
#include <assert.h>
#include <grpc/byte_buffer.h>
#include <grpc/support/alloc.h>
#include <grpc/support/time.h>
#include <string.h>

#include "base/clock.h"
#include "base/log.h"
#include "cri-server/rpc/server.h"
#include "cri-server/rpc/status.h"

static void on_arrived(struct rpc_call *call, bool success);
static void on_closed(struct rpc_call *call, bool success);
static void on_received(struct rpc_call *call, bool success);
static void on_sent(struct rpc_call *call, bool success);
static void on_finished(struct rpc_call *call, bool success);
static void run(struct zl_task *task);
static int send_message(struct zl_call *base, ProtobufCMessage *message, struct zl_error *err);

// ---- life

static struct rpc_call *call_new(struct zl_rpc_server *server)
{
	struct rpc_call *call = calloc(1, sizeof(*call));

	if (call == NULL) {
		// With no call asked for, clients would hang without an error.
		zl_log_error("no memory for a call: giving up, pods go on");
		abort();
	}
	call->server = server;
	call->base = (struct zl_call)ZL_CALL_INIT;
	call->arrived = (struct rpc_tag){on_arrived, call};
	call->closed = (struct rpc_tag){on_closed, call};
	call->received = (struct rpc_tag){on_received, call};
	call->sent = (struct rpc_tag){on_sent, call};
	call->finished = (struct rpc_tag){on_finished, call};
	grpc_call_details_init(&call->details);
	grpc_metadata_array_init(&call->metadata);
	(void)pthread_mutex_init(&call->send_mutex, NULL);
	(void)pthread_cond_init(&call->send_done, NULL);
	return call;
}

static void list_add(struct rpc_call *call)
{
	struct zl_rpc_server *server = call->server;

	(void)pthread_mutex_lock(&server->mutex);
	call->next = server->calls;
	if (call->next != NULL)
		call->next->previous = call;
	server->calls = call;
	server->call_count++;
	call->listed = true;
	if (server->stopping)
		zl_cancel_fire(&call->base.cancel);
	(void)pthread_mutex_unlock(&server->mutex);
}

static void list_remove(struct rpc_call *call)
{
	struct zl_rpc_server *server = call->server;

	if (!call->listed)
		return;
	(void)pthread_mutex_lock(&server->mutex);
	if (call->previous != NULL)
		call->previous->next = call->next;
	else
		server->calls = call->next;
	if (call->next != NULL)
		call->next->previous = call->previous;
	server->call_count--;
	(void)pthread_cond_broadcast(&server->changed);
	(void)pthread_mutex_unlock(&server->mutex);
}

static void call_free(struct rpc_call *call)
{
	// First: what is in the list may have its token fired.
	list_remove(call);
	if (call->grpc != NULL)
		grpc_call_unref(call->grpc);
	grpc_call_details_destroy(&call->details);
	grpc_metadata_array_destroy(&call->metadata);
	if (call->request != NULL)
		grpc_byte_buffer_destroy(call->request);
	if (call->reply != NULL)
		grpc_byte_buffer_destroy(call->reply);
	zl_arena_release(&call->base.arena);
	zl_cancel_release(&call->base.cancel);
	(void)pthread_cond_destroy(&call->send_done);
	(void)pthread_mutex_destroy(&call->send_mutex);
	free(call);
}

static void call_unref(struct rpc_call *call)
{
	if (atomic_fetch_sub(&call->references, 1) == 1)
		call_free(call);
}

static int batch(struct rpc_call *call, const grpc_op *ops, size_t count, struct rpc_tag *tag)
{
	grpc_call_error failure;

	(void)atomic_fetch_add_explicit(&call->order, 1, memory_order_release);
	failure = grpc_call_start_batch(call->grpc, ops, count, tag, NULL);
	if (failure == GRPC_CALL_OK)
		return 0;
	zl_log_error("%s: grpc refuses a batch: %s", call->base.method,
	        grpc_call_error_to_string(failure));
	return -1;
}

// ---- reply

static void log_end(const struct rpc_call *call, const struct zl_error *err)
{
	double seconds = (double)(zl_clock_monotonic() - call->began_ns) / 1e9;

	if (err->code == ZL_OK)
		zl_log_debug("%s: done in %.3f s", call->base.method, seconds);
	else if (err->code == ZL_UNIMPLEMENTED)
		zl_log_debug("%s: %s", call->base.method, err->message);
	else
		zl_log_warning("%s: %s after %.3f s: %s", call->base.method,
		        zl_code_name(err->code), seconds, err->message);
}

// Adds the initial metadata if this is the first that is sent: a status alone would never go out.
static size_t begin_reply(struct rpc_call *call, grpc_op *ops)
{
	if (call->replying)
		return 0;
	call->replying = true;
	ops[0].op = GRPC_OP_SEND_INITIAL_METADATA;
	return 1;
}

// Sends the status, with the reply before it if there is one. The call is the core's from here on.
static void finish(struct rpc_call *call, grpc_byte_buffer *reply, const struct zl_error *err)
{
	grpc_op ops[3] = {0};
	size_t count = begin_reply(call, ops);
	grpc_slice details = grpc_empty_slice();

	log_end(call, err);
	if (err->code != ZL_OK) {
		const char *text =
		        zl_utf8_scrub(&call->base.arena, err->message, strlen(err->message));

		details = grpc_slice_from_copied_string(text);
	}
	if (reply != NULL) {
		call->reply = reply;
		ops[count].op = GRPC_OP_SEND_MESSAGE;
		ops[count++].data.send_message.send_message = reply;
	}
	ops[count].op = GRPC_OP_SEND_STATUS_FROM_SERVER;
	ops[count].data.send_status_from_server.status = zl_status_from_code(err->code);
	ops[count++].data.send_status_from_server.status_details = &details;
	if (batch(call, ops, count, &call->finished) < 0)
		call_unref(call);
	grpc_slice_unref(details);
}

static void on_finished(struct rpc_call *call, bool success)
{
	(void)success; // a client that is gone gets no reply: nothing to do about it
	call_unref(call);
}

static void finish_unimplemented(struct rpc_call *call)
{
	const struct zl_method *method = call->method;
	struct zl_error err = ZL_ERROR_INIT;

	if (method == NULL)
		(void)zl_error_set(&err, ZL_UNIMPLEMENTED, "zonelet %s knows no method %s",
		        call->server->options->version, call->base.method);
	else
		(void)zl_error_set(&err, ZL_UNIMPLEMENTED,
		        "%s is not implemented by zonelet %s: %s", method->name,
		        call->server->options->version,
		        method->why != NULL ? method->why : "it is not part of this version");
	finish(call, NULL, &err);
}

// ---- arrival

void rpc_call_expect(struct zl_rpc_server *server)
{
	struct rpc_call *call = call_new(server);
	grpc_call_error failure;

	(void)atomic_fetch_add_explicit(&call->order, 1, memory_order_release);
	failure = grpc_server_request_call(server->grpc, &call->grpc, &call->details,
	        &call->metadata, server->queue, server->queue, &call->arrived);
	if (failure != GRPC_CALL_OK) {
		zl_log_error(
		        "grpc refuses to hand over calls: %s", grpc_call_error_to_string(failure));
		call_free(call);
	}
}

static int64_t deadline_ns(gpr_timespec deadline)
{
	if (gpr_time_cmp(deadline, gpr_inf_future(deadline.clock_type)) == 0)
		return INT64_MAX;
	deadline = gpr_convert_clock_type(deadline, GPR_CLOCK_MONOTONIC);
	if (deadline.tv_sec >= INT64_MAX / ZL_NS_PER_SECOND - 1)
		return INT64_MAX;
	return deadline.tv_sec * ZL_NS_PER_SECOND + deadline.tv_nsec;
}

// The core names a connection that it was given "fd:<number>". Were that one closed in this very
// moment and its number used again, the call would have no client left to act for.
static struct ucred peer_of(grpc_call *grpc)
{
	struct ucred peer = {.pid = 0, .uid = (uid_t)-1, .gid = (gid_t)-1};
	char *name = grpc_call_get_peer(grpc);
	socklen_t length = sizeof(peer);
	char *end = NULL;
	long fd = -1;

	if (name != NULL && strncmp(name, "fd:", 3) == 0)
		fd = strtol(name + 3, &end, 10);
	if (fd >= 0 && end != NULL && *end == '\0' &&
	        getsockopt((int)fd, SOL_SOCKET, SO_PEERCRED, &peer, &length) < 0)
		peer = (struct ucred){.pid = 0, .uid = (uid_t)-1, .gid = (gid_t)-1};
	gpr_free(name);
	return peer;
}

// Has the core tell of the call's end; the close event then holds a reference.
static int watch(struct rpc_call *call, struct zl_error *err)
{
	grpc_op op = {.op = GRPC_OP_RECV_CLOSE_ON_SERVER};

	op.data.recv_close_on_server.cancelled = &call->cancelled;
	(void)atomic_fetch_add(&call->references, 1);
	if (batch(call, &op, 1, &call->closed) == 0)
		return 0;
	(void)atomic_fetch_sub(&call->references, 1);
	return zl_error_set(err, ZL_INTERNAL, "grpc refuses to watch the call");
}

static void receive(struct rpc_call *call)
{
	grpc_op op = {.op = GRPC_OP_RECV_MESSAGE};
	struct zl_error err = ZL_ERROR_INIT;

	op.data.recv_message.recv_message = &call->request;
	if (batch(call, &op, 1, &call->received) < 0) {
		(void)zl_error_set(&err, ZL_INTERNAL, "grpc refuses to receive the request");
		finish(call, NULL, &err);
	}
}

static void on_arrived(struct rpc_call *call, bool success)
{
	struct zl_rpc_server *server = call->server;
	const grpc_slice *path = &call->details.method;
	struct zl_error err = ZL_ERROR_INIT;

	if (!success) {
		call_free(call); // shutdown
		return;
	}
	rpc_call_expect(server);
	call->began_ns = zl_clock_monotonic();
	call->method = zl_method_find(
	        &server->methods, GRPC_SLICE_START_PTR(*path), GRPC_SLICE_LENGTH(*path));
	call->base.method = call->method != NULL
	                            ? call->method->name
	                            : zl_utf8_scrub(&call->base.arena,
	                                      (const char *)GRPC_SLICE_START_PTR(*path),
	                                      GRPC_SLICE_LENGTH(*path));
	atomic_store(&call->references, 1);
	call->base.peer = peer_of(call->grpc);
	if (zl_cancel_init(&call->base.cancel, deadline_ns(call->details.deadline), NULL, &err) < 0)
		call->base.cancel = (struct zl_cancel)ZL_CANCEL_INIT;
	list_add(call);
	if (watch(call, &err) < 0 || err.code != ZL_OK)
		finish(call, NULL, &err);
	else if (call->method == NULL || call->method->handler == NULL)
		finish_unimplemented(call);
	else
		receive(call);
}

static void on_closed(struct rpc_call *call, bool success)
{
	(void)success;
	if (call->cancelled != 0)
		zl_cancel_fire(&call->base.cancel);
	call_unref(call);
}

static void on_received(struct rpc_call *call, bool success)
{
	struct zl_error err = ZL_ERROR_INIT;

	if (!success || call->request == NULL) {
		// Gone, or past the limit of a message: then the core has answered already.
		(void)zl_error_set(&err, ZL_CANCELLED, "the request did not arrive as a whole");
		finish(call, NULL, &err);
		return;
	}
	call->task.run = run;
	call->task.user = call;
	call->task.slow = call->method->slow;
	if (zl_pool_submit(call->server->pool, &call->task, &err) < 0)
		finish(call, NULL, &err);
}

// ---- the worker's part

static bool server_stops(struct zl_rpc_server *server)
{
	bool stops;

	(void)pthread_mutex_lock(&server->mutex);
	stops = server->stopping;
	(void)pthread_mutex_unlock(&server->mutex);
	return stops;
}

// Decodes, runs the handler, packs. NULL with err->code ZL_OK for streams.
static grpc_byte_buffer *serve(struct rpc_call *call, struct zl_error *err)
{
	const struct zl_method *method = call->method;
	ProtobufCMessage *response = NULL;
	ProtobufCMessage *request;

	if (zl_cancel_check(&call->base.cancel, err) < 0)
		return NULL;
	request = zl_payload_unpack(call->request, method->request, &call->base.arena, err);
	grpc_byte_buffer_destroy(call->request);
	call->request = NULL;
	if (request == NULL)
		return NULL;
	if (method->stream)
		call->base.send = send_message;
	else
		response = zl_message_new(&call->base.arena, method->response);
	if (method->handler(method->service, &call->base, request, response, err) < 0) {
		if (err->code == ZL_OK)
			(void)zl_error_set(
			        err, ZL_INTERNAL, "%s failed without saying why", method->name);
		return NULL;
	}
	zl_error_clear(err); // a handler may have used it for what it got over
	if (response == NULL)
		return NULL;
	zl_message_scrub(&call->base.arena, response);
	return zl_payload_pack(response, ZL_MESSAGE_WIRE_LIMIT, err);
}

static void run(struct zl_task *task)
{
	struct rpc_call *call = task->user;
	struct zl_error err = ZL_ERROR_INIT;
	grpc_byte_buffer *reply = serve(call, &err);

	if (err.code == ZL_CANCELLED && server_stops(call->server))
		(void)zl_error_set(&err, ZL_UNAVAILABLE, "%s was interrupted: zoneletd is stopping",
		        call->base.method);
	finish(call, reply, &err);
}

// ---- streams

static int wait_sent(struct rpc_call *call, struct zl_error *err)
{
	bool taken;

	(void)pthread_mutex_lock(&call->send_mutex);
	while (call->send_state == SEND_RUNNING)
		(void)pthread_cond_wait(&call->send_done, &call->send_mutex);
	taken = call->send_state == SEND_TAKEN;
	call->send_state = SEND_IDLE;
	(void)pthread_mutex_unlock(&call->send_mutex);
	if (zl_cancel_check(&call->base.cancel, err) < 0)
		return -1;
	if (!taken)
		return zl_error_set(err, ZL_CANCELLED, "the client of the stream is gone");
	return 0;
}

static int send_message(struct zl_call *base, ProtobufCMessage *message, struct zl_error *err)
{
	struct rpc_call *call = (struct rpc_call *)base;
	zl_auto(arena) struct zl_arena scratch = ZL_ARENA_INIT;
	grpc_byte_buffer *payload;
	grpc_op ops[2] = {0};
	size_t count;
	int result;

	if (zl_cancel_check(&base->cancel, err) < 0)
		return -1;
	assert(message->descriptor == call->method->response);
	zl_message_scrub(&scratch, message);
	payload = zl_payload_pack(message, ZL_MESSAGE_WIRE_LIMIT, err);
	if (payload == NULL)
		return -1;
	count = begin_reply(call, ops);
	ops[count].op = GRPC_OP_SEND_MESSAGE;
	ops[count++].data.send_message.send_message = payload;
	call->send_state = SEND_RUNNING;
	result = batch(call, ops, count, &call->sent);
	if (result < 0)
		result = zl_error_set(err, ZL_INTERNAL, "grpc refuses to send");
	else
		result = wait_sent(call, err);
	grpc_byte_buffer_destroy(payload);
	return result;
}

static void on_sent(struct rpc_call *call, bool success)
{
	(void)pthread_mutex_lock(&call->send_mutex);
	call->send_state = success ? SEND_TAKEN : SEND_FAILED;
	(void)pthread_cond_signal(&call->send_done);
	(void)pthread_mutex_unlock(&call->send_mutex);
}
