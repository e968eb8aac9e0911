// SPDX-License-Identifier: Apache-2.0
//
// A program that does not outlive the puller.
//
// mkfs.erofs does not end when its tar stream is cut off: without a puller it would spin for ever.
// posix_spawn(3) cannot ask for a signal at the parent's death, so the puller starts itself again
// under a word of its own, and that process asks (prctl(2), PR_SET_PDEATHSIG: it survives exec),
// sets the memory limit and becomes the program. The kernel then ends it however the puller ends.
//
// Thread rule: the signal comes when the *thread* that started the child ends. That thread waits
// for it.
#ifndef ZL_STORAGE_DRIVER_PULLER_CHILD_H
#define ZL_STORAGE_DRIVER_PULLER_CHILD_H

#include <stdbool.h>
#include <stdint.h>

#include "base/error.h"
#include "base/spawn.h"

enum {
	ZL_CHILD_MISSING = 127, // exit status: the program is not there
	ZL_CHILD_FAILED = 126,  // it could not be started; stderr says why
};

// Starts `spawn` that way; spawn->argv[0] is the program, looked up in PATH. memory_max: bytes of
// address space.
int zl_child_start(const struct zl_spawn *spawn, uint64_t memory_max, struct zl_process *ret,
        struct zl_error *err);

// Whether these are the arguments of such a start.
bool zl_child_asked(int argc, char **argv);
// What it does: becomes the program, or returns an exit status.
int zl_child_main(int argc, char **argv);

#endif
