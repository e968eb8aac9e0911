// SPDX-License-Identifier: Apache-2.0
#include <check.h>
#include <stdlib.h>
#include <string.h>

#include "storage-driver/p9/message.h"
#include "storage-driver/p9/ring.h"

enum { ORDER = 1, SIZE = ZL_P9_RING_PAGE };

// The front end's view of the same memory.
struct fixture {
	struct zl_p9_ring_page *page;
	uint8_t *data;
	struct zl_p9_ring ring;
};

static void open_at(struct fixture *f, uint32_t index)
{
	f->page = calloc(1, ZL_P9_RING_PAGE);
	f->data = calloc(2, SIZE);
	f->page->in_cons = f->page->in_prod = f->page->out_cons = f->page->out_prod = index;
	ck_assert_int_eq(zl_p9_ring_init(&f->ring, f->page, f->data, ORDER), 0);
}

static void close_it(struct fixture *f)
{
	free(f->page);
	free(f->data);
}

static void front_put(struct fixture *f, const uint8_t *bytes, size_t length)
{
	for (size_t i = 0; i < length; i++)
		f->data[SIZE + ((f->page->out_prod + i) & (SIZE - 1))] = bytes[i];
	f->page->out_prod += (uint32_t)length;
}

static void front_get(struct fixture *f, uint8_t *bytes, size_t length)
{
	for (size_t i = 0; i < length; i++)
		bytes[i] = f->data[(f->page->in_cons + i) & (SIZE - 1)];
	f->page->in_cons += (uint32_t)length;
}

static void fill(uint8_t *bytes, uint32_t length)
{
	for (uint32_t i = 0; i < length; i++)
		bytes[i] = (uint8_t)(i * 7 + length);
	for (uint32_t i = 0; i < 4; i++)
		bytes[i] = (uint8_t)(length >> (8 * i));
}

// Through all places of the ring, over its end and over the end of the numbers.
START_TEST(messages_go_round_and_round)
{
	struct fixture f;
	uint8_t sent[SIZE];
	uint8_t got[SIZE];

	open_at(&f, 0xffffff00U);
	for (uint32_t i = 0; i < 500; i++) {
		uint32_t length = ZL_P9_HEADER + (i * 37) % (SIZE - ZL_P9_HEADER + 1);

		fill(sent, length);
		front_put(&f, sent, length);
		ck_assert_int_eq(zl_p9_ring_next(&f.ring, SIZE), length);
		zl_p9_ring_copy(&f.ring, got, length);
		zl_p9_ring_taken(&f.ring, length);
		ck_assert_int_eq(memcmp(sent, got, length), 0);
		ck_assert_uint_eq(f.page->out_cons, f.page->out_prod);
		ck_assert_int_eq(zl_p9_ring_next(&f.ring, SIZE), 0);

		ck_assert_int_eq(zl_p9_ring_put(&f.ring, sent, length), 1);
		front_get(&f, got, length);
		ck_assert_int_eq(memcmp(sent, got, length), 0);
		ck_assert_uint_eq(f.page->in_cons, f.page->in_prod);
	}
	close_it(&f);
}
END_TEST

START_TEST(half_a_message_waits)
{
	struct fixture f;
	uint8_t bytes[64];

	open_at(&f, 0);
	fill(bytes, sizeof(bytes));
	front_put(&f, bytes, 6);
	ck_assert_int_eq(zl_p9_ring_next(&f.ring, SIZE), 0);
	front_put(&f, bytes + 6, 10);
	ck_assert_int_eq(zl_p9_ring_next(&f.ring, SIZE), 0);
	front_put(&f, bytes + 16, 48);
	ck_assert_int_eq(zl_p9_ring_next(&f.ring, SIZE), 64);
	close_it(&f);
}
END_TEST

