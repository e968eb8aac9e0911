// SPDX-License-Identifier: Apache-2.0
#include "cri-server/stream/websocket.h"

#include <openssl/evp.h>
#include <openssl/sha.h>
#include <string.h>
#include <wslay/wslay.h>

#include "zone/protocol/enclosing.h"

enum {
	CHANNEL_STDIN,
	CHANNEL_STDOUT,
	CHANNEL_STDERR,
	CHANNEL_ERROR,
	CHANNEL_RESIZE,
	REMOTE_CHANNELS,
	CHANNELS_MAX = 2 * ZL_WEBSOCKET_PORTS_MAX,
};

struct channel {
	bool exists;
	bool ended; // the client sends no more
	uint16_t port;
	enum zl_stream_role role;
};

struct websocket {
	struct zl_wire wire;
	wslay_event_context_ptr context;
	struct zl_wire *inner; // a tunnel's; NULL with channels
	bool base64;
	bool close_signal;
	bool opened; // the user was told of the channels
	struct channel channels[CHANNELS_MAX];
	size_t channel_count;

	// What is being received.
	const uint8_t *bytes;
	size_t length;
	bool control;     // the frame is a ping, pong or close
	bool has_channel; // of the message under way
	unsigned channel;
	struct zl_buffer text; // a message in base64
	int failed;            // a callback's failure, with `failure`
	struct zl_error failure;
};

static struct websocket *websocket_of(struct zl_wire *wire)
{
	return ZL_ENCLOSING(wire, struct websocket, wire);
}

static void fail(struct websocket *ws, const struct zl_error *why)
{
	if (ws->failed == 0)
		ws->failure = *why;
	ws->failed = -1;
}

// ---- wslay's input and output

static ssize_t on_read(
        wslay_event_context_ptr context, uint8_t *to, size_t size, int flags, void *user)
{
	struct websocket *ws = user;
	size_t count = ws->length < size ? ws->length : size;

	(void)flags;
	if (count == 0 || ws->failed != 0) {
		wslay_event_set_error(context, WSLAY_ERR_WOULDBLOCK);
		return -1;
	}
	memcpy(to, ws->bytes, count);
	ws->bytes += count;
	ws->length -= count;
	return (ssize_t)count;
}

static ssize_t on_write(
        wslay_event_context_ptr context, const uint8_t *bytes, size_t length, int flags, void *user)
{
	struct websocket *ws = user;

	(void)flags;
	if (zl_buffer_append(&ws->wire.out, bytes, length, NULL) < 0) {
		wslay_event_set_error(context, WSLAY_ERR_CALLBACK_FAILURE);
		return -1;
	}
	return (ssize_t)length;
}

// ---- messages

static void deliver(struct websocket *ws, unsigned number, const uint8_t *bytes, size_t length)
{
	struct channel *channel = number < ws->channel_count ? &ws->channels[number] : NULL;
	struct zl_error err = ZL_ERROR_INIT;

	if (channel == NULL || !channel->exists || channel->ended || length == 0)
		return;
	if (ws->wire.events->data(ws->wire.user, number, bytes, length, &err) < 0)
		fail(ws, &err);
}

static void end_channel(struct websocket *ws, unsigned number)
{
	struct channel *channel = number < ws->channel_count ? &ws->channels[number] : NULL;

	if (channel == NULL || !channel->exists || channel->ended)
		return;
	channel->ended = true;
	ws->wire.events->ended(ws->wire.user, number);
}

static void take_binary(struct websocket *ws, const uint8_t *bytes, size_t length)
{
	if (length > 0 && !ws->has_channel) {
		ws->has_channel = true;
		ws->channel = bytes[0];
		bytes++;
		length--;
	}
	if (length == 0)
		return;
	if (ws->channel != ZL_WEBSOCKET_CLOSE_CHANNEL)
		deliver(ws, ws->channel, bytes, length);
	else if (ws->close_signal)
		end_channel(ws, bytes[0]);
}

