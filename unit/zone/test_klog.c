// SPDX-License-Identifier: Apache-2.0
#include <check.h>
#include <string.h>

#include "unit/zone/tests.h"
#include "zone/supervisor/klog.h"

static const char *line(const char *record, int *ret_level)
{
	static char text[256];
	size_t length = zl_klog_line(record, strlen(record), text, sizeof(text), ret_level);

	text[length] = '\0';
	return text;
}

START_TEST(reads_a_record)
{
	int level = -1;

	ck_assert_str_eq(line("6,339,5140900,-;NET: Registered family 10\n", &level),
	        "[    5.140900] NET: Registered family 10\n");
	ck_assert_int_eq(level, 6);
	// facility 3, severity 4
	ck_assert_str_eq(line("28,1,12345678901,c;a;b\n SUBSYSTEM=pci\n DEVICE=+pci:0\n", &level),
	        "[12345.678901] a;b\n");
	ck_assert_int_eq(level, 4);
	ck_assert_str_eq(line("0,1,7,-;no end", &level), "[    0.000007] no end\n");
}
END_TEST

START_TEST(leaves_out_what_is_no_record)
{
	int level = -1;
	char small[8];

	ck_assert_str_eq(line("", &level), "");
	ck_assert_str_eq(line("6,339,5140900,-", &level), "");
	ck_assert_str_eq(line("six,339,5140900,-;text", &level), "");
	ck_assert_str_eq(line("6,339;text", &level), "");
	ck_assert_uint_eq(zl_klog_line("6,1,1,-;too long", 16, small, sizeof(small), &level), 0);
	ck_assert_int_eq(level == -1 || level == 6, 1);
}
END_TEST

TCase *klog_tests(void)
{
	TCase *test = tcase_create("klog");

	tcase_add_test(test, reads_a_record);
	tcase_add_test(test, leaves_out_what_is_no_record);
	return test;
}
