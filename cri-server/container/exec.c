// SPDX-License-Identifier: Apache-2.0
#include "cri-server/container/exec.h"

#include <poll.h>
#include <string.h>
#include <sys/eventfd.h>

#include "base/buffer.h"
#include "base/clock.h"
#include "base/failpoint.h"
#include "base/json.h"
#include "base/log.h"
#include "cri-server/container/capture.h"
#include "cri-server/container/container.h"
#include "cri-server/oci/spec.h"
#include "cri-server/sandbox/services.h"
#include "zone/protocol/enclosing.h"

// An ExecSync that waits.
struct exec {
	struct zl_peer peer;
	int done_fd; // eventfd, readable once it is over

	// guarded by sandbox->lock
	struct zl_capture capture;
	bool eof[ZL_CAPTURE_OUTPUTS];
	bool exited;
	bool failed;
	int32_t exit_code;
	struct zl_error why; // with `failed`
};

static struct exec *exec_of(struct zl_peer *peer)
{
	return ZL_ENCLOSING(peer, struct exec, peer);
}

static void wake(struct exec *exec)
{
	uint64_t one = 1;

	(void)!write(exec->done_fd, &one, sizeof(one));
}

static void wake_if_over(struct exec *exec)
{
	if (exec->exited && exec->eof[0] && exec->eof[1])
		wake(exec);
}

// Keeps up to the limit and drops the rest, so that a chatty command neither blocks nor grows.
static size_t output(struct zl_peer *peer, enum zl_zone_stream stream, const void *bytes,
        size_t length, bool eof)
{
	struct exec *exec = exec_of(peer);
	size_t index = stream == ZL_ZONE_STDOUT ? 0 : 1;

	zl_capture_add(&exec->capture, index, bytes, length);
	exec->eof[index] = exec->eof[index] || eof;
	wake_if_over(exec);
	return length;
}

static void exited(struct zl_peer *peer, int32_t exit_code, const char *message)
{
	struct exec *exec = exec_of(peer);

	(void)message;
	exec->exited = true;
	exec->exit_code = exit_code;
	wake_if_over(exec);
}

static void failed(struct zl_peer *peer, const struct zl_error *why)
{
	struct exec *exec = exec_of(peer);

	if (!exec->failed) {
		exec->failed = true;
		exec->why = *why;
	}
	wake(exec);
}

static const struct zl_peer_ops peer_ops = {
        .output = output,
        .exited = exited,
        .failed = failed,
};

static void exec_free(struct exec *exec)
{
	if (exec == NULL)
		return;
	zl_close(exec->done_fd);
	zl_capture_release(&exec->capture);
	free(exec);
}
ZL_AUTO_DEFINE(exec, struct exec *, exec_free);

static struct exec *exec_new(struct zl_container *container, struct zl_error *err)
{
	struct exec *exec = calloc(1, sizeof(*exec));

	if (exec == NULL) {
		zl_error_nomem(err);
		return NULL;
	}
	exec->peer.ops = &peer_ops;
	exec->peer.container_id = container->id;
	exec->capture.pool = &container->sandbox->services->captures;
	exec->done_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	if (exec->done_fd < 0)
		zl_error_errno(err, errno, "make an eventfd");
	if (exec->done_fd < 0 || zl_peer_make_id(&exec->peer, err) < 0) {
		exec_free(exec);
		return NULL;
	}
	return exec;
}

// What the supervisor resolved as the container's user, as process.user of the OCI spec.
static char *user_json(struct zl_container *container)
{
	zl_auto(json) json_t *groups = json_array();
	zl_auto(json) json_t *user = NULL;

	if (!container->has_user)
		return NULL;
	for (size_t i = 0; i < container->user.group_count; i++)
		json_array_append_new(groups, json_integer(container->user.groups[i]));
	user = json_pack("{s:I, s:I, s:O}", "uid", (json_int_t)container->user.uid, "gid",
	        (json_int_t)container->user.gid, "additionalGids", groups);
	return json_dumps(user, JSON_COMPACT);
}

