// SPDX-License-Identifier: Apache-2.0
#include "zone/supervisor/container.h"

#include <errno.h>
#include <signal.h>
#include <string.h>

#include "base/clock.h"
#include "base/file.h"
#include "base/log.h"
#include "zone/protocol/enclosing.h"
#include "zone/supervisor/cgroup.h"
#include "zone/supervisor/cgroup1.h"
#include "zone/supervisor/command.h"
#include "zone/supervisor/devnode.h"
#include "zone/supervisor/rootfs.h"
#include "zone/supervisor/volume.h"

enum { EXIT_NEVER_RAN = 128 };

static struct zl_container *container_of_job(struct zl_runtime_job *job)
{
	return ZL_ENCLOSING(job, struct zl_container, job);
}

struct zl_container *zl_container_find(struct zl_supervisor *s, const char *id)
{
	for (struct zl_container *c = s->containers; c != NULL; c = c->next) {
		if (strcmp(c->process.container_id, id) == 0)
			return c;
	}
	return NULL;
}

void zl_container_directory(
        const struct zl_supervisor *s, const char *id, char out[static ZL_RUNTIME_PATH])
{
	(void)snprintf(out, ZL_RUNTIME_PATH, "%s/c/%s", s->state_dir, id);
}

void zl_container_free(struct zl_container *container)
{
	struct zl_supervisor *s = container->process.supervisor;

	for (struct zl_container **at = &s->containers; *at != NULL; at = &(*at)->next) {
		if (*at == container) {
			*at = container->next;
			s->container_count--;
			break;
		}
	}
	if (container->device.waiting)
		zl_device_wait_cancel(&s->devices, &container->device);
	if (container->creating_message != NULL)
		zl_zone_message_free(container->creating_message);
	zl_late_signal_cancel(&s->reactor, &container->late_signal);
	zl_process_release(&container->process);
	free(container);
}

const char *zl_container_cgroup1(const struct zl_supervisor *s, char out[static ZL_RUNTIME_PATH])
{
	(void)snprintf(out, ZL_RUNTIME_PATH, "%s/cgroup1", s->state_dir);
	return out;
}

int zl_container_unmake(struct zl_container *container, struct zl_error *err)
{
	struct zl_supervisor *s = container->process.supervisor;
	char base[ZL_RUNTIME_PATH];

	if (zl_volumes_release(container, err) < 0 ||
	        (container->mounted && zl_rootfs_unmount(container->directory, err) < 0))
		return -1;
	container->mounted = false;
	if (s->cgroup1 && container->cgroups_path[0] != '\0')
		zl_cgroup1_remove(zl_container_cgroup1(s, base), container->cgroups_path);
	if (zl_tree_remove(container->directory, err) < 0)
		return -1;
	return container->layer[0] != '\0' ? zl_trash(s, container->layer, err) : 0;
}

// ---- start

static void reply_started(struct zl_container *container)
{
	Zl__Zone__Started started = ZL__ZONE__STARTED__INIT;
	Zl__Zone__FromZone message = ZL__ZONE__FROM_ZONE__INIT;

	started.pid = container->process.child.pid;
	started.started_at_ns = container->started_ns;
	message.body_case = ZL__ZONE__FROM_ZONE__BODY_STARTED;
	message.started = &started;
	zl_link_reply(&container->process.supervisor->link, container->reply, &message);
}

static void start_failed(struct zl_container *container, const struct zl_error *failure)
{
	struct zl_supervisor *s = container->process.supervisor;
	struct zl_error err = *failure;
	char config[ZL_RUNTIME_PATH + 16];
	char root[ZL_RUNTIME_PATH + 16];

	if (err.code == ZL_INTERNAL) {
		(void)snprintf(config, sizeof(config), "%s/config.json", container->directory);
		(void)snprintf(root, sizeof(root), "%s/root", container->directory);
		err.code = zl_command_diagnose_file(config, root);
	}
	zl_error_wrap(&err, "start container %.12s", container->process.container_id);
	container->state = ZL__ZONE__STATE__EXITED;
	container->process.exited = true;
	container->process.exit_code = EXIT_NEVER_RAN;
	container->process.finished_ns = zl_clock_real();
	zl_process_failed(&container->process);
	zl_link_reply_failure(&s->link, container->reply, &err);
}

