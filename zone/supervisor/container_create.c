// SPDX-License-Identifier: Apache-2.0
//
// ContainerCreate: root, bundle and stdio of a container, up to the reply.
#include <string.h>

#include "base/clock.h"
#include "base/file.h"
#include "base/log.h"
#include "zone/protocol/enclosing.h"
#include "zone/supervisor/cgroup1.h"
#include "zone/supervisor/container.h"
#include "zone/supervisor/devnode.h"
#include "zone/supervisor/rootfs.h"
#include "zone/supervisor/share.h"
#include "zone/supervisor/volume.h"

static pid_t namespace_holder(
        void *user, const char *kind, const char *container_id, struct zl_error *err)
{
	struct zl_container *container = user;
	struct zl_supervisor *s = container->process.supervisor;
	struct zl_container *target;
	pid_t pid = 0;

	if (container_id != NULL) {
		target = zl_container_find(s, container_id);
		if (target == NULL || target->process.child.pid <= 0)
			return zl_error_set(err, ZL_FAILED_PRECONDITION,
			        "container %s, whose %s namespace is wanted, is not running",
			        container_id, kind);
		return target->process.child.pid;
	}
	if (strcmp(kind, "user") == 0 && !s->userns)
		return zl_error_set(err, ZL_INVALID_ARGUMENT, "the pod has no user namespace");
	if (s->host && (strcmp(kind, "pid") == 0 || strcmp(kind, "user") == 0) &&
	        zl_host_pause(s, &pid, err) < 0)
		return -1;
	return pid;
}

static int prepare_source(void *user, json_t *mount, struct zl_error *err)
{
	return zl_volume_prepare(user, mount, err);
}

static int set_limits(void *user, json_t *resources, struct zl_error *err)
{
	struct zl_container *container = user;
	char base[ZL_RUNTIME_PATH];

	return zl_cgroup1_apply(zl_container_cgroup1(container->process.supervisor, base),
	        container->cgroups_path, resources, err);
}

static int write_bundle(struct zl_container *container, struct zl_error *err)
{
	struct zl_supervisor *s = container->process.supervisor;
	const Zl__Zone__ContainerCreate *request = container->creating;
	zl_auto(buffer) struct zl_buffer spec = ZL_BUFFER_LIMIT(ZL_SPEC_MAX);
	char root[ZL_RUNTIME_PATH + 8];
	char resolv[ZL_RUNTIME_PATH];
	char hostname[ZL_RUNTIME_PATH];
	char shm[ZL_RUNTIME_PATH];
	char config[ZL_RUNTIME_PATH + 16];
	struct zl_spec_facts facts = {
	        .root = root,
	        .readonly = request->readonly != 0,
	        .terminal = request->terminal != 0,
	        .user = &container->user,
	        .resolv_conf = s->has_resolv_conf ? resolv : NULL,
	        .hostname = s->hostname[0] != '\0' ? hostname : NULL,
	        .shm = s->node_ipc  ? "/dev/shm"
	               : s->has_shm ? shm
	                            : NULL,
	        .holder = namespace_holder,
	        .source = prepare_source,
	        .limits = s->cgroup1 ? set_limits : NULL,
	        .devices = zl_devnodes_add,
	        .user_data = container,
	};

	(void)snprintf(root, sizeof(root), "%s/root", container->directory);
	(void)snprintf(resolv, sizeof(resolv), "%s/resolv.conf", s->state_dir);
	(void)snprintf(hostname, sizeof(hostname), "%s/hostname", s->state_dir);
	(void)snprintf(shm, sizeof(shm), "%s/shm", s->state_dir);
	(void)snprintf(config, sizeof(config), "%s/config.json", container->directory);
	if (zl_spec_complete(request->oci_spec, &facts, &spec, container->cgroups_path, err) < 0)
		return -1;
	return zl_file_write_atomic(config, spec.data, spec.length, 0600, err);
}

