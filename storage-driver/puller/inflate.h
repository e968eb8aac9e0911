// SPDX-License-Identifier: Apache-2.0
//
// Unpacking a layer in-stream: gzip (any number of members), zstd (any number of frames) or plain
// tar, told apart by the first bytes, since media types in manifests are not always right.
#ifndef ZL_STORAGE_DRIVER_PULLER_INFLATE_H
#define ZL_STORAGE_DRIVER_PULLER_INFLATE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/cleanup.h"
#include "base/error.h"

// Takes the next unpacked bytes; -1 stops the work.
typedef int zl_byte_sink(void *user, const uint8_t *bytes, size_t length, struct zl_error *err);

enum zl_inflate_kind { ZL_INFLATE_UNKNOWN, ZL_INFLATE_PLAIN, ZL_INFLATE_GZIP, ZL_INFLATE_ZSTD };

enum {
	ZL_INFLATE_MAGIC = 4,
	ZL_INFLATE_ZSTD_WINDOW_LOG = 27, // 128 MiB: zstd's own limit for a plain decoder
};

struct zl_inflate {
	enum zl_inflate_kind kind;
	uint8_t magic[ZL_INFLATE_MAGIC]; // bytes seen before the kind is known
	size_t magic_length;
	void *state;   // z_stream or ZSTD_DCtx
	bool complete; // the last member or frame has ended
	uint8_t *out;  // buffer for what comes out
	zl_byte_sink *sink;
	void *user;
};

int zl_inflate_init(
        struct zl_inflate *inflate, zl_byte_sink *sink, void *user, struct zl_error *err);
// INVALID_ARGUMENT when the stream is damaged or needs too much memory.
int zl_inflate_feed(
        struct zl_inflate *inflate, const uint8_t *bytes, size_t length, struct zl_error *err);
// The end of the input: INVALID_ARGUMENT when the stream is not complete.
int zl_inflate_end(struct zl_inflate *inflate, struct zl_error *err);
void zl_inflate_release(struct zl_inflate *inflate);
ZL_AUTO_DEFINE_VALUE(inflate, struct zl_inflate, zl_inflate_release);

#endif
