// SPDX-License-Identifier: Apache-2.0
//
// Loading of the default AppArmor profile: with a file for the kernel's list, and a script for the
// parser that writes to it.
#include "cri-server/container/apparmor.h"

#include <check.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/file.h"

static char directory[] = "/tmp/zl-apparmor-XXXXXX";
static char list[64];
static char parser[64];
static char took[64];
static struct zl_apparmor apparmor;
static struct zl_buffer text;
static const struct zl_apparmor_want by_default = {.name = ZL_APPARMOR_DEFAULT};
static const struct zl_apparmor_want asked = {.name = ZL_APPARMOR_DEFAULT, .asked = true};

static void put(const char *path, const char *content, mode_t mode)
{
	struct zl_error err = ZL_ERROR_INIT;

	ck_assert_int_eq(zl_file_write_atomic(path, content, strlen(content), mode, &err), 0);
}

// Takes the profile, counts itself by a byte in `took`, and ends with this status.
static void make_parser(int status)
{
	zl_auto(buffer) struct zl_buffer script = ZL_BUFFER_INIT;

	ck_assert_int_eq(zl_buffer_printf(&script, NULL,
	                         "#!/bin/sh\n"
	                         "[ \"$1 $2\" = '--replace --skip-cache' ] || exit 9\n"
	                         "grep -q '^profile " ZL_APPARMOR_DEFAULT " ' || exit 8\n"
	                         "printf x >>%s\n"
	                         "[ %d = 0 ] || { echo 'the kernel said no' >&2; exit %d; }\n"
	                         "echo '" ZL_APPARMOR_DEFAULT " (enforce)' >>%s\n",
	                         took, status, status, list),
	        0);
	put(parser, zl_buffer_string(&script), 0755);
}

static size_t runs(void)
{
	struct stat status;

	return stat(took, &status) == 0 ? (size_t)status.st_size : 0;
}

static void setup(void)
{
	strcpy(directory + strlen(directory) - 6, "XXXXXX");
	ck_assert_ptr_nonnull(mkdtemp(directory));
	(void)snprintf(list, sizeof(list), "%s/profiles", directory);
	(void)snprintf(parser, sizeof(parser), "%s/parser", directory);
	(void)snprintf(took, sizeof(took), "%s/took", directory);
	zl_apparmor_init(&apparmor);
	ck_assert_str_eq(apparmor.profiles, ZL_APPARMOR_PROFILES);
	apparmor.profiles = list;
	apparmor.parser = parser;
	put(list, "mine (enforce)\n", 0644);
	make_parser(0);
}

static void teardown(void)
{
	zl_apparmor_release(&apparmor);
	zl_buffer_release(&text);
	(void)zl_tree_remove(directory, NULL);
}

// The list that comes of it; NULL: there is no AppArmor.
static const char *prepare(const struct zl_apparmor_want *want)
{
	struct zl_error err = ZL_ERROR_INIT;
	const char *profiles;

	ck_assert_msg(zl_apparmor_prepare(&apparmor, want, &text, &profiles, NULL, &err) == 0, "%s",
	        err.message);
	return profiles;
}

static void fails(const struct zl_apparmor_want *want, enum zl_code code, const char *reason)
{
	struct zl_error err = ZL_ERROR_INIT;
	const char *profiles;

	ck_assert_int_lt(zl_apparmor_prepare(&apparmor, want, &text, &profiles, NULL, &err), 0);
	ck_assert_msg(err.code == code && strstr(err.message, reason) != NULL &&
	                      strstr(err.message, ZL_APPARMOR_DEFAULT) != NULL,
	        "%s: %s", zl_code_name(err.code), err.message);
}

START_TEST(loads_the_default_once)
{
	ck_assert(zl_apparmor_enabled(&apparmor));
	ck_assert(zl_apparmor_listed(prepare(&by_default), ZL_APPARMOR_DEFAULT));
	ck_assert(zl_apparmor_listed(prepare(&asked), ZL_APPARMOR_DEFAULT));
	ck_assert_uint_eq(runs(), 1);
}
END_TEST

