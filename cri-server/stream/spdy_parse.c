// SPDX-License-Identifier: Apache-2.0
#include <ctype.h>
#include <inttypes.h>
#include <string.h>
#include <zlib.h>

#include "cri-server/stream/spdy_frame.h"

struct zl_spdy_parser {
	uint8_t header[ZL_SPDY_HEADER_SIZE]; // of the frame under way
	size_t header_length;
	enum { PART_HEADER, PART_DATA, PART_CONTROL, PART_SKIP, PART_BROKEN } part;
	uint32_t left;                        // bytes of its payload to come
	uint8_t control[ZL_SPDY_CONTROL_MAX]; // payload of a control frame
	size_t control_length;
	z_stream inflate;
	uint8_t text[ZL_SPDY_HEADERS_TEXT + 1]; // a header block, expanded
	struct zl_spdy_header headers[ZL_SPDY_HEADERS_MAX];
};

static uint32_t read_u32(const uint8_t *at)
{
	return (uint32_t)at[0] << 24 | (uint32_t)at[1] << 16 | (uint32_t)at[2] << 8 | at[3];
}

static uint32_t read_u31(const uint8_t *at)
{
	return read_u32(at) & INT32_MAX;
}

struct zl_spdy_parser *zl_spdy_parser_new(struct zl_error *err)
{
	struct zl_spdy_parser *parser = calloc(1, sizeof(*parser));

	if (parser == NULL || inflateInit(&parser->inflate) != Z_OK) {
		free(parser);
		zl_error_nomem(err);
		return NULL;
	}
	return parser;
}

void zl_spdy_parser_free(struct zl_spdy_parser *parser)
{
	if (parser == NULL)
		return;
	(void)inflateEnd(&parser->inflate);
	free(parser);
}

// ---- header blocks

// Expands the block into parser->text. A client flushes its compressor after each block, so all of
// it comes out now.
static int expand(struct zl_spdy_parser *parser, const uint8_t *block, size_t length,
        size_t *ret_length, struct zl_error *err)
{
	z_stream *z = &parser->inflate;
	size_t dictionary_length;
	const uint8_t *dictionary = zl_spdy_dictionary(&dictionary_length);
	int result;

	z->next_in = (uint8_t *)(uintptr_t)block;
	z->avail_in = (uInt)length;
	z->next_out = parser->text;
	z->avail_out = sizeof(parser->text);
	result = inflate(z, Z_SYNC_FLUSH);
	if (result == Z_NEED_DICT &&
	        inflateSetDictionary(z, dictionary, (uInt)dictionary_length) == Z_OK)
		result = inflate(z, Z_SYNC_FLUSH);
	// No progress is an error only where there was something to do.
	if (result != Z_OK && !(result == Z_BUF_ERROR && z->avail_in == 0))
		return zl_error_set(
		        err, ZL_DATA_LOSS, "the client sent a header block that does not expand");
	if (z->avail_out == 0 || z->avail_in > 0)
		return zl_error_set(err, ZL_DATA_LOSS,
		        "the client sent a header block of more than %d bytes",
		        ZL_SPDY_HEADERS_TEXT);
	*ret_length = sizeof(parser->text) - z->avail_out;
	return 0;
}

struct cursor {
	uint8_t *at;
	size_t left;
};

// One string: its length in 32 bits, then its bytes.
static bool next_string(struct cursor *cursor, uint8_t **ret, uint32_t *ret_length)
{
	uint32_t length;

	if (cursor->left < 4)
		return false;
	length = read_u32(cursor->at);
	if (length > cursor->left - 4)
		return false;
	*ret = cursor->at + 4;
	*ret_length = length;
	cursor->at += 4 + length;
	cursor->left -= 4 + length;
	return true;
}

// Names are lower case already with a client that keeps to the specification.
static bool is_name(const uint8_t *name, uint32_t length)
{
	for (uint32_t i = 0; i < length; i++) {
		if (name[i] <= ' ' || name[i] >= 0x7f || isupper(name[i]))
			return false;
	}
	return length > 0;
}

// The string moves down by one byte, over the last one of its length, which makes room for its end.
static const char *terminate(uint8_t *string, uint32_t length)
{
	uint8_t *start = string - 1;

	memmove(start, string, length);
	start[length] = '\0';
	return (const char *)start;
}

static int read_headers(
        struct zl_spdy_parser *parser, size_t length, size_t *ret_count, struct zl_error *err)
{
	struct cursor cursor = {parser->text, length};
	uint32_t count;