START_TEST(impossible_indexes_and_lengths_break_it)
{
	struct fixture f;
	uint8_t bytes[64];

	open_at(&f, 100);
	f.page->out_prod = 100 + SIZE + 1;
	ck_assert_int_eq(zl_p9_ring_next(&f.ring, SIZE), -1);
	f.page->out_prod = 99;
	ck_assert_int_eq(zl_p9_ring_next(&f.ring, SIZE), -1);
	f.page->out_prod = 100;
	fill(bytes, 6);
	front_put(&f, bytes, 16);
	ck_assert_int_eq(zl_p9_ring_next(&f.ring, SIZE), -1);
	f.page->out_prod = 100;
	fill(bytes, 64);
	front_put(&f, bytes, 64);
	ck_assert_int_eq(zl_p9_ring_next(&f.ring, 63), -1);
	f.page->in_cons = 101;
	ck_assert_int_eq(zl_p9_ring_put(&f.ring, bytes, 64), -1);
	f.page->in_cons = 100;
	ck_assert_int_eq(zl_p9_ring_put(&f.ring, f.data, SIZE + 1), -1);
	ck_assert_int_eq(zl_p9_ring_init(&f.ring, f.page, f.data, ORDER), 0);
	f.page->out_cons = 0;
	f.page->out_prod = SIZE + 1;
	ck_assert_int_eq(zl_p9_ring_init(&f.ring, f.page, f.data, ORDER), -1);
	close_it(&f);
}
END_TEST

// The size that was checked is the size of the copy, though the memory changes in between.
START_TEST(a_size_that_changes_is_not_believed)
{
	struct fixture f;
	uint8_t bytes[64];

	open_at(&f, 0);
	fill(bytes, 64);
	front_put(&f, bytes, 64);
	ck_assert_int_eq(zl_p9_ring_next(&f.ring, SIZE), 64);
	f.data[SIZE] = 0xff;
	zl_p9_ring_copy(&f.ring, bytes, 64);
	ck_assert_uint_eq(zl_p9_size(bytes), 64);
	close_it(&f);
}
END_TEST

START_TEST(a_full_ring_takes_no_more_and_a_new_server_goes_on)
{
	struct fixture f;
	uint8_t bytes[SIZE];

	open_at(&f, 0);
	fill(bytes, SIZE);
	ck_assert_int_eq(zl_p9_ring_put(&f.ring, bytes, SIZE - 10), 1);
	ck_assert_int_eq(zl_p9_ring_put(&f.ring, bytes, 11), 0);
	ck_assert_int_eq(zl_p9_ring_init(&f.ring, f.page, f.data, ORDER), 0);
	ck_assert_int_eq(zl_p9_ring_put(&f.ring, bytes, 11), 0);
	ck_assert_int_eq(zl_p9_ring_put(&f.ring, bytes, 10), 1);
	close_it(&f);
}
END_TEST

START_TEST(the_front_end_has_taken_what_was_put)
{
	struct fixture f;
	uint8_t bytes[SIZE];
	uint32_t mark;

	open_at(&f, UINT32_MAX - 8);
	fill(bytes, SIZE);
	ck_assert(zl_p9_ring_took(&f.ring, f.ring.in_prod));
	ck_assert_int_eq(zl_p9_ring_put(&f.ring, bytes, 20), 1);
	mark = f.ring.in_prod;
	ck_assert(!zl_p9_ring_took(&f.ring, mark));
	ck_assert_int_eq(zl_p9_ring_put(&f.ring, bytes, 7), 1);
	f.page->in_cons += 19;
	ck_assert(!zl_p9_ring_took(&f.ring, mark));
	f.page->in_cons += 1;
	ck_assert(zl_p9_ring_took(&f.ring, mark));
	ck_assert(!zl_p9_ring_took(&f.ring, f.ring.in_prod));
	// A front end that claims to have read what was not written keeps nobody waiting.
	f.page->in_cons += 100;
	ck_assert(zl_p9_ring_took(&f.ring, f.ring.in_prod));
	close_it(&f);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("9pfs ring");
	TCase *tcase = tcase_create("all");
	SRunner *runner = srunner_create(suite);
	int failed;

	tcase_add_test(tcase, messages_go_round_and_round);
	tcase_add_test(tcase, half_a_message_waits);
	tcase_add_test(tcase, impossible_indexes_and_lengths_break_it);
	tcase_add_test(tcase, a_size_that_changes_is_not_believed);
	tcase_add_test(tcase, a_full_ring_takes_no_more_and_a_new_server_goes_on);
	tcase_add_test(tcase, the_front_end_has_taken_what_was_put);
	suite_add_tcase(suite, tcase);
	srunner_run_all(runner, CK_ENV);
	failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
