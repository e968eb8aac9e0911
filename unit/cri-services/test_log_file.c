// SPDX-License-Identifier: Apache-2.0
//
// The log's file: rotated, removed, cut and written by others, on a disk that is full.
#include "unit/cri-services/log_text.h"

#include <fcntl.h>
#include <sched.h>
#include <stdio.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/file.h"

static const char *rotated(void)
{
	static char path[160];

	(void)snprintf(path, sizeof(path), "%s.1", log_path);
	return path;
}

START_TEST(appends_to_what_is_there)
{
	struct zl_error err = ZL_ERROR_INIT;
	zl_auto(container_log) struct zl_container_log *log = log_open(false);

	log_say(log, ZL_LOG_STDOUT, "first run\n");
	zl_container_log_close(log);
	// A container that is started anew: offsets from 0, the log goes on.
	log = log_open(false);
	ck_assert_uint_eq(zl_container_log_offset(log, ZL_LOG_STDOUT), 0);
	log_say(log, ZL_LOG_STDOUT, "second run\n");
	ck_log_lines(log_path, "stdout F first run\nstdout F second run\n");
	ck_assert_ptr_null(zl_container_log_open("/no/such/log", commit_path, false, &err));
	ck_assert_int_eq(err.code, ZL_NOT_FOUND);
	ck_assert_ptr_null(zl_container_log_open(log_path, "/no/such/commit", false, &err));
	ck_assert_int_eq(err.code, ZL_NOT_FOUND);
	ck_assert_ptr_null(zl_container_log_open(log_dir, commit_path, false, &err));
}
END_TEST

START_TEST(rotates)
{
	struct zl_error err = ZL_ERROR_INIT;
	zl_auto(container_log) struct zl_container_log *log = log_open(false);

	log_say(log, ZL_LOG_STDOUT, "one\n");
	ck_assert_int_eq(rename(log_path, rotated()), 0);
	log_say(log, ZL_LOG_STDOUT, "two\n"); // still to the old file
	ck_assert_int_eq(zl_container_log_reopen(log, &err), 0);
	log_say(log, ZL_LOG_STDOUT, "three\n");
	ck_log_lines(rotated(), "stdout F one\nstdout F two\n");
	ck_log_lines(log_path, "stdout F three\n");
	ck_assert_uint_eq(zl_container_log_offset(log, ZL_LOG_STDOUT), 14);
	// Reopening what was not renamed does no harm.
	ck_assert_int_eq(zl_container_log_reopen(log, &err), 0);
	log_say(log, ZL_LOG_STDOUT, "four\n");
	ck_log_lines(log_path, "stdout F three\nstdout F four\n");
	zl_container_log_close(log);
	log = log_open(true);
	ck_log_lines(log_path, "stdout F three\nstdout F four\n");
}
END_TEST

START_TEST(keeps_the_old_file_when_it_cannot_reopen)
{
	struct zl_error err = ZL_ERROR_INIT;
	zl_auto(container_log) struct zl_container_log *log = log_open(false);
	char away[160];

	(void)snprintf(away, sizeof(away), "%s.away", log_dir);
	ck_assert_int_eq(rename(log_dir, away), 0);
	ck_assert_int_eq(zl_container_log_reopen(log, &err), -1);
	ck_assert_int_eq(err.code, ZL_NOT_FOUND);
	ck_assert_int_eq(rename(away, log_dir), 0);
	ck_assert_uint_eq(log_say(log, ZL_LOG_STDOUT, "one\n"), 4);
	ck_log_lines(log_path, "stdout F one\n");
}
END_TEST

// Renamed away while the daemon was down, and the kubelet's reopen found nobody.
START_TEST(resumes_with_another_file)
{
	zl_auto(container_log) struct zl_container_log *log = log_open(false);

	log_say(log, ZL_LOG_STDOUT, "one\n");
	zl_container_log_close(log);
	ck_assert_int_eq(rename(log_path, rotated()), 0);
	log = log_open(true);
	ck_assert_uint_eq(zl_container_log_offset(log, ZL_LOG_STDOUT), 4);
	log_say(log, ZL_LOG_STDOUT, "two\n");
	ck_log_lines(rotated(), "stdout F one\n");
	ck_log_lines(log_path, "stdout F two\n");
}
END_TEST

