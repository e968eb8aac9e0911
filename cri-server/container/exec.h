// SPDX-License-Identifier: Apache-2.0
//
// Commands run in a container beside its own process.
#ifndef ZL_CRI_SERVER_CONTAINER_EXEC_H
#define ZL_CRI_SERVER_CONTAINER_EXEC_H

#include <stdbool.h>
#include <stdint.h>

#include "base/cancel.h"
#include "base/error.h"
#include "cri-server/container/peer.h"
#include "cri-server/sandbox/sandbox.h"

struct zl_exec_command {
	const char *const *argv;
	size_t argc;
	bool stdin_open;
	bool tty;
};

// FAILED_PRECONDITION unless the container runs.
int zl_exec_check(struct zl_container *container, size_t argc, struct zl_error *err);
// Starts the command for a peer that was added to the sandbox. Inside the sandbox's gate.
int zl_exec_start(struct zl_container *container, const struct zl_peer *peer,
        const struct zl_exec_command *command, const struct zl_cancel *cancel,
        struct zl_error *err);

#endif
