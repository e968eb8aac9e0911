// SPDX-License-Identifier: Apache-2.0
#include "base/spawn.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <spawn.h>
#include <string.h>
#include <sys/pidfd.h>
#include <sys/wait.h>

#include "base/clock.h"

enum {
	STDIO_COUNT = 3,
	FIRST_EXTRA_FD = 3,
	EXTRA_MAX = 16,
	PIPE_CHUNK = 64 * 1024,
	DIAGNOSTICS_MAX = 64 * 1024
};

// Descriptors of ours that lie where one of the child's must go are first copied above all of
// those: a dup2 would overwrite them, or, onto itself, keep close-on-exec. The copies are closed
// after the start.
struct moved {
	int fds[STDIO_COUNT + EXTRA_MAX];
	size_t count;
	int lowest; // first descriptor that the child does not get
};

static int move_up(struct moved *moved, int *fd)
{
	int copy = fcntl(*fd, F_DUPFD_CLOEXEC, moved->lowest);

	if (copy < 0)
		return errno;
	moved->fds[moved->count++] = copy;
	*fd = copy;
	return 0;
}

static int add_stdio(posix_spawn_file_actions_t *actions, int from, int to, struct moved *moved)
{
	int failure = 0;

	if (from < 0)
		return posix_spawn_file_actions_addopen(
		        actions, to, "/dev/null", to == STDIN_FILENO ? O_RDONLY : O_WRONLY, 0);
	if (from < FIRST_EXTRA_FD && from != to)
		failure = move_up(moved, &from);
	return failure != 0 ? failure : posix_spawn_file_actions_adddup2(actions, from, to);
}

static int add_extra(
        posix_spawn_file_actions_t *actions, const struct zl_spawn *spawn, struct moved *moved)
{
	int failure = 0;

	for (size_t i = 0; failure == 0 && i < spawn->extra_count; i++) {
		int from = spawn->extra_fds[i];

		failure = move_up(moved, &from);
		if (failure == 0)
			failure = posix_spawn_file_actions_adddup2(
			        actions, from, FIRST_EXTRA_FD + (int)i);
	}
	return failure;
}

static int prepare_attributes(posix_spawnattr_t *attributes)
{
	sigset_t none;
	sigset_t all;

	sigemptyset(&none);
	sigfillset(&all);
	posix_spawnattr_setsigmask(attributes, &none);
	posix_spawnattr_setsigdefault(attributes, &all);
	posix_spawnattr_setpgroup(attributes, 0);
	return posix_spawnattr_setflags(
	        attributes, POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETSIGDEF | POSIX_SPAWN_SETPGROUP);
}

static int fill_actions(
        posix_spawn_file_actions_t *actions, const struct zl_spawn *spawn, struct moved *moved)
{
	int failure = add_stdio(actions, spawn->stdin_fd, STDIN_FILENO, moved);

	if (failure == 0)
		failure = add_stdio(actions, spawn->stdout_fd, STDOUT_FILENO, moved);
	if (failure == 0 && spawn->stderr_fd >= 0)
		failure = add_stdio(actions, spawn->stderr_fd, STDERR_FILENO, moved);
	if (failure == 0)
		failure = add_extra(actions, spawn, moved);
	// Libraries forget close-on-exec; a child must not hold a database or a device open.
	if (failure == 0)
		failure = posix_spawn_file_actions_addclosefrom_np(actions, moved->lowest);
	return failure;
}

int zl_spawn_start(const struct zl_spawn *spawn, struct zl_process *ret, struct zl_error *err)
{
	char *const *env = spawn->env != NULL ? (char *const *)spawn->env : environ;
	posix_spawn_file_actions_t actions;
	posix_spawnattr_t attributes;
	struct moved moved = {.lowest = FIRST_EXTRA_FD + (int)spawn->extra_count};
	int pidfd = -1;
	int failure;

	if (spawn->extra_count > EXTRA_MAX)
		return zl_error_set(err, ZL_INTERNAL, "too many descriptors for a child");
	posix_spawn_file_actions_init(&actions);
	posix_spawnattr_init(&attributes);
	failure = prepare_attributes(&attributes);
	if (failure == 0)
		failure = fill_actions(&actions, spawn, &moved);
	if (failure == 0)
		failure = pidfd_spawnp(&pidfd, spawn->program, &actions, &attributes,
		        (char *const *)spawn->argv, env);
	posix_spawnattr_destroy(&attributes);
	posix_spawn_file_actions_destroy(&actions);
	for (size_t i = 0; i < moved.count; i++)
		zl_close(moved.fds[i]);
	if (failure != 0)
		return zl_error_errno(err, failure, "start %s", spawn->program);
	ret->pidfd = pidfd;
	ret->pid = pidfd_getpid(pidfd);
	return 0;
}

