// SPDX-License-Identifier: Apache-2.0
//
// CRI's operations on containers.
#ifndef ZL_CRI_SERVER_CONTAINER_CONTAINER_H
#define ZL_CRI_SERVER_CONTAINER_CONTAINER_H

#include "api.pb-c.h"
#include "base/error.h"
#include "cri-server/rpc/rpc.h"
#include "cri-server/sandbox/sandbox.h"

// After zl_container_set_exited said "first": writes it down and publishes the event. Not on the
// channel's thread.
void zl_container_finish(struct zl_container *container);

// Takes it out of the zone (if that lives), gives its image back, removes log record, record and
// index entry. Inside the sandbox's gate. Idempotent.
int zl_container_forget(struct zl_container *container, struct zl_error *err);

// Its commit record beside the log (log.h): "<sandbox run_dir>/<id>.log-commit".
const char *zl_container_commit_path(struct zl_container *container, struct zl_arena *arena);

// Its cgroup, below the root of the hierarchy: "<the pod's cgroup_parent>/<id>".
const char *zl_container_cgroup(struct zl_container *container, struct zl_arena *arena);

// CRI's view of it, allocated in `arena`.
Runtime__V1__ContainerStatus *zl_container_status(
        struct zl_container *container, struct zl_arena *arena);

void zl_publish_container(struct zl_container *container, Runtime__V1__ContainerEventType type);

zl_rpc_handler zl_handle_create_container;
zl_rpc_handler zl_handle_start_container;
zl_rpc_handler zl_handle_stop_container;
zl_rpc_handler zl_handle_remove_container;
zl_rpc_handler zl_handle_list_containers;
zl_rpc_handler zl_handle_container_status;
zl_rpc_handler zl_handle_update_container_resources;
zl_rpc_handler zl_handle_stream_containers;
zl_rpc_handler zl_handle_exec_sync;
zl_rpc_handler zl_handle_reopen_container_log;
zl_rpc_handler zl_handle_get_container_events;

#endif
