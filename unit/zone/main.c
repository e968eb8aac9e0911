// SPDX-License-Identifier: Apache-2.0
#include <stdlib.h>

#include "unit/zone/tests.h"

int main(void)
{
	Suite *suite = suite_create("zone");
	SRunner *runner = srunner_create(suite);
	int failed;

	suite_add_tcase(suite, frame_tests());
	suite_add_tcase(suite, stream_tests());
	suite_add_tcase(suite, message_tests());
	suite_add_tcase(suite, client_tests());
	suite_add_tcase(suite, client_lies_tests());
	suite_add_tcase(suite, user_tests());
	suite_add_tcase(suite, spec_tests());
	suite_add_tcase(suite, command_tests());
	suite_add_tcase(suite, klog_tests());
	suite_add_tcase(suite, netlink_tests());
	suite_add_tcase(suite, usage_tests());
	suite_add_tcase(suite, devnode_tests());
	suite_add_tcase(suite, signal_tests());
	suite_add_tcase(suite, cgroup1_tests());
	srunner_run_all(runner, CK_ENV);
	failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