static int reap(struct zl_process *process, int *ret_status)
{
	siginfo_t info = {0};

	while (waitid(P_PIDFD, (id_t)process->pidfd, &info, WEXITED) < 0) {
		if (errno != EINTR)
			return -1;
	}
	if (ret_status != NULL)
		*ret_status = info.si_code == CLD_EXITED ? W_EXITCODE(info.si_status, 0)
		                                         : W_EXITCODE(0, info.si_status);
	process->pidfd = zl_close(process->pidfd);
	process->pid = 0;
	return 0;
}

void zl_process_end(struct zl_process *process)
{
	if (process->pidfd < 0)
		return;
	if (process->pid > 0)
		(void)kill(-process->pid, SIGKILL);
	(void)pidfd_send_signal(process->pidfd, SIGKILL, NULL, 0);
	(void)reap(process, NULL);
	process->pidfd = zl_close(process->pidfd);
}

int zl_process_wait(struct zl_process *process, const struct zl_cancel *cancel, int timeout_ms,
        int *ret_status, struct zl_error *err)
{
	if (zl_cancel_poll(cancel, process->pidfd, POLLIN, timeout_ms, err) < 0) {
		zl_process_end(process);
		return -1;
	}
	if (reap(process, ret_status) < 0)
		return zl_error_errno(err, errno, "wait for a child");
	return 0;
}

// The pipes of zl_spawn_run, our ends.
struct exchange {
	int input;
	int out;
	int diagnostics;
	const char *bytes; // input not yet written
	size_t left;
};

static void end_exchange(struct exchange *x)
{
	x->input = zl_close(x->input);
	x->out = zl_close(x->out);
	x->diagnostics = zl_close(x->diagnostics);
}

// A write that is an error, not a signal, when the reader is gone, whatever the program does with
// SIGPIPE. One that was pending before stays pending.
static ssize_t write_quietly(int fd, const void *bytes, size_t length)
{
	static const struct timespec now = {0};
	sigset_t pipe_only;
	sigset_t before;
	sigset_t pending;
	ssize_t done;

	sigemptyset(&pipe_only);
	sigaddset(&pipe_only, SIGPIPE);
	sigpending(&pending);
	pthread_sigmask(SIG_BLOCK, &pipe_only, &before);
	done = write(fd, bytes, length);
	if (done < 0 && errno == EPIPE && !sigismember(&pending, SIGPIPE)) {
		(void)sigtimedwait(&pipe_only, NULL, &now);
		errno = EPIPE;
	}
	pthread_sigmask(SIG_SETMASK, &before, NULL);
	return done;
}

static void push_input(struct exchange *x)
{
	ssize_t done = x->left > 0 ? write_quietly(x->input, x->bytes, x->left) : 0;

	if (done < 0 && (errno == EAGAIN || errno == EINTR))
		return;
	if (done > 0) {
		x->bytes += done;
		x->left -= (size_t)done;
	}
	if (done < 0 || x->left == 0)
		x->input = zl_close(x->input);
}

// Takes what is there. Output past a buffer's limit is an error if `strict`, else dropped.
static int pull_output(int *fd, struct zl_buffer *to, bool strict, struct zl_error *err)
{
	char chunk[PIPE_CHUNK];
	ssize_t got = read(*fd, chunk, sizeof(chunk));
	size_t keep;

	if (got < 0 && (errno == EAGAIN || errno == EINTR))
		return 0;
	if (got <= 0) {
		*fd = zl_close(*fd);
		return 0;
	}
	if (to == NULL)
		return 0;
	keep = (size_t)got;
	if (!strict && to->limit > 0 && to->length + keep > to->limit)
		keep = to->limit - to->length;
	return zl_buffer_append(to, chunk, keep, err);
}

static int exchange_all(struct exchange *x, struct zl_buffer *out, struct zl_buffer *diagnostics,
        const struct zl_cancel *cancel, struct zl_error *err)
{
	while (x->input >= 0 || x->out >= 0 || x->diagnostics >= 0) {
		struct pollfd fds[3 + ZL_CANCEL_DEPTH] = {
		        {.fd = x->out, .events = POLLIN},
		        {.fd = x->diagnostics, .events = POLLIN},
		        {.fd = x->input, .events = POLLOUT},
		};
		nfds_t count = 3 + zl_cancel_fds(cancel, fds + 3);
		int ready = poll(fds, count, zl_cancel_remaining_ms(cancel));

		if (ready < 0 && errno != EINTR)
			return zl_error_errno(err, errno, "poll");
		if (zl_cancel_check(cancel, err) < 0)
			return -1;
		if (fds[0].revents != 0 && pull_output(&x->out, out, true, err) < 0)
			return -1;
		if (fds[1].revents != 0 &&
		        pull_output(&x->diagnostics, diagnostics, false, err) < 0)
			return -1;
		if (fds[2].revents != 0)
			push_input(x);
	}
	return 0;
}

