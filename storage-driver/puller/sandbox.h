// SPDX-License-Identifier: Apache-2.0
//
// The puller's rights, given away before the first byte from the network: another user, no way back
// (no_new_privs), files only for reading except the ingest directory (Landlock), no system calls
// that a downloader has no use for (seccomp), a limit on memory. All of it is
// inherited by mkfs.erofs.
#ifndef ZL_STORAGE_DRIVER_PULLER_SANDBOX_H
#define ZL_STORAGE_DRIVER_PULLER_SANDBOX_H

#include "base/error.h"

struct zl_sandbox {
	const char *user; // whom to become; NULL: stay
	int ingest_fd;    // directory to write in; becomes the working directory
	int blobs_fd;     // directory to read besides the system's
};

// Call it while the process has one thread. A kernel without Landlock (or with it switched off) is
// no error: the other walls stand.
int zl_sandbox_enter(const struct zl_sandbox *sandbox, struct zl_error *err);

#endif
