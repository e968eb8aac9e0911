// SPDX-License-Identifier: Apache-2.0
//
// CRI's streaming calls, and what their clients are served with.
#ifndef ZL_CRI_SERVER_STREAM_STREAMING_H
#define ZL_CRI_SERVER_STREAM_STREAMING_H

#include "base/strv.h"
#include "cri-server/rpc/rpc.h"
#include "cri-server/sandbox/sandbox.h"
#include "cri-server/stream/request.h"

// An exec (which takes argv over) or an attach (argv NULL). The caller sets the streams.
struct zl_stream_request *zl_remote_new(struct zl_container *container, enum zl_stream_kind kind,
        char **argv, struct zl_error *err);

// Connections to ports of a pod.
struct zl_stream_request *zl_forward_new(struct zl_sandbox *sandbox, struct zl_error *err);

zl_rpc_handler zl_handle_exec;
zl_rpc_handler zl_handle_attach;
zl_rpc_handler zl_handle_port_forward;

#endif
