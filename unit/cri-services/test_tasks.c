// SPDX-License-Identifier: Apache-2.0
#include "cri-server/sandbox/tasks.h"

#include <check.h>
#include <pthread.h>
#include <semaphore.h>
#include <stdatomic.h>
#include <stdlib.h>

static struct zl_tasks *started(void)
{
	struct zl_error err = ZL_ERROR_INIT;
	struct zl_tasks *tasks = zl_tasks_start(&err);

	ck_assert_msg(tasks != NULL, "%s", err.message);
	return tasks;
}

START_TEST(ends_without_work)
{
	zl_tasks_stop(started());
	zl_tasks_stop(NULL);
}
END_TEST

static atomic_int done;

static void count(void *unused)
{
	(void)unused;
	atomic_fetch_add(&done, 1);
}

START_TEST(runs_all_before_it_stops)
{
	struct zl_tasks *tasks = started();

	for (int i = 0; i < 5000; i++)
		zl_tasks_post(tasks, count, NULL);
	zl_tasks_stop(tasks);
	ck_assert_int_eq(atomic_load(&done), 5000);
}
END_TEST

// Each task waits for the one before it to have begun: only with begins in order do they end.
static sem_t begun[65];

static void begin_in_order(void *argument)
{
	int index = *(const int *)argument;

	if (index > 0)
		sem_wait(&begun[index - 1]);
	sem_post(&begun[index]);
}

START_TEST(starts_in_the_order_posted)
{
	struct zl_tasks *tasks = started();
	int numbers[65];

	for (int i = 0; i < 65; i++)
		sem_init(&begun[i], 0, 0);
	for (int i = 0; i < 65; i++) {
		numbers[i] = i;
		zl_tasks_post(tasks, begin_in_order, &numbers[i]);
	}
	zl_tasks_stop(tasks);
	for (int i = 0; i < 65; i++)
		sem_destroy(&begun[i]);
}
END_TEST

static pthread_barrier_t together;

static void meet(void *unused)
{
	(void)unused;
	pthread_barrier_wait(&together);
}

// The barrier opens only when all of them run at once, as many as there may be threads.
START_TEST(grows_while_tasks_wait)
{
	enum { COUNT = 64 };
	struct zl_tasks *tasks = started();

	pthread_barrier_init(&together, NULL, COUNT);
	for (int round = 0; round < 3; round++) {
		for (int i = 0; i < COUNT; i++)
			zl_tasks_post(tasks, meet, NULL);
	}
	zl_tasks_stop(tasks);
	pthread_barrier_destroy(&together);
}
END_TEST

static sem_t entered;
static sem_t leave;

static void block(void *unused)
{
	(void)unused;
	sem_post(&entered);
	sem_wait(&leave);
}

static void release(void *unused)
{
	(void)unused;
	sem_post(&leave);
}

// One task blocks until another, posted later, has run.
START_TEST(goes_on_while_one_waits)
{
	struct zl_tasks *tasks = started();

	sem_init(&entered, 0, 0);
	sem_init(&leave, 0, 0);
	for (int i = 0; i < 200; i++) {
		zl_tasks_post(tasks, block, NULL);
		sem_wait(&entered);
		zl_tasks_post(tasks, release, NULL);
	}
	zl_tasks_stop(tasks);
	sem_destroy(&entered);
	sem_destroy(&leave);
}
END_TEST

// Past the limit of threads the rest waits its turn and is not lost.
START_TEST(queues_past_its_limit)
{
	enum { BLOCKED = 64, QUEUED = 300 };
	struct zl_tasks *tasks = started();

	sem_init(&entered, 0, 0);
	sem_init(&leave, 0, 0);
	for (int i = 0; i < BLOCKED; i++)
		zl_tasks_post(tasks, block, NULL);
	for (int i = 0; i < BLOCKED; i++)
		sem_wait(&entered);
	for (int i = 0; i < QUEUED; i++)
		zl_tasks_post(tasks, count, NULL);
	ck_assert_int_eq(atomic_load(&done), 0);
	for (int i = 0; i < BLOCKED; i++)
		sem_post(&leave);
	zl_tasks_stop(tasks);
	ck_assert_int_eq(atomic_load(&done), QUEUED);
	sem_destroy(&entered);
	sem_destroy(&leave);
}
END_TEST

static void *post_many(void *tasks)
{
	for (int i = 0; i < 500; i++)
		zl_tasks_post(tasks, count, NULL);
	return NULL;
}

START_TEST(takes_posts_from_many_threads)
{
	struct zl_tasks *tasks = started();
	pthread_t threads[6];

	for (int i = 0; i < 6; i++)
		ck_assert_int_eq(pthread_create(&threads[i], NULL, post_many, tasks), 0);
	for (int i = 0; i < 6; i++)
		pthread_join(threads[i], NULL);
	zl_tasks_stop(tasks);
	ck_assert_int_eq(atomic_load(&done), 3000);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("tasks");
	TCase *tcase = tcase_create("tasks");
	SRunner *runner = srunner_create(suite);
	int failed;

	tcase_set_timeout(tcase, 60);
	tcase_add_test(tcase, ends_without_work);
	tcase_add_test(tcase, runs_all_before_it_stops);
	tcase_add_test(tcase, starts_in_the_order_posted);
	tcase_add_test(tcase, grows_while_tasks_wait);
	tcase_add_test(tcase, goes_on_while_one_waits);
	tcase_add_test(tcase, queues_past_its_limit);
	tcase_add_test(tcase, takes_posts_from_many_threads);
	suite_add_tcase(suite, tcase);
	srunner_run_all(runner, CK_ENV);
	failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
