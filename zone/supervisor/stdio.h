// SPDX-License-Identifier: Apache-2.0
//
// The streams of a process: a pipe (or terminal) on one side, the channel on the other.
//
// Output is read only while its ring has room, so that a slow or absent daemon holds the writer
// back in the kernel: nothing is dropped and nothing grows. Input is at most one window.
#ifndef ZL_ZONE_SUPERVISOR_STDIO_H
#define ZL_ZONE_SUPERVISOR_STDIO_H

#include "base/buffer.h"
#include "zone/protocol/stream.h"
#include "zone/supervisor/link.h"
#include "zone/supervisor/reactor.h"

struct zl_output {
	struct zl_reactor *reactor;
	struct zl_stream_out stream; // id 0: there is no such stream
	struct zl_source source;     // the read end
	bool discarding;             // the daemon wants no more: read and drop
};

// Gives the stream its id. Bytes come once zl_output_start.
void zl_output_init(struct zl_output *output, struct zl_reactor *reactor, uint32_t id);
// Takes over the non-blocking read end and begins to read.
int zl_output_start(struct zl_output *output, int fd, struct zl_error *err);
// Nothing (more) comes.
void zl_output_end(struct zl_output *output);
void zl_output_release(struct zl_output *output);
// An ACK or RESET frame of this stream.
int zl_output_frame(struct zl_output *output, const struct zl_frame *frame, struct zl_error *err);
// Sends what is due, while the link has room.
void zl_output_fill(struct zl_output *output, struct zl_link *link);
// Reads what is there, as far as there is room.
void zl_output_read(struct zl_output *output);

struct zl_input {
	struct zl_reactor *reactor;
	struct zl_stream_in stream; // id 0: there is no such stream
	struct zl_source source;    // the write end
	struct zl_buffer pending;   // received, not yet written
	bool keep_open;             // a terminal: the end of input closes nothing
	bool half_close;            // a socket: the end of input shuts its sending side down
	bool refused;               // nobody reads
	bool ack_due;
	bool reset_due;
};

void zl_input_init(struct zl_input *input, struct zl_reactor *reactor, uint32_t id);
// Takes over the non-blocking write end, and writes what has come already.
int zl_input_start(struct zl_input *input, int fd, struct zl_error *err);
// The process reads no more.
void zl_input_refuse(struct zl_input *input);
void zl_input_release(struct zl_input *input);
// A DATA, END or RESET frame of this stream.
int zl_input_frame(struct zl_input *input, const struct zl_frame *frame, struct zl_error *err);
// The daemon is gone for good: as if it had sent END.
void zl_input_finish(struct zl_input *input);
void zl_input_fill(struct zl_input *input, struct zl_link *link);

#endif
