// SPDX-License-Identifier: Apache-2.0
//
// Namespaces: what a pod shares with the node, what it asks for that cannot be given, and the OCI
// `namespaces` of its containers.
//
// Plain data in, plain data out.
#ifndef ZL_CRI_SERVER_OCI_NAMESPACE_H
#define ZL_CRI_SERVER_OCI_NAMESPACE_H

#include <jansson.h>
#include <stdbool.h>

#include "api.pb-c.h"
#include "base/error.h"
#include "cri-server/oci/spec.h"

// Namespaces of the node that a pod wants for its own.
bool zl_pod_node_network(const Runtime__V1__PodSandboxConfig *pod);
bool zl_pod_node_pid(const Runtime__V1__PodSandboxConfig *pod);
bool zl_pod_node_ipc(const Runtime__V1__PodSandboxConfig *pod);
// The first of them by name, "network", "pid" or "ipc"; NULL if it wants none.
const char *zl_pod_node_namespace(const Runtime__V1__PodSandboxConfig *pod);

// Why a pod for `zone` may run under `host` instead, for the log; NULL if it may not. It wants a
// namespace of the node and its Kubernetes namespace is in the first list, or it is privileged and
// that is in the second (NULL-terminated; "*" means all).
const char *zl_pod_may_leave_zone(const Runtime__V1__PodSandboxConfig *pod,
        const char *const *namespaces, const char *const *privileged);

// The pod's user namespace; NULL if it has the node's.
const Runtime__V1__UserNamespace *zl_pod_user_namespace(const Runtime__V1__PodSandboxConfig *pod);
// INVALID_ARGUMENT: a mode other than POD and NODE (CRI knows no others for it), or a mapping that
// is not one range beginning at the container's 0, the same for users and groups; or together with
// the node's network, pid or ipc namespace, which would not obey it.
int zl_pod_check_user_namespace(const Runtime__V1__PodSandboxConfig *pod, struct zl_error *err);

// INVALID_ARGUMENT: a sysctl that belongs to no namespace of the pod's own, so that setting it
// would change the node (namespaces(7), and `setns` in the kernel's Documentation/admin-guide/
// sysctl). Only for the host handler: a zone has a kernel of its own.
int zl_pod_check_sysctls(const Runtime__V1__PodSandboxConfig *pod, struct zl_error *err);

// OCI linux.namespaces for a container. INVALID_ARGUMENT names what cannot be.
json_t *zl_oci_namespaces(const struct zl_oci_input *input, struct zl_error *err);

// OCI uidMappings or gidMappings from CRI's.
json_t *zl_oci_id_mappings(Runtime__V1__IDMapping *const *mappings, size_t count);

#endif
