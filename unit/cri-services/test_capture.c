// SPDX-License-Identifier: Apache-2.0
#include "cri-server/container/capture.h"

#include <check.h>
#include <stdlib.h>
#include <string.h>

enum { PIECE = 100000 };

static struct zl_capture_pool pool;

static void pour(struct zl_capture *capture, size_t output, size_t bytes)
{
	static uint8_t piece[PIECE];

	memset(piece, 'a' + (int)output, sizeof(piece));
	for (; bytes > PIECE; bytes -= PIECE)
		zl_capture_add(capture, output, piece, PIECE);
	zl_capture_add(capture, output, piece, bytes);
}

static struct zl_capture open_capture(void)
{
	return (struct zl_capture){.pool = &pool};
}

START_TEST(little_output_is_kept_as_it_is)
{
	struct zl_capture capture = open_capture();

	zl_capture_add(&capture, 0, "out", 3);
	zl_capture_add(&capture, 1, "error", 5);
	zl_capture_add(&capture, 0, "put", 3);
	ck_assert_str_eq(zl_buffer_string(&capture.output[0]), "output");
	ck_assert_str_eq(zl_buffer_string(&capture.output[1]), "error");
	ck_assert_uint_eq(atomic_load(&pool.used), 0);
	zl_capture_release(&capture);
}
END_TEST

START_TEST(one_output_is_cut_and_the_other_has_room)
{
	struct zl_capture capture = open_capture();

	pour(&capture, 0, (size_t)100 << 20);
	ck_assert_uint_eq(capture.output[0].length, ZL_CAPTURE_ONE_MAX);
	pour(&capture, 1, (size_t)100 << 20);
	ck_assert_uint_eq(capture.output[0].length + capture.output[1].length, ZL_CAPTURE_BOTH_MAX);
	ck_assert_uint_eq(capture.output[1].data[0], 'b');
	zl_capture_release(&capture);
	ck_assert_uint_eq(atomic_load(&pool.used), 0);
}
END_TEST

START_TEST(many_together_have_a_bound_and_each_its_own_part)
{
	enum { MANY = 20 };
	struct zl_capture captures[MANY];
	size_t all = 0;

	for (size_t i = 0; i < MANY; i++) {
		captures[i] = open_capture();
		pour(&captures[i], 0, (size_t)20 << 20);
		ck_assert_uint_ge(captures[i].output[0].length, ZL_CAPTURE_OWN);
		all += captures[i].output[0].length;
	}
	ck_assert_uint_eq(captures[0].output[0].length, ZL_CAPTURE_ONE_MAX);
	ck_assert_uint_eq(captures[MANY - 1].output[0].length, ZL_CAPTURE_OWN);
	ck_assert_uint_le(all, ZL_CAPTURE_POOL + (size_t)MANY * ZL_CAPTURE_OWN);
	ck_assert_uint_le(atomic_load(&pool.used), ZL_CAPTURE_POOL);
	// What one gives back is there for the next.
	zl_capture_release(&captures[0]);
	captures[0] = open_capture();
	pour(&captures[0], 1, (size_t)20 << 20);
	ck_assert_uint_eq(captures[0].output[1].length, ZL_CAPTURE_ONE_MAX);
	for (size_t i = 0; i < MANY; i++)
		zl_capture_release(&captures[i]);
	ck_assert_uint_eq(atomic_load(&pool.used), 0);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("capture");
	TCase *tcase = tcase_create("capture");
	SRunner *runner = srunner_create(suite);
	int failed;

	tcase_add_test(tcase, little_output_is_kept_as_it_is);
	tcase_add_test(tcase, one_output_is_cut_and_the_other_has_room);
	tcase_add_test(tcase, many_together_have_a_bound_and_each_its_own_part);
	suite_add_tcase(suite, tcase);
	srunner_run_all(runner, CK_NORMAL);
	failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
