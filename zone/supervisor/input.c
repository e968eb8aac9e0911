// SPDX-License-Identifier: Apache-2.0
#include <errno.h>
#include <stddef.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#include "zone/protocol/enclosing.h"
#include "zone/supervisor/stdio.h"

void zl_input_init(struct zl_input *input, struct zl_reactor *reactor, uint32_t id)
{
	*input = (struct zl_input){.reactor = reactor,
	        .stream = {.id = id},
	        .source = {.fd = -1},
	        .pending = ZL_BUFFER_LIMIT(ZL_STREAM_WINDOW)};
}

void zl_input_refuse(struct zl_input *input)
{
	if (input->stream.id == 0 || input->refused)
		return;
	zl_source_close(input->reactor, &input->source);
	zl_buffer_release(&input->pending);
	input->refused = true;
	input->reset_due = !(input->stream.ended && input->stream.consumed > input->stream.next);
}

static void finish_if_done(struct zl_input *input)
{
	if (!input->stream.ended || input->pending.length > 0)
		return;
	// The end takes a position of its own.
	if (input->stream.consumed == input->stream.next) {
		input->stream.consumed++;
		input->ack_due = true;
	}
	if (input->half_close && input->source.fd >= 0)
		(void)shutdown(input->source.fd, SHUT_WR);
	if (!input->keep_open)
		zl_source_close(input->reactor, &input->source);
}

static void write_some(struct zl_input *input)
{
	struct zl_error err = ZL_ERROR_INIT;

	while (input->pending.length > 0) {
		ssize_t done = write(input->source.fd, input->pending.data, input->pending.length);

		if (done < 0 && errno == EINTR)
			continue;
		if (done < 0 && errno == EAGAIN) {
			(void)zl_source_watch(input->reactor, &input->source, EPOLLOUT, &err);
			return;
		}
		if (done < 0) {
			zl_input_refuse(input);
			return;
		}
		zl_buffer_consume(&input->pending, (size_t)done);
		input->stream.consumed += (uint64_t)done;
		input->ack_due = true;
	}
	(void)zl_source_watch(input->reactor, &input->source, 0, &err);
	finish_if_done(input);
}

static void input_ready(struct zl_source *source, uint32_t events)
{
	(void)events;
	write_some(ZL_ENCLOSING(source, struct zl_input, source));
}

int zl_input_start(struct zl_input *input, int fd, struct zl_error *err)
{
	(void)err;
	input->source = (struct zl_source){.fd = fd, .ready = input_ready};
	write_some(input);
	return 0;
}

void zl_input_release(struct zl_input *input)
{
	if (input->reactor == NULL)
		return;
	zl_source_close(input->reactor, &input->source);
	zl_buffer_release(&input->pending);
}

int zl_input_frame(struct zl_input *input, const struct zl_frame *frame, struct zl_error *err)
{
	if (input->refused)
		return 0; // sent before our reset came
	if (frame->kind == ZL_FRAME_RESET) {
		zl_input_finish(input);
		return 0;
	}
	if (zl_stream_in_take(&input->stream, frame, err) < 0)
		return -1;
	if (frame->kind == ZL_FRAME_DATA &&
	        zl_buffer_append(&input->pending, frame->bytes, frame->length, err) < 0)
		return -1;
	if (input->source.fd >= 0)
		write_some(input);
	return 0;
}

void zl_input_finish(struct zl_input *input)
{
	if (input->stream.id == 0 || input->refused || input->stream.ended)
		return;
	input->stream.ended = true;
	if (input->source.fd >= 0)
		write_some(input);
}

void zl_input_fill(struct zl_input *input, struct zl_link *link)
{
	struct zl_frame frame = {
	        .kind = ZL_FRAME_ACK, .stream = input->stream.id, .offset = input->stream.consumed};

	if (input->ack_due && !input->refused)
		zl_link_send(link, &frame);
	input->ack_due = false;
	frame.kind = ZL_FRAME_RESET;
	if (input->reset_due)
		zl_link_send(link, &frame);
	input->reset_due = false;
}
