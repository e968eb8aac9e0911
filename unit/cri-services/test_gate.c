// SPDX-License-Identifier: Apache-2.0
#include "cri-server/sandbox/gate.h"

#include <check.h>
#include <sched.h>
#include <stdlib.h>

// One who enters, notes it, and leaves when told.
struct visitor {
	struct zl_gate *gate;
	bool exclusive;
	struct zl_cancel cancel;
	pthread_t thread;
	int result;                // of the entry
	enum zl_code code;         // why not
	pthread_barrier_t *inside; // waited for when inside; NULL: none
	int *order;                // guarded by the gate when all are exclusive
	int place;                 // in that order
};

static void *visit(void *argument)
{
	struct visitor *v = argument;
	struct zl_error err = ZL_ERROR_INIT;

	v->result = zl_gate_enter(v->gate, v->exclusive, &v->cancel, &err);
	v->code = err.code;
	if (v->result < 0)
		return NULL;
	if (v->order != NULL)
		v->place = ++*v->order;
	if (v->inside != NULL)
		pthread_barrier_wait(v->inside);
	zl_gate_leave(v->gate);
	return NULL;
}

static void start(struct visitor *v, struct zl_gate *gate, bool exclusive)
{
	struct zl_error err = ZL_ERROR_INIT;

	v->gate = gate;
	v->exclusive = exclusive;
	ck_assert_int_eq(zl_cancel_init(&v->cancel, INT64_MAX, NULL, &err), 0);
	ck_assert_int_eq(pthread_create(&v->thread, NULL, visit, v), 0);
}

static void finish(struct visitor *v)
{
	pthread_join(v->thread, NULL);
	zl_cancel_release(&v->cancel);
}

static void *queue_end(struct zl_gate *gate)
{
	void *last;

	pthread_mutex_lock(&gate->lock);
	last = gate->last;
	pthread_mutex_unlock(&gate->lock);
	return last;
}

// Until somebody else is last in the queue than before.
static void wait_until_queued(struct zl_gate *gate, const void *before)
{
	while (queue_end(gate) == before)
		sched_yield();
}

static void enter(struct zl_gate *gate, bool exclusive)
{
	struct zl_error err = ZL_ERROR_INIT;

	ck_assert_int_eq(zl_gate_enter(gate, exclusive, NULL, &err), 0);
}

// Tries with a token that has fired already: enters only where it need not wait.
static int try(struct zl_gate *gate, bool exclusive)
{
	zl_auto(cancel) struct zl_cancel fired = ZL_CANCEL_INIT;
	struct zl_error err = ZL_ERROR_INIT;
	int result;

	ck_assert_int_eq(zl_cancel_init(&fired, INT64_MAX, NULL, &err), 0);
	zl_cancel_fire(&fired);
	result = zl_gate_enter(gate, exclusive, &fired, &err);
	ck_assert_int_eq(err.code, result == 0 ? ZL_OK : ZL_CANCELLED);
	return result;
}

static void ck_empty(struct zl_gate *gate)
{
	ck_assert_uint_eq(gate->inside, 0);
	ck_assert(!gate->exclusive);
	ck_assert_ptr_null(gate->first);
	ck_assert_ptr_null(gate->last);
}

START_TEST(admits_many_or_one)
{
	struct zl_gate gate;

	zl_gate_init(&gate);
	enter(&gate, false);
	ck_assert_int_eq(try(&gate, false), 0);
	ck_assert_int_eq(try(&gate, true), -1);
	zl_gate_leave(&gate);
	ck_assert_int_eq(try(&gate, true), -1);
	zl_gate_leave(&gate);
	enter(&gate, true);
	ck_assert_int_eq(try(&gate, true), -1);
	ck_assert_int_eq(try(&gate, false), -1);
	zl_gate_leave(&gate);
	ck_empty(&gate);
	zl_gate_release(&gate);
}
END_TEST

START_TEST(leaves_at_the_end_of_a_block)
{
	struct zl_gate gate;

	zl_gate_init(&gate);
	{
		zl_auto(gate) struct zl_gate *in = NULL;
		zl_auto(gate) struct zl_gate *never = NULL;

		enter(&gate, true);
		in = &gate;
		ck_assert_ptr_nonnull(in);
		ck_assert_ptr_null(never);
		ck_assert_int_eq(try(&gate, false), -1);
	}
	ck_empty(&gate);
	zl_gate_release(&gate);
}
END_TEST

