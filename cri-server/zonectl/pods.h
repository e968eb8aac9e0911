// SPDX-License-Identifier: Apache-2.0
//
// Pods and the zones behind them, as the daemon tells them over the CRI: ListPodSandbox, and the
// "zone" entry of PodSandboxStatus's verbose info.
#ifndef ZL_CRI_SERVER_ZONECTL_PODS_H
#define ZL_CRI_SERVER_ZONECTL_PODS_H

#include <stdint.h>

#include "cri-server/zonectl/zonectl.h"

struct zl_pod {
	const char *id;
	const char *namespace_;
	const char *name;
	const char *state;       // "ready", "notready"
	const char *handler;     // "zone", "host"
	const char *domain_name; // "" if none
	int64_t domid;           // -1: none
	int64_t memory_bytes;
	int64_t vcpus;
	int64_t uptime_ns;  // 0: never was ready
	const char *reason; // why it is not ready
};

// Fills what verbose info says. Anything that is missing or of another type is left alone.
void zl_pod_read_info(struct zl_pod *pod, const char *info_json, struct zl_arena *arena);

// All pods of the daemon, in ctl's arena, newest first.
int zl_pods_list(
        struct zl_zonectl *ctl, struct zl_pod **ret, size_t *ret_count, struct zl_error *err);

// The one pod that `what` means: "namespace/name", a name, or the beginning of an id. NOT_FOUND;
// INVALID_ARGUMENT where it means several (those that are ready win over those that are not).
const struct zl_pod *zl_pods_find(
        const struct zl_pod *pods, size_t count, const char *what, struct zl_error *err);

#endif
