// SPDX-License-Identifier: Apache-2.0
//
// One thread waits in the client's completion queue and tells each operation of its end by an
// eventfd, so that a caller can wait for it and for its cancel token at once.
#include "cri-server/rpc/client.h"

#include <grpc/byte_buffer.h>
#include <grpc/grpc_security.h>
#include <grpc/support/time.h>
#include <poll.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdint.h>
#include <sys/eventfd.h>

#include "base/strv.h"
#include "cri-server/rpc/status.h"

struct zl_rpc_client {
	char *target;
	grpc_channel *channel;
	grpc_completion_queue *queue;
	pthread_t thread;
	bool running;
};

// What a batch's tag points to.
struct operation {
	int fd; // eventfd, readable once done
	bool success;
	atomic_uint order; // see struct rpc_call
};

struct zl_rpc_stream {
	struct zl_rpc_client *client;
	const ProtobufCMethodDescriptor *method;
	grpc_call *grpc;
	struct operation first; // request sent
	struct operation next;  // one message
	struct operation last;  // status
	grpc_byte_buffer *request;
	grpc_byte_buffer *message;
	grpc_metadata_array initial;
	grpc_metadata_array trailing;
	grpc_status_code status;
	grpc_slice details;
	bool sending;
	bool first_seen;
	bool last_seen;
};

static void *client_run(void *user)
{
	struct zl_rpc_client *client = user;

	for (;;) {
		grpc_event event = grpc_completion_queue_next(
		        client->queue, gpr_inf_future(GPR_CLOCK_REALTIME), NULL);
		struct operation *operation = event.tag;
		uint64_t one = 1;

		if (event.type == GRPC_QUEUE_SHUTDOWN)
			return NULL;
		if (event.type != GRPC_OP_COMPLETE)
			continue;
		(void)atomic_load_explicit(&operation->order, memory_order_acquire);
		operation->success = event.success != 0;
		(void)!write(operation->fd, &one, sizeof(one));
	}
}

static grpc_channel *open_channel(const char *target)
{
	grpc_channel_credentials *credentials = grpc_insecure_credentials_create();
	grpc_arg list[] = {
	        {.type = GRPC_ARG_INTEGER,
	                .key = (char *)(uintptr_t)GRPC_ARG_MAX_RECEIVE_MESSAGE_LENGTH,
	                .value.integer = ZL_MESSAGE_WIRE_LIMIT},
	        {.type = GRPC_ARG_INTEGER,
	                .key = (char *)(uintptr_t)GRPC_ARG_USE_LOCAL_SUBCHANNEL_POOL,
	                .value.integer = 1},
	        // The core would send the path of the socket, which HTTP/2 servers may refuse.
	        {.type = GRPC_ARG_STRING,
	                .key = (char *)(uintptr_t)GRPC_ARG_DEFAULT_AUTHORITY,
	                .value.string = (char *)(uintptr_t)"localhost"},
	};
	grpc_channel_args args = {.num_args = ZL_ARRAY_SIZE(list), .args = list};
	grpc_channel *channel = grpc_channel_create(target, credentials, &args);

	grpc_channel_credentials_release(credentials);
	return channel;
}

struct zl_rpc_client *zl_rpc_client_open(const char *socket_path, struct zl_error *err)
{
	struct zl_rpc_client *client = calloc(1, sizeof(*client));
	int failure;

	if (client == NULL) {
		(void)zl_error_nomem(err);
		return NULL;
	}
	zl_grpc_begin();
	client->target = zl_format(err, "unix:%s", socket_path);
	if (client->target == NULL) {
		zl_rpc_client_close(client);
		return NULL;
	}
	client->queue = grpc_completion_queue_create_for_next(NULL);
	client->channel = open_channel(client->target);
	failure = pthread_create(&client->thread, NULL, client_run, client);
	if (failure != 0) {
		(void)zl_error_errno(err, failure, "start the client's thread");
		zl_rpc_client_close(client);
		return NULL;
	}
	client->running = true;
	return client;
}

void zl_rpc_client_close(struct zl_rpc_client *client)
{
	if (client == NULL)
		return;
	if (client->channel != NULL)
		grpc_channel_destroy(client->channel);
	if (client->queue != NULL) {
		grpc_completion_queue_shutdown(client->queue);
		if (client->running)
			(void)pthread_join(client->thread, NULL);
		grpc_completion_queue_destroy(client->queue);
	}
	grpc_shutdown_blocking();
	free(client->target);
	free(client);
}

// ---- operations

