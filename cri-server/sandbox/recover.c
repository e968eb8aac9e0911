// SPDX-License-Identifier: Apache-2.0
#include "cri-server/sandbox/recover.h"

#include <string.h>

#include "base/json.h"
#include "base/log.h"
#include "base/strv.h"
#include "cri-server/container/container.h"
#include "cri-server/sandbox/backend.h"
#include "cri-server/sandbox/channel.h"
#include "cri-server/sandbox/lifecycle.h"
#include "cri-server/sandbox/services.h"

// {"share": generation}: it has a 9P server.
static void read_sandbox_extra(struct zl_sandbox *sandbox, const char *text)
{
	zl_auto(json) json_t *extra = json_loads(text, 0, NULL);
	const json_t *share = json_object_get(extra, "share");

	atomic_store(&sandbox->share.started, json_is_integer(share));
	atomic_store(&sandbox->share.generation, (unsigned)json_integer_value(share));
}

static struct zl_sandbox *sandbox_from_record(
        struct zl_services *services, const struct zl_sandbox_record *record, struct zl_error *err)
{
	zl_auto(arena) struct zl_arena arena = ZL_ARENA_INIT;
	const struct zl_backend *backend = zl_backend_find(services, record->handler, err);
	const Runtime__V1__PodSandboxConfig *config =
	        zl_message_unpack(&arena, &runtime__v1__pod_sandbox_config__descriptor,
	                record->config, record->config_length, ZL_MESSAGE_MEMORY_LIMIT, err);
	struct zl_sandbox *sandbox;

	if (backend == NULL || config == NULL)
		return NULL;
	sandbox = zl_sandbox_new(services, backend, record->handler, record->id, config, err);
	if (sandbox == NULL)
		return NULL;
	sandbox->created_at_ns = record->created_at_ns;
	sandbox->ready_at_ns = record->ready_at_ns;
	sandbox->phase = record->phase;
	sandbox->recovered = true;
	sandbox->network_gone = record->step == ZL_STEP_STOPPED;
	sandbox->domid = record->domid;
	sandbox->pid = record->pid;
	sandbox->pid_started = record->pid_started;
	sandbox->size = (struct zl_zone_size){.memory_bytes = record->memory_bytes,
	        .vcpus = record->vcpus,
	        .scratch_bytes = record->scratch_bytes};
	(void)snprintf(sandbox->reason, sizeof(sandbox->reason), "%s", record->reason);
	(void)snprintf(sandbox->message, sizeof(sandbox->message), "%s", record->message);
	read_sandbox_extra(sandbox, record->extra);
	if (record->ips != NULL)
		sandbox->ips = zl_strv_copy((char *const *)record->ips,
		        zl_strv_length((char *const *)record->ips), NULL);
	return sandbox;
}

// ---- containers

static void read_volumes(struct zl_container *container, const json_t *list)
{
	size_t count = json_array_size(list);

	container->volumes = zl_arena_array(&container->arena, count, sizeof(*container->volumes));
	for (size_t i = 0; i < count; i++) {
		const json_t *each = json_array_get(list, i);
		struct zl_container_volume *volume = &container->volumes[container->volume_count];
		const char *image = zl_json_string(each, "image");
		const char *device = zl_json_string(each, "device");

		if (image == NULL || device == NULL)
			continue;
		volume->image_id = zl_arena_strdup(&container->arena, image);
		(void)snprintf(volume->vdev, sizeof(volume->vdev), "%s", device);
		container->volume_count++;
	}
}

static void read_extra(struct zl_container *container, const char *text)
{
	zl_auto(json) json_t *extra = json_loads(text, 0, NULL);
	json_t *user = json_object_get(extra, "user");
	json_t *groups = json_object_get(user, "additionalGids");
	const char *spec = zl_json_string(extra, "spec");
	size_t index;
	json_t *group;

	if (spec != NULL)
		container->spec = zl_arena_strdup(&container->arena, spec);
	container->stop_signal = (int)json_integer_value(json_object_get(extra, "stopSignal"));
	read_volumes(container, json_object_get(extra, "volumes"));
	container->has_user = user != NULL;
	container->user.uid = (uint32_t)json_integer_value(json_object_get(user, "uid"));
	container->user.gid = (uint32_t)json_integer_value(json_object_get(user, "gid"));
	json_array_foreach(groups, index, group)
	{
		if (container->user.group_count < ZL_ARRAY_SIZE(container->user.groups))
			container->user.groups[container->user.group_count++] =
			        (uint32_t)json_integer_value(group);
	}
}

