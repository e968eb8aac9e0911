// SPDX-License-Identifier: Apache-2.0
#include "cri-server/sandbox/tasks.h"

#include <pthread.h>
#include <stdbool.h>
#include <stdlib.h>

#include "base/cleanup.h"

struct entry {
	struct entry *next;
	zl_task *task;
	void *argument;
};

enum { THREADS_MAX = 64 };

struct zl_tasks {
	pthread_mutex_t lock;
	pthread_cond_t changed;
	struct entry *first;
	struct entry **end; // where the next one is linked
	size_t waiting;     // entries queued
	size_t idle;        // threads with nothing to do
	size_t thread_count;
	pthread_t threads[THREADS_MAX];
	bool stopping;
};

static struct entry *next_entry(struct zl_tasks *tasks)
{
	struct entry *entry;

	pthread_mutex_lock(&tasks->lock);
	tasks->idle++;
	while (tasks->first == NULL && !tasks->stopping)
		pthread_cond_wait(&tasks->changed, &tasks->lock);
	tasks->idle--;
	entry = tasks->first;
	if (entry != NULL) {
		tasks->waiting--;
		tasks->first = entry->next;
		if (tasks->first == NULL)
			tasks->end = &tasks->first;
	}
	pthread_mutex_unlock(&tasks->lock);
	return entry;
}

static void *run(void *argument)
{
	struct zl_tasks *tasks = argument;
	struct entry *entry;

	while ((entry = next_entry(tasks)) != NULL) {
		entry->task(entry->argument);
		free(entry);
	}
	return NULL;
}

// One more thread, if there may be; called with the lock held or before there are others.
static int add_thread(struct zl_tasks *tasks)
{
	int failure;

	if (tasks->thread_count == THREADS_MAX)
		return 0;
	failure = pthread_create(&tasks->threads[tasks->thread_count], NULL, run, tasks);
	if (failure == 0)
		tasks->thread_count++;
	return failure;
}

struct zl_tasks *zl_tasks_start(struct zl_error *err)
{
	struct zl_tasks *tasks = calloc(1, sizeof(*tasks));
	int failure;

	if (tasks == NULL) {
		zl_error_nomem(err);
		return NULL;
	}
	tasks->end = &tasks->first;
	pthread_mutex_init(&tasks->lock, NULL);
	pthread_cond_init(&tasks->changed, NULL);
	failure = add_thread(tasks);
	if (failure != 0) {
		free(tasks);
		zl_error_errno(err, failure, "start the task thread");
		return NULL;
	}
	return tasks;
}

void zl_tasks_stop(struct zl_tasks *tasks)
{
	if (tasks == NULL)
		return;
	pthread_mutex_lock(&tasks->lock);
	tasks->stopping = true;
	pthread_cond_broadcast(&tasks->changed);
	pthread_mutex_unlock(&tasks->lock);
	for (size_t i = 0; i < tasks->thread_count; i++)
		pthread_join(tasks->threads[i], NULL);
	pthread_cond_destroy(&tasks->changed);
	pthread_mutex_destroy(&tasks->lock);
	free(tasks);
}

void zl_tasks_post(struct zl_tasks *tasks, zl_task *task, void *argument)
{
	struct entry *entry = malloc(sizeof(*entry));

	if (entry == NULL)
		abort();
	*entry = (struct entry){.task = task, .argument = argument};
	pthread_mutex_lock(&tasks->lock);
	*tasks->end = entry;
	tasks->end = &entry->next;
	tasks->waiting++;
	if (tasks->waiting > tasks->idle && !tasks->stopping)
		(void)add_thread(tasks); // without one more, those that are there get to it
	pthread_cond_signal(&tasks->changed);
	pthread_mutex_unlock(&tasks->lock);
}
