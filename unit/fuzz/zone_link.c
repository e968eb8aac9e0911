// SPDX-License-Identifier: Apache-2.0
//
// The supervisor's end of the channel: what a daemon (of another version, or broken) could send.
#include <fcntl.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/log.h"
#include "zone/supervisor/process.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static struct zl_process_state process;

static void take_request(void *user, struct zl_reply reply, Zl__Zone__ToZone *message)
{
	struct zl_supervisor *s = user;

	zl_link_reply_done(&s->link, reply);
	zl_zone_message_free(message);
}

static int take_frame(void *user, const struct zl_frame *frame, struct zl_error *err)
{
	int result = 0;

	(void)user;
	(void)zl_process_frame(&process, frame, &result, err);
	if (process.input.pending.length > ZL_STREAM_WINDOW)
		abort();
	return result;
}

static int hello(void *user, Zl__Zone__HelloReply *reply, struct zl_error *err)
{
	(void)user, (void)reply, (void)err;
	zl_process_rewind(&process);
	return 0;
}

static void hello_done(void *user, Zl__Zone__HelloReply *reply)
{
	(void)user, (void)reply;
}

static void fill(void *user)
{
	struct zl_supervisor *s = user;

	zl_process_fill(&process, &s->link);
}

static const struct zl_link_handlers handlers = {take_request, take_frame, hello, hello_done, fill};

static void quiet(enum zl_log_level level, const char *message, const struct zl_log_scope *fields)
{
	(void)level, (void)message, (void)fields;
}

static void ended(struct zl_process_state *p)
{
	(void)p;
}

static void make_process(struct zl_supervisor *s)
{
	size_t room = 0;

	process = (struct zl_process_state){.ended = ended};
	zl_process_init(&process, s, "c", NULL, false, true);
	// Some output is there, and stdin is a pipe that nobody empties.
	(void)zl_stream_out_space(&process.outputs[0].stream, &room, NULL);
	zl_stream_out_put(&process.outputs[0].stream, 100);
	zl_stream_out_end(&process.outputs[0].stream);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static struct zl_supervisor s;
	struct zl_error err = ZL_ERROR_INIT;
	uint8_t rubbish[4096];
	int ends[2];

	zl_log_set_sink(quiet);
	s = (struct zl_supervisor){.next_stream = 1};
	if (zl_reactor_init(&s.reactor, &err) < 0 ||
	        socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, ends) < 0)
		abort();
	zl_link_init(&s.link, &s.reactor, &handlers, &s);
	make_process(&s);
	(void)zl_link_accept(&s.link, ends[1], &err);
	while (size > 0 && s.link.transport != NULL) {
		ssize_t sent = send(ends[0], data, size, MSG_NOSIGNAL);

		if (sent <= 0)
			break;
		data += sent;
		size -= (size_t)sent;
		s.link.source.ready(&s.link.source, EPOLLIN);
		zl_link_flush(&s.link);
		while (read(ends[0], rubbish, sizeof(rubbish)) > 0)
			;
	}
	zl_process_release(&process);
	zl_link_release(&s.link);
	zl_reactor_release(&s.reactor);
	zl_close(ends[0]);
	return 0;
}
