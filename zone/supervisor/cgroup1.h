// SPDX-License-Identifier: Apache-2.0
//
// A node with cgroup version 1 hierarchies beside version 2 ("hybrid": /sys/fs/cgroup/memory and
// its like, and /sys/fs/cgroup/unified).
//
// crun does either version and refuses a mixture in which version 2 has controllers, too. So it is
// shown a plain version 2 tree: the supervisor, whose mounts are its own, puts one over
// /sys/fs/cgroup, and keeps the old view at STATE/cgroup1. What version 2 cannot limit there is
// taken out of the spec and set here, in directories of the same path, and crun is started inside
// of them, so that everything it starts is, too.
//
// (Documentation/admin-guide/cgroup-v1/ in the kernel's source; cgroups(7).)
#ifndef ZL_ZONE_SUPERVISOR_CGROUP1_H
#define ZL_ZONE_SUPERVISOR_CGROUP1_H

#include <jansson.h>
#include <stdbool.h>

#include "base/error.h"

// Arranges the view described above below `state_dir`. *ret_hybrid: the node is such a one.
int zl_cgroup1_enter(const char *state_dir, bool *ret_hybrid, struct zl_error *err);

// Makes the directories for a container's cgroup path and sets the limits of an OCI `resources`
// object, which loses those that are set here. `base` is STATE/cgroup1.
int zl_cgroup1_apply(
        const char *base, const char *cgroups_path, json_t *resources, struct zl_error *err);
// Whether the kernel killed a process of it for lack of memory.
bool zl_cgroup1_oom_killed(const char *base, const char *cgroups_path);
// Removes the directories; absent is fine.
void zl_cgroup1_remove(const char *base, const char *cgroups_path);

// The program's other life: moves itself into the directories of that path and becomes the program
// argv[0].
int zl_cgroup1_exec_main(const char *base, const char *cgroups_path, char **argv);

#endif
