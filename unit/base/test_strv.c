// SPDX-License-Identifier: Apache-2.0
#include "unit/base/suites.h"

#include "base/strv.h"

START_TEST(starts_from_nothing)
{
	zl_auto(strv) char **strv = NULL;
	struct zl_error err = ZL_ERROR_INIT;

	ck_assert_uint_eq(zl_strv_length(NULL), 0);
	zl_strv_free(NULL);
	ck_ok(zl_strv_append(&strv, "a", &err), err);
	ck_ok(zl_strv_append_format(&strv, &err, "%s=%d", "b", 2), err);
	ck_ok(zl_strv_append(&strv, "", &err), err);
	ck_assert_uint_eq(zl_strv_length(strv), 3);
	ck_assert_str_eq(strv[0], "a");
	ck_assert_str_eq(strv[1], "b=2");
	ck_assert_str_eq(strv[2], "");
	ck_assert_ptr_null(strv[3]);
}
END_TEST

START_TEST(owns_its_strings)
{
	zl_auto(strv) char **strv = NULL;
	struct zl_error err = ZL_ERROR_INIT;
	char text[] = "before";

	ck_ok(zl_strv_append(&strv, text, &err), err);
	text[0] = 'X';
	ck_assert_str_eq(strv[0], "before");
}
END_TEST

START_TEST(copies_counted_arrays)
{
	char one[] = "1";
	char two[] = "2";
	char *const source[] = {one, two};
	struct zl_error err = ZL_ERROR_INIT;
	zl_auto(strv) char **copy = zl_strv_copy(source, 2, &err);
	zl_auto(strv) char **none = zl_strv_copy(NULL, 0, &err);

	two[0] = 'X';
	ck_assert_uint_eq(zl_strv_length(copy), 2);
	ck_assert_str_eq(copy[1], "2");
	ck_assert_ptr_nonnull(none);
	ck_assert_ptr_null(none[0]);
}
END_TEST

START_TEST(formats_and_copies_text)
{
	struct zl_error err = ZL_ERROR_INIT;
	zl_auto(free) char *text = zl_format(&err, "%s-%d", "a", 1);
	zl_auto(free) char *copy = zl_strdup(text, &err);

	ck_assert_str_eq(text, "a-1");
	ck_assert_str_eq(copy, "a-1");
	ck_assert_ptr_ne(copy, text);
	ck_assert_ptr_null(zl_strdup(NULL, &err));
	ck_assert_int_eq(err.code, ZL_OK);
}
END_TEST

SUITE(strv, starts_from_nothing, owns_its_strings, copies_counted_arrays, formats_and_copies_text)
