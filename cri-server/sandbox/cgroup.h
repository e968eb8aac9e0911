// SPDX-License-Identifier: Apache-2.0
//
// Cgroups (version 2) of pods under `host`, as far as the daemon itself must touch them.
#ifndef ZL_CRI_SERVER_SANDBOX_CGROUP_H
#define ZL_CRI_SERVER_SANDBOX_CGROUP_H

#include <stdint.h>

#include "base/error.h"

// Where containers of pods without a cgroup of their own have theirs. It is there as long as the
// package is: whoever removed it when it is empty would take it from under a container that starts.
#define ZL_CGROUP_PODS "/zonelet"

// Makes a cgroup, if the node has version 2's hierarchy and it is not there.
void zl_cgroup_make(const char *path);

// Kills every process in the cgroup at `path` ("/zonelet/…", below the hierarchy's root) and below
// it, waits until they are gone (cgroup.events, admin-guide/cgroup-v2.rst), and removes it. Absent
// is success.
int zl_cgroup_remove(const char *path, struct zl_error *err);

// Limits of a cgroup's memory (bytes) and cpu time (microseconds in each period). 0: unspecified,
// it stays; -1: none. A cgroup without that controller, or that is not there, stays as it is.
int zl_cgroup_limit(
        const char *path, int64_t memory, int64_t quota, int64_t period, struct zl_error *err);

#endif
