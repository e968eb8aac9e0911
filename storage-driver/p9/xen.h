// SPDX-License-Identifier: Apache-2.0
//
// The back end of a Xen 9pfs device, for one front end, as a transport (trans=xen).
//
// The toolstack (hypervisor/) makes the device's nodes with the back end's side in state InitWait.
// Connecting waits until the front end has offered its rings (state Initialised), maps them, and
// answers Connected; when the device is connected already, a server died, and this one goes on with
// the same rings. Xenstore is used for that alone, before the process gives its rights away: what
// stays open is the mapped memory and a descriptor for this domain's event channels.
#ifndef ZL_STORAGE_DRIVER_P9_XEN_H
#define ZL_STORAGE_DRIVER_P9_XEN_H

#include <stdint.h>

#include "storage-driver/p9/tags.h"
#include "storage-driver/p9/transport.h"

// UNAVAILABLE when the front end does not come up within timeout_ms or goes away;
// INVALID_ARGUMENT when what it offers is impossible. `tags`: marks are set for each request that
// leaves a ring; NULL: none.
struct zl_p9_transport *zl_p9_xen_connect(uint32_t domid, uint32_t devid, int timeout_ms,
        struct zl_p9_tags *tags, struct zl_error *err);

#endif
