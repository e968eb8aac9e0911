// SPDX-License-Identifier: Apache-2.0
#include "unit/base/suites.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <sys/stat.h>

#include "base/file.h"

static char directory[64];

static const char *in(const char *name)
{
	static char path[256];

	(void)snprintf(path, sizeof(path), "%s/%s", directory, name);
	return path;
}

static void make_directory(void)
{
	(void)strcpy(directory, "/tmp/zl-unit-file.XXXXXX");
	ck_assert_ptr_nonnull(mkdtemp(directory));
}

static void remove_directory(void)
{
	ck_assert_int_eq(zl_tree_remove(directory, NULL), 0);
}

static size_t count_entries(void)
{
	zl_auto(dir) DIR *dir = opendir(directory);
	size_t count = 0;

	while (readdir(dir) != NULL)
		count++;
	return count - 2;
}

static void write_text(const char *path, const char *text)
{
	struct zl_error err = ZL_ERROR_INIT;

	ck_ok(zl_file_write_atomic(path, text, strlen(text), 0600, &err), err);
}

static void ck_content(const char *path, const char *wanted)
{
	zl_auto(buffer) struct zl_buffer text = ZL_BUFFER_INIT;
	struct zl_error err = ZL_ERROR_INIT;

	ck_ok(zl_file_read(path, 1 << 20, &text, &err), err);
	ck_assert_str_eq(zl_buffer_string(&text), wanted);
}

START_TEST(reads_within_its_limit)
{
	zl_auto(buffer) struct zl_buffer text = ZL_BUFFER_INIT;
	struct zl_error err = ZL_ERROR_INIT;

	write_text(in("a"), "12345");
	ck_ok(zl_file_read(in("a"), 5, &text, &err), err);
	ck_assert_str_eq(zl_buffer_string(&text), "12345");
	zl_buffer_release(&text);
	ck_assert_int_eq(zl_file_read(in("a"), 4, &text, &err), -1);
	ck_error(err, ZL_RESOURCE_EXHAUSTED, in("a"));
	ck_assert_int_eq(zl_file_read(in("absent"), 4, &text, &err), -1);
	ck_error(err, ZL_NOT_FOUND, in("absent"));
	ck_assert_int_eq(zl_file_read(directory, 4, &text, &err), -1);
	ck_assert_int_eq(err.errnum, EISDIR);
}
END_TEST

START_TEST(replaces_a_file)
{
	struct stat status;

	(void)umask(0077);
	write_text(in("a"), "old");
	ck_ok(zl_file_write_atomic(in("a"), "newer", 5, 0644, NULL),
	        (struct zl_error)ZL_ERROR_INIT);
	ck_content(in("a"), "newer");
	ck_assert_int_eq(stat(in("a"), &status), 0);
	ck_assert_uint_eq(status.st_mode & 07777, 0644);
	write_text(in("empty"), "");
	ck_content(in("empty"), "");
	ck_assert_uint_eq(count_entries(), 2);
}
END_TEST

// A link is replaced, what it points to stays.
START_TEST(does_not_write_through_a_link)
{
	char target[256];

	(void)snprintf(target, sizeof(target), "%s", in("target"));
	write_text(target, "precious");
	ck_assert_int_eq(symlink(target, in("link")), 0);
	write_text(in("link"), "new");
	ck_content(target, "precious");
	ck_content(in("link"), "new");
}
END_TEST

// No room (a file size limit stands for a full disk): the old content stays, no temporary file.
START_TEST(keeps_the_old_file_when_there_is_no_room)
{
	struct zl_error err = ZL_ERROR_INIT;
	struct rlimit limit = {.rlim_cur = 3, .rlim_max = RLIM_INFINITY};

	write_text(in("a"), "ab");
	(void)signal(SIGXFSZ, SIG_IGN);
	ck_assert_int_eq(setrlimit(RLIMIT_FSIZE, &limit), 0);
	ck_assert_int_eq(zl_file_write_atomic(in("a"), "abcdef", 6, 0600, &err), -1);
	ck_assert_int_eq(err.errnum, EFBIG);
	ck_error(err, ZL_INTERNAL, in("a"));
	ck_content(in("a"), "ab");
	ck_assert_uint_eq(count_entries(), 1);
}
END_TEST

