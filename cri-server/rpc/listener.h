// SPDX-License-Identifier: Apache-2.0
//
// A unix socket that accepts: the only door to the daemon.
//
// The core's own listener removes a live server's socket without asking and knows no peer
// credentials; this one holds a lock file beside the socket, and sets its mode before anybody can
// connect.
#ifndef ZL_CRI_SERVER_RPC_LISTENER_H
#define ZL_CRI_SERVER_RPC_LISTENER_H

#include <sys/types.h>

#include "base/error.h"

struct zl_listener;

// Takes the connected, non-blocking descriptor over. Runs on the listener's thread.
typedef void zl_listener_accepted(void *user, int fd);

// Mode 0660, owned by the caller and `group` ((gid_t)-1: leave). ALREADY_EXISTS: another process
// holds "<path>.lock"; FAILED_PRECONDITION: something that is no socket is at `path`.
struct zl_listener *zl_listener_start(const char *path, gid_t group, zl_listener_accepted *accepted,
        void *user, struct zl_error *err);

// Stops accepting, removes the socket, frees. NULL is allowed.
void zl_listener_stop(struct zl_listener *listener);

#endif