static void take_text(struct websocket *ws, const uint8_t *bytes, size_t length)
{
	struct zl_error err = ZL_ERROR_INIT;

	if (zl_buffer_append(&ws->text, bytes, length, &err) < 0) {
		zl_error_set(&err, ZL_DATA_LOSS, "the client sent a message of more than %d bytes",
		        ZL_WEBSOCKET_TEXT_MAX);
		fail(ws, &err);
	}
}

// A digit, and base64.
static bool decode(const struct zl_buffer *text, struct zl_buffer *plain)
{
	size_t length = text->length;
	uint8_t *to = zl_buffer_reserve(plain, length, NULL);
	int count = to != NULL ? EVP_DecodeBlock(to, text->data + 1, (int)(length - 1)) : -1;

	// It counts the padding as bytes.
	count -= text->data[length - 1] == '=' ? 1 : 0;
	count -= length > 2 && text->data[length - 2] == '=' ? 1 : 0;
	if (count < 0)
		return false;
	plain->length = (size_t)count;
	return true;
}

static void end_text(struct websocket *ws)
{
	zl_auto(buffer) struct zl_buffer plain = ZL_BUFFER_INIT;
	struct zl_error err = ZL_ERROR_INIT;

	if (ws->text.length >= 2 && !decode(&ws->text, &plain)) {
		zl_error_set(&err, ZL_DATA_LOSS, "the client sent a message that is not base64");
		fail(ws, &err);
	} else if (ws->text.length >= 2) {
		deliver(ws, (unsigned)ws->text.data[0] - '0', plain.data, plain.length);
	}
	ws->text.length = 0;
}

static void take_tunnel(struct websocket *ws, const uint8_t *bytes, size_t length)
{
	struct zl_error err = ZL_ERROR_INIT;

	if (zl_wire_receive(ws->inner, bytes, length, &err) < 0)
		fail(ws, &err);
	if (ws->inner->closed)
		ws->wire.closed = true;
}

static void on_frame_start(wslay_event_context_ptr context,
        const struct wslay_event_on_frame_recv_start_arg *frame, void *user)
{
	struct websocket *ws = user;

	(void)context;
	ws->control = wslay_is_ctrl_frame(frame->opcode);
	if (!ws->control && frame->opcode != WSLAY_CONTINUATION_FRAME)
		ws->has_channel = false;
}

static void on_frame_chunk(wslay_event_context_ptr context,
        const struct wslay_event_on_frame_recv_chunk_arg *chunk, void *user)
{
	struct websocket *ws = user;

	(void)context;
	if (ws->control || ws->failed != 0 || chunk->data_length == 0)
		return;
	if (ws->inner != NULL)
		take_tunnel(ws, chunk->data, chunk->data_length);
	else if (ws->base64)
		take_text(ws, chunk->data, chunk->data_length);
	else
		take_binary(ws, chunk->data, chunk->data_length);
}

static void on_message(wslay_event_context_ptr context,
        const struct wslay_event_on_msg_recv_arg *message, void *user)
{
	struct websocket *ws = user;

	(void)context;
	if (message->opcode == WSLAY_CONNECTION_CLOSE)
		ws->wire.closed = true;
	else if (ws->base64 && ws->failed == 0 && !wslay_is_ctrl_frame(message->opcode))
		end_text(ws);
}

static void open_channels(struct websocket *ws)
{
	if (ws->opened)
		return;
	ws->opened = true;
	for (size_t i = 0; i < ws->channel_count; i++) {
		struct zl_stream_opening opening = {
		        .role = ws->channels[i].role,
		        .port = ws->channels[i].port,
		        .request_id = (uint32_t)(i / 2),
		};

		if (ws->channels[i].exists)
			(void)ws->wire.events->opened(ws->wire.user, (uint32_t)i, &opening);
	}
}

// Sends what wslay has queued: answers to pings, a close.
static int flush(struct websocket *ws, struct zl_error *err)
{
	while (wslay_event_want_write(ws->context)) {
		if (wslay_event_send(ws->context) < 0)
			return zl_error_set(err, ZL_RESOURCE_EXHAUSTED, "no memory for a message");
	}
	return 0;
}

