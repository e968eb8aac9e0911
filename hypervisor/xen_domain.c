// SPDX-License-Identifier: Apache-2.0
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "hypervisor/domain_config.h"
#include "hypervisor/xen.h"

enum { KIB = 1024 };

static const uint32_t NO_DOMID = (uint32_t)INVALID_DOMID;

ZL_AUTO_DEFINE_VALUE(domain_config, libxl_domain_config, libxl_domain_config_dispose);
ZL_AUTO_DEFINE_VALUE(dominfo, libxl_dominfo, libxl_dominfo_dispose);

// ---- create

static int check_file(const char *path, const char *what, struct zl_error *err)
{
	if (path == NULL || access(path, R_OK) == 0)
		return 0;
	return zl_error_errno(err, errno,
	        "%s %s (reinstall the zonelet package, or correct the section `zone` of the "
	        "configuration)",
	        what, path);
}

static int check_name(
        struct zl_xen_context *context, const struct zl_domain_config *config, struct zl_error *err)
{
	uint32_t other;

	if (libxl_name_to_domid(context->ctx, config->name, &other) != 0)
		return 0;
	return zl_error_set(err, ZL_ALREADY_EXISTS, "domain %u has the name \"%s\" already",
	        (unsigned)other, config->name);
}

int zl_xen_free_memory(struct zl_xen_context *context, uint64_t *ret_bytes, struct zl_error *err)
{
	libxl_physinfo info;
	uint64_t pages;
	int rc;

	libxl_physinfo_init(&info);
	rc = libxl_get_physinfo(context->ctx, &info);
	if (rc != 0)
		return zl_xen_error(context, rc, err, "ask Xen for its memory");
	pages = info.free_pages + info.scrub_pages;
	pages -= info.outstanding_pages < pages ? info.outstanding_pages : pages;
	libxl_physinfo_dispose(&info);
	*ret_bytes = pages * (uint64_t)libxl_get_version_info(context->ctx)->pagesize;
	return 0;
}

// Fills in libxl's defaults (paging memory among them) on the way.
static int check_memory(struct zl_xen_context *context, const struct zl_domain_config *config,
        libxl_domain_config *xl, struct zl_error *err)
{
	uint64_t need_kib = 0;
	uint64_t free_bytes = 0;
	int rc = libxl_domain_need_memory(context->ctx, xl, NO_DOMID, &need_kib);

	if (rc != 0)
		return zl_xen_error(context, rc, err, "domain \"%s\"", config->name);
	if (zl_xen_free_memory(context, &free_bytes, err) < 0)
		return -1;
	if (need_kib * KIB > free_bytes)
		return zl_memory_exhausted(config->name, need_kib * KIB, free_bytes, err);
	return 0;
}

static int check(struct zl_xen_context *context, const struct zl_domain_config *config,
        libxl_domain_config *xl, struct zl_error *err)
{
	if (check_file(config->kernel, "zone kernel", err) < 0 ||
	        check_file(config->ramdisk, "ramdisk", err) < 0)
		return -1;
	if (zl_xen_devices_check(config, err) < 0 || check_name(context, config, err) < 0)
		return -1;
	return check_memory(context, config, xl, err);
}

static bool is_gone(struct zl_xen_context *context, uint32_t domid)
{
	libxl_dominfo info;
	int rc;
	bool gone;

	libxl_dominfo_init(&info);
	rc = libxl_domain_info(context->ctx, &info, domid);
	gone = rc == ERROR_DOMAIN_NOTFOUND || (rc == 0 && info.dying);
	libxl_dominfo_dispose(&info);
	return gone;
}

// Somebody else may destroy it at the same time: what counts is that it is gone.
static int destroy_domain(struct zl_xen_context *context, uint32_t domid, struct zl_error *err)
{
	struct zl_xen_operation operation;
	int rc;

	zl_xen_operation_init(&operation);
	rc = libxl_domain_destroy(context->ctx, domid, &operation.how);
	rc = zl_xen_operation_wait(context, &operation, rc, NULL);
	if (rc == 0 || is_gone(context, domid))
		return 0;
	return zl_xen_error(context, rc, err, "destroy domain %u", (unsigned)domid);
}

// Its devices first, so that libxl finds none to wait for; the kernel takes them down while libxl
// takes down the domain. Also for a domain that is gone, whose devices somebody else left behind.
static int destroy(
        struct zl_xen_context *context, uint32_t domid, bool disks_alone, struct zl_error *err)
{
	zl_auto(xen_drop) struct zl_xen_drop drop = {.fd = -1};
	bool present = libxl_domain_info(context->ctx, NULL, domid) == 0;

