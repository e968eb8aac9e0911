// SPDX-License-Identifier: Apache-2.0
//
// ListMetricDescriptors, ListPodSandboxMetrics, StreamPodSandboxMetrics.
#include "cri-server/container/container.h"
#include "cri-server/rpc/list.h"
#include "cri-server/sandbox/resources.h"
#include "cri-server/sandbox/services.h"
#include "cri-server/stats/collect.h"
#include "cri-server/stats/metrics.h"
#include "cri-server/stats/stats.h"
#include "cri-server/stats/usage.h"

ZL_RPC_HANDLER(zl_handle_list_metric_descriptors, struct zl_services, ListMetricDescriptorsRequest,
        ListMetricDescriptorsResponse)
{
	response->descriptors = zl_metric_descriptors(&call->arena, &response->n_descriptors);
	return 0;
}

static Runtime__V1__ContainerMetrics *container_metrics(const struct zl_pod_usage *pod,
        struct zl_container *container, const Zl__Zone__ContainerStats *stats,
        struct zl_arena *arena)
{
	const Runtime__V1__PodSandboxMetadata *m = pod->sandbox->config->metadata;
	Runtime__V1__ContainerMetrics *to =
	        ZL_MESSAGE_NEW(arena, ContainerMetrics, container_metrics);
	struct zl_metric_subject subject = {
	        .container = container->config->metadata->name,
	        .id = zl_container_cgroup(container, arena),
	        .image = container->config->image->image,
	        .name = container->id,
	        .namespace_ = m->namespace_,
	        .pod = m->name,
	        .now_ns = pod->at_ns,
	};

	subject.resources = zl_container_resources(container, arena);
	pthread_mutex_lock(&pod->sandbox->lock);
	subject.started_at_ns = container->started_at_ns;
	pthread_mutex_unlock(&pod->sandbox->lock);
	to->container_id = zl_arena_strdup(arena, container->id);
	to->metrics = zl_container_metrics(arena, &subject, stats, pod->stats, &to->n_metrics);
	return to;
}

static void fill_own(
        const struct zl_pod_usage *pod, Runtime__V1__PodSandboxMetrics *to, struct zl_arena *arena)
{
	const Runtime__V1__PodSandboxMetadata *m = pod->sandbox->config->metadata;
	const Zl__Zone__Usage *usage = pod->stats->pod;
	const char *cgroup = zl_sandbox_cgroup(pod->sandbox);
	struct zl_metric_subject subject = {
	        .container = "",
	        .id = cgroup[0] != '\0' ? cgroup : zl_arena_printf(arena, "/%s", pod->sandbox->id),
	        .image = "",
	        .name = pod->sandbox->id,
	        .namespace_ = m->namespace_,
	        .pod = m->name,
	        .started_at_ns = pod->sandbox->created_at_ns,
	        .now_ns = pod->at_ns,
	};
	uint64_t cpu_ns = usage->cpu_ns;
	uint64_t memory = usage->memory_usage;
	uint64_t working_set = zl_working_set(usage);

	if (pod->has_domain) {
		cpu_ns = pod->domain.cpu_time_ns;
		memory = pod->domain.memory_bytes;
		working_set = zl_zone_working_set(pod->stats, memory);
	}
	to->metrics = zl_pod_metrics(
	        arena, &subject, pod->stats, cpu_ns, memory, working_set, &to->n_metrics);
}

static Runtime__V1__PodSandboxMetrics *pod_metrics(
        const struct zl_pod_usage *pod, struct zl_arena *arena)
{
	Runtime__V1__PodSandboxMetrics *to =
	        ZL_MESSAGE_NEW(arena, PodSandboxMetrics, pod_sandbox_metrics);
	const Zl__Zone__Stats *stats = pod->stats;

	to->pod_sandbox_id = zl_arena_strdup(arena, pod->sandbox->id);
	fill_own(pod, to, arena);
	to->container_metrics = zl_arena_array(arena, stats->n_containers, sizeof(void *));
	for (size_t i = 0; i < stats->n_containers; i++) {
		zl_auto(container) struct zl_container *container =
		        zl_container_in(pod->sandbox, stats->containers[i]->id);

		if (container != NULL)
			to->container_metrics[to->n_container_metrics++] =
			        container_metrics(pod, container, stats->containers[i], arena);
	}
	return to;
}

static int list_metrics(struct zl_services *service, struct zl_call *call,
        Runtime__V1__PodSandboxMetrics ***ret, size_t *ret_count, struct zl_error *err)
{
	zl_auto(usage_list) struct zl_usage_list list = ZL_USAGE_LIST_INIT;
	size_t count;
	struct zl_sandbox **sandboxes = zl_sandbox_list(service, &count);
	int result = zl_usage_collect(service, sandboxes, count, true, &call->cancel, &list, err);

	zl_sandbox_list_free(sandboxes, count);
	if (result < 0)
		return -1;
	*ret = ZL_CALL_NEW_LIST(call, PodSandboxMetrics, list.count);
	for (size_t i = 0; i < list.count; i++)
		(*ret)[i] = pod_metrics(&list.pods[i], &call->arena);
	*ret_count = list.count;
	return 0;
}

ZL_RPC_HANDLER(zl_handle_list_pod_sandbox_metrics, struct zl_services, ListPodSandboxMetricsRequest,
        ListPodSandboxMetricsResponse)
{
	return list_metrics(service, call, &response->pod_metrics, &response->n_pod_metrics, err);
}

ZL_RPC_HANDLER(zl_handle_stream_pod_sandbox_metrics, struct zl_services,
        StreamPodSandboxMetricsRequest, StreamPodSandboxMetricsResponse)
{
	Runtime__V1__PodSandboxMetrics **list;
	size_t count;

	if (list_metrics(service, call, &list, &count, err) < 0)
		return -1;
	return zl_call_send_list(call,
	        &runtime__v1__stream_pod_sandbox_metrics_response__descriptor, (void **)list, count,
	        err);
}
