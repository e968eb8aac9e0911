// SPDX-License-Identifier: Apache-2.0
//
// What pods use, asked of all their supervisors at once.
//
// Every pod is asked before any answer is waited for, and all share one deadline: a zone that does
// not answer is left out with a line in the log, and delays the answer by ZL_COLLECT_TIMEOUT_MS at
// most, however many there are of its kind. For zones, Xen is asked once for all domains.
//
// While a pod is asked its gate is held, shared: its channel stays open. A pod that is being
// started, stopped or removed is not asked.
#ifndef ZL_CRI_SERVER_STATS_COLLECT_H
#define ZL_CRI_SERVER_STATS_COLLECT_H

#include <stdbool.h>
#include <stdint.h>

#include "base/cancel.h"
#include "base/error.h"
#include "cri-server/sandbox/sandbox.h"
#include "hypervisor/hypervisor.h"
#include "zone/client/stats.h"

enum { ZL_COLLECT_TIMEOUT_MS = 3000 };

// One pod.
struct zl_pod_usage {
	struct zl_sandbox *sandbox; // counted
	const Zl__Zone__Stats *stats;
	bool has_domain; // under `zone`, when Xen knows it
	struct zl_domain_info domain;
	int64_t at_ns; // realtime, of the answer
};

struct zl_usage_list {
	struct zl_pod_usage *pods; // those that answered
	size_t count;
};

#define ZL_USAGE_LIST_INIT {.pods = NULL}

// Asks these sandboxes. detail: see zl_zone_stats_ask. CANCELLED or DEADLINE_EXCEEDED when the
// token fires; a single pod that does not answer is no error.
int zl_usage_collect(struct zl_services *services, struct zl_sandbox **sandboxes, size_t count,
        bool detail, const struct zl_cancel *cancel, struct zl_usage_list *ret,
        struct zl_error *err);
// Asks one, and tells why it does not answer. FAILED_PRECONDITION when it is not ready.
int zl_usage_collect_one(struct zl_sandbox *sandbox, bool detail, const struct zl_cancel *cancel,
        struct zl_usage_list *ret, struct zl_error *err);
void zl_usage_list_release(struct zl_usage_list *list);
ZL_AUTO_DEFINE_VALUE(usage_list, struct zl_usage_list, zl_usage_list_release);

// The cgroup that holds all of the pod's containers and nothing else; "" if there is none.
const char *zl_sandbox_cgroup(const struct zl_sandbox *sandbox);

#endif
