// SPDX-License-Identifier: Apache-2.0
#include "cri-server/sandbox/channel.h"

#include "base/clock.h"
#include "base/log.h"
#include "cri-server/container/container.h"
#include "cri-server/container/peer.h"
#include "cri-server/sandbox/backend.h"
#include "cri-server/sandbox/lifecycle.h"
#include "cri-server/sandbox/services.h"
#include "zone/channel/transport.h"

// Callbacks run on the channel's thread with an id that the zone sent: it is looked up in this
// sandbox alone, so a zone can speak of nobody else's containers.

static size_t on_output(void *user, const char *container_id, const char *exec_id,
        enum zl_zone_stream stream, uint64_t offset, const void *bytes, size_t length, bool eof)
{
	struct zl_sandbox *sandbox = user;
	zl_auto(container) struct zl_container *container = NULL;

	size_t taken;

	if (exec_id != NULL)
		return zl_peer_output(sandbox, exec_id, stream, bytes, length, eof);
	container = zl_container_in(sandbox, container_id);
	// Of a container that is being removed nobody reads any more.
	if (container == NULL)
		return length;
	// Those attached first: the log may leave a line that is not complete, which they are to
	// see.
	taken = zl_peer_tee(container, stream, offset, bytes, length, eof);
	if (container->log == NULL)
		return taken;
	return zl_container_log_write(container->log,
	        stream == ZL_ZONE_STDOUT ? ZL_LOG_STDOUT : ZL_LOG_STDERR, offset, bytes, taken,
	        eof && taken == length);
}

static void on_input_ready(void *user, const char *container_id, const char *exec_id)
{
	zl_peer_input_ready(user, container_id, exec_id);
}

static void finish_task(void *argument)
{
	zl_container_finish(argument);
	zl_container_unref(argument);
}

static void on_exited(void *user, const struct zl_zone_exit *end)
{
	struct zl_sandbox *sandbox = user;
	struct zl_container *container;
	bool first;

	if (end->exec_id != NULL) {
		zl_peer_exited(sandbox, end->exec_id, end->exit_code, end->message);
		return;
	}
	container = zl_container_in(sandbox, end->container_id);
	if (container == NULL)
		return;
	first = zl_container_set_exited(
	        container, end->exit_code, end->oom_killed, end->finished_at_ns, NULL, NULL);
	// After it: nobody attaches to a container that has exited.
	zl_peer_container_exited(container, end->exit_code);
	if (first)
		zl_tasks_post(sandbox->services->tasks, finish_task, container);
	else
		zl_container_unref(container);
}

static void died_task(void *argument)
{
	zl_sandbox_died(argument);
	zl_sandbox_unref(argument);
}

static void on_closed(void *user, const struct zl_error *why)
{
	struct zl_sandbox *sandbox = user;

	zl_peer_fail_all(sandbox, why);
	pthread_mutex_lock(&sandbox->lock);
	if (sandbox->message[0] == '\0')
		(void)snprintf(sandbox->message, sizeof(sandbox->message), "%.500s", why->message);
	pthread_mutex_unlock(&sandbox->lock);
	zl_tasks_post(sandbox->services->tasks, died_task, zl_sandbox_ref(sandbox));
}

static void on_opening(void *user, struct zl_zone_client *client)
{
	struct zl_sandbox *sandbox = user;

	pthread_mutex_lock(&sandbox->lock);
	sandbox->opening = client;
	pthread_mutex_unlock(&sandbox->lock);
}

static const struct zl_zone_callbacks callbacks = {
        .output = on_output,
        .exited = on_exited,
        .input_ready = on_input_ready,
        .closed = on_closed,
        .opening = on_opening,
};

int zl_sandbox_connect(
        struct zl_sandbox *sandbox, const struct zl_cancel *cancel, struct zl_error *err)
{
	int64_t timeout = sandbox->services->config->zone.hello_timeout_ns;
	struct zl_cancel limit = {
	        .fd = -1, .deadline_ns = zl_clock_monotonic() + timeout, .parent = cancel};
	struct zl_transport *transport = sandbox->backend->connect(sandbox, &limit, err);
	struct zl_zone_client *client;

	if (transport == NULL)
		return -1;
	zl_timeline_mark(sandbox, "connect");
	client = zl_zone_client_open(
	        sandbox->services->loop, transport, &callbacks, sandbox, &limit, err);
	if (client == NULL)
		return zl_error_wrap(err, "the supervisor did not answer the hello");
	zl_timeline_mark(sandbox, "hello");
	pthread_mutex_lock(&sandbox->lock);
	sandbox->client = client;
	sandbox->opening = NULL;
	pthread_mutex_unlock(&sandbox->lock);
	return 0;
}

void zl_sandbox_abort_channel(struct zl_sandbox *sandbox, const struct zl_error *why)
{
	// Under the lock, so that nobody closes the client meanwhile.
	pthread_mutex_lock(&sandbox->lock);
	if (sandbox->opening != NULL)
		zl_zone_client_abort(sandbox->opening, why);
	if (sandbox->client != NULL)
		zl_zone_client_abort(sandbox->client, why);
	pthread_mutex_unlock(&sandbox->lock);
}

void zl_sandbox_disconnect(struct zl_sandbox *sandbox)
{
	struct zl_zone_client *client;

	pthread_mutex_lock(&sandbox->lock);
	client = sandbox->client;
	sandbox->client = NULL;
	pthread_mutex_unlock(&sandbox->lock);
	if (client != NULL)
		zl_zone_client_close(client);
}
