// SPDX-License-Identifier: Apache-2.0
#include "base/clock.h"

#include <stdio.h>

const char *zl_clock_rfc3339(int64_t real_ns, char out[static ZL_CLOCK_RFC3339_SIZE])
{
	time_t seconds = (time_t)(real_ns / ZL_NS_PER_SECOND);
	long rest = (long)(real_ns % ZL_NS_PER_SECOND);
	char date[24];
	struct tm utc;

	if (rest < 0) {
		rest += ZL_NS_PER_SECOND;
		seconds--;
	}
	(void)gmtime_r(&seconds, &utc);
	(void)strftime(date, sizeof(date), "%Y-%m-%dT%H:%M:%S", &utc);
	(void)snprintf(out, ZL_CLOCK_RFC3339_SIZE, "%s.%09ldZ", date, rest);
	return out;
}
