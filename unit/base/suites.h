// SPDX-License-Identifier: Apache-2.0
//
// The suites of unit-base, each made in the file named for what it tests, and what they share.
#ifndef ZL_UNIT_BASE_SUITES_H
#define ZL_UNIT_BASE_SUITES_H

#include <check.h>
#include <string.h>

#include "base/error.h"

Suite *suite_buffer(void);
Suite *suite_cancel(void);
Suite *suite_cleanup(void);
Suite *suite_clock(void);
Suite *suite_error(void);
Suite *suite_file(void);
Suite *suite_id(void);
Suite *suite_json(void);
Suite *suite_log(void);
Suite *suite_spawn(void);
Suite *suite_strv(void);
Suite *suite_tree(void);

// A suite of one case with these tests, each between `setup` and `teardown` (NULL: none). The time
// limit is for machines under load.
static inline Suite *suite_of(
        const char *name, SFun setup, SFun teardown, const TTest *const *tests, size_t count)
{
	Suite *suite = suite_create(name);
	TCase *tcase = tcase_create(name);

	tcase_set_timeout(tcase, 60);
	tcase_add_checked_fixture(tcase, setup, teardown);
	for (size_t i = 0; i < count; i++)
		tcase_add_test(tcase, tests[i]);
	suite_add_tcase(suite, tcase);
	return suite;
}

#define SUITE_WITH(name, setup, teardown, ...)                                                     \
	Suite *suite_##name(void)                                                                  \
	{                                                                                          \
		const TTest *const tests[] = {__VA_ARGS__};                                        \
                                                                                                   \
		return suite_of(#name, setup, teardown, tests, sizeof(tests) / sizeof(tests[0]));  \
	}
#define SUITE(name, ...) SUITE_WITH(name, NULL, NULL, __VA_ARGS__)

#define ck_ok(result, err) ck_assert_msg((result) >= 0, "%s", (err).message)

// The error has this code and its message contains this text.
#define ck_error(err, wanted_code, text)                                                           \
	do {                                                                                       \
		ck_assert_msg((err).code == (wanted_code), "code %s, message: %s",                 \
		        zl_code_name((err).code), (err).message);                                  \
		ck_assert_msg(                                                                     \
		        strstr((err).message, (text)) != NULL, "message: %s", (err).message);      \
	} while (0)

#endif
