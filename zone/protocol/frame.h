// SPDX-License-Identifier: Apache-2.0
//
// Frames: how control messages and stream bytes share one channel.
//
// A frame is a header of 12 bytes, little endian, and a payload:
//
//   0  u8   kind
//   1  u8   flags: ZL_FRAME_MORE (control only), else 0
//   2  u16  0
//   4  u32  stream: 0 for control and sync, else a stream's id, never 0
//   8  u32  length of the payload, at most ZL_FRAME_PAYLOAD_MAX
//
//   kind     payload
//   CONTROL  a piece of a packed message (message.h); MORE: another piece follows
//   DATA     u64 offset of the first byte in its stream, then the bytes, at least one
//   ACK      u64 offset up to which the receiver has consumed the stream for good
//   END      u64 length of the stream; it takes one position of its own, so that an ACK of
//            length + 1 says that the end was consumed as well
//   RESET    nothing: the receiver of a stream wants no more of it
//   SYNC     16 bytes: the nonce of the daemon's hello
//
// Offsets are absolute and count from a stream's birth. The sender keeps every byte until it is
// acknowledged, and never sends past the acknowledged offset + ZL_STREAM_WINDOW (stream.h).
//
// Sessions. A vchan ring outlives the daemon, and after a restart still holds what was sent to the
// old one, perhaps from the middle of a frame on. So a session starts like this:
//   1. the daemon sends hello with a fresh random nonce; on a vchan it publishes whole frames only,
//      so the supervisor is never left in the middle of one;
//   2. the supervisor drops what it has queued, ends what belongs to the old session (execs), and
//      sends a SYNC frame with that nonce, then its reply;
//   3. the daemon discards every byte up to and including that SYNC frame.
// The daemon then acknowledges what its logs have of each stream, and sends resume; the supervisor
// sends each stream again from its acknowledged offset. No byte is lost, and none comes twice.
#ifndef ZL_ZONE_PROTOCOL_FRAME_H
#define ZL_ZONE_PROTOCOL_FRAME_H

#include <stdbool.h>
#include <stdint.h>

#include "base/buffer.h"
#include "base/error.h"

enum {
	ZL_FRAME_HEADER_SIZE = 12,
	// Half of a vchan ring: a whole frame always fits when the peer reads.
	ZL_FRAME_PAYLOAD_MAX = 32 * 1024,
	ZL_FRAME_SIZE_MAX = ZL_FRAME_HEADER_SIZE + ZL_FRAME_PAYLOAD_MAX,
	ZL_FRAME_OFFSET_SIZE = 8,
	ZL_FRAME_DATA_MAX = ZL_FRAME_PAYLOAD_MAX - ZL_FRAME_OFFSET_SIZE,
	ZL_FRAME_NONCE_SIZE = 16,
	ZL_FRAME_MORE = 1,
};

enum zl_frame_kind {
	ZL_FRAME_CONTROL = 1,
	ZL_FRAME_DATA,
	ZL_FRAME_ACK,
	ZL_FRAME_END,
	ZL_FRAME_RESET,
	ZL_FRAME_SYNC,
};

struct zl_frame {
	enum zl_frame_kind kind;
	bool more;            // CONTROL: another piece follows
	uint32_t stream;      // 0 for CONTROL and SYNC
	uint64_t offset;      // DATA, ACK, END
	const uint8_t *bytes; // CONTROL, DATA, SYNC: borrowed, valid until the next parser call
	size_t length;        // of bytes
};

// Takes a byte stream apart. Holds at most one frame.
struct zl_frame_parser {
	uint8_t *partial; // the frame so far, ZL_FRAME_SIZE_MAX bytes once allocated
	size_t length;    // bytes in partial
	bool seeking;     // everything before the SYNC frame with this nonce is dropped
	bool done;        // partial holds a frame that was handed out; emptied by the next call
	uint8_t nonce[ZL_FRAME_NONCE_SIZE];
};

#define ZL_FRAME_PARSER_INIT {.partial = NULL}

void zl_frame_parser_release(struct zl_frame_parser *parser);
ZL_AUTO_DEFINE_VALUE(frame_parser, struct zl_frame_parser, zl_frame_parser_release);

// Forgets a partial frame: a new connection begins.
void zl_frame_parser_reset(struct zl_frame_parser *parser);
// Drops everything up to and including the SYNC frame with this nonce.
void zl_frame_parser_seek(
        struct zl_frame_parser *parser, const uint8_t nonce[static ZL_FRAME_NONCE_SIZE]);

// Takes bytes from *bytes and moves *bytes and *length on. 1: *frame is complete; 0: all bytes were
// taken and more are needed; -1: a protocol violation (DATA_LOSS), or no memory. Call until it is
// not 1.
int zl_frame_parse(struct zl_frame_parser *parser, const uint8_t **bytes, size_t *length,
        struct zl_frame *frame, struct zl_error *err);

// Appends a frame. `frame` must be a legal one.
int zl_frame_append(struct zl_buffer *out, const struct zl_frame *frame, struct zl_error *err);

// Size of the frame whose header begins at `bytes`, at least ZL_FRAME_HEADER_SIZE of them.
size_t zl_frame_size(const uint8_t *bytes);

#endif
