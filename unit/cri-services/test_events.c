// SPDX-License-Identifier: Apache-2.0
#include "cri-server/container/events.h"

#include <check.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

static struct zl_events *events;

static void make_events(void)
{
	struct zl_error err = ZL_ERROR_INIT;

	events = zl_events_new(&err);
	ck_assert_ptr_nonnull(events);
}

static void free_events(void)
{
	zl_events_free(events);
}

static struct zl_event_reader *subscribe(void)
{
	struct zl_error err = ZL_ERROR_INIT;
	struct zl_event_reader *reader = zl_events_subscribe(events, &err);

	ck_assert_msg(reader != NULL, "%s", err.message);
	return reader;
}

static void publish(unsigned number)
{
	zl_events_publish(events, &number, sizeof(number));
}

static unsigned next(struct zl_event_reader *reader)
{
	zl_auto(buffer) struct zl_buffer out = ZL_BUFFER_INIT;
	struct zl_error err = ZL_ERROR_INIT;
	unsigned number;

	ck_assert_int_eq(zl_events_next(reader, &out, NULL, &err), 0);
	ck_assert_uint_eq(out.length, sizeof(number));
	memcpy(&number, out.data, sizeof(number));
	return number;
}

static void ck_nothing_left(struct zl_event_reader *reader)
{
	zl_auto(buffer) struct zl_buffer out = ZL_BUFFER_INIT;
	zl_auto(cancel) struct zl_cancel fired = ZL_CANCEL_INIT;
	struct zl_error err = ZL_ERROR_INIT;

	ck_assert_int_eq(zl_cancel_init(&fired, INT64_MAX, NULL, &err), 0);
	zl_cancel_fire(&fired);
	ck_assert_int_eq(zl_events_next(reader, &out, &fired, &err), -1);
	ck_assert_int_eq(err.code, ZL_CANCELLED);
}

START_TEST(every_reader_gets_every_event)
{
	zl_auto(event_reader) struct zl_event_reader *one = subscribe();
	zl_auto(event_reader) struct zl_event_reader *two = NULL;

	publish(1);
	two = subscribe();
	publish(2);
	publish(3);
	ck_assert_uint_eq(next(one), 1);
	ck_assert_uint_eq(next(one), 2);
	ck_assert_uint_eq(next(two), 2);
	ck_assert_uint_eq(next(one), 3);
	ck_assert_uint_eq(next(two), 3);
	ck_nothing_left(one);
	ck_nothing_left(two);
}
END_TEST

START_TEST(nobody_need_listen)
{
	publish(1);
	zl_events_unsubscribe(NULL);
	zl_events_free(NULL);
}
END_TEST

START_TEST(carries_bytes_as_they_are)
{
	zl_auto(event_reader) struct zl_event_reader *reader = subscribe();
	zl_auto(buffer) struct zl_buffer out = ZL_BUFFER_INIT;
	struct zl_error err = ZL_ERROR_INIT;

	zl_events_publish(events, "a\0b", 3);
	zl_events_publish(events, NULL, 0);
	ck_assert_int_eq(zl_events_next(reader, &out, NULL, &err), 0);
	ck_assert_uint_eq(out.length, 3);
	ck_assert_mem_eq(out.data, "a\0b", 3);
	ck_assert_int_eq(zl_events_next(reader, &out, NULL, &err), 0);
	ck_assert_uint_eq(out.length, 0);
}
END_TEST

static void ck_lost(struct zl_event_reader *reader)
{
	zl_auto(buffer) struct zl_buffer out = ZL_BUFFER_INIT;
	struct zl_error err = ZL_ERROR_INIT;

	ck_assert_int_eq(zl_events_next(reader, &out, NULL, &err), -1);
	ck_assert_int_eq(err.code, ZL_RESOURCE_EXHAUSTED);
}

// It is told, stays told, and costs the others nothing.
START_TEST(a_slow_reader_loses_its_stream)
{
	zl_auto(event_reader) struct zl_event_reader *slow = subscribe();
	zl_auto(event_reader) struct zl_event_reader *quick = subscribe();

	for (unsigned i = 0; i <= ZL_EVENTS_QUEUE; i++) {
		publish(i);
		ck_assert_uint_eq(next(quick), i);
	}
	ck_lost(slow);
	publish(7777);
	ck_lost(slow);
	ck_assert_uint_eq(next(quick), 7777);
	ck_nothing_left(quick);
}
END_TEST