START_TEST(resumes_after_it_was_removed)
{
	zl_auto(container_log) struct zl_container_log *log = log_open(false);

	log_say(log, ZL_LOG_STDOUT, "one\n");
	ck_assert_int_eq(unlink(log_path), 0);
	ck_assert_uint_eq(log_say(log, ZL_LOG_STDOUT, "lost\n"), 5);
	zl_container_log_close(log);
	log = log_open(true);
	log_say(log, ZL_LOG_STDOUT, "two\n");
	ck_log_lines(log_path, "stdout F two\n");
}
END_TEST

START_TEST(resumes_without_a_record)
{
	zl_auto(container_log) struct zl_container_log *log = log_open(false);

	log_say(log, ZL_LOG_STDOUT, "one\n");
	zl_container_log_close(log);
	ck_assert_int_eq(unlink(commit_path), 0);
	log = log_open(true);
	ck_assert_uint_eq(zl_container_log_offset(log, ZL_LOG_STDOUT), 0);
	log_say(log, ZL_LOG_STDOUT, "one\n");
	ck_log_lines(log_path, "stdout F one\nstdout F one\n");
}
END_TEST

// "> 0.log" by an operator: what comes after is there, before and after a restart.
START_TEST(survives_being_cut)
{
	zl_auto(container_log) struct zl_container_log *log = log_open(false);

	log_say(log, ZL_LOG_STDOUT, "one\n");
	ck_assert_int_eq(truncate(log_path, 0), 0);
	log_say(log, ZL_LOG_STDOUT, "two\n");
	ck_log_lines(log_path, "stdout F two\n");
	zl_container_log_close(log);
	log = log_open(true);
	ck_log_lines(log_path, "stdout F two\n");
	log_say(log, ZL_LOG_STDOUT, "three\n");
	ck_log_lines(log_path, "stdout F two\nstdout F three\n");
}
END_TEST

// Another program wrote to the log: a restart does not take our own last lines for uncommitted.
START_TEST(survives_being_written_to)
{
	static const char foreign[] = "2026-01-01T00:00:00.000000000Z stderr F foreign\n";
	zl_auto(container_log) struct zl_container_log *log = log_open(false);
	zl_auto(fd) int other = open(log_path, O_WRONLY | O_APPEND | O_CLOEXEC);

	log_say(log, ZL_LOG_STDOUT, "one\n");
	ck_assert_int_eq(write(other, foreign, sizeof(foreign) - 1), sizeof(foreign) - 1);
	log_say(log, ZL_LOG_STDOUT, "two\n");
	zl_container_log_close(log);
	log = log_open(true);
	ck_log_lines(log_path, "stdout F one\nstderr F foreign\nstdout F two\n");
}
END_TEST

// A tmpfs of this many pages in the test's directory.
static void mount_small_disk(unsigned pages)
{
	char options[64];

	ck_assert_int_eq(unshare(CLONE_NEWNS), 0);
	ck_assert_int_eq(mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL), 0);
	(void)snprintf(options, sizeof(options), "size=%u", pages * 4096);
	ck_assert_int_eq(mount("none", log_dir, "tmpfs", 0, options), 0);
}

static const char *filler_path(void)
{
	static char path[160];

	(void)snprintf(path, sizeof(path), "%s/filler", log_dir);
	return path;
}

static void fill_disk(void)
{
	static const char page[4096];
	zl_auto(fd) int fd = open(filler_path(), O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);

	while (write(fd, page, sizeof(page)) > 0)
		;
	ck_assert_int_eq(errno, ENOSPC);
}

static void empty_disk(void)
{
	ck_assert_int_eq(unlink(filler_path()), 0);
}

static void unmount_small_disk(void)
{
	ck_assert_int_eq(umount2(log_dir, MNT_DETACH), 0);
}

// Not a SIGBUS at the first store into the record's page.
START_TEST(says_that_there_is_no_room_for_the_record)
{
	struct zl_error err = ZL_ERROR_INIT;

	mount_small_disk(2);
	fill_disk();
	ck_assert_ptr_null(zl_container_log_open(log_path, commit_path, false, &err));
	ck_assert_int_eq(err.code, ZL_RESOURCE_EXHAUSTED);
	ck_assert_ptr_nonnull(strstr(err.message, commit_path));
	unmount_small_disk();
}
END_TEST

