// SPDX-License-Identifier: Apache-2.0
#include "cri-server/sandbox/share.h"

#include <stdio.h>
#include <string.h>
#include <sys/epoll.h>

#include "base/json.h"
#include "base/log.h"
#include "cri-server/container/container.h"
#include "cri-server/oci/mount.h"
#include "cri-server/sandbox/cgroup.h"
#include "cri-server/sandbox/services.h"
#include "storage-driver/share.h"
#include "zone/client/loop.h"
#include "zone/protocol/enclosing.h"
#include "zone/protocol/share.h"

// A zone that makes its server end again and again gets no more of them.
enum { RESTARTS_MAX = 4 };

// 2^7 pages: two rings of 512 KiB of the zone's memory, messages of up to 128 KiB.
static const struct zl_share_device device = {.devid = 0, .tag = "zonelet", .ring_order = 7};

static void describe(struct zl_sandbox *sandbox, struct zl_arena *arena, struct zl_share *out)
{
	const struct zl_config *config = sandbox->services->config;

	*out = (struct zl_share){
	        .program = config->zone.share_server,
	        // By the short id: the address of a unix socket has 107 bytes.
	        .socket = zl_arena_printf(arena, "%s/%.12s.9p", config->run_dir, sandbox->id),
	        .log = zl_arena_printf(arena, "%s/9p.log", sandbox->run_dir),
	        .tags = zl_arena_printf(arena, "%s/9p.tags", sandbox->run_dir),
	        .cgroup = zl_arena_printf(arena, "/sys/fs/cgroup/zonelet-9p-%.12s", sandbox->id),
	        .memory_bytes = config->zone.share_memory_bytes,
	        .domid = (uint32_t)sandbox->domid,
	        .devid = device.devid,
	};
}

// ---- what a container has

static struct zl_share_source source_of(const Runtime__V1__Mount *mount)
{
	return (struct zl_share_source){
	        .path = mount->host_path,
	        .readonly = mount->readonly,
	        .recursive_readonly = mount->readonly && mount->recursive_read_only,
	};
}

static int refuse(const struct zl_container *container, const Runtime__V1__Mount *mount,
        enum zl_code code, const char *why, struct zl_error *err)
{
	return zl_error_set(err, code, "pod %s, container %s, mount of %s at %s: %s",
	        zl_sandbox_pod(container->sandbox), container->config->metadata->name,
	        mount->host_path, mount->container_path, why);
}

static int check_mount(
        const struct zl_container *container, const Runtime__V1__Mount *mount, struct zl_error *err)
{
	if (mount->propagation != RUNTIME__V1__MOUNT_PROPAGATION__PROPAGATION_PRIVATE)
		return refuse(container, mount, ZL_INVALID_ARGUMENT,
		        "a zone has a kernel of its own, so mounts cannot propagate between it and "
		        "the node; use private propagation or the handler \"host\"",
		        err);
	if (mount->n_uidmappings > 0 || mount->n_gidmappings > 0)
		return refuse(container, mount, ZL_UNIMPLEMENTED,
		        "zones do not map the owners of a mount's files; use the handler \"host\"",
		        err);
	return 0;
}

int zl_pod_share_plan(struct zl_container *container, struct zl_error *err)
{
	const Runtime__V1__ContainerConfig *config = container->config;
	const char **sources;
	bool *served;
	bool any = false;

	sources = zl_arena_array(&container->arena, config->n_mounts, sizeof(*sources));
	served = zl_arena_array(&container->arena, config->n_mounts, sizeof(*served));
	for (size_t i = 0; i < config->n_mounts; i++) {
		struct zl_share_source source = source_of(config->mounts[i]);
		struct zl_error why = ZL_ERROR_INIT;
		char name[ZL_SHARE_NAME_SIZE];

		// An image comes as a disk (zone_image.h).
		if (zl_oci_is_image(config->mounts[i]))
			continue;
		if (check_mount(container, config->mounts[i], err) < 0)
			return -1;
		if (zl_share_name(&source, name, &why) < 0)
			return refuse(container, config->mounts[i], why.code, why.message, err);
		sources[i] = zl_arena_printf(&container->arena, "%s/%u/%s", ZL_SHARE_DIR,
		        container->sandbox->share.generation, name);
		served[i] = source.readonly && !source.recursive_readonly &&
		            zl_share_has_mounts(&source);
		any = true;
	}
	container->share_sources = any ? sources : NULL;
	container->share_served = served;
	return 0;
}

// The part of a mount's source in the zone from the generation on; NULL for another mount.
static const char *shared_part(const char *source)
{
	size_t length = strlen(ZL_SHARE_DIR "/");

	return source != NULL && strncmp(source, ZL_SHARE_DIR "/", length) == 0 ? source + length
	                                                                        : NULL;
}