	if (length < 4)
		return zl_error_set(err, ZL_DATA_LOSS, "the client sent an empty header block");
	count = read_u32(cursor.at);
	cursor.at += 4;
	cursor.left -= 4;
	if (count > ZL_SPDY_HEADERS_MAX)
		return zl_error_set(err, ZL_DATA_LOSS,
		        "the client sent a block of %" PRIu32 " headers; at most %d are allowed",
		        count, ZL_SPDY_HEADERS_MAX);
	for (uint32_t i = 0; i < count; i++) {
		uint8_t *name;
		uint8_t *value;
		uint32_t name_length;
		uint32_t value_length;

		if (!next_string(&cursor, &name, &name_length) ||
		        !next_string(&cursor, &value, &value_length) || !is_name(name, name_length))
			return zl_error_set(
			        err, ZL_DATA_LOSS, "the client sent a malformed header block");
		parser->headers[i].name = terminate(name, name_length);
		parser->headers[i].value = terminate(value, value_length);
	}
	if (cursor.left > 0)
		return zl_error_set(
		        err, ZL_DATA_LOSS, "the client sent a header block with a rest");
	*ret_count = count;
	return 0;
}

const char *zl_spdy_header(const struct zl_spdy_frame *frame, const char *name)
{
	for (size_t i = 0; i < frame->header_count; i++) {
		if (strcmp(frame->headers[i].name, name) == 0)
			return frame->headers[i].value;
	}
	return NULL;
}

// ---- control frames

static int malformed(const char *what, size_t length, struct zl_error *err)
{
	return zl_error_set(
	        err, ZL_DATA_LOSS, "the client sent a %s frame of %zu bytes", what, length);
}

static int parse_headers(struct zl_spdy_parser *parser, struct zl_spdy_frame *frame, size_t fixed,
        struct zl_error *err)
{
	size_t length = 0;

	if (parser->control_length < fixed)
		return malformed("header", parser->control_length, err);
	frame->stream = read_u31(parser->control);
	frame->headers = parser->headers;
	if (frame->stream == 0)
		return zl_error_set(err, ZL_DATA_LOSS, "the client opened stream 0");
	if (expand(parser, parser->control + fixed, parser->control_length - fixed, &length, err) <
	        0)
		return -1;
	return read_headers(parser, length, &frame->header_count, err);
}

static int parse_settings(
        const struct zl_spdy_parser *parser, struct zl_spdy_frame *frame, struct zl_error *err)
{
	enum { ENTRY = 8 };
	size_t length = parser->control_length;
	uint32_t count = length >= 4 ? read_u32(parser->control) : 0;

	if (length < 4 || (length - 4) / ENTRY != count || (length - 4) % ENTRY != 0)
		return malformed("SETTINGS", length, err);
	frame->value = UINT32_MAX;
	for (uint32_t i = 0; i < count; i++) {
		const uint8_t *entry = parser->control + 4 + (size_t)i * ENTRY;

		if ((read_u32(entry) & 0xffffff) == ZL_SPDY_SETTING_INITIAL_WINDOW)
			frame->value = read_u31(entry + 4);
	}
	return 0;
}

static int parse_pair(
        const struct zl_spdy_parser *parser, struct zl_spdy_frame *frame, struct zl_error *err)
{
	if (parser->control_length != 8)
		return malformed("control", parser->control_length, err);
	if (frame->type != ZL_SPDY_GOAWAY)
		frame->stream = read_u31(parser->control);
	frame->value = read_u32(parser->control + 4);
	if (frame->type == ZL_SPDY_WINDOW_UPDATE)
		frame->value &= INT32_MAX;
	return 0;
}

// 1: a frame; 0: one of a type that means nothing to us.
static int parse_control(
        struct zl_spdy_parser *parser, struct zl_spdy_frame *frame, struct zl_error *err)
{
	unsigned type = (unsigned)parser->header[2] << 8 | parser->header[3];
	int result;

	frame->type = (enum zl_spdy_type)type;
	frame->fin = (parser->header[4] & ZL_SPDY_FLAG_FIN) != 0;
	switch (type) {
	case ZL_SPDY_SYN_STREAM:
		result = parse_headers(parser, frame, 10, err);
		break;
	case ZL_SPDY_SYN_REPLY:
	case ZL_SPDY_HEADERS:
		result = parse_headers(parser, frame, 4, err);
		break;
	case ZL_SPDY_SETTINGS:
		frame->fin = false; // the flag means something else here
		result = parse_settings(parser, frame, err);
		break;
	case ZL_SPDY_PING:
		if (parser->control_length != 4)
			return malformed("PING", parser->control_length, err);
		frame->value = read_u32(parser->control);
		result = 0;
		break;
	case ZL_SPDY_RST_STREAM:
	case ZL_SPDY_GOAWAY:
	case ZL_SPDY_WINDOW_UPDATE:
		result = parse_pair(parser, frame, err);
		break;
	default:
		return 0;
	}
	return result < 0 ? -1 : 1;
}

// ---- frames

static size_t take(uint8_t *to, size_t have, size_t want, const uint8_t **bytes, size_t *length)
{
	size_t count = want - have < *length ? want - have : *length;

	if (count > 0)
		memcpy(to + have, *bytes, count);
	*bytes += count;
	*length -= count;
	return have + count;
}

