// SPDX-License-Identifier: Apache-2.0
#include "storage-driver/p9/session.h"

#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"

struct request {
	struct request *next; // in the list of all
	uint16_t tag;
	unsigned lane;
	bool running;
	bool answered;  // on its way: the client may use the tag again before it has left the list
	uint8_t *bytes; // what `message` points into
	size_t length;
	struct zl_p9_message message;
	uint16_t *flushes; // tags of Tflushes that wait for it
	unsigned *flush_lanes;
	size_t flush_count;
};

struct session {
	struct zl_p9_server *server;
	struct zl_p9_transport *transport;
	struct zl_p9_tags *tags;
	pthread_mutex_t lock; // guards all below
	pthread_cond_t work;  // a request came, or the end
	pthread_cond_t done;  // a request left
	struct request *first;
	size_t count; // requests and waiting flushes
	size_t bytes; // of the requests
	bool ending;
	struct zl_error failure; // why an answer could not be sent
};

static void free_request(struct request *request)
{
	if (request == NULL)
		return;
	free(request->bytes);
	free(request->flushes);
	free(request->flush_lanes);
	free(request);
}

// ---- answers

// The first failure is kept, and the session ends.
static void fail(struct session *session, const struct zl_error *why)
{
	pthread_mutex_lock(&session->lock);
	if (session->failure.code == ZL_OK)
		session->failure = *why;
	session->ending = true;
	pthread_cond_broadcast(&session->done);
	pthread_mutex_unlock(&session->lock);
	session->transport->ops->stop(session->transport);
}

static int send_answer(
        struct session *session, uint16_t tag, unsigned lane, const uint8_t *bytes, size_t length)
{
	struct zl_error err = ZL_ERROR_INIT;

	if (session->transport->ops->send(session->transport, lane, bytes, length, &err) < 0) {
		fail(session, &err);
		return -1;
	}
	zl_p9_tags_clear(session->tags, tag);
	return 0;
}

static int send_flushed(struct session *session, uint16_t tag, unsigned lane)
{
	struct zl_p9_message message = {.type = ZL_P9_RFLUSH, .tag = tag};
	uint8_t bytes[ZL_P9_HEADER];
	size_t length = zl_p9_encode(&message, bytes, sizeof(bytes));

	// With this answer the client uses the flushed tag again: were it to see it before the
	// answer to what was flushed, it would take that for one to the tag's next request.
	if (session->transport->ops->settle != NULL)
		session->transport->ops->settle(session->transport);
	return send_answer(session, tag, lane, bytes, length);
}

// ---- workers

// With the lock.
static struct request *next_waiting(struct session *session)
{
	struct request *request = session->first;

	while (request != NULL && request->running)
		request = request->next;
	return request;
}

static void unlink_request(struct session *session, struct request *request)
{
	struct request **at = &session->first;

	while (*at != request)
		at = &(*at)->next;
	*at = request->next;
	session->count -= 1 + request->flush_count;
	session->bytes -= request->length;
}

// The answer, then those flushes that waited for it, all before the tag is free again.
static void finish(
        struct session *session, struct request *request, const uint8_t *reply, size_t length)
{
	bool sent;

	pthread_mutex_lock(&session->lock);
	request->answered = true;
	pthread_mutex_unlock(&session->lock);
	sent = send_answer(session, request->tag, request->lane, reply, length) == 0;
	pthread_mutex_lock(&session->lock);
	unlink_request(session, request);
	pthread_cond_broadcast(&session->done);
	pthread_mutex_unlock(&session->lock);
	for (size_t i = 0; sent && i < request->flush_count; i++)
		sent = send_flushed(session, request->flushes[i], request->flush_lanes[i]) == 0;
	free_request(request);
}

