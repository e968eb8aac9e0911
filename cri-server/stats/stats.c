// SPDX-License-Identifier: Apache-2.0
#include "cri-server/stats/stats.h"

#include <string.h>

#include "cri-server/rpc/list.h"
#include "cri-server/sandbox/backend.h"
#include "cri-server/sandbox/services.h"
#include "cri-server/stats/collect.h"
#include "cri-server/stats/usage.h"

// ---- a container

// The node's directory that the kubelet finds the layers' file system by.
static const char *layer_mountpoint(const struct zl_sandbox *sandbox)
{
	return sandbox->backend->zone ? sandbox->services->config->images.dir
	                              : sandbox->services->config->root_dir;
}

static Runtime__V1__ContainerAttributes *attributes_of(
        const struct zl_container *container, struct zl_arena *arena)
{
	const Runtime__V1__ContainerConfig *c = container->config;
	Runtime__V1__ContainerAttributes *a =
	        ZL_MESSAGE_NEW(arena, ContainerAttributes, container_attributes);

	a->id = zl_arena_strdup(arena, container->id);
	a->metadata = zl_message_copy(arena, &c->metadata->base);
	a->labels =
	        zl_message_map(arena, &runtime__v1__container_attributes__labels_entry__descriptor,
	                c->labels, c->n_labels);
	a->n_labels = c->n_labels;
	a->annotations = zl_message_map(arena,
	        &runtime__v1__container_attributes__annotations_entry__descriptor, c->annotations,
	        c->n_annotations);
	a->n_annotations = c->n_annotations;
	return a;
}

static Runtime__V1__ContainerStats *container_stats(struct zl_container *container,
        const Zl__Zone__ContainerStats *from, int64_t at_ns, struct zl_arena *arena)
{
	Runtime__V1__ContainerStats *to = ZL_MESSAGE_NEW(arena, ContainerStats, container_stats);
	struct zl_cpu_sample sample;

	pthread_mutex_lock(&container->sandbox->lock);
	zl_cpu_sample_add(&container->cpu, at_ns, from->usage->cpu_ns);
	sample = container->cpu;
	pthread_mutex_unlock(&container->sandbox->lock);
	to->attributes = attributes_of(container, arena);
	to->cpu = zl_cri_cpu(arena, at_ns, &sample, from->usage);
	to->memory = zl_cri_memory(arena, at_ns, from->usage);
	to->swap = zl_cri_swap(arena, at_ns, from->usage);
	to->io = zl_cri_io(arena, at_ns, from->usage);
	to->writable_layer = zl_cri_layer(arena, at_ns, from, layer_mountpoint(container->sandbox));
	return to;
}

// ---- a pod

static Runtime__V1__PodSandboxAttributes *pod_attributes_of(
        const struct zl_sandbox *sandbox, struct zl_arena *arena)
{
	const Runtime__V1__PodSandboxConfig *c = sandbox->config;
	Runtime__V1__PodSandboxAttributes *a =
	        ZL_MESSAGE_NEW(arena, PodSandboxAttributes, pod_sandbox_attributes);

	a->id = zl_arena_strdup(arena, sandbox->id);
	a->metadata = zl_message_copy(arena, &c->metadata->base);
	a->labels = zl_message_map(arena,
	        &runtime__v1__pod_sandbox_attributes__labels_entry__descriptor, c->labels,
	        c->n_labels);
	a->n_labels = c->n_labels;
	a->annotations = zl_message_map(arena,
	        &runtime__v1__pod_sandbox_attributes__annotations_entry__descriptor, c->annotations,
	        c->n_annotations);
	a->n_annotations = c->n_annotations;
	return a;
}

// A zone lists what it likes: what is not this sandbox's container is nobody's.
static Runtime__V1__ContainerStats **all_container_stats(
        const struct zl_pod_usage *pod, struct zl_arena *arena, size_t *ret_count)
{
	const Zl__Zone__Stats *stats = pod->stats;
	Runtime__V1__ContainerStats **list =
	        zl_arena_array(arena, stats->n_containers, sizeof(*list));

	*ret_count = 0;
	for (size_t i = 0; i < stats->n_containers; i++) {
		zl_auto(container) struct zl_container *container =
		        zl_container_in(pod->sandbox, stats->containers[i]->id);

		if (container != NULL)
			list[(*ret_count)++] =
			        container_stats(container, stats->containers[i], pod->at_ns, arena);
	}
	return list;
}

