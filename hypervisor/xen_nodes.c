// SPDX-License-Identifier: Apache-2.0
#include "hypervisor/xen_nodes.h"

#include <stdio.h>
#include <string.h>

#include "base/cleanup.h"

enum {
	XVD_MAJOR = 202,
	XVD_EXTENDED = 1 << 28,
	XVD_PLAIN_DISKS = 16,
	XVD_DISKS = 26 + 26 * 26, // xvda to xvdzz
};

const char *zl_device_kind_name(enum zl_device_kind kind)
{
	static const char *const names[] = {
	        [ZL_DEVICE_VBD] = "vbd", [ZL_DEVICE_VIF] = "vif", [ZL_DEVICE_9PFS] = "9pfs"};

	return names[kind];
}

void zl_device_frontend(const struct zl_device *device, char out[static ZL_NODE_SIZE])
{
	(void)snprintf(out, ZL_NODE_SIZE, "/local/domain/%u/device/%s/%u", (unsigned)device->domid,
	        zl_device_kind_name(device->kind), (unsigned)device->devid);
}

void zl_device_backend(const struct zl_device *device, char out[static ZL_NODE_SIZE])
{
	(void)snprintf(out, ZL_NODE_SIZE, "/local/domain/%u/backend/%s/%u/%u",
	        (unsigned)device->backend_domid, zl_device_kind_name(device->kind),
	        (unsigned)device->domid, (unsigned)device->devid);
}

void zl_device_record(const struct zl_device *device, char out[static ZL_NODE_SIZE])
{
	(void)snprintf(out, ZL_NODE_SIZE, "/libxl/%u/device/%s/%u", (unsigned)device->domid,
	        zl_device_kind_name(device->kind), (unsigned)device->devid);
}

void zl_device_bus_name(const struct zl_device *device, char out[static ZL_NODE_SIZE])
{
	(void)snprintf(out, ZL_NODE_SIZE, "%s-%u-%u", zl_device_kind_name(device->kind),
	        (unsigned)device->domid, (unsigned)device->devid);
}

int zl_disk_devid(const char *vdev, uint32_t *ret, struct zl_error *err)
{
	const char *letters = strncmp(vdev, "xvd", 3) == 0 ? vdev + 3 : "";
	uint32_t index = 0;

	// Letters count like digits without a zero: a to z, aa to zz.
	for (size_t i = 0; letters[i] != '\0'; i++) {
		if (letters[i] < 'a' || letters[i] > 'z' || index > XVD_DISKS)
			return zl_error_set(err, ZL_INVALID_ARGUMENT,
			        "\"%s\" is no disk of a zone; they are named xvda to xvdzz", vdev);
		index = index * 26 + (uint32_t)(letters[i] - 'a') + 1;
	}
	if (index == 0 || index > XVD_DISKS)
		return zl_error_set(err, ZL_INVALID_ARGUMENT,
		        "\"%s\" is no disk of a zone; they are named xvda to xvdzz", vdev);
	index--;
	*ret = index < XVD_PLAIN_DISKS ? (uint32_t)XVD_MAJOR << 8 | index << 4
	                               : (uint32_t)XVD_EXTENDED | index << 8;
	return 0;
}

// ---- nodes

// A node of one directory; those without a value are left out.
struct node {
	const char *name;
	const char *value;
};

static int put_all(const struct zl_node_sink *sink, const char *directory, const struct node *nodes,
        size_t count)
{
	for (size_t i = 0; i < count; i++) {
		char path[ZL_NODE_SIZE + 32];

		if (nodes[i].value == NULL || nodes[i].value[0] == '\0')
			continue;
		(void)snprintf(path, sizeof(path), "%s/%s", directory, nodes[i].name);
		if (sink->put(sink->user, path, nodes[i].value) < 0)
			return -1;
	}
	return 0;
}

struct paths {
	char frontend[ZL_NODE_SIZE];
	char backend[ZL_NODE_SIZE];
	char record[ZL_NODE_SIZE];
	char domid[12];
	char devid[12];
	char backend_domid[12];
};

static void fill_paths(const struct zl_device *device, struct paths *paths)
{
	zl_device_frontend(device, paths->frontend);
	zl_device_backend(device, paths->backend);
	zl_device_record(device, paths->record);
	(void)snprintf(paths->domid, sizeof(paths->domid), "%u", (unsigned)device->domid);
	(void)snprintf(paths->devid, sizeof(paths->devid), "%u", (unsigned)device->devid);
	(void)snprintf(paths->backend_domid, sizeof(paths->backend_domid), "%u",
	        (unsigned)device->backend_domid);
}

// The directories and the nodes that every device has. `state` is the back end's.
static int put_common(const struct zl_device *device, const struct paths *paths, const char *state,
        const struct zl_node_sink *sink)
{
	const struct node frontend[] = {
	        {"backend", paths->backend},
	        {"backend-id", paths->backend_domid},
	        {"state", "1"},
	};
	const struct node backend[] = {
	        {"frontend", paths->frontend},
	        {"frontend-id", paths->domid},
	        {"online", "1"},
	        {"state", state},
	};

	if (sink->directory(sink->user, paths->frontend, device->domid, device->backend_domid) <
	                0 ||
	        sink->directory(sink->user, paths->backend, device->backend_domid, device->domid) <
	                0)
		return -1;
	if (put_all(sink, paths->frontend, frontend, ZL_ARRAY_SIZE(frontend)) < 0)
		return -1;
	return put_all(sink, paths->backend, backend, ZL_ARRAY_SIZE(backend));
}