static void *worker(void *argument)
{
	struct session *session = argument;
	uint8_t *reply = malloc(session->server->msize_max);

	struct zl_error err = ZL_ERROR_INIT;

	if (reply == NULL) {
		zl_error_nomem(&err);
		fail(session, &err);
		return NULL;
	}
	pthread_mutex_lock(&session->lock);
	for (;;) {
		struct request *request = next_waiting(session);
		size_t length;

		if (session->ending)
			break;
		if (request == NULL) {
			pthread_cond_wait(&session->work, &session->lock);
			continue;
		}
		request->running = true;
		pthread_mutex_unlock(&session->lock);
		length = zl_p9_server_answer(session->server, &request->message, reply);
		finish(session, request, reply, length);
		pthread_mutex_lock(&session->lock);
	}
	pthread_mutex_unlock(&session->lock);
	free(reply);
	return NULL;
}

// ---- the receiving side

// The latest with this tag: an earlier one has been answered, or the tag would not be used again.
static struct request *find_request(struct session *session, uint16_t tag)
{
	struct request *found = NULL;

	for (struct request *request = session->first; request != NULL; request = request->next) {
		if (request->tag == tag)
			found = request;
	}
	return found;
}

// With the lock. Hangs a flush on a request that is being answered.
static int wait_for(struct request *request, uint16_t tag, unsigned lane)
{
	size_t count = request->flush_count + 1;
	uint16_t *flushes = realloc(request->flushes, count * sizeof(*flushes));
	unsigned *lanes;

	if (flushes == NULL)
		return -1;
	request->flushes = flushes;
	lanes = realloc(request->flush_lanes, count * sizeof(*lanes));
	if (lanes == NULL)
		return -1;
	request->flush_lanes = lanes;
	flushes[count - 1] = tag;
	lanes[count - 1] = lane;
	request->flush_count = count;
	return 0;
}

static int flush(struct session *session, const struct zl_p9_message *message, unsigned lane,
        struct zl_error *err)
{
	struct request *old;
	int result = 0;
	bool waits = false;

	pthread_mutex_lock(&session->lock);
	old = find_request(session, message->old_tag);
	if (old != NULL && old->running) {
		waits = true;
		result = wait_for(old, message->tag, lane);
		if (result == 0)
			session->count++;
	} else if (old != NULL) {
		unlink_request(session, old);
		zl_p9_tags_clear(session->tags, old->tag);
		free_request(old);
	}
	pthread_mutex_unlock(&session->lock);
	if (result < 0)
		return zl_error_nomem(err);
	return waits ? 0 : send_flushed(session, message->tag, lane);
}

static int queue(struct session *session, struct request *request, struct zl_error *err)
{
	struct request **at = &session->first;
	struct request *same;
	bool twice;

	pthread_mutex_lock(&session->lock);
	same = find_request(session, request->tag);
	twice = same != NULL && !same->answered;
	if (!twice) {
		while (*at != NULL)
			at = &(*at)->next;
		*at = request;
		session->count++;
		session->bytes += request->length;
		pthread_cond_signal(&session->work);
	}
	pthread_mutex_unlock(&session->lock);
	return twice ? zl_error_set(err, ZL_INVALID_ARGUMENT,
	                       "the client uses tag %u for two requests at a time", request->tag)
	             : 0;
}

static void wait_idle(struct session *session)
{
	pthread_mutex_lock(&session->lock);
	while (session->first != NULL && !session->ending)
		pthread_cond_wait(&session->done, &session->lock);
	pthread_mutex_unlock(&session->lock);
}

// Tversion ends all that was: alone, on the receiving thread.
static int answer_version(struct session *session, const struct request *request)
{
	uint8_t reply[256];
	size_t length;

	wait_idle(session);
	length = zl_p9_server_answer(session->server, &request->message, reply);
	return send_answer(session, request->tag, request->lane, reply, length);
}

static int answer_undecodable(struct session *session, const struct request *request)
{
	uint8_t reply[32];
	size_t length = zl_p9_answer_error(request->tag, EOPNOTSUPP, reply, sizeof(reply));

	return send_answer(session, request->tag, request->lane, reply, length);
}

