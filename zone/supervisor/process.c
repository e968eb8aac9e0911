// SPDX-License-Identifier: Apache-2.0
#include "zone/supervisor/process.h"
#include "zone/protocol/enclosing.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stddef.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/clock.h"

void zl_process_init(struct zl_process_state *p, struct zl_supervisor *s, const char *container_id,
        const char *exec_id, bool terminal, bool stdin_open)
{
	p->supervisor = s;
	(void)snprintf(p->container_id, sizeof(p->container_id), "%s", container_id);
	(void)snprintf(p->exec_id, sizeof(p->exec_id), "%s", exec_id != NULL ? exec_id : "");
	p->terminal = terminal;
	p->console_socket = (struct zl_console)ZL_CONSOLE_INIT;
	p->console = -1;
	for (size_t i = 0; i < ZL_ARRAY_SIZE(p->ours); i++) {
		p->ours[i] = -1;
		p->theirs[i] = -1;
	}
	zl_output_init(&p->outputs[0], &s->reactor, s->next_stream++);
	zl_output_init(&p->outputs[1], &s->reactor, terminal ? 0 : s->next_stream++);
	zl_input_init(&p->input, &s->reactor, stdin_open ? s->next_stream++ : 0);
	p->input.keep_open = terminal;
}

void zl_process_close_theirs(struct zl_process_state *p)
{
	for (size_t i = 0; i < ZL_ARRAY_SIZE(p->theirs); i++)
		p->theirs[i] = zl_close(p->theirs[i]);
}

static void close_ours(struct zl_process_state *p)
{
	for (size_t i = 0; i < ZL_ARRAY_SIZE(p->ours); i++)
		p->ours[i] = zl_close(p->ours[i]);
	zl_console_close(&p->console_socket);
}

void zl_process_release(struct zl_process_state *p)
{
	if (p->supervisor == NULL)
		return;
	zl_child_forget(&p->supervisor->reactor, &p->child);
	zl_process_close_theirs(p);
	close_ours(p);
	p->console = zl_close(p->console);
	zl_output_release(&p->outputs[0]);
	zl_output_release(&p->outputs[1]);
	zl_input_release(&p->input);
}

// ---- stdio

static int open_pipe(int *read_end, int *write_end, const int *ours, struct zl_error *err)
{
	int ends[2];

	if (pipe2(ends, O_CLOEXEC) < 0)
		return zl_error_errno(err, errno, "make a pipe");
	*read_end = ends[0];
	*write_end = ends[1];
	if (fcntl(*ours, F_SETFL, O_NONBLOCK) < 0)
		return zl_error_errno(err, errno, "make a pipe");
	return 0;
}

int zl_process_open_stdio(struct zl_process_state *p, const char *directory, struct zl_error *err)
{
	if (p->terminal)
		return zl_console_listen(&p->console_socket, directory, err);
	if (p->input.stream.id != 0 && open_pipe(&p->theirs[0], &p->ours[0], &p->ours[0], err) < 0)
		return -1;
	if (open_pipe(&p->ours[1], &p->theirs[1], &p->ours[1], err) < 0 ||
	        open_pipe(&p->ours[2], &p->theirs[2], &p->ours[2], err) < 0)
		return -1;
	return 0;
}

const char *zl_process_console_path(const struct zl_process_state *p, char *out, size_t size)
{
	(void)snprintf(out, size, "/proc/%d/fd/%d/" ZL_CONSOLE_NAME, getpid(),
	        p->console_socket.directory);
	return out;
}

// The terminal has one descriptor for each direction, and one for its size.
static int take_console(struct zl_process_state *p, struct zl_error *err)
{
	p->console = zl_console_receive(&p->console_socket, err);
	if (p->console < 0)
		return -1;
	(void)fcntl(p->console, F_SETFL, O_NONBLOCK);
	p->ours[1] = fcntl(p->console, F_DUPFD_CLOEXEC, 0);
	if (p->input.stream.id != 0)
		p->ours[0] = fcntl(p->console, F_DUPFD_CLOEXEC, 0);
	if (p->ours[1] < 0 || (p->input.stream.id != 0 && p->ours[0] < 0))
		return zl_error_errno(err, errno, "use the terminal");
	return 0;
}

static int start_streams(struct zl_process_state *p, struct zl_error *err)
{
	if (p->terminal && take_console(p, err) < 0)
		return -1;
	if (p->input.stream.id != 0 && zl_input_start(&p->input, zl_take_fd(&p->ours[0]), err) < 0)
		return -1;
	if (zl_output_start(&p->outputs[0], zl_take_fd(&p->ours[1]), err) < 0)
		return -1;
	if (!p->terminal && zl_output_start(&p->outputs[1], zl_take_fd(&p->ours[2]), err) < 0)
		return -1;
	return 0;
}

void zl_process_failed(struct zl_process_state *p)
{
	zl_process_close_theirs(p);
	close_ours(p);
	zl_output_end(&p->outputs[0]);
	if (!p->terminal)
		zl_output_end(&p->outputs[1]);
	zl_input_refuse(&p->input);
}

