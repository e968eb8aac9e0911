// SPDX-License-Identifier: Apache-2.0
#include "cri-server/stream/spdy.h"

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <uthash.h>

#include "cri-server/stream/spdy_frame.h"
#include "zone/protocol/enclosing.h"

// A window may not grow beyond this (2.6.8).
#define WINDOW_MAX INT64_C(0x7fffffff)

struct stream {
	uint32_t id;
	int64_t window;      // bytes that we may send
	uint32_t unconsumed; // bytes that came and are not credited yet
	uint32_t credit;     // consumed, not told yet
	bool they_ended;
	bool we_ended;
	UT_hash_handle hh;
};

struct spdy {
	struct zl_wire wire;
	struct zl_spdy_parser *parser;
	struct zl_spdy_writer *writer;
	struct stream *streams;
	uint32_t last_stream; // highest id that the client opened
	bool windows;         // the client keeps windows
	int64_t initial_window;
	int64_t window;  // of the connection
	uint32_t credit; // of the connection
};

static struct spdy *spdy_of(struct zl_wire *wire)
{
	return ZL_ENCLOSING(wire, struct spdy, wire);
}

static struct stream *find(struct spdy *spdy, uint32_t id)
{
	struct stream *stream = NULL;

	HASH_FIND(hh, spdy->streams, &id, sizeof(id), stream);
	return stream;
}

static void drop(struct spdy *spdy, struct stream *stream)
{
	// NOLINTNEXTLINE(clang-analyzer-core.NullDereference)
	HASH_DEL(spdy->streams, stream);
	free(stream);
}

static void drop_if_over(struct spdy *spdy, struct stream *stream)
{
	if (stream->they_ended && stream->we_ended && stream->unconsumed == 0)
		drop(spdy, stream);
}

// ---- opening

static bool parse_number(const char *text, uint64_t most, uint64_t *ret)
{
	char *end;

	if (text[0] < '0' || text[0] > '9')
		return false;
	errno = 0;
	*ret = strtoull(text, &end, 10);
	return errno == 0 && *end == '\0' && *ret <= most;
}

// The client's headers (k8s.io/api core/v1: StreamType, PortHeader, PortForwardRequestIDHeader).
// Without a request id the two streams of a connection are told by their numbers: the data stream
// is opened right after the error stream (kubelet pkg/cri/streaming/portforward).
static bool read_opening(const struct zl_spdy_frame *frame, struct zl_stream_opening *opening)
{
	static const char *const names[] = {
	        [ZL_ROLE_ERROR] = "error",
	        [ZL_ROLE_STDIN] = "stdin",
	        [ZL_ROLE_STDOUT] = "stdout",
	        [ZL_ROLE_STDERR] = "stderr",
	        [ZL_ROLE_RESIZE] = "resize",
	        [ZL_ROLE_DATA] = "data",
	};
	const char *type = zl_spdy_header(frame, "streamtype");
	const char *port = zl_spdy_header(frame, "port");
	const char *request = zl_spdy_header(frame, "requestid");
	uint64_t number = 0;
	size_t role = 0;

	while (role < ZL_ROLES && (type == NULL || strcmp(names[role], type) != 0))
		role++;
	if (role == ZL_ROLES || (port != NULL && !parse_number(port, UINT16_MAX, &number)))
		return false;
	opening->role = (enum zl_stream_role)role;
	opening->port = (uint16_t)number;
	opening->request_id =
	        role == ZL_ROLE_DATA && frame->stream > 2 ? frame->stream - 2 : frame->stream;
	if (request == NULL)
		return true;
	if (!parse_number(request, UINT32_MAX, &number))
		return false;
	opening->request_id = (uint32_t)number;
	return true;
}

static int refuse(struct spdy *spdy, uint32_t id, enum zl_spdy_status status, struct zl_error *err)
{
	return zl_spdy_write_reset(&spdy->wire.out, id, status, err);
}

static int accept_stream(struct spdy *spdy, const struct zl_spdy_frame *frame,
        const struct zl_stream_opening *opening, struct zl_error *err)
{
	struct stream *stream = calloc(1, sizeof(*stream));

	if (stream == NULL)
		return zl_error_nomem(err);
	stream->id = frame->stream;
	stream->window = spdy->initial_window;
	HASH_ADD(hh, spdy->streams, id, sizeof(stream->id), stream);
	if (spdy->wire.events->opened(spdy->wire.user, stream->id, opening) < 0) {
		drop(spdy, stream);
		return refuse(spdy, frame->stream, ZL_SPDY_REFUSED_STREAM, err);
	}
	if (zl_spdy_write_headers(spdy->writer, &spdy->wire.out, ZL_SPDY_SYN_REPLY, stream->id,
	            false, NULL, 0, err) < 0)
		return -1;
	if (frame->fin) {
		stream->they_ended = true;
		spdy->wire.events->ended(spdy->wire.user, frame->stream);
	}
	return 0;
}

