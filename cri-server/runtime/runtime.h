// SPDX-License-Identifier: Apache-2.0
//
// What the runtime says of itself: Version, Status, RuntimeConfig, UpdateRuntimeConfig.
#ifndef ZL_CRI_SERVER_RUNTIME_RUNTIME_H
#define ZL_CRI_SERVER_RUNTIME_RUNTIME_H

#include "cri-server/rpc/rpc.h"

zl_rpc_handler zl_handle_version;
zl_rpc_handler zl_handle_status;
zl_rpc_handler zl_handle_runtime_config;
zl_rpc_handler zl_handle_update_runtime_config;

#endif
