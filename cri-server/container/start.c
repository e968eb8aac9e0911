// SPDX-License-Identifier: Apache-2.0
//
// StartContainer, StopContainer, ReopenContainerLog.
#include <inttypes.h>
#include <poll.h>
#include <signal.h>
#include <string.h>

#include "base/clock.h"
#include "base/failpoint.h"
#include "base/file.h"
#include "base/log.h"
#include "cri-server/container/container.h"
#include "cri-server/sandbox/services.h"

// What the kubelet shows for a container whose process could not be started, and its exit code
// (128, as Docker and containerd have it).
enum { EXIT_NOT_STARTED = 128 };

// The log's directories are the kubelet's to make, but other clients leave them to the runtime.
static int open_log(struct zl_container *container, struct zl_error *err)
{
	zl_auto(arena) struct zl_arena arena = ZL_ARENA_INIT;
	const char *path = container->log_path;
	const char *name = strrchr(path, '/');

	if (name != NULL && name > path &&
	        zl_dir_make(zl_arena_strndup(&arena, path, (size_t)(name - path)), 0755, err) < 0)
		return -1;
	container->log = zl_container_log_open(
	        container->log_path, zl_container_commit_path(container, &arena), false, err);
	return container->log != NULL ? 0 : -1;
}

// CREATED becomes STARTING, by one caller only.
static int claim_start(struct zl_container *container, struct zl_error *err)
{
	int result = 0;

	pthread_mutex_lock(&container->sandbox->lock);
	if (container->phase == ZL_CONTAINER_CREATED)
		container->phase = ZL_CONTAINER_STARTING;
	else
		result = zl_error_set(err, ZL_FAILED_PRECONDITION,
		        "container %s was started before; make a new one",
		        container->config->metadata->name);
	pthread_mutex_unlock(&container->sandbox->lock);
	return result;
}

// A short process may have exited, and have been noted, before the reply to its start is here.
static void note_started(struct zl_container *container, int32_t pid, int64_t started_ns)
{
	pthread_mutex_lock(&container->sandbox->lock);
	container->started_at_ns = started_ns;
	if (container->phase == ZL_CONTAINER_STARTING) {
		container->phase = ZL_CONTAINER_RUNNING;
		container->pid = pid;
	}
	pthread_mutex_unlock(&container->sandbox->lock);
}

static int start(
        struct zl_container *container, const struct zl_cancel *cancel, struct zl_error *err)
{
	struct zl_zone_client *client = zl_sandbox_client(container->sandbox, err);
	int64_t started_ns;
	int32_t pid;

	if (client == NULL || claim_start(container, err) < 0)
		return -1;
	if (open_log(container, err) < 0 || zl_zone_container_start(client, container->id, &pid,
	                                            &started_ns, cancel, err) < 0) {
		if (zl_container_set_exited(container, EXIT_NOT_STARTED, false, 0, "StartError",
		            err != NULL ? err->message : ""))
			zl_container_finish(container);
		return -1;
	}
	zl_killpoint("start.zone");
	note_started(container, pid, started_ns);
	if (zl_container_save(container, err) < 0)
		return -1;
	zl_killpoint("start.saved");
	return 0;
}

// Enters the gates of a container's operation: its sandbox's with others, its own alone.
static int enter(struct zl_container *container, const struct zl_cancel *cancel,
        struct zl_gate **in_sandbox, struct zl_gate **inside, struct zl_error *err)
{
	if (zl_gate_enter(&container->sandbox->gate, false, cancel, err) < 0)
		return -1;
	*in_sandbox = &container->sandbox->gate;
	if (zl_gate_enter(&container->gate, true, cancel, err) < 0)
		return -1;
	*inside = &container->gate;
	return 0;
}

