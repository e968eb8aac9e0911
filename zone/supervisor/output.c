// SPDX-License-Identifier: Apache-2.0
#include <errno.h>
#include <stddef.h>
#include <sys/epoll.h>
#include <unistd.h>

#include "zone/protocol/enclosing.h"
#include "zone/supervisor/stdio.h"

void zl_output_init(struct zl_output *output, struct zl_reactor *reactor, uint32_t id)
{
	*output =
	        (struct zl_output){.reactor = reactor, .stream = {.id = id}, .source = {.fd = -1}};
}

void zl_output_end(struct zl_output *output)
{
	zl_source_close(output->reactor, &output->source);
	zl_stream_out_end(&output->stream);
	if (output->discarding)
		zl_stream_out_discard(&output->stream);
}

// Reads until the pipe is empty or the ring is full.
static void read_some(struct zl_output *output)
{
	struct zl_error err = ZL_ERROR_INIT;

	for (;;) {
		size_t room = 0;
		uint8_t *to = zl_stream_out_space(&output->stream, &room, &err);
		ssize_t got;

		if (to == NULL || room == 0)
			break;
		got = read(output->source.fd, to, room);
		if (got < 0 && (errno == EAGAIN || errno == EINTR))
			return;
		if (got <= 0) { // the end; EIO is a terminal's
			zl_output_end(output);
			return;
		}
		zl_stream_out_put(&output->stream, (size_t)got);
		if (output->discarding)
			zl_stream_out_discard(&output->stream);
	}
	// Full. Not even a hang-up may wake us before there is room.
	(void)zl_source_watch(output->reactor, &output->source, 0, NULL);
}

static void output_ready(struct zl_source *source, uint32_t events)
{
	(void)events;
	read_some(ZL_ENCLOSING(source, struct zl_output, source));
}

void zl_output_read(struct zl_output *output)
{
	if (output->source.fd >= 0)
		read_some(output);
}

int zl_output_start(struct zl_output *output, int fd, struct zl_error *err)
{
	output->source = (struct zl_source){.fd = fd, .ready = output_ready};
	return zl_source_watch(output->reactor, &output->source, EPOLLIN, err);
}

void zl_output_release(struct zl_output *output)
{
	if (output->reactor == NULL)
		return;
	zl_source_close(output->reactor, &output->source);
	zl_stream_out_release(&output->stream);
}

int zl_output_frame(struct zl_output *output, const struct zl_frame *frame, struct zl_error *err)
{
	if (frame->kind == ZL_FRAME_RESET) {
		output->discarding = true;
		zl_stream_out_discard(&output->stream);
	} else if (zl_stream_out_ack(&output->stream, frame->offset, err) < 0) {
		return -1;
	}
	return zl_source_watch(output->reactor, &output->source, EPOLLIN, err);
}

void zl_output_fill(struct zl_output *output, struct zl_link *link)
{
	struct zl_frame frame;

	while (zl_link_room(link) && zl_stream_out_next(&output->stream, &frame))
		zl_link_send(link, &frame);
}
