// SPDX-License-Identifier: Apache-2.0
//
// CreateContainer and RemoveContainer.
#include <stdlib.h>
#include <string.h>

#include "base/failpoint.h"
#include "base/file.h"
#include "base/log.h"
#include "base/strv.h"
#include "cri-server/container/apparmor.h"
#include "cri-server/container/container.h"
#include "cri-server/container/peer.h"
#include "cri-server/oci/mount.h"
#include "cri-server/oci/seccomp.h"
#include "cri-server/oci/spec.h"
#include "cri-server/sandbox/backend.h"
#include "cri-server/sandbox/cgroup.h"
#include "cri-server/sandbox/services.h"
#include "cri-server/sandbox/share.h"

enum { GROUPS_MAX = 64, STATUS_MAX = 64 * 1024 };

static int check_config(const Runtime__V1__CreateContainerRequest *request, struct zl_error *err)
{
	const Runtime__V1__ContainerConfig *c = request->config;

	if (c == NULL || c->metadata == NULL || c->metadata->name[0] == '\0')
		return zl_error_set(err, ZL_INVALID_ARGUMENT,
		        "CreateContainer: the request has no config with a name in its metadata");
	if (c->image == NULL || c->image->image[0] == '\0')
		return zl_error_set(err, ZL_INVALID_ARGUMENT,
		        "container %s: its config names no image", c->metadata->name);
	if (strstr(c->log_path, "..") != NULL || c->log_path[0] == '/')
		return zl_error_set(err, ZL_INVALID_ARGUMENT,
		        "container %s: log path \"%s\" must be relative to the pod's log "
		        "directory and stay in it",
		        c->metadata->name, c->log_path);
	return 0;
}

// NOT_FOUND for an image becomes a precondition: the object asked for is the container.
static struct zl_image *find_image(struct zl_services *services,
        const Runtime__V1__ContainerConfig *config, struct zl_error *err)
{
	struct zl_image *image = zl_store_image(services->store, config->image->image, err);

	if (image == NULL)
		zl_error_wrap(err, "container %s: image %s (pull it first)", config->metadata->name,
		        config->image->image);
	return image;
}

const char *zl_container_cgroup(struct zl_container *container, struct zl_arena *arena)
{
	const Runtime__V1__LinuxPodSandboxConfig *lin = container->sandbox->config->linux;
	const char *parent = ZL_CGROUP_PODS;

	// In a zone there is nobody else to share the tree with.
	if (!container->sandbox->backend->zone && lin != NULL && lin->cgroup_parent[0] == '/')
		parent = lin->cgroup_parent;
	return zl_arena_printf(arena, "%s/%s", parent, container->id);
}

// The bounding set that this process can pass on (proc_pid_status(5)); a zone has all.
static uint64_t available_capabilities(const struct zl_sandbox *sandbox)
{
	zl_auto(buffer) struct zl_buffer text = ZL_BUFFER_INIT;
	const char *line;

	if (sandbox->backend->zone ||
	        zl_file_read("/proc/self/status", STATUS_MAX, &text, NULL) < 0)
		return 0;
	line = strstr(zl_buffer_string(&text), "CapBnd:");
	return line != NULL ? strtoull(line + strlen("CapBnd:"), NULL, 16) : 0;
}

// The text of the seccomp profile that the container names, in `text`; NULL if it names none.
static int read_profile(const struct zl_container *container, struct zl_buffer *text,
        const char **ret, struct zl_error *err)
{
	const Runtime__V1__LinuxContainerConfig *lin = container->config->linux;
	const char *path = lin != NULL ? zl_seccomp_profile_path(lin->security_context) : NULL;

	*ret = NULL;
	if (path == NULL || path[0] != '/')
		return 0;
	if (zl_file_read(path, ZL_SECCOMP_PROFILE_MAX, text, err) < 0)
		return zl_error_wrap(err, "container %s: its seccomp profile",
		        container->config->metadata->name);
	*ret = zl_buffer_string(text);
	return 0;
}

