// SPDX-License-Identifier: Apache-2.0
//
// One daemon for one state directory.
#ifndef ZL_CRI_SERVER_DAEMON_LOCK_H
#define ZL_CRI_SERVER_DAEMON_LOCK_H

#include "base/error.h"

// Locks "<directory>/zoneletd.lock", making the directory if need be, and returns a descriptor that
// holds the lock until it is closed. ALREADY_EXISTS: another process holds it.
int zl_daemon_lock(const char *directory, struct zl_error *err);

#endif