static Runtime__V1__PodSandboxStats *pod_stats(
        const struct zl_pod_usage *pod, struct zl_arena *arena)
{
	Runtime__V1__PodSandboxStats *to =
	        ZL_MESSAGE_NEW(arena, PodSandboxStats, pod_sandbox_stats);
	Runtime__V1__LinuxPodSandboxStats *lin =
	        ZL_MESSAGE_NEW(arena, LinuxPodSandboxStats, linux_pod_sandbox_stats);
	const Zl__Zone__Usage *usage = pod->stats->pod;
	struct zl_cpu_sample sample;

	pthread_mutex_lock(&pod->sandbox->lock);
	zl_cpu_sample_add(&pod->sandbox->cpu, pod->at_ns,
	        pod->has_domain ? pod->domain.cpu_time_ns : usage->cpu_ns);
	sample = pod->sandbox->cpu;
	pthread_mutex_unlock(&pod->sandbox->lock);
	to->attributes = pod_attributes_of(pod->sandbox, arena);
	lin->cpu = zl_cri_cpu(arena, pod->at_ns, &sample, usage);
	lin->memory = pod->has_domain
	                      ? zl_cri_zone_memory(arena, pod->at_ns, pod->stats, &pod->domain)
	                      : zl_cri_memory(arena, pod->at_ns, usage);
	lin->network = zl_cri_network(arena, pod->at_ns, pod->stats);
	lin->process = zl_cri_processes(arena, pod->at_ns, usage);
	lin->io = zl_cri_io(arena, pod->at_ns, usage);
	lin->containers = all_container_stats(pod, arena, &lin->n_containers);
	to->linux = lin;
	return to;
}

// ---- one

static const Zl__Zone__ContainerStats *find_container(const Zl__Zone__Stats *stats, const char *id)
{
	for (size_t i = 0; i < stats->n_containers; i++) {
		if (strcmp(stats->containers[i]->id, id) == 0)
			return stats->containers[i];
	}
	return NULL;
}

ZL_RPC_HANDLER(zl_handle_container_stats, struct zl_services, ContainerStatsRequest,
        ContainerStatsResponse)
{
	zl_auto(usage_list) struct zl_usage_list list = ZL_USAGE_LIST_INIT;
	zl_auto(container) struct zl_container *container =
	        zl_container_find(service, request->container_id, err);
	const Zl__Zone__ContainerStats *stats;

	if (container == NULL ||
	        zl_usage_collect_one(container->sandbox, false, &call->cancel, &list, err) < 0)
		return -1;
	stats = find_container(list.pods[0].stats, container->id);
	if (stats == NULL)
		return zl_error_set(err, ZL_FAILED_PRECONDITION,
		        "container %s of pod %s is not running: it uses nothing",
		        container->config->metadata->name, zl_sandbox_pod(container->sandbox));
	response->stats = container_stats(container, stats, list.pods[0].at_ns, &call->arena);
	return 0;
}

ZL_RPC_HANDLER(zl_handle_pod_sandbox_stats, struct zl_services, PodSandboxStatsRequest,
        PodSandboxStatsResponse)
{
	zl_auto(usage_list) struct zl_usage_list list = ZL_USAGE_LIST_INIT;
	zl_auto(sandbox) struct zl_sandbox *sandbox =
	        zl_sandbox_find(service, request->pod_sandbox_id, err);

	if (sandbox == NULL || zl_usage_collect_one(sandbox, false, &call->cancel, &list, err) < 0)
		return -1;
	response->stats = pod_stats(&list.pods[0], &call->arena);
	return 0;
}

// ---- lists

static bool has_prefix(const char *id, const char *prefix)
{
	return strncmp(id, prefix, strlen(prefix)) == 0;
}

// Takes those out of the list that the test does not want. They are unreferenced.
typedef bool wanted(struct zl_sandbox *sandbox, const void *filter);

static void narrow(struct zl_sandbox **list, size_t *count, wanted *test, const void *filter)
{
	size_t kept = 0;

	for (size_t i = 0; i < *count; i++) {
		if (filter == NULL || test(list[i], filter))
			list[kept++] = list[i];
		else
			zl_sandbox_unref(list[i]);
	}
	*count = kept;
}

static int collect(struct zl_services *service, struct zl_call *call, wanted *test,
        const void *filter, struct zl_usage_list *ret, struct zl_error *err)
{
	size_t count;
	struct zl_sandbox **list = zl_sandbox_list(service, &count);
	int result;

	narrow(list, &count, test, filter);
	result = zl_usage_collect(service, list, count, false, &call->cancel, ret, err);
	zl_sandbox_list_free(list, count);
	return result;
}

