// SPDX-License-Identifier: Apache-2.0
#include "cri-server/stream/feed.h"

#include <stdio.h>

#include "zone/protocol/enclosing.h"

static struct zl_feed *feed_of(struct zl_peer *peer)
{
	return ZL_ENCLOSING(peer, struct zl_feed, peer);
}

static size_t keep(struct zl_feed *feed, size_t index, const void *bytes, size_t length)
{
	struct zl_buffer *to = &feed->bytes[index];
	size_t room = ZL_FEED_SIZE - to->length;
	size_t count = length < room ? length : room;

	if (!feed->wanted[index])
		return length;
	if (count > 0 && zl_buffer_append(to, bytes, count, NULL) < 0)
		count = 0;
	return count;
}

static size_t output(struct zl_peer *peer, enum zl_zone_stream stream, const void *bytes,
        size_t length, bool eof)
{
	struct zl_feed *feed = feed_of(peer);
	size_t index = stream == ZL_ZONE_STDOUT ? 0 : 1;
	size_t taken;

	pthread_mutex_lock(&feed->lock);
	taken = keep(feed, index, bytes, length);
	if (taken < length)
		feed->starved[index] = true;
	else if (eof)
		feed->eof[index] = true;
	pthread_mutex_unlock(&feed->lock);
	zl_session_wake(feed->wake);
	return taken;
}

static void exited(struct zl_peer *peer, int32_t exit_code, const char *message)
{
	struct zl_feed *feed = feed_of(peer);

	pthread_mutex_lock(&feed->lock);
	feed->exited = true;
	feed->exit_code = exit_code;
	(void)snprintf(feed->message, sizeof(feed->message), "%s", message);
	pthread_mutex_unlock(&feed->lock);
	zl_session_wake(feed->wake);
}

static void failed(struct zl_peer *peer, const struct zl_error *why)
{
	struct zl_feed *feed = feed_of(peer);

	pthread_mutex_lock(&feed->lock);
	if (!feed->failed) {
		feed->failed = true;
		feed->why = *why;
	}
	pthread_mutex_unlock(&feed->lock);
	zl_session_wake(feed->wake);
}

static void input_ready(struct zl_peer *peer)
{
	zl_session_wake(feed_of(peer)->wake);
}

static const struct zl_peer_ops ops = {
        .output = output,
        .exited = exited,
        .failed = failed,
        .input_ready = input_ready,
};

int zl_feed_init(struct zl_feed *feed, const char *container_id, int wake, struct zl_error *err)
{
	*feed = (struct zl_feed){
	        .peer = {.ops = &ops, .container_id = container_id},
	        .wake = wake,
	        .wanted = {true, true},
	};
	pthread_mutex_init(&feed->lock, NULL);
	return zl_peer_make_id(&feed->peer, err);
}

void zl_feed_release(struct zl_feed *feed)
{
	for (size_t i = 0; i < ZL_FEED_OUTPUTS; i++)
		zl_buffer_release(&feed->bytes[i]);
	pthread_mutex_destroy(&feed->lock);
}

struct zl_feed_state zl_feed_look(struct zl_feed *feed)
{
	struct zl_feed_state state;

	pthread_mutex_lock(&feed->lock);
	state = (struct zl_feed_state){
	        .exited = feed->exited, .exit_code = feed->exit_code, .failed = feed->failed};
	for (size_t i = 0; i < ZL_FEED_OUTPUTS; i++)
		state.drained[i] = feed->eof[i] && feed->bytes[i].length == 0;
	pthread_mutex_unlock(&feed->lock);
	return state;
}

// Under the lock: the next piece, if there is one and room for it.
static int move_piece(struct zl_feed *feed, size_t index, struct zl_session *session,
        uint32_t stream, size_t *ret_moved, struct zl_error *err)
{
	struct zl_buffer *from = &feed->bytes[index];
	size_t count = zl_session_room(session);
	size_t window = zl_wire_room(session->wire, stream);

	if (count > window)
		count = window;
	if (count > from->length)
		count = from->length;
	*ret_moved = count;
	if (count == 0)
		return 0;
	if (zl_wire_send(session->wire, stream, from->data, count, err) < 0)
		return -1;
	zl_buffer_consume(from, count);
	return 0;
}

int zl_feed_move(struct zl_feed *feed, size_t index, struct zl_session *session, uint32_t stream,
        bool *ret_offer, struct zl_error *err)
{
	size_t moved = 0;
	int result;

	pthread_mutex_lock(&feed->lock);
	do {
		result = move_piece(feed, index, session, stream, &moved, err);
	} while (result == 0 && moved > 0);
	// Not before there is room for a good piece: each offer costs a turn of the channel's
	// thread.
	if (feed->starved[index] && feed->bytes[index].length <= ZL_FEED_SIZE / 2) {
		feed->starved[index] = false;
		*ret_offer = true;
	}
	pthread_mutex_unlock(&feed->lock);
	return result;
}
