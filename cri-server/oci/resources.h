// SPDX-License-Identifier: Apache-2.0
//
// A container's limits: from CRI's form to the runtime-spec's, and one set laid over another.
// Plain data in, plain data out.
#ifndef ZL_CRI_SERVER_OCI_RESOURCES_H
#define ZL_CRI_SERVER_OCI_RESOURCES_H

#include <stdbool.h>

#include "api.pb-c.h"
#include "base/json.h"
#include "cri-server/message/arena.h"

// linux.resources of the runtime-spec (config-linux.md, "Control groups"), with what is set: zero,
// "" and empty lists are "not specified" in CRI. -1 takes a limit away. NULL gives an empty object.
// zone: cpusets name the node's cpus and mean nothing in there, and page sizes without a limit are
// left out: the zone's kernel may not have them. NULL without memory.
json_t *zl_oci_resources(const Runtime__V1__LinuxContainerResources *resources, bool zone);

// `over` laid over `under` (either may be NULL), in the arena: what `over` does not specify stays.
Runtime__V1__LinuxContainerResources *zl_resources_merge(struct zl_arena *arena,
        const Runtime__V1__LinuxContainerResources *under,
        const Runtime__V1__LinuxContainerResources *over);

#endif
