// SPDX-License-Identifier: Apache-2.0
#include <check.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include "storage-driver/claims.h"
#include "storage-driver/pull_line.h"

#define A "sha256:aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"
#define B "sha256:bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb"

static int parse(const char *text, struct zl_pull_line *ret, struct zl_error *err)
{
	return zl_pull_line_parse(text, strlen(text), ret, err);
}

START_TEST(reads_each_event)
{
	struct zl_error err = ZL_ERROR_INIT;
	struct zl_pull_line line;

	ck_assert_int_eq(parse("{\"event\":\"progress\",\"stage\":\"layer\",\"object\":\"x\\ny\","
	                       "\"done\":5,\"total\":7}",
	                         &line, &err),
	        0);
	ck_assert_int_eq(line.event, ZL_PULL_PROGRESS);
	ck_assert_str_eq(line.object, "x?y");
	ck_assert_uint_eq(line.done, 5);
	ck_assert_uint_eq(line.total, 7);
	ck_assert_int_eq(parse("{\"event\":\"claim\",\"layer\":\"" A "\"}", &line, &err), 0);
	ck_assert_str_eq(line.layer, A);
	ck_assert_int_eq(
	        parse("{\"event\":\"layer\",\"layer\":\"" A "\",\"file\":\"layer-0.erofs\"}", &line,
	                &err),
	        0);
	ck_assert_str_eq(line.file, "layer-0.erofs");
	ck_assert_int_eq(
	        parse("{\"event\":\"done\",\"documents\":2,\"merged\":true}", &line, &err), 0);
	ck_assert(line.documents == 2 && line.merged);
	ck_assert_int_eq(parse("{\"event\":\"error\",\"code\":\"NOT_FOUND\",\"message\":\"m\"}",
	                         &line, &err),
	        0);
	ck_assert_int_eq(line.failure.code, ZL_NOT_FOUND);
	ck_assert_str_eq(line.failure.message, "m");
}
END_TEST

static const char *const bad[] = {
        "",
        "x",
        "[]",
        "{}",
        "{\"event\":1}",
        "{\"event\":\"other\"}",
        "{\"event\":\"progress\"}",
        "{\"event\":\"claim\"}",
        "{\"event\":\"claim\",\"layer\":\"../../etc/passwd\"}",
        "{\"event\":\"layer\",\"layer\":\"" A "\"}",
        "{\"event\":\"layer\",\"layer\":\"" A "\",\"file\":\"../x\"}",
        "{\"event\":\"layer\",\"layer\":\"" A "\",\"file\":\".\"}",
        "{\"event\":\"layer\",\"layer\":\"" A "\",\"file\":\"\"}",
        "{\"event\":\"layer\",\"layer\":\"" A "\",\"file\":\"a/b\"}",
        "{\"event\":\"layer\",\"layer\":\"x\",\"file\":\"a\"}",
        "{\"event\":\"done\"}",
        "{\"event\":\"done\",\"documents\":0}",
        "{\"event\":\"done\",\"documents\":-1}",
        "{\"event\":\"done\",\"documents\":99999999999}",
        "{\"event\":\"error\"}",
};

START_TEST(refuses_malformed_lines)
{
	struct zl_error err = ZL_ERROR_INIT;
	struct zl_pull_line line;

	ck_assert_msg(parse(bad[_i], &line, &err) == -1, "passes: %s", bad[_i]);
	ck_assert_int_eq(err.code, ZL_INVALID_ARGUMENT);
}
END_TEST

START_TEST(an_unknown_code_is_internal)
{
	struct zl_error err = ZL_ERROR_INIT;
	struct zl_pull_line line;

	ck_assert_int_eq(
	        parse("{\"event\":\"error\",\"code\":\"OK\",\"message\":\"m\"}", &line, &err), 0);
	ck_assert_int_eq(line.failure.code, ZL_INTERNAL);
}
END_TEST

// ---- claims

struct ends {
	struct zl_claimant claimant;
	int peer;
};

static void open_ends(struct ends *ends)
{
	int fds[2];

	ck_assert_int_eq(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, fds), 0);
	ends->claimant.answer_fd = fds[0];
	ends->peer = fds[1];
}

static void close_ends(struct ends *ends)
{
	(void)zl_close(ends->claimant.answer_fd);
	(void)zl_close(ends->peer);
}

// What the claimant was answered since the last look.
static const char *heard(struct ends *ends)
{
	static char text[1024];
	ssize_t length = recv(ends->peer, text, sizeof(text) - 1, 0);

	text[length > 0 ? length : 0] = '\0';
	return text;
}