// Only pods that may have such a container are asked.
static bool pod_may_have(struct zl_sandbox *sandbox, const void *data)
{
	const Runtime__V1__ContainerStatsFilter *filter = data;
	bool found = filter->id[0] == '\0';

	if (!has_prefix(sandbox->id, filter->pod_sandbox_id))
		return false;
	pthread_mutex_lock(&sandbox->lock);
	for (struct zl_container *c = sandbox->containers; !found && c != NULL;
	        c = c->hh_sandbox.next)
		found = has_prefix(c->id, filter->id);
	pthread_mutex_unlock(&sandbox->lock);
	return found;
}

static bool container_wanted(
        const struct zl_container *container, const Runtime__V1__ContainerStatsFilter *filter)
{
	const Runtime__V1__ContainerConfig *c = container->config;

	if (filter == NULL)
		return true;
	return has_prefix(container->id, filter->id) &&
	       zl_message_map_matches(
	               c->labels, c->n_labels, filter->label_selector, filter->n_label_selector);
}

static int list_containers(struct zl_services *service, struct zl_call *call,
        const Runtime__V1__ContainerStatsFilter *filter, Runtime__V1__ContainerStats ***ret,
        size_t *ret_count, struct zl_error *err)
{
	zl_auto(usage_list) struct zl_usage_list list = ZL_USAGE_LIST_INIT;
	size_t most = 0;

	if (collect(service, call, pod_may_have, filter, &list, err) < 0)
		return -1;
	for (size_t i = 0; i < list.count; i++)
		most += list.pods[i].stats->n_containers;
	*ret = ZL_CALL_NEW_LIST(call, ContainerStats, most);
	*ret_count = 0;
	for (size_t i = 0; i < list.count; i++) {
		const struct zl_pod_usage *pod = &list.pods[i];

		for (size_t k = 0; k < pod->stats->n_containers; k++) {
			const Zl__Zone__ContainerStats *from = pod->stats->containers[k];
			zl_auto(container) struct zl_container *container =
			        zl_container_in(pod->sandbox, from->id);

			if (container != NULL && container_wanted(container, filter))
				(*ret)[(*ret_count)++] =
				        container_stats(container, from, pod->at_ns, &call->arena);
		}
	}
	return 0;
}

ZL_RPC_HANDLER(zl_handle_list_container_stats, struct zl_services, ListContainerStatsRequest,
        ListContainerStatsResponse)
{
	return list_containers(
	        service, call, request->filter, &response->stats, &response->n_stats, err);
}

ZL_RPC_HANDLER(zl_handle_stream_container_stats, struct zl_services, StreamContainerStatsRequest,
        StreamContainerStatsResponse)
{
	Runtime__V1__ContainerStats **list;
	size_t count;

	if (list_containers(service, call, request->filter, &list, &count, err) < 0)
		return -1;
	return zl_call_send_list(call, &runtime__v1__stream_container_stats_response__descriptor,
	        (void **)list, count, err);
}

static bool pod_wanted(struct zl_sandbox *sandbox, const void *data)
{
	const Runtime__V1__PodSandboxStatsFilter *filter = data;
	const Runtime__V1__PodSandboxConfig *c = sandbox->config;

	return has_prefix(sandbox->id, filter->id) &&
	       zl_message_map_matches(
	               c->labels, c->n_labels, filter->label_selector, filter->n_label_selector);
}

static int list_pods(struct zl_services *service, struct zl_call *call,
        const Runtime__V1__PodSandboxStatsFilter *filter, Runtime__V1__PodSandboxStats ***ret,
        size_t *ret_count, struct zl_error *err)
{
	zl_auto(usage_list) struct zl_usage_list list = ZL_USAGE_LIST_INIT;

	if (collect(service, call, pod_wanted, filter, &list, err) < 0)
		return -1;
	*ret = ZL_CALL_NEW_LIST(call, PodSandboxStats, list.count);
	for (size_t i = 0; i < list.count; i++)
		(*ret)[i] = pod_stats(&list.pods[i], &call->arena);
	*ret_count = list.count;
	return 0;
}

ZL_RPC_HANDLER(zl_handle_list_pod_sandbox_stats, struct zl_services, ListPodSandboxStatsRequest,
        ListPodSandboxStatsResponse)
{
	return list_pods(service, call, request->filter, &response->stats, &response->n_stats, err);
}

ZL_RPC_HANDLER(zl_handle_stream_pod_sandbox_stats, struct zl_services, StreamPodSandboxStatsRequest,
        StreamPodSandboxStatsResponse)
{
	Runtime__V1__PodSandboxStats **list;
	size_t count;

	if (list_pods(service, call, request->filter, &list, &count, err) < 0)
		return -1;
	return zl_call_send_list(call, &runtime__v1__stream_pod_sandbox_stats_response__descriptor,
	        (void **)list, count, err);
}
