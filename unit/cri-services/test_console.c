// SPDX-License-Identifier: Apache-2.0
#include "cri-server/sandbox/console.h"

#include <check.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/inotify.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/file.h"

#define ZONE "guest-web.default.0123456789ab.log"

static char path[64];
static int directory = -1;

static void setup(void)
{
	(void)snprintf(path, sizeof(path), "/tmp/zonelet-console-XXXXXX");
	ck_assert_ptr_nonnull(mkdtemp(path));
	directory = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	ck_assert_int_ge(directory, 0);
}

static void teardown(void)
{
	zl_close(directory);
	ck_assert_int_eq(zl_tree_remove(path, NULL), 0);
}

static int open_as_xenconsoled(const char *name)
{
	int fd = openat(directory, name, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0644);

	ck_assert_int_ge(fd, 0);
	return fd;
}

static void write_letters(int fd, char letter, size_t count)
{
	char piece[4096];

	memset(piece, letter, sizeof(piece));
	for (; count > 0; count -= count < sizeof(piece) ? count : sizeof(piece))
		ck_assert_int_eq(zl_file_write_all(fd, piece,
		                         count < sizeof(piece) ? count : sizeof(piece), NULL),
		        0);
}

static off_t size_of(const char *name)
{
	struct stat status;

	return fstatat(directory, name, &status, 0) == 0 ? status.st_size : -1;
}

static bool none_in_use(void *user, const char *domain)
{
	(void)user;
	(void)domain;
	return false;
}

START_TEST(zones_are_told_by_their_names)
{
	ck_assert(zl_console_is_zone(ZONE));
	ck_assert(zl_console_is_zone("guest-a.b.c.ffffffffffff.log"));
	ck_assert(!zl_console_is_zone("guest-web.log"));
	ck_assert(!zl_console_is_zone("guest-web.default.0123456789aB.log"));
	ck_assert(!zl_console_is_zone("guest-.0123456789ab.log"));
	ck_assert(!zl_console_is_zone("guest-web-0123456789ab.log"));
	ck_assert(!zl_console_is_zone("hypervisor.log"));
	ck_assert(!zl_console_is_zone(".log"));
	ck_assert(!zl_console_is_zone(""));
}
END_TEST

START_TEST(beginning_and_end_stay_and_writing_goes_on)
{
	zl_auto(buffer) struct zl_buffer text = ZL_BUFFER_INIT;
	zl_auto(fd) int fd = open_as_xenconsoled(ZONE);
	char file[128];

	write_letters(fd, 'a', ZL_CONSOLE_HEAD);
	write_letters(fd, 'b', ZL_CONSOLE_MAX);
	write_letters(fd, 'c', ZL_CONSOLE_TAIL);
	ck_assert_int_eq(zl_console_cut(directory, ZONE, NULL), 0);
	write_letters(fd, 'd', 3);
	(void)snprintf(file, sizeof(file), "%s/%s", path, ZONE);
	ck_assert_int_eq(zl_file_read(file, ZL_CONSOLE_MAX, &text, NULL), 0);
	ck_assert_uint_lt(text.length, ZL_CONSOLE_HEAD + ZL_CONSOLE_TAIL + 100);
	ck_assert_uint_eq(strspn(zl_buffer_string(&text), "a"), ZL_CONSOLE_HEAD);
	ck_assert_ptr_nonnull(strstr(zl_buffer_string(&text), "1048576 bytes of this console"));
	ck_assert_ptr_null(strstr(zl_buffer_string(&text), "bbb"));
	ck_assert_str_eq(zl_buffer_string(&text) + text.length - 6, "cccddd");
}
END_TEST

