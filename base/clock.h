// SPDX-License-Identifier: Apache-2.0
//
// Clocks, as nanoseconds in an int64_t: CRI's own unit for timestamps.
#ifndef ZL_BASE_CLOCK_H
#define ZL_BASE_CLOCK_H

#include <stddef.h>
#include <stdint.h>
#include <time.h>

#define ZL_NS_PER_SECOND INT64_C(1000000000)
#define ZL_NS_PER_MS     INT64_C(1000000)

static inline int64_t zl_clock_read(clockid_t clock)
{
	struct timespec now;

	(void)clock_gettime(clock, &now);
	return (int64_t)now.tv_sec * ZL_NS_PER_SECOND + now.tv_nsec;
}

// Nanoseconds since 1970, for what people and the kubelet see.
static inline int64_t zl_clock_real(void)
{
	return zl_clock_read(CLOCK_REALTIME);
}

// For deadlines and durations; never goes back.
static inline int64_t zl_clock_monotonic(void)
{
	return zl_clock_read(CLOCK_MONOTONIC);
}

enum { ZL_CLOCK_RFC3339_SIZE = 40 };

// RFC 3339 in UTC with nine digits of a second, the form of a CRI log line
// ("2016-10-06T00:17:09.669794202Z").
const char *zl_clock_rfc3339(int64_t real_ns, char out[static ZL_CLOCK_RFC3339_SIZE]);

#endif
