// SPDX-License-Identifier: Apache-2.0
//
// Locks of a zone as others on the node see them.
#include <check.h>
#include <fcntl.h>
#include <stdlib.h>

#include "base/cleanup.h"
#include "unit/p9/client.h"

static struct client *c;
static int other; // somebody else's descriptor of the file

static void setup(void)
{
	char path[256];

	c = client_open();
	host_write(c, "f", "0123456789");
	other = open(host_path(c, "f", path), O_RDWR | O_CLOEXEC);
	ck_assert_int_ge(other, 0);
	ck_assert_int_eq(walk(c, DIR_FID, 3, "f"), 0);
	ck_assert_int_eq(walk(c, DIR_FID, 4, "f"), 0);
	ck_assert_int_eq(lopen(c, 3, O_RDWR), 0);
	ck_assert_int_eq(lopen(c, 4, O_RDWR), 0);
}

static void teardown(void)
{
	other = zl_close(other);
	client_close(c);
}

static int lock(uint32_t fid, uint8_t type, uint64_t start, uint64_t length, uint32_t owner)
{
	ck_assert_int_eq(ask(c, (struct zl_p9_message){.type = ZL_P9_TLOCK,
	                                .fid = fid,
	                                .lock_type = type,
	                                .lock_start = start,
	                                .lock_length = length,
	                                .lock_owner = owner,
	                                .user = text("zone")}),
	        0);
	return c->answer.lock_status;
}

// The type of lock that the node sees at this byte: what a write lock there would meet.
static short seen(int64_t at)
{
	struct flock range = {.l_type = F_WRLCK, .l_whence = SEEK_SET, .l_start = at, .l_len = 1};

	ck_assert_int_eq(fcntl(other, F_OFD_GETLK, &range), 0);
	return range.l_type;
}

START_TEST(the_strongest_lock_is_held)
{
	ck_assert_int_eq(lock(3, ZL_P9_LOCK_READ, 0, 10, 100), ZL_P9_LOCK_SUCCESS);
	ck_assert_int_eq(lock(4, ZL_P9_LOCK_READ, 5, 10, 200), ZL_P9_LOCK_SUCCESS);
	ck_assert_int_eq(lock(4, ZL_P9_LOCK_WRITE, 12, 2, 200), ZL_P9_LOCK_SUCCESS);
	ck_assert_int_eq(seen(0), F_RDLCK);
	ck_assert_int_eq(seen(11), F_RDLCK);
	ck_assert_int_eq(seen(12), F_WRLCK);
	ck_assert_int_eq(seen(14), F_RDLCK);
	ck_assert_int_eq(seen(15), F_UNLCK);
	// One's unlock leaves the other's.
	ck_assert_int_eq(lock(3, ZL_P9_LOCK_NONE, 0, 0, 100), ZL_P9_LOCK_SUCCESS);
	ck_assert_int_eq(seen(4), F_UNLCK);
	ck_assert_int_eq(seen(5), F_RDLCK);
	ck_assert_int_eq(lock(4, ZL_P9_LOCK_NONE, 6, 3, 200), ZL_P9_LOCK_SUCCESS);
	ck_assert_int_eq(seen(5), F_RDLCK);
	ck_assert_int_eq(seen(6), F_UNLCK);
	ck_assert_int_eq(seen(9), F_RDLCK);
	ck_assert_int_eq(seen(13), F_WRLCK);
}
END_TEST

START_TEST(a_lock_of_the_node_is_in_the_way)
{
	struct flock range = {.l_type = F_WRLCK, .l_whence = SEEK_SET, .l_start = 2, .l_len = 3};

	ck_assert_int_eq(lock(3, ZL_P9_LOCK_READ, 0, 1, 1), ZL_P9_LOCK_SUCCESS);
	ck_assert_int_eq(fcntl(other, F_OFD_SETLK, &range), 0);
	ck_assert_int_eq(lock(3, ZL_P9_LOCK_WRITE, 0, 10, 1), ZL_P9_LOCK_BLOCKED);
	ck_assert_int_eq(seen(0), F_RDLCK); // as it was
	ck_assert_int_eq(seen(1), F_UNLCK);
	ck_assert_int_eq(ask(c, (struct zl_p9_message){.type = ZL_P9_TGETLOCK,
	                                .fid = 3,
	                                .lock_type = ZL_P9_LOCK_NONE,
	                                .lock_start = 0,
	                                .user = text("zone")}),
	        0);
	ck_assert_uint_eq(c->answer.lock_type, ZL_P9_LOCK_WRITE);
	ck_assert_uint_eq(c->answer.lock_start, 2);
	ck_assert_uint_eq(c->answer.lock_length, 3);
	range.l_type = F_UNLCK;
	ck_assert_int_eq(fcntl(other, F_OFD_SETLK, &range), 0);
	ck_assert_int_eq(lock(3, ZL_P9_LOCK_WRITE, 0, 10, 1), ZL_P9_LOCK_SUCCESS);
	ck_assert_int_eq(ask(c, (struct zl_p9_message){.type = ZL_P9_TGETLOCK,
	                                .fid = 3,
	                                .lock_type = ZL_P9_LOCK_NONE,
	                                .user = text("zone")}),
	        0);
	ck_assert_uint_eq(c->answer.lock_type, ZL_P9_LOCK_NONE);
}
END_TEST

