// SPDX-License-Identifier: Apache-2.0
#include <stdlib.h>
#include <string.h>

#include "base/strv.h"
#include "hypervisor/xen.h"

// libxl's dispose functions free what is set here, so all of it is on the heap.

static int copy(char **to, const char *from, struct zl_error *err)
{
	*to = zl_strdup(from, err);
	return from == NULL || *to != NULL ? 0 : -1;
}

static int fill_create_info(
        const struct zl_domain_config *config, libxl_domain_create_info *out, struct zl_error *err)
{
	out->type = config->type == ZL_DOMAIN_PV ? LIBXL_DOMAIN_TYPE_PV : LIBXL_DOMAIN_TYPE_PVH;
	if (config->uuid == NULL)
		libxl_uuid_generate(&out->uuid);
	else if (libxl_uuid_from_string(&out->uuid, config->uuid) != 0)
		return zl_error_set(err, ZL_INVALID_ARGUMENT, "domain \"%s\": \"%s\" is not a UUID",
		        config->name, config->uuid);
	return copy(&out->name, config->name, err);
}

static int fill_cpus(
        const struct zl_domain_config *config, libxl_domain_build_info *out, struct zl_error *err)
{
	uint32_t most = config->max_vcpus != 0 ? config->max_vcpus : config->vcpus;
	libxl_bitmap *available = &out->avail_vcpus;

	out->max_vcpus = (int)most;
	available->size = (most + 7) / 8;
	available->map = calloc(1, available->size);
	if (available->map == NULL)
		return zl_error_nomem(err);
	for (uint32_t i = 0; i < config->vcpus; i++)
		libxl_bitmap_set(available, (int)i);
	if (config->cpu_weight != 0)
		out->sched_params.weight = (int)config->cpu_weight;
	if (config->cpu_cap != 0)
		out->sched_params.cap = (int)config->cpu_cap;
	return 0;
}

static uint64_t to_kib(uint64_t bytes)
{
	return bytes / 1024 + (bytes % 1024 != 0);
}

static int fill_build_info(
        const struct zl_domain_config *config, libxl_domain_build_info *out, struct zl_error *err)
{
	uint64_t most =
	        config->max_memory_bytes != 0 ? config->max_memory_bytes : config->memory_bytes;

	libxl_domain_build_info_init_type(
	        out, config->type == ZL_DOMAIN_PV ? LIBXL_DOMAIN_TYPE_PV : LIBXL_DOMAIN_TYPE_PVH);
	out->max_memkb = to_kib(most);
	out->target_memkb = to_kib(config->memory_bytes);
	// The claim makes "enough memory" certain before the build starts, whoever else builds.
	libxl_defbool_set(&out->claim_mode, true);
	// No tables for a kernel that is told not to look at them.
	libxl_defbool_set(
	        &out->acpi, config->cmdline == NULL || strstr(config->cmdline, "acpi=off") == NULL);
	libxl_defbool_set(&out->nested_hvm, false);
	// By default Xen emulates the TSC where the host's is not invariant: each read is a trip
	// through the hypervisor, the kernel's own included, which go by Xen's scale and offset of
	// the processor (vcpu_time_info, xen/include/public/xen.h) and are right with any TSC.
	out->tsc_mode = LIBXL_TSC_MODE_NATIVE;
	if (copy(&out->kernel, config->kernel, err) < 0 ||
	        copy(&out->ramdisk, config->ramdisk, err) < 0 ||
	        copy(&out->cmdline, config->cmdline, err) < 0)
		return -1;
	return fill_cpus(config, out, err);
}

int zl_xen_config_fill(
        const struct zl_domain_config *config, libxl_domain_config *out, struct zl_error *err)
{
	// Without xl there is nobody who acts on these; a domain that ended stays until it is
	// destroyed.
	out->on_poweroff = LIBXL_ACTION_ON_SHUTDOWN_PRESERVE;
	out->on_reboot = LIBXL_ACTION_ON_SHUTDOWN_PRESERVE;
	out->on_watchdog = LIBXL_ACTION_ON_SHUTDOWN_PRESERVE;
	out->on_crash = LIBXL_ACTION_ON_SHUTDOWN_PRESERVE;
	out->on_soft_reset = LIBXL_ACTION_ON_SHUTDOWN_PRESERVE;
	if (fill_create_info(config, &out->c_info, err) < 0)
		return -1;
	return fill_build_info(config, &out->b_info, err);
}

enum zl_domain_end zl_xen_end(const libxl_dominfo *info)
{
	// What is dying is on its way out and does not come back; how long it takes depends on who
	// still maps its pages, maybe on this very process.
	if (info->dying)
		return ZL_DOMAIN_GONE;
	if (!info->shutdown)
		return ZL_DOMAIN_RUNNING;
	switch (info->shutdown_reason) {
	case LIBXL_SHUTDOWN_REASON_POWEROFF:
		return ZL_DOMAIN_POWEROFF;
	case LIBXL_SHUTDOWN_REASON_REBOOT:
	case LIBXL_SHUTDOWN_REASON_SOFT_RESET:
		return ZL_DOMAIN_REBOOT;
	case LIBXL_SHUTDOWN_REASON_SUSPEND:
		return ZL_DOMAIN_SUSPEND;
	default:
		return ZL_DOMAIN_CRASH;
	}
}
