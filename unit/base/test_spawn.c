// SPDX-License-Identifier: Apache-2.0
#include "unit/base/suites.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/wait.h>

#include "base/clock.h"
#include "base/file.h"
#include "base/spawn.h"

// What a shell one-liner did.
struct outcome {
	struct zl_buffer out;
	struct zl_buffer diagnostics;
	int status;
	struct zl_error err;
};

#define OUTCOME_INIT {.out = ZL_BUFFER_INIT, .diagnostics = ZL_BUFFER_INIT}

static void outcome_release(struct outcome *outcome)
{
	zl_buffer_release(&outcome->out);
	zl_buffer_release(&outcome->diagnostics);
}
ZL_AUTO_DEFINE_VALUE(outcome, struct outcome, outcome_release);

static size_t open_descriptors(void)
{
	zl_auto(dir) DIR *dir = opendir("/proc/self/fd");
	size_t count = 0;

	while (readdir(dir) != NULL)
		count++;
	return count;
}

static int shell(
        const char *script, struct outcome *outcome, const struct zl_cancel *cancel, int timeout_ms)
{
	const char *const argv[] = {"sh", "-c", script, NULL};
	struct zl_spawn spawn = ZL_SPAWN_INIT;

	spawn.program = "/bin/sh";
	spawn.argv = argv;
	return zl_spawn_run(&spawn, NULL, 0, &outcome->out, &outcome->diagnostics, cancel,
	        timeout_ms, &outcome->status, &outcome->err);
}

START_TEST(gathers_both_outputs_and_the_status)
{
	zl_auto(outcome) struct outcome x = OUTCOME_INIT;

	ck_ok(shell("echo out; echo err >&2; exit 3", &x, NULL, -1), x.err);
	ck_assert_str_eq(zl_buffer_string(&x.out), "out\n");
	ck_assert_str_eq(zl_buffer_string(&x.diagnostics), "err\n");
	ck_assert(WIFEXITED(x.status));
	ck_assert_int_eq(WEXITSTATUS(x.status), 3);
}
END_TEST

START_TEST(tells_a_signal)
{
	zl_auto(outcome) struct outcome x = OUTCOME_INIT;
	char text[64];

	ck_ok(shell("kill -TERM $$", &x, NULL, -1), x.err);
	ck_assert(WIFSIGNALED(x.status));
	ck_assert_str_eq(zl_status_describe(x.status, text, sizeof(text)),
	        "killed by signal 15 (Terminated)");
	ck_assert_str_eq(zl_status_describe(W_EXITCODE(7, 0), text, sizeof(text)), "exit status 7");
	ck_assert_str_eq(
	        zl_status_describe(33, text, sizeof(text)), "killed by signal 33 (unknown)");
	ck_assert_str_eq(zl_status_describe(W_EXITCODE(7, 0), text, 5), "exit");
}
END_TEST

// Much more than a pipe holds, both ways at once: neither side may wait for the other for ever.
START_TEST(exchanges_more_than_a_pipe_holds)
{
	enum { SIZE = 3 << 20 };
	const char *const argv[] = {"cat", NULL};
	zl_auto(buffer) struct zl_buffer out = ZL_BUFFER_LIMIT(SIZE);
	struct zl_spawn spawn = ZL_SPAWN_INIT;
	struct zl_error err = ZL_ERROR_INIT;
	unsigned char *input = malloc(SIZE);
	int status = -1;

	ck_assert_ptr_nonnull(input);
	for (size_t i = 0; i < SIZE; i++)
		input[i] = (unsigned char)(i * 2654435761U >> 13);
	spawn.program = "cat";
	spawn.argv = argv;
	ck_ok(zl_spawn_run(&spawn, input, SIZE, &out, NULL, NULL, -1, &status, &err), err);
	ck_assert_int_eq(status, 0);
	ck_assert_uint_eq(out.length, SIZE);
	ck_assert_mem_eq(out.data, input, SIZE);
	free(input);
}
END_TEST

