// SPDX-License-Identifier: Apache-2.0
//
// How a sandbox ends: taken down, forgotten, or found dead.
#ifndef ZL_CRI_SERVER_SANDBOX_LIFECYCLE_H
#define ZL_CRI_SERVER_SANDBOX_LIFECYCLE_H

#include "api.pb-c.h"
#include "base/error.h"
#include "cri-server/rpc/rpc.h"
#include "cri-server/sandbox/sandbox.h"

// Ends its containers, its domain or process, its network and its disks. Idempotent; inside the
// gate, exclusive. On failure what is left is left for the next try.
int zl_sandbox_take_down(struct zl_sandbox *sandbox, struct zl_error *err);

// What StopPodSandbox and RemovePodSandbox do. Idempotent; inside the gate, exclusive. On failure
// it is pending: tried again by the next call, at the next start of the daemon, and meanwhile by
// the caretaker (caretaker.h).
int zl_sandbox_stop(struct zl_sandbox *sandbox, struct zl_error *err);
int zl_sandbox_remove(struct zl_sandbox *sandbox, struct zl_error *err);

// Whether one of the two began and has not succeeded yet. Any thread.
bool zl_sandbox_end_pending(struct zl_sandbox *sandbox);
// Goes on with whichever is pending. Inside the gate, exclusive.
int zl_sandbox_end(struct zl_sandbox *sandbox, struct zl_error *err);

// Removes the record, the index entry and the files. After zl_sandbox_take_down.
int zl_sandbox_forget(struct zl_sandbox *sandbox, struct zl_error *err);

// The zone is gone and its containers with it: notes them as killed, with this message.
void zl_sandbox_end_containers(struct zl_sandbox *sandbox, const char *message);

// Forgets all its containers. Inside the gate, exclusive.
int zl_sandbox_remove_containers(struct zl_sandbox *sandbox, struct zl_error *err);

// On a task thread: the channel or the domain is gone. Marks the sandbox not ready and its
// containers exited, and frees the domain's memory at once; the rest goes with StopPodSandbox.
void zl_sandbox_died(struct zl_sandbox *sandbox);

// A pod event for GetContainerEvents (the sandbox is the "container" of it, as in containerd).
void zl_publish_sandbox(struct zl_sandbox *sandbox, Runtime__V1__ContainerEventType type);

zl_rpc_handler zl_handle_run_pod_sandbox;
zl_rpc_handler zl_handle_stop_pod_sandbox;
zl_rpc_handler zl_handle_remove_pod_sandbox;
zl_rpc_handler zl_handle_pod_sandbox_status;
zl_rpc_handler zl_handle_list_pod_sandbox;
zl_rpc_handler zl_handle_stream_pod_sandboxes;
zl_rpc_handler zl_handle_update_pod_sandbox_resources;

#endif
