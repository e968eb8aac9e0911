// SPDX-License-Identifier: Apache-2.0
//
// No output is lost or doubled over a kill -9.
#include "unit/cri-services/log_text.h"

#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/ptrace.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

// What the container printed: the supervisor keeps it until it is consumed.
static struct zl_buffer printed[ZL_LOG_STREAMS];

static void print_line(enum zl_log_stream stream, unsigned number, size_t length)
{
	static const char letters[] = "abcdefghijklmnop";
	struct zl_error err = ZL_ERROR_INIT;
	size_t start = printed[stream].length;

	must(zl_buffer_printf(&printed[stream], &err, "%u:", number) == 0);
	while (printed[stream].length < start + length)
		must(zl_buffer_append(&printed[stream], &letters[number % 16], 1, &err) == 0);
	must(zl_buffer_append(&printed[stream], "\n", 1, &err) == 0);
}

// One piece of a stream as the channel would bring it: at most `size` bytes from where the log is.
// More than that when a line needs it. Returns what was taken; 0 at the end.
static size_t feed(struct zl_container_log *log, enum zl_log_stream stream, size_t size)
{
	uint64_t offset = zl_container_log_offset(log, stream);
	size_t left = printed[stream].length - (size_t)offset;
	size_t took = 0;

	while (took == 0 && left > 0) {
		size = size < left ? size : left;
		took = zl_container_log_write(
		        log, stream, offset, printed[stream].data + offset, size, size == left);
		size *= 2;
	}
	return took;
}

static void feed_all(struct zl_container_log *log)
{
	while (feed(log, ZL_LOG_STDOUT, 700) + feed(log, ZL_LOG_STDERR, 300) > 0)
		;
}

static void ck_complete(void)
{
	for (enum zl_log_stream stream = 0; stream < ZL_LOG_STREAMS; stream++) {
		zl_auto(buffer) struct zl_buffer logged = ZL_BUFFER_INIT;

		log_stream(log_path, stream, &logged);
		ck_assert_uint_eq(logged.length, printed[stream].length);
		ck_assert_mem_eq(logged.data, printed[stream].data, logged.length);
	}
}

static void release_printed(void)
{
	zl_buffer_release(&printed[0]);
	zl_buffer_release(&printed[1]);
}

// ---- killed at any time

// The pipe holds one step, so the writer is never far ahead of who counts.
enum { STEP = 4096 };

// Opens the log as a restarted daemon does, writes, and says so on the pipe, until it is killed or
// there is no more.
static void write_until_killed(int progress)
{
	static const char step[STEP];
	struct zl_error err = ZL_ERROR_INIT;
	struct zl_container_log *log = zl_container_log_open(log_path, commit_path, true, &err);

	while (log != NULL && feed(log, ZL_LOG_STDOUT, 700) + feed(log, ZL_LOG_STDERR, 300) > 0)
		(void)!write(progress, step, sizeof(step));
	_exit(0);
}

// Kills a writer after it has come this far. False: it was done before.
static bool kill_after(size_t steps)
{
	bool killed = true;
	int ends[2];
	pid_t pid;
	int status;

	ck_assert_int_eq(pipe(ends), 0);
	ck_assert_int_eq(fcntl(ends[1], F_SETPIPE_SZ, STEP), STEP);
	pid = fork();
	ck_assert_int_ge(pid, 0);
	if (pid == 0) {
		zl_close(ends[0]);
		write_until_killed(ends[1]);
	}
	zl_close(ends[1]);
	for (size_t i = 0; i < steps && killed; i++) {
		char step[STEP];

		killed = read(ends[0], step, sizeof(step)) == STEP;
	}
	(void)kill(pid, SIGKILL);
	ck_assert_int_eq(waitpid(pid, &status, 0), pid);
	zl_close(ends[0]);
	ck_assert(WIFSIGNALED(status) || WEXITSTATUS(status) == 0);
	return killed && WIFSIGNALED(status);
}