// The profiles of the node's kernel, in `text`, with the default among them if this container is to
// have it; NULL in a zone and where there is no AppArmor.
static int prepare_apparmor(struct zl_container *container, struct zl_buffer *text,
        const char **ret, const struct zl_cancel *cancel, struct zl_error *err)
{
	const Runtime__V1__LinuxContainerConfig *lin = container->config->linux;
	struct zl_apparmor_want want;

	*ret = NULL;
	if (container->sandbox->backend->zone)
		return 0;
	want = zl_apparmor_wanted(lin != NULL ? lin->security_context : NULL, false);
	if (zl_apparmor_prepare(
	            &container->sandbox->services->apparmor, &want, text, ret, cancel, err) < 0)
		return zl_error_wrap(err, "container %s", container->config->metadata->name);
	return 0;
}

static int make_spec(struct zl_container *container, const struct zl_image *image,
        const struct zl_cancel *cancel, struct zl_error *err)
{
	struct zl_sandbox *sandbox = container->sandbox;
	struct zl_oci_input input = {
	        .sandbox_id = sandbox->id,
	        .container_id = container->id,
	        .pod = sandbox->config,
	        .container = container->config,
	        .image = image,
	        .hostname = sandbox->hostname,
	        .zone = sandbox->backend->zone,
	};
	zl_auto(buffer) struct zl_buffer profile = ZL_BUFFER_INIT;
	zl_auto(buffer) struct zl_buffer apparmor = ZL_BUFFER_INIT;
	zl_auto(free) char *spec = NULL;

	if (sandbox->backend->mounts_plan != NULL &&
	        sandbox->backend->mounts_plan(container, err) < 0)
		return -1;
	input.mount_sources = container->share_sources;
	input.mount_served = container->share_served;
	input.cgroups_path = zl_container_cgroup(container, &container->arena);
	input.capabilities = available_capabilities(sandbox);
	if (read_profile(container, &profile, &input.seccomp_profile, err) < 0 ||
	        prepare_apparmor(container, &apparmor, &input.apparmor_profiles, cancel, err) < 0)
		return -1;
	spec = zl_oci_spec(&input, err);
	if (spec == NULL)
		return -1;
	container->spec = zl_arena_strdup(&container->arena, spec);
	container->stop_signal = zl_oci_stop_signal(container->config, image);
	container->image_id = zl_arena_strdup(&container->arena, image->id);
	container->image_ref = zl_arena_strdup(
	        &container->arena, image->repo_digests != NULL && image->repo_digests[0] != NULL
	                                   ? image->repo_digests[0]
	                                   : image->id);
	return 0;
}

// Who the process is to be, from the security context, for the supervisor to resolve.
static int fill_user(struct zl_container *container, const char *user,
        struct zl_zone_container *what, uint32_t groups[static GROUPS_MAX], struct zl_error *err)
{
	const Runtime__V1__LinuxContainerSecurityContext *context =
	        container->config->linux != NULL ? container->config->linux->security_context
	                                         : NULL;

	what->user = user;
	what->merge_groups = true;
	if (context == NULL)
		return 0;
	what->merge_groups = context->supplemental_groups_policy ==
	                     RUNTIME__V1__SUPPLEMENTAL_GROUPS_POLICY__Merge;
	what->has_group = context->run_as_group != NULL;
	if (what->has_group)
		what->group = (uint32_t)context->run_as_group->value;
	if (context->n_supplemental_groups > GROUPS_MAX)
		return zl_error_set(err, ZL_INVALID_ARGUMENT,
		        "container %s: %zu supplemental groups, at most %d are possible",
		        container->config->metadata->name, context->n_supplemental_groups,
		        GROUPS_MAX);
	for (size_t i = 0; i < context->n_supplemental_groups; i++)
		groups[i] = (uint32_t)context->supplemental_groups[i];
	what->supplemental_groups = groups;
	what->supplemental_group_count = context->n_supplemental_groups;
	return 0;
}

// Notes the images that are volumes, in the order of the mounts, which is how the spec counts them.
static int find_volumes(struct zl_container *container, struct zl_error *err)
{
	const Runtime__V1__ContainerConfig *c = container->config;

	container->volumes =
	        zl_arena_array(&container->arena, c->n_mounts, sizeof(*container->volumes));
	for (size_t i = 0; i < c->n_mounts; i++) {
		const Runtime__V1__Mount *mount = c->mounts[i];
		zl_auto(image) struct zl_image *image = NULL;

		if (!zl_oci_is_image(mount))
			continue;
		image = zl_store_image(
		        container->sandbox->services->store, mount->image->image, err);
		if (image == NULL)
			return zl_error_wrap(err, "image volume at %s: image %s (pull it first)",
			        mount->container_path, mount->image->image);
		container->volumes[container->volume_count++].image_id =
		        zl_arena_strdup(&container->arena, image->id);
	}
	return 0;
}

