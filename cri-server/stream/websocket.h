// SPDX-License-Identifier: Apache-2.0
//
// The server's end of a WebSocket connection (RFC 6455, frames by wslay), in two uses:
//
// Channels (k8s.io/streaming pkg/httpstream/wsstream): the first byte of each message is the number
// of its channel, the rest are bytes of it. Streams have their channels' numbers. In the base64
// forms the number is a digit and the rest is base64. Version 5 adds a message of two bytes, 255
// and a channel: nothing follows there.
//
//   exec, attach   0 stdin, 1 stdout, 2 stderr, 3 error, 4 resize
//   port forward   2n data, 2n + 1 error of the n-th port, each beginning with the port in 16 bits,
//                  little endian
//
// Tunnel (SPDY/3.1+portforward.k8s.io): messages carry the bytes of a SPDY connection.
#ifndef ZL_CRI_SERVER_STREAM_WEBSOCKET_H
#define ZL_CRI_SERVER_STREAM_WEBSOCKET_H

#include "cri-server/stream/request.h"
#include "cri-server/stream/wire.h"

enum {
	ZL_WEBSOCKET_PORTS_MAX = 64,
	ZL_WEBSOCKET_ACCEPT_SIZE = 29,
	ZL_WEBSOCKET_CLOSE_CHANNEL = 255,
	// The longest message in base64, which cannot be passed on in pieces as it comes.
	ZL_WEBSOCKET_TEXT_MAX = 64 * 1024,
};

struct zl_websocket_options {
	bool base64;
	bool close_signal; // version 5
	// EXEC, ATTACH: which channels there are.
	const struct zl_stream_request *request;
	// PORT_FORWARD
	const uint16_t *ports;
	size_t port_count;
};

// The channels' streams are all opened at once, by the first zl_wire_receive (of no bytes, too).
struct zl_wire *zl_websocket_new(const struct zl_websocket_options *options,
        const struct zl_wire_events *events, void *user, struct zl_error *err);

// A WebSocket around `inner`, whose streams are the wire's. Takes `inner` over.
struct zl_wire *zl_websocket_tunnel(struct zl_wire *inner, struct zl_error *err);

// The answer to the client's Sec-WebSocket-Key (RFC 6455, section 4.2.2). False: it is no key.
bool zl_websocket_accept(const char *key, char out[static ZL_WEBSOCKET_ACCEPT_SIZE]);

#endif
