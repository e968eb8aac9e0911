// SPDX-License-Identifier: Apache-2.0
//
// What a pod asks of its network, from its CRI configuration. Plain data in, plain data out; the
// text in it is the pod's author's and is checked here.
//
// Annotations that are read:
//   kubernetes.io/ingress-bandwidth, kubernetes.io/egress-bandwidth
//                 a quantity of bits a second from 1k to 1P ("10M", "512Ki"), as the kubelet has it
//   zonelet/mac   the MAC that the pod's interface shall have (plugins with the capability "mac")
#ifndef ZL_CRI_SERVER_SANDBOX_NETWORK_REQUEST_H
#define ZL_CRI_SERVER_SANDBOX_NETWORK_REQUEST_H

#include <stdint.h>

#include "api.pb-c.h"
#include "base/error.h"
#include "cni-bridge/cni.h"
#include "cri-server/message/arena.h"

// Fills all but sandbox_id, netns and recovered. Strings point into `config` or `arena`.
// INVALID_ARGUMENT names the pod and what is wrong in it: a port, a host IP, an annotation.
int zl_network_request(const Runtime__V1__PodSandboxConfig *config, struct zl_arena *arena,
        struct zl_cni_pod *ret, struct zl_error *err);

#endif
