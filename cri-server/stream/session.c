// SPDX-License-Identifier: Apache-2.0
#include "cri-server/stream/session.h"

#include <errno.h>
#include <poll.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/clock.h"
#include "cri-server/stream/spdy.h"

void zl_session_wake(int wake)
{
	uint64_t one = 1;

	(void)!write(wake, &one, sizeof(one));
}

static size_t waiting(const struct zl_session *session)
{
	return session->wire->out.length - session->written;
}

size_t zl_session_room(const struct zl_session *session)
{
	size_t used = waiting(session);

	return used < ZL_SESSION_OUT_ENOUGH ? ZL_SESSION_OUT_ENOUGH - used : 0;
}

static int make_wire(struct zl_session *session, const struct zl_stream_request *request,
        const struct zl_session_user *user, void *data, struct zl_error *err)
{
	const struct zl_stream_protocol *protocol = &session->protocol;
	struct zl_websocket_options options = {
	        .base64 = protocol->base64,
	        .close_signal = protocol->version >= 5,
	        .request = request,
	        .ports = protocol->ports,
	        .port_count = protocol->port_count,
	};

	if (protocol->transport == ZL_TRANSPORT_WEBSOCKET)
		session->wire = zl_websocket_new(&options, &user->wire, data, err);
	else
		session->wire = zl_spdy_new(&user->wire, data, err);
	if (session->wire != NULL && protocol->transport == ZL_TRANSPORT_TUNNEL)
		session->wire = zl_websocket_tunnel(session->wire, err);
	return session->wire != NULL ? 0 : -1;
}

void zl_session_release(struct zl_session *session)
{
	zl_wire_free(session->wire);
	session->wire = NULL;
	free(session->early);
	session->early = NULL;
}

// ---- the socket

static int gone(struct zl_error *err)
{
	return zl_error_set(err, ZL_UNAVAILABLE, "the client went away");
}

// Keeps the written part from growing while the rest never gets empty.
static void forget_written(struct zl_session *session)
{
	struct zl_buffer *out = &session->wire->out;

	if (session->written == out->length)
		out->length = 0;
	else if (session->written >= ZL_SESSION_OUT_ENOUGH)
		zl_buffer_consume(out, session->written);
	else
		return;
	session->written = 0;
}

static int write_some(struct zl_session *session, struct zl_error *err)
{
	while (waiting(session) > 0) {
		ssize_t done = send(session->fd, session->wire->out.data + session->written,
		        waiting(session), MSG_NOSIGNAL | MSG_DONTWAIT);

		if (done < 0 && errno == EINTR)
			continue;
		if (done < 0 && (errno == EAGAIN || errno == EWOULDBLOCK))
			break;
		if (done < 0)
			return gone(err);
		session->written += (size_t)done;
		session->active_ns = zl_clock_monotonic();
	}
	forget_written(session);
	return 0;
}

static int read_some(struct zl_session *session, struct zl_error *err)
{
	ssize_t got = recv(session->fd, session->buffer, sizeof(session->buffer), MSG_DONTWAIT);

	if (got < 0 && (errno == EAGAIN || errno == EWOULDBLOCK || errno == EINTR))
		return 0;
	if (got <= 0)
		return gone(err);
	session->active_ns = zl_clock_monotonic();
	return zl_wire_receive(session->wire, session->buffer, (size_t)got, err);
}

// ---- the loop

static int milliseconds_until(int64_t at_ns)
{
	int64_t left = at_ns - zl_clock_monotonic();

	if (left <= 0)
		return 0;
	left = (left + ZL_NS_PER_MS - 1) / ZL_NS_PER_MS;
	return left > INT32_MAX ? INT32_MAX : (int)left;
}

static int64_t earlier(int64_t a, int64_t b)
{
	return a < b ? a : b;
}

static int64_t keep_alive_ns(const struct zl_session *session)
{
	return session->heard_ns + ZL_SESSION_KEEP_ALIVE_SECONDS * ZL_NS_PER_SECOND;
}

static int64_t next_ns(const struct zl_session *session, const struct zl_session_user *user,
        void *data, bool hungry)
{
	int64_t next = earlier(session->active_ns + session->idle_ns, user->deadline_ns(data));

	return hungry ? next : earlier(next, keep_alive_ns(session));
}

