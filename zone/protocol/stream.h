// SPDX-License-Identifier: Apache-2.0
//
// The two ends of one flow-controlled stream (frame.h tells the rules).
//
// The sending end is a ring of ZL_STREAM_WINDOW bytes: bytes enter when the source has them, leave
// when the peer acknowledges them, and can be sent again in between. A full ring is how a slow or
// absent daemon holds the writer back. The receiving end only counts.
#ifndef ZL_ZONE_PROTOCOL_STREAM_H
#define ZL_ZONE_PROTOCOL_STREAM_H

#include <stdbool.h>
#include <stdint.h>

#include "base/cleanup.h"
#include "base/error.h"
#include "zone/protocol/frame.h"

enum { ZL_STREAM_WINDOW = 64 * 1024 };

struct zl_stream_out {
	uint32_t id;
	uint8_t *ring;    // allocated with the first byte
	uint64_t base;    // acknowledged; bytes before it are gone
	uint64_t sent;    // next to send
	uint64_t reached; // highest `sent` ever was: an acknowledgement past it is a lie
	uint64_t end;     // bytes put in
	bool ended;       // nothing will be put in any more
};

void zl_stream_out_release(struct zl_stream_out *out);

// Where the next bytes go, and how many fit there in one piece; *ret_room is 0 when it is full.
// NULL without memory.
uint8_t *zl_stream_out_space(struct zl_stream_out *out, size_t *ret_room, struct zl_error *err);
// `length` bytes were put there.
void zl_stream_out_put(struct zl_stream_out *out, size_t length);
// Nothing follows.
void zl_stream_out_end(struct zl_stream_out *out);

// The next frame to send (DATA or END) and counts it as sent. False: nothing to send now.
bool zl_stream_out_next(struct zl_stream_out *out, struct zl_frame *frame);
// The peer consumed everything before `offset`. DATA_LOSS if that was never sent.
int zl_stream_out_ack(struct zl_stream_out *out, uint64_t offset, struct zl_error *err);
// A new session: sends again from the acknowledged offset, the end in any case (the old daemon may
// have died between consuming it and telling anyone).
void zl_stream_out_rewind(struct zl_stream_out *out);
// The peer wants no more: drops what is there, and counts all as acknowledged.
void zl_stream_out_discard(struct zl_stream_out *out);
// Everything, the end included, was acknowledged.
bool zl_stream_out_complete(const struct zl_stream_out *out);

struct zl_stream_in {
	uint32_t id;
	uint64_t next;     // offset of the next byte to come
	uint64_t consumed; // told to the peer, or to be told: it was consumed for good
	bool ended;        // the END came
};

// A DATA or END frame of this stream came. DATA_LOSS unless it goes on where the last one ended,
// and within the window.
int zl_stream_in_take(struct zl_stream_in *in, const struct zl_frame *frame, struct zl_error *err);

#endif
