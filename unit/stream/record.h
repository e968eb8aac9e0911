// SPDX-License-Identifier: Apache-2.0
//
// A wire's user that writes down what it is told, one event a line:
//   open STREAM ROLE PORT REQUEST, data STREAM BYTES, end STREAM, reset STREAM
#ifndef ZL_UNIT_STREAM_RECORD_H
#define ZL_UNIT_STREAM_RECORD_H

#include "cri-server/stream/wire.h"

struct record {
	struct zl_buffer text;
	struct zl_wire *wire; // set: bytes are consumed at once
	bool refuse;          // streams
	size_t taken;         // bytes of data, when their text is not kept
	bool quiet;           // data is only counted
};

extern const struct zl_wire_events record_events;

// The lines since the last call.
const char *record_take(struct record *record);
void record_release(struct record *record);

#endif
