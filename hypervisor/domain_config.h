// SPDX-License-Identifier: Apache-2.0
//
// Is a domain's configuration sound? Checked before anything is made, the same for every
// implementation, so that a mistake gets a sentence of its own instead of the toolstack's.
#ifndef ZL_HYPERVISOR_DOMAIN_CONFIG_H
#define ZL_HYPERVISOR_DOMAIN_CONFIG_H

#include "hypervisor/hypervisor.h"

// INVALID_ARGUMENT names the member at fault.
int zl_domain_config_check(const struct zl_domain_config *config, struct zl_error *err);
int zl_disk_check(const struct zl_disk *disk, struct zl_error *err);
int zl_nic_check(const struct zl_nic *nic, struct zl_error *err);

// RESOURCE_EXHAUSTED with both numbers and the remedy. Returns -1.
int zl_memory_exhausted(
        const char *name, uint64_t need_bytes, uint64_t free_bytes, struct zl_error *err);
// OUT_OF_RANGE with both numbers and the remedy. Returns -1.
int zl_vcpus_exceeded(const char *name, uint32_t wanted, uint32_t most, struct zl_error *err);

#endif