static int make_pipe(int *ours, int *theirs, bool we_read, struct zl_error *err)
{
	int ends[2];

	if (pipe2(ends, O_CLOEXEC) < 0)
		return zl_error_errno(err, errno, "make a pipe");
	*ours = we_read ? ends[0] : ends[1];
	*theirs = we_read ? ends[1] : ends[0];
	(void)fcntl(*ours, F_SETFL, O_NONBLOCK);
	return 0;
}

static int start_with_pipes(const struct zl_spawn *spawn, struct exchange *x,
        struct zl_process *process, struct zl_error *err)
{
	zl_auto(fd) int child_in = -1;
	zl_auto(fd) int child_out = -1;
	zl_auto(fd) int child_err = -1;
	struct zl_spawn piped = *spawn;

	if (make_pipe(&x->input, &child_in, false, err) < 0 ||
	        make_pipe(&x->out, &child_out, true, err) < 0 ||
	        make_pipe(&x->diagnostics, &child_err, true, err) < 0)
		return -1;
	piped.stdin_fd = child_in;
	piped.stdout_fd = child_out;
	piped.stderr_fd = child_err;
	return zl_spawn_start(&piped, process, err);
}

int zl_spawn_run(const struct zl_spawn *spawn, const void *input, size_t input_length,
        struct zl_buffer *out, struct zl_buffer *diagnostics, const struct zl_cancel *cancel,
        int timeout_ms, int *ret_status, struct zl_error *err)
{
	int64_t end = timeout_ms < 0 ? INT64_MAX : zl_clock_monotonic() + timeout_ms * ZL_NS_PER_MS;
	struct zl_cancel limit = {.fd = -1, .deadline_ns = end, .parent = cancel};
	zl_auto(process) struct zl_process process = ZL_PROCESS_INIT;
	struct exchange x = {-1, -1, -1, input, input_length};
	int result = start_with_pipes(spawn, &x, &process, err);

	if (result == 0)
		result = exchange_all(&x, out, diagnostics, &limit, err);
	end_exchange(&x);
	if (result < 0)
		return zl_error_wrap(err, "%s", spawn->program);
	if (zl_process_wait(&process, &limit, -1, ret_status, err) < 0)
		return zl_error_wrap(err, "%s", spawn->program);
	return 0;
}

// The last line with text in it, which is where programs say what went wrong.
static const char *last_line(struct zl_buffer *text)
{
	char *start = (char *)text->data;
	char *line;

	if (start == NULL)
		return "it printed nothing";
	while (text->length > 0 && strchr("\n\r \t", start[text->length - 1]) != NULL)
		start[--text->length] = '\0';
	line = strrchr(start, '\n');
	line = line != NULL ? line + 1 : start;
	return *line != '\0' ? line : "it printed nothing";
}

int zl_spawn_check(const char *const *argv, struct zl_buffer *out, const struct zl_cancel *cancel,
        int timeout_ms, struct zl_error *err)
{
	zl_auto(buffer) struct zl_buffer text = ZL_BUFFER_LIMIT(DIAGNOSTICS_MAX);
	struct zl_spawn spawn = ZL_SPAWN_INIT;
	char reason[64];
	int status = 0;

	spawn.program = argv[0];
	spawn.argv = argv;
	if (zl_spawn_run(&spawn, NULL, 0, out, &text, cancel, timeout_ms, &status, err) < 0)
		return -1;
	if (status == 0)
		return 0;
	return zl_error_set(err, ZL_INTERNAL, "%s: %s: %s", argv[0],
	        zl_status_describe(status, reason, sizeof(reason)), last_line(&text));
}

const char *zl_status_describe(int status, char *out, size_t size)
{
	if (WIFEXITED(status)) {
		(void)snprintf(out, size, "exit status %d", WEXITSTATUS(status));
	} else {
		const char *name = sigdescr_np(WTERMSIG(status));

		(void)snprintf(out, size, "killed by signal %d (%s)", WTERMSIG(status),
		        name != NULL ? name : "unknown");
	}
	return out;
}