// The record is dom0's alone, as all of /libxl.
static int put_record(const struct paths *paths, const struct node *nodes, size_t count,
        const struct zl_node_sink *sink)
{
	const struct node record[] = {
	        {"frontend", paths->frontend},
	        {"backend", paths->backend},
	};

	if (put_all(sink, paths->record, record, ZL_ARRAY_SIZE(record)) < 0)
		return -1;
	return put_all(sink, paths->record, nodes, count);
}

static int put_disk(
        const struct zl_attach *attach, const struct paths *paths, const struct zl_node_sink *sink)
{
	const struct zl_disk *disk = attach->disk;
	const struct node frontend[] = {
	        {"virtual-device", paths->devid},
	        {"device-type", "disk"},
	};
	// Each node here wakes dom0's kernel once, so only what a reader needs: blkback, and libxl
	// for the script.
	const struct node backend[] = {
	        {"params", disk->path},
	        {"script", attach->script},
	        {"mode", disk->readonly ? "r" : "w"},
	        {"dev", disk->vdev}, // names blkback's thread, which is not started without
	        {"discard-enable", disk->readonly ? "0" : NULL},
	        {"physical-device", attach->physical},
	};
	const struct node record[] = {
	        {"params", disk->path},
	        {"script", attach->script},
	        {"removable", "0"},
	        {"dev", disk->vdev},
	        {"type", "phy"},
	        {"mode", disk->readonly ? "r" : "w"},
	        {"device-type", "disk"},
	};

	if (put_all(sink, paths->frontend, frontend, ZL_ARRAY_SIZE(frontend)) < 0 ||
	        put_record(paths, record, ZL_ARRAY_SIZE(record), sink) < 0)
		return -1;
	return put_all(sink, paths->backend, backend, ZL_ARRAY_SIZE(backend));
}

static int put_nic(
        const struct zl_attach *attach, const struct paths *paths, const struct zl_node_sink *sink)
{
	const struct zl_nic *nic = attach->nic;
	char mac[18];
	char mtu[12] = "";
	const struct node frontend[] = {
	        {"handle", paths->devid},
	        {"mac", mac},
	        {"mtu", mtu},
	};
	const struct node backend[] = {
	        {"handle", paths->devid},
	        {"mac", mac},
	        {"script", attach->script},
	        {"type", "vif"}, // libxl looks here for the kind when it takes it down
	        {"vifname", nic->ifname},
	        {"mtu", mtu},
	        // netback waits for it before it connects: that somebody did his part.
	        {"hotplug-status", attach->as_made ? "connected" : NULL},
	};
	const struct node record[] = {
	        {"handle", paths->devid},
	        {"mac", mac},
	        {"mtu", mtu},
	        {"script", attach->script},
	        {"vifname", nic->ifname},
	        {"type", "vif"},
	};

	(void)snprintf(mac, sizeof(mac), "%02x:%02x:%02x:%02x:%02x:%02x", nic->mac[0], nic->mac[1],
	        nic->mac[2], nic->mac[3], nic->mac[4], nic->mac[5]);
	if (nic->mtu != 0)
		(void)snprintf(mtu, sizeof(mtu), "%u", (unsigned)nic->mtu);
	if (put_all(sink, paths->frontend, frontend, ZL_ARRAY_SIZE(frontend)) < 0 ||
	        put_record(paths, record, ZL_ARRAY_SIZE(record), sink) < 0)
		return -1;
	return put_all(sink, paths->backend, backend, ZL_ARRAY_SIZE(backend));
}

// The back end waits for the front end from the start (state 2, InitWait): what that needs to know
// before it offers its rings is here. Linux wants two (net/9p/trans_xen.c, xen_9pfs_front_init).
static int put_share(
        const struct zl_attach *attach, const struct paths *paths, const struct zl_node_sink *sink)
{
	char order[12];
	const struct node frontend[] = {
	        {"tag", attach->share->tag},
	};
	const struct node backend[] = {
	        {"versions", "1"},
	        {"max-rings", "2"},
	        {"max-ring-page-order", order},
	};

	(void)snprintf(order, sizeof(order), "%u", attach->share->ring_order);
	if (put_all(sink, paths->frontend, frontend, ZL_ARRAY_SIZE(frontend)) < 0)
		return -1;
	return put_all(sink, paths->backend, backend, ZL_ARRAY_SIZE(backend));
}

int zl_attach_nodes(const struct zl_attach *attach, const struct zl_node_sink *sink)
{
	static const struct {
		const char *state;
		int (*put)(const struct zl_attach *attach, const struct paths *paths,
		        const struct zl_node_sink *sink);
	} kinds[] = {
	        [ZL_DEVICE_VBD] = {"1", put_disk},
	        [ZL_DEVICE_VIF] = {"1", put_nic},
	        [ZL_DEVICE_9PFS] = {"2", put_share},
	};
	struct paths paths;

	fill_paths(&attach->device, &paths);
	if (put_common(&attach->device, &paths, kinds[attach->device.kind].state, sink) < 0)
		return -1;
	return kinds[attach->device.kind].put(attach, &paths, sink);
}