START_TEST(replaces_that_of_another_daemon)
{
	put(list, ZL_APPARMOR_DEFAULT " (enforce)\n", 0644);
	ck_assert_ptr_nonnull(prepare(&by_default));
	ck_assert_uint_eq(runs(), 1);
}
END_TEST

START_TEST(loads_it_again_when_somebody_removed_it)
{
	ck_assert_ptr_nonnull(prepare(&by_default));
	put(list, "mine (enforce)\n", 0644);
	ck_assert(zl_apparmor_listed(prepare(&by_default), ZL_APPARMOR_DEFAULT));
	ck_assert_uint_eq(runs(), 2);
}
END_TEST

START_TEST(leaves_it_where_it_is_not_wanted)
{
	struct zl_apparmor_want none = {.name = NULL};
	struct zl_apparmor_want mine = {.name = "mine", .asked = true};

	ck_assert(zl_apparmor_listed(prepare(&mine), "mine"));
	ck_assert_ptr_nonnull(prepare(&none));
	ck_assert_uint_eq(runs(), 0);
}
END_TEST

START_TEST(a_kernel_without_apparmor)
{
	ck_assert_int_eq(unlink(list), 0);
	ck_assert(!zl_apparmor_enabled(&apparmor));
	ck_assert_ptr_null(prepare(&by_default));
	ck_assert_ptr_null(prepare(&asked));
	ck_assert_uint_eq(runs(), 0);
}
END_TEST

START_TEST(a_node_without_parser)
{
	ck_assert_int_eq(unlink(parser), 0);
	ck_assert(!zl_apparmor_listed(prepare(&by_default), ZL_APPARMOR_DEFAULT));
	fails(&asked, ZL_FAILED_PRECONDITION, "apt install apparmor");
	// It may come later.
	make_parser(0);
	ck_assert(zl_apparmor_listed(prepare(&asked), ZL_APPARMOR_DEFAULT));
}
END_TEST

START_TEST(the_parser_says_no)
{
	make_parser(3);
	fails(&by_default, ZL_INTERNAL, "exit status 3: the kernel said no");
	fails(&asked, ZL_INTERNAL, "exit status 3: the kernel said no");
	make_parser(0);
	ck_assert(zl_apparmor_listed(prepare(&by_default), ZL_APPARMOR_DEFAULT));
}
END_TEST

START_TEST(waiting_can_be_cancelled)
{
	struct zl_cancel cancel;
	struct zl_error err = ZL_ERROR_INIT;
	const char *profiles;

	ck_assert_int_eq(zl_cancel_init(&cancel, INT64_MAX, NULL, &err), 0);
	zl_cancel_fire(&cancel);
	ck_assert_int_eq(zl_gate_enter(&apparmor.gate, true, NULL, &err), 0);
	ck_assert_int_lt(
	        zl_apparmor_prepare(&apparmor, &asked, &text, &profiles, &cancel, &err), 0);
	ck_assert_int_eq(err.code, ZL_CANCELLED);
	zl_gate_leave(&apparmor.gate);
	zl_cancel_release(&cancel);
}
END_TEST

int main(void)
{
	const TTest *const tests[] = {loads_the_default_once, replaces_that_of_another_daemon,
	        loads_it_again_when_somebody_removed_it, leaves_it_where_it_is_not_wanted,
	        a_kernel_without_apparmor, a_node_without_parser, the_parser_says_no,
	        waiting_can_be_cancelled};
	Suite *suite = suite_create("apparmor");
	TCase *tcase = tcase_create("apparmor");
	SRunner *runner = srunner_create(suite);
	int failed;

	tcase_add_checked_fixture(tcase, setup, teardown);
	for (size_t i = 0; i < ZL_ARRAY_SIZE(tests); i++)
		tcase_add_test(tcase, tests[i]);
	suite_add_tcase(suite, tcase);
	srunner_run_all(runner, CK_ENV);
	failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
