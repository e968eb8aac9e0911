// SPDX-License-Identifier: Apache-2.0
#include "cri-server/oci/namespace.h"

#include <string.h>

#include "base/json.h"
#include "base/strv.h"

#define NODE RUNTIME__V1__NAMESPACE_MODE__NODE
#define POD  RUNTIME__V1__NAMESPACE_MODE__POD

#define CONTAINER_NAMESPACE "zonelet:container:"

static const Runtime__V1__NamespaceOption *option_of(const Runtime__V1__PodSandboxConfig *pod)
{
	if (pod->linux == NULL || pod->linux->security_context == NULL)
		return NULL;
	return pod->linux->security_context->namespace_options;
}

bool zl_pod_node_network(const Runtime__V1__PodSandboxConfig *pod)
{
	const Runtime__V1__NamespaceOption *option = option_of(pod);

	return option != NULL && option->network == NODE;
}

bool zl_pod_node_pid(const Runtime__V1__PodSandboxConfig *pod)
{
	const Runtime__V1__NamespaceOption *option = option_of(pod);

	return option != NULL && option->pid == NODE;
}

bool zl_pod_node_ipc(const Runtime__V1__PodSandboxConfig *pod)
{
	const Runtime__V1__NamespaceOption *option = option_of(pod);

	return option != NULL && option->ipc == NODE;
}

const char *zl_pod_node_namespace(const Runtime__V1__PodSandboxConfig *pod)
{
	if (zl_pod_node_network(pod))
		return "network";
	if (zl_pod_node_pid(pod))
		return "pid";
	return zl_pod_node_ipc(pod) ? "ipc" : NULL;
}

static bool is_privileged(const Runtime__V1__PodSandboxConfig *pod)
{
	return pod->linux != NULL && pod->linux->security_context != NULL &&
	       pod->linux->security_context->privileged;
}

static bool is_in(const Runtime__V1__PodSandboxConfig *pod, const char *const *namespaces)
{
	for (size_t i = 0; namespaces[i] != NULL; i++) {
		if (strcmp(namespaces[i], pod->metadata->namespace_) == 0 ||
		        strcmp(namespaces[i], "*") == 0)
			return true;
	}
	return false;
}

const char *zl_pod_may_leave_zone(const Runtime__V1__PodSandboxConfig *pod,
        const char *const *namespaces, const char *const *privileged)
{
	if (zl_pod_node_namespace(pod) != NULL && is_in(pod, namespaces))
		return "wants a namespace of the node and host_pods.namespaces allows it";
	if (is_privileged(pod) && is_in(pod, privileged))
		return "is privileged and host_pods.privileged_namespaces allows it";
	return NULL;
}

// ---- user namespaces

const Runtime__V1__UserNamespace *zl_pod_user_namespace(const Runtime__V1__PodSandboxConfig *pod)
{
	const Runtime__V1__NamespaceOption *option = option_of(pod);

	if (option == NULL || option->userns_options == NULL ||
	        option->userns_options->mode == NODE)
		return NULL;
	return option->userns_options;
}

static bool same_mapping(const Runtime__V1__IDMapping *a, const Runtime__V1__IDMapping *b)
{
	return a->host_id == b->host_id && a->container_id == b->container_id &&
	       a->length == b->length;
}

static const char *wrong_mapping(const Runtime__V1__UserNamespace *user)
{
	const Runtime__V1__IDMapping *map;

	if (user->mode != POD)
		return "only the modes POD and NODE are possible";
	if (user->n_uids != 1 || user->n_gids != 1)
		return "exactly one range of users and one of groups is possible";
	map = user->uids[0];
	if (map->container_id != 0)
		return "the range must begin at the container's id 0";
	if (map->length == 0 || map->host_id > UINT32_MAX - map->length)
		return "the range is empty or beyond the largest id";
	if (!same_mapping(map, user->gids[0]))
		return "the range of groups must be that of the users";
	return NULL;
}

int zl_pod_check_user_namespace(const Runtime__V1__PodSandboxConfig *pod, struct zl_error *err)
{
	const Runtime__V1__UserNamespace *user = zl_pod_user_namespace(pod);
	const char *wrong;

	if (user == NULL)
		return 0;
	wrong = wrong_mapping(user);
	if (wrong == NULL && zl_pod_node_namespace(pod) != NULL)
		wrong = "it cannot share the node's network, pid or ipc namespace as well";
	if (wrong == NULL)
		return 0;
	return zl_error_set(err, ZL_INVALID_ARGUMENT, "pod %s/%s: its user namespace: %s",
	        pod->metadata->namespace_, pod->metadata->name, wrong);
}

json_t *zl_oci_id_mappings(Runtime__V1__IDMapping *const *mappings, size_t count)
{
	json_t *list = json_array();

	for (size_t i = 0; list != NULL && i < count; i++)
		json_array_append_new(list, json_pack("{s:I, s:I, s:I}", "containerID",
		                                    (json_int_t)mappings[i]->container_id, "hostID",
		                                    (json_int_t)mappings[i]->host_id, "size",
		                                    (json_int_t)mappings[i]->length));
	return list;
}

// ---- sysctls

// Those of the ipc namespace (ipc/ipc_sysctl.c, ipc/mq_sysctl.c in the kernel), with slashes.
static const char *const ipc_sysctls[] = {
        "kernel/shmmax",
        "kernel/shmall",
        "kernel/shmmni",
        "kernel/shm_rmid_forced",
        "kernel/shm_next_id",
        "kernel/msgmax",
        "kernel/msgmni",
        "kernel/msgmnb",
        "kernel/msg_next_id",
        "kernel/auto_msgmni",
        "kernel/sem",
        "kernel/sem_next_id",
};

