// SPDX-License-Identifier: Apache-2.0
#include "zone/client/loop.h"

#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <unistd.h>
#include <uthash.h>

struct entry {
	uint64_t serial;
	struct zl_loop_task *task;
	UT_hash_handle hh;
};

struct zl_zone_loop {
	int epoll;
	int stop; // eventfd, reported with serial 0
	pthread_t thread;
	pthread_mutex_t lock; // tasks, next_serial; held while a task runs
	struct entry *tasks;  // by serial
	uint64_t next_serial;
};

static int watch(int epoll, int fd, uint32_t events, uint64_t serial)
{
	struct epoll_event event = {.events = events, .data.u64 = serial};

	return epoll_ctl(epoll, EPOLL_CTL_ADD, fd, &event);
}

static void run_task(struct zl_zone_loop *loop, uint64_t serial)
{
	struct entry *found = NULL;

	pthread_mutex_lock(&loop->lock);
	HASH_FIND(hh, loop->tasks, &serial, sizeof(serial), found);
	if (found != NULL) {
		found->task->run(found->task);
	}
	pthread_mutex_unlock(&loop->lock);
}

static void *loop_main(void *data)
{
	struct zl_zone_loop *loop = data;

	for (;;) {
		// One at a time: a task that is removed can have no event left in a batch.
		struct epoll_event event;
		int count = epoll_wait(loop->epoll, &event, 1, -1);

		if (count < 0 && errno != EINTR)
			return NULL;
		if (count <= 0)
			continue;
		if (event.data.u64 == 0)
			return NULL;
		run_task(loop, event.data.u64);
	}
}

static void loop_free(struct zl_zone_loop *loop)
{
	if (loop == NULL)
		return;
	zl_close(loop->epoll);
	zl_close(loop->stop);
	pthread_mutex_destroy(&loop->lock);
	free(loop);
}
ZL_AUTO_DEFINE(loop, struct zl_zone_loop *, loop_free);

// Signals are for the program's own threads.
static int start_thread(struct zl_zone_loop *loop)
{
	sigset_t all;
	sigset_t before;
	int failure;

	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &before);
	failure = pthread_create(&loop->thread, NULL, loop_main, loop);
	pthread_sigmask(SIG_SETMASK, &before, NULL);
	return failure;
}

struct zl_zone_loop *zl_zone_loop_start(struct zl_error *err)
{
	zl_auto(loop) struct zl_zone_loop *loop = calloc(1, sizeof(*loop));
	int failure;

	if (loop == NULL) {
		zl_error_nomem(err);
		return NULL;
	}
	pthread_mutex_init(&loop->lock, NULL);
	loop->next_serial = 1;
	loop->epoll = epoll_create1(EPOLL_CLOEXEC);
	loop->stop = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	if (loop->epoll < 0 || loop->stop < 0 || watch(loop->epoll, loop->stop, EPOLLIN, 0) < 0) {
		zl_error_errno(err, errno, "make the zone loop");
		return NULL;
	}
	failure = start_thread(loop);
	if (failure != 0) {
		zl_error_errno(err, failure, "start the zone loop's thread");
		return NULL;
	}
	return zl_take(loop);
}

void zl_zone_loop_stop(struct zl_zone_loop *loop)
{
	uint64_t one = 1;

	if (loop == NULL)
		return;
	(void)!write(loop->stop, &one, sizeof(one));
	pthread_join(loop->thread, NULL);
	loop_free(loop);
}

// Under the loop's lock.
static int insert_task(struct zl_zone_loop *loop, struct zl_loop_task *task, struct zl_error *err)
{
	struct entry *entry = calloc(1, sizeof(*entry));

	if (entry == NULL)
		return zl_error_nomem(err);
	task->serial = loop->next_serial++;
	entry->serial = task->serial;
	entry->task = task;
	HASH_ADD(hh, loop->tasks, serial, sizeof(entry->serial), entry);
	return 0;
}

int zl_loop_task_add(struct zl_zone_loop *loop, struct zl_loop_task *task, int fd, uint32_t events,
        struct zl_error *err)
{
	int result;

	task->loop = loop;
	task->fd = fd;
	task->wake = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	if (task->wake < 0)
		return zl_error_errno(err, errno, "make an eventfd");
	pthread_mutex_lock(&loop->lock);
	result = insert_task(loop, task, err);
	pthread_mutex_unlock(&loop->lock);
	// Edge-triggered: each write to it is told once, and nobody has to read it.
	if (result == 0 && (watch(loop->epoll, task->wake, EPOLLIN | EPOLLET, task->serial) < 0 ||
	                           watch(loop->epoll, fd, events, task->serial) < 0)) {
		result = zl_error_errno(err, errno, "watch a channel");
		zl_loop_task_remove(task);
	} else if (result < 0) {
		task->wake = zl_close(task->wake);
	}
	return result;
}

void zl_loop_task_events(struct zl_loop_task *task, uint32_t events)
{
	struct epoll_event event = {.events = events, .data.u64 = task->serial};

	(void)epoll_ctl(task->loop->epoll, EPOLL_CTL_MOD, task->fd, &event);
}

void zl_loop_task_detach(struct zl_loop_task *task)
{
	if (task->fd >= 0)
		(void)epoll_ctl(task->loop->epoll, EPOLL_CTL_DEL, task->fd, NULL);
	task->fd = -1;
}

void zl_loop_task_wake(struct zl_loop_task *task)
{
	uint64_t one = 1;

	(void)!write(task->wake, &one, sizeof(one));
}

void zl_loop_task_remove(struct zl_loop_task *task)
{
	struct zl_zone_loop *loop = task->loop;
	struct entry *found = NULL;

	pthread_mutex_lock(&loop->lock);
	HASH_FIND(hh, loop->tasks, &task->serial, sizeof(task->serial), found);
	if (found != NULL) {
		HASH_DEL(loop->tasks, found);
		free(found);
	}
	zl_loop_task_detach(task);
	task->wake = zl_close(task->wake);
	pthread_mutex_unlock(&loop->lock);
}
