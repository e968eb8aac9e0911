// SPDX-License-Identifier: Apache-2.0
#include <errno.h>
#include <signal.h>
#include <stddef.h>
#include <string.h>
#include <sys/stat.h>

#include "base/file.h"
#include "base/log.h"
#include "zone/protocol/enclosing.h"
#include "zone/supervisor/command.h"
#include "zone/supervisor/connection.h"
#include "zone/supervisor/container.h"

static struct zl_exec *exec_find(struct zl_container *container, const char *id)
{
	for (struct zl_exec *e = container->execs; e != NULL; e = e->next) {
		if (strcmp(e->process.exec_id, id) == 0)
			return e;
	}
	return NULL;
}

static void exec_free(struct zl_exec *exec)
{
	struct zl_error ignored = ZL_ERROR_INIT;

	for (struct zl_exec **at = &exec->container->execs; *at != NULL; at = &(*at)->next) {
		if (*at == exec) {
			*at = exec->next;
			break;
		}
	}
	if (zl_tree_remove(exec->directory, &ignored) < 0)
		zl_log_warning("%s", ignored.message);
	zl_process_release(&exec->process);
	free(exec);
}

// crun makes it the leader of a session, so its group is what it started.
static void exec_kill(struct zl_exec *exec)
{
	exec->kill = true;
	if (!exec->running || exec->process.child.pid <= 0)
		return;
	(void)kill(-exec->process.child.pid, SIGKILL);
	(void)kill(exec->process.child.pid, SIGKILL);
}

static bool exec_over(const struct zl_exec *exec)
{
	if (zl_runtime_busy(&exec->job))
		return false;
	if (!exec->running)
		return true;
	return exec->process.exited &&
	       (exec->dropped || zl_process_outputs_complete(&exec->process));
}

void zl_exec_settle(struct zl_container *container)
{
	struct zl_exec *exec = container->execs;
	bool had = exec != NULL;

	while (exec != NULL) {
		struct zl_exec *next = exec->next;

		if (exec_over(exec))
			exec_free(exec);
		exec = next;
	}
	if (had && container->execs == NULL && container->deleting)
		zl_container_delete(container);
}

void zl_exec_drop_all(struct zl_container *container)
{
	struct zl_exec *next;

	for (struct zl_exec *exec = container->execs; exec != NULL; exec = next) {
		next = exec->next;
		exec->dropped = true;
		exec_kill(exec);
		if (exec_over(exec))
			exec_free(exec);
	}
}

// ---- start

static void reply_opened(struct zl_exec *exec)
{
	Zl__Zone__Opened opened;
	Zl__Zone__Stream streams[3];
	Zl__Zone__FromZone message = ZL__ZONE__FROM_ZONE__INIT;

	zl_process_describe(&exec->process, &opened, streams);
	message.body_case = ZL__ZONE__FROM_ZONE__BODY_OPENED;
	message.opened = &opened;
	zl_link_reply(&exec->process.supervisor->link, exec->reply, &message);
}

// The root as the container's own processes see it, volumes included.
static void diagnose(const struct zl_exec *exec, struct zl_error *err)
{
	char process[ZL_RUNTIME_PATH + 16];
	char root[64];

	if (err->code != ZL_INTERNAL || exec->container->process.child.pid <= 0)
		return;
	(void)snprintf(process, sizeof(process), "%s/process.json", exec->directory);
	(void)snprintf(root, sizeof(root), "/proc/%d/root", exec->container->process.child.pid);
	err->code = zl_command_diagnose_file(process, root);
}

static void exec_failed(struct zl_exec *exec, const struct zl_error *failure)
{
	struct zl_error err = *failure;

	diagnose(exec, &err);
	zl_error_wrap(&err, "exec in container %.12s", exec->process.container_id);
	zl_link_reply_failure(&exec->process.supervisor->link, exec->reply, &err);
	exec_free(exec);
}

static void exec_ended(struct zl_process_state *p)
{
	struct zl_exec *exec = ZL_ENCLOSING(p, struct zl_exec, process);

	if (!exec->dropped)
		zl_send_exited(p, false);
	// Freed by zl_exec_settle, when its output has gone too.
}

static void exec_started(struct zl_exec *exec, pid_t pid)
{
	struct zl_error err = ZL_ERROR_INIT;

	exec->running = true;
	exec->process.child.pid = pid;
	reply_opened(exec);
	if (exec->kill)
		exec_kill(exec);
	if (zl_process_started(&exec->process, pid, &err) < 0)
		zl_log_error("exec %s: %s", exec->process.exec_id, err.message);
}

static void exec_done(struct zl_runtime_job *job, const struct zl_error *failure)
{
	struct zl_exec *exec = ZL_ENCLOSING(job, struct zl_exec, job);
	struct zl_container *container = exec->container;
	struct zl_error err = ZL_ERROR_INIT;
	pid_t pid = 0;

	if (failure == NULL && zl_runtime_pid(job, &pid, &err) < 0)
		failure = &err;
	if (failure == NULL) {
		exec_started(exec, pid);
		return;
	}
	exec_failed(exec, failure);
	if (container->deleting && container->execs == NULL)
		zl_container_delete(container);
}