#define MAKE(layer) "{\"layer\":\"" layer "\",\"answer\":\"make\"}\n"
#define HAVE(layer) "{\"layer\":\"" layer "\",\"answer\":\"have\"}\n"

START_TEST(one_makes_and_others_wait)
{
	struct zl_claims claims = {.first = NULL};
	struct zl_error err = ZL_ERROR_INIT;
	struct ends one;
	struct ends two;

	open_ends(&one);
	open_ends(&two);
	ck_assert_int_eq(zl_claims_ask(&claims, &one.claimant, A, &err), 0);
	ck_assert_str_eq(heard(&one), MAKE(A));
	ck_assert_int_eq(zl_claims_ask(&claims, &two.claimant, A, &err), 0);
	ck_assert_str_eq(heard(&two), "");
	ck_assert(zl_claims_owns(&claims, &one.claimant, A));
	ck_assert(!zl_claims_owns(&claims, &two.claimant, A));
	ck_assert(!zl_claims_owns(&claims, &one.claimant, B));
	zl_claims_made(&claims, A);
	ck_assert_str_eq(heard(&one), HAVE(A));
	ck_assert_str_eq(heard(&two), HAVE(A));
	ck_assert_ptr_null(claims.first);
	close_ends(&one);
	close_ends(&two);
}
END_TEST

START_TEST(the_next_in_line_takes_over)
{
	struct zl_claims claims = {.first = NULL};
	struct zl_error err = ZL_ERROR_INIT;
	struct ends ends[3];

	for (int i = 0; i < 3; i++) {
		open_ends(&ends[i]);
		ck_assert_int_eq(zl_claims_ask(&claims, &ends[i].claimant, A, &err), 0);
	}
	(void)heard(&ends[0]);
	zl_claims_leave(&claims, &ends[1].claimant); // gave up waiting
	zl_claims_leave(&claims, &ends[0].claimant); // failed
	ck_assert_str_eq(heard(&ends[1]), "");
	ck_assert_str_eq(heard(&ends[2]), MAKE(A));
	ck_assert(zl_claims_owns(&claims, &ends[2].claimant, A));
	zl_claims_leave(&claims, &ends[2].claimant);
	ck_assert_ptr_null(claims.first);
	for (int i = 0; i < 3; i++)
		close_ends(&ends[i]);
}
END_TEST

START_TEST(nobody_claims_twice)
{
	struct zl_claims claims = {.first = NULL};
	struct zl_error err = ZL_ERROR_INIT;
	struct ends one;
	struct ends two;

	open_ends(&one);
	open_ends(&two);
	ck_assert_int_eq(zl_claims_ask(&claims, &one.claimant, A, &err), 0);
	ck_assert_int_eq(zl_claims_ask(&claims, &one.claimant, A, &err), -1);
	ck_assert_int_eq(err.code, ZL_INVALID_ARGUMENT);
	ck_assert_int_eq(zl_claims_ask(&claims, &two.claimant, A, &err), 0);
	ck_assert_int_eq(zl_claims_ask(&claims, &two.claimant, A, &err), -1);
	ck_assert_int_eq(zl_claims_ask(&claims, &one.claimant, B, &err), 0);
	zl_claims_leave(&claims, &one.claimant);
	ck_assert(zl_claims_owns(&claims, &two.claimant, A));
	zl_claims_leave(&claims, &two.claimant);
	ck_assert_ptr_null(claims.first);
	close_ends(&one);
	close_ends(&two);
}
END_TEST

START_TEST(a_dead_claimant_does_no_harm)
{
	struct zl_claims claims = {.first = NULL};
	struct zl_error err = ZL_ERROR_INIT;
	struct ends one;

	open_ends(&one);
	one.peer = zl_close(one.peer);
	ck_assert_int_eq(zl_claims_ask(&claims, &one.claimant, A, &err), 0);
	zl_claims_leave(&claims, &one.claimant);
	close_ends(&one);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("pull line");
	TCase *tests = tcase_create("all");
	SRunner *runner;
	int failed;

	tcase_add_test(tests, reads_each_event);
	tcase_add_loop_test(tests, refuses_malformed_lines, 0, (int)ZL_ARRAY_SIZE(bad));
	tcase_add_test(tests, an_unknown_code_is_internal);
	tcase_add_test(tests, one_makes_and_others_wait);
	tcase_add_test(tests, the_next_in_line_takes_over);
	tcase_add_test(tests, nobody_claims_twice);
	tcase_add_test(tests, a_dead_claimant_does_no_harm);
	suite_add_tcase(suite, tests);
	runner = srunner_create(suite);
	srunner_run_all(runner, CK_NORMAL);
	failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
