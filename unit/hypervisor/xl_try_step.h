// SPDX-License-Identifier: Apache-2.0
//
// What xl-try's scenarios are made of: timed steps, waits on xenstore, and a look for leftovers.
// Everything that is not as expected ends the program with a sentence and status 1.
#ifndef ZL_UNIT_HYPERVISOR_XL_TRY_STEP_H
#define ZL_UNIT_HYPERVISOR_XL_TRY_STEP_H

#include <stdbool.h>
#include <stdint.h>

#include "base/error.h"
#include "hypervisor/hypervisor.h"

// Ends the program unless `good`.
void step_need(bool good, const char *format, ...) __attribute__((format(printf, 2, 3)));

// Microseconds on the monotonic clock, and a line "<name>  <ms since `start`>".
int64_t step_now(void);
void step_print(const char *name, int64_t start);

// The call must have given this code, and says so with its message.
void step_expect(
        const char *name, enum zl_code code, int result, const struct zl_error *err, int64_t start);

// Waits until a back end of dom0 has reached a XenbusState (4: connected).
void step_await_state(const char *type, uint32_t domid, unsigned devid, char state);

// Waits until a path is gone. The kernel takes a back end's interface and block device down after
// it has said "closed", and tells nobody when it is done, so this polls.
void step_await_gone(const char *path);

// A watch's events, to be waited for.
void step_on_event(void *user, uint32_t domid, enum zl_domain_end end);
enum zl_domain_end step_await_event(uint32_t domid);

// Nothing of the domain may be left in xenstore, in libxl's files, or among the interfaces.
void step_no_traces(uint32_t domid, const char *uuid, const char *ifname);

#endif