START_TEST(serves_in_the_order_of_arrival)
{
	enum { COUNT = 12 };
	struct visitor visitors[COUNT] = {0};
	struct zl_gate gate;
	int order = 0;

	zl_gate_init(&gate);
	enter(&gate, true);
	for (int i = 0; i < COUNT; i++) {
		void *before = queue_end(&gate);

		visitors[i].order = &order;
		start(&visitors[i], &gate, true);
		wait_until_queued(&gate, before);
	}
	zl_gate_leave(&gate);
	for (int i = 0; i < COUNT; i++) {
		finish(&visitors[i]);
		ck_assert_int_eq(visitors[i].place, i + 1);
	}
	ck_empty(&gate);
	zl_gate_release(&gate);
}
END_TEST

// Shared, exclusive, shared: the last waits although it would fit.
START_TEST(does_not_overtake_an_exclusive_one)
{
	struct visitor one = {0};
	struct visitor many = {0};
	struct zl_gate gate;
	void *before;

	zl_gate_init(&gate);
	enter(&gate, false);
	start(&one, &gate, true);
	wait_until_queued(&gate, NULL);
	ck_assert_int_eq(try(&gate, false), -1);
	before = queue_end(&gate);
	start(&many, &gate, false);
	wait_until_queued(&gate, before);
	ck_assert_uint_eq(gate.inside, 1);
	zl_gate_leave(&gate);
	finish(&one);
	finish(&many);
	ck_assert_int_eq(one.result, 0);
	ck_assert_int_eq(many.result, 0);
	ck_empty(&gate);
	zl_gate_release(&gate);
}
END_TEST

// They all stand inside at once, or the barrier would not open.
START_TEST(lets_all_shared_ones_in_together)
{
	enum { COUNT = 8 };
	struct visitor visitors[COUNT] = {0};
	pthread_barrier_t inside;
	struct zl_gate gate;

	zl_gate_init(&gate);
	pthread_barrier_init(&inside, NULL, COUNT);
	enter(&gate, true);
	for (int i = 0; i < COUNT; i++) {
		void *before = queue_end(&gate);

		visitors[i].inside = &inside;
		start(&visitors[i], &gate, false);
		wait_until_queued(&gate, before);
	}
	zl_gate_leave(&gate);
	for (int i = 0; i < COUNT; i++)
		finish(&visitors[i]);
	pthread_barrier_destroy(&inside);
	ck_empty(&gate);
	zl_gate_release(&gate);
}
END_TEST

// One that gives up frees those behind it: at the head, in the middle, at the end of the queue.
START_TEST(forgets_who_gives_up)
{
	for (int gone = 0; gone < 3; gone++) {
		struct visitor visitors[3] = {0};
		struct zl_gate gate;

		zl_gate_init(&gate);
		enter(&gate, false);
		for (int i = 0; i < 3; i++) {
			void *before = queue_end(&gate);

			start(&visitors[i], &gate, true);
			wait_until_queued(&gate, before);
		}
		zl_cancel_fire(&visitors[gone].cancel);
		finish(&visitors[gone]);
		ck_assert_int_eq(visitors[gone].result, -1);
		ck_assert_int_eq(visitors[gone].code, ZL_CANCELLED);
		zl_gate_leave(&gate);
		for (int i = 0; i < 3; i++) {
			if (i == gone)
				continue;
			finish(&visitors[i]);
			ck_assert_int_eq(visitors[i].result, 0);
		}
		ck_empty(&gate);
		zl_gate_release(&gate);
	}
}
END_TEST

// The exclusive one at the head gives up: the shared ones behind it enter at once.
START_TEST(lets_in_those_behind_who_gave_up)
{
	struct visitor one = {0};
	struct visitor many = {0};
	struct zl_gate gate;
	void *before;

	zl_gate_init(&gate);
	enter(&gate, false);
	start(&one, &gate, true);
	wait_until_queued(&gate, NULL);
	before = queue_end(&gate);
	start(&many, &gate, false);
	wait_until_queued(&gate, before);
	zl_cancel_fire(&one.cancel);
	finish(&one);
	finish(&many); // while we are still inside
	ck_assert_int_eq(one.result, -1);
	ck_assert_int_eq(many.result, 0);
	zl_gate_leave(&gate);
	ck_empty(&gate);
	zl_gate_release(&gate);
}
END_TEST

