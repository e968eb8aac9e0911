// SPDX-License-Identifier: Apache-2.0
//
// A WebSocket client that sends anything, with channels or a tunnelled SPDY connection.
#include <stdlib.h>

#include "cri-server/stream/spdy.h"
#include "cri-server/stream/websocket.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static int on_opened(void *user, uint32_t stream, const struct zl_stream_opening *opening)
{
	(void)user;
	(void)stream;
	if (opening->role >= ZL_ROLES)
		abort();
	return 0;
}

static int on_data(
        void *user, uint32_t stream, const void *bytes, size_t length, struct zl_error *err)
{
	struct zl_wire **wire = user;

	if (length == 0 || bytes == NULL)
		abort();
	if (zl_wire_send(*wire, stream, bytes, length, err) < 0)
		return -1;
	return zl_wire_consumed(*wire, stream, length, err);
}

static void on_event(void *user, uint32_t stream)
{
	(void)user;
	(void)stream;
}

static const struct zl_wire_events events = {
        .opened = on_opened, .data = on_data, .ended = on_event, .reset = on_event};

static struct zl_wire *make(uint8_t kind, struct zl_wire **user)
{
	static const uint16_t ports[] = {80, 81};
	const struct zl_stream_request request = {
	        .kind = kind % 3 == 0 ? ZL_STREAM_PORT_FORWARD : ZL_STREAM_EXEC,
	        .has_stdin = true,
	        .has_stdout = kind % 2 == 0,
	};
	const struct zl_websocket_options options = {
	        .base64 = kind % 5 == 0,
	        .close_signal = kind % 7 == 0,
	        .request = &request,
	        .ports = ports,
	        .port_count = 2,
	};

	if (kind % 4 == 3)
		return zl_websocket_tunnel(zl_spdy_new(&events, user, NULL), NULL);
	return zl_websocket_new(&options, &events, user, NULL);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct zl_wire *wire;
	size_t piece;

	if (size < 2)
		return 0;
	wire = make(data[0], &wire);
	piece = (size_t)data[1] + 1;
	for (size_t at = 2; at < size; at += piece) {
		size_t length = size - at < piece ? size - at : piece;

		if (zl_wire_receive(wire, data + at, length, NULL) < 0)
			break;
		wire->out.length = 0;
	}
	(void)zl_wire_goodbye(wire, NULL);
	zl_wire_free(wire);
	return 0;
}