static struct zl_container *container_from_record(
        struct zl_sandbox *sandbox, const struct zl_container_record *record, struct zl_error *err)
{
	zl_auto(arena) struct zl_arena arena = ZL_ARENA_INIT;
	const Runtime__V1__ContainerConfig *config =
	        zl_message_unpack(&arena, &runtime__v1__container_config__descriptor,
	                record->config, record->config_length, ZL_MESSAGE_MEMORY_LIMIT, err);
	struct zl_container *container;

	if (config == NULL)
		return NULL;
	container = zl_container_new(sandbox, record->id, config, err);
	if (container == NULL)
		return NULL;
	container->image_id = zl_arena_strdup(&container->arena, record->image_id);
	container->image_ref = zl_arena_strdup(&container->arena, record->image_ref);
	container->created_at_ns = record->created_at_ns;
	container->started_at_ns = record->started_at_ns;
	container->finished_at_ns = record->finished_at_ns;
	container->phase = record->phase;
	container->pid = record->pid;
	container->exit_code = record->exit_code;
	(void)snprintf(container->reason, sizeof(container->reason), "%s", record->reason);
	(void)snprintf(container->message, sizeof(container->message), "%s", record->message);
	read_extra(container, record->extra);
	return container;
}

// Makes the objects of a sandbox's containers and says again which images they hold.
static int load_containers(struct zl_sandbox *sandbox, struct zl_error *err)
{
	struct zl_container_record *records = NULL;
	size_t count = 0;
	int result = 0;

	if (zl_state_container_list(sandbox->services->state, sandbox->id, &records, &count, err) <
	        0)
		return -1;
	for (size_t i = 0; i < count && result == 0; i++) {
		zl_auto(container) struct zl_container *container =
		        container_from_record(sandbox, &records[i], err);

		if (container == NULL) {
			result = -1;
			break;
		}
		zl_container_index(container);
		if (records[i].image_device[0] != '\0' && sandbox->phase == ZL_SANDBOX_READY)
			result = sandbox->backend->rootfs_recover(
			        container, records[i].image_device, err);
	}
	zl_container_records_free(records, count);
	return result;
}

// ---- a running pod

// The log goes on where its record says.
static int resume_log(struct zl_container *container, struct zl_error *err)
{
	zl_auto(arena) struct zl_arena arena = ZL_ARENA_INIT;
	struct zl_zone_client *client = container->sandbox->client;

	container->log = zl_container_log_open(
	        container->log_path, zl_container_commit_path(container, &arena), true, err);
	if (container->log == NULL)
		return -1;
	if (zl_zone_stream_seek(client, container->id, ZL_ZONE_STDOUT,
	            zl_container_log_offset(container->log, ZL_LOG_STDOUT), err) < 0)
		return -1;
	if (container->config->tty)
		return 0;
	return zl_zone_stream_seek(client, container->id, ZL_ZONE_STDERR,
	        zl_container_log_offset(container->log, ZL_LOG_STDERR), err);
}

static const struct zl_zone_status *find_status(
        const struct zl_zone_status *list, size_t count, const char *id)
{
	for (size_t i = 0; i < count; i++) {
		if (strcmp(list[i].id, id) == 0)
			return &list[i];
	}
	return NULL;
}

// What the supervisor says of a container goes before what the database last knew.
static void catch_up(struct zl_container *container, const struct zl_zone_status *status)
{
	struct zl_error why = ZL_ERROR_INIT;

	if (container->phase == ZL_CONTAINER_CREATING ||
	        container->phase == ZL_CONTAINER_REMOVING) {
		if (zl_container_forget(container, &why) < 0)
			zl_log_error("removing a half-made container: %s", why.message);
		return;
	}
	if (status == NULL) {
		if (zl_container_set_exited(container, 255, false, 0, "Unknown",
		            "the supervisor does not know the container any more"))
			zl_container_finish(container);
		return;
	}
	if (status->state == ZL_ZONE_CREATED) {
		container->phase = ZL_CONTAINER_CREATED;
		return;
	}
	if (resume_log(container, &why) < 0)
		zl_log_error("going on with the log: %s", why.message);
	container->started_at_ns = status->started_at_ns;
	if (status->state == ZL_ZONE_STARTED) {
		container->phase = ZL_CONTAINER_RUNNING;
		container->pid = status->pid;
	} else if (zl_container_set_exited(container, status->exit_code, status->oom_killed,
	                   status->finished_at_ns, NULL, NULL)) {
		zl_container_finish(container);
	}
}

