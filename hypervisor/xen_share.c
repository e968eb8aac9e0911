// SPDX-License-Identifier: Apache-2.0
//
// 9pfs devices: xenstore nodes and nothing else, since the back end is a program of ours
// (storage-driver/p9).
#include "hypervisor/xen.h"
#include "hypervisor/xen_store.h"

static struct zl_device share_device(uint32_t domid, uint32_t devid)
{
	return (struct zl_device){.kind = ZL_DEVICE_9PFS, .domid = domid, .devid = devid};
}

int zl_xen_share_add(struct zl_hypervisor *hv, uint32_t domid, const struct zl_share_device *share,
        struct zl_error *err)
{
	struct zl_xen *xen = zl_xen_of(hv);
	const struct zl_attach attach = {
	        .device = share_device(domid, share->devid), .share = share};
	struct zl_xen_context *context = zl_xen_take(xen, err);
	struct zl_error own = ZL_ERROR_INIT;
	int result;

	if (context == NULL)
		return -1;
	result = zl_xen_connect(context, &own);
	if (result == 0)
		result = zl_xenstore_attach(context->xs, &attach, 1, &own);
	zl_xen_give(xen, context);
	if (result == 0 || own.code == ZL_ALREADY_EXISTS)
		return 0;
	if (err != NULL)
		*err = own;
	return -1;
}

int zl_xen_share_remove(
        struct zl_hypervisor *hv, uint32_t domid, uint32_t devid, struct zl_error *err)
{
	struct zl_xen *xen = zl_xen_of(hv);
	const struct zl_device device = share_device(domid, devid);
	struct zl_xen_context *context = zl_xen_take(xen, err);
	int result;

	if (context == NULL)
		return -1;
	result = zl_xen_connect(context, err);
	if (result == 0)
		result = zl_xenstore_remove(context->xs, &device, 1, err);
	zl_xen_give(xen, context);
	return result;
}
