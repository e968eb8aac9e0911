// SPDX-License-Identifier: Apache-2.0
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "cri-server/stream/token.h"
#include "unit/stream/tests.h"

static int freed;

static void note_free(struct zl_stream_request *request)
{
	freed++;
	free(request);
}

static struct zl_stream_request *request_new(void)
{
	struct zl_stream_request *request = calloc(1, sizeof(*request));

	ck_assert_ptr_nonnull(request);
	request->free = note_free;
	return request;
}

static struct zl_token_cache *cache;

static void setup(void)
{
	freed = 0;
	cache = zl_token_cache_new(NULL);
	ck_assert_ptr_nonnull(cache);
}

static void teardown(void)
{
	zl_token_cache_free(cache);
}

START_TEST(a_token_is_used_once)
{
	struct zl_stream_request *request = request_new();
	char token[ZL_TOKEN_SIZE];
	char other[ZL_TOKEN_SIZE];

	ck_assert_int_eq(zl_token_insert(cache, request, 5, token, NULL), 0);
	ck_assert_uint_eq(strlen(token), ZL_TOKEN_SIZE - 1);
	ck_assert_int_eq(zl_token_insert(cache, request_new(), 5, other, NULL), 0);
	ck_assert_str_ne(token, other);
	ck_assert_ptr_eq(zl_token_take(cache, token, 5), request);
	ck_assert_ptr_null(zl_token_take(cache, token, 5));
	note_free(request);
}
END_TEST

START_TEST(a_token_lasts_a_minute)
{
	int64_t minute = ZL_TOKEN_SECONDS * ZL_NS_PER_SECOND;
	struct zl_stream_request *request = request_new();
	char token[ZL_TOKEN_SIZE];

	ck_assert_int_eq(zl_token_insert(cache, request, 100, token, NULL), 0);
	ck_assert_ptr_eq(zl_token_take(cache, token, 100 + minute - 1), request);
	ck_assert_int_eq(zl_token_insert(cache, request, 100, token, NULL), 0);
	ck_assert_ptr_null(zl_token_take(cache, token, 100 + minute));
	ck_assert_int_eq(freed, 1);
}
END_TEST

START_TEST(what_is_no_token_is_refused)
{
	static const char *const bad[] = {"", "0", "00000000000000000000000000000000",
	        "0000000000000000000000000000000", "000000000000000000000000000000000",
	        "0000000000000000000000000000000g", "0000000000000000000000000000000A"};
	struct zl_stream_request *request = request_new();
	char token[ZL_TOKEN_SIZE];

	ck_assert_int_eq(zl_token_insert(cache, request, 0, token, NULL), 0);
	for (size_t i = 0; i < ZL_ARRAY_SIZE(bad); i++)
		ck_assert_ptr_null(zl_token_take(cache, bad[i], 0));
	// One bit off.
	token[ZL_TOKEN_SIZE - 2] = token[ZL_TOKEN_SIZE - 2] == '0' ? '1' : '0';
	ck_assert_ptr_null(zl_token_take(cache, token, 0));
}
END_TEST

START_TEST(the_cache_is_bounded)
{
	struct zl_error err = ZL_ERROR_INIT;
	char token[ZL_TOKEN_SIZE];

	for (int i = 0; i < ZL_TOKENS_MAX; i++)
		ck_assert_int_eq(zl_token_insert(cache, request_new(), i, token, NULL), 0);
	ck_assert_int_eq(zl_token_insert(cache, request_new(), 0, token, &err), -1);
	ck_assert_int_eq(err.code, ZL_RESOURCE_EXHAUSTED);
	ck_assert_int_eq(freed, 1); // the one that was refused
	// The first is over by now and makes room.
	ck_assert_int_eq(zl_token_insert(cache, request_new(), ZL_TOKEN_SECONDS * ZL_NS_PER_SECOND,
	                         token, NULL),
	        0);
	ck_assert_int_eq(freed, 2);
}
END_TEST

START_TEST(what_is_left_is_freed)
{
	char token[ZL_TOKEN_SIZE];

	for (int i = 0; i < 3; i++)
		ck_assert_int_eq(zl_token_insert(cache, request_new(), 0, token, NULL), 0);
	zl_token_cache_free(cache);
	ck_assert_int_eq(freed, 3);
	cache = zl_token_cache_new(NULL);
}
END_TEST

Suite *token_suite(void)
{
	Suite *suite = suite_create("tokens");
	TCase *tcase = tcase_create("tokens");

	tcase_add_checked_fixture(tcase, setup, teardown);
	tcase_add_test(tcase, a_token_is_used_once);
	tcase_add_test(tcase, a_token_lasts_a_minute);
	tcase_add_test(tcase, what_is_no_token_is_refused);
	tcase_add_test(tcase, the_cache_is_bounded);
	tcase_add_test(tcase, what_is_left_is_freed);
	suite_add_tcase(suite, tcase);
	return suite;
}