ZL_RPC_HANDLER(zl_handle_start_container, struct zl_services, StartContainerRequest,
        StartContainerResponse)
{
	zl_auto(container) struct zl_container *container =
	        zl_container_find(service, request->container_id, err);
	zl_auto(gate) struct zl_gate *in_sandbox = NULL;
	zl_auto(gate) struct zl_gate *inside = NULL;

	if (container == NULL)
		return -1;
	ZL_LOG_SCOPE("pod", zl_sandbox_pod(container->sandbox));
	ZL_LOG_SCOPE("container", container->id);
	if (enter(container, &call->cancel, &in_sandbox, &inside, err) < 0)
		return -1;
	if (start(container, &call->cancel, err) < 0) {
		zl_error_wrap(err, "pod %s, container %s", zl_sandbox_pod(container->sandbox),
		        container->config->metadata->name);
		zl_log_error("StartContainer: %s", err->message);
		return -1;
	}
	zl_log_info("container started");
	zl_publish_container(container, RUNTIME__V1__CONTAINER_EVENT_TYPE__CONTAINER_STARTED_EVENT);
	return 0;
}

static int send_signal(struct zl_container *container, int number, const struct zl_cancel *cancel,
        struct zl_error *err)
{
	struct zl_zone_client *client = zl_sandbox_client(container->sandbox, err);
	struct zl_error why = ZL_ERROR_INIT;

	if (client == NULL)
		return -1;
	if (zl_zone_container_signal(client, container->id, number, false, cancel, &why) == 0 ||
	        why.code == ZL_NOT_FOUND)
		return 0;
	if (err != NULL)
		*err = why;
	return -1;
}

// True when the container has ended within this time.
static bool ended_within(
        struct zl_container *container, int64_t timeout_ns, const struct zl_cancel *cancel)
{
	struct zl_cancel grace = {
	        .fd = -1, .deadline_ns = zl_clock_monotonic() + timeout_ns, .parent = cancel};

	return zl_cancel_poll(&grace, container->exited_fd, POLLIN, -1, NULL) > 0;
}

static int stop(struct zl_container *container, int64_t grace_seconds,
        const struct zl_cancel *cancel, struct zl_error *err)
{
	if (zl_container_phase(container) != ZL_CONTAINER_RUNNING)
		return 0;
	if (grace_seconds > 0) {
		if (grace_seconds > INT32_MAX)
			grace_seconds = INT32_MAX;
		if (send_signal(container, container->stop_signal, cancel, err) < 0)
			return -1;
		zl_killpoint("stop.signal");
		if (ended_within(container, grace_seconds * ZL_NS_PER_SECOND, cancel))
			return 0;
		if (zl_cancel_check(cancel, err) < 0)
			return -1;
		zl_log_info("the container ignored signal %d for %" PRId64 " s and is killed",
		        container->stop_signal, grace_seconds);
	}
	if (send_signal(container, SIGKILL, cancel, err) < 0)
		return -1;
	zl_killpoint("stop.kill");
	return zl_cancel_poll(cancel, container->exited_fd, POLLIN, -1, err) > 0 ? 0 : -1;
}

ZL_RPC_HANDLER(
        zl_handle_stop_container, struct zl_services, StopContainerRequest, StopContainerResponse)
{
	zl_auto(container) struct zl_container *container =
	        zl_container_find(service, request->container_id, NULL);
	zl_auto(gate) struct zl_gate *in_sandbox = NULL;
	zl_auto(gate) struct zl_gate *inside = NULL;

	// One that is not there is stopped (CRI: the call is idempotent).
	if (container == NULL)
		return 0;
	ZL_LOG_SCOPE("pod", zl_sandbox_pod(container->sandbox));
	ZL_LOG_SCOPE("container", container->id);
	if (enter(container, &call->cancel, &in_sandbox, &inside, err) < 0)
		return -1;
	if (stop(container, request->timeout, &call->cancel, err) < 0)
		return zl_error_wrap(err, "stop container %s of pod %s",
		        container->config->metadata->name, zl_sandbox_pod(container->sandbox));
	return 0;
}

ZL_RPC_HANDLER(zl_handle_reopen_container_log, struct zl_services, ReopenContainerLogRequest,
        ReopenContainerLogResponse)
{
	zl_auto(container) struct zl_container *container =
	        zl_container_find(service, request->container_id, err);

	if (container == NULL)
		return -1;
	if (zl_container_phase(container) != ZL_CONTAINER_RUNNING || container->log == NULL)
		return zl_error_set(err, ZL_FAILED_PRECONDITION,
		        "reopen the log of container %s: it is not running",
		        container->config->metadata->name);
	return zl_container_log_reopen(container->log, err);
}