START_TEST(short_files_and_others_stay_as_they_are)
{
	zl_auto(fd) int fd = open_as_xenconsoled(ZONE);
	zl_auto(fd) int other = open_as_xenconsoled("guest-other.log");
	struct zl_error err = ZL_ERROR_INIT;

	write_letters(fd, 'a', ZL_CONSOLE_MAX);
	write_letters(other, 'a', 2 * (size_t)ZL_CONSOLE_MAX);
	ck_assert_int_eq(zl_console_tidy(directory, none_in_use, NULL, NULL), 0);
	ck_assert_int_eq(size_of(ZONE), ZL_CONSOLE_MAX);
	ck_assert_int_eq(size_of("guest-other.log"), 2 * ZL_CONSOLE_MAX);
	ck_assert_int_eq(zl_console_cut(directory, "guest-gone.log", &err), -1);
	ck_assert_int_eq(err.code, ZL_NOT_FOUND);
	// A link is not followed.
	ck_assert_int_eq(symlinkat("guest-other.log", directory, "guest-l.d.0123456789ab.log"), 0);
	ck_assert_int_eq(zl_console_cut(directory, "guest-l.d.0123456789ab.log", NULL), 0);
	ck_assert_int_eq(size_of("guest-other.log"), 2 * ZL_CONSOLE_MAX);
}
END_TEST

static void name_of(unsigned number, char out[static 64])
{
	(void)snprintf(out, 64, "guest-pod.default.%012x.log", number);
}

static bool the_oldest_is_in_use(void *user, const char *domain)
{
	(void)user;
	return strcmp(domain, "pod.default.000000000000") == 0;
}

START_TEST(the_oldest_of_the_dead_go)
{
	char name[64];

	for (unsigned i = 0; i < ZL_CONSOLE_FILES + 3; i++) {
		struct timespec times[2] = {{.tv_sec = 1000 + i}, {.tv_sec = 1000 + i}};

		name_of(i, name);
		zl_close(open_as_xenconsoled(name));
		ck_assert_int_eq(utimensat(directory, name, times, 0), 0);
	}
	zl_close(open_as_xenconsoled("guest-other.log"));
	ck_assert_int_eq(zl_console_tidy(directory, the_oldest_is_in_use, NULL, NULL), 0);
	for (unsigned i = 0; i < ZL_CONSOLE_FILES + 3; i++) {
		name_of(i, name);
		ck_assert_msg((size_of(name) >= 0) == (i == 0 || i >= 3), "%s", name);
	}
	ck_assert_int_ge(size_of("guest-other.log"), 0);
}
END_TEST

START_TEST(a_file_is_cut_while_it_grows)
{
	zl_auto(cancel) struct zl_cancel stopping = ZL_CANCEL_INIT;
	zl_auto(fd) int watch = inotify_init1(IN_CLOEXEC);
	struct zl_console_keeper *keeper;
	char events[4096];
	int fd;

	ck_assert_int_eq(zl_cancel_init(&stopping, INT64_MAX, NULL, NULL), 0);
	keeper = zl_console_keeper_start(path, none_in_use, NULL, &stopping, NULL);
	ck_assert_ptr_nonnull(keeper);
	fd = open_as_xenconsoled(ZONE);
	ck_assert_int_ge(inotify_add_watch(watch, path, IN_MODIFY), 0);
	write_letters(fd, 'a', ZL_CONSOLE_MAX + 1);
	while (size_of(ZONE) > ZL_CONSOLE_MAX)
		ck_assert_int_gt(read(watch, events, sizeof(events)), 0);
	zl_close(fd);
	zl_cancel_fire(&stopping);
	zl_console_keeper_join(keeper);
}
END_TEST

START_TEST(a_node_without_consoles)
{
	struct zl_error err = ZL_ERROR_INIT;

	ck_assert_ptr_null(
	        zl_console_keeper_start("/no/such/directory", none_in_use, NULL, NULL, &err));
	ck_assert_int_eq(err.code, ZL_OK);
	zl_console_keeper_join(NULL);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("console");
	TCase *tcase = tcase_create("console");
	SRunner *runner = srunner_create(suite);
	int failed;

	tcase_add_checked_fixture(tcase, setup, teardown);
	tcase_add_test(tcase, zones_are_told_by_their_names);
	tcase_add_test(tcase, beginning_and_end_stay_and_writing_goes_on);
	tcase_add_test(tcase, short_files_and_others_stay_as_they_are);
	tcase_add_test(tcase, the_oldest_of_the_dead_go);
	tcase_add_test(tcase, a_file_is_cut_while_it_grows);
	tcase_add_test(tcase, a_node_without_consoles);
	suite_add_tcase(suite, tcase);
	srunner_run_all(runner, CK_NORMAL);
	failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
