// SPDX-License-Identifier: Apache-2.0
//
// The supervisor's end of the channel: at most one daemon at a time, which may go and come.
//
// Over a unix socket a new connection replaces the old one; a vchan is one transport whose client
// changes. Either way a session begins with the daemon's hello (zone/protocol/frame.h). A reply
// remembers the session of its request and is dropped when that is over.
#ifndef ZL_ZONE_SUPERVISOR_LINK_H
#define ZL_ZONE_SUPERVISOR_LINK_H

#include "base/buffer.h"
#include "zone.pb-c.h"
#include "zone/channel/transport.h"
#include "zone/protocol/frame.h"
#include "zone/protocol/message.h"
#include "zone/supervisor/reactor.h"

// Where the answer to a request goes.
struct zl_reply {
	uint64_t request;
	uint64_t session;
};

struct zl_link_handlers {
	// A request other than hello. Takes the message over (zl_zone_message_free).
	void (*request)(void *user, struct zl_reply reply, Zl__Zone__ToZone *message);
	// A stream's frame. DATA_LOSS ends the session.
	int (*frame)(void *user, const struct zl_frame *frame, struct zl_error *err);
	// A new daemon said hello: fill in what it is told. Everything of an older session ends.
	int (*hello)(void *user, Zl__Zone__HelloReply *hello, struct zl_error *err);
	// The hello's reply was packed: free what `hello` filled in.
	void (*hello_done)(void *user, Zl__Zone__HelloReply *hello);
	// There is room to send: zl_link_send frames while zl_link_room.
	void (*fill)(void *user);
};

struct zl_link {
	struct zl_reactor *reactor;
	const struct zl_link_handlers *handlers;
	void *user;
	struct zl_source listener;      // accepts connections; fd -1 on a vchan
	struct zl_source source;        // the transport's
	struct zl_transport *transport; // NULL: no daemon is connected
	bool vchan;
	struct zl_frame_parser parser;
	struct zl_zone_message_reader reader;
	struct zl_buffer out;
	size_t out_done;
	uint64_t session; // counts up with each hello
	bool established; // the hello was answered
	bool flowing;     // the daemon asked for output
};

void zl_link_init(struct zl_link *link, struct zl_reactor *reactor,
        const struct zl_link_handlers *handlers, void *user);
void zl_link_release(struct zl_link *link);

// Accepts daemons at this listening socket, which it takes over.
int zl_link_listen(struct zl_link *link, int fd, struct zl_error *err);
// Uses one connection, which it takes over.
int zl_link_accept(struct zl_link *link, int fd, struct zl_error *err);
// Makes the zone's vchan.
int zl_link_serve_vchan(struct zl_link *link, struct zl_error *err);

// Whether more may be queued.
bool zl_link_room(const struct zl_link *link);
void zl_link_send(struct zl_link *link, const struct zl_frame *frame);
// Sends a reply (its request_id is filled in), or nothing if that session is over.
void zl_link_reply(struct zl_link *link, struct zl_reply reply, Zl__Zone__FromZone *message);
void zl_link_reply_done(struct zl_link *link, struct zl_reply reply);
void zl_link_reply_failure(
        struct zl_link *link, struct zl_reply reply, const struct zl_error *failure);
// Sends an event.
void zl_link_event(struct zl_link *link, Zl__Zone__FromZone *message);
// Writes what fits; to be called after each event.
void zl_link_flush(struct zl_link *link);
// Whether everything queued has gone out (or nobody is there to get it).
bool zl_link_idle(const struct zl_link *link);

#endif
