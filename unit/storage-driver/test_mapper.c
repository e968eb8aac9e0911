// SPDX-License-Identifier: Apache-2.0
#include <check.h>
#include <linux/dm-ioctl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/sysmacros.h>

#include "storage-driver/mapper.h"

static const struct dm_target_spec *target_at(const struct zl_buffer *table, size_t at)
{
	ck_assert_uint_le(at + sizeof(struct dm_target_spec), table->length);
	return (const void *)(table->data + at);
}

START_TEST(segments_lie_end_to_end)
{
	const struct zl_mapper_segment segments[] = {
	        {makedev(7, 0), 8}, {makedev(7, 12), 4000}, {makedev(7, 1048575), 24}};
	static const char *const parameters[] = {"7:0 0", "7:12 0", "7:1048575 0"};
	zl_auto(buffer) struct zl_buffer table = ZL_BUFFER_INIT;
	struct zl_error err = ZL_ERROR_INIT;
	uint64_t start = 0;
	size_t at = 0;

	ck_assert_int_eq(zl_mapper_table(segments, 3, &table, &err), 0);
	for (size_t i = 0; i < 3; i++) {
		const struct dm_target_spec *target = target_at(&table, at);

		ck_assert_str_eq(target->target_type, "linear");
		ck_assert_uint_eq(target->sector_start, start);
		ck_assert_uint_eq(target->length, segments[i].sectors);
		ck_assert_str_eq((const char *)(target + 1), parameters[i]);
		ck_assert_uint_eq(target->next % 8, 0);
		start += segments[i].sectors;
		at += target->next;
	}
	ck_assert_uint_eq(at, table.length);
}
END_TEST

START_TEST(refuses_none_and_too_many)
{
	static struct zl_mapper_segment segments[ZL_MAPPER_SEGMENTS_MAX + 1];
	zl_auto(buffer) struct zl_buffer table = ZL_BUFFER_INIT;
	struct zl_error err = ZL_ERROR_INIT;

	ck_assert_int_eq(zl_mapper_table(segments, 0, &table, &err), -1);
	ck_assert_int_eq(zl_mapper_table(segments, ZL_ARRAY_SIZE(segments), &table, &err), -1);
	ck_assert_int_eq(zl_mapper_table(segments, ZL_MAPPER_SEGMENTS_MAX, &table, &err), 0);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("mapper");
	TCase *tests = tcase_create("all");
	SRunner *runner;
	int failed;

	tcase_add_test(tests, segments_lie_end_to_end);
	tcase_add_test(tests, refuses_none_and_too_many);
	suite_add_tcase(suite, tests);
	runner = srunner_create(suite);
	srunner_run_all(runner, CK_NORMAL);
	failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
