// SPDX-License-Identifier: Apache-2.0
//
// The node's directories in a pod that is a zone: its 9P server and what that exports.
//
// The server and its device come with the first container that has a mount, and go with the pod.
// A container's spec names its mounts by where the zone has them, so after a restart of the daemon
// the specs say which exports are in use. An export goes with the last container that has it.
//
// A server that dies costs the containers that are there their mounts: I/O in them fails. It is
// started again, so that nobody waits for answers that never come, and containers made from then on
// have mounts that work, in a directory of their own in the zone (the next generation).
//
// Called inside the sandbox's gate, on either side; `disk_gate` is taken here.
#ifndef ZL_CRI_SERVER_SANDBOX_SHARE_H
#define ZL_CRI_SERVER_SANDBOX_SHARE_H

#include "cri-server/sandbox/sandbox.h"

// Fills container->share_sources: for each mount of its config, the path that its spec names. NULL
// stays for one without mounts. INVALID_ARGUMENT and FAILED_PRECONDITION name the pod, the mount
// and the reason where a zone cannot have it.
int zl_pod_share_plan(struct zl_container *container, struct zl_error *err);

// Starts the server if need be and exports what the container's spec names.
int zl_pod_share_attach(
        struct zl_container *container, const struct zl_cancel *cancel, struct zl_error *err);
// Takes back what no other container of the pod has.
int zl_pod_share_detach(struct zl_container *container, struct zl_error *err);

// The device's tag, and the directory of this generation, for the supervisor; NULL if the container
// needs none.
const char *zl_pod_share_tag(const struct zl_container *container);
const char *zl_pod_share_name(struct zl_container *container, struct zl_arena *arena);

// Ends the server and removes the device's nodes, before the domain is destroyed.
int zl_pod_share_stop(struct zl_sandbox *sandbox, struct zl_error *err);
// After a restart of the daemon: watches the server, or starts it again.
int zl_pod_share_recover(struct zl_sandbox *sandbox, struct zl_error *err);

#endif