START_TEST(a_writer_killed_again_and_again_loses_nothing)
{
	zl_auto(container_log) struct zl_container_log *log = log_open(false);
	int kills = 0;

	for (unsigned i = 0; i < 2000; i++)
		print_line(i % 3 == 0 ? ZL_LOG_STDERR : ZL_LOG_STDOUT, i,
		        i % 97 == 0 ? 3 * ZL_LOG_LINE_MAX / 2 : i % 211);
	zl_container_log_close(zl_take(log));
	while (kill_after((size_t)(kills * 7) % 11))
		kills++;
	ck_assert_int_gt(kills, 20);
	log = log_open(true);
	feed_all(log);
	ck_complete();
	release_printed();
}
END_TEST

// ---- killed at every instruction

// What a kill leaves behind: both files.
struct state {
	struct zl_buffer log;
	struct zl_buffer record;
};

static void save(struct state *state)
{
	log_raw(log_path, &state->log);
	log_raw(commit_path, &state->record);
}

static void put_back(const char *path, const struct zl_buffer *bytes)
{
	zl_auto(fd) int fd = open(path, O_WRONLY | O_CLOEXEC);

	ck_assert_int_eq(ftruncate(fd, (off_t)bytes->length), 0);
	ck_assert_int_eq(pwrite(fd, bytes->data, bytes->length, 0), (ssize_t)bytes->length);
}

// Plays the restart after a kill at this very point, and then undoes it: same files, same bytes, so
// that the stopped writer can go on.
static void check_restart_here(void)
{
	struct state state = {0};
	struct zl_container_log *log;

	save(&state);
	log = log_open(true);
	feed_all(log);
	zl_container_log_close(log);
	ck_complete();
	put_back(log_path, &state.log);
	put_back(commit_path, &state.record);
	zl_buffer_release(&state.log);
	zl_buffer_release(&state.record);
}

// Writes a little of everything while being stepped through.
static void write_stepped(void)
{
	struct zl_error err = ZL_ERROR_INIT;
	struct zl_container_log *log = zl_container_log_open(log_path, commit_path, true, &err);

	if (log == NULL || ptrace(PTRACE_TRACEME, 0, NULL, NULL) < 0)
		_exit(1);
	(void)raise(SIGSTOP);
	(void)feed(log, ZL_LOG_STDOUT, 30);
	(void)feed(log, ZL_LOG_STDERR, 10);
	(void)feed(log, ZL_LOG_STDOUT, 1000);
	(void)zl_container_log_reopen(log, &err);
	(void)feed(log, ZL_LOG_STDERR, 10);
	_exit(0);
}

START_TEST(a_writer_killed_at_any_instruction_loses_nothing)
{
	zl_auto(fd) int record = -1;
	struct stat before = {0};
	const unsigned char *live;
	unsigned char seen[4096] = {0};
	size_t size;
	int states = 0;
	int status;
	pid_t pid;

	for (unsigned i = 0; i < 6; i++) {
		print_line(ZL_LOG_STDOUT, i, 20);
		print_line(ZL_LOG_STDERR, i, 8);
	}
	print_line(ZL_LOG_STDOUT, 6, 300);
	zl_container_log_close(log_open(false));
	record = open(commit_path, O_RDONLY | O_CLOEXEC);
	ck_assert_int_eq(fstat(record, &before), 0);
	size = (size_t)before.st_size;
	ck_assert_uint_le(size, sizeof(seen));
	live = mmap(NULL, size, PROT_READ, MAP_SHARED, record, 0);
	ck_assert_ptr_ne(live, MAP_FAILED);
	before.st_size = -1;
	pid = fork();
	if (pid == 0)
		write_stepped();
	ck_assert_int_eq(waitpid(pid, &status, 0), pid);
	while (WIFSTOPPED(status)) {
		struct stat now;

		must(stat(log_path, &now) == 0);
		if (now.st_size != before.st_size || memcmp(live, seen, size) != 0) {
			check_restart_here();
			ck_assert_int_eq(stat(log_path, &before), 0);
			memcpy(seen, live, size);
			states++;
		}
		must(ptrace(PTRACE_SINGLESTEP, pid, NULL, NULL) == 0);
		must(waitpid(pid, &status, 0) == pid);
	}
	ck_assert_int_eq(status, 0);
	// Each of five writes and commits is several stores.
	ck_assert_int_gt(states, 15);
	check_restart_here();
	(void)munmap((void *)(uintptr_t)live, size);
	release_printed();
}
END_TEST

LOG_SUITE(log_kill, a_writer_killed_again_and_again_loses_nothing,
        a_writer_killed_at_any_instruction_loses_nothing)
