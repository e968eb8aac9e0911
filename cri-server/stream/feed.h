// SPDX-License-Identifier: Apache-2.0
//
// From the channel's thread to a session's: what a process (or a connection to a port) says.
//
// Two bounded buffers, one for each output. The channel's thread puts bytes in and never waits;
// what does not fit stays with the channel, and so with the process. The session's thread takes
// them out.
//
// Lock order: sandbox->lock, then feed->lock, which is innermost.
#ifndef ZL_CRI_SERVER_STREAM_FEED_H
#define ZL_CRI_SERVER_STREAM_FEED_H

#include <pthread.h>

#include "base/buffer.h"
#include "cri-server/container/peer.h"
#include "cri-server/stream/session.h"

enum {
	ZL_FEED_OUTPUTS = 2,
	ZL_FEED_SIZE = 64 * 1024, // bytes of one output that wait for the session
};

struct zl_feed {
	struct zl_peer peer;          // first
	int wake;                     // the session's
	bool wanted[ZL_FEED_OUTPUTS]; // the others are taken and dropped

	pthread_mutex_t lock; // guards all below
	struct zl_buffer bytes[ZL_FEED_OUTPUTS];
	bool eof[ZL_FEED_OUTPUTS];
	bool starved[ZL_FEED_OUTPUTS]; // there was more than fitted: it is to be offered again
	bool exited;
	int32_t exit_code;
	char message[160];
	bool failed;
	struct zl_error why;
};

// What became of it, as one look under the lock.
struct zl_feed_state {
	bool drained[ZL_FEED_OUTPUTS]; // its end came and all bytes were taken
	bool exited;
	int32_t exit_code;
	bool failed;
};

int zl_feed_init(struct zl_feed *feed, const char *container_id, int wake, struct zl_error *err);
void zl_feed_release(struct zl_feed *feed); // it is no peer any more
struct zl_feed_state zl_feed_look(struct zl_feed *feed);

// Moves bytes of one output to a stream of the session's wire, as many as may go now. *ret_offer is
// set when the channel's owner is to be asked to offer again (zl_zone_client_resume).
int zl_feed_move(struct zl_feed *feed, size_t output, struct zl_session *session, uint32_t stream,
        bool *ret_offer, struct zl_error *err);

#endif
