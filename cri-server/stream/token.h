// SPDX-License-Identifier: Apache-2.0
//
// What Exec, Attach and PortForward hand out: a URL holds a token, and the token stands for what
// the call asked for. Whoever knows it may have that, once and for a minute; nothing else protects
// it, so it is 128 bits of the kernel's random numbers.
//
// The cache is an array of fixed size. A lookup reads all of it and compares in constant time: how
// long it takes says nothing of the tokens that are there.
//
// Thread rule: any.
#ifndef ZL_CRI_SERVER_STREAM_TOKEN_H
#define ZL_CRI_SERVER_STREAM_TOKEN_H

#include <stdint.h>

#include "base/cleanup.h"
#include "base/error.h"
#include "cri-server/stream/request.h"

enum {
	ZL_TOKEN_BYTES = 16,
	ZL_TOKEN_SIZE = 2 * ZL_TOKEN_BYTES + 1, // in hexadecimal, with the final zero
	// Calls whose client has not come yet. As in the kubelet's streaming package.
	ZL_TOKENS_MAX = 1000,
	ZL_TOKEN_SECONDS = 60,
};

struct zl_token_cache;

struct zl_token_cache *zl_token_cache_new(struct zl_error *err);
// Frees what is left in it, too.
void zl_token_cache_free(struct zl_token_cache *cache);
ZL_AUTO_DEFINE(token_cache, struct zl_token_cache *, zl_token_cache_free);

// Takes the request over in any case, and writes its token. now_ns is the monotonic clock.
// RESOURCE_EXHAUSTED when ZL_TOKENS_MAX others wait.
int zl_token_insert(struct zl_token_cache *cache, struct zl_stream_request *request, int64_t now_ns,
        char ret_token[static ZL_TOKEN_SIZE], struct zl_error *err);

// Takes the request out; the caller owns it. NULL: there is no such token, it was used before, or
// its minute is over.
struct zl_stream_request *zl_token_take(
        struct zl_token_cache *cache, const char *token, int64_t now_ns);

#endif
