// SPDX-License-Identifier: Apache-2.0
//
// A running domain's memory, vcpus and share of the cpus.
//
// Memory: a domain's kernel follows memory/target of its xenstore directory (the balloon driver);
// Xen's own limit goes with it (libxl_set_memory_target with enforce). libxl refuses a target above
// memory/static-max, what the domain was built with; a kernel with memory hotplug can take more, so
// that is raised first.
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <xenstore.h>

#include "hypervisor/domain_config.h"
#include "hypervisor/xen.h"

#define KIB UINT64_C(1024)

static uint64_t to_kib(uint64_t bytes)
{
	return bytes / KIB + (bytes % KIB != 0);
}

// ---- memory

static int raise_static_max(uint32_t domid, uint64_t kib, struct zl_error *err)
{
	struct xs_handle *xs = xs_open(0);
	char path[64];
	char value[32];
	char *before = NULL;
	unsigned length;
	bool ok = xs != NULL;

	(void)snprintf(path, sizeof(path), "/local/domain/%u/memory/static-max", (unsigned)domid);
	(void)snprintf(value, sizeof(value), "%llu", (unsigned long long)kib);
	if (ok) {
		before = xs_read(xs, XBT_NULL, path, &length);
		ok = before != NULL;
	}
	if (ok && strtoull(before, NULL, 10) < kib)
		ok = xs_write(xs, XBT_NULL, path, value, (unsigned)strlen(value));
	free(before);
	if (xs != NULL)
		xs_close(xs);
	return ok ? 0 : zl_error_errno(err, errno, "raise %s to %s KiB", path, value);
}

static int check_memory(struct zl_xen_context *context, const char *name, const libxl_dominfo *info,
        uint64_t kib, struct zl_error *err)
{
	uint64_t free_bytes = 0;
	uint64_t more;

	if (kib <= info->current_memkb)
		return 0;
	more = (kib - info->current_memkb) * KIB;
	if (zl_xen_free_memory(context, &free_bytes, err) < 0)
		return -1;
	return more > free_bytes ? zl_memory_exhausted(name, more, free_bytes, err) : 0;
}

static int set_memory(
        struct zl_xen_context *context, uint32_t domid, uint64_t kib, struct zl_error *err)
{
	int rc;

	if (raise_static_max(domid, kib, err) < 0)
		return -1;
	rc = libxl_set_memory_target(context->ctx, domid, (int64_t)kib, 0, 1);
	if (rc != 0)
		return zl_xen_error(context, rc, err, "set the memory of domain %u to %llu KiB",
		        (unsigned)domid, (unsigned long long)kib);
	return 0;
}

// ---- cpus

static int set_vcpus(struct zl_xen_context *context, uint32_t domid, uint32_t vcpus, uint32_t most,
        const struct zl_cancel *cancel, struct zl_error *err)
{
	struct zl_xen_operation operation;
	libxl_bitmap map;
	int rc;

	libxl_bitmap_init(&map);
	rc = libxl_cpu_bitmap_alloc(context->ctx, &map, (int)most);
	if (rc != 0)
		return zl_xen_error(context, rc, err, "make a map of %u vcpus", (unsigned)most);
	for (uint32_t i = 0; i < vcpus; i++)
		libxl_bitmap_set(&map, (int)i);
	zl_xen_operation_init(&operation);
	rc = libxl_set_vcpuonline(context->ctx, domid, &map, &operation.how);
	rc = zl_xen_operation_wait(context, &operation, rc, cancel);
	libxl_bitmap_dispose(&map);
	if (rc != 0)
		return zl_xen_operation_error(context, rc, cancel, err, "give domain %u %u vcpus",
		        (unsigned)domid, (unsigned)vcpus);
	return 0;
}

static int set_share(struct zl_xen_context *context, uint32_t domid,
        const struct zl_domain_size *size, struct zl_error *err)
{
	enum { WEIGHT_DEFAULT = 256 };
	libxl_domain_sched_params params;
	int rc;

	libxl_domain_sched_params_init(&params);
	rc = libxl_domain_sched_params_get(context->ctx, domid, &params);
	if (rc == 0) {
		params.weight = size->cpu_weight != 0 ? (int)size->cpu_weight : WEIGHT_DEFAULT;
		params.cap = (int)size->cpu_cap;
		rc = libxl_domain_sched_params_set(context->ctx, domid, &params);
	}
	libxl_domain_sched_params_dispose(&params);
	if (rc != 0)
		return zl_xen_error(context, rc, err, "set the cpu weight and cap of domain %u",
		        (unsigned)domid);
	return 0;
}

// ---- all

static int change(struct zl_xen_context *context, const libxl_dominfo *info,
        const struct zl_domain_size *size, const struct zl_cancel *cancel, struct zl_error *err)
{
	uint64_t kib = to_kib(size->memory_bytes);
	uint32_t most = info->vcpu_max_id + 1;
	uint32_t domid = info->domid;
	char name[32];

	(void)snprintf(name, sizeof(name), "domain %u", (unsigned)domid);
	if (size->vcpus > most)
		return zl_vcpus_exceeded(name, size->vcpus, most, err);
	if (check_memory(context, name, info, kib, err) < 0)
		return -1;
	if (set_memory(context, domid, kib, err) < 0)
		return -1;
	if (size->vcpus != info->vcpu_online &&
	        set_vcpus(context, domid, size->vcpus, most, cancel, err) < 0)
		return -1;
	return set_share(context, domid, size, err);
}

int zl_xen_domain_resize(struct zl_hypervisor *hv, uint32_t domid,
        const struct zl_domain_size *size, const struct zl_cancel *cancel, struct zl_error *err)
{
	struct zl_xen *xen = zl_xen_of(hv);
	struct zl_xen_context *context = zl_xen_take(xen, err);
	libxl_dominfo info;
	int result;

	if (context == NULL)
		return -1;
	libxl_dominfo_init(&info);
	result = zl_xen_need_domain(context, domid, err);
	if (result == 0 && libxl_domain_info(context->ctx, &info, domid) != 0)
		result = zl_xen_error(
		        context, ERROR_FAIL, err, "ask Xen about domain %u", (unsigned)domid);
	if (result == 0)
		result = change(context, &info, size, cancel, err);
	libxl_dominfo_dispose(&info);
	zl_xen_give(xen, context);
	return result;
}
