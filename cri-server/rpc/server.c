// SPDX-License-Identifier: Apache-2.0
#include "cri-server/rpc/server.h"

#include <grpc/grpc_posix.h>
#include <grpc/grpc_security.h>

#include "base/clock.h"
#include "base/log.h"
#include "cri-server/rpc/status.h"

enum {
	// The kubelet pings every 10 s; less often than this and the core sends it away.
	PING_INTERVAL_MS = 10000,
	STREAMS_PER_CONNECTION = 2048,
	// After its token fired a handler has so long to reply before its connection is cut.
	LAST_REPLY_MS = 1000,
};

static grpc_arg integer_arg(const char *key, int value)
{
	grpc_arg arg = {.type = GRPC_ARG_INTEGER, .key = (char *)(uintptr_t)key};

	arg.value.integer = value;
	return arg;
}

static grpc_server *make_core_server(void)
{
	grpc_arg list[] = {
	        integer_arg(GRPC_ARG_MAX_RECEIVE_MESSAGE_LENGTH, ZL_MESSAGE_WIRE_LIMIT),
	        integer_arg(GRPC_ARG_MAX_SEND_MESSAGE_LENGTH, ZL_MESSAGE_WIRE_LIMIT),
	        // 1: identity alone. A compressed message is inflated before its size is looked at.
	        integer_arg(GRPC_COMPRESSION_CHANNEL_ENABLED_ALGORITHMS_BITSET, 1),
	        integer_arg(GRPC_ARG_MAX_CONCURRENT_STREAMS, STREAMS_PER_CONNECTION),
	        integer_arg(
	                GRPC_ARG_HTTP2_MIN_RECV_PING_INTERVAL_WITHOUT_DATA_MS, PING_INTERVAL_MS),
	        integer_arg(GRPC_ARG_KEEPALIVE_PERMIT_WITHOUT_CALLS, 1),
	        integer_arg(GRPC_ARG_ENABLE_CHANNELZ, 0),
	};
	grpc_channel_args args = {.num_args = ZL_ARRAY_SIZE(list), .args = list};

	return grpc_server_create(&args, NULL);
}

static void *queue_run(void *user)
{
	struct zl_rpc_server *server = user;

	for (;;) {
		grpc_event event = grpc_completion_queue_next(
		        server->queue, gpr_inf_future(GPR_CLOCK_REALTIME), NULL);
		struct rpc_tag *tag = event.tag;

		if (event.type == GRPC_QUEUE_SHUTDOWN)
			return NULL;
		if (event.type != GRPC_OP_COMPLETE)
			continue;
		if (tag == &server->shut_down) {
			(void)pthread_mutex_lock(&server->mutex);
			server->core_stopped = true;
			(void)pthread_cond_broadcast(&server->changed);
			(void)pthread_mutex_unlock(&server->mutex);
			continue;
		}
		(void)atomic_load_explicit(&tag->call->order, memory_order_acquire);
		tag->event(tag->call, event.success != 0);
	}
}

static void on_accepted(void *user, int fd)
{
	struct zl_rpc_server *server = user;

	grpc_server_add_channel_from_fd(server->grpc, fd, server->credentials);
}

static struct zl_rpc_server *server_new(const struct zl_rpc_options *options)
{
	struct zl_rpc_server *server = calloc(1, sizeof(*server));
	pthread_condattr_t monotonic;

	if (server == NULL)
		return NULL;
	server->options = options;
	(void)pthread_condattr_init(&monotonic);
	(void)pthread_condattr_setclock(&monotonic, CLOCK_MONOTONIC);
	(void)pthread_mutex_init(&server->mutex, NULL);
	(void)pthread_cond_init(&server->changed, &monotonic);
	(void)pthread_condattr_destroy(&monotonic);
	zl_grpc_begin();
	return server;
}

static void start_core(struct zl_rpc_server *server)
{
	server->queue = grpc_completion_queue_create_for_next(NULL);
	server->grpc = make_core_server();
	server->credentials = grpc_insecure_server_credentials_create();
	grpc_server_register_completion_queue(server->grpc, server->queue, NULL);
	grpc_server_start(server->grpc);
	rpc_call_expect(server);
}

static int start(struct zl_rpc_server *server, struct zl_error *err)
{
	const struct zl_rpc_options *options = server->options;
	unsigned workers = options->workers > 0 ? options->workers : ZL_RPC_WORKERS_DEFAULT;
	int failure;

	if (zl_method_table_init(&server->methods, options->services, options->service_count, err) <
	        0)
		return -1;
	server->pool = zl_pool_start(workers, ZL_RPC_RESERVE, ZL_RPC_QUEUE_LIMIT, err);
	if (server->pool == NULL)
		return -1;
	start_core(server);
	failure = pthread_create(&server->queue_thread, NULL, queue_run, server);
	if (failure != 0)
		return zl_error_errno(err, failure, "start the thread of the completion queue");
	server->queue_running = true;
	// Last: from here on there are clients.
	server->listener = zl_listener_start(
	        options->socket_path, options->socket_group, on_accepted, server, err);
	return server->listener != NULL ? 0 : -1;
}

