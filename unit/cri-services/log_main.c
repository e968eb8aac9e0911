// SPDX-License-Identifier: Apache-2.0
#include <stdlib.h>

#include "unit/cri-services/log_text.h"

int main(void)
{
	SRunner *runner = srunner_create(suite_log_lines());
	int failed;

	srunner_add_suite(runner, suite_log_file());
	srunner_add_suite(runner, suite_log_kill());
	srunner_run_all(runner, CK_ENV);
	failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
