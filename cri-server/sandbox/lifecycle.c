// SPDX-License-Identifier: Apache-2.0
#include "cri-server/sandbox/lifecycle.h"

#include "base/clock.h"
#include "base/failpoint.h"
#include "base/file.h"
#include "base/log.h"
#include "cri-server/container/container.h"
#include "cri-server/container/peer.h"
#include "cri-server/sandbox/backend.h"
#include "cri-server/sandbox/channel.h"
#include "cri-server/sandbox/network.h"
#include "cri-server/sandbox/services.h"

// What a zone gets to end its containers and hand over the rest of their output.
#define SHUTDOWN_TIMEOUT_NS (2 * ZL_NS_PER_SECOND)
// What work in the sandbox gets to finish before a stop takes the zone away under it.
#define STOP_PATIENCE_NS (5 * ZL_NS_PER_SECOND)

static void note_exit(struct zl_container *container, const char *message)
{
	enum zl_container_phase phase = zl_container_phase(container);

	if (phase != ZL_CONTAINER_RUNNING && phase != ZL_CONTAINER_STARTING &&
	        phase != ZL_CONTAINER_CREATED)
		return;
	if (zl_container_set_exited(container, 137, false, 0, "Error", message))
		zl_container_finish(container);
}

void zl_sandbox_end_containers(struct zl_sandbox *sandbox, const char *message)
{
	size_t count;
	struct zl_container **list = zl_container_list(sandbox->services, sandbox, &count);

	for (size_t i = 0; i < count; i++)
		note_exit(list[i], message);
	zl_container_list_free(list, count);
}

// Lets the supervisor end the containers, so that their last words reach the log. A zone that does
// not react is destroyed all the same.
static void shut_down_zone(struct zl_sandbox *sandbox)
{
	struct zl_cancel limit = {
	        .fd = -1, .deadline_ns = zl_clock_monotonic() + SHUTDOWN_TIMEOUT_NS};
	struct zl_error why = ZL_ERROR_INIT;

	if (sandbox->client == NULL)
		return;
	if (zl_zone_shutdown(sandbox->client, &limit, &why) < 0)
		zl_log_warning("the zone did not shut down by itself: %s", why.message);
	zl_sandbox_disconnect(sandbox);
}

int zl_sandbox_take_down(struct zl_sandbox *sandbox, struct zl_error *err)
{
	shut_down_zone(sandbox);
	if (sandbox->services->hypervisor != NULL && sandbox->domid >= 0)
		sandbox->services->hypervisor->ops->domain_unwatch(
		        sandbox->services->hypervisor, (uint32_t)sandbox->domid);
	zl_sandbox_end_containers(sandbox, "the pod was stopped");
	zl_killpoint("stop.zone");
	if (sandbox->backend->destroy(sandbox, err) < 0)
		return -1;
	zl_killpoint("stop.destroyed");
	if (zl_network_remove(sandbox, err) < 0)
		return -1;
	zl_killpoint("stop.network");
	return 0;
}

int zl_sandbox_forget(struct zl_sandbox *sandbox, struct zl_error *err)
{
	if (zl_tree_remove(sandbox->run_dir, err) < 0)
		return -1;
	zl_killpoint("remove.files");
	if (zl_state_sandbox_remove(sandbox->services->state, sandbox->id, err) < 0)
		return -1;
	sandbox->forgotten = true;
	zl_sandbox_unindex(sandbox);
	return 0;
}

void zl_sandbox_died(struct zl_sandbox *sandbox)
{
	zl_auto(gate) struct zl_gate *inside = NULL;
	struct zl_error why = ZL_ERROR_INIT;
	char message[sizeof(sandbox->message)];

	ZL_LOG_SCOPE("pod", zl_sandbox_pod(sandbox));
	if (zl_gate_enter(&sandbox->gate, true, &sandbox->services->stopping, NULL) < 0)
		return;
	inside = &sandbox->gate;
	if (zl_sandbox_phase(sandbox) != ZL_SANDBOX_READY)
		return;
	pthread_mutex_lock(&sandbox->lock);
	(void)snprintf(message, sizeof(message), "%s", sandbox->message);
	pthread_mutex_unlock(&sandbox->lock);
	zl_log_error("the sandbox ended by itself: %s", message);
	zl_sandbox_set_phase(sandbox, ZL_SANDBOX_NOTREADY, "SandboxDied", message);
	zl_sandbox_disconnect(sandbox);
	zl_sandbox_end_containers(sandbox, message);
	if (sandbox->backend->destroy(sandbox, &why) < 0)
		zl_log_error("freeing what the dead sandbox held: %s", why.message);
	if (zl_sandbox_save(sandbox, ZL_STEP_DONE, &why) < 0)
		zl_log_error("writing down that the sandbox ended: %s", why.message);
	zl_publish_sandbox(sandbox, RUNTIME__V1__CONTAINER_EVENT_TYPE__CONTAINER_STOPPED_EVENT);
}

// Enters alone. Work that hangs on an unresponsive zone is freed by taking the zone away.
static int enter_to_end(struct zl_sandbox *sandbox, struct zl_call *call, struct zl_error *err)
{
	struct zl_cancel patience = {.fd = -1,
	        .deadline_ns = zl_clock_monotonic() + STOP_PATIENCE_NS,
	        .parent = &call->cancel};

	struct zl_error stopping = ZL_ERROR_INIT;

	zl_error_set(&stopping, ZL_UNAVAILABLE, "pod %s is being stopped", zl_sandbox_pod(sandbox));
	zl_cancel_fire(&sandbox->stopping);
	zl_peer_fail_all(sandbox, &stopping);
	if (zl_gate_enter(&sandbox->gate, true, &patience, NULL) == 0)
		return 0;
	if (zl_cancel_check(&call->cancel, err) < 0)
		return -1;
	zl_log_warning("work in the sandbox does not end; its zone is taken away");
	if (sandbox->backend->destroy(sandbox, err) < 0)
		return -1;
	return zl_gate_enter(&sandbox->gate, true, &call->cancel, err);
}

