// SPDX-License-Identifier: Apache-2.0
//
// The streaming server: HTTP on loopback, by libmicrohttpd, until a connection is upgraded; then a
// thread of its own serves it (session.h).
//
//   POST or GET /exec/TOKEN, /attach/TOKEN, /portforward/TOKEN
//
// It listens on a loopback address alone: the kubelet, which is on this node, speaks to the
// outside, checks who asks and passes the bytes on.
//
//   400 no upgrade is asked for   403 no common protocol   404 no such token, used, or too old
//   405 another method            503 too many clients
//
// Thread rule: any.
#ifndef ZL_CRI_SERVER_STREAM_SERVER_H
#define ZL_CRI_SERVER_STREAM_SERVER_H

#include "base/buffer.h"
#include "base/error.h"
#include "cri-server/stream/request.h"

enum {
	ZL_STREAM_SESSIONS_MAX = 1500,    // connections that are upgraded
	ZL_STREAM_CONNECTIONS_MAX = 2000, // all
	ZL_STREAM_REQUEST_SECONDS = 30,   // for a client to send its request
};

struct zl_stream_options {
	const char *address; // "127.0.0.1", "::1"; others are refused
	uint16_t port;       // 0: any
	int64_t idle_ns;     // a session without a byte in either direction ends
};

struct zl_stream_server;

struct zl_stream_server *zl_stream_server_start(
        const struct zl_stream_options *options, struct zl_error *err);
// Ends all sessions and frees what waits. NULL is fine.
void zl_stream_server_stop(struct zl_stream_server *server);

// The URL at which one client may have this, for a minute. Takes the request over in any case.
int zl_stream_server_offer(struct zl_stream_server *server, struct zl_stream_request *request,
        struct zl_buffer *ret_url, struct zl_error *err);

// Upgraded connections now.
unsigned zl_stream_server_sessions(struct zl_stream_server *server);

#endif
