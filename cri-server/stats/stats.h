// SPDX-License-Identifier: Apache-2.0
//
// ContainerStats, PodSandboxStats, their lists and streams, and the metrics for the kubelet's
// /metrics/cadvisor.
#ifndef ZL_CRI_SERVER_STATS_STATS_H
#define ZL_CRI_SERVER_STATS_STATS_H

#include "cri-server/rpc/rpc.h"

zl_rpc_handler zl_handle_container_stats;
zl_rpc_handler zl_handle_list_container_stats;
zl_rpc_handler zl_handle_stream_container_stats;
zl_rpc_handler zl_handle_pod_sandbox_stats;
zl_rpc_handler zl_handle_list_pod_sandbox_stats;
zl_rpc_handler zl_handle_stream_pod_sandbox_stats;
zl_rpc_handler zl_handle_list_metric_descriptors;
zl_rpc_handler zl_handle_list_pod_sandbox_metrics;
zl_rpc_handler zl_handle_stream_pod_sandbox_metrics;

#endif