struct zl_rpc_server *zl_rpc_server_start(
        const struct zl_rpc_options *options, struct zl_error *err)
{
	struct zl_rpc_server *server = server_new(options);

	if (server == NULL) {
		(void)zl_error_nomem(err);
		return NULL;
	}
	if (start(server, err) < 0) {
		zl_rpc_server_stop(server, 0);
		return NULL;
	}
	return server;
}

// ---- stop

// Fires the tokens of slow calls, or of all.
static void fire(struct zl_rpc_server *server, bool all)
{
	(void)pthread_mutex_lock(&server->mutex);
	server->stopping = true;
	for (struct rpc_call *call = server->calls; call != NULL; call = call->next) {
		if (all || (call->method != NULL && call->method->slow))
			zl_cancel_fire(&call->base.cancel);
	}
	(void)pthread_mutex_unlock(&server->mutex);
}

// Waits until no call is left, at most timeout_ms (-1: however long). Whether that came to be.
static bool wait_calls(struct zl_rpc_server *server, int timeout_ms)
{
	int64_t end = zl_clock_monotonic() + timeout_ms * ZL_NS_PER_MS;
	struct timespec until = {
	        .tv_sec = end / ZL_NS_PER_SECOND, .tv_nsec = end % ZL_NS_PER_SECOND};
	int result = 0;
	bool done;

	(void)pthread_mutex_lock(&server->mutex);
	while (server->call_count > 0 && result == 0)
		result = timeout_ms < 0
		                 ? pthread_cond_wait(&server->changed, &server->mutex)
		                 : pthread_cond_timedwait(&server->changed, &server->mutex, &until);
	done = server->call_count == 0;
	(void)pthread_mutex_unlock(&server->mutex);
	return done;
}

static void wait_core(struct zl_rpc_server *server)
{
	(void)pthread_mutex_lock(&server->mutex);
	while (!server->core_stopped)
		(void)pthread_cond_wait(&server->changed, &server->mutex);
	(void)pthread_mutex_unlock(&server->mutex);
}

// Handlers first, then connections: a reply that is ready is still sent.
static void stop_calls(struct zl_rpc_server *server, int grace_ms)
{
	grpc_server_shutdown_and_notify(server->grpc, server->queue, &server->shut_down);
	fire(server, false);
	if (!wait_calls(server, grace_ms)) {
		fire(server, true);
		(void)wait_calls(server, LAST_REPLY_MS);
	}
	// Also cuts idle connections, for which a polite end may take 20 s.
	grpc_server_cancel_all_calls(server->grpc);
	(void)wait_calls(server, -1);
	wait_core(server);
}

static void drain_queue(struct zl_rpc_server *server)
{
	grpc_completion_queue_shutdown(server->queue);
	if (server->queue_running)
		(void)pthread_join(server->queue_thread, NULL);
	else
		(void)queue_run(server);
}

void zl_rpc_server_stop(struct zl_rpc_server *server, int grace_ms)
{
	if (server == NULL)
		return;
	zl_listener_stop(server->listener);
	if (server->grpc != NULL && server->queue_running) {
		stop_calls(server, grace_ms);
	} else if (server->grpc != NULL) {
		grpc_server_shutdown_and_notify(server->grpc, server->queue, &server->shut_down);
	}
	zl_pool_stop(server->pool);
	if (server->queue != NULL)
		drain_queue(server);
	if (server->grpc != NULL)
		grpc_server_destroy(server->grpc);
	if (server->credentials != NULL)
		grpc_server_credentials_release(server->credentials);
	if (server->queue != NULL)
		grpc_completion_queue_destroy(server->queue);
	grpc_shutdown_blocking();
	zl_method_table_release(&server->methods);
	(void)pthread_cond_destroy(&server->changed);
	(void)pthread_mutex_destroy(&server->mutex);
	free(server);
}

size_t zl_rpc_server_method_count(const struct zl_rpc_server *server)
{
	return server->methods.count;
}

size_t zl_rpc_server_call_count(struct zl_rpc_server *server)
{
	size_t count;

	(void)pthread_mutex_lock(&server->mutex);
	count = server->call_count;
	(void)pthread_mutex_unlock(&server->mutex);
	return count;
}
