// SPDX-License-Identifier: Apache-2.0
#include "storage-driver/digest.h"

#include <openssl/evp.h>
#include <string.h>

static const char SHA256_PREFIX[] = "sha256:";
static const char SHA512_PREFIX[] = "sha512:";
enum { PREFIX_LENGTH = sizeof(SHA256_PREFIX) - 1, SHA256_DIGITS = 64, SHA512_DIGITS = 128 };

static bool all_hex(const char *text, size_t count)
{
	return strlen(text) == count && strspn(text, "0123456789abcdef") == count;
}

static bool is_sha512(const char *text)
{
	return strncmp(text, SHA512_PREFIX, PREFIX_LENGTH) == 0;
}

bool zl_digest_valid(const char *text)
{
	if (text == NULL)
		return false;
	if (strncmp(text, SHA256_PREFIX, PREFIX_LENGTH) == 0)
		return all_hex(text + PREFIX_LENGTH, SHA256_DIGITS);
	return is_sha512(text) && all_hex(text + PREFIX_LENGTH, SHA512_DIGITS);
}

const char *zl_digest_hex(const char *digest)
{
	return digest + PREFIX_LENGTH;
}

int zl_digest_start(struct zl_digest_stream *stream, const char *like, struct zl_error *err)
{
	stream->long_sum = is_sha512(like);
	stream->context = EVP_MD_CTX_new();
	if (stream->context == NULL)
		return zl_error_nomem(err);
	if (EVP_DigestInit_ex(
	            stream->context, stream->long_sum ? EVP_sha512() : EVP_sha256(), NULL) != 1) {
		zl_digest_release(stream);
		return zl_error_set(err, ZL_INTERNAL,
		        "libcrypto refuses %s; is the machine limited by a crypto policy?",
		        stream->long_sum ? "SHA-512" : "SHA-256");
	}
	return 0;
}

void zl_digest_update(struct zl_digest_stream *stream, const void *bytes, size_t length)
{
	(void)EVP_DigestUpdate(stream->context, bytes, length);
}

void zl_digest_finish(struct zl_digest_stream *stream, char out[static ZL_DIGEST_SIZE])
{
	static const char digits[] = "0123456789abcdef";
	unsigned char sum[EVP_MAX_MD_SIZE];
	unsigned int length = 0;

	(void)EVP_DigestFinal_ex(stream->context, sum, &length);
	memcpy(out, stream->long_sum ? SHA512_PREFIX : SHA256_PREFIX, PREFIX_LENGTH);
	out += PREFIX_LENGTH;
	for (unsigned int i = 0; i < length; i++) {
		*out++ = digits[sum[i] >> 4];
		*out++ = digits[sum[i] & 15];
	}
	*out = '\0';
	zl_digest_release(stream);
}

void zl_digest_release(struct zl_digest_stream *stream)
{
	EVP_MD_CTX_free(stream->context);
	stream->context = NULL;
}

int zl_digest_bytes(const char *like, const void *bytes, size_t length,
        char out[static ZL_DIGEST_SIZE], struct zl_error *err)
{
	zl_auto(digest_stream) struct zl_digest_stream stream = ZL_DIGEST_STREAM_INIT;

	if (zl_digest_start(&stream, like != NULL ? like : SHA256_PREFIX, err) < 0)
		return -1;
	zl_digest_update(&stream, bytes, length);
	zl_digest_finish(&stream, out);
	return 0;
}

int zl_digest_check(const char *what, const char *expected, const void *bytes, size_t length,
        struct zl_error *err)
{
	char actual[ZL_DIGEST_SIZE];

	if (zl_digest_bytes(expected, bytes, length, actual, err) < 0)
		return -1;
	if (strcmp(actual, expected) == 0)
		return 0;
	return zl_error_set(err, ZL_DATA_LOSS,
	        "%s: its digest is %s and not %s; the registry or a proxy on the way has damaged "
	        "it",
	        what, actual, expected);
}