// Takes the request. An unknown type is answered, since a newer client may try one; a known one
// that is malformed ends the session.
static int handle(struct session *session, struct request *request, struct zl_error *err)
{
	int decoded = zl_p9_decode(request->bytes, request->length, &request->message);
	uint8_t type = request->message.type;
	int result = -1;

	request->tag = request->message.tag;
	if (!zl_p9_is_request(type)) {
		result = answer_undecodable(session, request);
	} else if (decoded < 0) {
		zl_error_set(err, ZL_INVALID_ARGUMENT,
		        "the client sent a malformed 9P message of "
		        "type %u, %zu bytes",
		        type, request->length);
	} else if (type == ZL_P9_TFLUSH) {
		result = flush(session, &request->message, request->lane, err);
	} else if (type == ZL_P9_TVERSION) {
		result = answer_version(session, request);
	} else {
		result = queue(session, request, err);
		if (result == 0)
			return 0;
	}
	free_request(request);
	return result;
}

static bool wait_room(struct session *session)
{
	bool ending;

	pthread_mutex_lock(&session->lock);
	while (!session->ending &&
	        (session->count >= ZL_P9_REQUESTS_MAX || session->bytes >= ZL_P9_QUEUE_BYTES))
		pthread_cond_wait(&session->done, &session->lock);
	ending = session->ending;
	pthread_mutex_unlock(&session->lock);
	return !ending;
}

static int receive_all(struct session *session, struct zl_error *err)
{
	int result = 1;

	while (result > 0 && wait_room(session)) {
		struct request *request = calloc(1, sizeof(*request));

		if (request == NULL)
			return zl_error_nomem(err);
		result = session->transport->ops->receive(session->transport,
		        atomic_load(&session->server->msize), &request->bytes, &request->length,
		        &request->lane, err);
		if (result <= 0)
			free_request(request);
		else if (handle(session, request, err) < 0)
			result = -1;
	}
	return result > 0 ? 0 : result;
}

// ---- life

static void finish_session(struct session *session, pthread_t *threads, size_t count)
{
	pthread_mutex_lock(&session->lock);
	session->ending = true;
	pthread_cond_broadcast(&session->work);
	pthread_mutex_unlock(&session->lock);
	session->transport->ops->stop(session->transport);
	for (size_t i = 0; i < count; i++)
		(void)pthread_join(threads[i], NULL);
	while (session->first != NULL) {
		struct request *request = session->first;

		session->first = request->next;
		free_request(request);
	}
	pthread_cond_destroy(&session->work);
	pthread_cond_destroy(&session->done);
	pthread_mutex_destroy(&session->lock);
}

static int answer_lost(void *user, uint16_t tag, unsigned lane)
{
	struct zl_p9_transport *transport = user;
	uint8_t reply[32];
	size_t length = zl_p9_answer_error(tag, EIO, reply, sizeof(reply));

	return transport->ops->send(transport, lane, reply, length, NULL);
}

static int begin(struct zl_p9_transport *transport, struct zl_p9_tags *tags, struct zl_error *err)
{
	if (transport->ops->start != NULL && transport->ops->start(transport, err) < 0)
		return -1;
	if (tags != NULL && zl_p9_tags_each(tags, answer_lost, transport) < 0)
		return zl_error_set(err, ZL_UNAVAILABLE,
		        "the client took no answers for what the server before was asked");
	return 0;
}

int zl_p9_session_run(struct zl_p9_server *server, struct zl_p9_transport *transport,
        struct zl_p9_tags *tags, struct zl_error *err)
{
	struct session session = {.server = server, .transport = transport, .tags = tags};
	pthread_t threads[ZL_P9_WORKERS];
	size_t count = 0;
	int result = begin(transport, tags, err);

	pthread_mutex_init(&session.lock, NULL);
	pthread_cond_init(&session.work, NULL);
	pthread_cond_init(&session.done, NULL);
	while (result == 0 && count < ZL_P9_WORKERS) {
		int failure = pthread_create(&threads[count], NULL, worker, &session);

		if (failure != 0)
			result = zl_error_errno(err, failure, "start a 9P worker");
		else
			count++;
	}
	if (result == 0)
		result = receive_all(&session, err);
	finish_session(&session, threads, count);
	if (session.failure.code != ZL_OK && err != NULL) {
		*err = session.failure;
		result = -1;
	}
	return result;
}