static int operation_init(struct operation *operation, struct zl_error *err)
{
	operation->fd = eventfd(0, EFD_CLOEXEC);
	if (operation->fd < 0)
		return zl_error_errno(err, errno, "make an eventfd");
	return 0;
}

static int operation_start(struct zl_rpc_stream *stream, struct operation *operation,
        const grpc_op *ops, size_t count, struct zl_error *err)
{
	grpc_call_error failure;

	(void)atomic_fetch_add_explicit(&operation->order, 1, memory_order_release);
	failure = grpc_call_start_batch(stream->grpc, ops, count, operation, NULL);
	if (failure != GRPC_CALL_OK)
		return zl_error_set(err, ZL_INTERNAL, "%s: grpc refuses a batch: %s",
		        stream->method->name, grpc_call_error_to_string(failure));
	return 0;
}

// Waits for the end of an operation that was started. When the token fires first, cancels the call
// and then waits: the core always ends what it has begun.
static int operation_wait(struct zl_rpc_stream *stream, struct operation *operation,
        const struct zl_cancel *token, struct zl_error *err)
{
	int result = 0;
	uint64_t value;

	if (token != NULL && zl_cancel_poll(token, operation->fd, POLLIN, -1, err) < 0) {
		(void)grpc_call_cancel(stream->grpc, NULL);
		result = -1;
	}
	while (read(operation->fd, &value, sizeof(value)) < 0 && errno == EINTR)
		;
	return result;
}

// ---- streams, of which a unary call is one with one message

static const ProtobufCMethodDescriptor *find_method(
        const ProtobufCServiceDescriptor *service, const char *name, struct zl_error *err)
{
	const ProtobufCMethodDescriptor *method =
	        protobuf_c_service_descriptor_get_method_by_name(service, name);

	if (method == NULL)
		(void)zl_error_set(
		        err, ZL_INVALID_ARGUMENT, "%s has no method %s", service->name, name);
	return method;
}

static int create_call(struct zl_rpc_stream *stream, const ProtobufCServiceDescriptor *service,
        int timeout_ms, struct zl_error *err)
{
	zl_auto(free) char *path = zl_format(err, "/%s/%s", service->name, stream->method->name);
	gpr_timespec deadline = gpr_inf_future(GPR_CLOCK_MONOTONIC);
	grpc_slice slice;

	if (path == NULL)
		return -1;
	if (timeout_ms >= 0)
		deadline = gpr_time_add(gpr_now(GPR_CLOCK_MONOTONIC),
		        gpr_time_from_millis(timeout_ms, GPR_TIMESPAN));
	slice = grpc_slice_from_copied_string(path);
	stream->grpc = grpc_channel_create_call(stream->client->channel, NULL,
	        GRPC_PROPAGATE_DEFAULTS, stream->client->queue, slice, NULL, deadline, NULL);
	grpc_slice_unref(slice);
	return stream->grpc != NULL ? 0 : zl_error_set(err, ZL_INTERNAL, "grpc makes no call");
}

static int send_request(
        struct zl_rpc_stream *stream, const ProtobufCMessage *request, struct zl_error *err)
{
	grpc_op status = {.op = GRPC_OP_RECV_STATUS_ON_CLIENT};
	grpc_op ops[4] = {{0}};

	stream->request = zl_payload_pack(request, SIZE_MAX, err);
	if (stream->request == NULL)
		return -1;
	status.data.recv_status_on_client.trailing_metadata = &stream->trailing;
	status.data.recv_status_on_client.status = &stream->status;
	status.data.recv_status_on_client.status_details = &stream->details;
	ops[0].op = GRPC_OP_SEND_INITIAL_METADATA;
	ops[1].op = GRPC_OP_SEND_MESSAGE;
	ops[1].data.send_message.send_message = stream->request;
	ops[2].op = GRPC_OP_SEND_CLOSE_FROM_CLIENT;
	ops[3].op = GRPC_OP_RECV_INITIAL_METADATA;
	ops[3].data.recv_initial_metadata.recv_initial_metadata = &stream->initial;
	if (operation_start(stream, &stream->last, &status, 1, err) < 0)
		return -1;
	stream->sending = true;
	if (operation_start(stream, &stream->first, ops, ZL_ARRAY_SIZE(ops), err) < 0) {
		stream->first_seen = true;
		return -1;
	}
	return 0;
}

static struct zl_rpc_stream *stream_new(
        struct zl_rpc_client *client, const ProtobufCMethodDescriptor *method, struct zl_error *err)
{
	zl_auto(rpc_stream) struct zl_rpc_stream *stream = calloc(1, sizeof(*stream));

