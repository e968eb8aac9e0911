// SPDX-License-Identifier: Apache-2.0
#include "cri-server/stats/usage.h"

#include <string.h>

#include "base/clock.h"
#include "cri-server/message/message.h"

#define LEAST_INTERVAL_NS (100 * ZL_NS_PER_MS)

enum { NS_PER_US = 1000 };

static const double hundredths = 100;

static Runtime__V1__UInt64Value *number(struct zl_arena *arena, uint64_t value)
{
	Runtime__V1__UInt64Value *wrapped = ZL_MESSAGE_NEW(arena, UInt64Value, uint64_value);

	wrapped->value = value;
	return wrapped;
}

void zl_cpu_sample_add(struct zl_cpu_sample *sample, int64_t at_ns, uint64_t cpu_ns)
{
	int64_t interval = at_ns - sample->at_ns;

	// A counter that went back is another one: the container was started anew.
	if (sample->at_ns == 0 || cpu_ns < sample->cpu_ns || interval < 0) {
		*sample = (struct zl_cpu_sample){.at_ns = at_ns, .cpu_ns = cpu_ns};
		return;
	}
	if (interval < LEAST_INTERVAL_NS)
		return;
	sample->nano_cores = (uint64_t)((unsigned __int128)(cpu_ns - sample->cpu_ns) *
	                                ZL_NS_PER_SECOND / (unsigned __int128)interval);
	sample->has_rate = true;
	sample->at_ns = at_ns;
	sample->cpu_ns = cpu_ns;
}

uint64_t zl_working_set(const Zl__Zone__Usage *usage)
{
	return usage->memory_usage > usage->memory_inactive_file
	               ? usage->memory_usage - usage->memory_inactive_file
	               : 0;
}

uint64_t zl_zone_working_set(const Zl__Zone__Stats *stats, uint64_t memory_bytes)
{
	uint64_t spare = stats->memory_free + stats->memory_inactive_file;

	if (spare < stats->memory_free) // the zone's word: it may overflow
		spare = UINT64_MAX;
	return memory_bytes > spare ? memory_bytes - spare : 0;
}

// ---- pressure

static Runtime__V1__PsiData *psi_data(struct zl_arena *arena, const Zl__Zone__Psi *from)
{
	Runtime__V1__PsiData *to = ZL_MESSAGE_NEW(arena, PsiData, psi_data);

	if (from == NULL)
		return to;
	to->total = from->total_us * NS_PER_US;
	to->avg10 = (double)from->avg10 / hundredths;
	to->avg60 = (double)from->avg60 / hundredths;
	to->avg300 = (double)from->avg300 / hundredths;
	return to;
}

static Runtime__V1__PsiStats *psi(struct zl_arena *arena, const Zl__Zone__Pressure *from)
{
	Runtime__V1__PsiStats *to;

	if (from == NULL)
		return NULL;
	to = ZL_MESSAGE_NEW(arena, PsiStats, psi_stats);
	to->some = psi_data(arena, from->some);
	to->full = psi_data(arena, from->full);
	return to;
}

// ---- one resource each

Runtime__V1__CpuUsage *zl_cri_cpu(struct zl_arena *arena, int64_t at_ns,
        const struct zl_cpu_sample *sample, const Zl__Zone__Usage *usage)
{
	Runtime__V1__CpuUsage *cpu = ZL_MESSAGE_NEW(arena, CpuUsage, cpu_usage);

	cpu->timestamp = at_ns;
	cpu->usage_core_nano_seconds = number(arena, sample->cpu_ns);
	if (sample->has_rate)
		cpu->usage_nano_cores = number(arena, sample->nano_cores);
	cpu->psi = psi(arena, usage->cpu_pressure);
	return cpu;
}

Runtime__V1__MemoryUsage *zl_cri_memory(
        struct zl_arena *arena, int64_t at_ns, const Zl__Zone__Usage *usage)
{
	Runtime__V1__MemoryUsage *memory = ZL_MESSAGE_NEW(arena, MemoryUsage, memory_usage);
	uint64_t working_set = zl_working_set(usage);

	memory->timestamp = at_ns;
	memory->psi = psi(arena, usage->memory_pressure);
	if (!usage->has_memory)
		return memory;
	memory->working_set_bytes = number(arena, working_set);
	memory->usage_bytes = number(arena, usage->memory_usage);
	memory->rss_bytes = number(arena, usage->memory_anon);
	memory->page_faults = number(arena, usage->page_faults);
	memory->major_page_faults = number(arena, usage->major_page_faults);
	if (usage->memory_limit > 0)
		memory->available_bytes = number(arena,
		        usage->memory_limit > working_set ? usage->memory_limit - working_set : 0);
	return memory;
}

