// SPDX-License-Identifier: Apache-2.0
//
// The mounts below a container: its image read-only, and a writable layer over it.
//
//   DIRECTORY/image    EROFS: from a block device, or from files (kernel 6.12: no loop device)
//   DIRECTORY/root     overlayfs: image below, SCRATCH/ID/upper above
//
// With a user namespace the image's mount is idmapped (mount_setattr(2), MOUNT_ATTR_IDMAP;
// overlayfs takes such a lower layer since Linux 5.19): what root owns in the image is owned by the
// container's root, and nothing is copied. The writable layer is not, since overlayfs works in it
// as the node's root; its files have on disk the owners that the node sees.
//
// A read-only root is an overlay as well, since the runtime has to make mount points in it; the
// spec's root.readonly does the rest.
#ifndef ZL_ZONE_SUPERVISOR_ROOTFS_H
#define ZL_ZONE_SUPERVISOR_ROOTFS_H

#include <stddef.h>
#include <sys/types.h>

#include "base/error.h"

// The user namespace of a pod.
struct zl_owners {
	int userns; // -1: the pod has none
	uid_t uid;  // the node's ids of its root
	gid_t gid;
};

struct zl_rootfs_source {
	const char *device;       // block device with EROFS, or
	const char *const *files; // merged.erofs, then the layers' images in order
	size_t file_count;
	struct zl_owners owners;
};

// Mounts an image alone, read-only.
int zl_image_mount(const struct zl_rootfs_source *source, const char *target, struct zl_error *err);

// Mounts both. `directory` exists; what was mounted is unmounted again on failure.
int zl_rootfs_mount(const struct zl_rootfs_source *source, const char *directory, const char *layer,
        struct zl_error *err);
// Unmounts both; not mounted is fine. The layer's directory stays (zl_trash).
int zl_rootfs_unmount(const char *directory, struct zl_error *err);

#endif
