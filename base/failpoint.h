// SPDX-License-Identifier: Apache-2.0
//
// Named places where a test can make the program die or fail.
//
// The environment variable ZONELET_FAILPOINTS lists them: "run.domain=kill,run.hello=error". A
// place that is not listed costs one comparison with NULL. Only whoever starts the daemon can set
// it, so it gives nobody anything that they did not have.
#ifndef ZL_BASE_FAILPOINT_H
#define ZL_BASE_FAILPOINT_H

#include "base/error.h"

// "kill": the process kills itself with SIGKILL here, as `kill -9` would. "error": returns -1 with
// INTERNAL, naming the place. Else returns 0. `err` may be NULL.
//
// Thread rule: any thread; the variable is read once.
int zl_failpoint(const char *name, struct zl_error *err);

// For places where a test only kills, and that nobody has to handle.
static inline void zl_killpoint(const char *name)
{
	(void)zl_failpoint(name, NULL);
}

#endif
