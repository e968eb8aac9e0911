// SPDX-License-Identifier: Apache-2.0
#include "cri-server/container/exec.h"

#include <poll.h>
#include <string.h>
#include <sys/eventfd.h>

#include "base/buffer.h"
#include "base/clock.h"
#include "base/json.h"
#include "base/log.h"
#include "cri-server/container/container.h"
#include "cri-server/oci/spec.h"
#include "cri-server/sandbox/services.h"

enum { EXEC_ID_SIZE = 33 };

struct zl_exec {
	char id[EXEC_ID_SIZE];
	UT_hash_handle hh; // sandbox->execs
	int done_fd;       // eventfd, readable once it is over

	// guarded by sandbox->lock
	struct zl_buffer output[2]; // stdout, stderr
	bool eof[2];
	bool exited;
	bool failed;
	int32_t exit_code;
	struct zl_error why; // with `failed`
};

static void wake(struct zl_exec *exec)
{
	uint64_t one = 1;

	(void)!write(exec->done_fd, &one, sizeof(one));
}

static void wake_if_over(struct zl_exec *exec)
{
	if (exec->exited && exec->eof[0] && exec->eof[1])
		wake(exec);
}

// Keeps up to the limit and drops the rest, so that a chatty command neither blocks nor grows.
static void keep(struct zl_buffer *buffer, const void *bytes, size_t length)
{
	size_t room = ZL_EXEC_OUTPUT_MAX - buffer->length;

	(void)zl_buffer_append(buffer, bytes, length < room ? length : room, NULL);
}

size_t zl_exec_output(struct zl_sandbox *sandbox, const char *exec_id, enum zl_zone_stream stream,
        const void *bytes, size_t length, bool eof)
{
	size_t index = stream == ZL_ZONE_STDOUT ? 0 : 1;
	struct zl_exec *exec;

	pthread_mutex_lock(&sandbox->lock);
	HASH_FIND_STR(sandbox->execs, exec_id, exec);
	if (exec != NULL) {
		keep(&exec->output[index], bytes, length);
		exec->eof[index] = exec->eof[index] || eof;
		wake_if_over(exec);
	}
	pthread_mutex_unlock(&sandbox->lock);
	return length;
}

void zl_exec_exited(struct zl_sandbox *sandbox, const char *exec_id, int32_t exit_code)
{
	struct zl_exec *exec;

	pthread_mutex_lock(&sandbox->lock);
	HASH_FIND_STR(sandbox->execs, exec_id, exec);
	if (exec != NULL) {
		exec->exited = true;
		exec->exit_code = exit_code;
		wake_if_over(exec);
	}
	pthread_mutex_unlock(&sandbox->lock);
}

void zl_exec_fail_all(struct zl_sandbox *sandbox, const struct zl_error *why)
{
	pthread_mutex_lock(&sandbox->lock);
	for (struct zl_exec *exec = sandbox->execs; exec != NULL; exec = exec->hh.next) {
		if (!exec->failed) {
			exec->failed = true;
			exec->why = *why;
		}
		wake(exec);
	}
	pthread_mutex_unlock(&sandbox->lock);
}

static void exec_free(struct zl_exec *exec)
{
	if (exec == NULL)
		return;
	zl_close(exec->done_fd);
	zl_buffer_release(&exec->output[0]);
	zl_buffer_release(&exec->output[1]);
	free(exec);
}
ZL_AUTO_DEFINE(exec, struct zl_exec *, exec_free);

static struct zl_exec *exec_new(struct zl_error *err)
{
	struct zl_exec *exec = calloc(1, sizeof(*exec));
	char id[ZL_ID_SIZE];

	if (exec == NULL) {
		zl_error_nomem(err);
		return NULL;
	}
	exec->done_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	if (exec->done_fd < 0 || zl_id_make(id, err) < 0) {
		zl_error_errno(err, errno, "make an exec");
		exec_free(exec);
		return NULL;
	}
	memcpy(exec->id, id, EXEC_ID_SIZE - 1);
	return exec;
}

static void add(struct zl_sandbox *sandbox, struct zl_exec *exec)
{
	pthread_mutex_lock(&sandbox->lock);
	HASH_ADD_STR(sandbox->execs, id, exec);
	pthread_mutex_unlock(&sandbox->lock);
}

