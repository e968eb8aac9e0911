// SPDX-License-Identifier: Apache-2.0
//
// A zone's network interface on the back end's side.
#ifndef ZL_HYPERVISOR_VIF_H
#define ZL_HYPERVISOR_VIF_H

#include <stdint.h>

#include "base/error.h"

// Gives the interface its name and MTU (0: as it is). The name changes only while the interface is
// down, as it is when netback has made it.
int zl_vif_shape(const char *from, const char *to, uint32_t mtu, struct zl_error *err);

// The same, and sets it up, without IPv6: dom0 must not be reachable over it before it is joined to
// the pod's network, and IPv6 would give it an address by itself.
int zl_vif_prepare(const char *from, const char *to, uint32_t mtu, struct zl_error *err);

#endif
