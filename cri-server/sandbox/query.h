// SPDX-License-Identifier: Apache-2.0
//
// CRI's view of a sandbox.
#ifndef ZL_CRI_SERVER_SANDBOX_QUERY_H
#define ZL_CRI_SERVER_SANDBOX_QUERY_H

#include "api.pb-c.h"
#include "cri-server/message/arena.h"
#include "cri-server/sandbox/sandbox.h"

Runtime__V1__PodSandboxStatus *zl_sandbox_status(
        struct zl_sandbox *sandbox, struct zl_arena *arena);

// What `crictl inspect` shows as the runtime's type.
const char *zl_runtime_type(const struct zl_sandbox *sandbox);

#endif
