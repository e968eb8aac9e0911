// SPDX-License-Identifier: Apache-2.0
#include "unit/base/suites.h"

#include <fcntl.h>
#include <pthread.h>
#include <sys/eventfd.h>

#include "base/cancel.h"
#include "base/clock.h"

static void init(struct zl_cancel *cancel, int64_t deadline, const struct zl_cancel *parent)
{
	struct zl_error err = ZL_ERROR_INIT;

	ck_ok(zl_cancel_init(cancel, deadline, parent, &err), err);
}

START_TEST(lets_work_go_on)
{
	zl_auto(cancel) struct zl_cancel cancel = ZL_CANCEL_INIT;
	struct zl_error err = ZL_ERROR_INIT;

	init(&cancel, INT64_MAX, NULL);
	ck_ok(zl_cancel_check(&cancel, &err), err);
	ck_ok(zl_cancel_check(NULL, &err), err);
	ck_assert_int_eq(zl_cancel_remaining_ms(&cancel), -1);
	ck_assert_int_eq(zl_cancel_remaining_ms(NULL), -1);
}
END_TEST

START_TEST(fires)
{
	zl_auto(cancel) struct zl_cancel cancel = ZL_CANCEL_INIT;
	struct zl_error err = ZL_ERROR_INIT;

	init(&cancel, INT64_MAX, NULL);
	zl_cancel_fire(&cancel);
	zl_cancel_fire(&cancel);
	ck_assert_int_eq(zl_cancel_check(&cancel, &err), -1);
	ck_error(err, ZL_CANCELLED, "cancelled");
	ck_assert_int_eq(zl_cancel_poll(&cancel, -1, 0, -1, &err), -1);
	ck_assert_int_eq(err.code, ZL_CANCELLED);
}
END_TEST

START_TEST(passes_its_deadline)
{
	zl_auto(cancel) struct zl_cancel past = ZL_CANCEL_INIT;
	zl_auto(cancel) struct zl_cancel soon = ZL_CANCEL_INIT;
	zl_auto(cancel) struct zl_cancel far = ZL_CANCEL_INIT;
	struct zl_error err = ZL_ERROR_INIT;

	init(&past, zl_clock_monotonic() - 1, NULL);
	ck_assert_int_eq(zl_cancel_remaining_ms(&past), 0);
	ck_assert_int_eq(zl_cancel_check(&past, &err), -1);
	ck_error(err, ZL_DEADLINE_EXCEEDED, "deadline");
	init(&soon, zl_clock_monotonic() + 2 * ZL_NS_PER_MS, NULL);
	ck_assert_int_eq(zl_cancel_poll(&soon, -1, 0, -1, &err), -1);
	ck_assert_int_eq(err.code, ZL_DEADLINE_EXCEEDED);
	init(&far, zl_clock_monotonic() + 3600 * ZL_NS_PER_SECOND, NULL);
	ck_assert_int_gt(zl_cancel_remaining_ms(&far), 3500 * 1000);
	zl_cancel_release(&far);
	init(&far, INT64_MAX - 1, NULL);
	ck_assert_int_eq(zl_cancel_remaining_ms(&far), INT32_MAX);
	ck_assert_int_eq(zl_cancel_poll(&past, -1, 0, 1000, &err), -1);
}
END_TEST

// A token that was cancelled says so, also when its time is up as well.
START_TEST(cancelled_before_expired)
{
	zl_auto(cancel) struct zl_cancel cancel = ZL_CANCEL_INIT;
	struct zl_error err = ZL_ERROR_INIT;

	init(&cancel, 0, NULL);
	zl_cancel_fire(&cancel);
	ck_assert_int_eq(zl_cancel_check(&cancel, &err), -1);
	ck_assert_int_eq(err.code, ZL_CANCELLED);
}
END_TEST

static void init_chain(struct zl_cancel chain[static ZL_CANCEL_DEPTH])
{
	for (int i = 0; i < ZL_CANCEL_DEPTH; i++) {
		chain[i] = (struct zl_cancel)ZL_CANCEL_INIT;
		init(&chain[i], INT64_MAX, i > 0 ? &chain[i - 1] : NULL);
	}
}

static void release_chain(struct zl_cancel chain[static ZL_CANCEL_DEPTH])
{
	for (int i = ZL_CANCEL_DEPTH - 1; i >= 0; i--)
		zl_cancel_release(&chain[i]);
}

START_TEST(follows_every_ancestor)
{
	for (int fired = 0; fired < ZL_CANCEL_DEPTH; fired++) {
		struct zl_cancel chain[ZL_CANCEL_DEPTH];
		struct zl_error err = ZL_ERROR_INIT;

		init_chain(chain);
		zl_cancel_fire(&chain[fired]);
		ck_assert_int_eq(zl_cancel_poll(&chain[ZL_CANCEL_DEPTH - 1], -1, 0, -1, &err), -1);
		ck_assert_int_eq(err.code, ZL_CANCELLED);
		for (int i = 0; i < fired; i++)
			ck_ok(zl_cancel_check(&chain[i], &err), err);
		release_chain(chain);
	}
}
END_TEST