	// It would only complain about its disks.
	if (present)
		(void)libxl_domain_pause(context->ctx, domid, NULL);
	zl_xen_log_clear(&context->log);
	if (zl_xen_devices_drop(context, domid, &drop, err) < 0)
		return -1;
	if (present && destroy_domain(context, domid, err) < 0)
		return -1;
	return zl_xen_devices_drop_wait(context, &drop, disks_alone, err);
}

// Takes back what a failed build left (libxl does that itself, except after an abort: "the domain
// may or may not exist"), and looks whether it lost a race for the name or the memory: then that is
// the error.
static int give_up(struct zl_xen_context *context, const struct zl_domain_config *config,
        libxl_domain_config *xl, uint32_t domid, struct zl_error *err)
{
	if (domid != NO_DOMID)
		(void)destroy(context, domid, false, NULL);
	if (err != NULL && err->code == ZL_INTERNAL && check_name(context, config, err) == 0)
		(void)check_memory(context, config, xl, err);
	return -1;
}

static int build(struct zl_xen_context *context, const char *script,
        const struct zl_domain_config *config, libxl_domain_config *xl,
        const struct zl_cancel *cancel, uint32_t *ret_domid, struct zl_error *err)
{
	struct zl_xen_operation operation;
	uint32_t domid = NO_DOMID;
	int rc;

	zl_xen_operation_init(&operation);
	rc = libxl_domain_create_new(context->ctx, xl, &domid, &operation.how, NULL);
	rc = zl_xen_operation_wait(context, &operation, rc, cancel);
	if (rc == 0 && zl_xen_devices_add(context, script, domid, config, cancel, err) == 0) {
		*ret_domid = domid;
		return 0;
	}
	if (rc == 0)
		zl_error_wrap(err, "domain \"%s\"", config->name);
	else
		zl_xen_operation_error(
		        context, rc, cancel, err, "make the domain \"%s\"", config->name);
	return give_up(context, config, xl, domid, err);
}

static int create(struct zl_xen *xen, struct zl_xen_context *context,
        const struct zl_domain_config *config, const struct zl_cancel *cancel, uint32_t *ret_domid,
        struct zl_error *err)
{
	zl_auto(domain_config) libxl_domain_config xl;

	libxl_domain_config_init(&xl);
	if (zl_xen_config_fill(config, &xl, err) < 0 || check(context, config, &xl, err) < 0)
		return -1;
	return build(context, xen->hotplug_program, config, &xl, cancel, ret_domid, err);
}

int zl_xen_domain_create(struct zl_hypervisor *hv, const struct zl_domain_config *config,
        const struct zl_cancel *cancel, uint32_t *ret_domid, struct zl_error *err)
{
	struct zl_xen *xen = zl_xen_of(hv);
	struct zl_xen_context *context;
	int result;

	if (zl_domain_config_check(config, err) < 0 || zl_cancel_check(cancel, err) < 0)
		return -1;
	context = zl_xen_take(xen, err);
	if (context == NULL)
		return -1;
	result = create(xen, context, config, cancel, ret_domid, err);
	zl_xen_give(xen, context);
	return result;
}

// ---- unpause and destroy

static int no_info(struct zl_xen_context *context, int rc, uint32_t domid, struct zl_error *err)
{
	if (rc == ERROR_DOMAIN_NOTFOUND)
		return zl_error_set(err, ZL_NOT_FOUND, "there is no domain %u", (unsigned)domid);
	return zl_xen_error(context, rc, err, "look at domain %u", (unsigned)domid);
}

int zl_xen_need_domain(struct zl_xen_context *context, uint32_t domid, struct zl_error *err)
{
	int rc = libxl_domain_info(context->ctx, NULL, domid);

	return rc == 0 ? 0 : no_info(context, rc, domid, err);
}

int zl_xen_domain_unpause(struct zl_hypervisor *hv, uint32_t domid, struct zl_error *err)
{
	struct zl_xen *xen = zl_xen_of(hv);
	struct zl_xen_context *context = zl_xen_take(xen, err);
	int result;
	int rc;

	if (context == NULL)
		return -1;
	result = zl_xen_need_domain(context, domid, err);
	if (result == 0) {
		rc = libxl_domain_unpause(context->ctx, domid, NULL);
		if (rc != 0)
			result = zl_xen_error(context, rc, err, "start domain %u", (unsigned)domid);
	}
	zl_xen_give(xen, context);
	return result;
}

int zl_xen_domain_destroy(struct zl_hypervisor *hv, uint32_t domid, struct zl_error *err)
{
	struct zl_xen *xen = zl_xen_of(hv);
	struct zl_xen_context *context = zl_xen_take(xen, err);
	int result;

	if (context == NULL)
		return -1;
	result = destroy(context, domid, true, err);
	zl_xen_give(xen, context);
	return result;
}

// ---- info

