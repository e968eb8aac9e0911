// SPDX-License-Identifier: Apache-2.0
#include "unit/cri-services/oci_input.h"

static char *container_spec(void)
{
	struct zl_error err = ZL_ERROR_INIT;
	struct oci_input input;

	oci_input_init(&input);
	input.resources.oom_score_adj = 500;
	input.container.tty = true;
	input.container.working_dir = "/work";
	return zl_oci_spec(&input.in, &err);
}

START_TEST(takes_all_but_its_words_from_the_container)
{
	const char *const argv[] = {"ls", "-l", "a b", NULL};
	struct zl_error err = ZL_ERROR_INIT;
	zl_auto(free) char *spec = container_spec();
	zl_auto(free) char *text = zl_oci_exec_process(spec, argv, 3, false, NULL, &err);
	zl_auto(json) json_t *whole = zl_json_parse("spec", spec, strlen(spec), 1 << 20, &err);
	zl_auto(json) json_t *process = zl_json_parse("process", text, strlen(text), 1 << 20, &err);

	oci_equal(process, "args", "[\"ls\",\"-l\",\"a b\"]");
	oci_equal(process, "terminal", "false");
	oci_equal(process, "cwd", "\"/work\"");
	ck_assert(!oci_has(process, "oomScoreAdj"));
	ck_assert(json_equal(oci_at(process, "env"), oci_at(whole, "process/env")));
	ck_assert(
	        json_equal(oci_at(process, "capabilities"), oci_at(whole, "process/capabilities")));
	oci_equal(process, "user", "{\"gid\":0,\"uid\":0}");
}
END_TEST

START_TEST(takes_the_user_that_was_resolved)
{
	const char *const argv[] = {"id", NULL};
	struct zl_error err = ZL_ERROR_INIT;
	zl_auto(free) char *spec = container_spec();
	zl_auto(free) char *text = zl_oci_exec_process(
	        spec, argv, 1, true, "{\"uid\":7,\"gid\":8,\"additionalGids\":[9]}", &err);
	zl_auto(json) json_t *process = zl_json_parse("process", text, strlen(text), 1 << 20, &err);

	oci_equal(process, "user", "{\"additionalGids\":[9],\"gid\":8,\"uid\":7}");
	oci_equal(process, "terminal", "true");
}
END_TEST

static const char *const bad_users[] = {
        "", "{", "[]", "\"root\"", "{} {}", "{\"uid\":1,\"uid\":0}"};

START_TEST(refuses_a_user_that_is_none)
{
	const char *const argv[] = {"id", NULL};
	zl_auto(free) char *spec = container_spec();

	for (size_t i = 0; i < ZL_ARRAY_SIZE(bad_users); i++) {
		struct zl_error err = ZL_ERROR_INIT;

		ck_assert_ptr_null(zl_oci_exec_process(spec, argv, 1, false, bad_users[i], &err));
		ck_assert_ptr_nonnull(strstr(err.message, "the container's user"));
	}
}
END_TEST

START_TEST(refuses_a_spec_that_is_none)
{
	const char *const argv[] = {"id", NULL};
	struct zl_error err = ZL_ERROR_INIT;

	ck_assert_ptr_null(zl_oci_exec_process("{}", argv, 1, false, NULL, &err));
	ck_assert_int_eq(err.code, ZL_INTERNAL);
	ck_assert_ptr_null(zl_oci_exec_process("nonsense", argv, 1, false, NULL, &err));
	ck_assert_ptr_nonnull(strstr(err.message, "the container's spec"));
}
END_TEST

START_TEST(refuses_words_it_cannot_run)
{
	const char *const argv[] = {"echo", "\xff", NULL};
	struct zl_error err = ZL_ERROR_INIT;
	zl_auto(free) char *spec = container_spec();

	ck_assert_ptr_null(zl_oci_exec_process(spec, argv, 2, false, NULL, &err));
	ck_assert_int_eq(err.code, ZL_INVALID_ARGUMENT);
	ck_assert_ptr_nonnull(strstr(err.message, "command 2 is not UTF-8"));
	ck_assert_ptr_null(zl_oci_exec_process(spec, NULL, 0, false, NULL, &err));
	ck_assert_int_eq(err.code, ZL_INVALID_ARGUMENT);
	ck_assert_ptr_nonnull(strstr(err.message, "no command"));
}
END_TEST

SUITE(oci_exec, takes_all_but_its_words_from_the_container, takes_the_user_that_was_resolved,
        refuses_a_user_that_is_none, refuses_a_spec_that_is_none, refuses_words_it_cannot_run)