static int on_syn_stream(struct spdy *spdy, const struct zl_spdy_frame *frame, struct zl_error *err)
{
	struct zl_stream_opening opening = {.role = ZL_ROLE_ERROR};

	// A client's ids are odd and grow (2.3.2).
	if (frame->stream % 2 == 0 || frame->stream <= spdy->last_stream)
		return zl_error_set(err, ZL_DATA_LOSS,
		        "the client opened stream %" PRIu32 " after %" PRIu32, frame->stream,
		        spdy->last_stream);
	spdy->last_stream = frame->stream;
	if (!read_opening(frame, &opening))
		return refuse(spdy, frame->stream, ZL_SPDY_PROTOCOL_ERROR, err);
	if (HASH_COUNT(spdy->streams) >= ZL_SPDY_STREAMS_MAX)
		return refuse(spdy, frame->stream, ZL_SPDY_REFUSED_STREAM, err);
	return accept_stream(spdy, frame, &opening, err);
}

// ---- receiving

static int credit_connection(struct spdy *spdy, size_t length, struct zl_error *err)
{
	uint32_t credit = spdy->credit + (uint32_t)length;

	spdy->credit = credit;
	if (credit < ZL_SPDY_WINDOW / 2)
		return 0;
	spdy->credit = 0;
	return zl_spdy_write_window_update(&spdy->wire.out, 0, credit, err);
}

static int on_data(struct spdy *spdy, const struct zl_spdy_frame *frame, struct zl_error *err)
{
	struct stream *stream = find(spdy, frame->stream);

	if (stream == NULL || stream->they_ended) {
		// Sent before the client heard that the stream is over; the connection's window
		// counts it all the same.
		if (frame->stream > spdy->last_stream || (stream != NULL && stream->they_ended))
			return refuse(spdy, frame->stream, ZL_SPDY_INVALID_STREAM, err);
		return credit_connection(spdy, frame->length, err);
	}
	stream->unconsumed += (uint32_t)frame->length;
	stream->they_ended = frame->fin;
	if (frame->length > 0 && spdy->wire.events->data(spdy->wire.user, frame->stream,
	                                 frame->bytes, frame->length, err) < 0)
		return -1;
	if (!frame->fin)
		return 0;
	spdy->wire.events->ended(spdy->wire.user, frame->stream);
	stream = find(spdy, frame->stream);
	if (stream != NULL)
		drop_if_over(spdy, stream);
	return 0;
}

static int on_reset(struct spdy *spdy, uint32_t id)
{
	struct stream *stream = find(spdy, id);

	if (stream == NULL)
		return 0;
	drop(spdy, stream);
	spdy->wire.events->reset(spdy->wire.user, id);
	return 0;
}

static int widen(int64_t *window, int64_t by, struct zl_error *err)
{
	if (*window + by > WINDOW_MAX)
		return zl_error_set(
		        err, ZL_DATA_LOSS, "the client made a window of more than 2 GB");
	*window += by;
	return 0;
}

static int on_window_update(
        struct spdy *spdy, const struct zl_spdy_frame *frame, struct zl_error *err)
{
	struct stream *stream;

	if (frame->value == 0)
		return zl_error_set(err, ZL_DATA_LOSS, "the client sent an empty window update");
	spdy->windows = true;
	if (frame->stream == 0)
		return widen(&spdy->window, frame->value, err);
	stream = find(spdy, frame->stream);
	return stream != NULL ? widen(&stream->window, frame->value, err) : 0;
}

// A new initial window changes those of the open streams by the difference, which may make them
// negative (2.6.8).
static int on_settings(struct spdy *spdy, const struct zl_spdy_frame *frame, struct zl_error *err)
{
	int64_t change = (int64_t)frame->value - spdy->initial_window;

	if (frame->value == UINT32_MAX)
		return 0;
	spdy->windows = true;
	spdy->initial_window = frame->value;
	for (struct stream *s = spdy->streams; s != NULL; s = s->hh.next) {
		if (widen(&s->window, change, err) < 0)
			return -1;
	}
	return 0;
}

static int on_frame(struct spdy *spdy, const struct zl_spdy_frame *frame, struct zl_error *err)
{
	switch (frame->type) {
	case ZL_SPDY_DATA:
		return on_data(spdy, frame, err);
	case ZL_SPDY_SYN_STREAM:
		return on_syn_stream(spdy, frame, err);
	case ZL_SPDY_RST_STREAM:
		return on_reset(spdy, frame->stream);
	case ZL_SPDY_SETTINGS:
		return on_settings(spdy, frame, err);
	case ZL_SPDY_PING:
		// Odd ids are the client's own (2.6.5): sent back. We send none.
		return frame->value % 2 != 0
		               ? zl_spdy_write_ping(&spdy->wire.out, frame->value, err)
		               : 0;
	case ZL_SPDY_WINDOW_UPDATE:
		return on_window_update(spdy, frame, err);
	case ZL_SPDY_GOAWAY:    // it closes the connection when its streams are over
	case ZL_SPDY_SYN_REPLY: // we open no streams
	case ZL_SPDY_HEADERS:   // nothing is told by them
	default:
		return 0;
	}
}