// The reader is gone before the input is: an end like any other, and no SIGPIPE for us.
START_TEST(survives_a_child_that_does_not_read)
{
	enum { SIZE = 1 << 20 };
	const char *const argv[] = {"sh", "-c", "exec <&-; echo done", NULL};
	zl_auto(buffer) struct zl_buffer out = ZL_BUFFER_INIT;
	struct zl_spawn spawn = ZL_SPAWN_INIT;
	struct zl_error err = ZL_ERROR_INIT;
	char *input = calloc(1, SIZE);
	sigset_t pending;
	sigset_t mask;
	int status = -1;

	(void)signal(SIGPIPE, SIG_DFL);
	spawn.program = "/bin/sh";
	spawn.argv = argv;
	ck_ok(zl_spawn_run(&spawn, input, SIZE, &out, NULL, NULL, -1, &status, &err), err);
	ck_assert_int_eq(status, 0);
	ck_assert_str_eq(zl_buffer_string(&out), "done\n");
	ck_assert_int_eq(sigpending(&pending), 0);
	ck_assert(!sigismember(&pending, SIGPIPE));
	ck_assert_int_eq(pthread_sigmask(SIG_BLOCK, NULL, &mask), 0);
	ck_assert(!sigismember(&mask, SIGPIPE));
	free(input);
}
END_TEST

START_TEST(kills_what_prints_too_much)
{
	zl_auto(outcome) struct outcome x = {.out = ZL_BUFFER_LIMIT(100000)};
	size_t before = open_descriptors();

	ck_assert_int_eq(shell("exec cat /dev/zero", &x, NULL, -1), -1);
	ck_error(x.err, ZL_RESOURCE_EXHAUSTED, "/bin/sh: more than the 100000 bytes");
	ck_assert_uint_le(x.out.length, 100000);
	ck_assert_uint_eq(open_descriptors(), before);
	ck_assert_int_eq(waitpid(-1, NULL, WNOHANG), -1);
	ck_assert_int_eq(errno, ECHILD);
}
END_TEST

START_TEST(drops_diagnostics_that_are_too_long)
{
	zl_auto(outcome) struct outcome x = {.diagnostics = ZL_BUFFER_LIMIT(10)};

	ck_ok(shell("head -c 200000 /dev/zero | tr '\\0' e >&2; echo ok", &x, NULL, -1), x.err);
	ck_assert_int_eq(x.status, 0);
	ck_assert_str_eq(zl_buffer_string(&x.diagnostics), "eeeeeeeeee");
	ck_assert_str_eq(zl_buffer_string(&x.out), "ok\n");
}
END_TEST

// A grandchild keeps the pipe open and must die with the group. It holds the write end of `alive`,
// which reads as ended only when all holders are gone.
static void start_and_expect_group_dead(
        const struct zl_cancel *cancel, int timeout_ms, enum zl_code wanted)
{
	const char *const argv[] = {
	        "sh", "-c", "sh -c 'echo up >&3; exec sleep 1000' & exec sleep 1000", NULL};
	struct zl_spawn spawn = ZL_SPAWN_INIT;
	struct zl_process process = ZL_PROCESS_INIT;
	struct zl_error err = ZL_ERROR_INIT;
	char text[8] = {0};
	int alive[2];
	int status = 0;

	ck_assert_int_eq(pipe2(alive, O_CLOEXEC), 0);
	spawn.program = "/bin/sh";
	spawn.argv = argv;
	spawn.extra_fds = &alive[1];
	spawn.extra_count = 1;
	ck_ok(zl_spawn_start(&spawn, &process, &err), err);
	zl_close(alive[1]);
	ck_assert_int_eq(read(alive[0], text, sizeof(text)), 3);
	ck_assert_int_eq(zl_process_wait(&process, cancel, timeout_ms, &status, &err), -1);
	ck_assert_int_eq(err.code, wanted);
	ck_assert_int_eq(read(alive[0], text, sizeof(text)), 0);
	ck_assert_int_eq(process.pid, 0);
	ck_assert_int_eq(process.pidfd, -1);
	zl_close(alive[0]);
}

