// SPDX-License-Identifier: Apache-2.0
#include <check.h>

#include "base/cleanup.h"
#include "unit/zone/tests.h"
#include "zone/supervisor/user.h"

static const char passwd[] = "root:x:0:0:root:/root:/bin/sh\n"
                             "# a comment\n"
                             "broken\n"
                             ":::\n"
                             "huge:x:99999999999:1::/:\n"
                             "minus:x:-1:1::/:\n"
                             "app:x:1000:1001:An app:/app:/bin/sh\n"
                             "0042:x:7:8::/:\n"
                             "last:x:2000:2001";
static const char group[] = "root:x:0:\nstaff:x:50:app,root\nvideo:x:44:app\nmine:x:1001:\n"
                            "lookalike:x:45:apple,an-app,app2\nempty:x:46:,,\n";

static void expect(const char *name, uint32_t uid, uint32_t gid)
{
	struct zl_user_wanted wanted = {.name = name};
	struct zl_error err = ZL_ERROR_INIT;
	struct zl_user user;

	ck_assert_msg(zl_user_resolve(&wanted, passwd, group, &user, &err) == 0, "%s: %s", name,
	        err.message);
	ck_assert_uint_eq(user.uid, uid);
	ck_assert_uint_eq(user.gid, gid);
	ck_assert_uint_eq(user.groups[0], gid);
}

START_TEST(resolves)
{
	expect("", 0, 0);
	expect("root", 0, 0);
	expect("app", 1000, 1001);
	expect("1000", 1000, 1001); // the group is passwd's
	expect("4000", 4000, 0);    // not in passwd
	expect("last", 2000, 2001);
	expect("app:video", 1000, 44);
	expect("app:77", 1000, 77);
	expect("1:2", 1, 2);
	expect("app:", 1000, 1001);
	expect("0042", 7, 8); // a name comes before a number
}
END_TEST

START_TEST(refuses)
{
	static const char *const names[] = {"nobody", "app:nogroup", "-1", "4294967295",
	        "99999999999", "huge", "minus", "1000x", "app:-1", " app"};

	for (size_t i = 0; i < ZL_ARRAY_SIZE(names); i++) {
		struct zl_user_wanted wanted = {.name = names[i]};
		struct zl_error err = ZL_ERROR_INIT;
		struct zl_user user;

		ck_assert_msg(zl_user_resolve(&wanted, passwd, group, &user, &err) < 0,
		        "%s was accepted", names[i]);
		ck_assert_int_eq(err.code, ZL_INVALID_ARGUMENT);
	}
}
END_TEST

START_TEST(groups)
{
	static const uint32_t more[] = {44, 3000};
	struct zl_user_wanted wanted = {
	        .name = "app", .supplemental = more, .supplemental_count = 2, .merge = true};
	static const uint32_t merged[] = {1001, 50, 44, 3000};
	struct zl_user user;

	ck_assert_int_eq(zl_user_resolve(&wanted, passwd, group, &user, NULL), 0);
	ck_assert_uint_eq(user.group_count, 4);
	ck_assert_mem_eq(user.groups, merged, sizeof(merged));
	wanted.merge = false;
	wanted.has_group = true;
	wanted.group = 9;
	ck_assert_int_eq(zl_user_resolve(&wanted, passwd, group, &user, NULL), 0);
	ck_assert_uint_eq(user.gid, 9);
	ck_assert_uint_eq(user.group_count, 3);
	ck_assert_uint_eq(user.groups[0], 9);
}
END_TEST

START_TEST(no_files)
{
	struct zl_user_wanted wanted = {.name = "12:34"};
	struct zl_user user;

	ck_assert_int_eq(zl_user_resolve(&wanted, "", "", &user, NULL), 0);
	ck_assert_uint_eq(user.uid, 12);
	ck_assert_uint_eq(user.gid, 34);
}
END_TEST

TCase *user_tests(void)
{
	TCase *tests = tcase_create("user");

	tcase_add_test(tests, resolves);
	tcase_add_test(tests, refuses);
	tcase_add_test(tests, groups);
	tcase_add_test(tests, no_files);
	return tests;
}
