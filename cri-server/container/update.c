// SPDX-License-Identifier: Apache-2.0
//
// UpdateContainerResources, and CheckpointContainer, which says why it cannot.
#include "base/failpoint.h"
#include "base/json.h"
#include "base/log.h"
#include "cri-server/container/container.h"
#include "cri-server/oci/resources.h"
#include "cri-server/sandbox/backend.h"
#include "cri-server/sandbox/resources.h"
#include "cri-server/sandbox/services.h"
#include "zone/client/stats.h"

static int check_phase(struct zl_container *container, struct zl_error *err)
{
	switch (zl_container_phase(container)) {
	case ZL_CONTAINER_CREATED:
	case ZL_CONTAINER_RUNNING:
		return 0;
	default:
		return zl_error_set(
		        err, ZL_FAILED_PRECONDITION, "it is neither created nor running");
	}
}

// All limits go, not only the changed ones: a quota without its period would get another meaning.
static int apply(struct zl_container *container,
        const Runtime__V1__LinuxContainerResources *resources, const struct zl_cancel *cancel,
        struct zl_error *err)
{
	struct zl_zone_client *client = zl_sandbox_client(container->sandbox, err);
	zl_auto(json) json_t *oci = zl_oci_resources(resources, container->sandbox->backend->zone);
	zl_auto(free) char *text = oci != NULL ? json_dumps(oci, JSON_COMPACT) : NULL;

	if (client == NULL)
		return -1;
	if (text == NULL)
		return zl_error_nomem(err);
	return zl_zone_container_update(client, container->id, text, cancel, err);
}

static int update(struct zl_container *container,
        const Runtime__V1__LinuxContainerResources *wanted, const struct zl_cancel *cancel,
        struct zl_error *err)
{
	zl_auto(arena) struct zl_arena arena = ZL_ARENA_INIT;
	Runtime__V1__LinuxContainerResources *merged =
	        zl_resources_merge(&arena, zl_container_resources(container, &arena), wanted);

	if (check_phase(container, err) < 0 || apply(container, merged, cancel, err) < 0)
		return -1;
	zl_killpoint("update.applied");
	zl_container_set_resources(container, merged);
	return zl_container_save(container, err);
}

ZL_RPC_HANDLER(zl_handle_update_container_resources, struct zl_services,
        UpdateContainerResourcesRequest, UpdateContainerResourcesResponse)
{
	zl_auto(container) struct zl_container *container =
	        zl_container_find(service, request->container_id, err);
	zl_auto(gate) struct zl_gate *in_sandbox = NULL;
	zl_auto(gate) struct zl_gate *inside = NULL;

	if (container == NULL)
		return -1;
	// Annotations alone: none of them means anything here.
	if (request->linux == NULL)
		return 0;
	ZL_LOG_SCOPE("pod", zl_sandbox_pod(container->sandbox));
	ZL_LOG_SCOPE("container", container->id);
	if (zl_gate_enter(&container->sandbox->gate, false, &call->cancel, err) < 0)
		return -1;
	in_sandbox = &container->sandbox->gate;
	if (zl_gate_enter(&container->gate, true, &call->cancel, err) < 0)
		return -1;
	inside = &container->gate;
	if (update(container, request->linux, &call->cancel, err) < 0)
		return zl_error_wrap(err, "update the resources of container %s of pod %s",
		        container->config->metadata->name, zl_sandbox_pod(container->sandbox));
	zl_log_info("container has new limits");
	return 0;
}
