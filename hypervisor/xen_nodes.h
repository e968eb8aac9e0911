// SPDX-License-Identifier: Apache-2.0
//
// What a device looks like in xenstore: the nodes of its front end, its back end, and libxl's own
// record of it. Data in, data out; xen_store.c brings it to xenstore.
//
// The protocol: xen/include/public/io/{xenbus,blkif,netif,9pfs}.h, docs/misc/xenstore-paths.pandoc.
// The nodes under /libxl are those libxl_device.c and libxl_disk.c write and read: with them `xl`
// lists the devices and takes them down when somebody else destroys the domain. Of a 9pfs device
// libxl is told nothing: it would wait ten seconds for its back end when it takes it down.
#ifndef ZL_HYPERVISOR_XEN_NODES_H
#define ZL_HYPERVISOR_XEN_NODES_H

#include "hypervisor/hypervisor.h"

enum { ZL_NODE_SIZE = 128 };

enum zl_device_kind { ZL_DEVICE_VBD, ZL_DEVICE_VIF, ZL_DEVICE_9PFS };

struct zl_device {
	enum zl_device_kind kind;
	uint32_t domid;
	uint32_t devid; // a disk: zl_disk_devid
	uint32_t backend_domid;
};

// A device to be attached; exactly one of disk, nic and share is set, as kind says.
struct zl_attach {
	struct zl_device device;
	const struct zl_disk *disk;
	const struct zl_nic *nic;
	const struct zl_share_device *share;
	char physical[24];  // a disk's block device in dom0, "7:3" in hexadecimal; "" elsewhere
	const char *script; // what others run to handle the device
	bool as_made;       // an interface that is good as its driver makes it
};

// Receives the nodes of a device. Every function returns -1 to stop.
struct zl_node_sink {
	// An empty directory; what is put below it belongs to `owner` and can be read by `reader`
	// (and by dom0).
	int (*directory)(void *user, const char *path, uint32_t owner, uint32_t reader);
	int (*put)(void *user, const char *path, const char *value);
	void *user;
};

// "vbd", "vif", "9pfs"
const char *zl_device_kind_name(enum zl_device_kind kind);

// Paths of the device's directories; and its name on the kernel's xen-backend bus ("vbd-3-51712").
void zl_device_frontend(const struct zl_device *device, char out[static ZL_NODE_SIZE]);
void zl_device_backend(const struct zl_device *device, char out[static ZL_NODE_SIZE]);
void zl_device_record(const struct zl_device *device, char out[static ZL_NODE_SIZE]);
void zl_device_bus_name(const struct zl_device *device, char out[static ZL_NODE_SIZE]);

// The number of a disk, by its name: xvda to xvdp are major 202 with 16 minors each, those after
// them have the extended form (docs/man/xen-vbd-interface.7.pandoc). INVALID_ARGUMENT for others.
int zl_disk_devid(const char *vdev, uint32_t *ret, struct zl_error *err);

// Emits all nodes of the device.
int zl_attach_nodes(const struct zl_attach *attach, const struct zl_node_sink *sink);

#endif