// flock: taken by one process, given back by its child, through the same open file.
START_TEST(a_whole_lock_goes_by_its_fid)
{
	ck_assert_int_eq(lock(3, ZL_P9_LOCK_WRITE, 0, 0, 10), ZL_P9_LOCK_SUCCESS);
	ck_assert_int_eq(seen(0), F_WRLCK);
	ck_assert_int_eq(lock(4, ZL_P9_LOCK_NONE, 0, 0, 11), ZL_P9_LOCK_SUCCESS);
	ck_assert_int_eq(seen(0), F_WRLCK);
	ck_assert_int_eq(lock(3, ZL_P9_LOCK_NONE, 0, 0, 11), ZL_P9_LOCK_SUCCESS);
	ck_assert_int_eq(seen(0), F_UNLCK);
	ck_assert_uint_eq(c->server.locks.count, 0);
	ck_assert_ptr_null(c->server.locks.files);
}
END_TEST

START_TEST(two_exports_of_one_file_meet)
{
	ck_assert_int_eq(zl_p9_export_add(&c->server.exports, "again",
	                         open(c->directory, O_PATH | O_CLOEXEC), NULL),
	        0);
	ck_assert_int_eq(walk(c, ROOT_FID, 5, "again/f"), 0);
	ck_assert_int_eq(lopen(c, 5, O_RDWR), 0);
	ck_assert_int_eq(lock(3, ZL_P9_LOCK_WRITE, 0, 5, 1), ZL_P9_LOCK_SUCCESS);
	ck_assert_int_eq(lock(5, ZL_P9_LOCK_READ, 4, 5, 2), ZL_P9_LOCK_BLOCKED);
	ck_assert_int_eq(lock(5, ZL_P9_LOCK_READ, 5, 5, 2), ZL_P9_LOCK_SUCCESS);
	zl_p9_server_remove(&c->server, "again");
	ck_assert_int_eq(seen(7), F_UNLCK);
	ck_assert_int_eq(seen(3), F_WRLCK);
}
END_TEST

START_TEST(locks_are_bounded_and_end_with_the_session)
{
	uint32_t owner = 0;

	while (lock(3, ZL_P9_LOCK_READ, 2 * (uint64_t)owner, 1, owner) == ZL_P9_LOCK_SUCCESS)
		owner++;
	ck_assert_uint_eq(c->answer.lock_status, ZL_P9_LOCK_ERROR);
	ck_assert_uint_eq(owner, ZL_P9_LOCKS_MAX);
	ck_assert_int_eq(seen(0), F_RDLCK);
	zl_p9_locks_clear(&c->server.locks);
	ck_assert_int_eq(seen(0), F_UNLCK);
	ck_assert_int_eq(ask(c, (struct zl_p9_message){.type = ZL_P9_TLOCK,
	                                .fid = 3,
	                                .lock_start = UINT64_MAX,
	                                .user = text("")}),
	        EINVAL);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("9P locks");
	TCase *tcase = tcase_create("all");
	SRunner *runner = srunner_create(suite);
	int failed;

	tcase_add_checked_fixture(tcase, setup, teardown);
	tcase_set_timeout(tcase, 120);
	tcase_add_test(tcase, the_strongest_lock_is_held);
	tcase_add_test(tcase, a_lock_of_the_node_is_in_the_way);
	tcase_add_test(tcase, a_whole_lock_goes_by_its_fid);
	tcase_add_test(tcase, two_exports_of_one_file_meet);
	tcase_add_test(tcase, locks_are_bounded_and_end_with_the_session);
	suite_add_tcase(suite, tcase);
	srunner_run_all(runner, CK_ENV);
	failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
