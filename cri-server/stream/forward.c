// SPDX-License-Identifier: Apache-2.0
//
// Sessions of port forwarding (kubelet pkg/cri/streaming/portforward has the client's side).
//
// For each connection the client opens two streams, error and data, that belong together by their
// request id. The supervisor, which lives in the pod's network namespace or zone, connects to the
// port; bytes go both ways with half-close. If that fails the error stream says why. The session
// goes on until the client leaves; over WebSocket channels there is one connection for each port,
// and the session ends with the last.
#include <string.h>

#include "base/clock.h"
#include "base/log.h"
#include "cri-server/sandbox/services.h"
#include "cri-server/stream/feed.h"
#include "cri-server/stream/streaming.h"
#include "zone/protocol/enclosing.h"

enum {
	PAIRS_MAX = 128,
	INPUT_ENOUGH = 64 * 1024,      // bytes of one connection that wait for its port
	INPUT_ALL_ENOUGH = 256 * 1024, // of all; past either the client is not read
	INPUT_MAX = 2 * INPUT_ENOUGH,
};

// One forwarded connection.
struct pair {
	uint32_t request_id;
	uint16_t port;
	bool has_error;
	bool has_data;
	uint32_t error_stream;
	uint32_t data_stream;
	int64_t until_ns; // for its other stream to come

	bool joined; // the feed is a peer
	bool connected;
	bool gone; // the client dropped the data stream
	bool over; // to be freed
	struct zl_feed feed;
	struct zl_buffer input;
	bool input_ended;  // the client sends no more
	bool input_closed; // the port takes no more, or was told of the end
	bool output_ended; // the client was told that the port sends no more
};

struct forward {
	struct zl_stream_request request;
	struct zl_sandbox *sandbox; // counted

	// Of the session.
	struct zl_session *session;
	struct zl_zone_client *client;
	struct zl_feed control; // a peer that is told when the pod is being stopped
	struct pair *pairs[PAIRS_MAX];
	size_t pair_count;
	size_t turn; // whose output goes first
	bool over;
};

// ---- pairs

static struct pair *find_request(struct forward *f, uint32_t request_id)
{
	for (size_t i = 0; i < f->pair_count; i++) {
		if (f->pairs[i]->request_id == request_id && !f->pairs[i]->over)
			return f->pairs[i];
	}
	return NULL;
}

static struct pair *find_data(struct forward *f, uint32_t stream)
{
	for (size_t i = 0; i < f->pair_count; i++) {
		if (f->pairs[i]->has_data && f->pairs[i]->data_stream == stream)
			return f->pairs[i];
	}
	return NULL;
}

static struct pair *pair_new(struct forward *f, uint32_t request_id)
{
	struct pair *pair;

	if (f->pair_count == PAIRS_MAX)
		return NULL;
	pair = calloc(1, sizeof(*pair));
	if (pair == NULL)
		return NULL;
	if (zl_feed_init(&pair->feed, "", f->session->wake, NULL) < 0) {
		zl_feed_release(&pair->feed);
		free(pair);
		return NULL;
	}
	pair->request_id = request_id;
	pair->until_ns = zl_clock_monotonic() + ZL_SESSION_STREAMS_SECONDS * ZL_NS_PER_SECOND;
	pair->input.limit = INPUT_MAX;
	f->pairs[f->pair_count++] = pair;
	return pair;
}

static void pair_free(struct forward *f, struct pair *pair)
{
	if (pair->joined)
		zl_peer_remove(f->sandbox, &pair->feed.peer);
	if (pair->connected)
		(void)zl_zone_hang_up(f->client, "", pair->feed.peer.id, NULL);
	zl_feed_release(&pair->feed);
	zl_buffer_release(&pair->input);
	free(pair);
}

static void drop_over(struct forward *f)
{
	size_t kept = 0;

	for (size_t i = 0; i < f->pair_count; i++) {
		if (f->pairs[i]->over)
			pair_free(f, f->pairs[i]);
		else
			f->pairs[kept++] = f->pairs[i];
	}
	f->pair_count = kept;
}

// ---- the client's side

static int on_opened(void *user, uint32_t stream, const struct zl_stream_opening *opening)
{
	struct forward *f = user;
	struct pair *pair;
	bool error = opening->role == ZL_ROLE_ERROR;

	if ((!error && opening->role != ZL_ROLE_DATA) || opening->port == 0)
		return -1;
	pair = find_request(f, opening->request_id);
	if (pair == NULL)
		pair = pair_new(f, opening->request_id);
	if (pair == NULL || (error ? pair->has_error : pair->has_data))
		return -1;
	pair->port = opening->port;
	if (error) {
		pair->has_error = true;
		pair->error_stream = stream;
	} else {
		pair->has_data = true;
		pair->data_stream = stream;
	}
	return 0;
}