// What the tunnelled connection wants to say, in messages.
static int wrap_inner(struct websocket *ws, struct zl_error *err);

static int receive(struct zl_wire *wire, const uint8_t *bytes, size_t length, struct zl_error *err)
{
	struct websocket *ws = websocket_of(wire);
	int result;

	if (ws->inner == NULL)
		open_channels(ws);
	ws->bytes = bytes;
	ws->length = length;
	result = wslay_event_recv(ws->context);
	if (ws->failed != 0) {
		if (err != NULL)
			*err = ws->failure;
		return -1;
	}
	if (flush(ws, err) < 0)
		return -1;
	// After a violation wslay has queued a close with the reason, and reads no more.
	if (result != 0 || (!wslay_event_get_read_enabled(ws->context) && !wire->closed))
		return zl_error_set(
		        err, ZL_DATA_LOSS, "the client broke the WebSocket protocol (%d)", result);
	return ws->inner != NULL ? wrap_inner(ws, err) : 0;
}

// ---- sending

static int queue(struct websocket *ws, uint8_t opcode, const void *bytes, size_t length,
        struct zl_error *err)
{
	struct wslay_event_msg message = {opcode, bytes, length};

	if (wslay_event_queue_msg(ws->context, &message) != 0)
		return ws->wire.closed ? 0 : zl_error_nomem(err);
	return flush(ws, err);
}

static int wrap_inner(struct websocket *ws, struct zl_error *err)
{
	struct zl_buffer *out = &ws->inner->out;

	if (out->length == 0)
		return 0;
	if (queue(ws, WSLAY_BINARY_FRAME, out->data, out->length, err) < 0)
		return -1;
	out->length = 0;
	return 0;
}

static size_t channel_room(struct zl_wire *wire, uint32_t stream)
{
	(void)wire;
	(void)stream;
	return 32 * (size_t)1024;
}

static int send_base64(struct websocket *ws, uint32_t stream, const void *bytes, size_t length,
        struct zl_error *err)
{
	// Four characters for three bytes, the digit and the final zero.
	zl_auto(free) uint8_t *text = malloc((length + 2) / 3 * 4 + 2);
	int count;

	if (text == NULL)
		return zl_error_nomem(err);
	text[0] = (uint8_t)('0' + stream);
	count = EVP_EncodeBlock(text + 1, bytes, (int)length);
	return queue(ws, WSLAY_TEXT_FRAME, text, (size_t)count + 1, err);
}

static int channel_send(struct zl_wire *wire, uint32_t stream, const void *bytes, size_t length,
        struct zl_error *err)
{
	struct websocket *ws = websocket_of(wire);
	zl_auto(free) uint8_t *message = NULL;

	if (stream >= ws->channel_count || !ws->channels[stream].exists)
		return 0;
	if (ws->base64)
		return send_base64(ws, stream, bytes, length, err);
	message = malloc(length + 1);
	if (message == NULL)
		return zl_error_nomem(err);
	message[0] = (uint8_t)stream;
	if (length > 0)
		memcpy(message + 1, bytes, length);
	return queue(ws, WSLAY_BINARY_FRAME, message, length + 1, err);
}

static int channel_end(struct zl_wire *wire, uint32_t stream, struct zl_error *err)
{
	struct websocket *ws = websocket_of(wire);
	const uint8_t signal[2] = {ZL_WEBSOCKET_CLOSE_CHANNEL, (uint8_t)stream};

	// Only version 5 can say it; else the end of the connection does.
	return ws->close_signal ? queue(ws, WSLAY_BINARY_FRAME, signal, sizeof(signal), err) : 0;
}

static int channel_reset(struct zl_wire *wire, uint32_t stream, struct zl_error *err)
{
	struct websocket *ws = websocket_of(wire);

	if (stream < ws->channel_count)
		ws->channels[stream].ended = true;
	return channel_end(wire, stream, err);
}

// There are no windows: TCP alone holds the client back.
static int channel_consumed(
        struct zl_wire *wire, uint32_t stream, size_t length, struct zl_error *err)
{
	(void)wire;
	(void)stream;
	(void)length;
	(void)err;
	return 0;
}

