// SPDX-License-Identifier: Apache-2.0
//
// Threads that run calls: as many as calls are running, up to a bound.
//
// A call blocks its thread, so a fixed small pool would let a few ExecSyncs stop everything. The
// pool starts a thread whenever work finds none idle, keeps POOL_KEEP idle ones for the next burst
// and lets the rest end. Slow tasks may take all but `reserve` threads, so short ones always find
// one.
//
// Thread rule: submit from any thread; start and stop from the owner. The mutex is a leaf.
#ifndef ZL_CRI_SERVER_RPC_POOL_H
#define ZL_CRI_SERVER_RPC_POOL_H

#include <stdbool.h>
#include <stddef.h>

#include "base/error.h"

struct zl_task {
	struct zl_task *next;
	void (*run)(struct zl_task *task);
	void *user; // for run
	bool slow;
};

struct zl_pool;

// At most `threads`, of which slow tasks never take `reserve`; at most `queue` tasks wait.
struct zl_pool *zl_pool_start(
        unsigned threads, unsigned reserve, size_t queue, struct zl_error *err);

// Runs the task once, soon. RESOURCE_EXHAUSTED when too many wait; the task is then the caller's.
int zl_pool_submit(struct zl_pool *pool, struct zl_task *task, struct zl_error *err);

// Waits until all tasks have run and all threads ended, and frees. NULL is allowed.
void zl_pool_stop(struct zl_pool *pool);

#endif
