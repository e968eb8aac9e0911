// SPDX-License-Identifier: Apache-2.0
//
// All that CRI's services stand on, in one place: opened at start, closed at stop, handed to every
// handler as its `service`.
//
// A stop leaves pods running. A start finds them again: it reconnects to their supervisors,
// finishes off what was half made, and sweeps what belongs to nobody (recover.c).
#ifndef ZL_CRI_SERVER_SANDBOX_SERVICES_H
#define ZL_CRI_SERVER_SANDBOX_SERVICES_H

#include <pthread.h>
#include <stdbool.h>

#include "base/error.h"
#include "cni-bridge/cni.h"
#include "cri-server/config/config.h"
#include "cri-server/container/apparmor.h"
#include "cri-server/container/capture.h"
#include "cri-server/container/events.h"
#include "cri-server/rpc/rpc.h"
#include "cri-server/sandbox/sandbox.h"
#include "cri-server/sandbox/tasks.h"
#include "cri-server/state/state.h"
#include "hypervisor/hypervisor.h"
#include "storage-driver/storage.h"
#include "zone/client/client.h"

struct zl_console_keeper;
struct zl_stream_server;

struct zl_services {
	const struct zl_config *config; // outlives the services
	const char *version;            // zonelet's
	struct zl_state *state;
	struct zl_store *store;
	struct zl_cni *cni;
	struct zl_hypervisor *hypervisor; // NULL where the zone handler is not offered
	struct zl_host_info host;         // of the hypervisor, at start
	struct zl_zone_loop *loop;
	struct zl_events *events;
	struct zl_capture_pool captures; // of all ExecSyncs
	struct zl_tasks *tasks;
	struct zl_caretaker *caretaker;
	struct zl_console_keeper *consoles; // NULL where there are none to keep
	struct zl_stream_server *streams;
	struct zl_apparmor apparmor; // the node's
	struct zl_cancel stopping;   // fired at stop; parent of what runs by itself

	pthread_mutex_t lock; // guards the indexes (order: sandbox.h)
	struct zl_sandbox *sandboxes;
	struct zl_container *containers;
};

// Opens everything and recovers what an earlier daemon left. *hypervisor may be given (tests), else
// Xen's is opened if the zone handler is configured.
struct zl_services *zl_services_start(const struct zl_config *config, const char *version,
        struct zl_hypervisor *hypervisor, struct zl_error *err);
void zl_services_stop(struct zl_services *services);

// The tables for zl_rpc_options; `ret` has room for two. They point to static memory and services.
void zl_services_rpc(struct zl_services *services, struct zl_rpc_service ret[static 2]);

#endif