START_TEST(refuses_a_chain_it_cannot_watch)
{
	struct zl_cancel chain[ZL_CANCEL_DEPTH];
	struct zl_cancel more = ZL_CANCEL_INIT;
	struct zl_error err = ZL_ERROR_INIT;

	init_chain(chain);
	ck_assert_int_eq(zl_cancel_init(&more, INT64_MAX, &chain[ZL_CANCEL_DEPTH - 1], &err), -1);
	ck_assert_int_eq(err.code, ZL_INTERNAL);
	ck_assert_int_eq(more.fd, -1);
	release_chain(chain);
}
END_TEST

START_TEST(counts_the_nearest_deadline)
{
	zl_auto(cancel) struct zl_cancel outer = ZL_CANCEL_INIT;
	zl_auto(cancel) struct zl_cancel inner = ZL_CANCEL_INIT;
	struct zl_error err = ZL_ERROR_INIT;

	init(&outer, zl_clock_monotonic() - 1, NULL);
	init(&inner, INT64_MAX, &outer);
	ck_assert_int_eq(zl_cancel_check(&inner, &err), -1);
	ck_assert_int_eq(err.code, ZL_DEADLINE_EXCEEDED);
	outer.deadline_ns = INT64_MAX;
	inner.deadline_ns = zl_clock_monotonic() - 1;
	ck_assert_int_eq(zl_cancel_check(&inner, &err), -1);
	ck_ok(zl_cancel_check(&outer, &err), err);
}
END_TEST

START_TEST(polls_a_descriptor)
{
	zl_auto(cancel) struct zl_cancel cancel = ZL_CANCEL_INIT;
	zl_auto(fd) int fd = eventfd(1, EFD_CLOEXEC);
	struct zl_error err = ZL_ERROR_INIT;
	uint64_t count;

	init(&cancel, INT64_MAX, NULL);
	ck_assert_int_eq(zl_cancel_poll(&cancel, fd, POLLIN, -1, &err), POLLIN);
	ck_assert_int_eq(zl_cancel_poll(NULL, fd, POLLIN, -1, &err), POLLIN);
	ck_assert_int_eq(zl_cancel_poll(&cancel, fd, POLLIN | POLLOUT, 0, &err), POLLIN | POLLOUT);
	ck_assert_int_eq(read(fd, &count, sizeof(count)), sizeof(count));
	ck_assert_int_eq(zl_cancel_poll(&cancel, fd, POLLIN, 1, &err), -1);
	ck_assert_int_eq(err.code, ZL_DEADLINE_EXCEEDED);
	ck_assert_int_eq(zl_cancel_poll(NULL, fd, POLLIN, 0, &err), -1);
	ck_assert_int_eq(err.code, ZL_DEADLINE_EXCEEDED);
	// What is ready is not lost to a token that fires at the same time.
	zl_cancel_fire(&cancel);
	ck_assert_int_eq(zl_cancel_poll(&cancel, fd, POLLOUT, -1, &err), POLLOUT);
}
END_TEST

START_TEST(reports_a_closed_descriptor)
{
	struct zl_error err = ZL_ERROR_INIT;
	int fd = eventfd(0, EFD_CLOEXEC);

	zl_close(fd);
	ck_assert_int_eq(zl_cancel_poll(NULL, fd, POLLIN, -1, &err), POLLNVAL);
}
END_TEST

static void *fire_later(void *cancel)
{
	zl_cancel_fire(cancel);
	return NULL;
}

START_TEST(wakes_a_waiting_thread)
{
	for (int i = 0; i < 200; i++) {
		zl_auto(cancel) struct zl_cancel outer = ZL_CANCEL_INIT;
		zl_auto(cancel) struct zl_cancel inner = ZL_CANCEL_INIT;
		struct zl_error err = ZL_ERROR_INIT;
		pthread_t thread;

		init(&outer, INT64_MAX, NULL);
		init(&inner, INT64_MAX, &outer);
		ck_assert_int_eq(pthread_create(&thread, NULL, fire_later, &outer), 0);
		ck_assert_int_eq(zl_cancel_poll(&inner, -1, 0, -1, &err), -1);
		ck_assert_int_eq(err.code, ZL_CANCELLED);
		pthread_join(thread, NULL);
	}
}
END_TEST

START_TEST(is_not_inherited)
{
	zl_auto(cancel) struct zl_cancel cancel = ZL_CANCEL_INIT;

	init(&cancel, INT64_MAX, NULL);
	ck_assert_int_eq(fcntl(cancel.fd, F_GETFD), FD_CLOEXEC);
	zl_cancel_release(&cancel);
	ck_assert_int_eq(cancel.fd, -1);
	zl_cancel_fire(&cancel); // after its release: nothing to write to
}
END_TEST

SUITE(cancel, lets_work_go_on, fires, passes_its_deadline, cancelled_before_expired,
        follows_every_ancestor, refuses_a_chain_it_cannot_watch, counts_the_nearest_deadline,
        polls_a_descriptor, reports_a_closed_descriptor, wakes_a_waiting_thread, is_not_inherited)