static int add_volumes(struct zl_container *container, struct zl_zone_container *what,
        struct zl_arena *arena, const struct zl_cancel *cancel, struct zl_error *err)
{
	const Runtime__V1__ContainerConfig *c = container->config;
	struct zl_zone_image_volume *volumes = zl_arena_array(arena, c->n_mounts, sizeof(*volumes));

	for (size_t i = 0; i < c->n_mounts; i++) {
		struct zl_zone_image_volume *volume = &volumes[what->image_volume_count];

		if (!zl_oci_is_image(c->mounts[i]))
			continue;
		if (container->sandbox->backend->volume_add(container,
		            &container->volumes[what->image_volume_count], volume, arena, cancel,
		            err) < 0)
			return zl_error_wrap(
			        err, "image volume at %s", c->mounts[i]->container_path);
		volume->sub_path = c->mounts[i]->image_sub_path;
		what->image_volume_count++;
	}
	what->image_volumes = volumes;
	return 0;
}

static int create_in_zone(struct zl_container *container, const struct zl_image *image,
        const struct zl_cancel *cancel, struct zl_error *err)
{
	zl_auto(arena) struct zl_arena arena = ZL_ARENA_INIT;
	zl_auto(free) char *user = zl_oci_user(container->config, image, err);
	struct zl_zone_client *client = zl_sandbox_client(container->sandbox, err);
	const Runtime__V1__ContainerConfig *c = container->config;
	struct zl_zone_container what = {
	        .id = container->id,
	        .oci_spec = container->spec,
	        .stdin_open = c->stdin,
	        .stdin_once = c->stdin_once,
	        .terminal = c->tty,
	};
	uint32_t groups[GROUPS_MAX];

	if (user == NULL || client == NULL || fill_user(container, user, &what, groups, err) < 0 ||
	        add_volumes(container, &what, &arena, cancel, err) < 0)
		return -1;
	if (container->sandbox->backend->mounts_add != NULL &&
	        container->sandbox->backend->mounts_add(container, cancel, err) < 0)
		return -1;
	zl_killpoint("create.mounts");
	what.share_tag = zl_pod_share_tag(container);
	what.share_name = zl_pod_share_name(container, &arena);
	if (container->sandbox->backend->rootfs_add(container, &what.rootfs, &arena, cancel, err) <
	        0)
		return -1;
	zl_killpoint("create.rootfs");
	what.rootfs.readonly = c->linux != NULL && c->linux->security_context != NULL &&
	                       c->linux->security_context->readonly_rootfs;
	if (zl_zone_container_create(client, &what, &container->user, cancel, err) < 0)
		return -1;
	zl_killpoint("create.zone");
	container->has_user = true;
	return 0;
}

static int finish_create(struct zl_container *container, struct zl_error *err)
{
	pthread_mutex_lock(&container->sandbox->lock);
	if (container->phase == ZL_CONTAINER_CREATING)
		container->phase = ZL_CONTAINER_CREATED;
	pthread_mutex_unlock(&container->sandbox->lock);
	return zl_container_save(container, err);
}

static struct zl_container *new_container(struct zl_sandbox *sandbox,
        const Runtime__V1__CreateContainerRequest *request, const struct zl_image *image,
        const struct zl_cancel *cancel, struct zl_error *err)
{
	zl_auto(container) struct zl_container *container = NULL;
	char id[ZL_ID_SIZE];

	if (zl_id_make(id, err) < 0)
		return NULL;
	container = zl_container_new(sandbox, id, request->config, err);
	if (container == NULL || find_volumes(container, err) < 0 ||
	        make_spec(container, image, cancel, err) < 0 ||
	        zl_container_add_record(container, err) < 0)
		return NULL;
	zl_killpoint("create.record");
	zl_container_index(container);
	return zl_take(container);
}

