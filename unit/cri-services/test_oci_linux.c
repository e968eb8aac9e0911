// SPDX-License-Identifier: Apache-2.0
//
// Namespaces, resources, devices, paths, profiles and annotations of a spec.
#include "unit/cri-services/oci_input.h"

typedef Runtime__V1__ContainerConfig__AnnotationsEntry annotation;

START_TEST(resources_are_those_asked_for)
{
	struct oci_input input;
	zl_auto(json) json_t *none = NULL;
	zl_auto(json) json_t *all = NULL;
	zl_auto(json) json_t *zone = NULL;
	zl_auto(json) json_t *negative = NULL;

	oci_input_init(&input);
	none = oci_spec(&input);
	oci_equal(none, "linux/resources", "{\"devices\":[{\"access\":\"rwm\",\"allow\":false}]}");
	oci_equal(none, "linux/cgroupsPath", "\"/zonelet/c0c\"");
	input.resources.cpu_shares = 512;
	input.resources.cpu_quota = 50000;
	input.resources.cpu_period = 100000;
	input.resources.cpuset_cpus = "0-3";
	input.resources.cpuset_mems = "0";
	input.resources.memory_limit_in_bytes = INT64_C(5) << 40;
	input.resources.memory_swap_limit_in_bytes = INT64_C(6) << 40;
	all = oci_spec(&input);
	oci_equal(all, "linux/resources/cpu",
	        "{\"cpus\":\"0-3\",\"mems\":\"0\",\"period\":100000,\"quota\":50000,"
	        "\"shares\":512}");
	oci_equal(
	        all, "linux/resources/memory", "{\"limit\":5497558138880,\"swap\":6597069766656}");
	// The node's cpus are not the zone's, which has no swap either.
	input.in.zone = true;
	zone = oci_spec(&input);
	oci_equal(
	        zone, "linux/resources/cpu", "{\"period\":100000,\"quota\":50000,\"shares\":512}");
	oci_equal(zone, "linux/resources/memory", "{\"limit\":5497558138880}");
	input.in.zone = false;
	input.resources =
	        (Runtime__V1__LinuxContainerResources)RUNTIME__V1__LINUX_CONTAINER_RESOURCES__INIT;
	input.resources.cpu_quota = -1;
	input.resources.memory_limit_in_bytes = INT64_MIN;
	input.resources.memory_swap_limit_in_bytes = -1;
	negative = oci_spec(&input);
	// "No limit"; other negative numbers mean nothing.
	oci_equal(negative, "linux/resources/cpu", "{\"quota\":-1}");
	oci_equal(negative, "linux/resources/memory", "{\"swap\":-1}");
}
END_TEST

// Without the list crun filters nothing, and the default capabilities hold mknod.
START_TEST(devices_are_closed_unless_privileged)
{
	struct oci_input input;
	zl_auto(json) json_t *plain = NULL;
	zl_auto(json) json_t *bare = NULL;
	zl_auto(json) json_t *privileged = NULL;

	oci_input_init(&input);
	plain = oci_spec(&input);
	oci_equal(plain, "linux/resources/devices", "[{\"access\":\"rwm\",\"allow\":false}]");
	input.context.privileged = true;
	input.pod_context.privileged = true;
	privileged = oci_spec(&input);
	oci_equal(privileged, "linux/resources/devices", "[{\"access\":\"rwm\",\"allow\":true}]");
	input.container.linux = NULL;
	bare = oci_spec(&input);
	oci_equal(bare, "linux/resources/devices", "[{\"access\":\"rwm\",\"allow\":false}]");
}
END_TEST

START_TEST(paths_are_masked_unless_privileged)
{
	const char *masked[] = {"/proc/kcore", "/sys/firmware"};
	const char *readonly[] = {"/proc/sys"};
	struct oci_input input;
	zl_auto(json) json_t *plain = NULL;
	zl_auto(json) json_t *privileged = NULL;

	oci_input_init(&input);
	input.context.masked_paths = masked;
	input.context.n_masked_paths = 2;
	input.context.readonly_paths = readonly;
	input.context.n_readonly_paths = 1;
	plain = oci_spec(&input);
	oci_equal(plain, "linux/maskedPaths", "[\"/proc/kcore\",\"/sys/firmware\"]");
	oci_equal(plain, "linux/readonlyPaths", "[\"/proc/sys\"]");
	input.context.privileged = true;
	input.pod_context.privileged = true;
	privileged = oci_spec(&input);
	ck_assert(!oci_has(privileged, "linux/maskedPaths"));
	ck_assert(!oci_has(privileged, "linux/readonlyPaths"));
}
END_TEST

