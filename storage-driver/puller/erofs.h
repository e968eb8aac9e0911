// SPDX-License-Identifier: Apache-2.0
//
// mkfs.erofs (erofs-utils 1.8): a layer's blob from a tar stream, a merged blob from layers.
#ifndef ZL_STORAGE_DRIVER_PULLER_EROFS_H
#define ZL_STORAGE_DRIVER_PULLER_EROFS_H

#include <stddef.h>

#include "base/error.h"
#include "base/spawn.h"

// A mkfs.erofs that reads tar from a pipe.
struct zl_erofs {
	struct zl_process process;
	int input;       // write end; -1 when closed
	int diagnostics; // file with its stderr
};

#define ZL_EROFS_INIT {.process = ZL_PROCESS_INIT, .input = -1, .diagnostics = -1}

// Starts writing `file` of the working directory. The image's UUID is made of the diffID, so that
// the same layer gives the same bytes on every node.
int zl_erofs_start(
        struct zl_erofs *erofs, const char *file, const char *diff_id, struct zl_error *err);
// Closes the pipe and waits: INVALID_ARGUMENT with its last words when it failed.
int zl_erofs_finish(struct zl_erofs *erofs, struct zl_error *err);
void zl_erofs_release(struct zl_erofs *erofs);
ZL_AUTO_DEFINE_VALUE(erofs, struct zl_erofs, zl_erofs_release);

// Writes `file`, the metadata of all layers laid over one another, lowest first; data stays in the
// layers, which are files `names` of the directory blobs_fd.
int zl_erofs_merge(
        const char *file, int blobs_fd, char *const *names, const char *key, struct zl_error *err);

#endif
