// SPDX-License-Identifier: Apache-2.0
//
// PodSandboxStatus and ListPodSandbox.
#include "cri-server/sandbox/query.h"

#include <string.h>

#include "base/clock.h"
#include "base/json.h"
#include "cri-server/container/container.h"
#include "cri-server/message/json.h"
#include "cri-server/rpc/list.h"
#include "cri-server/sandbox/backend.h"
#include "cri-server/sandbox/lifecycle.h"
#include "cri-server/sandbox/resources.h"
#include "cri-server/sandbox/services.h"

static Runtime__V1__PodSandboxState state_of(enum zl_sandbox_phase phase)
{
	return phase == ZL_SANDBOX_READY ? RUNTIME__V1__POD_SANDBOX_STATE__SANDBOX_READY
	                                 : RUNTIME__V1__POD_SANDBOX_STATE__SANDBOX_NOTREADY;
}

static Runtime__V1__PodSandboxNetworkStatus *network_of(
        struct zl_sandbox *sandbox, struct zl_arena *arena)
{
	Runtime__V1__PodSandboxNetworkStatus *network =
	        ZL_MESSAGE_NEW(arena, PodSandboxNetworkStatus, pod_sandbox_network_status);
	size_t count = 0;

	pthread_mutex_lock(&sandbox->lock);
	while (sandbox->ips != NULL && sandbox->ips[count] != NULL)
		count++;
	if (count > 0)
		network->ip = zl_arena_strdup(arena, sandbox->ips[0]);
	network->additional_ips = zl_arena_array(arena, count, sizeof(void *));
	for (size_t i = 1; i < count; i++) {
		Runtime__V1__PodIP *ip = ZL_MESSAGE_NEW(arena, PodIP, pod_ip);

		ip->ip = zl_arena_strdup(arena, sandbox->ips[i]);
		network->additional_ips[network->n_additional_ips++] = ip;
	}
	pthread_mutex_unlock(&sandbox->lock);
	return network;
}

static Runtime__V1__LinuxPodSandboxStatus *linux_of(
        struct zl_sandbox *sandbox, struct zl_arena *arena)
{
	const Runtime__V1__LinuxPodSandboxConfig *lin = sandbox->config->linux;
	Runtime__V1__LinuxPodSandboxStatus *status =
	        ZL_MESSAGE_NEW(arena, LinuxPodSandboxStatus, linux_pod_sandbox_status);

	status->namespaces = ZL_MESSAGE_NEW(arena, Namespace, namespace);
	if (lin != NULL && lin->security_context != NULL &&
	        lin->security_context->namespace_options != NULL)
		status->namespaces->options =
		        zl_message_copy(arena, &lin->security_context->namespace_options->base);
	else
		status->namespaces->options =
		        ZL_MESSAGE_NEW(arena, NamespaceOption, namespace_option);
	return status;
}

Runtime__V1__PodSandboxStatus *zl_sandbox_status(struct zl_sandbox *sandbox, struct zl_arena *arena)
{
	const Runtime__V1__PodSandboxConfig *c = sandbox->config;
	Runtime__V1__PodSandboxStatus *status =
	        ZL_MESSAGE_NEW(arena, PodSandboxStatus, pod_sandbox_status);

	status->id = zl_arena_strdup(arena, sandbox->id);
	status->metadata = zl_message_copy(arena, &c->metadata->base);
	status->state = state_of(zl_sandbox_phase(sandbox));
	status->created_at = sandbox->created_at_ns;
	status->network = network_of(sandbox, arena);
	status->linux = linux_of(sandbox, arena);
	status->labels = zl_message_map(arena,
	        &runtime__v1__pod_sandbox_status__labels_entry__descriptor, c->labels, c->n_labels);
	status->n_labels = c->n_labels;
	status->annotations = zl_message_map(arena,
	        &runtime__v1__pod_sandbox_status__annotations_entry__descriptor, c->annotations,
	        c->n_annotations);
	status->n_annotations = c->n_annotations;
	status->runtime_handler = zl_arena_strdup(arena, sandbox->handler);
	return status;
}

