// SPDX-License-Identifier: Apache-2.0
//
// Commands run in a container beside its own process.
//
// An exec object is known to its sandbox by id while it runs: the channel's thread finds it there
// and hands it output and exit; the caller waits on a descriptor.
#ifndef ZL_CRI_SERVER_CONTAINER_EXEC_H
#define ZL_CRI_SERVER_CONTAINER_EXEC_H

#include <stdbool.h>
#include <stdint.h>

#include "base/error.h"
#include "cri-server/sandbox/sandbox.h"

// What a reply carries at most of each stream; the rest is taken and dropped. The kubelet's client
// refuses replies over 16 MiB, and both streams share one.
enum { ZL_EXEC_OUTPUT_MAX = 7 * 1024 * 1024 };

// Called by the channel's thread. Returns the bytes consumed.
size_t zl_exec_output(struct zl_sandbox *sandbox, const char *exec_id, enum zl_zone_stream stream,
        const void *bytes, size_t length, bool eof);
void zl_exec_exited(struct zl_sandbox *sandbox, const char *exec_id, int32_t exit_code);

// Ends all waits with this error: the channel is gone or the pod is being stopped. Any thread.
void zl_exec_fail_all(struct zl_sandbox *sandbox, const struct zl_error *why);

#endif
