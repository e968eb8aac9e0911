// SPDX-License-Identifier: Apache-2.0
//
// What a pod and its containers may use now. It begins as their configuration says and changes with
// UpdatePodSandboxResources and UpdateContainerResources; what is stored as their configuration has
// the present limits, so a restart keeps them.
//
// Thread rule: any thread; sandbox->lock inside. Setting is for one who holds the gate of what is
// changed (the container's, exclusive; the sandbox's disk_gate).
#ifndef ZL_CRI_SERVER_SANDBOX_RESOURCES_H
#define ZL_CRI_SERVER_SANDBOX_RESOURCES_H

#include "api.pb-c.h"
#include "base/buffer.h"
#include "cri-server/sandbox/sandbox.h"

// A copy in `arena` of the present limits; NULL if there never were any.
Runtime__V1__LinuxContainerResources *zl_container_resources(
        struct zl_container *container, struct zl_arena *arena);
Runtime__V1__LinuxContainerResources *zl_sandbox_resources(
        struct zl_sandbox *sandbox, struct zl_arena *arena);
Runtime__V1__LinuxContainerResources *zl_sandbox_overhead(
        struct zl_sandbox *sandbox, struct zl_arena *arena);

// From now on these (copied).
void zl_container_set_resources(
        struct zl_container *container, const Runtime__V1__LinuxContainerResources *resources);
void zl_sandbox_set_resources(struct zl_sandbox *sandbox,
        const Runtime__V1__LinuxContainerResources *resources,
        const Runtime__V1__LinuxContainerResources *overhead);

// The configuration with the present limits in it, packed for the database.
int zl_container_pack_config(
        struct zl_container *container, struct zl_buffer *out, struct zl_error *err);
int zl_sandbox_pack_config(struct zl_sandbox *sandbox, struct zl_buffer *out, struct zl_error *err);

#endif
