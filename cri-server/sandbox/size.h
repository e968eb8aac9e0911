// SPDX-License-Identifier: Apache-2.0
//
// How large a zone is, from what the pod may use. Plain data in, plain data out.
#ifndef ZL_CRI_SERVER_SANDBOX_SIZE_H
#define ZL_CRI_SERVER_SANDBOX_SIZE_H

#include <stdint.h>

#include "api.pb-c.h"
#include "base/error.h"
#include "cri-server/config/config.h"

struct zl_zone_size {
	uint64_t memory_bytes; // the domain's: pod's limit and overhead, whole MiB
	uint32_t vcpus;
	uint32_t cpu_weight; // Xen's, 1–65535; 0: the default
	uint32_t cpu_cap;    // percent of one cpu, less than 100 * vcpus; 0: none
	uint64_t scratch_bytes;
};

// The kubelet puts the sum of the containers' limits into linux.resources and the RuntimeClass'
// overhead into linux.overhead. A pod without a memory limit gets the configured default; one
// without a cpu limit the default vcpus (at most the host's) and no cap. host_cpus: physical cpus.
// INVALID_ARGUMENT: a limit below what a zone needs to start.
int zl_zone_size(const Runtime__V1__PodSandboxConfig *pod, const struct zl_config *config,
        uint32_t host_cpus, struct zl_zone_size *ret, struct zl_error *err);

#endif