int zl_sandbox_remove_containers(struct zl_sandbox *sandbox, struct zl_error *err)
{
	size_t count;
	struct zl_container **list = zl_container_list(sandbox->services, sandbox, &count);
	int result = 0;

	for (size_t i = 0; i < count && result == 0; i++)
		result = zl_container_forget(list[i], err);
	zl_container_list_free(list, count);
	return result;
}

static void set_ending(struct zl_sandbox *sandbox, bool ending)
{
	pthread_mutex_lock(&sandbox->lock);
	sandbox->ending = ending;
	pthread_mutex_unlock(&sandbox->lock);
}

// That it is being stopped is written down first: should taking it down fail (a network plugin that
// does not let go) or the daemon die, it is gone on with.
int zl_sandbox_stop(struct zl_sandbox *sandbox, struct zl_error *err)
{
	enum zl_sandbox_phase phase = zl_sandbox_phase(sandbox);

	set_ending(sandbox, true);
	if (phase == ZL_SANDBOX_READY) {
		zl_sandbox_set_phase(sandbox, ZL_SANDBOX_NOTREADY, "Stopped", "");
		if (zl_sandbox_save(sandbox, ZL_STEP_STOPPING, err) < 0)
			return -1;
		zl_killpoint("stop.noted");
	}
	if (zl_sandbox_take_down(sandbox, err) < 0)
		return zl_error_wrap(err, "stop pod %s", zl_sandbox_pod(sandbox));
	if (phase != ZL_SANDBOX_REMOVING && zl_sandbox_save(sandbox, ZL_STEP_STOPPED, err) < 0)
		return -1;
	set_ending(sandbox, false);
	if (phase == ZL_SANDBOX_READY)
		zl_publish_sandbox(
		        sandbox, RUNTIME__V1__CONTAINER_EVENT_TYPE__CONTAINER_STOPPED_EVENT);
	return 0;
}

int zl_sandbox_remove(struct zl_sandbox *sandbox, struct zl_error *err)
{
	if (zl_sandbox_stop(sandbox, err) < 0)
		return -1;
	zl_sandbox_set_phase(sandbox, ZL_SANDBOX_REMOVING, "", "");
	if (zl_sandbox_save(sandbox, ZL_STEP_STOPPED, err) < 0)
		return -1;
	zl_killpoint("remove.noted");
	if (zl_sandbox_remove_containers(sandbox, err) < 0)
		return -1;
	zl_killpoint("remove.containers");
	if (zl_sandbox_forget(sandbox, err) < 0)
		return zl_error_wrap(err, "remove pod %s", zl_sandbox_pod(sandbox));
	return 0;
}

bool zl_sandbox_end_pending(struct zl_sandbox *sandbox)
{
	bool pending;

	pthread_mutex_lock(&sandbox->lock);
	pending = sandbox->ending || sandbox->phase == ZL_SANDBOX_REMOVING;
	pthread_mutex_unlock(&sandbox->lock);
	return pending;
}

int zl_sandbox_end(struct zl_sandbox *sandbox, struct zl_error *err)
{
	if (sandbox->forgotten)
		return 0;
	if (zl_sandbox_phase(sandbox) == ZL_SANDBOX_REMOVING)
		return zl_sandbox_remove(sandbox, err);
	return zl_sandbox_stop(sandbox, err);
}

ZL_RPC_HANDLER(zl_handle_stop_pod_sandbox, struct zl_services, StopPodSandboxRequest,
        StopPodSandboxResponse)
{
	zl_auto(sandbox) struct zl_sandbox *sandbox =
	        zl_sandbox_find(service, request->pod_sandbox_id, NULL);
	zl_auto(gate) struct zl_gate *inside = NULL;

	// One that is not there is stopped (CRI: the call is idempotent).
	if (sandbox == NULL)
		return 0;
	ZL_LOG_SCOPE("pod", zl_sandbox_pod(sandbox));
	if (enter_to_end(sandbox, call, err) < 0)
		return -1;
	inside = &sandbox->gate;
	return sandbox->forgotten ? 0 : zl_sandbox_stop(sandbox, err);
}

ZL_RPC_HANDLER(zl_handle_remove_pod_sandbox, struct zl_services, RemovePodSandboxRequest,
        RemovePodSandboxResponse)
{
	zl_auto(sandbox) struct zl_sandbox *sandbox =
	        zl_sandbox_find(service, request->pod_sandbox_id, NULL);
	zl_auto(gate) struct zl_gate *inside = NULL;

	if (sandbox == NULL)
		return 0;
	ZL_LOG_SCOPE("pod", zl_sandbox_pod(sandbox));
	if (enter_to_end(sandbox, call, err) < 0)
		return -1;
	inside = &sandbox->gate;
	if (sandbox->forgotten)
		return 0;
	if (zl_sandbox_remove(sandbox, err) < 0)
		return -1;
	zl_publish_sandbox(sandbox, RUNTIME__V1__CONTAINER_EVENT_TYPE__CONTAINER_DELETED_EVENT);
	return 0;
}
