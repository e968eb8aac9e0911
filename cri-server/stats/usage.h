// SPDX-License-Identifier: Apache-2.0
//
// From what a supervisor and Xen say to CRI's messages. Plain data in, plain data out, in an arena.
//
// Figures of a zone are those of the domain where Xen has them: its cpu time, its memory. What of
// that memory cannot be given back (the working set) is all but what its kernel says is free or
// inactive file cache, so the zone's own kernel is counted in.
#ifndef ZL_CRI_SERVER_STATS_USAGE_H
#define ZL_CRI_SERVER_STATS_USAGE_H

#include <stdbool.h>
#include <stdint.h>

#include "api.pb-c.h"
#include "cri-server/message/arena.h"
#include "cri-server/stats/cpu_sample.h"
#include "hypervisor/hypervisor.h"
#include "zone.pb-c.h"

// What is in use of a cgroup and cannot be given back: all but inactive file cache.
uint64_t zl_working_set(const Zl__Zone__Usage *usage);
// The same for a whole zone of which Xen says that it has this much memory.
uint64_t zl_zone_working_set(const Zl__Zone__Stats *stats, uint64_t memory_bytes);

Runtime__V1__CpuUsage *zl_cri_cpu(struct zl_arena *arena, int64_t at_ns,
        const struct zl_cpu_sample *sample, const Zl__Zone__Usage *usage);
Runtime__V1__MemoryUsage *zl_cri_memory(
        struct zl_arena *arena, int64_t at_ns, const Zl__Zone__Usage *usage);
Runtime__V1__MemoryUsage *zl_cri_zone_memory(struct zl_arena *arena, int64_t at_ns,
        const Zl__Zone__Stats *stats, const struct zl_domain_info *domain);
Runtime__V1__SwapUsage *zl_cri_swap(
        struct zl_arena *arena, int64_t at_ns, const Zl__Zone__Usage *usage);
Runtime__V1__IoUsage *zl_cri_io(
        struct zl_arena *arena, int64_t at_ns, const Zl__Zone__Usage *usage);
// NULL where there is no layer. mountpoint: the node's file system that holds it.
Runtime__V1__FilesystemUsage *zl_cri_layer(struct zl_arena *arena, int64_t at_ns,
        const Zl__Zone__ContainerStats *stats, const char *mountpoint);
// eth0, or else the first, is the default interface. NULL where there is none.
Runtime__V1__NetworkUsage *zl_cri_network(
        struct zl_arena *arena, int64_t at_ns, const Zl__Zone__Stats *stats);
Runtime__V1__ProcessUsage *zl_cri_processes(
        struct zl_arena *arena, int64_t at_ns, const Zl__Zone__Usage *usage);

#endif
