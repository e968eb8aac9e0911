// SPDX-License-Identifier: Apache-2.0
//
// What a pod shares with the node, user namespaces, sysctls, the namespaces of a container.
#include "cri-server/oci/namespace.h"

#include <string.h>

#include "unit/cri-services/oci_input.h"

// "none": no entry, "own": without a path, else the path.
static const char *namespace_path(const json_t *spec, const char *type)
{
	const json_t *list = oci_at(spec, "linux/namespaces");

	for (size_t i = 0; i < json_array_size(list); i++) {
		const json_t *each = json_array_get(list, i);
		const char *path = zl_json_string(each, "path");

		if (strcmp(zl_json_string(each, "type"), type) == 0)
			return path != NULL ? path : "own";
	}
	return "none";
}

static void ck_namespace(const struct oci_input *input, const char *type, const char *wanted)
{
	zl_auto(json) json_t *spec = oci_spec(input);
	const char *path = namespace_path(spec, type);

	ck_assert_msg(strcmp(path, wanted) == 0, "%s: %s, not %s", type, path, wanted);
}

// A pod with these options; the container has them too.
struct pod {
	struct oci_input input;
	Runtime__V1__PodSandboxMetadata metadata;
	Runtime__V1__UserNamespace user;
	Runtime__V1__IDMapping uid, gid, more;
	Runtime__V1__IDMapping *uids[2], *gids[2];
};

static void pod_init(struct pod *pod)
{
	Runtime__V1__IDMapping map = RUNTIME__V1__IDMAPPING__INIT;

	map.host_id = 1000;
	map.length = 65536;
	oci_input_init(&pod->input);
	pod->metadata = (Runtime__V1__PodSandboxMetadata)RUNTIME__V1__POD_SANDBOX_METADATA__INIT;
	pod->metadata.name = "p";
	pod->metadata.namespace_ = "ns";
	pod->input.pod.metadata = &pod->metadata;
	pod->input.pod_context.namespace_options = &pod->input.namespaces;
	pod->user = (Runtime__V1__UserNamespace)RUNTIME__V1__USER_NAMESPACE__INIT;
	pod->user.mode = RUNTIME__V1__NAMESPACE_MODE__POD;
	pod->uid = pod->gid = pod->more = map;
	pod->uids[0] = &pod->uid;
	pod->gids[0] = &pod->gid;
	pod->uids[1] = pod->gids[1] = &pod->more;
	pod->user.uids = pod->uids;
	pod->user.gids = pod->gids;
	pod->user.n_uids = pod->user.n_gids = 1;
}

START_TEST(namespaces_follow_their_modes)
{
	struct pod pod;

	pod_init(&pod);
	ck_namespace(&pod.input, "mount", "own");
	ck_namespace(&pod.input, "cgroup", "own");
	ck_namespace(&pod.input, "uts", ZL_OCI_POD_NAMESPACE);
	ck_namespace(&pod.input, "network", ZL_OCI_POD_NAMESPACE);
	ck_namespace(&pod.input, "ipc", ZL_OCI_POD_NAMESPACE);
	// CRI's zero value is POD.
	ck_namespace(&pod.input, "pid", ZL_OCI_POD_NAMESPACE);
	pod.input.namespaces.pid = RUNTIME__V1__NAMESPACE_MODE__CONTAINER;
	ck_namespace(&pod.input, "pid", "own");
	pod.input.namespaces.pid = RUNTIME__V1__NAMESPACE_MODE__NODE;
	ck_namespace(&pod.input, "pid", "none");
	ck_namespace(&pod.input, "user", "none");
	pod.input.context.namespace_options = NULL;
	ck_namespace(&pod.input, "pid", "own");
	ck_namespace(&pod.input, "ipc", ZL_OCI_POD_NAMESPACE);
	pod.input.container.linux = NULL;
	ck_namespace(&pod.input, "pid", "own");
}
END_TEST

// A container cannot have more of the node than its pod.
START_TEST(the_nodes_pids_only_in_a_pod_that_has_them)
{
	struct pod pod;

	pod_init(&pod);
	pod.input.pod_context.namespace_options = NULL;
	pod.input.namespaces.pid = RUNTIME__V1__NAMESPACE_MODE__NODE;
	oci_refused(&pod.input, ZL_INVALID_ARGUMENT, "its pod does not");
	// NOLINTNEXTLINE(clang-analyzer-optin.core.EnumCastOutOfRange): a client may send it
	pod.input.namespaces.pid = (Runtime__V1__NamespaceMode)99;
	oci_refused(&pod.input, ZL_INVALID_ARGUMENT, "unknown mode 99");
}
END_TEST

START_TEST(a_target_is_named_to_the_supervisor)
{
	struct pod pod;

	pod_init(&pod);
	pod.input.namespaces.pid = RUNTIME__V1__NAMESPACE_MODE__TARGET;
	oci_refused(&pod.input, ZL_INVALID_ARGUMENT, "without a target's id");
	pod.input.namespaces.target_id = "abc";
	ck_namespace(&pod.input, "pid", "zonelet:container:abc");
}
END_TEST