START_TEST(a_full_queue_is_not_yet_too_full)
{
	zl_auto(event_reader) struct zl_event_reader *reader = subscribe();

	for (unsigned i = 0; i < ZL_EVENTS_QUEUE; i++)
		publish(i);
	for (unsigned i = 0; i < ZL_EVENTS_QUEUE; i++)
		ck_assert_uint_eq(next(reader), i);
	ck_nothing_left(reader);
}
END_TEST

// Unread events go with their reader (the address sanitizer would tell).
START_TEST(a_reader_may_leave_events_behind)
{
	struct zl_event_reader *first = subscribe();
	struct zl_event_reader *middle = subscribe();
	struct zl_event_reader *last = subscribe();

	publish(1);
	zl_events_unsubscribe(middle);
	publish(2);
	zl_events_unsubscribe(last);
	publish(3);
	ck_assert_uint_eq(next(first), 1);
	zl_events_unsubscribe(first);
}
END_TEST

static void *read_until_zero(void *reader)
{
	unsigned before = 0;
	unsigned number;

	while ((number = next(reader)) != 0) {
		if (number != before + 1)
			abort();
		before = number;
	}
	return NULL;
}

START_TEST(wakes_readers_that_wait)
{
	struct zl_event_reader *readers[4];
	pthread_t threads[4];

	for (int i = 0; i < 4; i++) {
		readers[i] = subscribe();
		ck_assert_int_eq(pthread_create(&threads[i], NULL, read_until_zero, readers[i]), 0);
	}
	for (unsigned i = 1; i < ZL_EVENTS_QUEUE; i++)
		publish(i);
	publish(0);
	for (int i = 0; i < 4; i++) {
		pthread_join(threads[i], NULL);
		zl_events_unsubscribe(readers[i]);
	}
}
END_TEST

START_TEST(readers_past_the_limit_are_refused)
{
	struct zl_event_reader *readers[ZL_EVENTS_READERS];
	struct zl_error err = ZL_ERROR_INIT;

	for (size_t i = 0; i < ZL_EVENTS_READERS; i++)
		readers[i] = subscribe();
	ck_assert_ptr_null(zl_events_subscribe(events, &err));
	ck_assert_int_eq(err.code, ZL_RESOURCE_EXHAUSTED);
	zl_events_unsubscribe(readers[0]);
	readers[0] = subscribe();
	publish(7);
	for (size_t i = 0; i < ZL_EVENTS_READERS; i++) {
		ck_assert_uint_eq(next(readers[i]), 7);
		zl_events_unsubscribe(readers[i]);
	}
}
END_TEST

static void *come_and_go(void *unused)
{
	(void)unused;
	for (int i = 0; i < 500; i++) {
		struct zl_error err = ZL_ERROR_INIT;
		struct zl_event_reader *reader = zl_events_subscribe(events, &err);

		if (reader == NULL)
			abort();
		zl_events_unsubscribe(reader);
	}
	return NULL;
}

static void *publish_many(void *unused)
{
	for (unsigned i = 1; i < 3000; i++)
		publish(i);
	return unused;
}

START_TEST(readers_come_and_go_while_others_publish)
{
	pthread_t publishers[2];
	pthread_t visitors[3];

	for (int i = 0; i < 2; i++)
		ck_assert_int_eq(pthread_create(&publishers[i], NULL, publish_many, NULL), 0);
	for (int i = 0; i < 3; i++)
		ck_assert_int_eq(pthread_create(&visitors[i], NULL, come_and_go, NULL), 0);
	for (int i = 0; i < 2; i++)
		pthread_join(publishers[i], NULL);
	for (int i = 0; i < 3; i++)
		pthread_join(visitors[i], NULL);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("events");
	TCase *tcase = tcase_create("events");
	SRunner *runner = srunner_create(suite);
	int failed;

	tcase_set_timeout(tcase, 60);
	tcase_add_checked_fixture(tcase, make_events, free_events);
	tcase_add_test(tcase, every_reader_gets_every_event);
	tcase_add_test(tcase, nobody_need_listen);
	tcase_add_test(tcase, carries_bytes_as_they_are);
	tcase_add_test(tcase, a_slow_reader_loses_its_stream);
	tcase_add_test(tcase, a_full_queue_is_not_yet_too_full);
	tcase_add_test(tcase, a_reader_may_leave_events_behind);
	tcase_add_test(tcase, wakes_readers_that_wait);
	tcase_add_test(tcase, readers_past_the_limit_are_refused);
	tcase_add_test(tcase, readers_come_and_go_while_others_publish);
	suite_add_tcase(suite, tcase);
	srunner_run_all(runner, CK_ENV);
	failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
