// SPDX-License-Identifier: Apache-2.0
#include "zone/protocol/frame.h"

#include <endian.h>
#include <string.h>

struct kind {
	const char *name;
	enum zl_frame_kind kind;
	uint32_t minimum; // of the payload
	uint32_t maximum;
	bool stream; // belongs to a stream
	bool offset; // begins with an offset
};

// A kind that belongs to no stream, one that does, one that begins with an offset as well.
#define PLAIN(id, name, minimum, maximum)  [id] = {name, id, minimum, maximum, false, false}
#define STREAM(id, name, minimum, maximum) [id] = {name, id, minimum, maximum, true, false}
#define OFFSET(id, name, minimum, maximum) [id] = {name, id, minimum, maximum, true, true}

static const struct kind kinds[] = {
        PLAIN(ZL_FRAME_CONTROL, "control", 0, ZL_FRAME_PAYLOAD_MAX),
        OFFSET(ZL_FRAME_DATA, "data", ZL_FRAME_OFFSET_SIZE + 1, ZL_FRAME_PAYLOAD_MAX),
        OFFSET(ZL_FRAME_ACK, "ack", ZL_FRAME_OFFSET_SIZE, ZL_FRAME_OFFSET_SIZE),
        OFFSET(ZL_FRAME_END, "end", ZL_FRAME_OFFSET_SIZE, ZL_FRAME_OFFSET_SIZE),
        STREAM(ZL_FRAME_RESET, "reset", 0, 0),
        PLAIN(ZL_FRAME_SYNC, "sync", ZL_FRAME_NONCE_SIZE, ZL_FRAME_NONCE_SIZE),
};

static uint32_t load32(const uint8_t *bytes)
{
	uint32_t value;

	memcpy(&value, bytes, sizeof(value));
	return le32toh(value);
}

static uint64_t load64(const uint8_t *bytes)
{
	uint64_t value;

	memcpy(&value, bytes, sizeof(value));
	return le64toh(value);
}

size_t zl_frame_size(const uint8_t *bytes)
{
	return ZL_FRAME_HEADER_SIZE + (size_t)load32(bytes + 8);
}

// Believes a header, or not.
static int check_header(const uint8_t *header, struct zl_error *err)
{
	uint8_t kind = header[0];
	uint8_t flags = header[1];
	uint32_t stream = load32(header + 4);
	uint32_t length = load32(header + 8);
	const struct kind *rule;

	if (kind == 0 || kind >= ZL_ARRAY_SIZE(kinds))
		return zl_error_set(err, ZL_DATA_LOSS, "the peer sent a frame of kind %u", kind);
	rule = &kinds[kind];
	if ((flags & ~ZL_FRAME_MORE) != 0 || (flags != 0 && kind != ZL_FRAME_CONTROL) ||
	        header[2] != 0 || header[3] != 0)
		return zl_error_set(err, ZL_DATA_LOSS,
		        "the peer sent a %s frame with unknown flags", rule->name);
	if (rule->stream != (stream != 0))
		return zl_error_set(err, ZL_DATA_LOSS, "the peer sent a %s frame for stream %u",
		        rule->name, stream);
	if (length < rule->minimum || length > rule->maximum)
		return zl_error_set(err, ZL_DATA_LOSS, "the peer sent a %s frame of %u bytes",
		        rule->name, length);
	return 0;
}

static void fill_frame(struct zl_frame *frame, const uint8_t *bytes)
{
	size_t skip = 0;

	*frame = (struct zl_frame){
	        .kind = kinds[bytes[0]].kind,
	        .more = (bytes[1] & ZL_FRAME_MORE) != 0,
	        .stream = load32(bytes + 4),
	};
	if (kinds[frame->kind].offset) {
		frame->offset = load64(bytes + ZL_FRAME_HEADER_SIZE);
		skip = ZL_FRAME_OFFSET_SIZE;
	}
	frame->bytes = bytes + ZL_FRAME_HEADER_SIZE + skip;
	frame->length = zl_frame_size(bytes) - ZL_FRAME_HEADER_SIZE - skip;
}

void zl_frame_parser_release(struct zl_frame_parser *parser)
{
	free(parser->partial);
	*parser = (struct zl_frame_parser)ZL_FRAME_PARSER_INIT;
}

void zl_frame_parser_reset(struct zl_frame_parser *parser)
{
	parser->length = 0;
	parser->seeking = false;
	parser->done = false;
}

void zl_frame_parser_seek(
        struct zl_frame_parser *parser, const uint8_t nonce[static ZL_FRAME_NONCE_SIZE])
{
	zl_frame_parser_reset(parser);
	parser->seeking = true;
	memcpy(parser->nonce, nonce, ZL_FRAME_NONCE_SIZE);
}

