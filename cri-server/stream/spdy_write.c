// SPDX-License-Identifier: Apache-2.0
#include <string.h>
#include <zlib.h>

#include "cri-server/stream/spdy_frame.h"

// Header blocks of ours are a few bytes: a small window is enough, and saves 250 KB a connection.
enum { WINDOW_BITS = 12, MEMORY_LEVEL = 1 };

struct zl_spdy_writer {
	z_stream deflate;
};

struct zl_spdy_writer *zl_spdy_writer_new(struct zl_error *err)
{
	struct zl_spdy_writer *writer = calloc(1, sizeof(*writer));
	size_t length;
	const uint8_t *dictionary = zl_spdy_dictionary(&length);

	if (writer == NULL || deflateInit2(&writer->deflate, Z_DEFAULT_COMPRESSION, Z_DEFLATED,
	                              WINDOW_BITS, MEMORY_LEVEL, Z_DEFAULT_STRATEGY) != Z_OK) {
		free(writer);
		zl_error_nomem(err);
		return NULL;
	}
	(void)deflateSetDictionary(&writer->deflate, dictionary, (uInt)length);
	return writer;
}

void zl_spdy_writer_free(struct zl_spdy_writer *writer)
{
	if (writer == NULL)
		return;
	(void)deflateEnd(&writer->deflate);
	free(writer);
}

static void store_u32(uint8_t *to, uint32_t value)
{
	to[0] = (uint8_t)(value >> 24);
	to[1] = (uint8_t)(value >> 16);
	to[2] = (uint8_t)(value >> 8);
	to[3] = (uint8_t)value;
}

static int append_u32(struct zl_buffer *out, uint32_t value, struct zl_error *err)
{
	uint8_t bytes[4];

	store_u32(bytes, value);
	return zl_buffer_append(out, bytes, sizeof(bytes), err);
}

static int append_control(struct zl_buffer *out, enum zl_spdy_type type, bool fin, size_t length,
        struct zl_error *err)
{
	if (append_u32(out, 0x80000000U | ZL_SPDY_VERSION << 16 | (uint32_t)type, err) < 0)
		return -1;
	return append_u32(out, (fin ? 1U << 24 : 0) | (uint32_t)length, err);
}

static int append_string(struct zl_buffer *out, const char *text, struct zl_error *err)
{
	if (append_u32(out, (uint32_t)strlen(text), err) < 0)
		return -1;
	return zl_buffer_append_string(out, text, err);
}

static int print_block(struct zl_buffer *out, const struct zl_spdy_header *headers, size_t count,
        struct zl_error *err)
{
	if (append_u32(out, (uint32_t)count, err) < 0)
		return -1;
	for (size_t i = 0; i < count; i++) {
		if (append_string(out, headers[i].name, err) < 0 ||
		        append_string(out, headers[i].value, err) < 0)
			return -1;
	}
	return 0;
}

static int compress_block(struct zl_spdy_writer *writer, const struct zl_buffer *plain,
        struct zl_buffer *out, struct zl_error *err)
{
	z_stream *z = &writer->deflate;
	size_t bound = deflateBound(z, plain->length) + 16;
	uint8_t *to = zl_buffer_reserve(out, bound, err);

	if (to == NULL)
		return -1;
	z->next_in = plain->data;
	z->avail_in = (uInt)plain->length;
	z->next_out = to;
	z->avail_out = (uInt)bound;
	if (deflate(z, Z_SYNC_FLUSH) != Z_OK || z->avail_in > 0 || z->avail_out == 0)
		return zl_error_set(err, ZL_INTERNAL, "a header block cannot be compressed");
	out->length += bound - z->avail_out;
	return 0;
}

int zl_spdy_write_headers(struct zl_spdy_writer *writer, struct zl_buffer *out,
        enum zl_spdy_type type, uint32_t stream, bool fin, const struct zl_spdy_header *headers,
        size_t count, struct zl_error *err)
{
	zl_auto(buffer) struct zl_buffer plain = ZL_BUFFER_INIT;
	zl_auto(buffer) struct zl_buffer packed = ZL_BUFFER_INIT;
	static const uint8_t rest[6] = {0}; // of a SYN_STREAM: associated stream, priority, slot
	size_t fixed = 4 + (type == ZL_SPDY_SYN_STREAM ? sizeof(rest) : 0);

	if (print_block(&plain, headers, count, err) < 0 ||
	        compress_block(writer, &plain, &packed, err) < 0 ||
	        append_control(out, type, fin, fixed + packed.length, err) < 0 ||
	        append_u32(out, stream, err) < 0 || zl_buffer_append(out, rest, fixed - 4, err) < 0)
		return -1;
	return zl_buffer_append(out, packed.data, packed.length, err);
}

int zl_spdy_write_data(struct zl_buffer *out, uint32_t stream, bool fin, const void *bytes,
        size_t length, struct zl_error *err)
{
	if (append_u32(out, stream, err) < 0 ||
	        append_u32(out, (fin ? 1U << 24 : 0) | (uint32_t)length, err) < 0)
		return -1;
	return length > 0 ? zl_buffer_append(out, bytes, length, err) : 0;
}

static int append_pair(struct zl_buffer *out, enum zl_spdy_type type, uint32_t first,
        uint32_t second, struct zl_error *err)
{
	if (append_control(out, type, false, 8, err) < 0 || append_u32(out, first, err) < 0)
		return -1;
	return append_u32(out, second, err);
}

int zl_spdy_write_reset(
        struct zl_buffer *out, uint32_t stream, enum zl_spdy_status status, struct zl_error *err)
{
	return append_pair(out, ZL_SPDY_RST_STREAM, stream, (uint32_t)status, err);
}

int zl_spdy_write_ping(struct zl_buffer *out, uint32_t id, struct zl_error *err)
{
	if (append_control(out, ZL_SPDY_PING, false, 4, err) < 0)
		return -1;
	return append_u32(out, id, err);
}

int zl_spdy_write_goaway(
        struct zl_buffer *out, uint32_t last_stream, uint32_t status, struct zl_error *err)
{
	return append_pair(out, ZL_SPDY_GOAWAY, last_stream, status, err);
}

int zl_spdy_write_window_update(
        struct zl_buffer *out, uint32_t stream, uint32_t delta, struct zl_error *err)
{
	return append_pair(out, ZL_SPDY_WINDOW_UPDATE, stream, delta, err);
}