START_TEST(kills_the_whole_group_at_its_time)
{
	start_and_expect_group_dead(NULL, 1, ZL_DEADLINE_EXCEEDED);
}
END_TEST

START_TEST(kills_the_whole_group_when_cancelled)
{
	zl_auto(cancel) struct zl_cancel outer = ZL_CANCEL_INIT;
	zl_auto(cancel) struct zl_cancel inner = ZL_CANCEL_INIT;
	struct zl_error err = ZL_ERROR_INIT;

	ck_ok(zl_cancel_init(&outer, INT64_MAX, NULL, &err), err);
	ck_ok(zl_cancel_init(&inner, INT64_MAX, &outer, &err), err);
	zl_cancel_fire(&outer);
	start_and_expect_group_dead(&inner, -1, ZL_CANCELLED);
}
END_TEST

START_TEST(run_ends_at_its_time)
{
	zl_auto(outcome) struct outcome x = OUTCOME_INIT;

	ck_assert_int_eq(shell("sleep 1000 & echo started; wait", &x, NULL, 50), -1);
	ck_error(x.err, ZL_DEADLINE_EXCEEDED, "/bin/sh: ");
}
END_TEST

// Output is closed, but the program goes on.
START_TEST(run_ends_at_its_time_without_output)
{
	zl_auto(outcome) struct outcome x = OUTCOME_INIT;

	ck_assert_int_eq(shell("exec >&- 2>&- <&-; exec sleep 1000", &x, NULL, 50), -1);
	ck_assert_int_eq(x.err.code, ZL_DEADLINE_EXCEEDED);
}
END_TEST

struct firing {
	struct zl_cancel *cancel;
	int when_readable;
};

static void *fire_when_readable(void *argument)
{
	struct firing *firing = argument;
	char byte;

	ck_assert_int_eq(read(firing->when_readable, &byte, 1), 1);
	zl_cancel_fire(firing->cancel);
	return NULL;
}

// The token that fires is the parent's parent, while the run sleeps in poll.
START_TEST(run_is_woken_by_any_ancestor)
{
	zl_auto(cancel) struct zl_cancel daemon_token = ZL_CANCEL_INIT;
	zl_auto(cancel) struct zl_cancel connection = ZL_CANCEL_INIT;
	zl_auto(cancel) struct zl_cancel request = ZL_CANCEL_INIT;
	const char *const argv[] = {"sh", "-c", "echo up >&3; exec sleep 1000", NULL};
	struct zl_spawn spawn = ZL_SPAWN_INIT;
	struct zl_error err = ZL_ERROR_INIT;
	struct firing firing = {.cancel = &daemon_token};
	pthread_t thread;
	int up[2];
	int status;

	ck_ok(zl_cancel_init(&daemon_token, INT64_MAX, NULL, &err), err);
	ck_ok(zl_cancel_init(&connection, INT64_MAX, &daemon_token, &err), err);
	ck_ok(zl_cancel_init(&request, INT64_MAX, &connection, &err), err);
	ck_assert_int_eq(pipe2(up, O_CLOEXEC), 0);
	firing.when_readable = up[0];
	ck_assert_int_eq(pthread_create(&thread, NULL, fire_when_readable, &firing), 0);
	spawn.program = "/bin/sh";
	spawn.argv = argv;
	spawn.extra_fds = &up[1];
	spawn.extra_count = 1;
	ck_assert_int_eq(
	        zl_spawn_run(&spawn, NULL, 0, NULL, NULL, &request, -1, &status, &err), -1);
	ck_assert_int_eq(err.code, ZL_CANCELLED);
	pthread_join(thread, NULL);
	zl_close(up[0]);
	zl_close(up[1]);
}
END_TEST

