// SPDX-License-Identifier: Apache-2.0
#include "unit/base/suites.h"

#include "base/id.h"

START_TEST(makes_ids_that_differ)
{
	char ids[50][ZL_ID_SIZE];
	struct zl_error err = ZL_ERROR_INIT;

	for (size_t i = 0; i < 50; i++) {
		ck_ok(zl_id_make(ids[i], &err), err);
		ck_assert(zl_id_valid(ids[i]));
		for (size_t k = 0; k < i; k++)
			ck_assert_str_ne(ids[i], ids[k]);
	}
}
END_TEST

START_TEST(refuses_what_is_no_id)
{
	char id[ZL_ID_SIZE + 1] = {0};

	memset(id, 'a', ZL_ID_LENGTH);
	ck_assert(zl_id_valid(id));
	id[ZL_ID_LENGTH] = 'a';
	ck_assert(!zl_id_valid(id));
	id[ZL_ID_LENGTH] = '\0';
	for (int c = 1; c < 256; c++) {
		bool digit = (c >= '0' && c <= '9') || (c >= 'a' && c <= 'f');

		id[ZL_ID_LENGTH - 1] = (char)c;
		ck_assert_msg(zl_id_valid(id) == digit, "character %d", c);
	}
	id[ZL_ID_LENGTH - 1] = '\0';
	ck_assert(!zl_id_valid(id));
	ck_assert(!zl_id_valid(""));
	ck_assert(!zl_id_valid(
	        "../../../../../../../../../../../../../../../../../etc/passwd/aaaaa"));
}
END_TEST

SUITE(id, makes_ids_that_differ, refuses_what_is_no_id)
