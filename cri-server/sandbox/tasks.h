// SPDX-License-Identifier: Apache-2.0
//
// Work that must not run where it arises: an event on the channel's or the hypervisor's thread has
// to be written to the database or to take a zone down. One thread runs tasks in the order posted.
#ifndef ZL_CRI_SERVER_SANDBOX_TASKS_H
#define ZL_CRI_SERVER_SANDBOX_TASKS_H

#include "base/error.h"

struct zl_tasks;

typedef void zl_task(void *argument);

struct zl_tasks *zl_tasks_start(struct zl_error *err);
// Runs what was posted, then ends.
void zl_tasks_stop(struct zl_tasks *tasks);
// Never fails: without memory for the entry the program aborts (arena.h says why). Any thread.
void zl_tasks_post(struct zl_tasks *tasks, zl_task *task, void *argument);

#endif