static int goodbye(struct zl_wire *wire, struct zl_error *err)
{
	struct websocket *ws = websocket_of(wire);

	if (ws->inner != NULL && (zl_wire_goodbye(ws->inner, err) < 0 || wrap_inner(ws, err) < 0))
		return -1;
	if (wslay_event_queue_close(ws->context, WSLAY_CODE_NORMAL_CLOSURE, NULL, 0) != 0)
		return 0; // said already
	return flush(ws, err);
}

// A pong that nobody asked for (RFC 6455, section 5.5.3).
static int keep_alive(struct zl_wire *wire, struct zl_error *err)
{
	return queue(websocket_of(wire), WSLAY_PONG, "", 0, err);
}

static void websocket_free(struct zl_wire *wire)
{
	struct websocket *ws = websocket_of(wire);

	if (ws->context != NULL)
		wslay_event_context_free(ws->context);
	zl_wire_free(ws->inner);
	zl_buffer_release(&ws->text);
	zl_buffer_release(&wire->out);
	free(ws);
}

static const struct zl_wire_ops channel_ops = {
        .receive = receive,
        .room = channel_room,
        .send = channel_send,
        .end = channel_end,
        .reset = channel_reset,
        .consumed = channel_consumed,
        .goodbye = goodbye,
        .keep_alive = keep_alive,
        .free = websocket_free,
};

// ---- a tunnel's streams are those inside

static size_t tunnel_room(struct zl_wire *wire, uint32_t stream)
{
	return zl_wire_room(websocket_of(wire)->inner, stream);
}

static int tunnel_send(struct zl_wire *wire, uint32_t stream, const void *bytes, size_t length,
        struct zl_error *err)
{
	struct websocket *ws = websocket_of(wire);

	return zl_wire_send(ws->inner, stream, bytes, length, err) < 0 ? -1 : wrap_inner(ws, err);
}

static int tunnel_end(struct zl_wire *wire, uint32_t stream, struct zl_error *err)
{
	struct websocket *ws = websocket_of(wire);

	return zl_wire_end(ws->inner, stream, err) < 0 ? -1 : wrap_inner(ws, err);
}

static int tunnel_reset(struct zl_wire *wire, uint32_t stream, struct zl_error *err)
{
	struct websocket *ws = websocket_of(wire);

	return zl_wire_reset(ws->inner, stream, err) < 0 ? -1 : wrap_inner(ws, err);
}

static int tunnel_consumed(
        struct zl_wire *wire, uint32_t stream, size_t length, struct zl_error *err)
{
	struct websocket *ws = websocket_of(wire);

	if (zl_wire_consumed(ws->inner, stream, length, err) < 0)
		return -1;
	return wrap_inner(ws, err);
}

static const struct zl_wire_ops tunnel_ops = {
        .receive = receive,
        .room = tunnel_room,
        .send = tunnel_send,
        .end = tunnel_end,
        .reset = tunnel_reset,
        .consumed = tunnel_consumed,
        .goodbye = goodbye,
        .keep_alive = keep_alive,
        .free = websocket_free,
};

// ---- making

static struct websocket *make(const struct zl_wire_ops *ops, struct zl_error *err)
{
	static const struct wslay_event_callbacks callbacks = {
	        .recv_callback = on_read,
	        .send_callback = on_write,
	        .on_frame_recv_start_callback = on_frame_start,
	        .on_frame_recv_chunk_callback = on_frame_chunk,
	        .on_msg_recv_callback = on_message,
	};
	struct websocket *ws = calloc(1, sizeof(*ws));

	if (ws == NULL || wslay_event_context_server_init(&ws->context, &callbacks, ws) != 0) {
		free(ws);
		zl_error_nomem(err);
		return NULL;
	}
	ws->wire.ops = ops;
	ws->text.limit = ZL_WEBSOCKET_TEXT_MAX;
	// Messages are passed on as they come, of whatever length.
	wslay_event_config_set_no_buffering(ws->context, 1);
	wslay_event_config_set_max_recv_msg_length(ws->context, INT64_MAX);
	return ws;
}

