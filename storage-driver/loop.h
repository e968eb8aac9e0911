// SPDX-License-Identifier: Apache-2.0
//
// Loop devices (linux/loop.h, drivers/block/loop.c).
//
// A loop device outlives us: after a restart it is found again by its backing file. No udev is
// needed: the kernel's devtmpfs has the node when LOOP_CTL_GET_FREE returns.
#ifndef ZL_STORAGE_DRIVER_LOOP_H
#define ZL_STORAGE_DRIVER_LOOP_H

#include <stdbool.h>
#include <sys/types.h>

#include "base/error.h"

enum { ZL_LOOP_PATH_SIZE = 64 };

enum zl_loop_flags {
	ZL_LOOP_READ_ONLY = 1,
	// The device goes with its last user; for those below a dm device.
	ZL_LOOP_AUTOCLEAR = 2,
	// Past the page cache where the file system can: for a disk that only one zone uses and
	// caches itself. Read-only images go through the cache: it is what several zones share.
	ZL_LOOP_DIRECT = 4,
};

// Makes a loop device for the file and writes its path ("/dev/loop7"). ret_fd (may be NULL) gets an
// open descriptor of the device. FAILED_PRECONDITION: no loop driver.
int zl_loop_attach(const char *file, unsigned int flags, char ret_path[static ZL_LOOP_PATH_SIZE],
        int *ret_fd, struct zl_error *err);

// The loop device whose backing file this is, if it is not about to go (autoclear). 1, 0 or -1.
int zl_loop_find(const char *file, char ret_path[static ZL_LOOP_PATH_SIZE], struct zl_error *err);

// Takes the file from the device; while somebody has it open, that happens when they are done.
// A device that is free already is success.
int zl_loop_detach(const char *path, struct zl_error *err);

// Calls `visit` for each loop device whose backing file's path begins with `prefix`; files removed
// since count too. -1 from `visit` ends it.
typedef int zl_loop_visit(void *user, const char *path, const char *file, struct zl_error *err);
int zl_loop_each(const char *prefix, zl_loop_visit *visit, void *user, struct zl_error *err);

#endif