static int resolve_user(struct zl_container *container, struct zl_error *err)
{
	const Zl__Zone__UserWanted *user = container->creating->user;
	struct zl_user_wanted wanted = {.name = ""};
	char root[ZL_RUNTIME_PATH + 8];

	if (user != NULL)
		wanted = (struct zl_user_wanted){
		        .name = user->name,
		        .has_group = user->has_group != 0,
		        .group = user->group,
		        .supplemental = user->supplemental_groups,
		        .supplemental_count = user->n_supplemental_groups,
		        .merge = user->merge_groups != 0,
		};
	(void)snprintf(root, sizeof(root), "%s/root", container->directory);
	return zl_user_resolve_in(root, &wanted, &container->user, err);
}

static int prepare_root(struct zl_container *container, struct zl_error *err)
{
	const Zl__Zone__ContainerCreate *request = container->creating;
	struct zl_rootfs_source source = {
	        .device = request->image_device[0] != '\0' ? request->image_device : NULL,
	        .files = (const char *const *)request->image_files,
	        .file_count = request->n_image_files,
	        .owners = container->owners,
	};

	if (request->share_tag[0] != '\0' &&
	        zl_share_mount(request->share_tag, request->share_name, err) < 0)
		return -1;
	if (zl_rootfs_mount(&source, container->directory, container->layer, err) < 0)
		return -1;
	container->mounted = true;
	return resolve_user(container, err) < 0 || write_bundle(container, err) < 0 ? -1 : 0;
}

static int prepare(struct zl_container *container, struct zl_error *err)
{
	int result;

	if (zl_dir_make(container->directory, 0711, err) < 0 ||
	        zl_host_owners(container->process.supervisor, &container->owners, err) < 0)
		return -1;
	result = prepare_root(container, err);
	container->owners.userns = zl_close(container->owners.userns);
	if (result < 0)
		return -1;
	return zl_process_open_stdio(&container->process, container->directory, err);
}

static void reply_opened(struct zl_container *container)
{
	Zl__Zone__Opened *opened = &container->description.opened;
	Zl__Zone__FromZone message = ZL__ZONE__FROM_ZONE__INIT;
	Zl__Zone__User user = ZL__ZONE__USER__INIT;

	zl_container_describe(container);
	user.uid = container->user.uid;
	user.gid = container->user.gid;
	user.groups = container->user.groups;
	user.n_groups = container->user.group_count;
	opened->user = &user;
	message.body_case = ZL__ZONE__FROM_ZONE__BODY_OPENED;
	message.opened = opened;
	zl_link_reply(&container->process.supervisor->link, container->reply, &message);
	opened->user = NULL;
}

// Nothing of a container that could not be made is left.
static void fail_create(struct zl_container *container, struct zl_error *err)
{
	struct zl_supervisor *s = container->process.supervisor;
	struct zl_error ignored = ZL_ERROR_INIT;

	zl_error_wrap(err, "create container %.12s", container->process.container_id);
	zl_link_reply_failure(&s->link, container->reply, err);
	if (zl_container_unmake(container, &ignored) < 0)
		zl_log_warning("after a failed create: %s", ignored.message);
	zl_container_free(container);
}

static void finish_create(struct zl_container *container)
{
	struct zl_error err = ZL_ERROR_INIT;

	if (prepare(container, &err) < 0) {
		fail_create(container, &err);
		return;
	}
	zl_zone_message_free(container->creating_message);
	container->creating_message = NULL;
	container->creating = NULL;
	reply_opened(container);
	if (container->deleting)
		zl_container_delete(container);
}

// The device of the n-th image: the root's, then the volumes'; "" if it is files.
static const char *nth_device(const Zl__Zone__ContainerCreate *request, size_t n)
{
	return n == 0 ? request->image_device : request->image_volumes[n - 1]->image_device;
}

// Waits for the first device that is not known to be there; goes on when there is none.
static void await_devices(struct zl_container *container)
{
	const Zl__Zone__ContainerCreate *request = container->creating;
	struct zl_error err = ZL_ERROR_INIT;

	while (container->devices_here <= request->n_image_volumes) {
		const char *path = nth_device(request, container->devices_here++);

		if (path[0] == '\0')
			continue;
		(void)snprintf(container->device.path, sizeof(container->device.path), "%s", path);
		if (zl_device_wait(
		            &container->process.supervisor->devices, &container->device, &err) < 0)
			fail_create(container, &err);
		return;
	}
	finish_create(container);
}

