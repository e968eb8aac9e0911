// SPDX-License-Identifier: Apache-2.0
#include <stdlib.h>

#include "unit/stream/tests.h"

int main(void)
{
	SRunner *runner = srunner_create(token_suite());
	int failed;

	srunner_add_suite(runner, spdy_frame_suite());
	srunner_add_suite(runner, spdy_suite());
	srunner_add_suite(runner, websocket_suite());
	srunner_add_suite(runner, negotiate_suite());
	srunner_add_suite(runner, status_suite());
	srunner_run_all(runner, CK_ENV);
	failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
