// SPDX-License-Identifier: Apache-2.0
#include "unit/base/suites.h"

#include <errno.h>
#include <stdint.h>
#include <stdlib.h>

START_TEST(sets_code_and_text)
{
	struct zl_error err = {.code = ZL_ABORTED, .errnum = 7};

	ck_assert_int_eq(zl_error_set(&err, ZL_NOT_FOUND, "image %s: %d", "a", 3), -1);
	ck_assert_int_eq(err.code, ZL_NOT_FOUND);
	ck_assert_int_eq(err.errnum, 0);
	ck_assert_str_eq(err.message, "image a: 3");
}
END_TEST

START_TEST(accepts_that_nobody_cares)
{
	ck_assert_int_eq(zl_error_set(NULL, ZL_INTERNAL, "x"), -1);
	ck_assert_int_eq(zl_error_errno(NULL, ENOENT, "x"), -1);
	ck_assert_int_eq(zl_error_wrap(NULL, "x"), -1);
	ck_assert_int_eq(zl_error_nomem(NULL), -1);
	zl_error_clear(NULL);
}
END_TEST

static const struct {
	int errnum;
	enum zl_code code;
} errno_cases[] = {
        {ENOENT, ZL_NOT_FOUND},
        {EACCES, ZL_PERMISSION_DENIED},
        {EPERM, ZL_PERMISSION_DENIED},
        {EEXIST, ZL_ALREADY_EXISTS},
        {ENOSPC, ZL_RESOURCE_EXHAUSTED},
        {ENOMEM, ZL_RESOURCE_EXHAUSTED},
        {EDQUOT, ZL_RESOURCE_EXHAUSTED},
        {EMFILE, ZL_RESOURCE_EXHAUSTED},
        {ENFILE, ZL_RESOURCE_EXHAUSTED},
        {ETIMEDOUT, ZL_DEADLINE_EXCEEDED},
        {ECANCELED, ZL_CANCELLED},
        {EIO, ZL_INTERNAL},
        {0, ZL_INTERNAL},
        {99999, ZL_INTERNAL},
};

START_TEST(chooses_the_code_by_errno)
{
	for (size_t i = 0; i < sizeof(errno_cases) / sizeof(errno_cases[0]); i++) {
		struct zl_error err = ZL_ERROR_INIT;

		ck_assert_int_eq(zl_error_errno(&err, errno_cases[i].errnum, "open %s", "/x"), -1);
		ck_assert_msg(err.code == errno_cases[i].code, "errno %d gives %s",
		        errno_cases[i].errnum, zl_code_name(err.code));
		ck_assert_int_eq(err.errnum, errno_cases[i].errnum);
		ck_assert(strncmp(err.message, "open /x: ", 9) == 0);
		ck_assert(strlen(err.message) > 9);
	}
}
END_TEST

START_TEST(wraps_on_the_way_up)
{
	struct zl_error err = ZL_ERROR_INIT;

	zl_error_errno(&err, ENOSPC, "write %s", "blob");
	zl_error_wrap(&err, "layer %d", 2);
	ck_assert_int_eq(zl_error_wrap(&err, "image %s", "busybox"), -1);
	ck_assert_int_eq(err.code, ZL_RESOURCE_EXHAUSTED);
	ck_assert_int_eq(err.errnum, ENOSPC);
	ck_assert_str_eq(
	        err.message, "image busybox: layer 2: write blob: No space left on device");
}
END_TEST

START_TEST(clears)
{
	struct zl_error err = ZL_ERROR_INIT;

	zl_error_errno(&err, EIO, "x");
	zl_error_clear(&err);
	ck_assert_int_eq(err.code, ZL_OK);
	ck_assert_int_eq(err.errnum, 0);
	ck_assert_str_eq(err.message, "");
}
END_TEST

