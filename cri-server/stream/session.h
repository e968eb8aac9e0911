// SPDX-License-Identifier: Apache-2.0
//
// One client's connection: a socket, a wire, and a thread that moves bytes between them and a user
// (remote.c, forward.c).
//
// The thread sleeps in poll(2) for the socket, its wake descriptor and its token. Memory of a
// session is bounded: it reads from the socket only while its user can take bytes and little waits
// to be written, and the user adds to what waits only while zl_session_room. So a client that does
// not read, or a process that does not, holds the other back by TCP and by the streams of the
// zone's channel.
//
// Thread rule: all on the session's own thread, but zl_session_wake.
#ifndef ZL_CRI_SERVER_STREAM_SESSION_H
#define ZL_CRI_SERVER_STREAM_SESSION_H

#include "base/cancel.h"
#include "cri-server/stream/negotiate.h"
#include "cri-server/stream/wire.h"

enum {
	ZL_SESSION_READ = 16 * 1024,
	ZL_SESSION_OUT_ENOUGH = 64 * 1024, // bytes waiting for the socket; then nothing is added
	ZL_SESSION_STREAMS_SECONDS = 30,   // for the client to open its streams
	ZL_SESSION_GOODBYE_SECONDS = 10,   // for the client to close after the end
	// How often a client that is not read from is told that this end is alive. Those of
	// WebSocket ping, and give up without an answer for a minute (client-go,
	// remotecommand/websocket.go).
	ZL_SESSION_KEEP_ALIVE_SECONDS = 20,
};

struct zl_session_user {
	struct zl_wire_events wire;
	// Does what can be done now. -1: the session cannot go on.
	int (*step)(void *user, struct zl_error *err);
	// Whether bytes of the client can be taken now.
	bool (*hungry)(void *user);
	// Everything is said; after a step.
	bool (*done)(void *user);
	// When step must run again by itself, monotonic; INT64_MAX: never.
	int64_t (*deadline_ns)(void *user);
};

struct zl_session {
	int fd;
	int wake; // eventfd
	struct zl_stream_protocol protocol;
	int64_t idle_ns;         // without a byte in either direction for so long, it ends
	struct zl_cancel cancel; // the server stops
	struct zl_wire *wire;    // while it runs, and for the goodbye
	size_t written;          // bytes of wire->out that the socket took
	int64_t active_ns;       // last byte in either direction, but for what keeps alive
	int64_t heard_ns;        // the client was last read from, or told unasked
	uint8_t *early;          // bytes that came behind the HTTP request
	size_t early_length;
	uint8_t buffer[ZL_SESSION_READ];
};

// Runs until the user is done. UNAVAILABLE: the client went away; DEADLINE_EXCEEDED: it was idle;
// CANCELLED: the server stops; DATA_LOSS: it broke the protocol. `request` says which streams there
// are.
int zl_session_run(struct zl_session *session, const struct zl_stream_request *request,
        const struct zl_session_user *user, void *data, struct zl_error *err);

// After a run, when the user is gone: sends what waits and a goodbye, and lets the client close
// first, so that nothing it has not read yet is lost to a reset of the connection. A slow reader
// has the idle time between two bytes, then ZL_SESSION_GOODBYE_SECONDS to close.
void zl_session_goodbye(struct zl_session *session);

// Frees the wire and what came early.
void zl_session_release(struct zl_session *session);

// How many bytes may be added to wire->out.
size_t zl_session_room(const struct zl_session *session);

// Makes step run soon. Any thread, while the session lives.
void zl_session_wake(int wake);

#endif
