// SPDX-License-Identifier: Apache-2.0
//
// A pod, a container and an image to make specs from; a test changes what it is about.
#ifndef ZL_UNIT_CRI_SERVICES_OCI_INPUT_H
#define ZL_UNIT_CRI_SERVICES_OCI_INPUT_H

#include <check.h>
#include <string.h>

#include "base/json.h"
#include "cri-server/oci/spec.h"

struct oci_input {
	Runtime__V1__PodSandboxConfig pod;
	Runtime__V1__LinuxPodSandboxConfig pod_linux;
	Runtime__V1__LinuxSandboxSecurityContext pod_context;
	Runtime__V1__ContainerMetadata metadata;
	Runtime__V1__ContainerConfig container;
	Runtime__V1__LinuxContainerConfig lin;
	Runtime__V1__LinuxContainerResources resources;
	Runtime__V1__LinuxContainerSecurityContext context;
	Runtime__V1__Capability capabilities;
	Runtime__V1__NamespaceOption namespaces;
	Runtime__V1__SecurityProfile profile;
	struct zl_image image;
	struct zl_oci_input in; // of the host handler, until zone is set
};

// A container "c" with the command /run, of an image that says nothing. The context, capabilities,
// namespaces and resources are linked in, empty.
void oci_input_init(struct oci_input *input);

// The spec; the test fails if there is none.
json_t *oci_spec(const struct oci_input *input);
// The reason why there is none; the test fails if there is one.
void oci_refused(const struct oci_input *input, enum zl_code code, const char *reason);

// The member at a path of keys and indices ("process/args/0"); the test fails if there is none.
const json_t *oci_at(const json_t *spec, const char *path);
bool oci_has(const json_t *spec, const char *path);

// The member printed compactly equals `wanted`.
void oci_equal(const json_t *spec, const char *path, const char *wanted);
// The list at the path holds this string.
bool oci_contains(const json_t *spec, const char *path, const char *text);

Suite *suite_oci_process(void);
Suite *suite_oci_capability(void);
Suite *suite_oci_mounts(void);
Suite *suite_oci_linux(void);
Suite *suite_oci_namespace(void);
Suite *suite_oci_seccomp(void);
Suite *suite_oci_apparmor(void);
Suite *suite_oci_exec(void);
Suite *suite_signal(void);

#define SUITE(name, ...)                                                                           \
	Suite *suite_##name(void)                                                                  \
	{                                                                                          \
		const TTest *const tests[] = {__VA_ARGS__};                                        \
		Suite *suite = suite_create(#name);                                                \
		TCase *tcase = tcase_create(#name);                                                \
                                                                                                   \
		tcase_set_timeout(tcase, 60);                                                      \
		for (size_t i = 0; i < sizeof(tests) / sizeof(tests[0]); i++)                      \
			tcase_add_test(tcase, tests[i]);                                           \
		suite_add_tcase(suite, tcase);                                                     \
		return suite;                                                                      \
	}

#endif
