// SPDX-License-Identifier: Apache-2.0
//
// Where a sandbox lives: a Xen domain (`zone`) or a process with namespaces (`host`). Everything
// above this table is the same for both.
//
// Called inside the sandbox's gate: create, destroy and recover on the exclusive side, the rootfs
// operations on either. All are idempotent, and destroy takes away whatever a create left at any
// point, also that of an earlier daemon.
#ifndef ZL_CRI_SERVER_SANDBOX_BACKEND_H
#define ZL_CRI_SERVER_SANDBOX_BACKEND_H

#include <stdbool.h>

#include "base/cancel.h"
#include "base/error.h"
#include "cni-bridge/cni.h"
#include "cri-server/sandbox/sandbox.h"
#include "storage-driver/storage.h"
#include "zone/client/client.h"

struct zl_transport;

struct zl_backend {
	const char *name; // "zone", "host"
	bool zone;

	// What this handler cannot do for such a pod: INVALID_ARGUMENT naming the pod and the way
	// out.
	int (*check)(const Runtime__V1__PodSandboxConfig *config, struct zl_error *err);
	// Makes disks and the domain and starts it, or starts the process. It may run at the same
	// time as the pod's CNI ADD.
	int (*create)(
	        struct zl_sandbox *sandbox, const struct zl_cancel *cancel, struct zl_error *err);
	// Makes the pod's network namespace at sandbox->netns, for CNI. NULL: one of the node's
	// user namespace (zl_netns_create).
	int (*netns_create)(
	        struct zl_sandbox *sandbox, const struct zl_cancel *cancel, struct zl_error *err);
	// Connects to the supervisor; waits for it as long as the token allows. UNAVAILABLE, with
	// what became of the zone, when it will never come.
	struct zl_transport *(*connect)(
	        struct zl_sandbox *sandbox, const struct zl_cancel *cancel, struct zl_error *err);
	// Joins the pod's network (as CNI made it) to the sandbox and fills config->interfaces from
	// `arena`.
	int (*network)(struct zl_sandbox *sandbox, const struct zl_cni_result *network,
	        struct zl_zone_config *config, struct zl_arena *arena, struct zl_error *err);
	// Where writable layers go: fills config->scratch_device or scratch_path.
	void (*scratch)(struct zl_sandbox *sandbox, struct zl_zone_config *config);
	// The pod may use this from now on; called inside the disk gate. May change sandbox->size.
	int (*resize)(struct zl_sandbox *sandbox,
	        const Runtime__V1__LinuxContainerResources *resources,
	        const Runtime__V1__LinuxContainerResources *overhead,
	        const struct zl_cancel *cancel, struct zl_error *err);
	// Takes everything down.
	int (*destroy)(struct zl_sandbox *sandbox, struct zl_error *err);
	// After a restart: is it still there? NOT_FOUND if not.
	int (*recover)(struct zl_sandbox *sandbox, struct zl_error *err);

	// The container's mounts (share.h); NULL: the node's own paths are used as they are.
	int (*mounts_plan)(struct zl_container *container, struct zl_error *err);
	int (*mounts_add)(struct zl_container *container, const struct zl_cancel *cancel,
	        struct zl_error *err);
	int (*mounts_remove)(struct zl_container *container, struct zl_error *err);

	// Gives the sandbox the image; ret points into `arena`.
	int (*rootfs_add)(struct zl_container *container, struct zl_zone_rootfs *ret,
	        struct zl_arena *arena, const struct zl_cancel *cancel, struct zl_error *err);
	// The same for an image that is a volume of the container; fills ret's image_device or
	// image_files.
	int (*volume_add)(struct zl_container *container, struct zl_container_volume *volume,
	        struct zl_zone_image_volume *ret, struct zl_arena *arena,
	        const struct zl_cancel *cancel, struct zl_error *err);
	// Takes all of its images back.
	int (*rootfs_remove)(struct zl_container *container, struct zl_error *err);
	// After a restart: the container has its image on `vdev` (of its record) already, and its
	// volumes on theirs.
	int (*rootfs_recover)(
	        struct zl_container *container, const char *vdev, struct zl_error *err);
};

extern const struct zl_backend zl_backend_zone;
extern const struct zl_backend zl_backend_host;

// The back end for a handler's name ("" is the configured default). INVALID_ARGUMENT lists those
// that there are.
const struct zl_backend *zl_backend_find(
        struct zl_services *services, const char *handler, struct zl_error *err);

#endif
