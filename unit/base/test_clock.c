// SPDX-License-Identifier: Apache-2.0
#include "unit/base/suites.h"

#include "base/clock.h"

static const struct {
	int64_t real;
	const char *text;
} times[] = {
        {0, "1970-01-01T00:00:00.000000000Z"},
        {1, "1970-01-01T00:00:00.000000001Z"},
        {-1, "1969-12-31T23:59:59.999999999Z"},
        {-ZL_NS_PER_SECOND, "1969-12-31T23:59:59.000000000Z"},
        {INT64_C(1475712429669794202), "2016-10-06T00:07:09.669794202Z"},
        {INT64_C(951782400) * ZL_NS_PER_SECOND, "2000-02-29T00:00:00.000000000Z"},
        {INT64_MAX, "2262-04-11T23:47:16.854775807Z"},
        {INT64_MIN, "1677-09-21T00:12:43.145224192Z"},
};

START_TEST(writes_rfc3339)
{
	for (size_t i = 0; i < sizeof(times) / sizeof(times[0]); i++) {
		char out[ZL_CLOCK_RFC3339_SIZE];

		ck_assert_str_eq(zl_clock_rfc3339(times[i].real, out), times[i].text);
	}
}
END_TEST

START_TEST(does_not_go_back)
{
	int64_t before = zl_clock_monotonic();

	for (int i = 0; i < 500; i++) {
		int64_t now = zl_clock_monotonic();

		ck_assert_int_ge(now, before);
		before = now;
	}
	// After this was written, and in nanoseconds.
	ck_assert_int_gt(zl_clock_real(), INT64_C(1700000000) * ZL_NS_PER_SECOND);
}
END_TEST

SUITE(clock, writes_rfc3339, does_not_go_back)