int zl_exec_start(struct zl_container *container, const struct zl_peer *peer,
        const struct zl_exec_command *command, const struct zl_cancel *cancel, struct zl_error *err)
{
	struct zl_zone_client *client = zl_sandbox_client(container->sandbox, err);
	zl_auto(free) char *user = user_json(container);
	zl_auto(free) char *process = NULL;
	struct zl_zone_exec what = {
	        .container_id = container->id,
	        .exec_id = peer->id,
	        .stdin_open = command->stdin_open,
	        .terminal = command->tty,
	};

	if (client == NULL)
		return -1;
	process = zl_oci_exec_process(
	        container->spec, command->argv, command->argc, command->tty, user, err);
	if (process == NULL)
		return -1;
	what.oci_process = process;
	if (zl_zone_exec_start(client, &what, cancel, err) < 0)
		return -1;
	zl_killpoint("exec.started");
	return 0;
}

static int wait_for_end(struct zl_container *container, struct exec *exec,
        const struct zl_cancel *cancel, struct zl_error *err)
{
	if (zl_cancel_poll(cancel, exec->done_fd, POLLIN, -1, err) < 0) {
		struct zl_zone_client *client = zl_sandbox_client(container->sandbox, NULL);

		if (client != NULL)
			(void)zl_zone_exec_kill(client, container->id, exec->peer.id, NULL, NULL);
		return -1;
	}
	if (!exec->failed)
		return 0;
	if (err != NULL)
		*err = exec->why;
	return -1;
}

// One output after the other, so that only one is there twice.
static void fill_reply(
        struct zl_call *call, struct exec *exec, Runtime__V1__ExecSyncResponse *response)
{
	ProtobufCBinaryData *to[] = {&response->stdout, &response->stderr};

	for (size_t i = 0; i < ZL_ARRAY_SIZE(to); i++) {
		struct zl_buffer *from = &exec->capture.output[i];

		to[i]->len = from->length;
		to[i]->data = zl_arena_memdup(&call->arena, from->data, from->length);
		zl_buffer_release(from);
	}
	response->exit_code = exec->exit_code;
}

int zl_exec_check(struct zl_container *container, size_t argc, struct zl_error *err)
{
	if (argc == 0)
		return zl_error_set(err, ZL_INVALID_ARGUMENT, "exec in %s: no command",
		        container->config->metadata->name);
	if (zl_container_phase(container) != ZL_CONTAINER_RUNNING)
		return zl_error_set(err, ZL_FAILED_PRECONDITION,
		        "exec in %s: the container is not running",
		        container->config->metadata->name);
	return 0;
}

static int run(struct zl_container *container, struct exec *exec,
        const struct zl_exec_command *command, const struct zl_cancel *cancel, struct zl_error *err)
{
	int result;

	if (zl_peer_add(container->sandbox, &exec->peer, err) < 0)
		return -1;
	result = zl_exec_start(container, &exec->peer, command, cancel, err);
	if (result == 0)
		result = wait_for_end(container, exec, cancel, err);
	zl_peer_remove(container->sandbox, &exec->peer);
	return result;
}

ZL_RPC_HANDLER(zl_handle_exec_sync, struct zl_services, ExecSyncRequest, ExecSyncResponse)
{
	zl_auto(container) struct zl_container *container =
	        zl_container_find(service, request->container_id, err);
	zl_auto(gate) struct zl_gate *inside = NULL;
	zl_auto(exec) struct exec *exec = NULL;
	struct zl_cancel limit = {.fd = -1, .deadline_ns = INT64_MAX, .parent = &call->cancel};
	struct zl_exec_command command = {.argv = request->cmd, .argc = request->n_cmd};

	if (container == NULL)
		return -1;
	if (request->timeout > 0)
		limit.deadline_ns = zl_clock_monotonic() + request->timeout * ZL_NS_PER_SECOND;
	if (zl_gate_enter(&container->sandbox->gate, false, &call->cancel, err) < 0)
		return -1;
	inside = &container->sandbox->gate;
	if (zl_exec_check(container, request->n_cmd, err) < 0)
		return -1;
	exec = exec_new(container, err);
	if (exec == NULL)
		return -1;
	if (run(container, exec, &command, &limit, err) < 0)
		return zl_error_wrap(err, "exec of %s in container %s", request->cmd[0],
		        container->config->metadata->name);
	fill_reply(call, exec, response);
	return 0;
}
