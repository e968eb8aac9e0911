// SPDX-License-Identifier: Apache-2.0
#include <check.h>
#include <signal.h>

#include "base/error.h"
#include "unit/zone/tests.h"
#include "zone/supervisor/signal.h"

#define STATUS(nspid, blocked, caught)                                                             \
	"Name:\tx\nNSpid:\t" nspid "\nSigBlk:\t" blocked                                           \
	"\nSigIgn:\t0000000000000000\nSigCgt:\t" caught "\n"
#define NONE "0000000000000000"
#define TERM "0000000000004000" // 1 << (15 - 1)

static const struct {
	const char *status;
	int number;
	bool unheard;
} cases[] = {
        {STATUS("4711\t1", NONE, NONE), SIGTERM, true},
        {STATUS("4711\t12\t1", NONE, NONE), SIGTERM, true},
        // It handles it, or will see it later.
        {STATUS("4711\t1", NONE, TERM), SIGTERM, false},
        {STATUS("4711\t1", TERM, NONE), SIGTERM, false},
        {STATUS("4711\t1", NONE, TERM), SIGINT, true},
        // Not the first of its namespace, or no namespace of its own: the default action is taken.
        {STATUS("4711\t2", NONE, NONE), SIGTERM, false},
        {STATUS("4711", NONE, NONE), SIGTERM, false},
        {STATUS("1", NONE, NONE), SIGTERM, false},
        // These cannot be dropped.
        {STATUS("4711\t1", NONE, NONE), SIGKILL, false},
        {STATUS("4711\t1", NONE, NONE), SIGSTOP, false},
        {STATUS("4711\t1", NONE, NONE), 64, true},
        {STATUS("4711\t1", NONE, "8000000000000000"), 64, false},
        {STATUS("4711\t1", NONE, NONE), 65, false},
        {STATUS("4711\t1", NONE, NONE), 0, false},
        {"", SIGTERM, false},
        {"NSpid:", SIGTERM, false},
};

START_TEST(tells_what_is_not_heard)
{
	const size_t count = sizeof(cases) / sizeof(cases[0]);

	for (size_t i = 0; i < count; i++)
		ck_assert_msg(
		        zl_signal_unheard(cases[i].status, cases[i].number) == cases[i].unheard,
		        "case %zu", i);
}
END_TEST

START_TEST(cancels_what_is_not_there)
{
	struct zl_reactor reactor = {0};
	struct zl_late_signal late = {0};

	zl_late_signal_cancel(&reactor, &late);
	zl_late_signal_cancel(&reactor, &late);
	ck_assert_int_eq(late.number, 0);
}
END_TEST

TCase *signal_tests(void)
{
	TCase *tcase = tcase_create("signal");

	tcase_add_test(tcase, tells_what_is_not_heard);
	tcase_add_test(tcase, cancels_what_is_not_there);
	return tcase;
}
