// SPDX-License-Identifier: Apache-2.0
//
// Work that must not run where it arises: an event on the channel's or the hypervisor's thread has
// to be written to the database or to take a zone down. Tasks start in the order posted, each as
// soon as a thread is free; a task may wait (for a sandbox's gate), so threads are added up to a
// limit while all are busy.
#ifndef ZL_CRI_SERVER_SANDBOX_TASKS_H
#define ZL_CRI_SERVER_SANDBOX_TASKS_H

#include "base/error.h"

struct zl_tasks;

typedef void zl_task(void *argument);

struct zl_tasks *zl_tasks_start(struct zl_error *err);
// Runs what was posted, then ends. Nothing may be posted any more.
void zl_tasks_stop(struct zl_tasks *tasks);
// Never fails: without memory for the entry the program aborts (arena.h says why). Any thread.
void zl_tasks_post(struct zl_tasks *tasks, zl_task *task, void *argument);

#endif