static int on_data(
        void *user, uint32_t stream, const void *bytes, size_t length, struct zl_error *err)
{
	struct forward *f = user;
	struct pair *pair = find_data(f, stream);

	if (pair == NULL || pair->input_closed || pair->over)
		return zl_wire_consumed(f->session->wire, stream, length, err);
	return zl_buffer_append(&pair->input, bytes, length, err);
}

static void on_ended(void *user, uint32_t stream)
{
	struct pair *pair = find_data(user, stream);

	if (pair != NULL)
		pair->input_ended = true;
}

static void on_reset(void *user, uint32_t stream)
{
	struct pair *pair = find_data(user, stream);

	if (pair != NULL)
		pair->gone = true;
}

// ---- a connection

// Ends both streams; the error stream with a message if there is one.
static int finish(struct forward *f, struct pair *pair, const char *message, struct zl_error *err)
{
	zl_auto(buffer) struct zl_buffer text = ZL_BUFFER_INIT;
	struct zl_wire *wire = f->session->wire;

	pair->over = true;
	if (message[0] != '\0' && pair->has_error) {
		zl_log_info("port forward: %s", message);
		if (zl_buffer_printf(&text, err, "error forwarding port %u to pod %s: %s",
		            pair->port, zl_sandbox_pod(f->sandbox), message) < 0 ||
		        zl_wire_send(wire, pair->error_stream, text.data, text.length, err) < 0)
			return -1;
	}
	if (pair->has_error && zl_wire_end(wire, pair->error_stream, err) < 0)
		return -1;
	if (!pair->has_data)
		return 0;
	// A client that still sends is told to stop; one that is done gets a plain end.
	return pair->input_ended ? zl_wire_end(wire, pair->data_stream, err)
	                         : zl_wire_reset(wire, pair->data_stream, err);
}

static int connect_pair(struct forward *f, struct pair *pair, struct zl_error *err)
{
	struct zl_error why = ZL_ERROR_INIT;

	if (zl_peer_add(f->sandbox, &pair->feed.peer, &why) == 0) {
		pair->joined = true;
		if (zl_zone_connect(f->client, pair->feed.peer.id, pair->port, &f->session->cancel,
		            &why) == 0) {
			pair->connected = true;
			return 0;
		}
	}
	return finish(f, pair, why.message, err);
}

static int refuse_input(struct forward *f, struct pair *pair, struct zl_error *err)
{
	size_t dropped = pair->input.length;

	pair->input_closed = true;
	zl_buffer_release(&pair->input);
	return zl_wire_consumed(f->session->wire, pair->data_stream, dropped, err);
}

static int move_input(struct forward *f, struct pair *pair, struct zl_error *err)
{
	const char *id = pair->feed.peer.id;
	size_t taken = 0;

	if (pair->input_closed)
		return 0;
	if (pair->input.length > 0) {
		if (zl_zone_stdin_put(f->client, "", id, pair->input.data, pair->input.length,
		            &taken, NULL) < 0)
			return refuse_input(f, pair, err);
		zl_buffer_consume(&pair->input, taken);
		if (zl_wire_consumed(f->session->wire, pair->data_stream, taken, err) < 0)
			return -1;
	}
	if (pair->input_ended && pair->input.length == 0) {
		pair->input_closed = true;
		(void)zl_zone_stdin_put(f->client, "", id, "", 0, &taken, NULL);
	}
	return 0;
}

static int move_output(struct forward *f, struct pair *pair, struct zl_error *err)
{
	struct zl_feed_state state;
	bool offer = false;

	if (zl_feed_move(&pair->feed, 0, f->session, pair->data_stream, &offer, err) < 0)
		return -1;
	if (offer)
		(void)zl_zone_client_resume(f->client, NULL);
	state = zl_feed_look(&pair->feed);
	if (state.failed)
		return finish(f, pair, pair->feed.why.message, err);
	// A failure has told its end already, and is no end of a connection that was there.
	if (state.exited && state.drained[0])
		return finish(f, pair, pair->feed.message, err);
	if (state.drained[0] && !pair->output_ended && zl_session_room(f->session) > 0) {
		pair->output_ended = true;
		return zl_wire_end(f->session->wire, pair->data_stream, err);
	}
	return 0;
}