// Whether a container's spec has a mount of this export ("3/0123…-rw").
static bool uses(const struct zl_container *container, const char *part)
{
	zl_auto(json) json_t *spec =
	        container->spec != NULL ? json_loads(container->spec, 0, NULL) : NULL;
	json_t *mounts = json_object_get(spec, "mounts");
	size_t index;
	json_t *mount;

	json_array_foreach(mounts, index, mount)
	{
		const char *own = shared_part(zl_json_string(mount, "source"));

		if (own != NULL && strcmp(own, part) == 0)
			return true;
	}
	return false;
}

const char *zl_pod_share_tag(const struct zl_container *container)
{
	return container->share_sources != NULL ? device.tag : NULL;
}

const char *zl_pod_share_name(struct zl_container *container, struct zl_arena *arena)
{
	return container->share_sources != NULL
	               ? zl_arena_printf(arena, "%u", container->sandbox->share.generation)
	               : NULL;
}

// ---- the server

static void restart_task(void *argument);

// On the loop's thread: no waiting here.
static void on_end(struct zl_loop_task *task)
{
	struct zl_sandbox *sandbox = ZL_ENCLOSING(task, struct zl_sandbox, share.task);

	zl_loop_task_detach(task);
	zl_tasks_post(sandbox->services->tasks, restart_task, zl_sandbox_ref(sandbox));
}

static void unwatch(struct zl_sandbox *sandbox)
{
	if (!sandbox->share.watched)
		return;
	zl_loop_task_remove(&sandbox->share.task);
	sandbox->share.pidfd = zl_close(sandbox->share.pidfd);
	sandbox->share.watched = false;
}

static int watch(struct zl_sandbox *sandbox, const struct zl_share *share, struct zl_error *err)
{
	unwatch(sandbox);
	sandbox->share.pidfd = zl_share_pidfd(share, err);
	if (sandbox->share.pidfd < 0)
		return -1;
	sandbox->share.task.run = on_end;
	if (zl_loop_task_add(sandbox->services->loop, &sandbox->share.task, sandbox->share.pidfd,
	            EPOLLIN, err) < 0) {
		sandbox->share.pidfd = zl_close(sandbox->share.pidfd);
		return -1;
	}
	sandbox->share.watched = true;
	return 0;
}

// Whoever had mounts of the server that died has lost them.
static int restart(struct zl_sandbox *sandbox, const struct zl_share *share,
        const struct zl_cancel *cancel, struct zl_error *err)
{
	bool started;

	if (sandbox->share.generation >= RESTARTS_MAX)
		return zl_error_set(err, ZL_FAILED_PRECONDITION,
		        "the 9P server of pod %s ended %d times, the last with: see %s; make the "
		        "pod anew to give it mounts again",
		        zl_sandbox_pod(sandbox), RESTARTS_MAX + 1, share->log);
	sandbox->share.generation++;
	if (zl_sandbox_save(sandbox, ZL_STEP_DONE, err) < 0 ||
	        zl_share_start(share, cancel, &started, err) < 0)
		return -1;
	return watch(sandbox, share, err);
}

static void restart_task(void *argument)
{
	zl_auto(sandbox) struct zl_sandbox *sandbox = argument;
	zl_auto(arena) struct zl_arena arena = ZL_ARENA_INIT;
	zl_auto(gate) struct zl_gate *in_sandbox = NULL;
	zl_auto(gate) struct zl_gate *inside = NULL;
	struct zl_cancel *stopping = &sandbox->services->stopping;
	struct zl_error err = ZL_ERROR_INIT;
	struct zl_share share;

	if (zl_gate_enter(&sandbox->gate, false, stopping, NULL) < 0)
		return;
	in_sandbox = &sandbox->gate;
	if (zl_gate_enter(&sandbox->disk_gate, true, stopping, NULL) < 0)
		return;
	inside = &sandbox->disk_gate;
	if (zl_sandbox_phase(sandbox) != ZL_SANDBOX_READY || !sandbox->share.watched)
		return;
	ZL_LOG_SCOPE("pod", zl_sandbox_pod(sandbox));
	describe(sandbox, &arena, &share);
	if (zl_share_running(&share))
		return;
	zl_log_error("the pod's 9P server ended: I/O in the mounts of its containers fails from "
	             "now on (%s may say why)",
	        share.log);
	if (restart(sandbox, &share, stopping, &err) < 0)
		zl_log_error("starting it again: %s", err.message);
}

// With the disk gate. Written down before anything is made.
static int need_server(struct zl_sandbox *sandbox, const struct zl_share *share,
        const struct zl_cancel *cancel, struct zl_error *err)
{
	struct zl_hypervisor *hv = sandbox->services->hypervisor;
	bool started;

	if (sandbox->share.started && !zl_share_running(share))
		return restart(sandbox, share, cancel, err);
	if (sandbox->share.started)
		return 0;
	sandbox->share.started = true;
	if (zl_sandbox_save(sandbox, ZL_STEP_DONE, err) < 0 ||
	        hv->ops->share_add(hv, share->domid, &device, err) < 0 ||
	        zl_share_start(share, cancel, &started, err) < 0)
		return -1;
	return watch(sandbox, share, err);
}