static void device_ready(struct zl_device_wait *wait)
{
	await_devices(ZL_ENCLOSING(wait, struct zl_container, device));
}

// An image is either a device or files.
static bool is_image(const char *device, size_t file_count)
{
	return (device[0] != '\0') != (file_count > 0) &&
	       strlen(device) < sizeof(((struct zl_device_wait *)0)->path);
}

static int check_images(const Zl__Zone__ContainerCreate *request, struct zl_error *err)
{
	if (!is_image(request->image_device, request->n_image_files))
		return zl_error_set(err, ZL_INVALID_ARGUMENT,
		        "a container's root is either an image device or image files");
	for (size_t i = 0; i < request->n_image_volumes; i++) {
		const Zl__Zone__ImageVolume *volume = request->image_volumes[i];

		if (!is_image(volume->image_device, volume->n_image_files))
			return zl_error_set(err, ZL_INVALID_ARGUMENT,
			        "image volume %zu is neither an image device nor image files", i);
	}
	return 0;
}

static int check_create(
        struct zl_supervisor *s, const Zl__Zone__ContainerCreate *request, struct zl_error *err)
{
	if (!zl_id_valid(request->id))
		return zl_error_set(
		        err, ZL_INVALID_ARGUMENT, "\"%.80s\" is no container id", request->id);
	if (!s->configured)
		return zl_error_set(
		        err, ZL_FAILED_PRECONDITION, "the sandbox is not configured yet");
	if (zl_container_find(s, request->id) != NULL)
		return zl_error_set(
		        err, ZL_ALREADY_EXISTS, "container %.12s exists already", request->id);
	if (s->container_count >= ZL_ZONE_CONTAINERS_MAX)
		return zl_error_set(err, ZL_RESOURCE_EXHAUSTED,
		        "the pod has %d containers; remove some", ZL_ZONE_CONTAINERS_MAX);
	return check_images(request, err);
}

static struct zl_container *container_new(struct zl_supervisor *s, struct zl_reply reply,
        const Zl__Zone__ToZone *message, struct zl_error *err)
{
	const Zl__Zone__ContainerCreate *request = message->container_create;
	struct zl_container *container = calloc(1, sizeof(*container));

	if (container == NULL) {
		zl_error_nomem(err);
		return NULL;
	}
	// Its own, since it may have to wait for a device.
	container->creating_message = zl_zone_message_copy(&message->base, err);
	if (container->creating_message == NULL) {
		free(container);
		return NULL;
	}
	container->creating = container->creating_message->container_create;
	container->reply = reply;
	container->job.supervisor = s;
	container->stdin_once = request->stdin_once != 0;
	container->device.ready = device_ready;
	zl_process_init(&container->process, s, request->id, NULL, request->terminal != 0,
	        request->stdin_open != 0);
	zl_container_directory(s, request->id, container->directory);
	(void)snprintf(
	        container->layer, sizeof(container->layer), "%s/%s", s->scratch_dir, request->id);
	(void)snprintf(container->upper, sizeof(container->upper), "%.*s/upper",
	        (int)sizeof(container->upper) - 8, container->layer);
	container->layer_measured_ns = zl_clock_monotonic();
	container->next = s->containers;
	s->containers = container;
	s->container_count++;
	return container;
}

void zl_container_create_request(
        struct zl_supervisor *s, struct zl_reply reply, const Zl__Zone__ToZone *message)
{
	const Zl__Zone__ContainerCreate *request = message->container_create;
	struct zl_error err = ZL_ERROR_INIT;
	struct zl_container *container = NULL;

	if (check_create(s, request, &err) == 0)
		container = container_new(s, reply, message, &err);
	if (container == NULL) {
		zl_link_reply_failure(&s->link, reply, &err);
		return;
	}
	container->process.ended = zl_container_ended;
	await_devices(container);
}
