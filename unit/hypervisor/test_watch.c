// SPDX-License-Identifier: Apache-2.0
#include <check.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>

#include "hypervisor/watch.h"

// ---- a source whose domains end as the test says

static _Atomic enum zl_domain_end state[8];
static atomic_uint looks;

static enum zl_domain_end look(void *user, uint32_t domid)
{
	(void)user;
	atomic_fetch_add(&looks, 1);
	return atomic_load(&state[domid]);
}

static struct zl_watches *watches;

static void setup(void)
{
	struct zl_watches_source source = {.fd = -1, .look = look};

	for (size_t i = 0; i < 8; i++)
		atomic_store(&state[i], ZL_DOMAIN_RUNNING);
	watches = zl_watches_start(&source, NULL);
	ck_assert_ptr_nonnull(watches);
}

static void teardown(void)
{
	zl_watches_stop(watches);
}

// ---- what was told

struct heard {
	atomic_uint count;
	_Atomic uint32_t domid;
	_Atomic enum zl_domain_end end;
};

static void hear(void *user, uint32_t domid, enum zl_domain_end end)
{
	struct heard *heard = user;

	atomic_store(&heard->domid, domid);
	atomic_store(&heard->end, end);
	atomic_fetch_add(&heard->count, 1);
}

static void become(uint32_t domid, enum zl_domain_end end)
{
	atomic_store(&state[domid], end);
	zl_watches_settle(watches);
}

START_TEST(tells_each_change_once)
{
	struct heard heard = {0};

	ck_assert_int_eq(zl_watches_add(watches, 3, hear, &heard, NULL), 0);
	zl_watches_settle(watches);
	ck_assert_uint_eq(heard.count, 0);
	become(3, ZL_DOMAIN_CRASH);
	ck_assert_uint_eq(heard.count, 1);
	ck_assert_uint_eq(heard.domid, 3);
	ck_assert_int_eq(heard.end, ZL_DOMAIN_CRASH);
	zl_watches_settle(watches);
	ck_assert_uint_eq(heard.count, 1);
	become(3, ZL_DOMAIN_GONE);
	ck_assert_uint_eq(heard.count, 2);
	ck_assert_int_eq(heard.end, ZL_DOMAIN_GONE);
}
END_TEST

START_TEST(tells_an_end_before_the_watch)
{
	struct heard heard = {0};

	become(2, ZL_DOMAIN_POWEROFF);
	ck_assert_int_eq(zl_watches_add(watches, 2, hear, &heard, NULL), 0);
	zl_watches_settle(watches);
	ck_assert_uint_eq(heard.count, 1);
	ck_assert_int_eq(heard.end, ZL_DOMAIN_POWEROFF);
}
END_TEST

START_TEST(gone_ends_the_watch)
{
	struct heard first = {0};
	struct heard second = {0};

	ck_assert_int_eq(zl_watches_add(watches, 1, hear, &first, NULL), 0);
	become(1, ZL_DOMAIN_GONE);
	ck_assert_uint_eq(first.count, 1);
	become(1, ZL_DOMAIN_RUNNING);
	// A new domain has the number.
	ck_assert_int_eq(zl_watches_add(watches, 1, hear, &second, NULL), 0);
	become(1, ZL_DOMAIN_CRASH);
	ck_assert_uint_eq(first.count, 1);
	ck_assert_uint_eq(second.count, 1);
}
END_TEST

START_TEST(one_watch_a_domain)
{
	struct heard heard = {0};
	struct zl_error err = ZL_ERROR_INIT;

	ck_assert_int_eq(zl_watches_add(watches, 4, hear, &heard, &err), 0);
	ck_assert_int_eq(zl_watches_add(watches, 4, hear, &heard, &err), -1);
	ck_assert_int_eq(err.code, ZL_ALREADY_EXISTS);
}
END_TEST

START_TEST(removed_hears_nothing)
{
	struct heard kept = {0};
	struct heard removed = {0};

	ck_assert_int_eq(zl_watches_add(watches, 5, hear, &removed, NULL), 0);
	ck_assert_int_eq(zl_watches_add(watches, 6, hear, &kept, NULL), 0);
	zl_watches_remove(watches, 5);
	zl_watches_remove(watches, 7); // unknown
	atomic_store(&state[5], ZL_DOMAIN_CRASH);
	become(6, ZL_DOMAIN_CRASH);
	ck_assert_uint_eq(removed.count, 0);
	ck_assert_uint_eq(kept.count, 1);
}
END_TEST

