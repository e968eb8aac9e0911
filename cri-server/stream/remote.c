// SPDX-License-Identifier: Apache-2.0
//
// Sessions of exec and attach (kubelet pkg/cri/streaming/remotecommand has the client's side).
//
// The client opens an error stream and those of stdin, stdout, stderr and resize that apply; when
// all are there the command is started, or the client attached. At the end the error stream says
// how it went.
//
// A client that goes away: an exec's descriptors are closed, so that it sees the end of its input,
// a broken pipe or a hang-up of its terminal, as one started by ssh would; nothing is killed. A
// container loses nothing but a listener, and its stdin if that was made for one client
// (stdinOnce).
#include <string.h>

#include "base/clock.h"
#include "base/log.h"
#include "cri-server/container/exec.h"
#include "cri-server/sandbox/services.h"
#include "cri-server/stream/feed.h"
#include "cri-server/stream/resize.h"
#include "cri-server/stream/status.h"
#include "cri-server/stream/streaming.h"
#include "zone/protocol/enclosing.h"

enum {
	INPUT_ENOUGH = 64 * 1024, // bytes for stdin that wait; then the client is not read
	INPUT_MAX = 2 * INPUT_ENOUGH,
	FIRST_WITH_RESIZE = 3, // version of channel.k8s.io
};

struct remote {
	struct zl_stream_request request;
	struct zl_container *container; // counted
	char **argv;                    // of an exec

	// Of the session.
	struct zl_session *session;
	int64_t streams_until_ns;
	bool opened[ZL_ROLES];
	uint32_t streams[ZL_ROLES];
	struct zl_gate *inside; // the sandbox's gate, once started
	struct zl_zone_client *client;
	struct zl_feed feed;
	bool joined; // the feed is a peer
	bool started;
	bool over;
	struct zl_buffer input; // from the client, for stdin
	bool input_ended;       // the client sends no more
	bool input_closed;      // stdin takes no more
	struct zl_resize resize;
};

static bool is_exec(const struct remote *r)
{
	return r->request.kind == ZL_STREAM_EXEC;
}

// Which process it is, for the zone's client.
static const char *exec_id(const struct remote *r)
{
	return is_exec(r) ? r->feed.peer.id : NULL;
}

// "Once" is kept without a terminal only, as containerd and dockershim have it.
static bool closes_stdin(const struct remote *r)
{
	const Runtime__V1__ContainerConfig *config = r->container->config;

	return is_exec(r) || (config->stdin_once && !config->tty);
}

// ---- the client's side

static bool expected(const struct remote *r, enum zl_stream_role role)
{
	switch (role) {
	case ZL_ROLE_ERROR:
		return true;
	case ZL_ROLE_STDIN:
		return r->request.has_stdin;
	case ZL_ROLE_STDOUT:
		return r->request.has_stdout;
	case ZL_ROLE_STDERR:
		return r->request.has_stderr;
	case ZL_ROLE_RESIZE:
		return r->request.tty && r->session->protocol.version >= FIRST_WITH_RESIZE;
	case ZL_ROLE_DATA:
	case ZL_ROLES:
		break;
	}
	return false;
}

static int on_opened(void *user, uint32_t stream, const struct zl_stream_opening *opening)
{
	struct remote *r = user;

	if (opening->role == ZL_ROLE_DATA || r->opened[opening->role])
		return -1;
	r->opened[opening->role] = true;
	r->streams[opening->role] = stream;
	return 0;
}

static bool is_stream(const struct remote *r, enum zl_stream_role role, uint32_t stream)
{
	return r->opened[role] && r->streams[role] == stream;
}

static int on_data(
        void *user, uint32_t stream, const void *bytes, size_t length, struct zl_error *err)
{
	struct remote *r = user;

	if (is_stream(r, ZL_ROLE_STDIN, stream) && !r->input_closed) {
		if (zl_buffer_append(&r->input, bytes, length, err) < 0)
			return -1;
		return 0;
	}
	if (is_stream(r, ZL_ROLE_RESIZE, stream))
		zl_resize_take(&r->resize, bytes, length);
	return zl_wire_consumed(r->session->wire, stream, length, err);
}

static void on_ended(void *user, uint32_t stream)
{
	struct remote *r = user;

	if (is_stream(r, ZL_ROLE_STDIN, stream))
		r->input_ended = true;
}

static bool all_opened(const struct remote *r)
{
	for (enum zl_stream_role role = 0; role < ZL_ROLES; role++) {
		if (expected(r, role) && !r->opened[role])
			return false;
	}
	return true;
}

// ---- the end

