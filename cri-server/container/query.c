// SPDX-License-Identifier: Apache-2.0
//
// ListContainers, ContainerStatus, GetContainerEvents.
#include <string.h>

#include "base/clock.h"
#include "base/json.h"
#include "base/log.h"
#include "cri-server/container/container.h"
#include "cri-server/message/json.h"
#include "cri-server/oci/resources.h"
#include "cri-server/oci/signal.h"
#include "cri-server/rpc/list.h"
#include "cri-server/sandbox/backend.h"
#include "cri-server/sandbox/lifecycle.h"
#include "cri-server/sandbox/query.h"
#include "cri-server/sandbox/resources.h"
#include "cri-server/sandbox/services.h"

// One that was created and never ran, and one being made, are CREATED to CRI.
static Runtime__V1__ContainerState state_of(enum zl_container_phase phase)
{
	switch (phase) {
	case ZL_CONTAINER_RUNNING:
		return RUNTIME__V1__CONTAINER_STATE__CONTAINER_RUNNING;
	case ZL_CONTAINER_EXITED:
	case ZL_CONTAINER_REMOVING:
		return RUNTIME__V1__CONTAINER_STATE__CONTAINER_EXITED;
	case ZL_CONTAINER_CREATING:
	case ZL_CONTAINER_CREATED:
	case ZL_CONTAINER_STARTING:
		break;
	}
	return RUNTIME__V1__CONTAINER_STATE__CONTAINER_CREATED;
}

static Runtime__V1__ImageSpec *image_spec(struct zl_container *container, struct zl_arena *arena)
{
	Runtime__V1__ImageSpec *spec = zl_message_copy(arena, &container->config->image->base);

	if (spec->user_specified_image[0] == '\0')
		spec->user_specified_image = spec->image;
	return spec;
}

static Runtime__V1__ContainerUser *user_of(struct zl_container *container, struct zl_arena *arena)
{
	Runtime__V1__ContainerUser *user = ZL_MESSAGE_NEW(arena, ContainerUser, container_user);
	Runtime__V1__LinuxContainerUser *lin =
	        ZL_MESSAGE_NEW(arena, LinuxContainerUser, linux_container_user);

	lin->uid = container->user.uid;
	lin->gid = container->user.gid;
	lin->n_supplemental_groups = container->user.group_count;
	lin->supplemental_groups =
	        zl_arena_array(arena, container->user.group_count, sizeof(int64_t));
	for (size_t i = 0; i < container->user.group_count; i++)
		lin->supplemental_groups[i] = container->user.groups[i];
	user->linux = lin;
	return user;
}

static Runtime__V1__ContainerResources *resources_of(
        struct zl_container *container, struct zl_arena *arena)
{
	Runtime__V1__ContainerResources *resources =
	        ZL_MESSAGE_NEW(arena, ContainerResources, container_resources);

	resources->linux = zl_container_resources(container, arena);
	if (resources->linux == NULL)
		resources->linux =
		        ZL_MESSAGE_NEW(arena, LinuxContainerResources, linux_container_resources);
	return resources;
}

static void fill_changing(struct zl_container *container, Runtime__V1__ContainerStatus *status,
        struct zl_arena *arena)
{
	pthread_mutex_lock(&container->sandbox->lock);
	status->state = state_of(container->phase);
	status->started_at = container->started_at_ns;
	status->finished_at = container->finished_at_ns;
	status->exit_code = container->exit_code;
	status->reason = zl_arena_strdup(arena, container->reason);
	status->message = zl_arena_strdup(arena, container->message);
	if (container->has_user)
		status->user = user_of(container, arena);
	pthread_mutex_unlock(&container->sandbox->lock);
}

static void copy_mounts(struct zl_container *container, Runtime__V1__ContainerStatus *status,
        struct zl_arena *arena)
{
	const Runtime__V1__ContainerConfig *c = container->config;

	status->n_mounts = c->n_mounts;
	status->mounts = zl_arena_array(arena, c->n_mounts, sizeof(Runtime__V1__Mount *));
	for (size_t i = 0; i < c->n_mounts; i++)
		status->mounts[i] = zl_message_copy(arena, &c->mounts[i]->base);
}

Runtime__V1__ContainerStatus *zl_container_status(
        struct zl_container *container, struct zl_arena *arena)
{
	const Runtime__V1__ContainerConfig *c = container->config;
	Runtime__V1__ContainerStatus *status =
	        ZL_MESSAGE_NEW(arena, ContainerStatus, container_status);

