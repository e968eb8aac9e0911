// SPDX-License-Identifier: Apache-2.0
//
// Images in a zone: one disk for each, shared by the pod's containers that have the same image, as
// their root or as a volume.
//
// The first four are the back end's operations (backend.h); they take the sandbox's disk_gate.
#ifndef ZL_CRI_SERVER_SANDBOX_ZONE_IMAGE_H
#define ZL_CRI_SERVER_SANDBOX_ZONE_IMAGE_H

#include "cri-server/sandbox/backend.h"

int zl_zone_image_add(struct zl_container *container, struct zl_zone_rootfs *ret,
        struct zl_arena *arena, const struct zl_cancel *cancel, struct zl_error *err);
int zl_zone_volume_add(struct zl_container *container, struct zl_container_volume *volume,
        struct zl_zone_image_volume *ret, struct zl_arena *arena, const struct zl_cancel *cancel,
        struct zl_error *err);
int zl_zone_image_remove(struct zl_container *container, struct zl_error *err);
// After a restart: the image is on this device already, and the volumes on theirs.
int zl_zone_image_recover(struct zl_container *container, const char *vdev, struct zl_error *err);

// Lets go of all images of a zone whose domain is gone.
int zl_zone_images_release(struct zl_sandbox *sandbox, struct zl_error *err);

#endif
