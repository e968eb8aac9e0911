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

struct zl_tasks {
	pthread_t thread;
	pthread_mutex_t lock;
	pthread_cond_t changed;
	struct entry *first;
	struct entry **end; // where the next one is linked
	bool stopping;
};

static struct entry *next_entry(struct zl_tasks *tasks)
{
	struct entry *entry;

	pthread_mutex_lock(&tasks->lock);
	while (tasks->first == NULL && !tasks->stopping)
		pthread_cond_wait(&tasks->changed, &tasks->lock);
	entry = tasks->first;
	if (entry != NULL) {
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
	failure = pthread_create(&tasks->thread, NULL, run, tasks);
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
	pthread_cond_signal(&tasks->changed);
	pthread_mutex_unlock(&tasks->lock);
	pthread_join(tasks->thread, NULL);
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
	pthread_cond_signal(&tasks->changed);
	pthread_mutex_unlock(&tasks->lock);
}