static void run_done(struct zl_runtime_job *job, const struct zl_error *failure)
{
	struct zl_container *container = container_of_job(job);
	struct zl_error err = ZL_ERROR_INIT;
	pid_t pid = 0;

	container->starting = false;
	if (failure == NULL) {
		container->known_to_crun = true;
		if (zl_runtime_pid(job, &pid, &err) < 0)
			failure = &err;
	}
	if (failure != NULL) {
		start_failed(container, failure);
	} else {
		container->state = ZL__ZONE__STATE__STARTED;
		container->started_ns = zl_clock_real();
		container->process.child.pid = pid;
		// The reply goes before the exit, should that have happened already.
		reply_started(container);
		if (zl_process_started(&container->process, pid, &err) < 0)
			zl_log_error(
			        "container %s: %s", container->process.container_id, err.message);
	}
	if (container->deleting)
		zl_container_delete(container);
}

static int check_start(const struct zl_container *container, const char *id, struct zl_error *err)
{
	if (container == NULL)
		return zl_error_set(err, ZL_NOT_FOUND, "container %.64s is not there", id);
	if (container->creating != NULL || container->starting || container->deleting ||
	        container->state != ZL__ZONE__STATE__CREATED)
		return zl_error_set(err, ZL_FAILED_PRECONDITION,
		        "container %.12s was started before, or is being made or deleted", id);
	return 0;
}

void zl_container_start_request(
        struct zl_supervisor *s, struct zl_reply reply, const Zl__Zone__ToZone *message)
{
	const char *id = message->container_start->id;
	struct zl_container *container = zl_container_find(s, id);
	struct zl_error err = ZL_ERROR_INIT;

	if (check_start(container, id, &err) < 0) {
		zl_link_reply_failure(&s->link, reply, &err);
		return;
	}
	container->reply = reply;
	container->starting = true;
	container->job.done = run_done;
	container->job.cgroups_path = s->cgroup1 ? container->cgroups_path : NULL;
	if (zl_runtime_run(&container->job, &container->process, container->directory, &err) < 0) {
		container->starting = false;
		start_failed(container, &err);
	}
}

// ---- exit

void zl_send_exited(struct zl_process_state *p, bool oom_killed)
{
	Zl__Zone__Exited exited = ZL__ZONE__EXITED__INIT;
	Zl__Zone__FromZone message = ZL__ZONE__FROM_ZONE__INIT;

	exited.container_id = p->container_id;
	exited.exec_id = p->exec_id;
	exited.exit_code = p->exit_code;
	exited.oom_killed = oom_killed;
	exited.finished_at_ns = p->finished_ns;
	message.body_case = ZL__ZONE__FROM_ZONE__BODY_EXITED;
	message.exited = &exited;
	zl_link_event(&p->supervisor->link, &message);
}

static bool was_oom_killed(const struct zl_container *container)
{
	char base[ZL_RUNTIME_PATH];

	if (container->process.supervisor->cgroup1)
		return zl_cgroup1_oom_killed(
		        zl_container_cgroup1(container->process.supervisor, base),
		        container->cgroups_path);
	return zl_cgroup_oom_killed(container->cgroups_path);
}

void zl_container_ended(struct zl_process_state *p)
{
	struct zl_container *container = ZL_ENCLOSING(p, struct zl_container, process);

	zl_late_signal_cancel(&p->supervisor->reactor, &container->late_signal);
	container->state = ZL__ZONE__STATE__EXITED;
	container->oom_killed = was_oom_killed(container);
	// In a pid namespace of its own the kernel has done that.
	(void)zl_cgroup_kill(container->cgroups_path);
	zl_process_read_rest(p);
	container->exit_due = true;
	if (container->deleting)
		zl_container_delete(container);
}

static void tell_exit(struct zl_container *container)
{
	if (container->exit_due)
		zl_send_exited(&container->process, container->oom_killed);
	container->exit_due = false;
}

void zl_container_fill(struct zl_container *container, struct zl_link *link)
{
	zl_process_fill(&container->process, link);
	// Room that was not used: there was nothing more to send, or the daemon takes no more now.
	if (!container->exit_due || (link->flowing && !zl_link_room(link)))
		return;
	tell_exit(container);
}

// ---- signal

static int signal_container(
        struct zl_container *container, int signal, bool all, struct zl_error *err)
{
	bool running = container != NULL && container->state == ZL__ZONE__STATE__STARTED;

	if (signal < 1 || signal > SIGRTMAX)
		return zl_error_set(err, ZL_INVALID_ARGUMENT, "%d is no signal", signal);
	if (!running) {
		if (signal == SIGKILL)
			return 0;
		return zl_error_set(err, ZL_NOT_FOUND, "the container is not running");
	}
	if (all && signal == SIGKILL && zl_cgroup_kill(container->cgroups_path))
		return 0;
	if (all)
		zl_cgroup_signal(container->cgroups_path, signal);
	// We are the one who reaps it, so the pid is its own as long as we believe so.
	return zl_late_signal_send(&container->process.supervisor->reactor, &container->late_signal,
	        container->process.child.pid, signal, err);
}

