// SPDX-License-Identifier: Apache-2.0
#include "cri-server/sandbox/size.h"

#include <inttypes.h>

#define MIB (UINT64_C(1) << 20)

// Kubernetes' shares for one cpu (pkg/kubelet/cm, SharesPerCPU), and Xen's weight for one share of
// the default (docs/man/xl.cfg.5, cpu_weight): a pod that asks for one cpu is an ordinary domain.
enum { SHARES_PER_CPU = 1024, WEIGHT_DEFAULT = 256, WEIGHT_MAX = 65535 };
// Far above any machine (Xen's own limit for a domain is 512); keeps the arithmetic in range.
enum { VCPUS_MAX = 8192 };
#define BYTES_MAX (UINT64_C(1) << 46)
// Below this a zone's kernel and supervisor do not come up (docs/zones.md has the measurement).
enum { LEAST_POD_MIB = 4 };

static uint64_t whole_mib(uint64_t bytes)
{
	return (bytes + MIB - 1) / MIB * MIB;
}

static int set_memory(const Runtime__V1__LinuxContainerResources *limits,
        const Runtime__V1__LinuxContainerResources *overhead, const struct zl_config *config,
        struct zl_zone_size *size, struct zl_error *err)
{
	uint64_t bytes = config->zone.memory_bytes;

	if (limits != NULL && limits->memory_limit_in_bytes > 0) {
		bytes = (uint64_t)limits->memory_limit_in_bytes;
		if (bytes < LEAST_POD_MIB * MIB)
			return zl_error_set(err, ZL_INVALID_ARGUMENT,
			        "memory limit of %" PRIu64 " bytes: a zone needs a limit of at "
			        "least %d MiB",
			        bytes, LEAST_POD_MIB);
		if (bytes > BYTES_MAX)
			return zl_error_set(err, ZL_INVALID_ARGUMENT,
			        "memory limit of %" PRIu64 " bytes is more than 64 TiB", bytes);
	}
	bytes += config->zone.overhead_bytes;
	if (overhead != NULL && overhead->memory_limit_in_bytes > (int64_t)BYTES_MAX)
		return zl_error_set(err, ZL_INVALID_ARGUMENT,
		        "memory overhead of %" PRId64 " bytes is more than 64 TiB",
		        overhead->memory_limit_in_bytes);
	if (overhead != NULL && overhead->memory_limit_in_bytes > 0 &&
	        (uint64_t)overhead->memory_limit_in_bytes > config->zone.overhead_bytes)
		bytes += (uint64_t)overhead->memory_limit_in_bytes - config->zone.overhead_bytes;
	size->memory_bytes = whole_mib(bytes);
	return 0;
}

// Percent of one cpu that quota and period allow, at least 1.
static uint64_t quota_percent(const Runtime__V1__LinuxContainerResources *limits)
{
	const uint64_t most = UINT64_C(100) * VCPUS_MAX;
	unsigned __int128 percent = (unsigned __int128)limits->cpu_quota * 100;

	percent /= (unsigned __int128)limits->cpu_period;
	if (percent < 1)
		return 1;
	return percent > most ? most : (uint64_t)percent;
}

static uint32_t weight_of(int64_t shares)
{
	uint64_t weight;

	if (shares > INT64_C(1) << 32)
		return WEIGHT_MAX;
	weight = (uint64_t)shares * WEIGHT_DEFAULT / SHARES_PER_CPU;
	if (weight < 1)
		return 1;
	return weight > WEIGHT_MAX ? WEIGHT_MAX : (uint32_t)weight;
}

static void set_cpu(const Runtime__V1__LinuxContainerResources *limits,
        const struct zl_config *config, uint32_t host_cpus, struct zl_zone_size *size)
{
	uint64_t most = host_cpus > 0 ? host_cpus : VCPUS_MAX;
	uint64_t vcpus = config->zone.vcpus;
	uint64_t percent = 0;

	if (limits != NULL && limits->cpu_quota > 0 && limits->cpu_period > 0) {
		percent = quota_percent(limits);
		vcpus = percent / 100 + (percent % 100 > 0);
	}
	if (limits != NULL && limits->cpu_shares > 0)
		size->cpu_weight = weight_of(limits->cpu_shares);
	vcpus = vcpus > most ? most : vcpus;
	size->vcpus = vcpus > 0 ? (uint32_t)vcpus : 1;
	// A cap above what the vcpus can use is no cap, and libxl refuses it.
	size->cpu_cap = percent < UINT64_C(100) * size->vcpus ? (uint32_t)percent : 0;
}

int zl_zone_size(const Runtime__V1__PodSandboxConfig *pod, const struct zl_config *config,
        uint32_t host_cpus, struct zl_zone_size *ret, struct zl_error *err)
{
	const Runtime__V1__LinuxContainerResources *limits =
	        pod->linux != NULL ? pod->linux->resources : NULL;
	const Runtime__V1__LinuxContainerResources *overhead =
	        pod->linux != NULL ? pod->linux->overhead : NULL;
	struct zl_zone_size size = {.scratch_bytes = config->zone.scratch_bytes};

	if (set_memory(limits, overhead, config, &size, err) < 0)
		return -1;
	set_cpu(limits, config, host_cpus, &size);
	*ret = size;
	return 0;
}
