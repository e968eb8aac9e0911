// SPDX-License-Identifier: Apache-2.0
#include <stdlib.h>

#include "unit/base/suites.h"

int main(void)
{
	SRunner *runner = srunner_create(suite_error());
	int failed;

	srunner_add_suite(runner, suite_buffer());
	srunner_add_suite(runner, suite_strv());
	srunner_add_suite(runner, suite_cleanup());
	srunner_add_suite(runner, suite_clock());
	srunner_add_suite(runner, suite_id());
	srunner_add_suite(runner, suite_json());
	srunner_add_suite(runner, suite_log());
	srunner_add_suite(runner, suite_cancel());
	srunner_add_suite(runner, suite_file());
	srunner_add_suite(runner, suite_tree());
	srunner_add_suite(runner, suite_spawn());
	srunner_run_all(runner, CK_ENV);
	failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
