// SPDX-License-Identifier: Apache-2.0
//
// How fast cpu time goes: from one look at a counter to the next.
#ifndef ZL_CRI_SERVER_STATS_CPU_SAMPLE_H
#define ZL_CRI_SERVER_STATS_CPU_SAMPLE_H

#include <stdbool.h>
#include <stdint.h>

// The last look at a counter of cpu time, for the rate since then.
struct zl_cpu_sample {
	int64_t at_ns; // 0: never
	uint64_t cpu_ns;
	uint64_t nano_cores; // rate as last told
	bool has_rate;
};

// Notes a new look. The rate is told (ret->has_rate) from the second on; looks less than 100 ms
// apart tell the rate of before.
void zl_cpu_sample_add(struct zl_cpu_sample *sample, int64_t at_ns, uint64_t cpu_ns);

#endif