// Exec ids are file names here.
static bool exec_id_valid(const char *id)
{
	size_t length =
	        strspn(id, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_");

	return length > 0 && length < ZL_EXEC_ID_SIZE && id[length] == '\0';
}

static int check_exec(const struct zl_container *container, const Zl__Zone__ExecStart *request,
        struct zl_error *err)
{
	if (container == NULL)
		return zl_error_set(
		        err, ZL_NOT_FOUND, "container %.64s is not there", request->container_id);
	if (container->state != ZL__ZONE__STATE__STARTED || container->deleting)
		return zl_error_set(err, ZL_FAILED_PRECONDITION, "container %.12s is not running",
		        request->container_id);
	if (!exec_id_valid(request->exec_id))
		return zl_error_set(
		        err, ZL_INVALID_ARGUMENT, "\"%.80s\" is no exec id", request->exec_id);
	return 0;
}

static int prepare(struct zl_exec *exec, const Zl__Zone__ExecStart *request, struct zl_error *err)
{
	zl_auto(buffer) struct zl_buffer process = ZL_BUFFER_LIMIT(ZL_SPEC_MAX);
	char path[ZL_RUNTIME_PATH + 16];

	(void)snprintf(path, sizeof(path), "%s/process.json", exec->directory);
	if (zl_dir_make(exec->directory, 0700, err) < 0 ||
	        zl_spec_complete_process(
	                request->oci_process, request->terminal != 0, &process, err) < 0 ||
	        zl_file_write_atomic(path, process.data, process.length, 0600, err) < 0)
		return -1;
	return zl_process_open_stdio(&exec->process, exec->directory, err);
}

void zl_exec_start_request(
        struct zl_supervisor *s, struct zl_reply reply, const Zl__Zone__ToZone *message)
{
	const Zl__Zone__ExecStart *request = message->exec_start;
	struct zl_container *container = zl_container_find(s, request->container_id);
	struct zl_error err = ZL_ERROR_INIT;
	struct zl_exec *exec = NULL;

	if (check_exec(container, request, &err) == 0) {
		if (exec_find(container, request->exec_id) != NULL)
			zl_error_set(&err, ZL_ALREADY_EXISTS, "exec %s exists already",
			        request->exec_id);
		else if ((exec = calloc(1, sizeof(*exec))) == NULL)
			zl_error_nomem(&err);
	}
	if (exec == NULL) {
		zl_link_reply_failure(&s->link, reply, &err);
		return;
	}
	zl_process_init(&exec->process, s, request->container_id, request->exec_id,
	        request->terminal != 0, request->stdin_open != 0);
	exec->process.ended = exec_ended;
	exec->container = container;
	exec->reply = reply;
	exec->job.done = exec_done;
	exec->job.cgroups_path = s->cgroup1 ? container->cgroups_path : NULL;
	(void)snprintf(exec->directory, sizeof(exec->directory), "%.800s/e/%s",
	        container->directory, request->exec_id);
	exec->next = container->execs;
	container->execs = exec;
	if (prepare(exec, request, &err) < 0 ||
	        zl_runtime_exec(&exec->job, &exec->process, exec->directory, &err) < 0)
		exec_failed(exec, &err);
}

// ---- kill, resize

void zl_exec_kill_request(
        struct zl_supervisor *s, struct zl_reply reply, const Zl__Zone__ToZone *message)
{
	const Zl__Zone__ExecKill *request = message->exec_kill;
	struct zl_container *container = zl_container_find(s, request->container_id);
	struct zl_exec *exec = container != NULL ? exec_find(container, request->exec_id) : NULL;

	if (exec != NULL)
		exec_kill(exec);
	zl_link_reply_done(&s->link, reply);
}

void zl_hang_up_request(
        struct zl_supervisor *s, struct zl_reply reply, const Zl__Zone__ToZone *message)
{
	const Zl__Zone__HangUp *request = message->hang_up;
	struct zl_container *container;
	struct zl_exec *exec;

	if (request->container_id[0] == '\0') {
		zl_connection_hang_up(s, request->exec_id);
	} else {
		container = zl_container_find(s, request->container_id);
		exec = container != NULL ? exec_find(container, request->exec_id) : NULL;
		if (exec != NULL) {
			exec->dropped = true;
			zl_process_hang_up(&exec->process);
		}
	}
	zl_link_reply_done(&s->link, reply);
}

void zl_resize_request(
        struct zl_supervisor *s, struct zl_reply reply, const Zl__Zone__ToZone *message)
{
	const Zl__Zone__Resize *request = message->resize;
	struct zl_container *container = zl_container_find(s, request->container_id);
	struct zl_process_state *p = NULL;
	struct zl_exec *exec;
	struct zl_error err = ZL_ERROR_INIT;

	if (container != NULL && request->exec_id[0] == '\0') {
		p = &container->process;
	} else if (container != NULL) {
		exec = exec_find(container, request->exec_id);
		p = exec != NULL ? &exec->process : NULL;
	}
	if (p == NULL)
		zl_error_set(&err, ZL_NOT_FOUND, "the process to resize is not there");
	else
		(void)zl_process_resize(p, request->columns, request->rows, &err);
	if (err.code != ZL_OK)
		zl_link_reply_failure(&s->link, reply, &err);
	else
		zl_link_reply_done(&s->link, reply);
}
