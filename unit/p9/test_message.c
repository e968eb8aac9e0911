// SPDX-License-Identifier: Apache-2.0
#include <check.h>
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "storage-driver/p9/message.h"

// Written down by hand from net/9p/protocol.c: "ddss?u" of Tattach.
START_TEST(known_bytes_decode)
{
	static const uint8_t attach[] = {29, 0, 0, 0, 104, 7, 0, 5, 0, 0, 0, 0xff, 0xff, 0xff, 0xff,
	        1, 0, 'u', 3, 0, 'a', '/', 'b', 0xe8, 3, 0, 0};
	struct zl_p9_message m;
	uint8_t bytes[sizeof(attach)];

	memcpy(bytes, attach, sizeof(attach));
	bytes[0] = sizeof(attach);
	ck_assert_int_eq(zl_p9_decode(bytes, sizeof(bytes), &m), 0);
	ck_assert_uint_eq(m.type, ZL_P9_TATTACH);
	ck_assert_uint_eq(m.tag, 7);
	ck_assert_uint_eq(m.fid, 5);
	ck_assert_uint_eq(m.other_fid, ZL_P9_NO_FID);
	ck_assert_uint_eq(m.uid, 1000);
	ck_assert_uint_eq(m.name.length, 3);
	ck_assert_int_eq(memcmp(m.name.bytes, "a/b", 3), 0);
}
END_TEST

static struct zl_p9_message sample(uint8_t type)
{
	struct zl_p9_message m;

	memset(&m, 0x5a, sizeof(m));
	m.type = type;
	m.name = m.new_name = m.user = (struct zl_p9_text){"name", 4};
	m.name_count = 2;
	m.names[0] = m.names[1] = (struct zl_p9_text){"x", 1};
	m.qid_count = 2;
	m.data = (const uint8_t *)"data";
	m.data_length = 4;
	return m;
}

// Whatever decodes encodes to the same bytes; and every cut of it fails.
START_TEST(all_types_survive_both_ways)
{
	unsigned types = 0;

	for (unsigned type = 0; type < 256; type++) {
		struct zl_p9_message m = sample((uint8_t)type);
		struct zl_p9_message back;
		uint8_t bytes[1024];
		uint8_t again[1024];
		size_t length = zl_p9_encode(&m, bytes, sizeof(bytes));

		if (length == 0)
			continue;
		types++;
		ck_assert_int_eq(zl_p9_decode(bytes, length, &back), 0);
		ck_assert_uint_eq(zl_p9_encode(&back, again, sizeof(again)), length);
		ck_assert_int_eq(memcmp(bytes, again, length), 0);
		ck_assert_uint_eq(zl_p9_encode(&m, again, length - 1), 0);
		for (size_t cut = 0; cut < length; cut++) {
			bytes[0] = (uint8_t)cut;
			bytes[1] = (uint8_t)(cut >> 8);
			ck_assert_int_eq(zl_p9_decode(bytes, cut, &back), -1);
		}
		bytes[0] = (uint8_t)(length + 1);
		bytes[1] = (uint8_t)((length + 1) >> 8);
		ck_assert_int_eq(zl_p9_decode(bytes, length + 1, &back), -1);
	}
	ck_assert_uint_eq(types, 57);
}
END_TEST

START_TEST(texts_hold_no_zero_and_lists_are_bounded)
{
	struct zl_p9_message m = {.type = ZL_P9_TLINK, .name = {"a\0b", 3}};
	struct zl_p9_message back;
	uint8_t bytes[256];
	size_t length = zl_p9_encode(&m, bytes, sizeof(bytes));

	ck_assert_uint_gt(length, 0);
	ck_assert_int_eq(zl_p9_decode(bytes, length, &back), -1);
	m = (struct zl_p9_message){.type = ZL_P9_TWALK, .name_count = ZL_P9_NAMES_MAX + 1};
	ck_assert_uint_eq(zl_p9_encode(&m, bytes, sizeof(bytes)), 0);
	m.name_count = 0;
	length = zl_p9_encode(&m, bytes, sizeof(bytes));
	bytes[length - 2] = ZL_P9_NAMES_MAX + 1;
	ck_assert_int_eq(zl_p9_decode(bytes, length, &back), -1);
}
END_TEST

START_TEST(entries_fit_or_are_left_out)
{
	struct zl_p9_qid qid = {.type = ZL_P9_QID_DIR, .path = 0x0102030405060708};
	uint8_t bytes[64];

	ck_assert_uint_eq(zl_p9_encode_entry(bytes, sizeof(bytes), &qid, 9, 4, "abc"), 27);
	ck_assert_uint_eq(bytes[0], ZL_P9_QID_DIR);
	ck_assert_uint_eq(bytes[5], 8);
	ck_assert_uint_eq(bytes[13], 9);
	ck_assert_uint_eq(bytes[21], 4);
	ck_assert_uint_eq(zl_p9_encode_entry(bytes, 26, &qid, 9, 4, "abc"), 0);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("9P messages");
	TCase *tcase = tcase_create("all");
	SRunner *runner = srunner_create(suite);
	int failed;

	tcase_add_test(tcase, known_bytes_decode);
	tcase_add_test(tcase, all_types_survive_both_ways);
	tcase_add_test(tcase, texts_hold_no_zero_and_lists_are_bounded);
	tcase_add_test(tcase, entries_fit_or_are_left_out);
	suite_add_tcase(suite, tcase);
	srunner_run_all(runner, CK_ENV);
	failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
