// SPDX-License-Identifier: Apache-2.0
#include "cri-server/rpc/pool.h"

#include <pthread.h>
#include <string.h>

#include "base/cleanup.h"

enum { POOL_KEEP = 16 };

struct queue {
	struct zl_task *first;
	struct zl_task **last;
	size_t length;
};

struct zl_pool {
	pthread_mutex_t mutex; // guards all below
	pthread_cond_t work;   // a task was queued, or stopping
	pthread_cond_t ended;  // a thread ended
	struct queue short_tasks;
	struct queue slow_tasks;
	unsigned threads;
	unsigned idle; // of them, waiting for `work`
	unsigned running_slow;
	unsigned max_threads;
	unsigned max_slow;
	size_t max_queue;
	bool stopping;
};

static void queue_init(struct queue *queue)
{
	queue->first = NULL;
	queue->last = &queue->first;
	queue->length = 0;
}

static void queue_push(struct queue *queue, struct zl_task *task)
{
	task->next = NULL;
	*queue->last = task;
	queue->last = &task->next;
	queue->length++;
}

static struct zl_task *queue_pop(struct queue *queue)
{
	struct zl_task *task = queue->first;

	if (task == NULL)
		return NULL;
	queue->first = task->next;
	if (queue->first == NULL)
		queue->last = &queue->first;
	queue->length--;
	return task;
}

// The next task that may run now. Short ones first: they cannot hold the slow ones up for long.
static struct zl_task *next_task(struct zl_pool *pool)
{
	struct zl_task *task = queue_pop(&pool->short_tasks);

	if (task == NULL && pool->running_slow < pool->max_slow) {
		task = queue_pop(&pool->slow_tasks);
		if (task != NULL)
			pool->running_slow++;
	}
	return task;
}

static void run_task(struct zl_pool *pool, struct zl_task *task)
{
	bool slow = task->slow;

	(void)pthread_mutex_unlock(&pool->mutex);
	task->run(task);
	(void)pthread_mutex_lock(&pool->mutex);
	if (slow)
		pool->running_slow--;
}

static void *worker(void *user)
{
	struct zl_pool *pool = user;
	struct zl_task *task;

	(void)pthread_mutex_lock(&pool->mutex);
	for (;;) {
		while ((task = next_task(pool)) != NULL)
			run_task(pool, task);
		if (pool->stopping || pool->idle >= POOL_KEEP)
			break;
		pool->idle++;
		(void)pthread_cond_wait(&pool->work, &pool->mutex);
		pool->idle--;
	}
	pool->threads--;
	(void)pthread_cond_broadcast(&pool->ended);
	(void)pthread_mutex_unlock(&pool->mutex);
	return NULL;
}

static int add_thread(struct zl_pool *pool, struct zl_error *err)
{
	pthread_attr_t attributes;
	pthread_t thread;
	int failure;

	(void)pthread_attr_init(&attributes);
	(void)pthread_attr_setdetachstate(&attributes, PTHREAD_CREATE_DETACHED);
	failure = pthread_create(&thread, &attributes, worker, pool);
	(void)pthread_attr_destroy(&attributes);
	if (failure != 0)
		return zl_error_errno(err, failure, "start a worker thread");
	pool->threads++;
	return 0;
}

struct zl_pool *zl_pool_start(
        unsigned threads, unsigned reserve, size_t queue, struct zl_error *err)
{
	struct zl_pool *pool = calloc(1, sizeof(*pool));

	if (pool == NULL) {
		(void)zl_error_nomem(err);
		return NULL;
	}
	(void)pthread_mutex_init(&pool->mutex, NULL);
	(void)pthread_cond_init(&pool->work, NULL);
	(void)pthread_cond_init(&pool->ended, NULL);
	queue_init(&pool->short_tasks);
	queue_init(&pool->slow_tasks);
	pool->max_threads = threads > 2 ? threads : 2;
	// A small pool keeps half for the short ones.
	pool->max_slow = pool->max_threads > reserve * 2 ? pool->max_threads - reserve
	                                                 : pool->max_threads / 2;
	pool->max_queue = queue;
	return pool;
}

int zl_pool_submit(struct zl_pool *pool, struct zl_task *task, struct zl_error *err)
{
	struct queue *queue = task->slow ? &pool->slow_tasks : &pool->short_tasks;
	size_t runnable;
	int result = 0;

	(void)pthread_mutex_lock(&pool->mutex);
	if (queue->length >= pool->max_queue) {
		result = zl_error_set(err, ZL_RESOURCE_EXHAUSTED,
		        "%zu calls are waiting already; try again later", queue->length);
		goto out;
	}
	runnable = pool->short_tasks.length + pool->slow_tasks.length + 1;
	if (runnable > pool->idle && pool->threads < pool->max_threads &&
	        add_thread(pool, err) < 0 && pool->threads == 0) {
		result = -1;
		goto out;
	}
	queue_push(queue, task);
	(void)pthread_cond_signal(&pool->work);
out:
	(void)pthread_mutex_unlock(&pool->mutex);
	return result;
}

void zl_pool_stop(struct zl_pool *pool)
{
	if (pool == NULL)
		return;
	(void)pthread_mutex_lock(&pool->mutex);
	pool->stopping = true;
	(void)pthread_cond_broadcast(&pool->work);
	while (pool->threads > 0)
		(void)pthread_cond_wait(&pool->ended, &pool->mutex);
	(void)pthread_mutex_unlock(&pool->mutex);
	(void)pthread_cond_destroy(&pool->ended);
	(void)pthread_cond_destroy(&pool->work);
	(void)pthread_mutex_destroy(&pool->mutex);
	free(pool);
}