START_TEST(tells_what_is_the_nodes)
{
	struct pod pod;

	pod_init(&pod);
	ck_assert_ptr_null(zl_pod_node_namespace(&pod.input.pod));
	pod.input.namespaces.ipc = RUNTIME__V1__NAMESPACE_MODE__NODE;
	ck_assert(zl_pod_node_ipc(&pod.input.pod));
	ck_assert_str_eq(zl_pod_node_namespace(&pod.input.pod), "ipc");
	pod.input.namespaces.pid = RUNTIME__V1__NAMESPACE_MODE__NODE;
	ck_assert(zl_pod_node_pid(&pod.input.pod));
	ck_assert_str_eq(zl_pod_node_namespace(&pod.input.pod), "pid");
	ck_assert(!zl_pod_node_network(&pod.input.pod));
	pod.input.namespaces.network = RUNTIME__V1__NAMESPACE_MODE__NODE;
	ck_assert_str_eq(zl_pod_node_namespace(&pod.input.pod), "network");
	pod.input.pod_context.namespace_options = NULL;
	ck_assert_ptr_null(zl_pod_node_namespace(&pod.input.pod));
	pod.input.pod.linux = NULL;
	ck_assert(!zl_pod_node_network(&pod.input.pod));
}
END_TEST

START_TEST(leaves_a_zone_only_where_that_is_allowed)
{
	static const char *const none[] = {NULL};
	static const char *const others[] = {"n", "nss", "", NULL};
	static const char *const this[] = {"x", "ns", NULL};
	static const char *const all[] = {"*", NULL};
	struct pod pod;

	pod_init(&pod);
	// It fits into a zone.
	ck_assert_ptr_null(zl_pod_may_leave_zone(&pod.input.pod, all, all));
	pod.input.namespaces.network = RUNTIME__V1__NAMESPACE_MODE__NODE;
	ck_assert_ptr_null(zl_pod_may_leave_zone(&pod.input.pod, none, all));
	ck_assert_ptr_null(zl_pod_may_leave_zone(&pod.input.pod, others, all));
	ck_assert_ptr_nonnull(zl_pod_may_leave_zone(&pod.input.pod, this, none));
	ck_assert_ptr_nonnull(zl_pod_may_leave_zone(&pod.input.pod, all, none));
}
END_TEST

START_TEST(leaves_a_zone_privileged_where_that_is_allowed)
{
	static const char *const none[] = {NULL};
	static const char *const others[] = {"n", "nss", "", NULL};
	static const char *const this[] = {"x", "ns", NULL};
	struct pod pod;

	pod_init(&pod);
	pod.input.pod_context.privileged = true;
	ck_assert_ptr_null(zl_pod_may_leave_zone(&pod.input.pod, this, none));
	ck_assert_ptr_null(zl_pod_may_leave_zone(&pod.input.pod, this, others));
	ck_assert_ptr_nonnull(
	        strstr(zl_pod_may_leave_zone(&pod.input.pod, none, this), "privileged"));
	pod.input.pod.linux = NULL;
	ck_assert_ptr_null(zl_pod_may_leave_zone(&pod.input.pod, this, this));
}
END_TEST

START_TEST(a_user_namespace_is_the_pods)
{
	struct pod pod;
	zl_auto(json) json_t *spec = NULL;
	zl_auto(json) json_t *without = NULL;

	pod_init(&pod);
	pod.input.namespaces.userns_options = &pod.user;
	spec = oci_spec(&pod.input);
	ck_assert_str_eq(namespace_path(spec, "user"), ZL_OCI_POD_NAMESPACE);
	oci_equal(
	        spec, "linux/uidMappings", "[{\"containerID\":0,\"hostID\":1000,\"size\":65536}]");
	oci_equal(
	        spec, "linux/gidMappings", "[{\"containerID\":0,\"hostID\":1000,\"size\":65536}]");
	pod.user.mode = RUNTIME__V1__NAMESPACE_MODE__NODE;
	without = oci_spec(&pod.input);
	ck_assert_str_eq(namespace_path(without, "user"), "none");
	ck_assert(!oci_has(without, "linux/uidMappings"));
	pod.user.mode = RUNTIME__V1__NAMESPACE_MODE__POD;
	pod.input.pod_context.namespace_options = NULL;
	oci_refused(&pod.input, ZL_INVALID_ARGUMENT, "its pod has none");
}
END_TEST

static void ck_user(const struct pod *pod, const char *reason)
{
	struct zl_error err = ZL_ERROR_INIT;
	int result = zl_pod_check_user_namespace(&pod->input.pod, &err);

	if (reason == NULL) {
		ck_assert_msg(result == 0, "%s", err.message);
		return;
	}
	ck_assert_int_eq(result, -1);
	ck_assert_int_eq(err.code, ZL_INVALID_ARGUMENT);
	ck_assert_msg(strstr(err.message, reason) != NULL, "%s", err.message);
	ck_assert_msg(strstr(err.message, "pod ns/p") != NULL, "%s", err.message);
}

