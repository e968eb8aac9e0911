// SPDX-License-Identifier: Apache-2.0
//
// The devices of a container, from what the daemon asked for to what the OCI spec wants to know:
// kind, numbers, owner. Only here are the devices: the node's under `host`, the zone's in a zone.
#ifndef ZL_ZONE_SUPERVISOR_DEVNODE_H
#define ZL_ZONE_SUPERVISOR_DEVNODE_H

#include <jansson.h>

#include "base/error.h"

// More than this in one container is a mistake.
enum { ZL_DEVNODES_MAX = 4096 };

// Takes "zonelet:devices" (cri-server/oci/spec.h) out of the spec's `linux` and adds linux.devices
// and rules to linux.resources.devices. A source may be a directory: all devices below it.
// NOT_FOUND: there is no such device.
int zl_devnodes_add(json_t *linux_part, struct zl_error *err);

#endif