START_TEST(says_what_it_cannot_replace)
{
	struct zl_error err = ZL_ERROR_INIT;
	char longest[PATH_MAX];

	ck_assert_int_eq(zl_file_write_atomic(in("no/a"), "x", 1, 0600, &err), -1);
	ck_error(err, ZL_NOT_FOUND, in("no/a"));
	ck_assert_int_eq(mkdir(in("d"), 0700), 0);
	ck_assert_int_eq(zl_file_write_atomic(in("d"), "x", 1, 0600, &err), -1);
	ck_error(err, ZL_INTERNAL, in("d"));
	ck_assert_uint_eq(count_entries(), 1);
	memset(longest, 'a', sizeof(longest) - 1);
	longest[sizeof(longest) - 1] = '\0';
	ck_assert_int_eq(zl_file_write_atomic(longest, "x", 1, 0600, &err), -1);
}
END_TEST

START_TEST(writes_all_through_a_small_pipe)
{
	struct zl_error err = ZL_ERROR_INIT;
	struct zl_error *none = NULL;
	int ends[2];

	ck_assert_int_eq(pipe2(ends, O_CLOEXEC), 0);
	ck_ok(zl_file_write_all(ends[1], "hello", 5, &err), err);
	ck_ok(zl_file_write_all(ends[1], NULL, 0, &err), err);
	zl_close(ends[0]);
	(void)signal(SIGPIPE, SIG_IGN);
	ck_assert_int_eq(zl_file_write_all(ends[1], "x", 1, &err), -1);
	ck_assert_int_eq(err.errnum, EPIPE);
	zl_close(ends[1]);
	ck_assert_int_eq(zl_file_write_all(ends[1], "x", 1, none), -1);
}
END_TEST

START_TEST(makes_directories)
{
	struct zl_error err = ZL_ERROR_INIT;
	struct stat status;

	(void)umask(0);
	ck_ok(zl_dir_make(in("a/b//c/"), 0750, &err), err);
	ck_assert_int_eq(stat(in("a/b/c"), &status), 0);
	ck_assert(S_ISDIR(status.st_mode));
	ck_assert_uint_eq(status.st_mode & 07777, 0750);
	ck_ok(zl_dir_make(in("a/b"), 0700, &err), err);
	ck_assert_int_eq(stat(in("a/b"), &status), 0);
	ck_assert_uint_eq(status.st_mode & 07777, 0750);
	ck_assert_int_eq(symlink("a", in("link")), 0);
	ck_ok(zl_dir_make(in("link/d"), 0700, &err), err);
	ck_ok(zl_dir_make(in("link"), 0700, &err), err);
}
END_TEST

START_TEST(makes_no_directory_of_a_file)
{
	struct zl_error err = ZL_ERROR_INIT;
	char longest[PATH_MAX + 1];

	write_text(in("f"), "");
	ck_assert_int_eq(zl_dir_make(in("f"), 0700, &err), -1);
	ck_assert_int_eq(err.errnum, ENOTDIR);
	ck_assert_int_eq(zl_dir_make(in("f/x"), 0700, &err), -1);
	ck_assert_int_eq(err.errnum, ENOTDIR);
	ck_assert_int_eq(zl_dir_make("", 0700, &err), -1);
	ck_assert_int_eq(err.code, ZL_INVALID_ARGUMENT);
	memset(longest, 'a', PATH_MAX);
	longest[PATH_MAX] = '\0';
	ck_assert_int_eq(zl_dir_make(longest, 0700, &err), -1);
	ck_assert_int_eq(err.code, ZL_INVALID_ARGUMENT);
}
END_TEST

START_TEST(removes_files)
{
	struct zl_error err = ZL_ERROR_INIT;

	write_text(in("a"), "x");
	ck_ok(zl_file_remove(in("a"), &err), err);
	ck_ok(zl_file_remove(in("a"), &err), err);
	ck_ok(zl_file_remove(in("no/such"), &err), err);
	ck_assert_uint_eq(count_entries(), 0);
	ck_assert_int_eq(zl_file_remove(directory, &err), -1);
	ck_error(err, ZL_INTERNAL, directory);
}
END_TEST

START_TEST(syncs_parents)
{
	struct zl_error err = ZL_ERROR_INIT;

	ck_ok(zl_file_sync_parent(in("x"), &err), err);
	ck_ok(zl_file_sync_parent("/x", &err), err);
	ck_ok(zl_file_sync_parent("x", &err), err);
	ck_assert_int_eq(zl_file_sync_parent(in("no/x"), &err), -1);
	ck_assert_int_eq(err.code, ZL_NOT_FOUND);
}
END_TEST

SUITE_WITH(file, make_directory, remove_directory, reads_within_its_limit, replaces_a_file,
        does_not_write_through_a_link, keeps_the_old_file_when_there_is_no_room,
        says_what_it_cannot_replace, writes_all_through_a_small_pipe, makes_directories,
        makes_no_directory_of_a_file, removes_files, syncs_parents)