START_TEST(gives_up_at_its_deadline)
{
	zl_auto(cancel) struct zl_cancel past = ZL_CANCEL_INIT;
	struct zl_error err = ZL_ERROR_INIT;
	struct zl_gate gate;

	zl_gate_init(&gate);
	enter(&gate, true);
	ck_assert_int_eq(zl_cancel_init(&past, 0, NULL, &err), 0);
	ck_assert_int_eq(zl_gate_enter(&gate, false, &past, &err), -1);
	ck_assert_int_eq(err.code, ZL_DEADLINE_EXCEEDED);
	zl_gate_leave(&gate);
	ck_empty(&gate);
	zl_gate_release(&gate);
}
END_TEST

// Admission and cancelling at the same instant, many times: whoever wins, nobody stays inside.
START_TEST(survives_a_race_of_entry_and_cancel)
{
	struct zl_gate gate;
	int entered = 0;

	zl_gate_init(&gate);
	for (int i = 0; i < 500; i++) {
		struct visitor visitor = {0};

		enter(&gate, true);
		start(&visitor, &gate, i % 2 == 0);
		wait_until_queued(&gate, NULL);
		if (i % 3 == 0) {
			zl_cancel_fire(&visitor.cancel);
			zl_gate_leave(&gate);
		} else {
			zl_gate_leave(&gate);
			zl_cancel_fire(&visitor.cancel);
		}
		finish(&visitor);
		entered += visitor.result == 0;
		ck_assert(visitor.result == 0 || visitor.code == ZL_CANCELLED);
		ck_empty(&gate);
	}
	ck_assert_int_gt(entered, 0);
	zl_gate_release(&gate);
}
END_TEST

struct crowd {
	struct zl_gate gate;
	int value;  // written by exclusive ones only
	int copies; // of value, in different places, always equal
};

static void *mill_about(void *argument)
{
	struct crowd *crowd = argument;

	for (int i = 0; i < 400; i++) {
		struct zl_error err = ZL_ERROR_INIT;
		bool exclusive = i % 4 == 0;

		if (zl_gate_enter(&crowd->gate, exclusive, NULL, &err) < 0)
			abort();
		if (exclusive) {
			crowd->value++;
			sched_yield();
			crowd->copies++;
		} else if (crowd->value != crowd->copies) {
			abort();
		}
		zl_gate_leave(&crowd->gate);
	}
	return NULL;
}

// Under the thread sanitizer this also shows that entering sees what was written by who left.
START_TEST(guards_data_in_a_crowd)
{
	enum { THREADS = 6 };
	struct crowd crowd = {0};
	pthread_t threads[THREADS];

	zl_gate_init(&crowd.gate);
	for (int i = 0; i < THREADS; i++)
		ck_assert_int_eq(pthread_create(&threads[i], NULL, mill_about, &crowd), 0);
	for (int i = 0; i < THREADS; i++)
		pthread_join(threads[i], NULL);
	ck_assert_int_eq(crowd.value, THREADS * 100);
	ck_assert_int_eq(crowd.copies, THREADS * 100);
	ck_empty(&crowd.gate);
	zl_gate_release(&crowd.gate);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("gate");
	TCase *tcase = tcase_create("gate");
	SRunner *runner = srunner_create(suite);
	int failed;

	tcase_set_timeout(tcase, 60);
	tcase_add_test(tcase, admits_many_or_one);
	tcase_add_test(tcase, leaves_at_the_end_of_a_block);
	tcase_add_test(tcase, serves_in_the_order_of_arrival);
	tcase_add_test(tcase, does_not_overtake_an_exclusive_one);
	tcase_add_test(tcase, lets_all_shared_ones_in_together);
	tcase_add_test(tcase, forgets_who_gives_up);
	tcase_add_test(tcase, lets_in_those_behind_who_gave_up);
	tcase_add_test(tcase, gives_up_at_its_deadline);
	tcase_add_test(tcase, survives_a_race_of_entry_and_cancel);
	tcase_add_test(tcase, guards_data_in_a_crowd);
	suite_add_tcase(suite, tcase);
	srunner_run_all(runner, CK_ENV);
	failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