static int step_pair(struct forward *f, struct pair *pair, struct zl_error *err)
{
	if (pair->gone) {
		pair->over = true;
		return pair->has_error ? zl_wire_end(f->session->wire, pair->error_stream, err) : 0;
	}
	if (!pair->has_error || !pair->has_data)
		return zl_clock_monotonic() < pair->until_ns ? 0 : finish(f, pair, "", err);
	if (!pair->connected && connect_pair(f, pair, err) < 0)
		return -1;
	if (!pair->connected)
		return 0;
	return move_input(f, pair, err) < 0 ? -1 : move_output(f, pair, err);
}

// ---- the session

static int end_all(struct forward *f, const char *message, struct zl_error *err)
{
	f->over = true;
	for (size_t i = 0; i < f->pair_count; i++) {
		if (!f->pairs[i]->over && finish(f, f->pairs[i], message, err) < 0)
			return -1;
	}
	return 0;
}

static int on_step(void *user, struct zl_error *err)
{
	struct forward *f = user;
	size_t count = f->pair_count;
	bool channels = f->session->protocol.transport == ZL_TRANSPORT_WEBSOCKET;

	if (zl_feed_look(&f->control).failed)
		return end_all(f, f->control.why.message, err);
	// Each has a turn as the first: the room for output is shared.
	f->turn = count > 0 ? (f->turn + 1) % count : 0;
	for (size_t i = 0; i < count; i++) {
		struct pair *pair = f->pairs[(f->turn + i) % count];

		if (!pair->over && step_pair(f, pair, err) < 0)
			return -1;
	}
	drop_over(f);
	f->over = channels && f->pair_count == 0;
	return 0;
}

static bool on_hungry(void *user)
{
	const struct forward *f = user;
	size_t all = 0;

	for (size_t i = 0; i < f->pair_count; i++) {
		if (f->pairs[i]->input.length >= INPUT_ENOUGH)
			return false;
		all += f->pairs[i]->input.length;
	}
	return all < INPUT_ALL_ENOUGH;
}

static bool on_done(void *user)
{
	return ((const struct forward *)user)->over;
}

static int64_t on_deadline(void *user)
{
	const struct forward *f = user;
	int64_t first = INT64_MAX;

	for (size_t i = 0; i < f->pair_count; i++) {
		const struct pair *pair = f->pairs[i];

		if (!(pair->has_error && pair->has_data) && pair->until_ns < first)
			first = pair->until_ns;
	}
	return first;
}

static const struct zl_session_user session_user = {
        .wire = {.opened = on_opened, .data = on_data, .ended = on_ended, .reset = on_reset},
        .step = on_step,
        .hungry = on_hungry,
        .done = on_done,
        .deadline_ns = on_deadline,
};

// Inside the sandbox's gate, which a stop of the pod frees by failing the control peer.
static int run(struct forward *f, struct zl_error *err)
{
	int result;

	if (zl_peer_add(f->sandbox, &f->control.peer, err) < 0)
		return -1;
	f->client = zl_sandbox_client(f->sandbox, err);
	result = f->client != NULL ? zl_session_run(f->session, &f->request, &session_user, f, err)
	                           : -1;
	zl_peer_remove(f->sandbox, &f->control.peer);
	for (size_t i = 0; i < f->pair_count; i++)
		pair_free(f, f->pairs[i]);
	f->pair_count = 0;
	return result;
}

static int serve(
        struct zl_stream_request *request, struct zl_session *session, struct zl_error *err)
{
	struct forward *f = ZL_ENCLOSING(request, struct forward, request);
	struct zl_gate *gate = &f->sandbox->gate;
	int result;

	ZL_LOG_SCOPE("pod", zl_sandbox_pod(f->sandbox));
	f->session = session;
	if (zl_gate_enter(gate, false, &session->cancel, err) < 0)
		return -1;
	result = zl_feed_init(&f->control, "", session->wake, err);
	if (result == 0)
		result = run(f, err);
	zl_feed_release(&f->control);
	zl_gate_leave(gate);
	return result < 0 ? zl_error_wrap(err, "port forward") : 0;
}

static void request_free(struct zl_stream_request *request)
{
	struct forward *f = ZL_ENCLOSING(request, struct forward, request);

	zl_sandbox_unref(f->sandbox);
	free(f);
}

struct zl_stream_request *zl_forward_new(struct zl_sandbox *sandbox, struct zl_error *err)
{
	struct forward *f = calloc(1, sizeof(*f));

	if (f == NULL) {
		zl_error_nomem(err);
		return NULL;
	}
	f->request = (struct zl_stream_request){
	        .kind = ZL_STREAM_PORT_FORWARD, .serve = serve, .free = request_free};
	f->sandbox = zl_sandbox_ref(sandbox);
	return &f->request;
}