	status->id = zl_arena_strdup(arena, container->id);
	status->metadata = zl_message_copy(arena, &c->metadata->base);
	status->created_at = container->created_at_ns;
	status->image = image_spec(container, arena);
	status->image_ref = zl_arena_strdup(arena, container->image_ref);
	status->image_id = zl_arena_strdup(arena, container->image_id);
	status->labels = zl_message_map(arena,
	        &runtime__v1__container_status__labels_entry__descriptor, c->labels, c->n_labels);
	status->n_labels = c->n_labels;
	status->annotations =
	        zl_message_map(arena, &runtime__v1__container_status__annotations_entry__descriptor,
	                c->annotations, c->n_annotations);
	status->n_annotations = c->n_annotations;
	status->log_path = zl_arena_strdup(arena, container->log_path);
	status->resources = resources_of(container, arena);
	status->stop_signal = zl_signal_to_cri(container->stop_signal);
	copy_mounts(container, status, arena);
	fill_changing(container, status, arena);
	return status;
}

// The spec that it was made with, with the limits that it has now.
static json_t *spec_of(struct zl_container *container, struct zl_arena *arena)
{
	json_t *spec = json_loads(container->spec, 0, NULL);
	json_t *resources = json_object_get(json_object_get(spec, "linux"), "resources");
	zl_auto(json) json_t *now = zl_oci_resources(
	        zl_container_resources(container, arena), container->sandbox->backend->zone);

	if (resources != NULL && now != NULL)
		(void)json_object_update(resources, now);
	return spec;
}

// What `crictl inspect` shows besides the status, under the names that containerd has: pid (in the
// zone), the spec, the sandbox, the image's blobs; and the domain.
static char *verbose_info(struct zl_container *container, struct zl_arena *arena)
{
	struct zl_sandbox *sandbox = container->sandbox;
	zl_auto(json) json_t *config = zl_message_json(&container->config->base);
	zl_auto(json) json_t *spec = spec_of(container, arena);
	zl_auto(json) json_t *info = NULL;
	zl_auto(free) char *text = NULL;
	bool removing;
	int64_t domid;
	int64_t pid;

	pthread_mutex_lock(&sandbox->lock);
	pid = container->pid;
	domid = sandbox->domid;
	removing = container->phase == ZL_CONTAINER_REMOVING;
	pthread_mutex_unlock(&sandbox->lock);
	info = json_pack("{s:s, s:I, s:b, s:s, s:s, s:s, s:s, s:s, s:O?, s:O?}", "sandboxID",
	        sandbox->id, "pid", (json_int_t)pid, "removing", (int)removing, "handler",
	        sandbox->backend->name, "runtimeType", zl_runtime_type(sandbox), "snapshotter",
	        "erofs", "snapshotKey", container->image_id, "imageDevice", container->image_vdev,
	        "config", config, "runtimeSpec", spec);
	if (domid >= 0)
		json_object_set_new(info, "domid", json_integer(domid));
	text = json_dumps(info, JSON_COMPACT);
	return zl_arena_strdup(arena, text);
}

ZL_RPC_HANDLER(zl_handle_container_status, struct zl_services, ContainerStatusRequest,
        ContainerStatusResponse)
{
	zl_auto(container) struct zl_container *container =
	        zl_container_find(service, request->container_id, err);

	if (container == NULL)
		return -1;
	response->status = zl_container_status(container, &call->arena);
	if (request->verbose) {
		response->info = zl_call_array(call, 1, sizeof(void *));
		response->info[0] = zl_message_map_entry(&call->arena,
		        &runtime__v1__container_status_response__info_entry__descriptor, "info",
		        verbose_info(container, &call->arena));
		response->n_info = 1;
	}
	return 0;
}

static bool matches(struct zl_container *container, const Runtime__V1__ContainerFilter *filter)
{
	const Runtime__V1__ContainerConfig *c = container->config;

	if (filter == NULL)
		return true;
	if (filter->id[0] != '\0' && strncmp(container->id, filter->id, strlen(filter->id)) != 0)
		return false;
	if (filter->pod_sandbox_id[0] != '\0' &&
	        strncmp(container->sandbox->id, filter->pod_sandbox_id,
	                strlen(filter->pod_sandbox_id)) != 0)
		return false;
	if (filter->state != NULL &&
	        state_of(zl_container_phase(container)) != filter->state->state)
		return false;
	return zl_message_map_matches(
	        c->labels, c->n_labels, filter->label_selector, filter->n_label_selector);
}

static Runtime__V1__Container *list_entry(struct zl_container *container, struct zl_arena *arena)
{
	const Runtime__V1__ContainerConfig *c = container->config;
	Runtime__V1__Container *entry = ZL_MESSAGE_NEW(arena, Container, container);

	entry->id = zl_arena_strdup(arena, container->id);
	entry->pod_sandbox_id = zl_arena_strdup(arena, container->sandbox->id);
	entry->metadata = zl_message_copy(arena, &c->metadata->base);
	entry->image = image_spec(container, arena);
	entry->image_ref = zl_arena_strdup(arena, container->image_ref);
	entry->image_id = zl_arena_strdup(arena, container->image_id);
	entry->state = state_of(zl_container_phase(container));
	entry->created_at = container->created_at_ns;
	entry->labels = zl_message_map(
	        arena, &runtime__v1__container__labels_entry__descriptor, c->labels, c->n_labels);
	entry->n_labels = c->n_labels;
	entry->annotations =
	        zl_message_map(arena, &runtime__v1__container__annotations_entry__descriptor,
	                c->annotations, c->n_annotations);
	entry->n_annotations = c->n_annotations;
	return entry;
}

