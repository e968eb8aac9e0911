// SPDX-License-Identifier: Apache-2.0
//
// A client's connection as a set of streams: SPDY/3.1 (spdy.h) or WebSocket channels (websocket.h).
//
// A wire turns bytes of the socket into events for its user, and what the user sends into bytes of
// `out`. It does no input or output itself, so it is tested from bytes. How much it may hold is
// bounded by its user: bytes that came are handed on at once and are not kept, and the user sends
// only while `out` is short.
//
// Thread rule: one thread.
#ifndef ZL_CRI_SERVER_STREAM_WIRE_H
#define ZL_CRI_SERVER_STREAM_WIRE_H

#include <stdbool.h>
#include <stdint.h>

#include "base/buffer.h"
#include "base/error.h"

// What a stream is for: the header "streamtype" of SPDY, the channel of WebSocket
// (k8s.io/api core/v1, StreamType…).
enum zl_stream_role {
	ZL_ROLE_ERROR,
	ZL_ROLE_STDIN,
	ZL_ROLE_STDOUT,
	ZL_ROLE_STDERR,
	ZL_ROLE_RESIZE,
	ZL_ROLE_DATA,
	ZL_ROLES,
};

struct zl_stream_opening {
	enum zl_stream_role role;
	uint16_t port;       // of port forwarding; 0: none
	uint32_t request_id; // the same for both streams of one forwarded connection
};

struct zl_wire_events {
	// The client opened a stream. -1: the wire refuses it.
	int (*opened)(void *user, uint32_t stream, const struct zl_stream_opening *opening);
	// Bytes of a stream, to be kept or passed on; zl_wire_consumed when they are gone. -1: the
	// connection cannot go on.
	int (*data)(void *user, uint32_t stream, const void *bytes, size_t length,
	        struct zl_error *err);
	// The client sends no more of it.
	void (*ended)(void *user, uint32_t stream);
	// The client dropped the stream in both directions.
	void (*reset)(void *user, uint32_t stream);
};

struct zl_wire;

struct zl_wire_ops {
	int (*receive)(
	        struct zl_wire *wire, const uint8_t *bytes, size_t length, struct zl_error *err);
	size_t (*room)(struct zl_wire *wire, uint32_t stream);
	int (*send)(struct zl_wire *wire, uint32_t stream, const void *bytes, size_t length,
	        struct zl_error *err);
	int (*end)(struct zl_wire *wire, uint32_t stream, struct zl_error *err);
	int (*reset)(struct zl_wire *wire, uint32_t stream, struct zl_error *err);
	int (*consumed)(struct zl_wire *wire, uint32_t stream, size_t length, struct zl_error *err);
	int (*goodbye)(struct zl_wire *wire, struct zl_error *err);
	int (*keep_alive)(struct zl_wire *wire, struct zl_error *err); // NULL: has no need of it
	void (*free)(struct zl_wire *wire);
};

struct zl_wire {
	const struct zl_wire_ops *ops;
	const struct zl_wire_events *events;
	void *user;
	struct zl_buffer out; // for the socket, to be consumed by whoever writes to it
	bool closed;          // the client said goodbye
};

// Takes bytes of the socket. -1: the client broke the protocol (DATA_LOSS) or the user cannot go
// on.
static inline int zl_wire_receive(
        struct zl_wire *wire, const uint8_t *bytes, size_t length, struct zl_error *err)
{
	return wire->ops->receive(wire, bytes, length, err);
}

// How many bytes may be sent on a stream now.
static inline size_t zl_wire_room(struct zl_wire *wire, uint32_t stream)
{
	return wire->ops->room(wire, stream);
}

// At most zl_wire_room bytes; to a stream that is not there (any more) they are dropped.
static inline int zl_wire_send(struct zl_wire *wire, uint32_t stream, const void *bytes,
        size_t length, struct zl_error *err)
{
	return wire->ops->send(wire, stream, bytes, length, err);
}

// Nothing follows on this stream.
static inline int zl_wire_end(struct zl_wire *wire, uint32_t stream, struct zl_error *err)
{
	return wire->ops->end(wire, stream, err);
}

// Drops a stream in both directions.
static inline int zl_wire_reset(struct zl_wire *wire, uint32_t stream, struct zl_error *err)
{
	return wire->ops->reset(wire, stream, err);
}

// Bytes that came are gone: the client may send as many again.
static inline int zl_wire_consumed(
        struct zl_wire *wire, uint32_t stream, size_t length, struct zl_error *err)
{
	return wire->ops->consumed(wire, stream, length, err);
}

// All is said.
static inline int zl_wire_goodbye(struct zl_wire *wire, struct zl_error *err)
{
	return wire->ops->goodbye(wire, err);
}

// Says that this end is alive, to a client that asks but is not read from now.
static inline int zl_wire_keep_alive(struct zl_wire *wire, struct zl_error *err)
{
	return wire->ops->keep_alive != NULL ? wire->ops->keep_alive(wire, err) : 0;
}

static inline void zl_wire_free(struct zl_wire *wire)
{
	if (wire != NULL)
		wire->ops->free(wire);
}
ZL_AUTO_DEFINE(wire, struct zl_wire *, zl_wire_free);

#endif