// Says how it went and that nothing follows.
static int conclude(struct remote *r, const struct zl_buffer *status, struct zl_error *err)
{
	static const enum zl_stream_role outputs[] = {
	        ZL_ROLE_STDOUT, ZL_ROLE_STDERR, ZL_ROLE_ERROR};
	struct zl_wire *wire = r->session->wire;

	r->over = true;
	if (status->length > 0 && r->opened[ZL_ROLE_ERROR] &&
	        zl_wire_send(wire, r->streams[ZL_ROLE_ERROR], status->data, status->length, err) <
	                0)
		return -1;
	for (size_t i = 0; i < ZL_ARRAY_SIZE(outputs); i++) {
		if (r->opened[outputs[i]] && zl_wire_end(wire, r->streams[outputs[i]], err) < 0)
			return -1;
	}
	return 0;
}

static int conclude_exit(struct remote *r, int32_t exit_code, struct zl_error *err)
{
	zl_auto(buffer) struct zl_buffer status = ZL_BUFFER_INIT;

	if (zl_stream_status_exit(r->session->protocol.version, exit_code, &status, err) < 0)
		return -1;
	return conclude(r, &status, err);
}

static int conclude_failure(struct remote *r, const struct zl_error *why, struct zl_error *err)
{
	zl_auto(buffer) struct zl_buffer status = ZL_BUFFER_INIT;
	struct zl_error told = *why;

	zl_error_wrap(&told, is_exec(r) ? "error executing command in container"
	                                : "error attaching to container");
	if (zl_stream_status_failure(r->session->protocol.version, &told, &status, err) < 0)
		return -1;
	return conclude(r, &status, err);
}

// ---- the start

static int join(struct remote *r, struct zl_error *err)
{
	struct zl_sandbox *sandbox = r->container->sandbox;
	int result = is_exec(r) ? zl_peer_add(sandbox, &r->feed.peer, err)
	                        : zl_peer_attach(r->container, &r->feed.peer, err);

	r->joined = result == 0;
	return result;
}

static int start_exec(struct remote *r, struct zl_error *err)
{
	struct zl_exec_command command = {
	        .argv = (const char *const *)r->argv,
	        .argc = zl_strv_length(r->argv),
	        .stdin_open = r->request.has_stdin,
	        .tty = r->request.tty,
	};

	if (zl_exec_check(r->container, command.argc, err) < 0 || join(r, err) < 0)
		return -1;
	return zl_exec_start(r->container, &r->feed.peer, &command, &r->session->cancel, err);
}

static int start(struct remote *r, struct zl_error *err)
{
	struct zl_gate *gate = &r->container->sandbox->gate;

	if (zl_gate_enter(gate, false, &r->session->cancel, err) < 0)
		return -1;
	r->inside = gate;
	r->client = zl_sandbox_client(r->container->sandbox, err);
	if (r->client == NULL)
		return -1;
	r->feed.wanted[0] = r->request.has_stdout;
	r->feed.wanted[1] = r->request.has_stderr;
	if ((is_exec(r) ? start_exec(r, err) : join(r, err)) < 0)
		return -1;
	r->started = true;
	return 0;
}

// Leaves the process to itself.
static void stop(struct remote *r)
{
	struct zl_sandbox *sandbox = r->container->sandbox;
	size_t taken;

	if (r->joined && is_exec(r))
		zl_peer_remove(sandbox, &r->feed.peer);
	else if (r->joined)
		zl_peer_detach(r->container, &r->feed.peer);
	if (r->started && is_exec(r))
		(void)zl_zone_hang_up(r->client, r->container->id, r->feed.peer.id, NULL);
	else if (r->started && r->request.has_stdin && closes_stdin(r) && !r->input_closed)
		(void)zl_zone_stdin_put(r->client, r->container->id, NULL, "", 0, &taken, NULL);
	// What a slow client held back is for the log alone now.
	if (r->started && !is_exec(r))
		(void)zl_zone_client_resume(r->client, NULL);
	if (r->inside != NULL)
		zl_gate_leave(r->inside);
	r->inside = NULL;
}

// ---- moving bytes

static int refuse_input(struct remote *r, struct zl_error *err)
{
	size_t dropped = r->input.length;

	r->input_closed = true;
	zl_buffer_release(&r->input);
	return zl_wire_consumed(r->session->wire, r->streams[ZL_ROLE_STDIN], dropped, err);
}

// Without "once" the end of a client's stdin is the end of its visit (containerd's container_io).
static int end_input(struct remote *r, struct zl_error *err)
{
	size_t taken;

	if (!closes_stdin(r))
		return conclude_exit(r, 0, err);
	r->input_closed = true;
	(void)zl_zone_stdin_put(r->client, r->container->id, exec_id(r), "", 0, &taken, NULL);
	return 0;
}

static int move_input(struct remote *r, struct zl_error *err)
{
	size_t taken = 0;

	if (r->input_closed)
		return 0;
	if (r->input.length > 0) {
		if (zl_zone_stdin_put(r->client, r->container->id, exec_id(r), r->input.data,
		            r->input.length, &taken, NULL) < 0)
			return refuse_input(r, err);
		zl_buffer_consume(&r->input, taken);
		if (zl_wire_consumed(r->session->wire, r->streams[ZL_ROLE_STDIN], taken, err) < 0)
			return -1;
	}
	return r->input_ended && r->input.length == 0 ? end_input(r, err) : 0;
}

