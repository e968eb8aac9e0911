// SPDX-License-Identifier: Apache-2.0
//
// Running other programs: posix_spawn with a pidfd, never fork, no shell.
//
// Every descriptor in this project is close-on-exec; a child gets exactly the ones named here. A
// child starts with an empty signal mask and default dispositions, in its own process group, so
// that a timeout can end it with all that it started.
#ifndef ZL_BASE_SPAWN_H
#define ZL_BASE_SPAWN_H

#include <sys/types.h>

#include "base/buffer.h"
#include "base/cancel.h"
#include "base/error.h"

struct zl_spawn {
	const char *program;     // absolute path, or a name looked up in PATH
	const char *const *argv; // NULL-terminated, argv[0] included
	const char *const *env;  // NULL-terminated; NULL: the daemon's own environment
	int stdin_fd;            // -1: /dev/null
	int stdout_fd;           // -1: /dev/null
	int stderr_fd;           // -1: the daemon's stderr
	const int *extra_fds;    // passed as descriptors 3, 4, … ; may be NULL
	size_t extra_count;
};

#define ZL_SPAWN_INIT {.stdin_fd = -1, .stdout_fd = -1, .stderr_fd = -1}

struct zl_process {
	pid_t pid; // 0 when none
	int pidfd; // -1 when none
};

#define ZL_PROCESS_INIT {.pid = 0, .pidfd = -1}

// Starts the program. NOT_FOUND names a missing program.
int zl_spawn_start(const struct zl_spawn *spawn, struct zl_process *ret, struct zl_error *err);

// Waits for its end and reaps it. *ret_status is as waitpid(2) gives it. When the token or
// timeout_ms (-1: none) comes first, kills the process group with SIGKILL, reaps, and fails.
int zl_process_wait(struct zl_process *process, const struct zl_cancel *cancel, int timeout_ms,
        int *ret_status, struct zl_error *err);

// Kills the process group and reaps, if the process still is. For cleanup.
void zl_process_end(struct zl_process *process);
ZL_AUTO_DEFINE_VALUE(process, struct zl_process, zl_process_end);

// Runs to the end: writes `input` to its stdin, gathers stdout in `out` and stderr in `diagnostics`
// (each up to its buffer's limit; stdout beyond it kills the program and fails, stderr beyond it is
// dropped). stdin_fd, stdout_fd and stderr_fd of `spawn` are not used. `diagnostics` may be NULL.
int zl_spawn_run(const struct zl_spawn *spawn, const void *input, size_t input_length,
        struct zl_buffer *out, struct zl_buffer *diagnostics, const struct zl_cancel *cancel,
        int timeout_ms, int *ret_status, struct zl_error *err);

// As zl_spawn_run without input; a non-zero exit is an INTERNAL error with the last line of stderr.
int zl_spawn_check(const char *const *argv, struct zl_buffer *out, const struct zl_cancel *cancel,
        int timeout_ms, struct zl_error *err);

// "exit status 3", "killed by signal 9 (Killed)".
const char *zl_status_describe(int status, char *out, size_t size);

#endif
