// SPDX-License-Identifier: Apache-2.0
//
// 9pfs devices: xenstore nodes and nothing else, since the back end is a program of ours
// (storage-driver/p9). libxl is not told of them: it would start a QEMU for one it makes, and wait
// ten seconds for the back end of one it takes down.
#include <stdio.h>
#include <string.h>
#include <xenstore.h>

#include "base/cleanup.h"
#include "hypervisor/xen.h"

enum { PATH_SIZE = 96, RETRIES_MAX = 32 };

struct device {
	uint32_t domid;
	uint32_t devid;
	char front[PATH_SIZE];
	char back[PATH_SIZE];
};

static void name_device(uint32_t domid, uint32_t devid, struct device *out)
{
	out->domid = domid;
	out->devid = devid;
	(void)snprintf(out->front, PATH_SIZE, "/local/domain/%u/device/9pfs/%u", domid, devid);
	(void)snprintf(out->back, PATH_SIZE, "/local/domain/0/backend/9pfs/%u/%u", domid, devid);
}

struct node {
	const char *directory;
	const char *name;
	const char *value;
};

// A directory that `owner` may write and `reader` may read; what is made in it inherits that.
static bool make_directory(struct xs_handle *xs, xs_transaction_t transaction, const char *path,
        uint32_t owner, uint32_t reader)
{
	struct xs_permissions permissions[] = {
	        {.id = owner, .perms = XS_PERM_NONE},
	        {.id = reader, .perms = XS_PERM_READ},
	};

	return xs_mkdir(xs, transaction, path) &&
	       xs_set_permissions(xs, transaction, path, permissions, ZL_ARRAY_SIZE(permissions));
}

// The back end is in state InitWait (2) from the start: what the front end needs to know before it
// offers its rings is written here (xen/include/public/io/9pfs.h; net/9p/trans_xen.c,
// xen_9pfs_front_init). Linux wants two rings.
static bool put_nodes(struct xs_handle *xs, xs_transaction_t transaction,
        const struct device *device, const struct zl_share_device *share)
{
	char domid[12];
	char order[12];
	const struct node nodes[] = {
	        {device->back, "frontend", device->front},
	        {device->back, "frontend-id", domid},
	        {device->back, "online", "1"},
	        {device->back, "versions", "1"},
	        {device->back, "max-rings", "2"},
	        {device->back, "max-ring-page-order", order},
	        {device->back, "state", "2"},
	        {device->front, "backend", device->back},
	        {device->front, "backend-id", "0"},
	        {device->front, "tag", share->tag},
	        {device->front, "state", "1"},
	};

	(void)snprintf(domid, sizeof(domid), "%u", device->domid);
	(void)snprintf(order, sizeof(order), "%u", share->ring_order);
	if (!make_directory(xs, transaction, device->front, device->domid, 0) ||
	        !make_directory(xs, transaction, device->back, 0, device->domid))
		return false;
	for (size_t i = 0; i < ZL_ARRAY_SIZE(nodes); i++) {
		char path[PATH_SIZE + 32];

		(void)snprintf(path, sizeof(path), "%s/%s", nodes[i].directory, nodes[i].name);
		if (!xs_write(xs, transaction, path, nodes[i].value,
		            (unsigned)strlen(nodes[i].value)))
			return false;
	}
	return true;
}

// 1 done, 0 to be repeated (somebody else wrote meanwhile), -1.
static int try_add(struct xs_handle *xs, const struct device *device,
        const struct zl_share_device *share, struct zl_error *err)
{
	xs_transaction_t transaction = xs_transaction_start(xs);

	if (transaction == XBT_NULL)
		return zl_error_errno(err, errno, "start a xenstore transaction");
	if (!put_nodes(xs, transaction, device, share)) {
		int saved = errno;

		(void)xs_transaction_end(xs, transaction, true);
		return zl_error_errno(err, saved, "write the nodes of 9pfs device %u of domain %u",
		        device->devid, device->domid);
	}
	if (xs_transaction_end(xs, transaction, false))
		return 1;
	return errno == EAGAIN ? 0 : zl_error_errno(err, errno, "end a xenstore transaction");
}

static bool exists(struct xs_handle *xs, const char *directory)
{
	char path[PATH_SIZE + 8];
	unsigned length;
	zl_auto(free) char *value = NULL;

	(void)snprintf(path, sizeof(path), "%s/state", directory);
	value = xs_read(xs, XBT_NULL, path, &length);
	return value != NULL;
}

static int add(struct xs_handle *xs, uint32_t domid, const struct zl_share_device *share,
        struct zl_error *err)
{
	struct device device;
	int done = 0;

	name_device(domid, share->devid, &device);
	if (exists(xs, device.back))
		return 0;
	for (int i = 0; i < RETRIES_MAX && done == 0; i++)
		done = try_add(xs, &device, share, err);
	if (done == 0)
		return zl_error_set(err, ZL_ABORTED,
		        "xenstore was too busy to take the nodes of 9pfs device %u of domain %u",
		        share->devid, domid);
	return done > 0 ? 0 : -1;
}

int zl_xen_share_add(struct zl_hypervisor *hv, uint32_t domid, const struct zl_share_device *share,
        struct zl_error *err)
{
	struct xs_handle *xs = xs_open(0);
	int result;

	(void)hv;
	if (xs == NULL)
		return zl_error_errno(err, errno, "connect to xenstore");
	result = add(xs, domid, share, err);
	xs_close(xs);
	return result;
}

int zl_xen_share_remove(
        struct zl_hypervisor *hv, uint32_t domid, uint32_t devid, struct zl_error *err)
{
	struct xs_handle *xs = xs_open(0);
	struct device device;
	char parent[PATH_SIZE];
	bool gone;

	(void)hv;
	if (xs == NULL)
		return zl_error_errno(err, errno, "connect to xenstore");
	name_device(domid, devid, &device);
	(void)snprintf(parent, sizeof(parent), "/local/domain/0/backend/9pfs/%u", domid);
	// The domain's own part goes with the domain too; a missing node is no failure.
	gone = (xs_rm(xs, XBT_NULL, device.front) || errno == ENOENT) &&
	       (xs_rm(xs, XBT_NULL, device.back) || errno == ENOENT) &&
	       (xs_rm(xs, XBT_NULL, parent) || errno == ENOENT);
	if (!gone)
		zl_error_errno(err, errno, "remove the nodes of 9pfs device %u of domain %u", devid,
		        domid);
	xs_close(xs);
	return gone ? 0 : -1;
}