void zl_process_hang_up(struct zl_process_state *p)
{
	close_ours(p);
	p->console = zl_close(p->console);
	zl_output_end(&p->outputs[0]);
	zl_output_end(&p->outputs[1]);
	zl_input_refuse(&p->input);
}

// ---- the end

static void note_end(struct zl_process_state *p, int status)
{
	p->exited = true;
	p->exit_code = WIFSIGNALED(status) ? 128 + WTERMSIG(status) : WEXITSTATUS(status);
	p->finished_ns = zl_clock_real();
	zl_input_refuse(&p->input);
	p->ended(p);
}

static void child_exited(struct zl_child *child, int status)
{
	note_end(ZL_ENCLOSING(child, struct zl_process_state, child), status);
}

int zl_process_started(struct zl_process_state *p, pid_t pid, struct zl_error *err)
{
	int status = 0;
	int result = start_streams(p, err);

	p->child.pid = pid;
	p->child.exited = child_exited;
	if (result < 0)
		(void)kill(pid, SIGKILL);
	if (zl_child_watch(&p->supervisor->reactor, &p->child, &status))
		note_end(p, status);
	return result;
}

int zl_process_resize(
        struct zl_process_state *p, uint32_t columns, uint32_t rows, struct zl_error *err)
{
	struct winsize size = {.ws_col = (unsigned short)columns, .ws_row = (unsigned short)rows};

	if (columns == 0 || rows == 0 || columns > UINT16_MAX || rows > UINT16_MAX)
		return zl_error_set(err, ZL_INVALID_ARGUMENT, "a terminal of %u by %u characters",
		        columns, rows);
	if (p->console < 0)
		return zl_error_set(err, ZL_FAILED_PRECONDITION,
		        "the process has no terminal (or is not running)");
	if (ioctl(p->console, TIOCSWINSZ, &size) < 0)
		return zl_error_errno(err, errno, "set the terminal's size");
	return 0;
}

// ---- the channel's side

bool zl_process_frame(struct zl_process_state *p, const struct zl_frame *frame, int *ret_result,
        struct zl_error *err)
{
	bool from_reader = frame->kind == ZL_FRAME_ACK || frame->kind == ZL_FRAME_RESET;

	for (size_t i = 0; i < ZL_ARRAY_SIZE(p->outputs); i++) {
		if (p->outputs[i].stream.id != frame->stream)
			continue;
		*ret_result = from_reader ? zl_output_frame(&p->outputs[i], frame, err)
		                          : zl_error_set(err, ZL_DATA_LOSS,
		                                    "the daemon wrote to an output stream");
		return true;
	}
	if (p->input.stream.id != frame->stream)
		return false;
	*ret_result = zl_input_frame(&p->input, frame, err);
	return true;
}

void zl_process_fill(struct zl_process_state *p, struct zl_link *link)
{
	if (link->flowing) {
		zl_output_fill(&p->outputs[0], link);
		if (!p->terminal)
			zl_output_fill(&p->outputs[1], link);
	}
	if (p->input.stream.id != 0)
		zl_input_fill(&p->input, link);
}

void zl_process_read_rest(struct zl_process_state *p)
{
	for (size_t i = 0; i < ZL_ARRAY_SIZE(p->outputs); i++)
		zl_output_read(&p->outputs[i]);
}

void zl_process_rewind(struct zl_process_state *p)
{
	zl_stream_out_rewind(&p->outputs[0].stream);
	zl_stream_out_rewind(&p->outputs[1].stream);
	p->input.ack_due = false;
	p->input.reset_due = p->input.refused;
}

static Zl__Zone__Stream *describe_output(const struct zl_output *output, Zl__Zone__Stream *to)
{
	const struct zl_stream_out *from = &output->stream;
	uint64_t sent = from->reached < from->end ? from->reached : from->end;

	zl__zone__stream__init(to);
	to->id = from->id;
	to->acknowledged = from->base;
	to->end = sent > from->base ? sent : from->base;
	return to;
}

void zl_process_describe(
        struct zl_process_state *p, Zl__Zone__Opened *opened, Zl__Zone__Stream streams[static 3])
{
	zl__zone__opened__init(opened);
	opened->stdout_stream = describe_output(&p->outputs[0], &streams[1]);
	opened->stderr_stream = describe_output(&p->outputs[1], &streams[2]);
	zl__zone__stream__init(&streams[0]);
	streams[0].id = p->input.stream.id;
	// Bytes that wait to be written are ours already.
	streams[0].acknowledged = p->input.stream.next;
	streams[0].end = p->input.stream.next;
	opened->stdin_stream = &streams[0];
}

bool zl_process_outputs_complete(const struct zl_process_state *p)
{
	return zl_stream_out_complete(&p->outputs[0].stream) &&
	       (p->terminal || zl_stream_out_complete(&p->outputs[1].stream));
}
