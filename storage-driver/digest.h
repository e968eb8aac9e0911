// SPDX-License-Identifier: Apache-2.0
//
// Content digests as registries write them: "sha256:<64 hex>" or "sha512:<128 hex>"
// (OCI image-spec descriptor.md, "Digests"; lower case only).
#ifndef ZL_STORAGE_DRIVER_DIGEST_H
#define ZL_STORAGE_DRIVER_DIGEST_H

#include <stdbool.h>
#include <stddef.h>

#include "base/cleanup.h"
#include "base/error.h"

// "sha512:" + 128 digits + end, rounded up.
enum { ZL_DIGEST_SIZE = 144 };

// Whether the text is a digest with an algorithm that we can verify. Only such a text may become
// part of a file name.
bool zl_digest_valid(const char *text);

// The part after the algorithm; the digest must be valid.
const char *zl_digest_hex(const char *digest);

// A digest under way.
struct zl_digest_stream {
	void *context; // EVP_MD_CTX; NULL when not started
	bool long_sum; // sha512
};

#define ZL_DIGEST_STREAM_INIT {.context = NULL}

// Starts with the algorithm of `like`, a valid digest.
int zl_digest_start(struct zl_digest_stream *stream, const char *like, struct zl_error *err);
void zl_digest_update(struct zl_digest_stream *stream, const void *bytes, size_t length);
// Writes the digest of all bytes so far and ends the stream.
void zl_digest_finish(struct zl_digest_stream *stream, char out[static ZL_DIGEST_SIZE]);
void zl_digest_release(struct zl_digest_stream *stream);
ZL_AUTO_DEFINE_VALUE(digest_stream, struct zl_digest_stream, zl_digest_release);

// The digest of bytes in memory, with the algorithm of `like` (NULL: sha256).
int zl_digest_bytes(const char *like, const void *bytes, size_t length,
        char out[static ZL_DIGEST_SIZE], struct zl_error *err);

// DATA_LOSS unless the bytes have this digest. `what` names them in the message.
int zl_digest_check(const char *what, const char *expected, const void *bytes, size_t length,
        struct zl_error *err);

#endif
