// SPDX-License-Identifier: Apache-2.0
#include "cri-server/container/peer.h"

#include <string.h>

#include "base/id.h"
#include "cri-server/sandbox/sandbox.h"

int zl_peer_make_id(struct zl_peer *peer, struct zl_error *err)
{
	char id[ZL_ID_SIZE];

	if (zl_id_make(id, err) < 0)
		return -1;
	memcpy(peer->id, id, ZL_PEER_ID_SIZE - 1);
	peer->id[ZL_PEER_ID_SIZE - 1] = '\0';
	return 0;
}

// A stop fires the token first and then fails whoever is there. So looking at the token after
// joining misses no stop.
static int check_stopping(struct zl_sandbox *sandbox, struct zl_error *err)
{
	if (zl_cancel_check(&sandbox->stopping, NULL) == 0)
		return 0;
	return zl_error_set(
	        err, ZL_UNAVAILABLE, "pod %s is being stopped", zl_sandbox_pod(sandbox));
}

int zl_peer_add(struct zl_sandbox *sandbox, struct zl_peer *peer, struct zl_error *err)
{
	pthread_mutex_lock(&sandbox->lock);
	HASH_ADD_STR(sandbox->peers, id, peer);
	pthread_mutex_unlock(&sandbox->lock);
	if (check_stopping(sandbox, err) == 0)
		return 0;
	zl_peer_remove(sandbox, peer);
	return -1;
}

void zl_peer_remove(struct zl_sandbox *sandbox, struct zl_peer *peer)
{
	pthread_mutex_lock(&sandbox->lock);
	HASH_DEL(sandbox->peers, peer);
	pthread_mutex_unlock(&sandbox->lock);
}

int zl_peer_attach(struct zl_container *container, struct zl_peer *peer, struct zl_error *err)
{
	struct zl_sandbox *sandbox = container->sandbox;
	bool running;

	pthread_mutex_lock(&sandbox->lock);
	running = container->phase == ZL_CONTAINER_RUNNING;
	if (running) {
		memcpy(peer->at, container->seen, sizeof(peer->at));
		peer->next = container->attached;
		container->attached = peer;
	}
	pthread_mutex_unlock(&sandbox->lock);
	if (!running)
		return zl_error_set(err, ZL_FAILED_PRECONDITION,
		        "attach to %s: the container is not running",
		        container->config->metadata->name);
	if (check_stopping(sandbox, err) == 0)
		return 0;
	zl_peer_detach(container, peer);
	return -1;
}

void zl_peer_detach(struct zl_container *container, struct zl_peer *peer)
{
	pthread_mutex_lock(&container->sandbox->lock);
	for (struct zl_peer **at = &container->attached; *at != NULL; at = &(*at)->next) {
		if (*at == peer) {
			*at = peer->next;
			break;
		}
	}
	pthread_mutex_unlock(&container->sandbox->lock);
}

// ---- the channel's thread

size_t zl_peer_output(struct zl_sandbox *sandbox, const char *id, enum zl_zone_stream stream,
        const void *bytes, size_t length, bool eof)
{
	struct zl_peer *peer;
	size_t taken = length; // nobody wants it any more

	pthread_mutex_lock(&sandbox->lock);
	HASH_FIND_STR(sandbox->peers, id, peer);
	if (peer != NULL)
		taken = peer->ops->output(peer, stream, bytes, length, eof);
	pthread_mutex_unlock(&sandbox->lock);
	return taken;
}

void zl_peer_exited(
        struct zl_sandbox *sandbox, const char *id, int32_t exit_code, const char *message)
{
	struct zl_peer *peer;

	pthread_mutex_lock(&sandbox->lock);
	HASH_FIND_STR(sandbox->peers, id, peer);
	if (peer != NULL)
		peer->ops->exited(peer, exit_code, message);
	pthread_mutex_unlock(&sandbox->lock);
}

static void input_ready(struct zl_peer *peer)
{
	if (peer->ops->input_ready != NULL)
		peer->ops->input_ready(peer);
}

void zl_peer_input_ready(struct zl_sandbox *sandbox, const char *container_id, const char *id)
{
	struct zl_container *container = NULL;
	struct zl_peer *peer = NULL;

	pthread_mutex_lock(&sandbox->lock);
	if (id != NULL) {
		HASH_FIND_STR(sandbox->peers, id, peer);
		if (peer != NULL)
			input_ready(peer);
	} else {
		HASH_FIND(hh_sandbox, sandbox->containers, container_id, strlen(container_id),
		        container);
		for (peer = container != NULL ? container->attached : NULL; peer != NULL;
		        peer = peer->next)
			input_ready(peer);
	}
	pthread_mutex_unlock(&sandbox->lock);
}

// How much of the bytes this one has.
static size_t offer(struct zl_peer *peer, enum zl_zone_stream stream, uint64_t offset,
        const uint8_t *bytes, size_t length, bool eof)
{
	uint64_t *at = &peer->at[stream - ZL_ZONE_STDOUT];
	size_t has;

	if (*at < offset)
		*at = offset;
	has = *at - offset < length ? (size_t)(*at - offset) : length;
	has += peer->ops->output(peer, stream, bytes + has, length - has, eof);
	*at = offset + has;
	return has;
}

size_t zl_peer_tee(struct zl_container *container, enum zl_zone_stream stream, uint64_t offset,
        const void *bytes, size_t length, bool eof)
{
	uint64_t *seen = &container->seen[stream - ZL_ZONE_STDOUT];
	size_t all = length;

	pthread_mutex_lock(&container->sandbox->lock);
	for (struct zl_peer *peer = container->attached; peer != NULL; peer = peer->next) {
		size_t has = offer(peer, stream, offset, bytes, length, eof);

		if (has < all)
			all = has;
	}
	if (*seen < offset + length)
		*seen = offset + length;
	pthread_mutex_unlock(&container->sandbox->lock);
	return all;
}

void zl_peer_container_exited(struct zl_container *container, int32_t exit_code)
{
	pthread_mutex_lock(&container->sandbox->lock);
	for (struct zl_peer *peer = container->attached; peer != NULL; peer = peer->next)
		peer->ops->exited(peer, exit_code, "");
	pthread_mutex_unlock(&container->sandbox->lock);
}

// ---- failures

static void fail_attached(struct zl_container *container, const struct zl_error *why)
{
	for (struct zl_peer *peer = container->attached; peer != NULL; peer = peer->next)
		peer->ops->failed(peer, why);
}

void zl_peer_fail_all(struct zl_sandbox *sandbox, const struct zl_error *why)
{
	pthread_mutex_lock(&sandbox->lock);
	for (struct zl_peer *peer = sandbox->peers; peer != NULL; peer = peer->hh.next)
		peer->ops->failed(peer, why);
	for (struct zl_container *c = sandbox->containers; c != NULL; c = c->hh_sandbox.next)
		fail_attached(c, why);
	pthread_mutex_unlock(&sandbox->lock);
}

void zl_peer_fail_container(struct zl_container *container, const struct zl_error *why)
{
	struct zl_sandbox *sandbox = container->sandbox;

	pthread_mutex_lock(&sandbox->lock);
	for (struct zl_peer *peer = sandbox->peers; peer != NULL; peer = peer->hh.next) {
		if (strcmp(peer->container_id, container->id) == 0)
			peer->ops->failed(peer, why);
	}
	fail_attached(container, why);
	pthread_mutex_unlock(&sandbox->lock);
}
