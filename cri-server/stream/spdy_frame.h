// SPDX-License-Identifier: Apache-2.0
//
// SPDY/3.1 frames in and out (chromium.org/spdy/spdy-protocol, draft 3-1, section 2.6).
//
//   control  1 | version 15 | type 16 | flags 8 | length 24 | payload
//   data     0 | stream 31            | flags 8 | length 24 | payload
//
// All bytes of a client go through zl_spdy_parse, which holds at most one control frame of
// ZL_SPDY_CONTROL_MAX bytes; data frames of any length pass through in pieces. Header blocks are
// compressed with one zlib stream for each direction of a connection, primed with the dictionary of
// section 2.6.10.1; what they may expand to is bounded.
#ifndef ZL_CRI_SERVER_STREAM_SPDY_FRAME_H
#define ZL_CRI_SERVER_STREAM_SPDY_FRAME_H

#include <stdbool.h>
#include <stdint.h>

#include "base/buffer.h"
#include "base/error.h"

enum {
	ZL_SPDY_VERSION = 3,
	ZL_SPDY_HEADER_SIZE = 8,
	ZL_SPDY_CONTROL_MAX = 16 * 1024,
	ZL_SPDY_HEADERS_TEXT = 16 * 1024, // a header block, expanded
	ZL_SPDY_HEADERS_MAX = 64,         // its names
	ZL_SPDY_DATA_MAX = (1 << 24) - 1,
};

// Control frame types (2.6.1 to 2.6.9); DATA is ours, for what has no type.
enum zl_spdy_type {
	ZL_SPDY_DATA = 0,
	ZL_SPDY_SYN_STREAM = 1,
	ZL_SPDY_SYN_REPLY = 2,
	ZL_SPDY_RST_STREAM = 3,
	ZL_SPDY_SETTINGS = 4,
	ZL_SPDY_PING = 6,
	ZL_SPDY_GOAWAY = 7,
	ZL_SPDY_HEADERS = 8,
	ZL_SPDY_WINDOW_UPDATE = 9,
};

// Status codes of RST_STREAM (2.6.3).
enum zl_spdy_status {
	ZL_SPDY_PROTOCOL_ERROR = 1,
	ZL_SPDY_INVALID_STREAM = 2,
	ZL_SPDY_REFUSED_STREAM = 3,
	ZL_SPDY_CANCEL = 5,
	ZL_SPDY_INTERNAL_ERROR = 6,
	ZL_SPDY_STREAM_IN_USE = 8,
	ZL_SPDY_STREAM_ALREADY_CLOSED = 9,
};

enum { ZL_SPDY_FLAG_FIN = 1, ZL_SPDY_FLAG_UNIDIRECTIONAL = 2 };
enum { ZL_SPDY_SETTING_INITIAL_WINDOW = 7 }; // id in SETTINGS (2.6.4)

struct zl_spdy_header {
	const char *name;  // lower case
	const char *value; // of several, all but the first come after zero bytes; not seen here
};

struct zl_spdy_frame {
	enum zl_spdy_type type;
	uint32_t stream; // 0 for SETTINGS, PING, GOAWAY
	bool fin;        // DATA: with its last piece only
	// DATA: the next piece, borrowed until the next call of the parser.
	const uint8_t *bytes;
	size_t length;
	uint32_t frame_length; // DATA: of the whole frame
	// PING: id. RST_STREAM, GOAWAY: status. WINDOW_UPDATE: delta. SETTINGS: the initial window,
	// UINT32_MAX when it is not among them.
	uint32_t value;
	// SYN_STREAM, SYN_REPLY, HEADERS; borrowed.
	const struct zl_spdy_header *headers;
	size_t header_count;
};

struct zl_spdy_parser;

struct zl_spdy_parser *zl_spdy_parser_new(struct zl_error *err);
void zl_spdy_parser_free(struct zl_spdy_parser *parser);

// Takes bytes from *bytes and moves *bytes and *length on. 1: *frame is there; 0: all bytes were
// taken; -1: a violation (DATA_LOSS), nothing may be parsed any more. Call until it is not 1.
// Control frames of unknown types are passed over.
int zl_spdy_parse(struct zl_spdy_parser *parser, const uint8_t **bytes, size_t *length,
        struct zl_spdy_frame *frame, struct zl_error *err);

const char *zl_spdy_header(const struct zl_spdy_frame *frame, const char *name); // NULL: none

// ---- out: each appends one frame

struct zl_spdy_writer;

struct zl_spdy_writer *zl_spdy_writer_new(struct zl_error *err);
void zl_spdy_writer_free(struct zl_spdy_writer *writer);

// Type SYN_STREAM (what a client sends; for tests), SYN_REPLY or HEADERS.
int zl_spdy_write_headers(struct zl_spdy_writer *writer, struct zl_buffer *out,
        enum zl_spdy_type type, uint32_t stream, bool fin, const struct zl_spdy_header *headers,
        size_t count, struct zl_error *err);
int zl_spdy_write_data(struct zl_buffer *out, uint32_t stream, bool fin, const void *bytes,
        size_t length, struct zl_error *err);
int zl_spdy_write_reset(
        struct zl_buffer *out, uint32_t stream, enum zl_spdy_status status, struct zl_error *err);
int zl_spdy_write_ping(struct zl_buffer *out, uint32_t id, struct zl_error *err);
int zl_spdy_write_goaway(
        struct zl_buffer *out, uint32_t last_stream, uint32_t status, struct zl_error *err);
// stream 0: of the whole connection.
int zl_spdy_write_window_update(
        struct zl_buffer *out, uint32_t stream, uint32_t delta, struct zl_error *err);

// The dictionary: its text and length.
const uint8_t *zl_spdy_dictionary(size_t *ret_length);

#endif