static Runtime__V1__Container **list_entries(struct zl_services *service, struct zl_call *call,
        const Runtime__V1__ContainerFilter *filter, size_t *ret_count)
{
	size_t count;
	struct zl_container **list = zl_container_list(service, NULL, &count);
	Runtime__V1__Container **entries = ZL_CALL_NEW_LIST(call, Container, count);

	*ret_count = 0;
	for (size_t i = 0; i < count; i++) {
		// One whose CreateContainer has not answered is nobody's yet.
		if (zl_container_phase(list[i]) != ZL_CONTAINER_CREATING &&
		        matches(list[i], filter))
			entries[(*ret_count)++] = list_entry(list[i], &call->arena);
	}
	zl_container_list_free(list, count);
	return entries;
}

ZL_RPC_HANDLER(zl_handle_list_containers, struct zl_services, ListContainersRequest,
        ListContainersResponse)
{
	response->containers =
	        list_entries(service, call, request->filter, &response->n_containers);
	return 0;
}

ZL_RPC_HANDLER(zl_handle_stream_containers, struct zl_services, StreamContainersRequest,
        StreamContainersResponse)
{
	size_t count;
	Runtime__V1__Container **entries = list_entries(service, call, request->filter, &count);

	return zl_call_send_list(call, &runtime__v1__stream_containers_response__descriptor,
	        (void **)entries, count, err);
}

// ---- events

static void publish(
        struct zl_sandbox *sandbox, const char *container_id, Runtime__V1__ContainerEventType type)
{
	zl_auto(arena) struct zl_arena arena = ZL_ARENA_INIT;
	zl_auto(buffer) struct zl_buffer packed = ZL_BUFFER_INIT;
	Runtime__V1__ContainerEventResponse *event =
	        ZL_MESSAGE_NEW(&arena, ContainerEventResponse, container_event_response);
	size_t count;
	struct zl_container **list = zl_container_list(sandbox->services, sandbox, &count);

	event->container_id = zl_arena_strdup(&arena, container_id);
	event->container_event_type = type;
	event->created_at = zl_clock_real();
	event->pod_sandbox_status = zl_sandbox_status(sandbox, &arena);
	event->containers_statuses = zl_arena_array(&arena, count, sizeof(void *));
	for (size_t i = 0; i < count; i++)
		event->containers_statuses[i] = zl_container_status(list[i], &arena);
	event->n_containers_statuses = count;
	zl_container_list_free(list, count);
	zl_message_scrub(&arena, &event->base);
	if (zl_message_pack(&event->base, &packed, NULL) == 0)
		zl_events_publish(sandbox->services->events, packed.data, packed.length);
}

void zl_publish_container(struct zl_container *container, Runtime__V1__ContainerEventType type)
{
	publish(container->sandbox, container->id, type);
}

void zl_publish_sandbox(struct zl_sandbox *sandbox, Runtime__V1__ContainerEventType type)
{
	publish(sandbox, sandbox->id, type);
}

ZL_RPC_HANDLER(zl_handle_get_container_events, struct zl_services, GetEventsRequest,
        ContainerEventResponse)
{
	zl_auto(event_reader) struct zl_event_reader *reader =
	        zl_events_subscribe(service->events, err);
	zl_auto(buffer) struct zl_buffer bytes = ZL_BUFFER_INIT;

	if (reader == NULL)
		return -1;
	while (zl_events_next(reader, &bytes, &call->cancel, err) == 0) {
		zl_auto(arena) struct zl_arena arena = ZL_ARENA_INIT;
		ProtobufCMessage *event = zl_message_unpack(&arena,
		        &runtime__v1__container_event_response__descriptor, bytes.data,
		        bytes.length, ZL_MESSAGE_MEMORY_LIMIT, err);

		if (event == NULL || zl_call_send(call, event, err) < 0)
			return -1;
	}
	return -1;
}

void zl_container_finish(struct zl_container *container)
{
	struct zl_error why = ZL_ERROR_INIT;

	ZL_LOG_SCOPE("pod", zl_sandbox_pod(container->sandbox));
	ZL_LOG_SCOPE("container", container->id);
	zl_log_info("container exited with %d (%s)", container->exit_code, container->reason);
	if (zl_container_save(container, &why) < 0 && why.code != ZL_NOT_FOUND)
		zl_log_error("writing down that the container exited: %s", why.message);
	zl_publish_container(container, RUNTIME__V1__CONTAINER_EVENT_TYPE__CONTAINER_STOPPED_EVENT);
}
