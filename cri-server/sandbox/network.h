// SPDX-License-Identifier: Apache-2.0
//
// A sandbox's network: its namespace, CNI ADD beside the zone's boot, CNI DEL.
#ifndef ZL_CRI_SERVER_SANDBOX_NETWORK_H
#define ZL_CRI_SERVER_SANDBOX_NETWORK_H

#include <pthread.h>
#include <stdbool.h>

#include "base/cancel.h"
#include "base/error.h"
#include "cni-bridge/cni.h"
#include "cri-server/message/arena.h"
#include "cri-server/sandbox/sandbox.h"

// A CNI ADD under way on a thread of its own.
struct zl_network_job {
	struct zl_sandbox *sandbox;
	const struct zl_cancel *cancel;
	pthread_t thread;
	bool started;
	int result;
	struct zl_error error;
	struct zl_cni_result network; // valid once joined with success
};

// Makes the namespace and starts the ADD. Whoever starts joins, whatever else fails.
int zl_network_start(struct zl_network_job *job, struct zl_sandbox *sandbox,
        const struct zl_cancel *cancel, struct zl_error *err);
// Waits for the ADD and sets the sandbox's addresses. Joining twice or an unstarted one is fine.
int zl_network_join(struct zl_network_job *job, struct zl_error *err);
// Joins if need be and frees the result.
void zl_network_release(struct zl_network_job *job);
ZL_AUTO_DEFINE_VALUE(network_job, struct zl_network_job, zl_network_release);

// CNI DEL and the end of the namespace. Idempotent.
int zl_network_remove(struct zl_sandbox *sandbox, struct zl_error *err);

// The text of the containers' /etc/resolv.conf: the pod's DNS configuration, or the node's own file
// where it has none (CRI leaves that to the runtime).
const char *zl_network_resolv_conf(
        const Runtime__V1__DNSConfig *dns, struct zl_arena *arena, struct zl_error *err);

#endif
