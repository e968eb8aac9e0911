// SPDX-License-Identifier: Apache-2.0
//
// What the puller says to the daemon and hears from it (job.h has the lines).
//
// Thread rule: any function from any thread once zl_report_start was called.
#ifndef ZL_STORAGE_DRIVER_PULLER_REPORT_H
#define ZL_STORAGE_DRIVER_PULLER_REPORT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/error.h"

// Reads the job's line from stdin (at most ZL_JOB_LINE_MAX bytes) into `line`, its length to
// *ret_length. The caller frees.
char *zl_report_read_job(size_t *ret_length, struct zl_error *err);

// Starts the thread that hears answers. The process ends when stdin does.
int zl_report_start(struct zl_error *err);

// The progress of the whole pull: `total` grows as it becomes known, `done` as bytes arrive. Lines
// are held back to a few a second, except for the first of each stage and object.
void zl_report_total(uint64_t more);
void zl_report_bytes(const char *stage, const char *object, uint64_t more);
void zl_report_stage(const char *stage, const char *object);

// Asks for a layer and waits for the answer: true if the node has it, false if we make it.
bool zl_report_claim(const char *diff_id);
// Says that it is made and waits until the daemon has taken it.
void zl_report_layer(const char *diff_id, const char *file);

void zl_report_done(size_t documents, bool merged);
void zl_report_error(const struct zl_error *failure);

#endif