// It does not count against the idle time: the client has not moved.
static int keep_alive(struct zl_session *session, struct zl_error *err)
{
	int64_t active_ns = session->active_ns;
	bool quiet = waiting(session) == 0;

	session->heard_ns = zl_clock_monotonic();
	if (zl_wire_keep_alive(session->wire, err) < 0 || write_some(session, err) < 0)
		return -1;
	if (quiet)
		session->active_ns = active_ns;
	return 0;
}

// Waits for something to do, and reads. A client that hangs up while it is not read from would go
// unnoticed else.
static int wait_and_read(struct zl_session *session, const struct zl_session_user *user, void *data,
        struct zl_error *err)
{
	struct pollfd fds[2 + ZL_CANCEL_DEPTH] = {
	        {.fd = session->fd, .events = POLLRDHUP},
	        {.fd = session->wake, .events = POLLIN},
	};
	bool hungry = user->hungry(data) && zl_session_room(session) > 0;
	nfds_t count = 2 + zl_cancel_fds(&session->cancel, fds + 2);
	uint64_t drained;

	if (hungry)
		fds[0].events |= POLLIN;
	if (waiting(session) > 0)
		fds[0].events |= POLLOUT;
	if (poll(fds, count, milliseconds_until(next_ns(session, user, data, hungry))) < 0 &&
	        errno != EINTR)
		return zl_error_errno(err, errno, "wait for the client");
	(void)!read(session->wake, &drained, sizeof(drained));
	if (zl_cancel_check(&session->cancel, err) < 0)
		return -1;
	if (hungry)
		session->heard_ns = zl_clock_monotonic();
	else if (zl_clock_monotonic() >= keep_alive_ns(session) && keep_alive(session, err) < 0)
		return -1;
	if (hungry && (fds[0].revents & (POLLIN | POLLHUP | POLLERR)) != 0)
		return read_some(session, err);
	return (fds[0].revents & (POLLRDHUP | POLLHUP | POLLERR)) != 0 ? gone(err) : 0;
}

static int run(struct zl_session *session, const struct zl_session_user *user, void *data,
        struct zl_error *err)
{
	for (;;) {
		if (user->step(data, err) < 0 || write_some(session, err) < 0)
			return -1;
		if (user->done(data))
			return 0;
		if (session->wire->closed)
			return gone(err);
		if (zl_clock_monotonic() >= session->active_ns + session->idle_ns)
			return zl_error_set(err, ZL_DEADLINE_EXCEEDED,
			        "the client's connection was idle for too long");
		if (wait_and_read(session, user, data, err) < 0)
			return -1;
	}
}

int zl_session_run(struct zl_session *session, const struct zl_stream_request *request,
        const struct zl_session_user *user, void *data, struct zl_error *err)
{
	session->active_ns = session->heard_ns = zl_clock_monotonic();
	if (make_wire(session, request, user, data, err) < 0)
		return -1;
	// Also without bytes: the channels of a WebSocket are opened by it.
	if (zl_wire_receive(session->wire, session->early, session->early_length, err) < 0)
		return -1;
	return run(session, user, data, err);
}

// ---- the end

// 1: closed by the client; 0: go on.
static int discard_some(struct zl_session *session)
{
	ssize_t got = recv(session->fd, session->buffer, sizeof(session->buffer), MSG_DONTWAIT);

	if (got < 0 && (errno == EAGAIN || errno == EWOULDBLOCK || errno == EINTR))
		return 0;
	return got <= 0;
}

static bool wait_socket(struct zl_session *session, short events, int64_t until_ns)
{
	int left = milliseconds_until(until_ns);

	return left > 0 && zl_cancel_poll(&session->cancel, session->fd, events, left, NULL) > 0;
}

void zl_session_goodbye(struct zl_session *session)
{
	int64_t until_ns;

	if (session->wire == NULL || zl_wire_goodbye(session->wire, NULL) < 0)
		return;
	for (;;) {
		if (write_some(session, NULL) < 0)
			return;
		if (waiting(session) == 0)
			break;
		// What it sends meanwhile is read too, else both may wait for each other.
		until_ns = session->active_ns + session->idle_ns;
		if (!wait_socket(session, POLLIN | POLLOUT, until_ns) || discard_some(session) != 0)
			return;
	}
	until_ns = zl_clock_monotonic() + ZL_SESSION_GOODBYE_SECONDS * ZL_NS_PER_SECOND;
	(void)shutdown(session->fd, SHUT_WR);
	while (wait_socket(session, POLLIN, until_ns) && discard_some(session) == 0)
		;
}
