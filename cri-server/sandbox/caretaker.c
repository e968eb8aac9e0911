// SPDX-License-Identifier: Apache-2.0
#include "cri-server/sandbox/caretaker.h"

#include "base/clock.h"
#include "base/log.h"
#include "cri-server/sandbox/lifecycle.h"
#include "cri-server/sandbox/services.h"

// What it waits for others in a sandbox; then that one is left for the next round.
#define PATIENCE_NS ZL_NS_PER_SECOND

struct zl_caretaker {
	struct zl_services *services;
	pthread_t thread;
};

// ---- sandboxes whose end is pending

// Inside the gate, exclusive.
static void end_inside(struct zl_sandbox *sandbox)
{
	struct zl_error why = ZL_ERROR_INIT;

	if (!zl_sandbox_end_pending(sandbox))
		return;
	if (zl_sandbox_end(sandbox, &why) < 0)
		zl_log_warning("ending the sandbox failed again: %s", why.message);
	else
		zl_log_info("ended the sandbox after an earlier try had failed");
}

static void end_one(struct zl_sandbox *sandbox)
{
	struct zl_cancel patience = {.fd = -1,
	        .deadline_ns = zl_clock_monotonic() + PATIENCE_NS,
	        .parent = &sandbox->services->stopping};

	ZL_LOG_SCOPE("pod", zl_sandbox_pod(sandbox));
	if (!zl_sandbox_end_pending(sandbox) ||
	        zl_gate_enter(&sandbox->gate, true, &patience, NULL) < 0)
		return;
	end_inside(sandbox);
	zl_gate_leave(&sandbox->gate);
}

static void end_pending(struct zl_services *services)
{
	size_t count;
	struct zl_sandbox **list = zl_sandbox_list(services, &count);

	for (size_t i = 0; i < count && zl_cancel_check(&services->stopping, NULL) == 0; i++)
		end_one(list[i]);
	zl_sandbox_list_free(list, count);
}

// ---- networks without a sandbox

// By the database, which has also those that could not be recovered; in doubt, yes.
static bool known(void *data, const char *sandbox_id)
{
	struct zl_services *services = data;
	zl_auto(sandbox_record) struct zl_sandbox_record record = {0};
	struct zl_error why = ZL_ERROR_INIT;

	return zl_state_sandbox_get(services->state, sandbox_id, &record, &why) == 0 ||
	       why.code != ZL_NOT_FOUND;
}

static void collect(struct zl_services *services)
{
	struct zl_error why = ZL_ERROR_INIT;

	if (zl_cni_gc(services->cni, known, services, &services->stopping, &why) < 0 &&
	        why.code != ZL_CANCELLED)
		zl_log_warning("releasing networks that belong to no pod: %s", why.message);
}

// ---- pods of an earlier daemon

// Inside the gate: no CHECK beside a DEL, nor after it.
static void check_inside(struct zl_sandbox *sandbox)
{
	struct zl_services *services = sandbox->services;
	struct zl_error why = ZL_ERROR_INIT;

	if (!sandbox->recovered || zl_sandbox_phase(sandbox) != ZL_SANDBOX_READY ||
	        sandbox->netns[0] == '\0')
		return;
	if (zl_cni_check(services->cni, sandbox->id, &services->stopping, &why) < 0 &&
	        why.code != ZL_CANCELLED)
		zl_log_warning("the pod's network is not as it was made: %s; removing the pod "
		               "makes it anew",
		        why.message);
}

static void check_one(struct zl_sandbox *sandbox)
{
	ZL_LOG_SCOPE("pod", zl_sandbox_pod(sandbox));
	if (zl_gate_enter(&sandbox->gate, false, &sandbox->services->stopping, NULL) < 0)
		return;
	check_inside(sandbox);
	zl_gate_leave(&sandbox->gate);
}

static void check_recovered(struct zl_services *services)
{
	size_t count;
	struct zl_sandbox **list = zl_sandbox_list(services, &count);

	for (size_t i = 0; i < count && zl_cancel_check(&services->stopping, NULL) == 0; i++)
		check_one(list[i]);
	zl_sandbox_list_free(list, count);
}

// ---- the thread

static void *go_round(void *argument)
{
	struct zl_services *services = ((struct zl_caretaker *)argument)->services;
	int period_ms = (int)(services->config->cni.gc_interval_ns / ZL_NS_PER_MS);
	struct zl_error err = ZL_ERROR_INIT;

	collect(services);
	if (services->config->cni.check == ZL_CNI_CHECK_RESTART)
		check_recovered(services);
	for (;;) {
		zl_error_clear(&err);
		(void)zl_cancel_poll(&services->stopping, -1, 0, period_ms, &err);
		if (zl_cancel_check(&services->stopping, NULL) < 0)
			return NULL;
		end_pending(services);
		collect(services);
	}
}

struct zl_caretaker *zl_caretaker_start(struct zl_services *services, struct zl_error *err)
{
	struct zl_caretaker *caretaker = calloc(1, sizeof(*caretaker));
	int failure;

	if (caretaker == NULL) {
		zl_error_nomem(err);
		return NULL;
	}
	caretaker->services = services;
	failure = pthread_create(&caretaker->thread, NULL, go_round, caretaker);
	if (failure != 0) {
		free(caretaker);
		zl_error_errno(err, failure, "start a thread");
		return NULL;
	}
	return caretaker;
}

void zl_caretaker_join(struct zl_caretaker *caretaker)
{
	if (caretaker == NULL)
		return;
	(void)pthread_join(caretaker->thread, NULL);
	free(caretaker);
}