static void copy_name(struct zl_xen_context *context, struct zl_domain_info *ret)
{
	char *name = libxl_domid_to_name(context->ctx, ret->domid);

	(void)snprintf(ret->name, sizeof(ret->name), "%s", name != NULL ? name : "");
	free(name);
}

static void convert(
        struct zl_xen_context *context, const libxl_dominfo *from, struct zl_domain_info *ret)
{
	*ret = (struct zl_domain_info){
	        .domid = from->domid,
	        .type = from->domain_type == LIBXL_DOMAIN_TYPE_PV ? ZL_DOMAIN_PV : ZL_DOMAIN_PVH,
	        .end = zl_xen_end(from),
	        .paused = from->paused,
	        .memory_bytes = from->current_memkb * KIB,
	        .max_memory_bytes = from->max_memkb * KIB,
	        .vcpus = from->vcpu_online,
	        .max_vcpus = from->vcpu_max_id + 1,
	        .cpu_time_ns = from->cpu_time,
	};
	(void)snprintf(ret->uuid, sizeof(ret->uuid), LIBXL_UUID_FMT, LIBXL_UUID_BYTES(from->uuid));
	copy_name(context, ret);
}

static int info(struct zl_xen_context *context, uint32_t domid, struct zl_domain_info *ret,
        struct zl_error *err)
{
	zl_auto(dominfo) libxl_dominfo xl;
	int rc;

	libxl_dominfo_init(&xl);
	rc = libxl_domain_info(context->ctx, &xl, domid);
	if (rc != 0)
		return no_info(context, rc, domid, err);
	convert(context, &xl, ret);
	return 0;
}

int zl_xen_domain_info(
        struct zl_hypervisor *hv, uint32_t domid, struct zl_domain_info *ret, struct zl_error *err)
{
	struct zl_xen *xen = zl_xen_of(hv);
	struct zl_xen_context *context = zl_xen_take(xen, err);
	int result;

	if (context == NULL)
		return -1;
	result = info(context, domid, ret, err);
	zl_xen_give(xen, context);
	return result;
}

static int list(struct zl_xen_context *context, struct zl_domain_info **ret, size_t *ret_count,
        struct zl_error *err)
{
	struct zl_domain_info *domains;
	int count = 0;
	libxl_dominfo *xl = libxl_list_domain(context->ctx, &count);

	if (xl == NULL)
		return zl_xen_error(context, ERROR_FAIL, err, "list the domains");
	domains = calloc((size_t)count + 1, sizeof(*domains));
	*ret_count = 0;
	for (int i = 0; domains != NULL && i < count; i++) {
		if (xl[i].domid != 0)
			convert(context, &xl[i], &domains[(*ret_count)++]);
	}
	libxl_dominfo_list_free(xl, count);
	*ret = domains;
	return domains != NULL ? 0 : zl_error_nomem(err);
}

int zl_xen_domain_list(struct zl_hypervisor *hv, struct zl_domain_info **ret, size_t *ret_count,
        struct zl_error *err)
{
	struct zl_xen *xen = zl_xen_of(hv);
	struct zl_xen_context *context = zl_xen_take(xen, err);
	int result;

	if (context == NULL)
		return -1;
	result = list(context, ret, ret_count, err);
	zl_xen_give(xen, context);
	return result;
}

static int host(struct zl_xen_context *context, struct zl_host_info *ret, struct zl_error *err)
{
	const libxl_version_info *version = libxl_get_version_info(context->ctx);
	libxl_physinfo xl;
	int rc;

	libxl_physinfo_init(&xl);
	rc = libxl_get_physinfo(context->ctx, &xl);
	if (rc != 0 || version == NULL)
		return zl_xen_error(context, rc, err, "ask Xen about the machine");
	*ret = (struct zl_host_info){
	        .memory_total_bytes = xl.total_pages * (uint64_t)version->pagesize,
	        .cpus = xl.nr_cpus,
	        .has_pvh = xl.cap_hvm && (xl.cap_hap || xl.cap_shadow),
	};
	(void)snprintf(ret->version, sizeof(ret->version), "%d.%d%s", version->xen_version_major,
	        version->xen_version_minor,
	        version->xen_version_extra != NULL ? version->xen_version_extra : "");
	libxl_physinfo_dispose(&xl);
	return zl_xen_free_memory(context, &ret->memory_free_bytes, err);
}

int zl_xen_host_info(struct zl_hypervisor *hv, struct zl_host_info *ret, struct zl_error *err)
{
	struct zl_xen *xen = zl_xen_of(hv);
	struct zl_xen_context *context = zl_xen_take(xen, err);
	int result;

	if (context == NULL)
		return -1;
	result = host(context, ret, err);
	zl_xen_give(xen, context);
	return result;
}
