// SPDX-License-Identifier: Apache-2.0
//
// Which protocol a client and we speak, from the headers of its request (k8s.io/streaming
// pkg/httpstream; kubelet pkg/cri/streaming). Plain data in, plain data out.
#ifndef ZL_CRI_SERVER_STREAM_NEGOTIATE_H
#define ZL_CRI_SERVER_STREAM_NEGOTIATE_H

#include "base/buffer.h"
#include "base/error.h"
#include "cri-server/stream/request.h"
#include "cri-server/stream/websocket.h"

// What the client said; strings are NULL where it said nothing. Headers that came several times are
// one text with commas.
struct zl_stream_offer {
	const char *connection;
	const char *upgrade;
	const char *spdy_protocols;      // X-Stream-Protocol-Version
	const char *websocket_protocols; // Sec-WebSocket-Protocol
	const char *websocket_key;
	const char *websocket_version;
	const char *ports; // the query's ports of port forwarding
};

enum zl_stream_transport { ZL_TRANSPORT_SPDY, ZL_TRANSPORT_WEBSOCKET, ZL_TRANSPORT_TUNNEL };

struct zl_stream_protocol {
	enum zl_stream_transport transport;
	int version;      // of channel.k8s.io, 1 to 5; from 4 on the error stream has a Status
	bool base64;      // WebSocket
	const char *name; // to be answered; "" if the client named none
	char accept[ZL_WEBSOCKET_ACCEPT_SIZE];
	uint16_t ports[ZL_WEBSOCKET_PORTS_MAX]; // of a WebSocket's channels
	size_t port_count;
};

// INVALID_ARGUMENT (HTTP 400): no upgrade that we know of is asked for, or ports are missing.
// PERMISSION_DENIED (403): none of the protocols is ours.
int zl_negotiate(enum zl_stream_kind kind, const struct zl_stream_offer *offer,
        struct zl_stream_protocol *ret, struct zl_error *err);

// The names that we know for this kind with SPDY, separated by commas.
const char *zl_negotiate_spdy_names(enum zl_stream_kind kind);

#endif