void zl_container_signal_request(
        struct zl_supervisor *s, struct zl_reply reply, const Zl__Zone__ToZone *message)
{
	const Zl__Zone__ContainerSignal *request = message->container_signal;
	struct zl_error err = ZL_ERROR_INIT;

	if (signal_container(zl_container_find(s, request->id), request->signal, request->all != 0,
	            &err) < 0) {
		zl_error_wrap(&err, "container %.12s", request->id);
		zl_link_reply_failure(&s->link, reply, &err);
	} else {
		zl_link_reply_done(&s->link, reply);
	}
}

// ---- delete

static void delete_finished(struct zl_container *container, const struct zl_error *failure)
{
	struct zl_supervisor *s = container->process.supervisor;

	container->deleting = false;
	if (failure != NULL) {
		struct zl_error err = *failure;

		zl_error_wrap(&err, "delete container %.12s", container->process.container_id);
		if (container->has_delete_reply)
			zl_link_reply_failure(&s->link, container->delete_reply, &err);
		zl_log_error("%s", err.message);
		container->has_delete_reply = false;
	} else {
		if (container->has_delete_reply)
			zl_link_reply_done(&s->link, container->delete_reply);
		zl_container_free(container);
	}
	zl_supervisor_end_step(s);
}

static void remove_rest(struct zl_container *container)
{
	struct zl_error err = ZL_ERROR_INIT;
	int result = zl_container_unmake(container, &err);

	delete_finished(container, result < 0 ? &err : NULL);
}

static void crun_deleted(struct zl_runtime_job *job, const struct zl_error *failure)
{
	struct zl_container *container = container_of_job(job);

	if (failure != NULL) {
		delete_finished(container, failure);
		return;
	}
	container->known_to_crun = false;
	remove_rest(container);
}

void zl_container_delete(struct zl_container *container)
{
	struct zl_supervisor *s = container->process.supervisor;
	struct zl_error err = ZL_ERROR_INIT;

	container->deleting = true;
	// Before the answer to the delete: after that the daemon knows of no such container.
	tell_exit(container);
	if (container->starting || zl_runtime_busy(&container->job) ||
	        zl_runtime_busy(&container->update_job))
		return; // goes on when that is done
	if (container->creating != NULL) {
		zl_error_set(&err, ZL_ABORTED, "it was deleted meanwhile");
		if (container->device.waiting)
			zl_device_wait_cancel(&s->devices, &container->device);
		zl_link_reply_failure(&s->link, container->reply, &err);
		remove_rest(container);
		return;
	}
	if (container->state == ZL__ZONE__STATE__STARTED) {
		(void)zl_cgroup_kill(container->cgroups_path);
		(void)kill(container->process.child.pid, SIGKILL);
		return; // goes on in zl_container_ended
	}
	zl_exec_drop_all(container);
	if (container->execs != NULL)
		return; // goes on when the last of them ended
	// A zone that is about to be powered off takes the rest with it.
	if (s->ending && !s->host) {
		delete_finished(container, NULL);
		return;
	}
	if (!container->known_to_crun) {
		remove_rest(container);
		return;
	}
	container->job.done = crun_deleted;
	if (zl_runtime_delete(&container->job, container->process.container_id,
	            container->directory, &err) < 0)
		delete_finished(container, &err);
}

void zl_container_delete_request(
        struct zl_supervisor *s, struct zl_reply reply, const Zl__Zone__ToZone *message)
{
	struct zl_container *container = zl_container_find(s, message->container_delete->id);
	struct zl_error err = ZL_ERROR_INIT;

	if (container == NULL) {
		zl_link_reply_done(&s->link, reply);
		return;
	}
	if (container->deleting && container->has_delete_reply) {
		zl_error_set(&err, ZL_ABORTED, "container %.12s: another delete replaced this one",
		        message->container_delete->id);
		zl_link_reply_failure(&s->link, container->delete_reply, &err);
	}
	container->has_delete_reply = true;
	container->delete_reply = reply;
	if (!container->deleting)
		zl_container_delete(container);
}

void zl_container_describe(struct zl_container *container)
{
	struct zl_container_description *description = &container->description;
	Zl__Zone__Container *to = &description->message;

	zl__zone__container__init(to);
	to->id = container->process.container_id;
	to->state = container->state;
	to->pid = container->process.child.pid > 0 ? container->process.child.pid : 0;
	to->exit_code = container->process.exit_code;
	to->oom_killed = container->oom_killed;
	to->started_at_ns = container->started_ns;
	to->finished_at_ns = container->process.finished_ns;
	zl_process_describe(&container->process, &description->opened, description->streams);
	to->streams = &description->opened;
}