static int catch_up_all(struct zl_sandbox *sandbox, struct zl_error *err)
{
	zl_auto(free) struct zl_zone_status *statuses = NULL;
	size_t status_count = 0;
	struct zl_container **list;
	size_t count;

	if (zl_zone_container_list(sandbox->client, &statuses, &status_count, NULL, err) < 0)
		return -1;
	list = zl_container_list(sandbox->services, sandbox, &count);
	for (size_t i = 0; i < count; i++) {
		ZL_LOG_SCOPE("container", list[i]->id);
		catch_up(list[i], find_status(statuses, status_count, list[i]->id));
	}
	zl_container_list_free(list, count);
	return zl_zone_client_resume(sandbox->client, err);
}

static int reconnect(struct zl_sandbox *sandbox, struct zl_error *err)
{
	if (sandbox->backend->recover(sandbox, err) < 0)
		return -1;
	if (zl_sandbox_connect(sandbox, NULL, err) < 0)
		return -1;
	return catch_up_all(sandbox, err);
}

// Under its gate, as the callbacks of a zone that dies meanwhile expect.
static void recover_ready(struct zl_sandbox *sandbox)
{
	zl_auto(gate) struct zl_gate *inside = NULL;
	struct zl_error why = ZL_ERROR_INIT;

	if (zl_gate_enter(&sandbox->gate, true, NULL, &why) < 0)
		return;
	inside = &sandbox->gate;
	if (reconnect(sandbox, &why) == 0) {
		zl_log_info("reconnected to the sandbox");
		return;
	}
	zl_log_error("the sandbox did not survive: %s", why.message);
	zl_sandbox_disconnect(sandbox);
	zl_sandbox_set_phase(sandbox, ZL_SANDBOX_NOTREADY, "SandboxDied", why.message);
	zl_sandbox_end_containers(sandbox, why.message);
	if (sandbox->backend->destroy(sandbox, &why) < 0 ||
	        zl_sandbox_save(sandbox, ZL_STEP_DONE, &why) < 0)
		zl_log_error("freeing what the dead sandbox held: %s", why.message);
}

// ---- a pod that was being made or removed

// What fails here is pending and left to the caretaker.
static void finish(struct zl_sandbox *sandbox)
{
	struct zl_error why = ZL_ERROR_INIT;

	if (zl_sandbox_end(sandbox, &why) < 0)
		zl_log_error("ending a sandbox that an earlier daemon began to make or to end: %s",
		        why.message);
	else if (sandbox->forgotten)
		zl_log_info("removed a sandbox that was half made or half removed");
}

static void recover_one(struct zl_services *services, const struct zl_sandbox_record *record)
{
	struct zl_error why = ZL_ERROR_INIT;
	zl_auto(sandbox) struct zl_sandbox *sandbox = sandbox_from_record(services, record, &why);

	ZL_LOG_SCOPE("sandbox", record->id);
	if (sandbox == NULL) {
		zl_log_error("reading the sandbox's record: %s", why.message);
		return;
	}
	zl_sandbox_index(sandbox);
	if (load_containers(sandbox, &why) < 0)
		zl_log_error("reading the sandbox's containers: %s", why.message);
	switch (record->phase) {
	case ZL_SANDBOX_READY:
		recover_ready(sandbox);
		break;
	case ZL_SANDBOX_NOTREADY:
		if (record->step != ZL_STEP_STOPPED)
			finish(sandbox);
		break;
	case ZL_SANDBOX_CREATING:
	case ZL_SANDBOX_REMOVING:
		zl_sandbox_set_phase(sandbox, ZL_SANDBOX_REMOVING, "", "");
		finish(sandbox);
		break;
	}
}

// What belongs to no sandbox of the database goes. One that could not be recovered keeps its own.
static int sweep(struct zl_services *services, struct zl_error *err)
{
	struct zl_sandbox_record *records = NULL;
	zl_auto(free) const char **ids = NULL;
	size_t count = 0;
	int result;

	if (zl_state_sandbox_list(services->state, &records, &count, err) < 0)
		return -1;
	ids = calloc(count + 1, sizeof(*ids));
	for (size_t i = 0; ids != NULL && i < count; i++)
		ids[i] = records[i].id;
	result = ids != NULL ? zl_store_sweep(services->store, ids, count, err)
	                     : zl_error_nomem(err);
	zl_sandbox_records_free(records, count);
	return result;
}

int zl_services_recover(struct zl_services *services, struct zl_error *err)
{
	struct zl_sandbox_record *records = NULL;
	size_t count = 0;

	if (zl_state_sandbox_list(services->state, &records, &count, err) < 0)
		return -1;
	for (size_t i = 0; i < count; i++)
		recover_one(services, &records[i]);
	zl_sandbox_records_free(records, count);
	return sweep(services, err);
}
