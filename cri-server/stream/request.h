// SPDX-License-Identifier: Apache-2.0
//
// What a streaming client is to be given, from the CRI call to the end of its connection.
#ifndef ZL_CRI_SERVER_STREAM_REQUEST_H
#define ZL_CRI_SERVER_STREAM_REQUEST_H

#include <stdbool.h>
#include <stddef.h>

#include "base/cleanup.h"
#include "base/error.h"

struct zl_session;

// The first word of the URL's path.
enum zl_stream_kind { ZL_STREAM_EXEC, ZL_STREAM_ATTACH, ZL_STREAM_PORT_FORWARD };

struct zl_stream_request {
	enum zl_stream_kind kind;
	// EXEC and ATTACH: the streams that the client opens.
	bool has_stdin;
	bool has_stdout;
	bool has_stderr; // never with tty
	bool tty;
	// Serves the client until one of both ends, on a thread of its own. An error is logged;
	// what the client is to know of it was sent already.
	int (*serve)(struct zl_stream_request *request, struct zl_session *session,
	        struct zl_error *err);
	void (*free)(struct zl_stream_request *request);
};

static inline void zl_stream_request_free(struct zl_stream_request *request)
{
	if (request != NULL)
		request->free(request);
}
ZL_AUTO_DEFINE(stream_request, struct zl_stream_request *, zl_stream_request_free);

#endif