static void drop(struct zl_sandbox *sandbox, struct zl_exec *exec)
{
	pthread_mutex_lock(&sandbox->lock);
	HASH_DEL(sandbox->execs, exec);
	pthread_mutex_unlock(&sandbox->lock);
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

static int start(struct zl_container *container, struct zl_exec *exec,
        const Runtime__V1__ExecSyncRequest *request, const struct zl_cancel *cancel,
        struct zl_error *err)
{
	struct zl_zone_client *client = zl_sandbox_client(container->sandbox, err);
	zl_auto(free) char *user = user_json(container);
	zl_auto(free) char *process = NULL;
	struct zl_zone_exec what = {.container_id = container->id, .exec_id = exec->id};

	if (client == NULL)
		return -1;
	process = zl_oci_exec_process(
	        container->spec, request->cmd, request->n_cmd, false, user, err);
	if (process == NULL)
		return -1;
	what.oci_process = process;
	return zl_zone_exec_start(client, &what, cancel, err);
}

static int wait_for_end(struct zl_container *container, struct zl_exec *exec,
        const struct zl_cancel *cancel, struct zl_error *err)
{
	if (zl_cancel_poll(cancel, exec->done_fd, POLLIN, -1, err) < 0) {
		struct zl_zone_client *client = zl_sandbox_client(container->sandbox, NULL);

		if (client != NULL)
			(void)zl_zone_exec_kill(client, container->id, exec->id, NULL, NULL);
		return -1;
	}
	if (!exec->failed)
		return 0;
	if (err != NULL)
		*err = exec->why;
	return -1;
}

static void fill_reply(
        struct zl_call *call, struct zl_exec *exec, Runtime__V1__ExecSyncResponse *response)
{
	ProtobufCBinaryData *to[] = {&response->stdout, &response->stderr};

	for (size_t i = 0; i < ZL_ARRAY_SIZE(to); i++) {
		to[i]->len = exec->output[i].length;
		to[i]->data =
		        zl_arena_memdup(&call->arena, exec->output[i].data, exec->output[i].length);
	}
	response->exit_code = exec->exit_code;
}

static int check(struct zl_container *container, const Runtime__V1__ExecSyncRequest *request,
        struct zl_error *err)
{
	if (request->n_cmd == 0)
		return zl_error_set(err, ZL_INVALID_ARGUMENT, "exec in %s: no command",
		        container->config->metadata->name);
	if (zl_container_phase(container) != ZL_CONTAINER_RUNNING)
		return zl_error_set(err, ZL_FAILED_PRECONDITION,
		        "exec in %s: the container is not running",
		        container->config->metadata->name);
	return zl_cancel_check(&container->sandbox->stopping, err);
}

ZL_RPC_HANDLER(zl_handle_exec_sync, struct zl_services, ExecSyncRequest, ExecSyncResponse)
{
	zl_auto(container) struct zl_container *container =
	        zl_container_find(service, request->container_id, err);
	zl_auto(gate) struct zl_gate *inside = NULL;
	zl_auto(exec) struct zl_exec *exec = NULL;
	struct zl_cancel limit = {.fd = -1, .deadline_ns = INT64_MAX, .parent = &call->cancel};
	int result;

	if (container == NULL)
		return -1;
	if (request->timeout > 0)
		limit.deadline_ns = zl_clock_monotonic() + request->timeout * ZL_NS_PER_SECOND;
	if (zl_gate_enter(&container->sandbox->gate, false, &call->cancel, err) < 0)
		return -1;
	inside = &container->sandbox->gate;
	if (check(container, request, err) < 0)
		return -1;
	exec = exec_new(err);
	if (exec == NULL)
		return -1;
	add(container->sandbox, exec);
	result = start(container, exec, request, &limit, err);
	if (result == 0)
		result = wait_for_end(container, exec, &limit, err);
	drop(container->sandbox, exec);
	if (result < 0)
		return zl_error_wrap(err, "exec of %s in container %s", request->cmd[0],
		        container->config->metadata->name);
	fill_reply(call, exec, response);
	return 0;
}
