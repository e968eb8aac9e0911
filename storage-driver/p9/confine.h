// SPDX-License-Identifier: Apache-2.0
//
// The server's rights, given away before the first byte from the zone.
//
// What is left of the machine for the process: the exports, which are descriptors without a place
// in any tree; an empty read-only tmpfs as root; a /proc that shows this process alone, and of that
// only the directory of its descriptors; the ring's memory and the domain's event channels; a
// listening socket and a log that were open before. No network, no other process, seven
// capabilities, the system calls of a file server. Nothing can be gained back: no_new_privs, an
// empty bounding set, locked securebits, a seccomp allow list.
//
// Call these in this order, in a process with one thread.
#ifndef ZL_STORAGE_DRIVER_P9_CONFINE_H
#define ZL_STORAGE_DRIVER_P9_CONFINE_H

#include <stdint.h>

#include "base/error.h"

// Moves the process into the cgroup at `directory` (below /sys/fs/cgroup, made when it is not
// there) with this memory limit (memory.max; 0: none). A hierarchy without the memory controller is
// no error: the address space is limited as well (zl_p9_confine).
int zl_p9_join_cgroup(const char *directory, uint64_t memory_bytes, struct zl_error *err);

// New mount, network, IPC, UTS and cgroup namespaces, and a PID namespace for the next child.
int zl_p9_unshare(struct zl_error *err);

// In that child: an empty root, and a descriptor of the directory /proc/self/fd (*ret_proc_fd).
int zl_p9_enter_root(int *ret_proc_fd, struct zl_error *err);

// Limits, capabilities, seccomp. Threads may still be started, programs not.
int zl_p9_confine(struct zl_error *err);

#endif
