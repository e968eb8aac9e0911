// SPDX-License-Identifier: Apache-2.0
//
// Everything a zone can send to the daemon: frames, control messages, streams, in a session that
// has a container, and an exec whose start is under way.
#include <stdlib.h>
#include <string.h>

#include "zone/client/session.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define ID "00000000000000000000000000000000000000000000000000000000000000aa"

static ssize_t nothing_to_read(
        struct zl_transport *t, void *bytes, size_t size, struct zl_error *err)
{
	(void)t, (void)bytes, (void)size, (void)err;
	return 0;
}

static ssize_t write_anything(
        struct zl_transport *t, const void *bytes, size_t length, struct zl_error *err)
{
	(void)t, (void)bytes, (void)err;
	return (ssize_t)length;
}

static uint32_t no_events(const struct zl_transport *t, bool want_write)
{
	(void)t, (void)want_write;
	return 0;
}

static int acknowledge(struct zl_transport *t, struct zl_error *err)
{
	(void)t, (void)err;
	return 0;
}

static void close_transport(struct zl_transport *t)
{
	free(t);
}

static const struct zl_transport_ops ops = {
        "fuzz", nothing_to_read, write_anything, no_events, acknowledge, close_transport};

static uint8_t greed; // how much of the output is consumed

static size_t on_output(void *user, const char *id, const char *exec_id, enum zl_zone_stream stream,
        uint64_t offset, const void *bytes, size_t length, bool eof)
{
	uint64_t *expected = user;

	(void)id, (void)exec_id, (void)eof;
	if (length > ZL_STREAM_WINDOW || (bytes == NULL && length > 0))
		abort();
	// Of the container's two streams each goes on where it was.
	if (exec_id == NULL && offset != expected[stream])
		abort();
	length = length * greed / UINT8_MAX;
	if (exec_id == NULL)
		expected[stream] += length;
	return length;
}

static void on_exited(void *user, const struct zl_zone_exit *gone)
{
	(void)user;
	if (gone->exit_code < 0 || gone->exit_code > 255)
		abort();
}

static void on_closed(void *user, const struct zl_error *why)
{
	(void)user, (void)why;
}

static const struct zl_zone_callbacks callbacks = {
        .output = on_output, .exited = on_exited, .closed = on_closed};

static struct zl_zone_client *make_client(uint64_t *expected)
{
	struct zl_transport *transport = calloc(1, sizeof(*transport));
	Zl__Zone__Stream streams[3] = {
	        ZL__ZONE__STREAM__INIT, ZL__ZONE__STREAM__INIT, ZL__ZONE__STREAM__INIT};
	Zl__Zone__Opened opened = ZL__ZONE__OPENED__INIT;
	struct zl_zone_client *client;
	struct process *process;

	transport->ops = &ops;
	transport->fd = -1;
	client = zl_client_new(transport, &callbacks, expected, NULL);
	client->task.wake = -1;
	client->established = true;
	client->next_request = 4;
	for (uint32_t i = 0; i < 3; i++)
		streams[i].id = i + 1;
	opened.stdin_stream = &streams[0];
	opened.stdout_stream = &streams[1];
	opened.stderr_stream = &streams[2];
	process = zl_process_add(client, ID, NULL, NULL);
	(void)zl_process_open(client, process, &opened, NULL);
	process = zl_process_add(client, ID, "exec", NULL);
	process->request = 3;
	return client;
}

static int feed(struct zl_zone_client *client, const uint8_t *bytes, size_t length)
{
	struct zl_error err = ZL_ERROR_INIT;

	if (zl_client_feed(client, bytes, length, &err) < 0)
		return -1;
	(void)zl_output_acknowledge(client, &err);
	if (client->out.length > 1024 * 1024)
		abort();
	return 0;
}

// As it comes, in pieces.
static void feed_raw(struct zl_zone_client *client, const uint8_t *data, size_t size, size_t piece)
{
	for (size_t at = 0; at < size; at += piece) {
		if (feed(client, data + at, size - at < piece ? size - at : piece) < 0)
			return;
	}
}

// Legal frames with whatever in them, so that it gets past the parser: kind, stream, length, bytes.
// A stream's offset goes on where it was.
static void feed_frames(struct zl_zone_client *client, const uint8_t *data, size_t size)
{
	uint64_t offsets[8] = {0};

	while (size >= 3) {
		zl_auto(buffer) struct zl_buffer out = ZL_BUFFER_INIT;
		struct zl_frame frame = {.kind = data[0] % 5 + 1, .stream = data[1] % 8};
		size_t length = data[2];

		if (length > size - 3)
			length = size - 3;
		frame.more = frame.kind == ZL_FRAME_CONTROL && (data[0] & 0x80) != 0;
		if (frame.kind == ZL_FRAME_CONTROL)
			frame.stream = 0;
		if (frame.kind == ZL_FRAME_CONTROL || frame.kind == ZL_FRAME_DATA) {
			frame.bytes = data + 3;
			frame.length = length;
		}
		frame.offset = offsets[data[1] % 8];
		if (frame.kind == ZL_FRAME_DATA)
			offsets[data[1] % 8] += length;
		(void)zl_frame_append(&out, &frame, NULL);
		if (feed(client, out.data, out.length) < 0)
			return;
		data += 3 + length;
		size -= 3 + length;
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	uint64_t expected[3] = {0};
	struct zl_zone_client *client;

	if (size < 2)
		return 0;
	greed = data[0];
	client = make_client(expected);
	if ((data[1] & 1) != 0)
		feed_frames(client, data + 2, size - 2);
	else
		feed_raw(client, data + 2, size - 2, (size_t)data[1] * 16 + 1);
	zl_output_offer_all(client);
	zl_client_free(client);
	return 0;
}