START_TEST(privileged_only_in_a_privileged_pod)
{
	struct oci_input input;

	oci_input_init(&input);
	input.context.privileged = true;
	oci_refused(&input, ZL_INVALID_ARGUMENT, "its pod is not");
	input.pod_linux.security_context = NULL;
	oci_refused(&input, ZL_INVALID_ARGUMENT, "its pod is not");
	input.pod.linux = NULL;
	oci_refused(&input, ZL_INVALID_ARGUMENT, "its pod is not");
}
END_TEST

START_TEST(devices_are_left_to_the_supervisor)
{
	Runtime__V1__Device device = RUNTIME__V1__DEVICE__INIT;
	Runtime__V1__Device *devices[] = {&device};
	struct oci_input input;
	zl_auto(json) json_t *none = NULL;
	zl_auto(json) json_t *one = NULL;
	zl_auto(json) json_t *plain = NULL;
	zl_auto(json) json_t *all = NULL;

	oci_input_init(&input);
	none = oci_spec(&input);
	oci_equal(none, "linux/" ZL_OCI_DEVICES, "{\"all\":false,\"list\":[]}");
	device.host_path = "/dev/sda";
	device.container_path = "/dev/xvda";
	device.permissions = "r";
	input.container.devices = devices;
	input.container.n_devices = 1;
	one = oci_spec(&input);
	oci_equal(one, "linux/" ZL_OCI_DEVICES "/list",
	        "[{\"access\":\"r\",\"path\":\"/dev/xvda\",\"source\":\"/dev/sda\"}]");
	device.container_path = "";
	device.permissions = "";
	plain = oci_spec(&input);
	oci_equal(plain, "linux/" ZL_OCI_DEVICES "/list",
	        "[{\"access\":\"rwm\",\"path\":\"/dev/sda\",\"source\":\"/dev/sda\"}]");
	input.in.zone = true;
	oci_refused(&input, ZL_UNIMPLEMENTED, "device /dev/sda");
	input.in.zone = false;
	input.context.privileged = true;
	input.pod_context.privileged = true;
	all = oci_spec(&input);
	oci_equal(all, "linux/" ZL_OCI_DEVICES "/all", "true");
}
END_TEST

// A pod can neither pass for another nor give crun orders.
START_TEST(annotations_are_data)
{
	annotation entries[4] = {RUNTIME__V1__CONTAINER_CONFIG__ANNOTATIONS_ENTRY__INIT,
	        RUNTIME__V1__CONTAINER_CONFIG__ANNOTATIONS_ENTRY__INIT,
	        RUNTIME__V1__CONTAINER_CONFIG__ANNOTATIONS_ENTRY__INIT,
	        RUNTIME__V1__CONTAINER_CONFIG__ANNOTATIONS_ENTRY__INIT};
	annotation *list[] = {&entries[0], &entries[1], &entries[2], &entries[3]};
	struct oci_input input;
	zl_auto(json) json_t *spec = NULL;

	oci_input_init(&input);
	entries[0].key = "io.kubernetes.cri.sandbox-id";
	entries[0].value = "forged";
	entries[1].key = "run.oci.hooks.stdout";
	entries[1].value = "/etc/passwd";
	entries[2].key = "run.ocix";
	entries[2].value = "kept\n";
	entries[3].key = "";
	entries[3].value = "";
	input.container.annotations = list;
	input.container.n_annotations = 4;
	spec = oci_spec(&input);
	oci_equal(spec, "annotations",
	        "{\"\":\"\",\"io.kubernetes.cri.container-name\":\"c\","
	        "\"io.kubernetes.cri.container-type\":\"container\","
	        "\"io.kubernetes.cri.sandbox-id\":\"5ab\",\"run.ocix\":\"kept\\n\"}");
}
END_TEST

SUITE(oci_linux, resources_are_those_asked_for, devices_are_closed_unless_privileged,
        paths_are_masked_unless_privileged, privileged_only_in_a_privileged_pod,
        devices_are_left_to_the_supervisor, annotations_are_data)