static json_t *timeline_json(struct zl_sandbox *sandbox)
{
	json_t *list = json_array();

	for (size_t i = 0; i < sandbox->timeline.count; i++)
		json_array_append_new(
		        list, json_pack("{s:s, s:I}", "step", sandbox->timeline.steps[i].name,
		                      "atNs", (json_int_t)sandbox->timeline.steps[i].at_ns));
	return list;
}

// The zone behind the pod, for `zonectl zones` and `crictl inspectp`.
static char *verbose_info(struct zl_sandbox *sandbox, struct zl_arena *arena)
{
	zl_auto(json) json_t *info = NULL;
	zl_auto(free) char *text = NULL;
	int64_t now = zl_clock_real();

	pthread_mutex_lock(&sandbox->lock);
	info = json_pack("{s:s, s:I, s:I, s:s, s:s, s:I, s:I, s:I, s:s, s:s, s:s}", "handler",
	        sandbox->backend->name, "domid", (json_int_t)sandbox->domid, "pid",
	        (json_int_t)sandbox->pid, "name", sandbox->domain_name, "uuid",
	        sandbox->domain_uuid, "memoryBytes", (json_int_t)sandbox->size.memory_bytes,
	        "vcpus", (json_int_t)sandbox->size.vcpus, "uptimeNs",
	        (json_int_t)(sandbox->ready_at_ns > 0 ? now - sandbox->ready_at_ns : 0), "reason",
	        sandbox->reason, "message", sandbox->message, "netns", sandbox->netns);
	json_object_set_new(info, "timeline", timeline_json(sandbox));
	pthread_mutex_unlock(&sandbox->lock);
	text = json_dumps(info, JSON_COMPACT);
	return zl_arena_strdup(arena, text);
}

const char *zl_runtime_type(const struct zl_sandbox *sandbox)
{
	return sandbox->backend->zone ? "io.zonelet.zone.v1" : "io.zonelet.host.v1";
}

// The same pod under the names that containerd has.
static char *plain_info(struct zl_sandbox *sandbox, struct zl_arena *arena)
{
	zl_auto(json) json_t *config = zl_message_json(&sandbox->config->base);
	json_t *lin = json_object_get(config, "linux");
	zl_auto(json) json_t *info = NULL;
	zl_auto(free) char *text = NULL;
	Runtime__V1__LinuxContainerResources *now = zl_sandbox_resources(sandbox, arena);

	if (lin != NULL && now != NULL)
		json_object_set_new(lin, "resources", zl_message_json(&now->base));
	pthread_mutex_lock(&sandbox->lock);
	info = json_pack("{s:I, s:s, s:b, s:s, s:s, s:s, s:s, s:O?}", "pid",
	        (json_int_t)sandbox->pid, "processStatus",
	        sandbox->phase == ZL_SANDBOX_READY ? "running" : "stopped", "netNamespaceClosed",
	        (int)(sandbox->phase != ZL_SANDBOX_READY), "runtimeHandler", sandbox->handler,
	        "runtimeType", zl_runtime_type(sandbox), "hostname", sandbox->hostname, "netns",
	        sandbox->netns, "config", config);
	if (sandbox->domid >= 0)
		json_object_set_new(info, "domid", json_integer(sandbox->domid));
	pthread_mutex_unlock(&sandbox->lock);
	text = json_dumps(info, JSON_COMPACT);
	return zl_arena_strdup(arena, text);
}

static void fill_containers(struct zl_sandbox *sandbox, struct zl_call *call,
        Runtime__V1__PodSandboxStatusResponse *response)
{
	size_t count;
	struct zl_container **list = zl_container_list(sandbox->services, sandbox, &count);

	response->containers_statuses = zl_call_array(call, count, sizeof(void *));
	for (size_t i = 0; i < count; i++)
		response->containers_statuses[i] = zl_container_status(list[i], &call->arena);
	response->n_containers_statuses = count;
	zl_container_list_free(list, count);
}