START_TEST(names_a_missing_program)
{
	const char *const argv[] = {"no-such-program", NULL};
	struct zl_spawn spawn = ZL_SPAWN_INIT;
	struct zl_process process = ZL_PROCESS_INIT;
	struct zl_error err = ZL_ERROR_INIT;
	size_t before = open_descriptors();

	spawn.argv = argv;
	spawn.program = "/no/such/program";
	ck_assert_int_eq(zl_spawn_start(&spawn, &process, &err), -1);
	ck_error(err, ZL_NOT_FOUND, "/no/such/program");
	spawn.program = "no-such-program";
	ck_assert_int_eq(zl_spawn_start(&spawn, &process, &err), -1);
	ck_error(err, ZL_NOT_FOUND, "no-such-program");
	spawn.program = "/etc/passwd";
	ck_assert_int_eq(zl_spawn_start(&spawn, &process, &err), -1);
	ck_error(err, ZL_PERMISSION_DENIED, "/etc/passwd");
	ck_assert_int_eq(process.pidfd, -1);
	ck_assert_uint_eq(open_descriptors(), before);
	ck_assert_int_eq(waitpid(-1, NULL, WNOHANG), -1);
}
END_TEST

// A child has exactly what it was given.
START_TEST(passes_only_named_descriptors)
{
	zl_auto(outcome) struct outcome x = OUTCOME_INIT;
	const char *const argv[] = {"sh", "-c", "cat <&3; cat <&5; ls /proc/self/fd", NULL};
	struct zl_spawn spawn = ZL_SPAWN_INIT;
	size_t before = open_descriptors();
	int stray = dup(STDERR_FILENO); // without close-on-exec, as careless libraries leave them
	int files[3];

	for (int i = 0; i < 3; i++) {
		char text[] = {(char)('a' + i), '\n'};

		files[i] = memfd_create("test", MFD_CLOEXEC);
		ck_assert_int_eq(write(files[i], text, 2), 2);
		ck_assert_int_eq(lseek(files[i], 0, SEEK_SET), 0);
	}
	spawn.program = "/bin/sh";
	spawn.argv = argv;
	spawn.extra_fds = files;
	spawn.extra_count = 3;
	ck_ok(zl_spawn_run(&spawn, NULL, 0, &x.out, &x.diagnostics, NULL, -1, &x.status, &x.err),
	        x.err);
	// 6 is the directory that ls reads.
	ck_assert_str_eq(zl_buffer_string(&x.out), "a\nc\n0\n1\n2\n3\n4\n5\n6\n");
	for (int i = 0; i < 3; i++)
		zl_close(files[i]);
	zl_close(stray);
	ck_assert_uint_eq(open_descriptors(), before);
}
END_TEST

static int high_file(const char *text)
{
	int file = memfd_create("test", MFD_CLOEXEC);
	int high = fcntl(file, F_DUPFD_CLOEXEC, 100);

	ck_assert_int_ge(high, 0);
	zl_close(file);
	ck_assert_int_eq(write(high, text, strlen(text)), (ssize_t)strlen(text));
	ck_assert_int_eq(lseek(high, 0, SEEK_SET), 0);
	return high;
}

// Descriptors that lie where others must go: 4 and 3 swapped, and stdout from 0, stdin from 1.
// Check itself writes to low descriptors, so nothing is asserted while they are replaced.
START_TEST(permutes_descriptors)
{
	const char *const argv[] = {
	        "sh", "-c", "cat; cat <&3; cat <&4; echo out; echo err >&2", NULL};
	struct zl_spawn spawn = ZL_SPAWN_INIT;
	struct zl_process process = ZL_PROCESS_INIT;
	struct zl_error err = ZL_ERROR_INIT;
	int files[] = {
	        high_file(""), high_file("input\n"), -1, high_file("three\n"), high_file("four\n")};
	int extra[] = {4, 3};
	char text[64] = {0};
	int saved[5];
	int status = -1;

	for (int i = 0; i < 5; i++) {
		saved[i] = fcntl(i, F_DUPFD_CLOEXEC, 100);
		if (files[i] >= 0)
			(void)dup3(files[i], i, O_CLOEXEC);
	}
	spawn.program = "/bin/sh";
	spawn.argv = argv;
	spawn.stdin_fd = 1;
	spawn.stdout_fd = 0;
	spawn.stderr_fd = 0;
	spawn.extra_fds = extra;
	spawn.extra_count = 2;
	(void)zl_spawn_start(&spawn, &process, &err);
	(void)zl_process_wait(&process, NULL, -1, &status, &err);
	for (int i = 0; i < 5; i++) {
		if (saved[i] >= 0)
			(void)dup2(saved[i], i);
		else
			(void)close(i);
	}
	ck_assert_msg(status == 0, "status %d: %s", status, err.message);
	ck_assert_int_gt(pread(files[0], text, sizeof(text) - 1, 0), 0);
	ck_assert_str_eq(text, "input\nfour\nthree\nout\nerr\n");
}
END_TEST

