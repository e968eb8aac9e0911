// SPDX-License-Identifier: Apache-2.0
#include <sys/stat.h>

#include "base/cleanup.h"
#include "hypervisor/domain_config.h"
#include "hypervisor/xen.h"

ZL_AUTO_DEFINE_VALUE(device_disk, libxl_device_disk, libxl_device_disk_dispose);
ZL_AUTO_DEFINE_VALUE(device_nic, libxl_device_nic, libxl_device_nic_dispose);

// ---- disks

int zl_xen_disk_present(const struct zl_disk *disk, struct zl_error *err)
{
	struct stat st;

	if (disk->backend_domid != 0)
		return 0;
	if (stat(disk->path, &st) < 0)
		return zl_error_errno(err, errno, "disk %s: %s", disk->vdev, disk->path);
	if (!S_ISBLK(st.st_mode))
		return zl_error_set(err, ZL_INVALID_ARGUMENT, "disk %s: %s is not a block device",
		        disk->vdev, disk->path);
	return 0;
}

static int add_disk(struct zl_xen_context *context, uint32_t domid, const struct zl_disk *disk,
        const char *hotplug_program, const struct zl_cancel *cancel, struct zl_error *err)
{
	zl_auto(device_disk) libxl_device_disk xl;
	struct zl_xen_operation operation;
	int rc;

	libxl_device_disk_init(&xl);
	if (zl_xen_disk_fill(disk, hotplug_program, &xl, err) < 0)
		return -1;
	zl_xen_operation_init(&operation);
	rc = libxl_device_disk_add(context->ctx, domid, &xl, &operation.how);
	rc = zl_xen_operation_wait(context, &operation, rc, cancel);
	if (rc == 0)
		return 0;
	return zl_xen_operation_error(context, rc, cancel, err, "attach %s as %s to domain %u",
	        disk->path, disk->vdev, (unsigned)domid);
}

static int remove_disk(struct zl_xen_context *context, uint32_t domid, const char *vdev,
        const struct zl_cancel *cancel, struct zl_error *err)
{
	zl_auto(device_disk) libxl_device_disk xl;
	struct zl_xen_operation operation;
	int rc;

	libxl_device_disk_init(&xl);
	if (libxl_vdev_to_device_disk(context->ctx, domid, vdev, &xl) != 0)
		return 0; // it is not there
	zl_xen_operation_init(&operation);
	rc = libxl_device_disk_remove(context->ctx, domid, &xl, &operation.how);
	rc = zl_xen_operation_wait(context, &operation, rc, cancel);
	if (rc == 0)
		return 0;
	return zl_xen_operation_error(
	        context, rc, cancel, err, "detach disk %s from domain %u", vdev, (unsigned)domid);
}

// An attach that did not come to its end leaves its nodes; they go the forced way, which waits for
// nobody.
static void undo_add_disk(struct zl_xen_context *context, uint32_t domid, const char *vdev)
{
	zl_auto(device_disk) libxl_device_disk xl;
	struct zl_xen_operation operation;
	int rc;

	libxl_device_disk_init(&xl);
	if (libxl_vdev_to_device_disk(context->ctx, domid, vdev, &xl) != 0)
		return;
	zl_xen_operation_init(&operation);
	rc = libxl_device_disk_destroy(context->ctx, domid, &xl, &operation.how);
	(void)zl_xen_operation_wait(context, &operation, rc, NULL);
}

int zl_xen_disk_add(struct zl_hypervisor *hv, uint32_t domid, const struct zl_disk *disk,
        const struct zl_cancel *cancel, struct zl_error *err)
{
	struct zl_xen *xen = zl_xen_of(hv);
	struct zl_xen_context *context;
	struct zl_error own = ZL_ERROR_INIT;
	int result;

	if (zl_disk_check(disk, err) < 0 || zl_xen_disk_present(disk, err) < 0 ||
	        zl_cancel_check(cancel, err) < 0)
		return -1;
	context = zl_xen_take(xen, err);
	if (context == NULL)
		return -1;
	result = zl_xen_need_domain(context, domid, &own);
	if (result == 0) {
		result = add_disk(context, domid, disk, xen->hotplug_program, cancel, &own);
		if (result < 0 && own.code != ZL_ALREADY_EXISTS)
			undo_add_disk(context, domid, disk->vdev);
	}
	zl_xen_give(xen, context);
	if (result < 0 && err != NULL)
		*err = own;
	return result;
}

