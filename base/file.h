// SPDX-License-Identifier: Apache-2.0
//
// Files and directories as the daemon needs them: bounded reads, crash-safe writes, trees.
#ifndef ZL_BASE_FILE_H
#define ZL_BASE_FILE_H

#include <stdint.h>
#include <sys/types.h>

#include "base/buffer.h"
#include "base/error.h"

// Reads the whole file, at most `limit` bytes (more is RESOURCE_EXHAUSTED). NOT_FOUND if absent.
int zl_file_read(const char *path, size_t limit, struct zl_buffer *out, struct zl_error *err);

// Replaces path with these bytes so that a crash leaves the old or the new content, never a part:
// temporary file beside it, fsync, rename, fsync of the directory.
int zl_file_write_atomic(
        const char *path, const void *bytes, size_t length, mode_t mode, struct zl_error *err);

// Writes all bytes to fd (blocking, EINTR handled).
int zl_file_write_all(int fd, const void *bytes, size_t length, struct zl_error *err);

// mkdir -p with this mode for what it makes; an existing directory is fine.
int zl_dir_make(const char *path, mode_t mode, struct zl_error *err);

// rm -rf that never follows a symbolic link and never enters a mount, be it a bind mount or the
// path itself: FAILED_PRECONDITION names the mount point. However deep the tree is. Absent is fine.
int zl_tree_remove(const char *path, struct zl_error *err);

// Removes one file; absent is fine.
int zl_file_remove(const char *path, struct zl_error *err);

// fsync of the directory that holds path.
int zl_file_sync_parent(const char *path, struct zl_error *err);

#endif
