// SPDX-License-Identifier: Apache-2.0
//
// What a cgroup uses, from its files: version 2 (Documentation/admin-guide/cgroup-v2.rst), or
// version 1's hierarchies (Documentation/admin-guide/cgroup-v1/) where those are mounted.
//
// A file that is not there leaves its numbers zero: a controller may be missing. Without any memory
// controller (a node whose version 1 has it while containers live in version 2) memory is what the
// cgroup's processes have resident, shared pages counted in each.
#ifndef ZL_ZONE_SUPERVISOR_CGROUP_USAGE_H
#define ZL_ZONE_SUPERVISOR_CGROUP_USAGE_H

#include <stdbool.h>
#include <stdint.h>

#include "zone.pb-c.h"

enum { ZL_USAGE_DEVICES = 16, ZL_USAGE_PROCESSES = 4096 };

// A Usage message with room for all it may point to. Not to be copied or moved.
struct zl_usage {
	Zl__Zone__Usage message;
	Zl__Zone__DeviceIo devices[ZL_USAGE_DEVICES];
	Zl__Zone__DeviceIo *device_list[ZL_USAGE_DEVICES];
	Zl__Zone__Pressure pressures[3]; // cpu, memory, io
	Zl__Zone__Psi psis[6];           // some and full of each
};

// Where cgroups and processes are: "/sys/fs/cgroup" and "/proc"; tests have their own.
struct zl_cgroup_tree {
	const char *root;
	const char *proc;
};

extern const struct zl_cgroup_tree zl_cgroup_tree;

// Reads all of it. `path` begins with '/'. detail: also counts descriptors and sockets, which looks
// at each process.
void zl_usage_read(
        struct zl_usage *usage, const struct zl_cgroup_tree *tree, const char *path, bool detail);

// Sets it to nothing, and adds another (for a pod without a cgroup of its own). Limits and peaks
// are not added.
void zl_usage_init(struct zl_usage *usage);
void zl_usage_add(struct zl_usage *sum, const struct zl_usage *usage);

#endif