int zl_pod_share_attach(
        struct zl_container *container, const struct zl_cancel *cancel, struct zl_error *err)
{
	zl_auto(arena) struct zl_arena arena = ZL_ARENA_INIT;
	struct zl_sandbox *sandbox = container->sandbox;
	const Runtime__V1__ContainerConfig *config = container->config;
	zl_auto(gate) struct zl_gate *inside = NULL;
	struct zl_share share;

	if (container->share_sources == NULL)
		return 0;
	if (zl_gate_enter(&sandbox->disk_gate, true, cancel, err) < 0)
		return -1;
	inside = &sandbox->disk_gate;
	describe(sandbox, &arena, &share);
	if (need_server(sandbox, &share, cancel, err) < 0)
		return -1;
	for (size_t i = 0; i < config->n_mounts; i++) {
		struct zl_share_source source = source_of(config->mounts[i]);
		const char *part = shared_part(container->share_sources[i]);
		struct zl_error why = ZL_ERROR_INIT;

		if (part == NULL)
			continue;
		if ((unsigned)strtoul(part, NULL, 10) != sandbox->share.generation)
			return refuse(container, config->mounts[i], ZL_UNAVAILABLE,
			        "the pod's 9P server ended meanwhile and was started again; try "
			        "again",
			        err);
		if (zl_share_add(&share, &source, strchr(part, '/') + 1, &why) < 0)
			return refuse(container, config->mounts[i], why.code, why.message, err);
	}
	return 0;
}

// Whether another container of the pod has the export.
static bool shared_by_others(struct zl_container *container, const char *part)
{
	size_t count;
	struct zl_container **list =
	        zl_container_list(container->sandbox->services, container->sandbox, &count);
	bool found = false;

	for (size_t i = 0; i < count && !found; i++)
		found = list[i] != container && uses(list[i], part);
	zl_container_list_free(list, count);
	return found;
}

int zl_pod_share_detach(struct zl_container *container, struct zl_error *err)
{
	zl_auto(arena) struct zl_arena arena = ZL_ARENA_INIT;
	struct zl_sandbox *sandbox = container->sandbox;
	zl_auto(json) json_t *spec =
	        container->spec != NULL ? json_loads(container->spec, 0, NULL) : NULL;
	json_t *mounts = json_object_get(spec, "mounts");
	zl_auto(gate) struct zl_gate *inside = NULL;
	struct zl_share share;
	size_t index;
	json_t *mount;

	if (!sandbox->share.started)
		return 0;
	if (zl_gate_enter(&sandbox->disk_gate, true, NULL, err) < 0)
		return -1;
	inside = &sandbox->disk_gate;
	describe(sandbox, &arena, &share);
	json_array_foreach(mounts, index, mount)
	{
		const char *part = shared_part(zl_json_string(mount, "source"));

		if (part == NULL ||
		        (unsigned)strtoul(part, NULL, 10) != sandbox->share.generation ||
		        strchr(part, '/') == NULL || shared_by_others(container, part))
			continue;
		if (zl_share_remove(&share, strchr(part, '/') + 1, err) < 0)
			return -1;
	}
	return 0;
}

int zl_pod_share_stop(struct zl_sandbox *sandbox, struct zl_error *err)
{
	zl_auto(arena) struct zl_arena arena = ZL_ARENA_INIT;
	struct zl_hypervisor *hv = sandbox->services->hypervisor;
	struct zl_share share;

	if (!sandbox->share.started)
		return 0;
	describe(sandbox, &arena, &share);
	unwatch(sandbox);
	if (zl_share_stop(&share, err) < 0)
		return -1;
	if (sandbox->domid >= 0 && hv->ops->share_remove(hv, share.domid, device.devid, err) < 0)
		return -1;
	if (zl_cgroup_remove(share.cgroup + strlen("/sys/fs/cgroup"), err) < 0)
		return -1;
	sandbox->share.started = false;
	return 0;
}

int zl_pod_share_recover(struct zl_sandbox *sandbox, struct zl_error *err)
{
	zl_auto(arena) struct zl_arena arena = ZL_ARENA_INIT;
	struct zl_share share;

	if (!sandbox->share.started)
		return 0;
	describe(sandbox, &arena, &share);
	if (zl_share_running(&share))
		return watch(sandbox, &share, err);
	zl_log_error("the pod's 9P server ended while zoneletd was away: I/O in the mounts of its "
	             "containers fails");
	return restart(sandbox, &share, NULL, err);
}