// ---- removal waits for an event that is under way

struct slow {
	pthread_barrier_t entered;
	pthread_barrier_t leave;
	atomic_bool over;
};

static void hear_slowly(void *user, uint32_t domid, enum zl_domain_end end)
{
	struct slow *slow = user;

	(void)domid;
	(void)end;
	pthread_barrier_wait(&slow->entered);
	pthread_barrier_wait(&slow->leave);
	atomic_store(&slow->over, true);
}

struct remover {
	struct slow *slow;
	atomic_bool started;
	bool over_at_return;
};

static void *remove_it(void *argument)
{
	struct remover *remover = argument;

	atomic_store(&remover->started, true);
	zl_watches_remove(watches, 1);
	remover->over_at_return = atomic_load(&remover->slow->over);
	return NULL;
}

START_TEST(removal_waits_for_the_event)
{
	struct slow slow = {0};
	struct remover remover = {.slow = &slow};
	pthread_t thread;

	pthread_barrier_init(&slow.entered, NULL, 2);
	pthread_barrier_init(&slow.leave, NULL, 2);
	ck_assert_int_eq(zl_watches_add(watches, 1, hear_slowly, &slow, NULL), 0);
	atomic_store(&state[1], ZL_DOMAIN_CRASH);
	zl_watches_wake(watches);
	pthread_barrier_wait(&slow.entered);
	pthread_create(&thread, NULL, remove_it, &remover);
	while (!atomic_load(&remover.started))
		sched_yield();
	pthread_barrier_wait(&slow.leave);
	pthread_join(thread, NULL);
	ck_assert(remover.over_at_return);
	pthread_barrier_destroy(&slow.entered);
	pthread_barrier_destroy(&slow.leave);
}
END_TEST

static void remove_from_within(void *user, uint32_t domid, enum zl_domain_end end)
{
	struct heard *heard = user;

	hear(heard, domid, end);
	zl_watches_remove(watches, domid);
}

START_TEST(an_event_may_remove_its_watch)
{
	struct heard heard = {0};

	ck_assert_int_eq(zl_watches_add(watches, 1, remove_from_within, &heard, NULL), 0);
	become(1, ZL_DOMAIN_CRASH);
	become(1, ZL_DOMAIN_GONE);
	ck_assert_uint_eq(heard.count, 1);
}
END_TEST

// ---- the source's descriptor

static int broken_drain(void *user)
{
	atomic_fetch_add((atomic_uint *)user, 1);
	return -1;
}

START_TEST(a_broken_source_is_left_alone)
{
	atomic_uint drains = 0;
	int ends[2];
	struct heard heard = {0};
	struct zl_watches *other;

	ck_assert_int_eq(pipe(ends), 0);
	other = zl_watches_start(
	        &(struct zl_watches_source){
	                .fd = ends[0], .drain = broken_drain, .look = look, .user = &drains},
	        NULL);
	close(ends[1]); // readable for ever
	ck_assert_int_eq(zl_watches_add(other, 1, hear, &heard, NULL), 0);
	atomic_store(&state[1], ZL_DOMAIN_CRASH);
	zl_watches_settle(other);
	zl_watches_settle(other);
	ck_assert_uint_eq(drains, 1);
	ck_assert_uint_eq(heard.count, 1);
	zl_watches_stop(other);
	close(ends[0]);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("hypervisor-watch");
	TCase *tests = tcase_create("watch");
	SRunner *runner;
	int failed;

	tcase_add_checked_fixture(tests, setup, teardown);
	tcase_add_test(tests, tells_each_change_once);
	tcase_add_test(tests, tells_an_end_before_the_watch);
	tcase_add_test(tests, gone_ends_the_watch);
	tcase_add_test(tests, one_watch_a_domain);
	tcase_add_test(tests, removed_hears_nothing);
	tcase_add_test(tests, removal_waits_for_the_event);
	tcase_add_test(tests, an_event_may_remove_its_watch);
	tcase_add_test(tests, a_broken_source_is_left_alone);
	suite_add_tcase(suite, tests);
	runner = srunner_create(suite);
	srunner_run_all(runner, CK_NORMAL);
	failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