START_TEST(checks_user_namespaces)
{
	struct pod pod;

	pod_init(&pod);
	ck_user(&pod, NULL);
	pod.input.namespaces.userns_options = &pod.user;
	ck_user(&pod, NULL);
	pod.user.n_uids = 2;
	ck_user(&pod, "exactly one range");
	pod.user.n_uids = 0;
	ck_user(&pod, "exactly one range");
	pod.user.n_uids = 1;
	pod.uid.container_id = 1;
	ck_user(&pod, "begin at the container's id 0");
	pod.uid.container_id = 0;
	pod.uid.length = 0;
	ck_user(&pod, "empty");
	pod.uid.length = UINT32_MAX;
	ck_user(&pod, "beyond the largest id");
	pod.uid.length = 1;
	ck_user(&pod, "of groups");
	pod.uid.length = pod.gid.length;
	pod.input.namespaces.network = RUNTIME__V1__NAMESPACE_MODE__NODE;
	ck_user(&pod, "node's network");
	pod.input.namespaces.network = RUNTIME__V1__NAMESPACE_MODE__POD;
	pod.user.mode = RUNTIME__V1__NAMESPACE_MODE__TARGET;
	ck_user(&pod, "POD and NODE");
	pod.user.mode = RUNTIME__V1__NAMESPACE_MODE__CONTAINER;
	ck_user(&pod, "POD and NODE");
	pod.user.mode = RUNTIME__V1__NAMESPACE_MODE__NODE;
	ck_user(&pod, NULL);
}
END_TEST

// A name, whether it is refused in a pod of its own, on the node's network, in the node's ipc.
static const struct {
	const char *name;
	bool plain, network, ipc;
} sysctls[] = {
        {"net.ipv4.ip_forward", false, true, false},
        {"net/ipv4/conf/eth0.100/forwarding", false, true, false},
        {"kernel.shm_rmid_forced", false, false, true},
        {"kernel.shmmax", false, false, true},
        {"kernel.sem", false, false, true},
        {"fs.mqueue.msg_max", false, false, true},
        {"fs/mqueue/msg_max", false, false, true},
        {"kernel.panic", true, true, true},
        {"kernel.semaphore", true, true, true},
        {"kernel.shm", true, true, true},
        {"vm.overcommit_memory", true, true, true},
        {"fs.file-max", true, true, true},
        {"net", true, true, true},
        {"", true, true, true},
};

static void ck_sysctl(const struct pod *pod, const char *name, bool refused)
{
	struct zl_error err = ZL_ERROR_INIT;
	int result = zl_pod_check_sysctls(&pod->input.pod, &err);

	ck_assert_msg((result < 0) == refused, "%s: %s", name, err.message);
	if (refused) {
		ck_assert_int_eq(err.code, ZL_INVALID_ARGUMENT);
		ck_assert_ptr_nonnull(strstr(err.message, "would change the node"));
	}
}

START_TEST(sysctls_of_the_node_are_refused)
{
	Runtime__V1__LinuxPodSandboxConfig__SysctlsEntry entry =
	        RUNTIME__V1__LINUX_POD_SANDBOX_CONFIG__SYSCTLS_ENTRY__INIT;
	Runtime__V1__LinuxPodSandboxConfig__SysctlsEntry *entries[] = {&entry};

	for (size_t i = 0; i < ZL_ARRAY_SIZE(sysctls); i++) {
		zl_auto(free) char *name = strdup(sysctls[i].name);
		struct pod pod;

		pod_init(&pod);
		entry.key = name;
		entry.value = name;
		pod.input.pod_linux.sysctls = entries;
		pod.input.pod_linux.n_sysctls = 1;
		ck_sysctl(&pod, name, sysctls[i].plain);
		pod.input.namespaces.network = RUNTIME__V1__NAMESPACE_MODE__NODE;
		ck_sysctl(&pod, name, sysctls[i].network);
		pod.input.namespaces.network = RUNTIME__V1__NAMESPACE_MODE__POD;
		pod.input.namespaces.ipc = RUNTIME__V1__NAMESPACE_MODE__NODE;
		ck_sysctl(&pod, name, sysctls[i].ipc);
	}
}
END_TEST

SUITE(oci_namespace, namespaces_follow_their_modes, the_nodes_pids_only_in_a_pod_that_has_them,
        a_target_is_named_to_the_supervisor, tells_what_is_the_nodes,
        leaves_a_zone_only_where_that_is_allowed, leaves_a_zone_privileged_where_that_is_allowed,
        a_user_namespace_is_the_pods, checks_user_namespaces, sysctls_of_the_node_are_refused)
