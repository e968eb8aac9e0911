// SPDX-License-Identifier: Apache-2.0
#include <check.h>
#include <stdlib.h>
#include <string.h>

#include "storage-driver/p9/hold.h"
#include "storage-driver/p9/message.h"

enum { RINGS = 2, LENGTH = 11 };

// Two rings whose indexes begin shortly before they go round, and nothing in them but counts.
struct fixture {
	struct zl_p9_ring_page pages[RINGS];
	struct zl_p9_ring rings[RINGS];
	struct zl_p9_hold hold;
};

static struct fixture *make(void)
{
	struct fixture *f = calloc(1, sizeof(*f));

	for (size_t i = 0; i < RINGS; i++) {
		f->pages[i].out_cons = f->pages[i].out_prod = UINT32_MAX - 5;
		f->rings[i] = (struct zl_p9_ring){
		        .page = &f->pages[i], .size = 4096, .out_cons = UINT32_MAX - 5};
	}
	return f;
}

static void discard(struct fixture *f)
{
	zl_p9_hold_clear(&f->hold);
	free(f);
}

static void put(struct fixture *f, size_t ring)
{
	f->pages[ring].out_prod += LENGTH;
}

// Takes a message of a type off a ring; whether it is held.
static bool take(struct fixture *f, unsigned ring, uint8_t type, uint8_t tag)
{
	uint8_t *bytes = calloc(1, LENGTH);
	bool held;

	bytes[0] = LENGTH;
	bytes[4] = type;
	bytes[5] = tag;
	zl_p9_ring_taken(&f->rings[ring], LENGTH);
	held = zl_p9_hold_add(&f->hold, f->rings, RINGS, ring, bytes, LENGTH);
	if (!held)
		free(bytes);
	return held;
}

// The tag of the next that is due; -1: none is.
static int next(struct fixture *f)
{
	struct zl_p9_held held;
	int tag;

	if (!zl_p9_hold_next(&f->hold, f->rings, RINGS, &held))
		return -1;
	tag = held.bytes[5];
	free(held.bytes);
	return tag;
}

START_TEST(a_flush_waits_for_what_was_queued_on_other_rings)
{
	struct fixture *f = make();

	put(f, 0);
	put(f, 0);
	put(f, 1);
	ck_assert(take(f, 1, ZL_P9_TFLUSH, 7));
	ck_assert_int_eq(next(f), -1);
	ck_assert(!take(f, 0, ZL_P9_TREAD, 1));
	ck_assert_int_eq(next(f), -1);
	ck_assert(!take(f, 0, ZL_P9_TREAD, 2));
	ck_assert_int_eq(next(f), 7);
	ck_assert_int_eq(next(f), -1);
	discard(f);
}
END_TEST

START_TEST(what_comes_later_does_not_hold_it_up)
{
	struct fixture *f = make();

	put(f, 1);
	ck_assert(take(f, 1, ZL_P9_TFLUSH, 7));
	put(f, 0);
	put(f, 1);
	ck_assert_int_eq(next(f), 7);
	discard(f);
}
END_TEST

START_TEST(flushes_stay_in_order)
{
	struct fixture *f = make();

	put(f, 0);
	put(f, 1);
	put(f, 1);
	ck_assert(take(f, 1, ZL_P9_TFLUSH, 1));
	ck_assert(take(f, 1, ZL_P9_TFLUSH, 2));
	ck_assert_int_eq(next(f), -1);
	ck_assert(take(f, 0, ZL_P9_TFLUSH, 3));
	ck_assert_int_eq(next(f), 1);
	ck_assert_int_eq(next(f), 2);
	ck_assert_int_eq(next(f), 3);
	discard(f);
}
END_TEST

// A hostile zone's flood is not kept: its own order suffers, nothing else.
START_TEST(as_many_as_there_is_room_for)
{
	struct fixture *f = make();

	put(f, 0);
	for (int i = 0; i < ZL_P9_HOLD_MAX; i++) {
		put(f, 1);
		ck_assert(take(f, 1, ZL_P9_TFLUSH, 1));
	}
	put(f, 1);
	ck_assert(!take(f, 1, ZL_P9_TFLUSH, 2));
	ck_assert_int_eq(next(f), -1);
	discard(f);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("p9_hold");
	TCase *group = tcase_create("hold");
	SRunner *runner;
	int failed;

	tcase_add_test(group, a_flush_waits_for_what_was_queued_on_other_rings);
	tcase_add_test(group, what_comes_later_does_not_hold_it_up);
	tcase_add_test(group, flushes_stay_in_order);
	tcase_add_test(group, as_many_as_there_is_room_for);
	suite_add_tcase(suite, group);
	runner = srunner_create(suite);
	srunner_run_all(runner, CK_NORMAL);
	failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return failed == 0 ? 0 : 1;
}
