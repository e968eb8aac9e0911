// SPDX-License-Identifier: Apache-2.0
#include "cri-server/stats/collect.h"

#include <stdlib.h>

#include "base/clock.h"
#include "base/log.h"
#include "cri-server/sandbox/backend.h"
#include "cri-server/sandbox/cgroup.h"
#include "cri-server/sandbox/services.h"

// A pod that is being asked.
struct asked {
	struct zl_sandbox *sandbox; // counted; its gate is held, shared
	struct zl_zone_question *question;
};

const char *zl_sandbox_cgroup(const struct zl_sandbox *sandbox)
{
	const Runtime__V1__LinuxPodSandboxConfig *lin = sandbox->config->linux;

	if (sandbox->backend->zone)
		return ZL_CGROUP_PODS; // zl_container_cgroup
	return lin != NULL && lin->cgroup_parent[0] == '/' ? lin->cgroup_parent : "";
}

// Enters and asks. Nothing is held on failure.
static int ask(struct zl_sandbox *sandbox, bool detail, const struct zl_cancel *patience,
        struct asked *ret, struct zl_error *err)
{
	zl_auto(gate) struct zl_gate *inside = NULL;
	struct zl_zone_client *client;

	if (zl_gate_enter(&sandbox->gate, false, patience, err) < 0)
		return -1;
	inside = &sandbox->gate;
	client = zl_sandbox_client(sandbox, err);
	if (client == NULL || zl_zone_stats_ask(client, zl_sandbox_cgroup(sandbox), detail,
	                              &ret->question, err) < 0)
		return -1;
	ret->sandbox = zl_sandbox_ref(sandbox);
	inside = NULL;
	return 0;
}

// Waits for the answer, leaves the gate, and adds what came to the list.
static int answer(struct asked *asked, const struct zl_cancel *limit, struct zl_usage_list *list,
        struct zl_error *err)
{
	struct zl_pod_usage *pod = &list->pods[list->count];
	int result;

	*pod = (struct zl_pod_usage){.sandbox = asked->sandbox};
	result = zl_zone_stats_wait(asked->question, limit, &pod->stats, err);
	zl_gate_leave(&asked->sandbox->gate);
	if (result < 0) {
		zl_error_wrap(
		        err, "pod %s does not tell what it uses", zl_sandbox_pod(asked->sandbox));
		zl_sandbox_unref(asked->sandbox);
		return -1;
	}
	pod->at_ns = zl_clock_real();
	list->count++;
	return 0;
}

// What Xen knows of the zones. Without it the zones' own word is still worth having.
static void add_domains(struct zl_services *services, struct zl_usage_list *list)
{
	struct zl_hypervisor *hv = services->hypervisor;
	zl_auto(free) struct zl_domain_info *domains = NULL;
	struct zl_error why = ZL_ERROR_INIT;
	size_t count = 0;

	if (hv == NULL || list->count == 0)
		return;
	if (hv->ops->domain_list(hv, &domains, &count, &why) < 0) {
		zl_log_warning("usage of zones: %s", why.message);
		return;
	}
	for (size_t i = 0; i < list->count; i++) {
		struct zl_pod_usage *pod = &list->pods[i];
		int64_t domid;

		// NOLINTNEXTLINE(clang-analyzer-core.NonNullParamChecker): every pod has one
		pthread_mutex_lock(&pod->sandbox->lock);
		domid = pod->sandbox->domid;
		pthread_mutex_unlock(&pod->sandbox->lock);
		for (size_t k = 0; k < count; k++) {
			if (domid < 0 || domains[k].domid != (uint32_t)domid)
				continue;
			pod->has_domain = true;
			pod->domain = domains[k];
		}
	}
}

// `asked` has room for all of them.
static void collect(struct zl_sandbox **sandboxes, size_t count, bool detail,
        const struct zl_cancel *cancel, struct asked *asked, struct zl_usage_list *list)
{
	struct zl_cancel limit = {.fd = -1,
	        .deadline_ns = zl_clock_monotonic() + ZL_COLLECT_TIMEOUT_MS * ZL_NS_PER_MS,
	        .parent = cancel};
	struct zl_cancel at_once = {.fd = -1, .deadline_ns = 0};
	size_t asked_count = 0;

	for (size_t i = 0; i < count; i++) {
		if (zl_sandbox_phase(sandboxes[i]) == ZL_SANDBOX_READY &&
		        ask(sandboxes[i], detail, &at_once, &asked[asked_count], NULL) == 0)
			asked_count++;
	}
	for (size_t i = 0; i < asked_count; i++) {
		struct zl_error why = ZL_ERROR_INIT;

		if (answer(&asked[i], &limit, list, &why) < 0 && zl_cancel_check(cancel, NULL) == 0)
			zl_log_warning("%s", why.message);
	}
}

int zl_usage_collect(struct zl_services *services, struct zl_sandbox **sandboxes, size_t count,
        bool detail, const struct zl_cancel *cancel, struct zl_usage_list *ret,
        struct zl_error *err)
{
	struct asked *asked;

	ret->pods = calloc(count + 1, sizeof(*ret->pods));
	if (ret->pods == NULL)
		return zl_error_nomem(err);
	asked = calloc(count + 1, sizeof(*asked));
	if (asked == NULL)
		return zl_error_nomem(err);
	collect(sandboxes, count, detail, cancel, asked, ret);
	free(asked);
	add_domains(services, ret);
	return zl_cancel_check(cancel, err);
}

int zl_usage_collect_one(struct zl_sandbox *sandbox, bool detail, const struct zl_cancel *cancel,
        struct zl_usage_list *ret, struct zl_error *err)
{
	struct zl_cancel limit = {.fd = -1,
	        .deadline_ns = zl_clock_monotonic() + ZL_COLLECT_TIMEOUT_MS * ZL_NS_PER_MS,
	        .parent = cancel};
	struct asked asked;

	ret->pods = calloc(1, sizeof(*ret->pods));
	if (ret->pods == NULL)
		return zl_error_nomem(err);
	if (ask(sandbox, detail, &limit, &asked, err) < 0 || answer(&asked, &limit, ret, err) < 0)
		return -1;
	add_domains(sandbox->services, ret);
	return 0;
}

void zl_usage_list_release(struct zl_usage_list *list)
{
	for (size_t i = 0; i < list->count; i++) {
		zl_zone_stats_free(list->pods[i].stats);
		zl_sandbox_unref(list->pods[i].sandbox);
	}
	free(list->pods);
	*list = (struct zl_usage_list)ZL_USAGE_LIST_INIT;
}
