// SPDX-License-Identifier: Apache-2.0
#include "cri-server/stream/token.h"

#include <errno.h>
#include <pthread.h>
#include <string.h>
#include <sys/random.h>

#include "base/clock.h"

struct slot {
	struct zl_stream_request *request; // NULL: free
	uint8_t token[ZL_TOKEN_BYTES];
	int64_t expires_ns;
};

struct zl_token_cache {
	pthread_mutex_t lock; // innermost
	struct slot slots[ZL_TOKENS_MAX];
};

struct zl_token_cache *zl_token_cache_new(struct zl_error *err)
{
	struct zl_token_cache *cache = calloc(1, sizeof(*cache));

	if (cache == NULL)
		zl_error_nomem(err);
	else
		pthread_mutex_init(&cache->lock, NULL);
	return cache;
}

static struct zl_stream_request *clear(struct slot *slot)
{
	struct zl_stream_request *request = slot->request;

	*slot = (struct slot){.request = NULL};
	return request;
}

void zl_token_cache_free(struct zl_token_cache *cache)
{
	if (cache == NULL)
		return;
	for (size_t i = 0; i < ZL_TOKENS_MAX; i++)
		zl_stream_request_free(clear(&cache->slots[i]));
	pthread_mutex_destroy(&cache->lock);
	free(cache);
}

// Takes one request out whose time is over. To be freed without the lock.
static struct zl_stream_request *take_expired(struct zl_token_cache *cache, int64_t now_ns)
{
	struct zl_stream_request *expired = NULL;

	pthread_mutex_lock(&cache->lock);
	for (size_t i = 0; i < ZL_TOKENS_MAX && expired == NULL; i++) {
		if (cache->slots[i].request != NULL && cache->slots[i].expires_ns <= now_ns)
			expired = clear(&cache->slots[i]);
	}
	pthread_mutex_unlock(&cache->lock);
	return expired;
}

static void drop_expired(struct zl_token_cache *cache, int64_t now_ns)
{
	struct zl_stream_request *expired;

	while ((expired = take_expired(cache, now_ns)) != NULL)
		zl_stream_request_free(expired);
}

static bool put(struct zl_token_cache *cache, const struct slot *slot)
{
	bool found = false;

	pthread_mutex_lock(&cache->lock);
	for (size_t i = 0; i < ZL_TOKENS_MAX && !found; i++) {
		if (cache->slots[i].request == NULL) {
			cache->slots[i] = *slot;
			found = true;
		}
	}
	pthread_mutex_unlock(&cache->lock);
	return found;
}

static void print(const uint8_t token[static ZL_TOKEN_BYTES], char out[static ZL_TOKEN_SIZE])
{
	for (size_t i = 0; i < ZL_TOKEN_BYTES; i++)
		(void)snprintf(out + 2 * i, 3, "%02x", token[i]);
}

int zl_token_insert(struct zl_token_cache *cache, struct zl_stream_request *request, int64_t now_ns,
        char ret_token[static ZL_TOKEN_SIZE], struct zl_error *err)
{
	struct slot slot = {
	        .request = request, .expires_ns = now_ns + ZL_TOKEN_SECONDS * ZL_NS_PER_SECOND};

	drop_expired(cache, now_ns);
	if (getrandom(slot.token, sizeof(slot.token), 0) != (ssize_t)sizeof(slot.token)) {
		zl_stream_request_free(request);
		return zl_error_errno(err, errno, "get random bytes");
	}
	if (!put(cache, &slot)) {
		zl_stream_request_free(request);
		return zl_error_set(err, ZL_RESOURCE_EXHAUSTED,
		        "%d streaming calls wait for their clients; try again in a minute",
		        ZL_TOKENS_MAX);
	}
	print(slot.token, ret_token);
	return 0;
}

static int digit(char c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

static bool parse(const char *text, uint8_t token[static ZL_TOKEN_BYTES])
{
	if (strlen(text) != ZL_TOKEN_SIZE - 1)
		return false;
	for (size_t i = 0; i < ZL_TOKEN_BYTES; i++) {
		int high = digit(text[2 * i]);
		int low = digit(text[2 * i + 1]);

		if (high < 0 || low < 0)
			return false;
		token[i] = (uint8_t)(high << 4 | low);
	}
	return true;
}

// 1 if equal, without a branch on the bytes.
static unsigned equal(
        const uint8_t a[static ZL_TOKEN_BYTES], const uint8_t b[static ZL_TOKEN_BYTES])
{
	unsigned difference = 0;

	for (size_t i = 0; i < ZL_TOKEN_BYTES; i++)
		difference |= (unsigned)(a[i] ^ b[i]);
	return (difference - 1U) >> 31;
}

struct zl_stream_request *zl_token_take(
        struct zl_token_cache *cache, const char *token, int64_t now_ns)
{
	struct zl_stream_request *found = NULL;
	size_t at = ZL_TOKENS_MAX;
	uint8_t wanted[ZL_TOKEN_BYTES];

	if (!parse(token, wanted))
		return NULL;
	drop_expired(cache, now_ns);
	pthread_mutex_lock(&cache->lock);
	for (size_t i = 0; i < ZL_TOKENS_MAX; i++) {
		size_t mask = (size_t)0 - equal(cache->slots[i].token, wanted);

		at = (at & ~mask) | (i & mask);
	}
	// A free slot's token is all zeros, and stands for nothing.
	if (at < ZL_TOKENS_MAX)
		found = clear(&cache->slots[at]);
	pthread_mutex_unlock(&cache->lock);
	return found;
}