static bool carries_headers(unsigned type)
{
	return type == ZL_SPDY_SYN_STREAM || type == ZL_SPDY_SYN_REPLY || type == ZL_SPDY_HEADERS;
}

// The header is complete: what follows?
static int begin_frame(struct zl_spdy_parser *parser, struct zl_error *err)
{
	const uint8_t *header = parser->header;
	unsigned version = (header[0] & 0x7fU) << 8 | header[1];
	unsigned type = (unsigned)header[2] << 8 | header[3];

	parser->left = read_u32(header + 4) & ZL_SPDY_DATA_MAX;
	parser->control_length = 0;
	if ((header[0] & 0x80) == 0) {
		parser->part = PART_DATA;
		return read_u31(header) != 0 ? 0
		                             : zl_error_set(err, ZL_DATA_LOSS,
		                                       "the client sent data of stream 0");
	}
	if (version != ZL_SPDY_VERSION)
		return zl_error_set(err, ZL_DATA_LOSS,
		        "the client sent a frame of SPDY version %u; this server speaks %d",
		        version, ZL_SPDY_VERSION);
	if (parser->left <= ZL_SPDY_CONTROL_MAX) {
		parser->part = PART_CONTROL;
		return 0;
	}
	// A header block that is passed over would break the compression of all after it.
	if (carries_headers(type))
		return malformed("header", parser->left, err);
	parser->part = PART_SKIP;
	return 0;
}

static void end_frame(struct zl_spdy_parser *parser)
{
	parser->part = PART_HEADER;
	parser->header_length = 0;
}

static int next_data(struct zl_spdy_parser *parser, const uint8_t **bytes, size_t *length,
        struct zl_spdy_frame *frame)
{
	size_t piece = parser->left < *length ? parser->left : *length;

	if (piece == 0 && parser->left > 0)
		return 0;
	frame->type = ZL_SPDY_DATA;
	frame->stream = read_u31(parser->header);
	frame->frame_length = read_u32(parser->header + 4) & ZL_SPDY_DATA_MAX;
	frame->bytes = *bytes;
	frame->length = piece;
	*bytes += piece;
	*length -= piece;
	parser->left -= (uint32_t)piece;
	if (parser->left == 0) {
		frame->fin = (parser->header[4] & ZL_SPDY_FLAG_FIN) != 0;
		end_frame(parser);
	}
	return 1;
}

static int next_control(struct zl_spdy_parser *parser, const uint8_t **bytes, size_t *length,
        struct zl_spdy_frame *frame, struct zl_error *err)
{
	int result;

	parser->control_length =
	        take(parser->control, parser->control_length, parser->left, bytes, length);
	if (parser->control_length < parser->left)
		return 0;
	result = parse_control(parser, frame, err);
	if (result >= 0)
		end_frame(parser);
	return result;
}

static void skip(struct zl_spdy_parser *parser, const uint8_t **bytes, size_t *length)
{
	size_t count = parser->left < *length ? parser->left : *length;

	*bytes += count;
	*length -= count;
	parser->left -= (uint32_t)count;
	if (parser->left == 0)
		end_frame(parser);
}

// One step: 1 a frame, 0 none yet, -1 a violation.
static int step(struct zl_spdy_parser *parser, const uint8_t **bytes, size_t *length,
        struct zl_spdy_frame *frame, struct zl_error *err)
{
	switch (parser->part) {
	case PART_HEADER:
		parser->header_length = take(
		        parser->header, parser->header_length, ZL_SPDY_HEADER_SIZE, bytes, length);
		return parser->header_length < ZL_SPDY_HEADER_SIZE ? 0 : begin_frame(parser, err);
	case PART_DATA:
		return next_data(parser, bytes, length, frame);
	case PART_CONTROL:
		return next_control(parser, bytes, length, frame, err);
	case PART_SKIP:
		skip(parser, bytes, length);
		return 0;
	case PART_BROKEN:
		break;
	}
	return zl_error_set(err, ZL_DATA_LOSS, "the client's connection was broken before");
}

// Whether a frame without a payload waits to be handed out.
static bool has_empty_payload(const struct zl_spdy_parser *parser)
{
	return (parser->part == PART_DATA || parser->part == PART_CONTROL) && parser->left == 0;
}

int zl_spdy_parse(struct zl_spdy_parser *parser, const uint8_t **bytes, size_t *length,
        struct zl_spdy_frame *frame, struct zl_error *err)
{
	int result = 0;

	*frame = (struct zl_spdy_frame){.type = ZL_SPDY_DATA};
	while (result == 0 && (*length > 0 || has_empty_payload(parser)))
		result = step(parser, bytes, length, frame, err);
	if (result < 0)
		parser->part = PART_BROKEN;
	return result;
}