Runtime__V1__MemoryUsage *zl_cri_zone_memory(struct zl_arena *arena, int64_t at_ns,
        const Zl__Zone__Stats *stats, const struct zl_domain_info *domain)
{
	Runtime__V1__MemoryUsage *memory = zl_cri_memory(arena, at_ns, stats->pod);
	uint64_t working_set = zl_zone_working_set(stats, domain->memory_bytes);

	memory->usage_bytes = number(arena, domain->memory_bytes);
	memory->working_set_bytes = number(arena, working_set);
	memory->available_bytes = number(arena, domain->memory_bytes - working_set);
	return memory;
}

Runtime__V1__SwapUsage *zl_cri_swap(
        struct zl_arena *arena, int64_t at_ns, const Zl__Zone__Usage *usage)
{
	Runtime__V1__SwapUsage *swap;

	if (!usage->has_swap)
		return NULL;
	swap = ZL_MESSAGE_NEW(arena, SwapUsage, swap_usage);
	swap->timestamp = at_ns;
	swap->swap_usage_bytes = number(arena, usage->swap_usage);
	if (usage->swap_limited)
		swap->swap_available_bytes =
		        number(arena, usage->swap_limit > usage->swap_usage
		                              ? usage->swap_limit - usage->swap_usage
		                              : 0);
	return swap;
}

Runtime__V1__IoUsage *zl_cri_io(struct zl_arena *arena, int64_t at_ns, const Zl__Zone__Usage *usage)
{
	Runtime__V1__IoUsage *io;

	if (usage->io_pressure == NULL)
		return NULL;
	io = ZL_MESSAGE_NEW(arena, IoUsage, io_usage);
	io->timestamp = at_ns;
	io->psi = psi(arena, usage->io_pressure);
	return io;
}

Runtime__V1__FilesystemUsage *zl_cri_layer(struct zl_arena *arena, int64_t at_ns,
        const Zl__Zone__ContainerStats *stats, const char *mountpoint)
{
	Runtime__V1__FilesystemUsage *usage;
	int64_t age_ns;

	if (!stats->has_layer)
		return NULL;
	age_ns = stats->layer_age_ms < (uint64_t)(at_ns / ZL_NS_PER_MS)
	                 ? (int64_t)stats->layer_age_ms * ZL_NS_PER_MS
	                 : 0;
	usage = ZL_MESSAGE_NEW(arena, FilesystemUsage, filesystem_usage);
	usage->timestamp = at_ns - age_ns;
	usage->fs_id = ZL_MESSAGE_NEW(arena, FilesystemIdentifier, filesystem_identifier);
	usage->fs_id->mountpoint = zl_arena_strdup(arena, mountpoint);
	usage->used_bytes = number(arena, stats->layer_bytes);
	usage->inodes_used = number(arena, stats->layer_inodes);
	return usage;
}

static Runtime__V1__NetworkInterfaceUsage *interface_of(
        struct zl_arena *arena, const Zl__Zone__InterfaceStats *from)
{
	Runtime__V1__NetworkInterfaceUsage *to =
	        ZL_MESSAGE_NEW(arena, NetworkInterfaceUsage, network_interface_usage);

	to->name = zl_arena_strdup(arena, from->name);
	to->rx_bytes = number(arena, from->rx_bytes);
	to->rx_errors = number(arena, from->rx_errors);
	to->tx_bytes = number(arena, from->tx_bytes);
	to->tx_errors = number(arena, from->tx_errors);
	return to;
}

Runtime__V1__NetworkUsage *zl_cri_network(
        struct zl_arena *arena, int64_t at_ns, const Zl__Zone__Stats *stats)
{
	Runtime__V1__NetworkUsage *network;
	size_t chosen = 0;

	if (stats->n_interfaces == 0)
		return NULL;
	for (size_t i = stats->n_interfaces; i-- > 0;) {
		if (strcmp(stats->interfaces[i]->name, "eth0") == 0)
			chosen = i;
	}
	network = ZL_MESSAGE_NEW(arena, NetworkUsage, network_usage);
	network->timestamp = at_ns;
	network->default_interface = interface_of(arena, stats->interfaces[chosen]);
	network->interfaces = zl_arena_array(arena, stats->n_interfaces, sizeof(void *));
	for (size_t i = 0; i < stats->n_interfaces; i++) {
		if (i != chosen)
			network->interfaces[network->n_interfaces++] =
			        interface_of(arena, stats->interfaces[i]);
	}
	return network;
}

Runtime__V1__ProcessUsage *zl_cri_processes(
        struct zl_arena *arena, int64_t at_ns, const Zl__Zone__Usage *usage)
{
	Runtime__V1__ProcessUsage *process = ZL_MESSAGE_NEW(arena, ProcessUsage, process_usage);

	process->timestamp = at_ns;
	process->process_count = number(arena, usage->processes);
	return process;
}
