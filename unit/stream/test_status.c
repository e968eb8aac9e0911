// SPDX-License-Identifier: Apache-2.0
//
// What the error stream says, and what the resize stream means.
#include <string.h>

#include "base/json.h"
#include "cri-server/stream/resize.h"
#include "cri-server/stream/status.h"
#include "unit/stream/tests.h"

static struct zl_buffer out;

static void setup(void)
{
	out = (struct zl_buffer)ZL_BUFFER_INIT;
}

static void teardown(void)
{
	zl_buffer_release(&out);
}

static void expect(const char *wanted)
{
	zl_auto(json) json_t *is = zl_json_parse("status", out.data, out.length, 4096, NULL);
	zl_auto(json) json_t *should = zl_json_parse("text", wanted, strlen(wanted), 4096, NULL);

	ck_assert_msg(json_equal(is, should), "%s", zl_buffer_string(&out));
}

START_TEST(an_exit_since_version_4)
{
	ck_assert_int_eq(zl_stream_status_exit(4, 0, &out, NULL), 0);
	expect("{\"metadata\":{},\"status\":\"Success\"}");
	out.length = 0;
	ck_assert_int_eq(zl_stream_status_exit(5, 137, &out, NULL), 0);
	expect("{\"metadata\":{},\"status\":\"Failure\",\"reason\":\"NonZeroExitCode\","
	       "\"message\":\"command terminated with non-zero exit code: exit status 137\","
	       "\"details\":{\"causes\":[{\"reason\":\"ExitCode\",\"message\":\"137\"}]}}");
}
END_TEST

START_TEST(an_exit_before)
{
	ck_assert_int_eq(zl_stream_status_exit(3, 0, &out, NULL), 0);
	ck_assert_uint_eq(out.length, 0);
	ck_assert_int_eq(zl_stream_status_exit(1, 7, &out, NULL), 0);
	ck_assert_str_eq(zl_buffer_string(&out),
	        "command terminated with non-zero exit code: exit status 7");
}
END_TEST

START_TEST(a_failure)
{
	struct zl_error why = {.code = ZL_NOT_FOUND, .message = "no \"thing\""};

	ck_assert_int_eq(zl_stream_status_failure(4, &why, &out, NULL), 0);
	expect("{\"metadata\":{},\"status\":\"Failure\",\"reason\":\"InternalError\",\"code\":500,"
	       "\"message\":\"Internal error occurred: no \\\"thing\\\"\","
	       "\"details\":{\"causes\":[{\"message\":\"no \\\"thing\\\"\"}]}}");
	out.length = 0;
	ck_assert_int_eq(zl_stream_status_failure(2, &why, &out, NULL), 0);
	ck_assert_str_eq(zl_buffer_string(&out), "no \"thing\"");
}
END_TEST

static void take(struct zl_resize *resize, const char *text)
{
	zl_resize_take(resize, text, strlen(text));
}

START_TEST(sizes)
{
	struct zl_resize resize = {.changed = false};

	take(&resize, "{\"Width\":80,\"Hei");
	ck_assert(!resize.changed);
	take(&resize, "ght\":24}\n");
	ck_assert(resize.changed && resize.columns == 80 && resize.rows == 24);
	take(&resize, "{\"Width\":81,\"Height\":25}{\"Width\":82,\"Height\":26}");
	ck_assert(resize.columns == 82 && resize.rows == 26);
}
END_TEST

static const char *const no_sizes[] = {"", "{}", "}", "{\"Width\":0,\"Height\":24}",
        "{\"Width\":80,\"Height\":65536}", "{\"Width\":\"80\",\"Height\":24}", "[80,24]",
        "{\"Width\":80,\"Height\":-24}"};

START_TEST(what_is_no_size)
{
	struct zl_resize resize = {.changed = false};

	take(&resize, no_sizes[_i]);
	ck_assert(!resize.changed);
	take(&resize, "{\"Width\":80,\"Height\":24}");
	ck_assert(resize.changed);
}
END_TEST

START_TEST(a_size_without_end)
{
	struct zl_resize resize = {.changed = false};

	for (int i = 0; i < 1000; i++)
		take(&resize, "\"Width\":1,");
	take(&resize, "{\"Width\":80,\"Height\":24}");
	ck_assert(resize.changed && resize.columns == 80);
}
END_TEST

Suite *status_suite(void)
{
	Suite *suite = suite_create("status and size");
	TCase *tcase = tcase_create("status");

	tcase_add_checked_fixture(tcase, setup, teardown);
	tcase_add_test(tcase, an_exit_since_version_4);
	tcase_add_test(tcase, an_exit_before);
	tcase_add_test(tcase, a_failure);
	suite_add_tcase(suite, tcase);
	tcase = tcase_create("size");
	tcase_add_test(tcase, sizes);
	tcase_add_loop_test(
	        tcase, what_is_no_size, 0, (int)(sizeof(no_sizes) / sizeof(no_sizes[0])));
	tcase_add_test(tcase, a_size_without_end);
	suite_add_tcase(suite, tcase);
	return suite;
}