enum { SYNC_SIZE = ZL_FRAME_HEADER_SIZE + ZL_FRAME_NONCE_SIZE };

static void make_sync(const struct zl_frame_parser *parser, uint8_t out[static SYNC_SIZE])
{
	memset(out, 0, SYNC_SIZE);
	out[0] = ZL_FRAME_SYNC;
	out[8] = ZL_FRAME_NONCE_SIZE;
	memcpy(out + ZL_FRAME_HEADER_SIZE, parser->nonce, ZL_FRAME_NONCE_SIZE);
}

// Slides a window of SYNC_SIZE bytes over the input: the pattern may begin anywhere.
static void seek(struct zl_frame_parser *parser, const uint8_t **bytes, size_t *length)
{
	uint8_t wanted[SYNC_SIZE];

	make_sync(parser, wanted);
	while (*length > 0) {
		if (parser->length == SYNC_SIZE)
			memmove(parser->partial, parser->partial + 1, --parser->length);
		parser->partial[parser->length++] = *(*bytes)++;
		--*length;
		if (parser->length == SYNC_SIZE &&
		        memcmp(parser->partial, wanted, SYNC_SIZE) == 0) {
			zl_frame_parser_reset(parser);
			return;
		}
	}
}

// Moves bytes into partial until it holds `wanted` of them. Returns whether it does.
static bool gather(
        struct zl_frame_parser *parser, const uint8_t **bytes, size_t *length, size_t wanted)
{
	size_t take = wanted > parser->length ? wanted - parser->length : 0;

	if (take > *length)
		take = *length;
	if (take > 0)
		memcpy(parser->partial + parser->length, *bytes, take);
	parser->length += take;
	*bytes += take;
	*length -= take;
	return parser->length >= wanted;
}

// A frame that lies whole in the input is handed out where it lies.
static int parse_in_place(
        const uint8_t **bytes, size_t *length, struct zl_frame *frame, struct zl_error *err)
{
	size_t size;

	if (*length < ZL_FRAME_HEADER_SIZE)
		return 0;
	if (check_header(*bytes, err) < 0)
		return -1;
	size = zl_frame_size(*bytes);
	if (*length < size)
		return 0;
	fill_frame(frame, *bytes);
	*bytes += size;
	*length -= size;
	return 1;
}

int zl_frame_parse(struct zl_frame_parser *parser, const uint8_t **bytes, size_t *length,
        struct zl_frame *frame, struct zl_error *err)
{
	if (parser->partial == NULL) {
		parser->partial = calloc(1, ZL_FRAME_SIZE_MAX);
		if (parser->partial == NULL)
			return zl_error_nomem(err);
	}
	if (parser->done)
		zl_frame_parser_reset(parser);
	if (parser->seeking)
		seek(parser, bytes, length);
	if (parser->seeking || *length == 0)
		return 0;
	if (parser->length == 0) {
		int found = parse_in_place(bytes, length, frame, err);

		if (found != 0)
			return found;
	}
	if (!gather(parser, bytes, length, ZL_FRAME_HEADER_SIZE))
		return 0;
	if (check_header(parser->partial, err) < 0)
		return -1;
	if (!gather(parser, bytes, length, zl_frame_size(parser->partial)))
		return 0;
	fill_frame(frame, parser->partial);
	parser->done = true;
	return 1;
}

int zl_frame_append(struct zl_buffer *out, const struct zl_frame *frame, struct zl_error *err)
{
	size_t skip = kinds[frame->kind].offset ? ZL_FRAME_OFFSET_SIZE : 0;
	uint32_t stream = htole32(frame->stream);
	uint32_t length = htole32((uint32_t)(frame->length + skip));
	uint64_t offset = htole64(frame->offset);
	uint8_t *to = zl_buffer_reserve(out, ZL_FRAME_HEADER_SIZE + skip + frame->length, err);

	if (to == NULL)
		return -1;
	memset(to, 0, ZL_FRAME_HEADER_SIZE);
	to[0] = (uint8_t)frame->kind;
	to[1] = frame->more ? ZL_FRAME_MORE : 0;
	memcpy(to + 4, &stream, sizeof(stream));
	memcpy(to + 8, &length, sizeof(length));
	memcpy(to + ZL_FRAME_HEADER_SIZE, &offset, skip);
	if (frame->length > 0)
		memcpy(to + ZL_FRAME_HEADER_SIZE + skip, frame->bytes, frame->length);
	out->length += ZL_FRAME_HEADER_SIZE + skip + frame->length;
	return 0;
}