static void set_remote_channels(struct websocket *ws, const struct zl_stream_request *request)
{
	const bool exists[REMOTE_CHANNELS] = {
	        request->has_stdin, request->has_stdout, request->has_stderr, true, true};
	static const enum zl_stream_role roles[REMOTE_CHANNELS] = {
	        ZL_ROLE_STDIN, ZL_ROLE_STDOUT, ZL_ROLE_STDERR, ZL_ROLE_ERROR, ZL_ROLE_RESIZE};

	for (size_t i = 0; i < REMOTE_CHANNELS; i++)
		ws->channels[i] = (struct channel){.exists = exists[i], .role = roles[i]};
	ws->channel_count = REMOTE_CHANNELS;
}

// Both channels of a port begin with its number, for the client to tell them by.
static int set_port_channels(
        struct websocket *ws, const uint16_t *ports, size_t count, struct zl_error *err)
{
	ws->channel_count = 2 * count;
	for (size_t i = 0; i < ws->channel_count; i++)
		ws->channels[i] = (struct channel){
		        .exists = true,
		        .port = ports[i / 2],
		        .role = i % 2 == 0 ? ZL_ROLE_DATA : ZL_ROLE_ERROR,
		};
	for (size_t i = 0; i < ws->channel_count; i++) {
		uint16_t port = ws->channels[i].port;
		const uint8_t number[2] = {(uint8_t)port, (uint8_t)(port >> 8)};

		if (channel_send(&ws->wire, (uint32_t)i, number, sizeof(number), err) < 0)
			return -1;
	}
	return 0;
}

// An empty message on the first channel that is written to tells that the connection is there
// (kubelet pkg/cri/streaming/remotecommand).
static int greet(
        struct websocket *ws, const struct zl_stream_request *request, struct zl_error *err)
{
	uint32_t channel = request->has_stdout   ? CHANNEL_STDOUT
	                   : request->has_stderr ? CHANNEL_STDERR
	                                         : CHANNEL_ERROR;

	return channel_send(&ws->wire, channel, "", 0, err);
}

struct zl_wire *zl_websocket_new(const struct zl_websocket_options *options,
        const struct zl_wire_events *events, void *user, struct zl_error *err)
{
	struct websocket *ws = make(&channel_ops, err);
	int result;

	if (ws == NULL)
		return NULL;
	ws->wire.events = events;
	ws->wire.user = user;
	ws->base64 = options->base64;
	ws->close_signal = options->close_signal;
	if (options->request->kind == ZL_STREAM_PORT_FORWARD) {
		result = set_port_channels(ws, options->ports, options->port_count, err);
	} else {
		set_remote_channels(ws, options->request);
		result = greet(ws, options->request, err);
	}
	if (result < 0) {
		websocket_free(&ws->wire);
		return NULL;
	}
	return &ws->wire;
}

struct zl_wire *zl_websocket_tunnel(struct zl_wire *inner, struct zl_error *err)
{
	struct websocket *ws = make(&tunnel_ops, err);

	if (ws == NULL) {
		zl_wire_free(inner);
		return NULL;
	}
	ws->inner = inner;
	return &ws->wire;
}

// A key is 16 bytes in base64.
bool zl_websocket_accept(const char *key, char out[static ZL_WEBSOCKET_ACCEPT_SIZE])
{
	static const char guid[] = "258EAFA5-E914-47DA-95CA-C5AB0DC85B11";
	enum { KEY_LENGTH = 24 };
	char text[KEY_LENGTH + sizeof(guid)];
	uint8_t digest[SHA_DIGEST_LENGTH];

	if (strlen(key) != KEY_LENGTH)
		return false;
	(void)snprintf(text, sizeof(text), "%s%s", key, guid);
	(void)SHA1((const uint8_t *)text, sizeof(text) - 1, digest);
	return EVP_EncodeBlock((uint8_t *)out, digest, sizeof(digest)) ==
	       ZL_WEBSOCKET_ACCEPT_SIZE - 1;
}
