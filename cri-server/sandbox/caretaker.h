// SPDX-License-Identifier: Apache-2.0
//
// A thread that goes round now and then, off every pod's path: it ends sandboxes whose stop or
// removal failed (a network plugin did not let go), releases networks that belong to no sandbox and
// has the plugins collect their own garbage (zl_cni_gc). After the daemon's start, if so
// configured, it asks once whether the recovered pods' networks still are as they were made
// (CHECK).
#ifndef ZL_CRI_SERVER_SANDBOX_CARETAKER_H
#define ZL_CRI_SERVER_SANDBOX_CARETAKER_H

#include "base/error.h"
#include "cri-server/sandbox/sandbox.h"

struct zl_caretaker;

// The first round begins at once. services->stopping ends the thread.
struct zl_caretaker *zl_caretaker_start(struct zl_services *services, struct zl_error *err);
// After services->stopping has fired: waits for its end. NULL is fine.
void zl_caretaker_join(struct zl_caretaker *caretaker);

#endif
