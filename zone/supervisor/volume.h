// SPDX-License-Identifier: Apache-2.0
//
// Sources of a container's mounts, made ready before its spec goes to crun.
//
//   zonelet:image:N   the N-th image volume: mounted read-only at DIRECTORY/v/iN
//   rshared           what the container mounts there must be seen on the node: crun must bind
//                     the node's own mount, not the copy in this process's namespace, which only
//                     receives (host.c). A clone of it, in the same peer group, is put at
//                     DIRECTORY/v/mN (mount_namespaces(7), "Shared subtrees")
//   others            must exist (CRI: report an error where they do not)
#ifndef ZL_ZONE_SUPERVISOR_VOLUME_H
#define ZL_ZONE_SUPERVISOR_VOLUME_H

#include <jansson.h>

#include "base/error.h"
#include "zone/supervisor/supervisor.h"

struct zl_container;

// Makes one mount of the spec ready, changing its source where need be.
int zl_volume_prepare(struct zl_container *container, json_t *mount, struct zl_error *err);
// Unmounts all of them. None is fine.
int zl_volumes_release(struct zl_container *container, struct zl_error *err);

// The program's other life, in a process of its own, since only that can move between mount
// namespaces: clones the mount at `source` in the namespace on descriptor 3 to `target` here.
int zl_volume_share_main(const char *source, const char *target);

#endif