static int receive(struct zl_wire *wire, const uint8_t *bytes, size_t length, struct zl_error *err)
{
	struct spdy *spdy = spdy_of(wire);
	struct zl_spdy_frame frame;
	int found;

	while ((found = zl_spdy_parse(spdy->parser, &bytes, &length, &frame, err)) == 1) {
		if (on_frame(spdy, &frame, err) < 0)
			return -1;
	}
	return found;
}

// ---- sending

static size_t room(struct zl_wire *wire, uint32_t id)
{
	struct spdy *spdy = spdy_of(wire);
	const struct stream *stream = find(spdy, id);
	int64_t window;

	// What goes to nobody is dropped, and must not wait.
	if (stream == NULL || !spdy->windows)
		return ZL_SPDY_DATA_MAX;
	window = stream->window < spdy->window ? stream->window : spdy->window;
	return window > 0 ? (size_t)window : 0;
}

static int send_data(
        struct zl_wire *wire, uint32_t id, const void *bytes, size_t length, struct zl_error *err)
{
	struct spdy *spdy = spdy_of(wire);
	struct stream *stream = find(spdy, id);

	if (stream == NULL || stream->we_ended || length == 0)
		return 0;
	// Counted from the start, so that they are right when the client first speaks of windows:
	// a client that keeps them credits what was sent beyond them as well.
	stream->window -= (int64_t)length;
	spdy->window -= (int64_t)length;
	return zl_spdy_write_data(&wire->out, id, false, bytes, length, err);
}

static int end(struct zl_wire *wire, uint32_t id, struct zl_error *err)
{
	struct spdy *spdy = spdy_of(wire);
	struct stream *stream = find(spdy, id);

	if (stream == NULL || stream->we_ended)
		return 0;
	stream->we_ended = true;
	drop_if_over(spdy, stream);
	return zl_spdy_write_data(&wire->out, id, true, NULL, 0, err);
}

static int reset(struct zl_wire *wire, uint32_t id, struct zl_error *err)
{
	struct spdy *spdy = spdy_of(wire);
	struct stream *stream = find(spdy, id);

	if (stream == NULL)
		return 0;
	drop(spdy, stream);
	return refuse(spdy, id, ZL_SPDY_CANCEL, err);
}

static int consumed(struct zl_wire *wire, uint32_t id, size_t length, struct zl_error *err)
{
	struct spdy *spdy = spdy_of(wire);
	struct stream *stream = find(spdy, id);
	uint32_t credit;

	if (credit_connection(spdy, length, err) < 0)
		return -1;
	if (stream == NULL)
		return 0;
	stream->unconsumed -= length < stream->unconsumed ? (uint32_t)length : stream->unconsumed;
	if (stream->they_ended) {
		drop_if_over(spdy, stream);
		return 0;
	}
	credit = stream->credit + (uint32_t)length;
	stream->credit = credit;
	if (credit < ZL_SPDY_WINDOW / 2)
		return 0;
	stream->credit = 0;
	return zl_spdy_write_window_update(&wire->out, id, credit, err);
}

static int goodbye(struct zl_wire *wire, struct zl_error *err)
{
	return zl_spdy_write_goaway(&wire->out, spdy_of(wire)->last_stream, 0, err);
}

static void spdy_free(struct zl_wire *wire)
{
	struct spdy *spdy = spdy_of(wire);
	struct stream *stream;
	struct stream *next;

	HASH_ITER (hh, spdy->streams, stream, next) {
		drop(spdy, stream);
	}
	zl_spdy_parser_free(spdy->parser);
	zl_spdy_writer_free(spdy->writer);
	zl_buffer_release(&wire->out);
	free(spdy);
}

static const struct zl_wire_ops ops = {
        .receive = receive,
        .room = room,
        .send = send_data,
        .end = end,
        .reset = reset,
        .consumed = consumed,
        .goodbye = goodbye,
        .free = spdy_free,
};

struct zl_wire *zl_spdy_new(const struct zl_wire_events *events, void *user, struct zl_error *err)
{
	struct spdy *spdy = calloc(1, sizeof(*spdy));

	if (spdy == NULL) {
		zl_error_nomem(err);
		return NULL;
	}
	spdy->wire = (struct zl_wire){.ops = &ops, .events = events, .user = user};
	spdy->initial_window = ZL_SPDY_WINDOW;
	spdy->window = ZL_SPDY_WINDOW;
	spdy->parser = zl_spdy_parser_new(err);
	spdy->writer = zl_spdy_writer_new(err);
	if (spdy->parser == NULL || spdy->writer == NULL) {
		spdy_free(&spdy->wire);
		return NULL;
	}
	return &spdy->wire;
}