// As sysctl(8): dots separate, unless slashes do.
static bool name_is(const char *name, const char *with_slashes, size_t length)
{
	bool slashes = strchr(name, '/') != NULL;

	for (size_t i = 0; i < length; i++) {
		char each = !slashes && name[i] == '.' ? '/' : name[i];

		if (each != with_slashes[i])
			return false;
	}
	return true;
}

static bool is_ipc_sysctl(const char *name)
{
	if (name_is(name, "fs/mqueue/", strlen("fs/mqueue/")))
		return true;
	for (size_t i = 0; i < ZL_ARRAY_SIZE(ipc_sysctls); i++) {
		if (name_is(name, ipc_sysctls[i], strlen(ipc_sysctls[i]) + 1))
			return true;
	}
	return false;
}

static const char *wrong_sysctl(const Runtime__V1__PodSandboxConfig *pod, const char *name)
{
	if (name_is(name, "net/", strlen("net/")))
		return zl_pod_node_network(pod) ? "the pod has the node's network" : NULL;
	if (is_ipc_sysctl(name))
		return zl_pod_node_ipc(pod) ? "the pod has the node's ipc namespace" : NULL;
	return "it belongs to no namespace of the pod";
}

int zl_pod_check_sysctls(const Runtime__V1__PodSandboxConfig *pod, struct zl_error *err)
{
	for (size_t i = 0; pod->linux != NULL && i < pod->linux->n_sysctls; i++) {
		const char *name = pod->linux->sysctls[i]->key;
		const char *wrong = wrong_sysctl(pod, name);

		if (wrong != NULL)
			return zl_error_set(err, ZL_INVALID_ARGUMENT,
			        "pod %s/%s: sysctl %s would change the node: %s",
			        pod->metadata->namespace_, pod->metadata->name, name, wrong);
	}
	return 0;
}

// ---- a container's

static void add(json_t *list, const char *type, const char *path)
{
	json_array_append_new(list, path == NULL
	                                    ? json_pack("{s:s}", "type", type)
	                                    : json_pack("{s:s, s:s}", "type", type, "path", path));
}

static int add_target(json_t *list, const struct zl_oci_input *in,
        const Runtime__V1__NamespaceOption *option, struct zl_error *err)
{
	zl_auto(free) char *path = NULL;

	if (option->target_id[0] == '\0')
		return zl_error_set(err, ZL_INVALID_ARGUMENT,
		        "container %s: pid mode TARGET without a target's id",
		        in->container->metadata->name);
	path = zl_format(err, CONTAINER_NAMESPACE "%s", option->target_id);
	if (path == NULL)
		return -1;
	add(list, "pid", path);
	return 0;
}

// POD shares the pod's, CONTAINER has its own, NODE the machine's (no entry), TARGET that of
// another container of the pod.
static int add_pid(json_t *list, const struct zl_oci_input *in,
        const Runtime__V1__NamespaceOption *option, struct zl_error *err)
{
	switch (option != NULL ? option->pid : RUNTIME__V1__NAMESPACE_MODE__CONTAINER) {
	case RUNTIME__V1__NAMESPACE_MODE__CONTAINER:
		add(list, "pid", NULL);
		return 0;
	case RUNTIME__V1__NAMESPACE_MODE__POD:
		add(list, "pid", ZL_OCI_POD_NAMESPACE);
		return 0;
	case RUNTIME__V1__NAMESPACE_MODE__NODE:
		if (zl_pod_node_pid(in->pod))
			return 0;
		return zl_error_set(err, ZL_INVALID_ARGUMENT,
		        "container %s wants the node's pid namespace, its pod does not: set "
		        "hostPID in the pod's security context too",
		        in->container->metadata->name);
	case RUNTIME__V1__NAMESPACE_MODE__TARGET:
		return add_target(list, in, option, err);
	default:
		return zl_error_set(err, ZL_INVALID_ARGUMENT,
		        "container %s: unknown mode %d of the pid namespace",
		        in->container->metadata->name, (int)option->pid);
	}
}

static int add_user(json_t *list, const struct zl_oci_input *in,
        const Runtime__V1__NamespaceOption *option, struct zl_error *err)
{
	bool wanted = option != NULL && option->userns_options != NULL &&
	              option->userns_options->mode != NODE;

	if (zl_pod_user_namespace(in->pod) != NULL) {
		add(list, "user", ZL_OCI_POD_NAMESPACE);
		return 0;
	}
	if (!wanted)
		return 0;
	return zl_error_set(err, ZL_INVALID_ARGUMENT,
	        "container %s wants a user namespace, its pod has none: set it in the pod's "
	        "security context (hostUsers: false)",
	        in->container->metadata->name);
}

json_t *zl_oci_namespaces(const struct zl_oci_input *in, struct zl_error *err)
{
	const Runtime__V1__LinuxContainerConfig *lin = in->container->linux;
	const Runtime__V1__NamespaceOption *option =
	        lin != NULL && lin->security_context != NULL
	                ? lin->security_context->namespace_options
	                : NULL;
	zl_auto(json) json_t *list = json_array();

	add(list, "mount", NULL);
	add(list, "cgroup", NULL);
	add(list, "uts", ZL_OCI_POD_NAMESPACE);
	add(list, "network", ZL_OCI_POD_NAMESPACE);
	add(list, "ipc", ZL_OCI_POD_NAMESPACE);
	if (add_user(list, in, option, err) < 0 || add_pid(list, in, option, err) < 0)
		return NULL;
	return zl_take(list);
}
