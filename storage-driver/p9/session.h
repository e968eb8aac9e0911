// SPDX-License-Identifier: Apache-2.0
//
// A session: requests from a transport, answered by a few threads, in any order.
//
// The receiving thread decodes, sees to Tflush and Tversion, and queues the rest; workers answer.
// Bounds: ZL_P9_REQUESTS_MAX requests at once, no more bytes than ZL_P9_QUEUE_BYTES; past these
// nothing is received. A tag that is used twice at a time, or bytes that are no message, end the
// session: Linux sends neither.
//
// Tflush(old): a request that still waits is dropped; one that is being answered is answered, and
// the flush after it. So after Rflush the client may use the tag again (flush(5)).
#ifndef ZL_STORAGE_DRIVER_P9_SESSION_H
#define ZL_STORAGE_DRIVER_P9_SESSION_H

#include "storage-driver/p9/server.h"
#include "storage-driver/p9/tags.h"
#include "storage-driver/p9/transport.h"

enum {
	ZL_P9_REQUESTS_MAX = 128,
	ZL_P9_QUEUE_BYTES = 4 * 1024 * 1024,
	ZL_P9_WORKERS = 4,
};

// Serves until the transport ends (0) or fails (-1). Starts ZL_P9_WORKERS threads and ends them.
// What `tags` has as unanswered, by a server that died, is answered with EIO first; NULL: nothing.
int zl_p9_session_run(struct zl_p9_server *server, struct zl_p9_transport *transport,
        struct zl_p9_tags *tags, struct zl_error *err);

#endif
