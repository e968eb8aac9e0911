// SPDX-License-Identifier: Apache-2.0
#include <stdlib.h>

#include "unit/cri-services/oci_input.h"

int main(void)
{
	SRunner *runner = srunner_create(suite_oci_process());
	int failed;

	srunner_add_suite(runner, suite_oci_capability());
	srunner_add_suite(runner, suite_oci_mounts());
	srunner_add_suite(runner, suite_oci_linux());
	srunner_add_suite(runner, suite_oci_namespace());
	srunner_add_suite(runner, suite_oci_seccomp());
	srunner_add_suite(runner, suite_oci_apparmor());
	srunner_add_suite(runner, suite_oci_exec());
	srunner_add_suite(runner, suite_signal());
	srunner_run_all(runner, CK_ENV);
	failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
