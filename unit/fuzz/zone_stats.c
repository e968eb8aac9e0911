// SPDX-License-Identifier: Apache-2.0
//
// What a zone says that it uses, up to the reply that the kubelet would get.
#include <stdint.h>
#include <stdlib.h>

#include "cri-server/message/message.h"
#include "cri-server/stats/metrics.h"
#include "cri-server/stats/usage.h"
#include "zone/client/stats.h"
#include "zone/protocol/message.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void pack(struct zl_arena *arena, void *message)
{
	zl_auto(buffer) struct zl_buffer packed = ZL_BUFFER_INIT;

	if (message == NULL)
		return;
	zl_message_scrub(arena, message);
	if (zl_message_pack(message, &packed, NULL) < 0)
		abort();
}

static void convert(struct zl_arena *arena, const Zl__Zone__Stats *stats)
{
	static const struct zl_metric_subject subject = {.container = "c",
	        .id = "/c",
	        .image = "i",
	        .name = "n",
	        .namespace_ = "ns",
	        .pod = "p"};
	struct zl_domain_info domain = {.memory_bytes = UINT64_C(1) << 30};
	struct zl_cpu_sample sample = {.at_ns = 1};
	Runtime__V1__PodSandboxMetrics *metrics =
	        ZL_MESSAGE_NEW(arena, PodSandboxMetrics, pod_sandbox_metrics);

	zl_cpu_sample_add(&sample, INT64_C(1) << 60, stats->pod->cpu_ns);
	pack(arena, zl_cri_cpu(arena, 1, &sample, stats->pod));
	pack(arena, zl_cri_zone_memory(arena, 1, stats, &domain));
	pack(arena, zl_cri_network(arena, 1, stats));
	pack(arena, zl_cri_processes(arena, 1, stats->pod));
	metrics->metrics =
	        zl_pod_metrics(arena, &subject, stats, stats->pod->cpu_ns, domain.memory_bytes,
	                zl_zone_working_set(stats, domain.memory_bytes), &metrics->n_metrics);
	pack(arena, metrics);
	for (size_t i = 0; i < stats->n_containers; i++) {
		const Zl__Zone__ContainerStats *c = stats->containers[i];

		pack(arena, zl_cri_memory(arena, 1, c->usage));
		pack(arena, zl_cri_swap(arena, 1, c->usage));
		pack(arena, zl_cri_io(arena, 1, c->usage));
		pack(arena, zl_cri_layer(arena, INT64_C(1) << 60, c, "/x"));
		metrics->metrics =
		        zl_container_metrics(arena, &subject, c, stats, &metrics->n_metrics);
		pack(arena, metrics);
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	zl_auto(arena) struct zl_arena arena = ZL_ARENA_INIT;
	Zl__Zone__Stats *stats =
	        zl_zone_message_unpack(&zl__zone__stats__descriptor, data, size, NULL);

	if (stats == NULL)
		return 0;
	zl_zone_message_scrub(&stats->base);
	if (zl_zone_stats_valid(stats))
		convert(&arena, stats);
	zl_zone_message_free(stats);
	return 0;
}
