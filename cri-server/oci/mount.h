// SPDX-License-Identifier: Apache-2.0
//
// The OCI `mounts` of a container: those that every container has, and those that the CRI asks for.
//
// Plain data in, plain data out.
#ifndef ZL_CRI_SERVER_OCI_MOUNT_H
#define ZL_CRI_SERVER_OCI_MOUNT_H

#include <jansson.h>
#include <stdbool.h>

#include "cri-server/oci/spec.h"

// Whether a mount is an image volume.
bool zl_oci_is_image(const Runtime__V1__Mount *mount);

// The list. A privileged container's /sys and cgroups are writable. INVALID_ARGUMENT and
// UNIMPLEMENTED name the container and the mount.
json_t *zl_oci_mounts(const struct zl_oci_input *input, bool privileged, struct zl_error *err);

// OCI rootfsPropagation: what the mounts need the container's tree to be; NULL: nothing. (crun
// makes all mounts private first unless it is told otherwise, and nothing would come through.)
const char *zl_oci_root_propagation(const Runtime__V1__ContainerConfig *container);

#endif