ZL_RPC_HANDLER(zl_handle_create_container, struct zl_services, CreateContainerRequest,
        CreateContainerResponse)
{
	zl_auto(sandbox) struct zl_sandbox *sandbox = NULL;
	zl_auto(gate) struct zl_gate *inside = NULL;
	zl_auto(image) struct zl_image *image = NULL;
	zl_auto(container) struct zl_container *container = NULL;

	if (check_config(request, err) < 0)
		return -1;
	sandbox = zl_sandbox_find(service, request->pod_sandbox_id, err);
	if (sandbox == NULL || zl_gate_enter(&sandbox->gate, false, &call->cancel, err) < 0)
		return -1;
	inside = &sandbox->gate;
	ZL_LOG_SCOPE("pod", zl_sandbox_pod(sandbox));
	if (zl_sandbox_client(sandbox, err) == NULL)
		return -1;
	image = find_image(service, request->config, err);
	container =
	        image != NULL ? new_container(sandbox, request, image, &call->cancel, err) : NULL;
	if (container == NULL)
		return -1;
	ZL_LOG_SCOPE("container", container->id);
	if (create_in_zone(container, image, &call->cancel, err) < 0 ||
	        finish_create(container, err) < 0) {
		zl_error_wrap(err, "pod %s, container %s", zl_sandbox_pod(sandbox),
		        container->config->metadata->name);
		zl_log_error("CreateContainer: %s", err->message);
		(void)zl_container_forget(container, NULL);
		return -1;
	}
	zl_killpoint("create.saved");
	zl_log_info("container created from image %s", container->image_ref);
	zl_publish_container(container, RUNTIME__V1__CONTAINER_EVENT_TYPE__CONTAINER_CREATED_EVENT);
	response->container_id = zl_call_strdup(call, container->id);
	return 0;
}

const char *zl_container_commit_path(struct zl_container *container, struct zl_arena *arena)
{
	return zl_arena_printf(
	        arena, "%s/%s.log-commit", container->sandbox->run_dir, container->id);
}

int zl_container_forget(struct zl_container *container, struct zl_error *err)
{
	zl_auto(arena) struct zl_arena arena = ZL_ARENA_INIT;
	struct zl_sandbox *sandbox = container->sandbox;
	struct zl_zone_client *client = zl_sandbox_client(sandbox, NULL);
	struct zl_error removed = ZL_ERROR_INIT;

	zl_error_set(&removed, ZL_UNAVAILABLE, "container %s was removed",
	        container->config->metadata->name);
	zl_peer_fail_container(container, &removed);
	if (client != NULL && zl_zone_container_delete(client, container->id, NULL, err) < 0)
		return -1;
	zl_killpoint("remove.zone");
	if (sandbox->backend->mounts_remove != NULL &&
	        sandbox->backend->mounts_remove(container, err) < 0)
		return -1;
	if (sandbox->backend->rootfs_remove(container, err) < 0)
		return -1;
	zl_killpoint("remove.rootfs");
	if (zl_file_remove(zl_container_commit_path(container, &arena), err) < 0 ||
	        zl_state_container_remove(sandbox->services->state, container->id, err) < 0)
		return -1;
	zl_killpoint("remove.record");
	zl_container_unindex(container);
	return 0;
}

ZL_RPC_HANDLER(zl_handle_remove_container, struct zl_services, RemoveContainerRequest,
        RemoveContainerResponse)
{
	zl_auto(container) struct zl_container *container =
	        zl_container_find(service, request->container_id, NULL);
	zl_auto(gate) struct zl_gate *in_sandbox = NULL;
	zl_auto(gate) struct zl_gate *inside = NULL;

	// One that is not there is removed (CRI: the call is idempotent).
	if (container == NULL)
		return 0;
	ZL_LOG_SCOPE("container", container->id);
	if (zl_gate_enter(&container->sandbox->gate, false, &call->cancel, err) < 0)
		return -1;
	in_sandbox = &container->sandbox->gate;
	if (zl_gate_enter(&container->gate, true, &call->cancel, err) < 0)
		return -1;
	inside = &container->gate;
	if (zl_container_forget(container, err) < 0)
		return zl_error_wrap(err, "remove container %s of pod %s",
		        container->config->metadata->name, zl_sandbox_pod(container->sandbox));
	zl_publish_container(container, RUNTIME__V1__CONTAINER_EVENT_TYPE__CONTAINER_DELETED_EVENT);
	return 0;
}