START_TEST(gives_no_terminal_and_no_input)
{
	const char *const argv[] = {"sh", "-c", "cat && readlink /proc/self/fd/0 >&3", NULL};
	struct zl_spawn spawn = ZL_SPAWN_INIT;
	struct zl_process process = ZL_PROCESS_INIT;
	struct zl_error err = ZL_ERROR_INIT;
	char text[32] = {0};
	int ends[2];
	int status = -1;

	ck_assert_int_eq(pipe2(ends, O_CLOEXEC), 0);
	spawn.program = "/bin/sh";
	spawn.argv = argv;
	spawn.extra_fds = &ends[1];
	spawn.extra_count = 1;
	ck_ok(zl_spawn_start(&spawn, &process, &err), err);
	ck_ok(zl_process_wait(&process, NULL, -1, &status, &err), err);
	ck_assert_int_eq(status, 0);
	ck_assert_int_gt(read(ends[0], text, sizeof(text) - 1), 0);
	ck_assert_str_eq(text, "/dev/null\n");
	zl_close(ends[0]);
	zl_close(ends[1]);
}
END_TEST

// However our own thread blocks and handles signals, a child starts with none blocked or ignored,
// as the leader of a group of its own.
START_TEST(resets_signals_and_group)
{
	zl_auto(outcome) struct outcome x = OUTCOME_INIT;
	sigset_t all;

	(void)signal(SIGPIPE, SIG_IGN);
	(void)signal(SIGHUP, SIG_IGN);
	(void)signal(SIGUSR1, SIG_IGN);
	sigfillset(&all);
	ck_assert_int_eq(pthread_sigmask(SIG_BLOCK, &all, NULL), 0);
	// 32 and 33 are the C library's own: its posix_spawn leaves them ignored in children,
	// make's too.
	ck_ok(shell("grep -E '^Sig(Blk|Ign)' /proc/self/status | sed "
	            "'s/0000000180000000/0000000000000000/'; "
	            "set -- $(cat /proc/$$/stat); "
	            "[ $1 = $5 ] && echo leader",
	              &x, NULL, -1),
	        x.err);
	ck_assert_str_eq(zl_buffer_string(&x.out),
	        "SigBlk:\t0000000000000000\nSigIgn:\t0000000000000000\nleader\n");
}
END_TEST

START_TEST(gives_the_environment)
{
	const char *const env[] = {"A=1", "B=two words", NULL};
	const char *const argv[] = {"env", NULL};
	zl_auto(outcome) struct outcome x = OUTCOME_INIT;
	struct zl_spawn spawn = ZL_SPAWN_INIT;

	spawn.program = "/usr/bin/env";
	spawn.argv = argv;
	spawn.env = env;
	ck_ok(zl_spawn_run(&spawn, NULL, 0, &x.out, NULL, NULL, -1, &x.status, &x.err), x.err);
	ck_assert_str_eq(zl_buffer_string(&x.out), "A=1\nB=two words\n");
	ck_assert_int_eq(setenv("ZL_UNIT", "here", 1), 0);
	ck_ok(shell("echo $ZL_UNIT", &x, NULL, -1), x.err);
	ck_assert_ptr_nonnull(strstr(zl_buffer_string(&x.out), "here\n"));
}
END_TEST