	if (stream == NULL) {
		(void)zl_error_nomem(err);
		return NULL;
	}
	stream->client = client;
	stream->method = method;
	stream->details = grpc_empty_slice();
	grpc_metadata_array_init(&stream->initial);
	grpc_metadata_array_init(&stream->trailing);
	stream->first.fd = stream->next.fd = stream->last.fd = -1;
	if (operation_init(&stream->first, err) < 0 || operation_init(&stream->next, err) < 0 ||
	        operation_init(&stream->last, err) < 0)
		return NULL;
	return zl_take(stream);
}

struct zl_rpc_stream *zl_rpc_client_stream(struct zl_rpc_client *client,
        const ProtobufCServiceDescriptor *service, const char *name,
        const ProtobufCMessage *request, int timeout_ms, struct zl_error *err)
{
	const ProtobufCMethodDescriptor *method = find_method(service, name, err);
	zl_auto(rpc_stream) struct zl_rpc_stream *stream = NULL;

	if (method == NULL)
		return NULL;
	stream = stream_new(client, method, err);
	if (stream == NULL || create_call(stream, service, timeout_ms, err) < 0 ||
	        send_request(stream, request, err) < 0)
		return NULL;
	return zl_take(stream);
}

// The end of the call, as the server told it.
static int finish(struct zl_rpc_stream *stream, struct zl_error *err)
{
	if (!stream->last_seen) {
		(void)operation_wait(stream, &stream->last, NULL, NULL);
		stream->last_seen = true;
	}
	if (stream->status == GRPC_STATUS_OK)
		return 0;
	(void)zl_error_set(err, zl_status_to_code(stream->status), "%.*s",
	        (int)GRPC_SLICE_LENGTH(stream->details),
	        (const char *)GRPC_SLICE_START_PTR(stream->details));
	// Of its own failures the core tells the address alone.
	if (stream->status == GRPC_STATUS_UNAVAILABLE)
		(void)zl_error_wrap(err, "%s", stream->client->target);
	return -1;
}

void *zl_rpc_stream_next(struct zl_rpc_stream *stream, struct zl_arena *arena,
        const struct zl_cancel *token, struct zl_error *err)
{
	grpc_op op = {.op = GRPC_OP_RECV_MESSAGE};
	void *message;

	zl_error_clear(err);
	op.data.recv_message.recv_message = &stream->message;
	if (operation_start(stream, &stream->next, &op, 1, err) < 0 ||
	        operation_wait(stream, &stream->next, token, err) < 0)
		return NULL;
	if (stream->message == NULL) {
		(void)finish(stream, err);
		return NULL;
	}
	message = zl_payload_unpack(stream->message, stream->method->output, arena, err);
	grpc_byte_buffer_destroy(stream->message);
	stream->message = NULL;
	return message;
}

void zl_rpc_stream_close(struct zl_rpc_stream *stream)
{
	if (stream == NULL)
		return;
	if (stream->sending && !stream->last_seen) {
		(void)grpc_call_cancel(stream->grpc, NULL);
		(void)operation_wait(stream, &stream->last, NULL, NULL);
	}
	if (stream->sending && !stream->first_seen)
		(void)operation_wait(stream, &stream->first, NULL, NULL);
	if (stream->grpc != NULL)
		grpc_call_unref(stream->grpc);
	if (stream->request != NULL)
		grpc_byte_buffer_destroy(stream->request);
	if (stream->message != NULL)
		grpc_byte_buffer_destroy(stream->message);
	grpc_metadata_array_destroy(&stream->initial);
	grpc_metadata_array_destroy(&stream->trailing);
	grpc_slice_unref(stream->details);
	(void)zl_close(stream->first.fd);
	(void)zl_close(stream->next.fd);
	(void)zl_close(stream->last.fd);
	free(stream);
}

void *zl_rpc_client_call(struct zl_rpc_client *client, const ProtobufCServiceDescriptor *service,
        const char *method, const ProtobufCMessage *request, struct zl_arena *arena, int timeout_ms,
        const struct zl_cancel *token, struct zl_error *err)
{
	zl_auto(rpc_stream) struct zl_rpc_stream *stream =
	        zl_rpc_client_stream(client, service, method, request, timeout_ms, err);
	struct zl_error local = ZL_ERROR_INIT;
	struct zl_error *told = err != NULL ? err : &local;
	void *reply;

	if (stream == NULL)
		return NULL;
	reply = zl_rpc_stream_next(stream, arena, token, told);
	if (reply == NULL) {
		if (told->code == ZL_OK)
			(void)zl_error_set(
			        told, ZL_INTERNAL, "%s: the server sent no reply", method);
		return NULL;
	}
	return finish(stream, told) == 0 ? reply : NULL;
}
