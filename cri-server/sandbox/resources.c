// SPDX-License-Identifier: Apache-2.0
#include "cri-server/sandbox/resources.h"

#include "cri-server/message/message.h"

typedef Runtime__V1__LinuxContainerResources resources_t;

static resources_t *copy(struct zl_arena *arena, const resources_t *resources)
{
	return resources != NULL ? zl_message_copy(arena, &resources->base) : NULL;
}

static resources_t *copy_locked(
        struct zl_sandbox *sandbox, resources_t *const *from, struct zl_arena *arena)
{
	resources_t *made;

	pthread_mutex_lock(&sandbox->lock);
	made = copy(arena, *from);
	pthread_mutex_unlock(&sandbox->lock);
	return made;
}

resources_t *zl_container_resources(struct zl_container *container, struct zl_arena *arena)
{
	return copy_locked(container->sandbox, &container->limits.resources, arena);
}

resources_t *zl_sandbox_resources(struct zl_sandbox *sandbox, struct zl_arena *arena)
{
	return copy_locked(sandbox, &sandbox->limits.resources, arena);
}

resources_t *zl_sandbox_overhead(struct zl_sandbox *sandbox, struct zl_arena *arena)
{
	return copy_locked(sandbox, &sandbox->limits.overhead, arena);
}

// The old ones go when nobody can be reading them any more: reading is under the lock.
static void replace(struct zl_sandbox *sandbox, struct zl_limits *limits,
        const resources_t *resources, const resources_t *overhead)
{
	struct zl_limits made = {.resources = NULL};
	struct zl_limits old;

	made.resources = copy(&made.arena, resources);
	made.overhead = copy(&made.arena, overhead);
	pthread_mutex_lock(&sandbox->lock);
	old = *limits;
	*limits = made;
	pthread_mutex_unlock(&sandbox->lock);
	zl_arena_release(&old.arena);
}

void zl_container_set_resources(struct zl_container *container, const resources_t *resources)
{
	replace(container->sandbox, &container->limits, resources, NULL);
}

void zl_sandbox_set_resources(
        struct zl_sandbox *sandbox, const resources_t *resources, const resources_t *overhead)
{
	replace(sandbox, &sandbox->limits, resources, overhead);
}

int zl_container_pack_config(
        struct zl_container *container, struct zl_buffer *out, struct zl_error *err)
{
	zl_auto(arena) struct zl_arena arena = ZL_ARENA_INIT;
	Runtime__V1__ContainerConfig config = *container->config;
	Runtime__V1__LinuxContainerConfig lin = RUNTIME__V1__LINUX_CONTAINER_CONFIG__INIT;

	if (config.linux != NULL)
		lin = *config.linux;
	lin.resources = zl_container_resources(container, &arena);
	if (lin.resources != NULL)
		config.linux = &lin;
	return zl_message_pack(&config.base, out, err);
}

int zl_sandbox_pack_config(struct zl_sandbox *sandbox, struct zl_buffer *out, struct zl_error *err)
{
	zl_auto(arena) struct zl_arena arena = ZL_ARENA_INIT;
	Runtime__V1__PodSandboxConfig config = *sandbox->config;
	Runtime__V1__LinuxPodSandboxConfig lin = RUNTIME__V1__LINUX_POD_SANDBOX_CONFIG__INIT;

	if (config.linux != NULL)
		lin = *config.linux;
	lin.resources = zl_sandbox_resources(sandbox, &arena);
	lin.overhead = zl_sandbox_overhead(sandbox, &arena);
	if (lin.resources != NULL || lin.overhead != NULL)
		config.linux = &lin;
	return zl_message_pack(&config.base, out, err);
}
