// SPDX-License-Identifier: Apache-2.0
//
// The thread that moves the bytes of all clients.
//
// A task is one client's share of it: `run` is called on the loop's thread when one of the task's
// descriptors is ready or zl_loop_task_wake was called. One task runs at a time, with the loop's
// lock held, so that zl_loop_task_remove is also the wait for its end.
//
// Lock order: loop->lock, then a client's own lock.
#ifndef ZL_ZONE_CLIENT_LOOP_H
#define ZL_ZONE_CLIENT_LOOP_H

#include <stdint.h>

#include "base/error.h"
#include "zone/client/client.h"

struct zl_loop_task {
	void (*run)(struct zl_loop_task *task); // must not block
	struct zl_zone_loop *loop;
	uint64_t serial; // what epoll reports; never used twice, so a late event finds nobody
	int wake;        // eventfd
	int fd;          // the transport's, -1 after zl_loop_task_detach
};

// Adds a task that also runs when `fd` has one of `events`. The caller fills `run`.
int zl_loop_task_add(struct zl_zone_loop *loop, struct zl_loop_task *task, int fd, uint32_t events,
        struct zl_error *err);
// On the loop's thread: what to wait for from now on.
void zl_loop_task_events(struct zl_loop_task *task, uint32_t events);
// On the loop's thread: stops watching the transport, which is about to be closed.
void zl_loop_task_detach(struct zl_loop_task *task);
// From any thread: run soon.
void zl_loop_task_wake(struct zl_loop_task *task);
// From any thread but the loop's. The task does not run any more after its return.
void zl_loop_task_remove(struct zl_loop_task *task);

#endif