static void move_size(struct remote *r)
{
	if (!r->resize.changed)
		return;
	r->resize.changed = false;
	(void)zl_zone_resize_post(
	        r->client, r->container->id, exec_id(r), r->resize.columns, r->resize.rows, NULL);
}

static int move_output(struct remote *r, struct zl_error *err)
{
	static const enum zl_stream_role roles[ZL_FEED_OUTPUTS] = {ZL_ROLE_STDOUT, ZL_ROLE_STDERR};
	bool offer = false;

	for (size_t i = 0; i < ZL_FEED_OUTPUTS; i++) {
		if (r->feed.wanted[i] && zl_feed_move(&r->feed, i, r->session, r->streams[roles[i]],
		                                 &offer, err) < 0)
			return -1;
	}
	if (offer)
		(void)zl_zone_client_resume(r->client, NULL);
	return 0;
}

// A terminal has one output.
static bool drained(const struct remote *r, const struct zl_feed_state *state)
{
	bool tty = is_exec(r) ? r->request.tty : r->container->config->tty;

	return state->drained[0] && (tty || state->drained[1]);
}

static int check_end(struct remote *r, struct zl_error *err)
{
	struct zl_feed_state state = zl_feed_look(&r->feed);

	if (state.exited && drained(r, &state))
		return conclude_exit(r, is_exec(r) ? state.exit_code : 0, err);
	return state.failed ? conclude_failure(r, &r->feed.why, err) : 0;
}

static int try_start(struct remote *r, struct zl_error *err)
{
	struct zl_error why = ZL_ERROR_INIT;

	if (!all_opened(r))
		return zl_clock_monotonic() < r->streams_until_ns
		               ? 0
		               : zl_error_set(err, ZL_DEADLINE_EXCEEDED,
		                         "the client did not open its streams within %d s",
		                         ZL_SESSION_STREAMS_SECONDS);
	return start(r, &why) == 0 ? 0 : conclude_failure(r, &why, err);
}

static int on_step(void *user, struct zl_error *err)
{
	struct remote *r = user;

	if (!r->started && !r->over && try_start(r, err) < 0)
		return -1;
	if (!r->started || r->over)
		return 0;
	move_size(r);
	if (move_output(r, err) < 0 || check_end(r, err) < 0)
		return -1;
	return r->over ? 0 : move_input(r, err);
}

static bool on_hungry(void *user)
{
	const struct remote *r = user;

	return r->input.length < INPUT_ENOUGH;
}

static bool on_done(void *user)
{
	return ((const struct remote *)user)->over;
}

static int64_t on_deadline(void *user)
{
	const struct remote *r = user;

	return r->started ? INT64_MAX : r->streams_until_ns;
}

// A client that drops its stdin sends no more of it.
static const struct zl_session_user session_user = {
        .wire = {.opened = on_opened, .data = on_data, .ended = on_ended, .reset = on_ended},
        .step = on_step,
        .hungry = on_hungry,
        .done = on_done,
        .deadline_ns = on_deadline,
};

// ---- the request

static int serve(
        struct zl_stream_request *request, struct zl_session *session, struct zl_error *err)
{
	struct remote *r = ZL_ENCLOSING(request, struct remote, request);
	int result;

	ZL_LOG_SCOPE("pod", zl_sandbox_pod(r->container->sandbox));
	ZL_LOG_SCOPE("container", r->container->id);
	r->session = session;
	r->input.limit = INPUT_MAX;
	r->streams_until_ns = zl_clock_monotonic() + ZL_SESSION_STREAMS_SECONDS * ZL_NS_PER_SECOND;
	result = zl_feed_init(&r->feed, r->container->id, session->wake, err);
	if (result == 0)
		result = zl_session_run(session, request, &session_user, r, err);
	stop(r);
	zl_feed_release(&r->feed);
	zl_buffer_release(&r->input);
	if (result < 0)
		zl_error_wrap(err, is_exec(r) ? "exec" : "attach");
	return result;
}

static void request_free(struct zl_stream_request *request)
{
	struct remote *r = ZL_ENCLOSING(request, struct remote, request);

	zl_strv_free(r->argv);
	zl_container_unref(r->container);
	free(r);
}

struct zl_stream_request *zl_remote_new(
        struct zl_container *container, enum zl_stream_kind kind, char **argv, struct zl_error *err)
{
	struct remote *r = calloc(1, sizeof(*r));

	if (r == NULL) {
		zl_strv_free(argv);
		zl_error_nomem(err);
		return NULL;
	}
	r->request = (struct zl_stream_request){.kind = kind, .serve = serve, .free = request_free};
	r->container = zl_container_ref(container);
	r->argv = argv;
	return &r->request;
}
