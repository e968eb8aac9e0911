// SPDX-License-Identifier: Apache-2.0
//
// Doing something inside a network namespace.
//
// A thread's namespace is changed for good as soon as putting it back fails, so none of the
// daemon's threads ever changes its own: a thread is made for the purpose and ends with it (some
// tens of microseconds). What it opens there, a netlink socket say, stays in that namespace and may
// be used from any thread.
#ifndef ZL_CNI_BRIDGE_NETNS_H
#define ZL_CNI_BRIDGE_NETNS_H

#include "base/error.h"
#include "cni-bridge/cni.h"

// Runs work(data) in the namespace at `path` and returns what it returned, once it is done.
typedef int zl_netns_work(void *data, struct zl_error *err);
int zl_netns_run(const char *path, zl_netns_work *work, void *data, struct zl_error *err);

// Is a network namespace held there now?
bool zl_netns_exists(const char *path);

#endif