ZL_RPC_HANDLER(zl_handle_pod_sandbox_status, struct zl_services, PodSandboxStatusRequest,
        PodSandboxStatusResponse)
{
	zl_auto(sandbox) struct zl_sandbox *sandbox =
	        zl_sandbox_find(service, request->pod_sandbox_id, err);

	if (sandbox == NULL)
		return -1;
	response->status = zl_sandbox_status(sandbox, &call->arena);
	fill_containers(sandbox, call, response);
	response->timestamp = zl_clock_real();
	if (request->verbose) {
		response->info = zl_call_array(call, 2, sizeof(void *));
		response->info[0] = zl_message_map_entry(&call->arena,
		        &runtime__v1__pod_sandbox_status_response__info_entry__descriptor, "zone",
		        verbose_info(sandbox, &call->arena));
		response->info[1] = zl_message_map_entry(&call->arena,
		        &runtime__v1__pod_sandbox_status_response__info_entry__descriptor, "info",
		        plain_info(sandbox, &call->arena));
		response->n_info = 2;
	}
	return 0;
}

static bool matches(struct zl_sandbox *sandbox, const Runtime__V1__PodSandboxFilter *filter)
{
	const Runtime__V1__PodSandboxConfig *c = sandbox->config;

	if (filter == NULL)
		return true;
	if (filter->id[0] != '\0' && strncmp(sandbox->id, filter->id, strlen(filter->id)) != 0)
		return false;
	if (filter->state != NULL && state_of(zl_sandbox_phase(sandbox)) != filter->state->state)
		return false;
	return zl_message_map_matches(
	        c->labels, c->n_labels, filter->label_selector, filter->n_label_selector);
}

static Runtime__V1__PodSandbox *list_entry(struct zl_sandbox *sandbox, struct zl_arena *arena)
{
	const Runtime__V1__PodSandboxConfig *c = sandbox->config;
	Runtime__V1__PodSandbox *entry = ZL_MESSAGE_NEW(arena, PodSandbox, pod_sandbox);

	entry->id = zl_arena_strdup(arena, sandbox->id);
	entry->metadata = zl_message_copy(arena, &c->metadata->base);
	entry->state = state_of(zl_sandbox_phase(sandbox));
	entry->created_at = sandbox->created_at_ns;
	entry->labels = zl_message_map(
	        arena, &runtime__v1__pod_sandbox__labels_entry__descriptor, c->labels, c->n_labels);
	entry->n_labels = c->n_labels;
	entry->annotations =
	        zl_message_map(arena, &runtime__v1__pod_sandbox__annotations_entry__descriptor,
	                c->annotations, c->n_annotations);
	entry->n_annotations = c->n_annotations;
	entry->runtime_handler = zl_arena_strdup(arena, sandbox->handler);
	return entry;
}

static Runtime__V1__PodSandbox **list_entries(struct zl_services *service, struct zl_call *call,
        const Runtime__V1__PodSandboxFilter *filter, size_t *ret_count)
{
	size_t count;
	struct zl_sandbox **list = zl_sandbox_list(service, &count);
	Runtime__V1__PodSandbox **entries = ZL_CALL_NEW_LIST(call, PodSandbox, count);

	*ret_count = 0;
	for (size_t i = 0; i < count; i++) {
		// One whose RunPodSandbox has not answered is nobody's yet.
		if (zl_sandbox_phase(list[i]) != ZL_SANDBOX_CREATING && matches(list[i], filter))
			entries[(*ret_count)++] = list_entry(list[i], &call->arena);
	}
	zl_sandbox_list_free(list, count);
	return entries;
}

ZL_RPC_HANDLER(zl_handle_list_pod_sandbox, struct zl_services, ListPodSandboxRequest,
        ListPodSandboxResponse)
{
	response->items = list_entries(service, call, request->filter, &response->n_items);
	return 0;
}

ZL_RPC_HANDLER(zl_handle_stream_pod_sandboxes, struct zl_services, StreamPodSandboxesRequest,
        StreamPodSandboxesResponse)
{
	size_t count;
	Runtime__V1__PodSandbox **entries = list_entries(service, call, request->filter, &count);

	return zl_call_send_list(call, &runtime__v1__stream_pod_sandboxes_response__descriptor,
	        (void **)entries, count, err);
}
