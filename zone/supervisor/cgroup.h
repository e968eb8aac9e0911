// SPDX-License-Identifier: Apache-2.0
//
// A container's cgroup (version 2): whether it ran out of memory, and the end of all its processes.
// crun makes and removes it, at the spec's linux.cgroupsPath (its cgroupfs manager). On a machine
// with version 1 hierarchies there is nothing to read, and the answers are "no".
#ifndef ZL_ZONE_SUPERVISOR_CGROUP_H
#define ZL_ZONE_SUPERVISOR_CGROUP_H

#include <stdbool.h>
#include <sys/types.h>

// Whether the kernel killed a process in it for want of memory (memory.events, oom_kill).
bool zl_cgroup_oom_killed(const char *cgroups_path);
// SIGKILL to every process in it. False: this kernel cannot, or it is not there.
bool zl_cgroup_kill(const char *cgroups_path);
// Sends a signal to every process in it.
void zl_cgroup_signal(const char *cgroups_path, int signal);

#endif
