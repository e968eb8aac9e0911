// SPDX-License-Identifier: Apache-2.0
//
// The CRI log of a container: `<RFC 3339 time> <stdout|stderr> <F|P> <text>` a line
// (kubernetes/design-proposals-archive, node/kubelet-cri-logging.md).
//
// No output is lost or doubled over a `kill -9`: beside the log lies a commit record (one small
// file, mapped) that says up to which offset of each stream the log holds it, and how long the log
// then was. After a restart the log is cut back to that length and the streams go on from those
// offsets; the supervisor still has the bytes.
//
// Only whole lines are consumed; a rest without a newline stays with the supervisor until more
// comes, the stream ends, or it reaches ZL_LOG_LINE_MAX and is written as a part (P).
//
// Thread rule: any; one log has one mutex, held over the file writes only.
#ifndef ZL_CRI_SERVER_CONTAINER_LOG_H
#define ZL_CRI_SERVER_CONTAINER_LOG_H

#include <stdbool.h>
#include <stdint.h>

#include "base/cleanup.h"
#include "base/error.h"

// containerd's default of max_container_log_line_size, which log agents are used to.
enum { ZL_LOG_LINE_MAX = 16 * 1024 };

enum zl_log_stream { ZL_LOG_STDOUT, ZL_LOG_STDERR, ZL_LOG_STREAMS };

struct zl_container_log;

// Opens (appends to) the log at `path` and its commit record at `commit_path`. An empty path means
// that nobody wants a log: bytes are consumed and counted only. With `resume` the log is cut back
// to what the record says (if it still is the same file); else the record starts anew at the log's
// end with offsets 0.
struct zl_container_log *zl_container_log_open(
        const char *path, const char *commit_path, bool resume, struct zl_error *err);
void zl_container_log_close(struct zl_container_log *log); // NULL is fine
ZL_AUTO_DEFINE(container_log, struct zl_container_log *, zl_container_log_close);

// Takes bytes of a stream that begin at `offset`; returns how many of them are consumed. Bytes
// below the committed offset were written before and are passed over.
size_t zl_container_log_write(struct zl_container_log *log, enum zl_log_stream stream,
        uint64_t offset, const void *bytes, size_t length, bool eof);

// Where the stream goes on.
uint64_t zl_container_log_offset(struct zl_container_log *log, enum zl_log_stream stream);

// Opens the path anew, after the kubelet has renamed the file away. On failure the old file stays.
int zl_container_log_reopen(struct zl_container_log *log, struct zl_error *err);

#endif
