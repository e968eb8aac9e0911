// SPDX-License-Identifier: Apache-2.0
//
// UpdatePodSandboxResources: a pod's size changes while it runs.
#include "base/failpoint.h"
#include "base/log.h"
#include "cri-server/oci/resources.h"
#include "cri-server/sandbox/backend.h"
#include "cri-server/sandbox/lifecycle.h"
#include "cri-server/sandbox/resources.h"
#include "cri-server/sandbox/services.h"

static Runtime__V1__LinuxContainerResources *merge(struct zl_arena *arena,
        Runtime__V1__LinuxContainerResources *before,
        const Runtime__V1__LinuxContainerResources *wanted)
{
	if (before == NULL && wanted == NULL)
		return NULL;
	return zl_resources_merge(arena, before, wanted);
}

static int resize(struct zl_sandbox *sandbox,
        const Runtime__V1__UpdatePodSandboxResourcesRequest *request,
        const struct zl_cancel *cancel, struct zl_error *err)
{
	zl_auto(arena) struct zl_arena arena = ZL_ARENA_INIT;
	Runtime__V1__LinuxContainerResources *resources =
	        merge(&arena, zl_sandbox_resources(sandbox, &arena), request->resources);
	Runtime__V1__LinuxContainerResources *overhead =
	        merge(&arena, zl_sandbox_overhead(sandbox, &arena), request->overhead);

	if (zl_sandbox_client(sandbox, err) == NULL)
		return -1;
	if (sandbox->backend->resize(sandbox, resources, overhead, cancel, err) < 0)
		return -1;
	zl_killpoint("resize.applied");
	zl_sandbox_set_resources(sandbox, resources, overhead);
	return zl_sandbox_save(sandbox, ZL_STEP_DONE, err);
}

ZL_RPC_HANDLER(zl_handle_update_pod_sandbox_resources, struct zl_services,
        UpdatePodSandboxResourcesRequest, UpdatePodSandboxResourcesResponse)
{
	zl_auto(sandbox) struct zl_sandbox *sandbox =
	        zl_sandbox_find(service, request->pod_sandbox_id, err);
	zl_auto(gate) struct zl_gate *in_sandbox = NULL;
	zl_auto(gate) struct zl_gate *inside = NULL;

	if (sandbox == NULL)
		return -1;
	ZL_LOG_SCOPE("pod", zl_sandbox_pod(sandbox));
	if (zl_gate_enter(&sandbox->gate, false, &call->cancel, err) < 0)
		return -1;
	in_sandbox = &sandbox->gate;
	// One operation on the domain at a time (hypervisor.h).
	if (zl_gate_enter(&sandbox->disk_gate, true, &call->cancel, err) < 0)
		return -1;
	inside = &sandbox->disk_gate;
	if (resize(sandbox, request, &call->cancel, err) < 0)
		return zl_error_wrap(err, "resize pod %s", zl_sandbox_pod(sandbox));
	zl_log_info("pod has a new size");
	return 0;
}
