// SPDX-License-Identifier: Apache-2.0
//
// The sandbox's settings, each a function of its own. Those of the machine (clock, entropy) are a
// zone's alone.
#ifndef ZL_ZONE_SUPERVISOR_CONFIGURE_H
#define ZL_ZONE_SUPERVISOR_CONFIGURE_H

#include "zone.pb-c.h"
#include "zone/supervisor/supervisor.h"

// Writes a sysctl ("net.ipv4.ip_forward", or with slashes). INVALID_ARGUMENT for a name that is
// none, or leads out of /proc/sys.
int zl_sysctl_set(const char *name, const char *value, struct zl_error *err);
// Credits bytes to the kernel's random pool.
int zl_entropy_add(const void *bytes, size_t length, struct zl_error *err);
// Sets the clock if it is off by more than half a second.
int zl_clock_adjust(int64_t realtime_ns, struct zl_error *err);
// /etc/resolv.conf and /etc/hostname for the containers, and the pod's /dev/shm.
int zl_pod_files(struct zl_supervisor *s, const Zl__Zone__Configure *config, struct zl_error *err);
// Gives up a configure that waits.
void zl_configure_cancel(struct zl_supervisor *s);

#endif
