// SPDX-License-Identifier: Apache-2.0
//
// The server's end of a SPDY/3.1 connection (spdy_frame.h has the frames).
//
// Flow control (draft 3-1, section 2.6.8): bytes that came are credited when they are consumed, for
// the stream and for the connection. A client's own windows bind us only once it has shown that it
// keeps them, by a WINDOW_UPDATE or by SETTINGS with an initial window: the library that kubectl
// and crictl use (github.com/moby/spdystream) neither sends updates nor waits for any, and would
// starve after 64 KB. With such a client what holds back is TCP, in both directions.
#ifndef ZL_CRI_SERVER_STREAM_SPDY_H
#define ZL_CRI_SERVER_STREAM_SPDY_H

#include "cri-server/stream/wire.h"

enum {
	ZL_SPDY_WINDOW = 64 * 1024, // initial, of a stream and of a connection (2.6.8)
	ZL_SPDY_STREAMS_MAX = 512,  // open at the same time
};

struct zl_wire *zl_spdy_new(const struct zl_wire_events *events, void *user, struct zl_error *err);

#endif
