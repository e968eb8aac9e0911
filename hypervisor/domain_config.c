// SPDX-License-Identifier: Apache-2.0
#include "hypervisor/domain_config.h"

#include <inttypes.h>
#include <net/if.h>
#include <string.h>

// XC_CPU… and the hypervisor allow more; a pod does not.
enum { MAX_VCPUS = 128, MAX_NIC_DEVID = 255, MAX_CPU_WEIGHT = 65535 };

static const uint64_t MIN_MEMORY = UINT64_C(1) << 20;

static bool printable(const char *text, size_t limit)
{
	size_t length = strnlen(text, limit + 1);

	for (size_t i = 0; i < length; i++) {
		if (text[i] <= ' ' || text[i] > '~' || text[i] == '/')
			return false;
	}
	return length > 0 && length <= limit;
}

int zl_disk_check(const struct zl_disk *disk, struct zl_error *err)
{
	if (disk->vdev == NULL || !printable(disk->vdev, 15))
		return zl_error_set(err, ZL_INVALID_ARGUMENT,
		        "a disk needs a device name of 1 to 15 characters, like xvda");
	if (disk->path == NULL || disk->path[0] != '/')
		return zl_error_set(err, ZL_INVALID_ARGUMENT,
		        "disk %s needs the absolute path of a block device, not \"%s\"", disk->vdev,
		        disk->path != NULL ? disk->path : "");
	return 0;
}

int zl_nic_check(const struct zl_nic *nic, struct zl_error *err)
{
	static const uint8_t none[6];

	if (nic->devid < 0 || nic->devid > MAX_NIC_DEVID)
		return zl_error_set(err, ZL_INVALID_ARGUMENT,
		        "a network interface's number is 0 to %d, not %d", MAX_NIC_DEVID,
		        nic->devid);
	if (memcmp(nic->mac, none, sizeof(none)) == 0 || (nic->mac[0] & 1) != 0)
		return zl_error_set(err, ZL_INVALID_ARGUMENT,
		        "network interface %d needs a unicast MAC address", nic->devid);
	if (nic->ifname != NULL && !printable(nic->ifname, IF_NAMESIZE - 1))
		return zl_error_set(err, ZL_INVALID_ARGUMENT,
		        "network interface %d needs a name of 1 to 15 characters for its back end",
		        nic->devid);
	if (nic->mtu != 0 && (nic->mtu < 68 || nic->mtu > 65521))
		return zl_error_set(err, ZL_INVALID_ARGUMENT,
		        "the MTU of network interface %d is 68 to 65521, not %" PRIu32, nic->devid,
		        nic->mtu);
	return 0;
}

static int check_cpus(const struct zl_domain_config *config, struct zl_error *err)
{
	uint32_t most = config->max_vcpus != 0 ? config->max_vcpus : config->vcpus;

	if (config->vcpus == 0 || config->vcpus > most || most > MAX_VCPUS)
		return zl_error_set(err, ZL_INVALID_ARGUMENT,
		        "domain \"%s\": %" PRIu32 " of %" PRIu32
		        " vcpus; at least 1 and at most %d are possible",
		        config->name, config->vcpus, most, MAX_VCPUS);
	if (config->cpu_weight > MAX_CPU_WEIGHT || config->cpu_cap > most * 100)
		return zl_error_set(err, ZL_INVALID_ARGUMENT,
		        "domain \"%s\": cpu weight %" PRIu32 " (at most %d), cap %" PRIu32
		        " percent (at most 100 for each vcpu)",
		        config->name, config->cpu_weight, MAX_CPU_WEIGHT, config->cpu_cap);
	return 0;
}

static int check_memory(const struct zl_domain_config *config, struct zl_error *err)
{
	if (config->memory_bytes < MIN_MEMORY)
		return zl_error_set(err, ZL_INVALID_ARGUMENT,
		        "domain \"%s\": %" PRIu64 " bytes of memory are less than 1 MiB",
		        config->name, config->memory_bytes);
	if (config->max_memory_bytes != 0 && config->max_memory_bytes < config->memory_bytes)
		return zl_error_set(err, ZL_INVALID_ARGUMENT,
		        "domain \"%s\": the most memory (%" PRIu64
		        " bytes) is less than the memory (%" PRIu64 ")",
		        config->name, config->max_memory_bytes, config->memory_bytes);
	return 0;
}

static bool uuid_shaped(const char *uuid)
{
	for (size_t i = 0; i < 36; i++) {
		bool dash = i == 8 || i == 13 || i == 18 || i == 23;

		if (dash ? uuid[i] != '-'
		         : uuid[i] == '\0' || strchr("0123456789abcdefABCDEF", uuid[i]) == NULL)
			return false;
	}
	return uuid[36] == '\0';
}

int zl_domain_config_check(const struct zl_domain_config *config, struct zl_error *err)
{
	struct zl_domain_info *info = NULL;

	if (config->name == NULL || !printable(config->name, sizeof(info->name) - 1))
		return zl_error_set(err, ZL_INVALID_ARGUMENT,
		        "a domain needs a name of 1 to %zu printable characters without spaces and "
		        "slashes",
		        sizeof(info->name) - 1);
	if (config->uuid != NULL && !uuid_shaped(config->uuid))
		return zl_error_set(err, ZL_INVALID_ARGUMENT, "domain \"%s\": \"%s\" is not a UUID",
		        config->name, config->uuid);
	if (config->kernel == NULL || config->kernel[0] != '/')
		return zl_error_set(err, ZL_INVALID_ARGUMENT,
		        "domain \"%s\" needs the absolute path of a kernel", config->name);
	if (check_memory(config, err) < 0 || check_cpus(config, err) < 0)
		return -1;
	for (size_t i = 0; i < config->disk_count; i++) {
		if (zl_disk_check(&config->disks[i], err) < 0)
			return zl_error_wrap(err, "domain \"%s\"", config->name);
	}
	for (size_t i = 0; i < config->nic_count; i++) {
		if (zl_nic_check(&config->nics[i], err) < 0)
			return zl_error_wrap(err, "domain \"%s\"", config->name);
	}
	return 0;
}

int zl_memory_exhausted(
        const char *name, uint64_t need_bytes, uint64_t free_bytes, struct zl_error *err)
{
	return zl_error_set(err, ZL_RESOURCE_EXHAUSTED,
	        "domain \"%s\" needs %" PRIu64 " MiB of Xen's memory and %" PRIu64
	        " MiB are free; lower the pod's memory limit, remove pods, or give dom0 less "
	        "(dom0_mem= on Xen's command line)",
	        name, (need_bytes + (UINT64_C(1) << 20) - 1) >> 20, free_bytes >> 20);
}

int zl_vcpus_exceeded(const char *name, uint32_t wanted, uint32_t most, struct zl_error *err)
{
	return zl_error_set(err, ZL_OUT_OF_RANGE,
	        "domain \"%s\" cannot have %u vcpus: it was made with at most %u; make the pod "
	        "anew",
	        name, (unsigned)wanted, (unsigned)most);
}