START_TEST(checks_the_exit_status)
{
	const char *const good[] = {"/bin/sh", "-c", "echo fine; echo noise >&2", NULL};
	const char *const bad[] = {
	        "/bin/sh", "-c", "echo a >&2; echo 'the reason ' >&2; exit 4", NULL};
	const char *const silent[] = {"/bin/sh", "-c", "exit 5", NULL};
	const char *const missing[] = {"/no/such", NULL};
	zl_auto(buffer) struct zl_buffer out = ZL_BUFFER_INIT;
	struct zl_error err = ZL_ERROR_INIT;

	ck_ok(zl_spawn_check(good, &out, NULL, -1, &err), err);
	ck_assert_str_eq(zl_buffer_string(&out), "fine\n");
	ck_assert_int_eq(zl_spawn_check(bad, NULL, NULL, -1, &err), -1);
	ck_assert_str_eq(err.message, "/bin/sh: exit status 4: the reason");
	ck_assert_int_eq(err.code, ZL_INTERNAL);
	ck_assert_int_eq(zl_spawn_check(silent, NULL, NULL, -1, &err), -1);
	ck_assert_str_eq(err.message, "/bin/sh: exit status 5: it printed nothing");
	ck_assert_int_eq(zl_spawn_check(missing, NULL, NULL, -1, &err), -1);
	ck_error(err, ZL_NOT_FOUND, "/no/such");
}
END_TEST

START_TEST(leaks_no_descriptors)
{
	size_t before = open_descriptors();

	for (int i = 0; i < 20; i++) {
		zl_auto(outcome) struct outcome x = OUTCOME_INIT;

		ck_ok(shell("echo x; echo y >&2", &x, NULL, -1), x.err);
	}
	ck_assert_uint_eq(open_descriptors(), before);
}
END_TEST

START_TEST(ends_what_is_left)
{
	const char *const argv[] = {"sleep", "1000", NULL};
	struct zl_spawn spawn = ZL_SPAWN_INIT;
	struct zl_process process = ZL_PROCESS_INIT;
	struct zl_error err = ZL_ERROR_INIT;
	pid_t pid;

	spawn.program = "sleep";
	spawn.argv = argv;
	ck_ok(zl_spawn_start(&spawn, &process, &err), err);
	ck_assert_int_gt(process.pid, 0);
	pid = process.pid;
	zl_process_end(&process);
	ck_assert_int_eq(kill(pid, 0), -1);
	ck_assert_int_eq(process.pidfd, -1);
	zl_process_end(&process); // nothing left: nothing happens
}
END_TEST

START_TEST(refuses_too_many_descriptors)
{
	const char *const argv[] = {"true", NULL};
	struct zl_spawn spawn = ZL_SPAWN_INIT;
	struct zl_process process = ZL_PROCESS_INIT;
	struct zl_error err = ZL_ERROR_INIT;
	int fds[17] = {0};

	spawn.program = "true";
	spawn.argv = argv;
	spawn.extra_fds = fds;
	spawn.extra_count = 17;
	ck_assert_int_eq(zl_spawn_start(&spawn, &process, &err), -1);
	ck_assert_int_eq(err.code, ZL_INTERNAL);
	fds[0] = 12345;
	spawn.extra_count = 1;
	ck_assert_int_eq(zl_spawn_start(&spawn, &process, &err), -1);
	ck_assert_int_eq(err.errnum, EBADF);
}
END_TEST

SUITE(spawn, gathers_both_outputs_and_the_status, tells_a_signal, exchanges_more_than_a_pipe_holds,
        survives_a_child_that_does_not_read, kills_what_prints_too_much,
        drops_diagnostics_that_are_too_long, kills_the_whole_group_at_its_time,
        kills_the_whole_group_when_cancelled, run_ends_at_its_time,
        run_ends_at_its_time_without_output, run_is_woken_by_any_ancestor, names_a_missing_program,
        passes_only_named_descriptors, permutes_descriptors, gives_no_terminal_and_no_input,
        resets_signals_and_group, gives_the_environment, checks_the_exit_status,
        leaks_no_descriptors, ends_what_is_left, refuses_too_many_descriptors)
