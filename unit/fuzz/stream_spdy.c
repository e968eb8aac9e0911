// SPDX-License-Identifier: Apache-2.0
//
// A SPDY client that sends anything: as bytes, and as frames whose header blocks are compressed as
// they must be, so that what is inside them is reached too.
#include <stdlib.h>
#include <string.h>

#include "cri-server/stream/spdy.h"
#include "cri-server/stream/spdy_frame.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

struct user {
	struct zl_wire *wire;
	size_t opened;
	size_t taken;
};

static int on_opened(void *user, uint32_t stream, const struct zl_stream_opening *opening)
{
	struct user *u = user;

	if (stream % 2 == 0 || opening->role >= ZL_ROLES || ++u->opened > 1000000)
		abort();
	return stream % 8 == 7 ? -1 : 0;
}

static int on_data(
        void *user, uint32_t stream, const void *bytes, size_t length, struct zl_error *err)
{
	struct user *u = user;

	if (length == 0 || bytes == NULL)
		abort();
	u->taken += length;
	if (zl_wire_send(u->wire, stream, bytes,
	            length < zl_wire_room(u->wire, stream) ? length : 0, err) < 0)
		return -1;
	return stream % 4 == 1 ? zl_wire_consumed(u->wire, stream, length, err) : 0;
}

static void on_ended(void *user, uint32_t stream)
{
	struct user *u = user;

	(void)zl_wire_end(u->wire, stream, NULL);
}

static void on_reset(void *user, uint32_t stream)
{
	struct user *u = user;

	(void)zl_wire_send(u->wire, stream, "x", 1, NULL);
}

static const struct zl_wire_events events = {
        .opened = on_opened, .data = on_data, .ended = on_ended, .reset = on_reset};

static int feed(struct user *user, const uint8_t *data, size_t size, size_t piece)
{
	int result = 0;

	for (size_t at = 0; at < size && result == 0; at += piece) {
		size_t length = size - at < piece ? size - at : piece;

		result = zl_wire_receive(user->wire, data + at, length, NULL);
		user->wire->out.length = 0;
	}
	return result;
}

// Reads records of the input: a stream's number, a kind, and text up to a zero byte.
static void feed_frames(struct user *user, const uint8_t *data, size_t size)
{
	static const char *const types[] = {"error", "stdin", "data", "resize"};
	struct zl_spdy_writer *writer = zl_spdy_writer_new(NULL);
	zl_auto(buffer) struct zl_buffer bytes = ZL_BUFFER_INIT;

	for (size_t at = 0; at + 3 < size;) {
		uint32_t stream = data[at];
		uint8_t kind = data[at + 1];
		const char *text = (const char *)data + at + 2;
		size_t length = strnlen(text, size - at - 2);
		char value[256];

		(void)snprintf(value, sizeof(value), "%.*s", (int)length, text);
		const struct zl_spdy_header headers[] = {
		        {"streamtype", kind % 8 < 4 ? types[kind % 4] : value},
		        {"port", kind % 3 == 0 ? value : "80"}, {"requestid", value}};

		if (kind % 2 == 0)
			(void)zl_spdy_write_headers(writer, &bytes, ZL_SPDY_SYN_STREAM, stream,
			        kind % 5 == 0, headers, (size_t)kind % 4, NULL);
		else
			(void)zl_spdy_write_data(&bytes, stream, kind % 7 == 0, text, length, NULL);
		at += 3 + length;
	}
	zl_spdy_writer_free(writer);
	(void)feed(user, bytes.data, bytes.length, 1000);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct user user = {.wire = NULL};

	if (size < 2)
		return 0;
	user.wire = zl_spdy_new(&events, &user, NULL);
	if (data[0] % 2 == 0)
		(void)feed(&user, data + 2, size - 2, (size_t)data[1] + 1);
	else
		feed_frames(&user, data + 2, size - 2);
	zl_wire_free(user.wire);
	return 0;
}
