// SPDX-License-Identifier: Apache-2.0
#include "storage-driver/puller/inflate.h"

#include <string.h>
#include <zlib.h>
#include <zstd.h>

enum {
	OUT_SIZE = 256 * 1024,
	GZIP_ONLY = 16 + MAX_WBITS, // zlib.h, inflateInit2: 16 means "gzip wrapper only"
};

int zl_inflate_init(
        struct zl_inflate *inflate, zl_byte_sink *sink, void *user, struct zl_error *err)
{
	*inflate = (struct zl_inflate){.sink = sink, .user = user};
	inflate->out = malloc(OUT_SIZE);
	return inflate->out == NULL ? zl_error_nomem(err) : 0;
}

void zl_inflate_release(struct zl_inflate *inflate)
{
	if (inflate->kind == ZL_INFLATE_GZIP && inflate->state != NULL) {
		(void)inflateEnd(inflate->state);
		free(inflate->state);
	} else if (inflate->kind == ZL_INFLATE_ZSTD) {
		(void)ZSTD_freeDCtx(inflate->state);
	}
	inflate->state = NULL;
	free(inflate->out);
	inflate->out = NULL;
}

static int start_gzip(struct zl_inflate *inflate, struct zl_error *err)
{
	z_stream *stream = calloc(1, sizeof(*stream));

	if (stream == NULL || inflateInit2(stream, GZIP_ONLY) != Z_OK) {
		free(stream);
		return zl_error_nomem(err);
	}
	inflate->state = stream;
	return 0;
}

static int start_zstd(struct zl_inflate *inflate, struct zl_error *err)
{
	inflate->state = ZSTD_createDCtx();
	if (inflate->state == NULL)
		return zl_error_nomem(err);
	(void)ZSTD_DCtx_setParameter(
	        inflate->state, ZSTD_d_windowLogMax, ZL_INFLATE_ZSTD_WINDOW_LOG);
	return 0;
}

// RFC 1952 2.3.1; RFC 8878 3.1.1 and 3.1.2 (a skippable frame may come first, as zstd:chunked
// does).
static enum zl_inflate_kind kind_of(const uint8_t magic[static ZL_INFLATE_MAGIC], size_t length)
{
	if (length >= 2 && magic[0] == 0x1f && magic[1] == 0x8b)
		return ZL_INFLATE_GZIP;
	if (length >= 4 && magic[1] == 0xb5 && magic[2] == 0x2f && magic[3] == 0xfd &&
	        magic[0] == 0x28)
		return ZL_INFLATE_ZSTD;
	if (length >= 4 && magic[1] == 0x2a && magic[2] == 0x4d && magic[3] == 0x18 &&
	        (magic[0] & 0xf0) == 0x50)
		return ZL_INFLATE_ZSTD;
	return ZL_INFLATE_PLAIN;
}

static int start(struct zl_inflate *inflate, struct zl_error *err)
{
	enum zl_inflate_kind kind = kind_of(inflate->magic, inflate->magic_length);

	if (kind == ZL_INFLATE_GZIP && start_gzip(inflate, err) < 0)
		return -1;
	if (kind == ZL_INFLATE_ZSTD && start_zstd(inflate, err) < 0)
		return -1;
	inflate->kind = kind;
	inflate->complete = kind == ZL_INFLATE_PLAIN;
	return 0;
}

// Another member may follow the one that ended; zeros after it are padding, as gzip(1) has it.
static bool next_member(struct zl_inflate *inflate, z_stream *stream)
{
	while (stream->avail_in > 0 && *stream->next_in == 0) {
		stream->next_in++;
		stream->avail_in--;
	}
	if (stream->avail_in == 0)
		return false;
	(void)inflateReset(stream);
	inflate->complete = false;
	return true;
}

static int feed_gzip(
        struct zl_inflate *gzip, const uint8_t *bytes, size_t length, struct zl_error *err)
{
	z_stream *stream = gzip->state;

	stream->next_in = (Bytef *)(uintptr_t)bytes;
	stream->avail_in = (uInt)length;
	do {
		int result;

		if (gzip->complete && !next_member(gzip, stream))
			return 0;
		stream->next_out = gzip->out;
		stream->avail_out = OUT_SIZE;
		result = inflate(stream, Z_NO_FLUSH);
		if (result != Z_OK && result != Z_STREAM_END && result != Z_BUF_ERROR)
			return zl_error_set(err, ZL_INVALID_ARGUMENT, "damaged gzip data: %s",
			        stream->msg != NULL ? stream->msg : zError(result));
		if (gzip->sink(gzip->user, gzip->out, OUT_SIZE - stream->avail_out, err) < 0)
			return -1;
		gzip->complete = result == Z_STREAM_END;
	} while (stream->avail_in > 0 || stream->avail_out == 0);
	return 0;
}

static int feed_zstd(
        struct zl_inflate *inflate, const uint8_t *bytes, size_t length, struct zl_error *err)
{
	ZSTD_inBuffer in = {.src = bytes, .size = length};
	ZSTD_outBuffer out;

	do {
		size_t result;

		out = (ZSTD_outBuffer){.dst = inflate->out, .size = OUT_SIZE};
		result = ZSTD_decompressStream(inflate->state, &out, &in);
		if (ZSTD_isError(result))
			return zl_error_set(err, ZL_INVALID_ARGUMENT, "damaged zstd data: %s",
			        ZSTD_getErrorName(result));
		if (inflate->sink(inflate->user, inflate->out, out.pos, err) < 0)
			return -1;
		inflate->complete = result == 0;
	} while (in.pos < in.size || out.pos == out.size);
	return 0;
}

static int feed_known(
        struct zl_inflate *inflate, const uint8_t *bytes, size_t length, struct zl_error *err)
{
	if (length == 0)
		return 0;
	switch (inflate->kind) {
	case ZL_INFLATE_GZIP:
		return feed_gzip(inflate, bytes, length, err);
	case ZL_INFLATE_ZSTD:
		return feed_zstd(inflate, bytes, length, err);
	case ZL_INFLATE_PLAIN:
	case ZL_INFLATE_UNKNOWN:
		break;
	}
	return inflate->sink(inflate->user, bytes, length, err);
}

int zl_inflate_feed(
        struct zl_inflate *inflate, const uint8_t *bytes, size_t length, struct zl_error *err)
{
	if (inflate->kind == ZL_INFLATE_UNKNOWN) {
		while (length > 0 && inflate->magic_length < ZL_INFLATE_MAGIC) {
			inflate->magic[inflate->magic_length++] = *bytes++;
			length--;
		}
		if (inflate->magic_length < ZL_INFLATE_MAGIC)
			return 0;
		if (start(inflate, err) < 0 ||
		        feed_known(inflate, inflate->magic, inflate->magic_length, err) < 0)
			return -1;
	}
	return feed_known(inflate, bytes, length, err);
}

int zl_inflate_end(struct zl_inflate *inflate, struct zl_error *err)
{
	if (inflate->kind == ZL_INFLATE_UNKNOWN) {
		if (start(inflate, err) < 0 ||
		        feed_known(inflate, inflate->magic, inflate->magic_length, err) < 0)
			return -1;
	}
	if (!inflate->complete)
		return zl_error_set(
		        err, ZL_INVALID_ARGUMENT, "the compressed data ends in the middle");
	return 0;
}