int zl_xen_disk_remove(struct zl_hypervisor *hv, uint32_t domid, const char *vdev,
        const struct zl_cancel *cancel, struct zl_error *err)
{
	struct zl_xen *xen = zl_xen_of(hv);
	struct zl_xen_context *context = zl_xen_take(xen, err);
	int result;

	if (context == NULL)
		return -1;
	result = remove_disk(context, domid, vdev, cancel, err);
	zl_xen_give(xen, context);
	return result;
}

// ---- network interfaces

static int add_nic(struct zl_xen_context *context, uint32_t domid, const struct zl_nic *nic,
        const char *hotplug_program, const struct zl_cancel *cancel, struct zl_error *err)
{
	zl_auto(device_nic) libxl_device_nic xl;
	struct zl_xen_operation operation;
	int rc;

	libxl_device_nic_init(&xl);
	if (zl_xen_nic_fill(nic, hotplug_program, &xl, err) < 0)
		return -1;
	zl_xen_operation_init(&operation);
	rc = libxl_device_nic_add(context->ctx, domid, &xl, &operation.how);
	rc = zl_xen_operation_wait(context, &operation, rc, cancel);
	if (rc == 0)
		return 0;
	return zl_xen_operation_error(context, rc, cancel, err,
	        "attach network interface %d (%s) to domain %u", nic->devid, nic->ifname,
	        (unsigned)domid);
}

static int remove_nic(struct zl_xen_context *context, uint32_t domid, int devid, bool force,
        const struct zl_cancel *cancel, struct zl_error *err)
{
	zl_auto(device_nic) libxl_device_nic xl;
	struct zl_xen_operation operation;
	int rc;

	libxl_device_nic_init(&xl);
	if (libxl_devid_to_device_nic(context->ctx, domid, devid, &xl) != 0)
		return 0; // it is not there
	zl_xen_operation_init(&operation);
	rc = force ? libxl_device_nic_destroy(context->ctx, domid, &xl, &operation.how)
	           : libxl_device_nic_remove(context->ctx, domid, &xl, &operation.how);
	rc = zl_xen_operation_wait(context, &operation, rc, cancel);
	if (rc == 0)
		return 0;
	return zl_xen_operation_error(context, rc, cancel, err,
	        "detach network interface %d from domain %u", devid, (unsigned)domid);
}

int zl_xen_nic_add(struct zl_hypervisor *hv, uint32_t domid, const struct zl_nic *nic,
        const struct zl_cancel *cancel, struct zl_error *err)
{
	struct zl_xen *xen = zl_xen_of(hv);
	struct zl_xen_context *context;
	struct zl_error own = ZL_ERROR_INIT;
	int result;

	if (zl_nic_check(nic, err) < 0 || zl_cancel_check(cancel, err) < 0)
		return -1;
	context = zl_xen_take(xen, err);
	if (context == NULL)
		return -1;
	result = zl_xen_need_domain(context, domid, &own);
	if (result == 0) {
		result = add_nic(context, domid, nic, xen->hotplug_program, cancel, &own);
		if (result < 0 && own.code != ZL_ALREADY_EXISTS)
			(void)remove_nic(context, domid, nic->devid, true, NULL, NULL);
	}
	zl_xen_give(xen, context);
	if (result < 0 && err != NULL)
		*err = own;
	return result;
}

int zl_xen_nic_remove(struct zl_hypervisor *hv, uint32_t domid, int devid,
        const struct zl_cancel *cancel, struct zl_error *err)
{
	struct zl_xen *xen = zl_xen_of(hv);
	struct zl_xen_context *context = zl_xen_take(xen, err);
	int result;

	if (context == NULL)
		return -1;
	result = remove_nic(context, domid, devid, false, cancel, err);
	zl_xen_give(xen, context);
	return result;
}
