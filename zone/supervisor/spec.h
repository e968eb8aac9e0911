// SPDX-License-Identifier: Apache-2.0
//
// The OCI runtime-spec that the daemon sends, completed with what only the supervisor knows:
// where the root is, who the user is, and the pod's own files and namespaces.
//
// Placeholders in linux.namespaces[].path:
//   zonelet:pod            the pod's namespace. The supervisor lives in it, so the entry is left
//                          out; the pod's pid and user namespaces under `host` are those of a
//                          process that holds them (its children are in the pid namespace)
//   zonelet:container:ID   that of a running container (pid of a debug container's target)
//
// Mounts that are added unless the spec has one at the destination: /etc/resolv.conf,
// /etc/hostname, /dev/shm. A tmpfs at /dev/shm gives way to the pod's.
//
// A plain function of its arguments: text in, text out.
#ifndef ZL_ZONE_SUPERVISOR_SPEC_H
#define ZL_ZONE_SUPERVISOR_SPEC_H

#include <jansson.h>
#include <stdbool.h>
#include <sys/types.h>

#include "base/buffer.h"
#include "zone/supervisor/user.h"

enum { ZL_SPEC_MAX = 4 * 1024 * 1024, ZL_CGROUPS_PATH_SIZE = 1024 };

struct zl_spec_facts {
	const char *root; // absolute path of the mounted root
	bool readonly;    // it shall be read-only
	bool terminal;
	const struct zl_user *user;
	const char *resolv_conf; // file to mount, NULL: none
	const char *hostname;
	const char *shm;
	// pid of the process that holds a shared namespace of this kind ("pid", "user"), for a
	// placeholder;
	// 0: leave the entry out. `container_id` is NULL for zonelet:pod. -1: it fails.
	pid_t (*holder)(
	        void *user_data, const char *kind, const char *container_id, struct zl_error *err);
	// Makes the source of a bind mount ready, may change the mount; NULL: as they are.
	int (*source)(void *user_data, json_t *mount, struct zl_error *err);
	// Sets limits that crun cannot, and takes them out of linux.resources; the cgroup's path is
	// told already. NULL: crun can.
	int (*limits)(void *user_data, json_t *resources, struct zl_error *err);
	// Adds the devices to `linux`; NULL: none.
	int (*devices)(json_t *linux_part, struct zl_error *err);
	void *user_data;
};

// Appends the completed spec to `out`, and tells its linux.cgroupsPath (INVALID_ARGUMENT when there
// is none, or one that leads elsewhere).
int zl_spec_complete(const char *text, const struct zl_spec_facts *facts, struct zl_buffer *out,
        char ret_cgroups_path[static ZL_CGROUPS_PATH_SIZE], struct zl_error *err);

// An OCI `process` object for an exec, with `terminal` set.
int zl_spec_complete_process(
        const char *text, bool terminal, struct zl_buffer *out, struct zl_error *err);

#endif