// The container goes on; lines that did not fit are missing, the others whole.
START_TEST(drops_whole_lines_while_the_disk_is_full)
{
	zl_auto(container_log) struct zl_container_log *log = NULL;
	zl_auto(buffer) struct zl_buffer lines = ZL_BUFFER_INIT;
	char line[300];
	uint64_t offset = 0;

	mount_small_disk(8);
	log = log_open(false);
	memset(line, 'x', sizeof(line));
	line[sizeof(line) - 1] = '\n';
	log_say(log, ZL_LOG_STDOUT, "before\n");
	fill_disk();
	for (int i = 0; i < 60; i++) {
		offset = zl_container_log_offset(log, ZL_LOG_STDOUT);
		ck_assert_uint_eq(zl_container_log_write(
		                          log, ZL_LOG_STDOUT, offset, line, sizeof(line), false),
		        sizeof(line));
	}
	ck_assert_uint_eq(zl_container_log_offset(log, ZL_LOG_STDOUT), offset + sizeof(line));
	empty_disk();
	log_say(log, ZL_LOG_STDOUT, "after\n");
	log_lines(log_path, &lines);
	ck_assert_uint_lt(lines.length, 20 * sizeof(line));
	ck_assert(strncmp(zl_buffer_string(&lines), "stdout F before\nstdout F xxx", 28) == 0);
	ck_assert_ptr_nonnull(strstr(zl_buffer_string(&lines), "x\nstdout F after\n"));
	zl_container_log_close(log);
	log = log_open(true); // the commit has the true length
	log_lines(log_path, &lines);
	ck_assert_ptr_nonnull(strstr(zl_buffer_string(&lines), "x\nstdout F after\n"));
	zl_container_log_close(zl_take(log));
	unmount_small_disk();
}
END_TEST

// One write of many lines, cut in the middle of one: the whole ones before it stay.
START_TEST(takes_back_half_a_line)
{
	zl_auto(container_log) struct zl_container_log *log = NULL;
	zl_auto(buffer) struct zl_buffer lines = ZL_BUFFER_INIT;
	zl_auto(buffer) struct zl_buffer text = ZL_BUFFER_INIT;
	struct zl_error err = ZL_ERROR_INIT;

	for (int i = 0; i < 500; i++)
		ck_assert_int_eq(zl_buffer_printf(&text, &err, "line %d\n", i), 0);
	mount_small_disk(8);
	log = log_open(false);
	log_say(log, ZL_LOG_STDOUT, "before\n");
	fill_disk();
	ck_assert_uint_eq(log_say(log, ZL_LOG_STDOUT, zl_buffer_string(&text)), text.length);
	empty_disk();
	log_say(log, ZL_LOG_STDOUT, "after\n");
	log_lines(log_path, &lines);
	ck_assert(strncmp(zl_buffer_string(&lines), "stdout F before\nstdout F line 0\n", 32) == 0);
	ck_assert_ptr_null(strstr(zl_buffer_string(&lines), "line 499"));
	ck_assert_ptr_nonnull(strstr(zl_buffer_string(&lines), "\nstdout F after\n"));
	zl_container_log_close(zl_take(log));
	unmount_small_disk();
}
END_TEST

START_TEST(is_readable_by_the_nodes_agents_group_only)
{
	zl_auto(container_log) struct zl_container_log *log = NULL;
	struct stat status;

	(void)umask(0);
	log = log_open(false);
	ck_assert_int_eq(stat(log_path, &status), 0);
	ck_assert_uint_eq(status.st_mode & 07777, 0640);
	ck_assert_int_eq(stat(commit_path, &status), 0);
	ck_assert_uint_eq(status.st_mode & 07777, 0600);
}
END_TEST

LOG_SUITE(log_file, appends_to_what_is_there, rotates, keeps_the_old_file_when_it_cannot_reopen,
        resumes_with_another_file, resumes_after_it_was_removed, resumes_without_a_record,
        survives_being_cut, survives_being_written_to, says_that_there_is_no_room_for_the_record,
        drops_whole_lines_while_the_disk_is_full, takes_back_half_a_line,
        is_readable_by_the_nodes_agents_group_only)
