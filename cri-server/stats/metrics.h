// SPDX-License-Identifier: Apache-2.0
//
// The metrics that the kubelet shows under /metrics/cadvisor when it asks the runtime for them
// (feature gate PodAndContainerStatsFromCRI): names and labels are cAdvisor's
// (docs/storage/prometheus.md of cAdvisor), as kubernetes' test/e2e_node/container_metrics_test.go
// looks for them. CRI carries whole numbers only, so seconds are whole seconds.
//
// Every metric has the labels container, id, image, name, namespace, pod, in this order, and then
// its own. Those of the pod as a whole have container="POD" for the network, as cAdvisor has them,
// and container="" for cpu and memory.
#ifndef ZL_CRI_SERVER_STATS_METRICS_H
#define ZL_CRI_SERVER_STATS_METRICS_H

#include "api.pb-c.h"
#include "cri-server/message/arena.h"
#include "zone.pb-c.h"

enum { ZL_METRIC_BASE_LABELS = 6, ZL_METRIC_LABELS = 10 };

// Whose metrics they are: the values of the labels that all have, and what does not change.
struct zl_metric_subject {
	const char *container; // "POD" or "" for the pod as a whole
	const char *id;        // cgroup
	const char *image;
	const char *name; // id of container or sandbox
	const char *namespace_;
	const char *pod;
	const Runtime__V1__LinuxContainerResources *resources; // NULL: none
	int64_t started_at_ns;
	int64_t now_ns;
};

// The descriptors of all metrics.
Runtime__V1__MetricDescriptor **zl_metric_descriptors(struct zl_arena *arena, size_t *ret_count);

// A container's. `pod` gives the file system's numbers.
Runtime__V1__Metric **zl_container_metrics(struct zl_arena *arena,
        const struct zl_metric_subject *subject, const Zl__Zone__ContainerStats *stats,
        const Zl__Zone__Stats *pod, size_t *ret_count);

// A pod's. cpu_ns, memory_bytes, working_set_bytes: of the zone where there is one.
Runtime__V1__Metric **zl_pod_metrics(struct zl_arena *arena,
        const struct zl_metric_subject *subject, const Zl__Zone__Stats *stats, uint64_t cpu_ns,
        uint64_t memory_bytes, uint64_t working_set_bytes, size_t *ret_count);

#endif