START_TEST(cuts_what_is_too_long)
{
	struct {
		struct zl_error err;
		unsigned char guard[16];
	} box = {.err = ZL_ERROR_INIT};
	size_t size = sizeof(box.err.message);
	char *text = calloc(1, 4 * size);

	ck_assert_ptr_nonnull(text);
	memset(box.guard, 0xa5, sizeof(box.guard));
	for (size_t length = size - 3; length < size + 3; length++) {
		memset(text, 'x', length);
		text[length] = '\0';
		zl_error_set(&box.err, ZL_INTERNAL, "%s", text);
		ck_assert_uint_eq(strlen(box.err.message), length < size ? length : size - 1);
		zl_error_wrap(&box.err, "outer");
		ck_assert(strncmp(box.err.message, "outer: xx", 9) == 0);
		ck_assert_uint_lt(strlen(box.err.message), size);
		zl_error_errno(&box.err, EIO, "%s", text);
		ck_assert_uint_lt(strlen(box.err.message), size);
	}
	for (size_t i = 0; i < sizeof(box.guard); i++)
		ck_assert_uint_eq(box.guard[i], 0xa5);
	free(text);
}
END_TEST

// Characters of two, three and four bytes at each distance from the end.
START_TEST(cuts_between_characters)
{
	static const char *const characters[] = {"é", "€", "😀"};

	for (size_t c = 0; c < 3; c++) {
		size_t width = strlen(characters[c]);

		for (size_t shift = 0; shift < 4; shift++) {
			struct zl_error err = ZL_ERROR_INIT;
			char text[3000] = {0};
			size_t fit = (sizeof(err.message) - 1 - shift) / width;

			memset(text, 'x', shift);
			while (strlen(text) < 2900)
				strcat(text, characters[c]);
			zl_error_set(&err, ZL_INTERNAL, "%s", text);
			ck_assert_uint_eq(strlen(err.message), shift + fit * width);
			zl_error_clear(&err);
			zl_error_set(&err, ZL_INTERNAL, "%s", text + shift);
			zl_error_wrap(&err, "%.*s", (int)shift, "wrap");
			fit = (sizeof(err.message) - 1 - shift - 2) / width;
			ck_assert_uint_eq(strlen(err.message), shift + 2 + fit * width);
		}
	}
}
END_TEST

// Bytes that are no UTF-8 at all must not send the cut astray.
START_TEST(cuts_garbage)
{
	for (int byte = 0x80; byte <= 0xff; byte++) {
		struct zl_error err = ZL_ERROR_INIT;
		char text[1200];

		memset(text, byte, sizeof(text) - 1);
		text[sizeof(text) - 1] = '\0';
		zl_error_set(&err, ZL_INTERNAL, "%s", text);
		ck_assert_uint_ge(strlen(err.message), sizeof(err.message) - 5);
	}
}
END_TEST

START_TEST(is_one_line)
{
	struct zl_error err = ZL_ERROR_INIT;

	zl_error_set(&err, ZL_INTERNAL, "a\nb\tc\x1b[31m\x7f");
	ck_assert_str_eq(err.message, "a b c [31m ");
	zl_error_wrap(&err, "x\ry");
	ck_assert_str_eq(err.message, "x y: a b c [31m ");
}
END_TEST

START_TEST(names_codes_as_grpc_does)
{
	ck_assert_str_eq(zl_code_name(ZL_OK), "OK");
	ck_assert_str_eq(zl_code_name(ZL_FAILED_PRECONDITION), "FAILED_PRECONDITION");
	ck_assert_str_eq(zl_code_name(ZL_UNAUTHENTICATED), "UNAUTHENTICATED");
	ck_assert_str_eq(zl_code_name((enum zl_code)17), "UNKNOWN");
	ck_assert_str_eq(zl_code_name((enum zl_code) - 1), "UNKNOWN");
	for (int code = ZL_OK; code <= ZL_UNAUTHENTICATED; code++)
		ck_assert_ptr_nonnull(zl_code_name((enum zl_code)code));
}
END_TEST

SUITE(error, sets_code_and_text, accepts_that_nobody_cares, chooses_the_code_by_errno,
        wraps_on_the_way_up, clears, cuts_what_is_too_long, cuts_between_characters, cuts_garbage,
        is_one_line, names_codes_as_grpc_does)
