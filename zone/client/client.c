// SPDX-License-Identifier: Apache-2.0
#include "zone/client/client.h"

#include <errno.h>
#include <sys/epoll.h>
#include <sys/random.h>

#include "zone/client/session.h"

enum {
	READ_CHUNK = 64 * 1024,
	// One client's turn: then others have theirs.
	READS_PER_RUN = 8,
};

#ifndef ZL_VERSION
#define ZL_VERSION "0.1.0"
#endif

void zl_client_free(struct zl_zone_client *client)
{
	struct process *process;
	struct process *next;

	if (client == NULL)
		return;
	zl_transport_close(client->transport);
	HASH_ITER (hh, client->processes, process, next) {
		zl_process_free(client, process);
	}
	zl_frame_parser_release(&client->parser);
	zl_zone_message_reader_release(&client->reader);
	zl_buffer_release(&client->out);
	pthread_mutex_destroy(&client->lock);
	free(client);
}

// Under the lock: whoever waits learns why. The first reason stays.
static void fail_all(struct zl_zone_client *client, const struct zl_error *why)
{
	struct process *process;
	struct process *next;

	if (!client->ended)
		client->why = *why;
	client->ended = true;
	zl_client_fail_calls(client);
	HASH_ITER (hh, client->processes, process, next) {
		zl_process_wake(process);
	}
}

// The channel is over. On the loop's thread.
static void end_channel(struct zl_zone_client *client, const struct zl_error *why)
{
	bool established;

	zl_loop_task_detach(&client->task);
	zl_transport_close(zl_take(client->transport));
	pthread_mutex_lock(&client->lock);
	fail_all(client, why);
	established = client->established;
	pthread_mutex_unlock(&client->lock);
	// Once ended, it changes no more.
	if (established)
		client->callbacks.closed(client->user, &client->why);
}

void zl_zone_client_abort(struct zl_zone_client *client, const struct zl_error *why)
{
	pthread_mutex_lock(&client->lock);
	if (!client->ended) {
		fail_all(client, why);
		client->aborted = true;
		zl_loop_task_wake(&client->task);
	}
	pthread_mutex_unlock(&client->lock);
}

static int take_control(
        struct zl_zone_client *client, const struct zl_frame *frame, struct zl_error *err)
{
	void *message = NULL;

	if (zl_zone_message_take(&client->reader, frame, &message, err) < 0)
		return -1;
	if (message == NULL)
		return 0;
	return zl_client_receive(client, message, err);
}

static int take_frame(
        struct zl_zone_client *client, const struct zl_frame *frame, struct zl_error *err)
{
	switch (frame->kind) {
	case ZL_FRAME_CONTROL:
		return take_control(client, frame, err);
	case ZL_FRAME_DATA:
	case ZL_FRAME_END:
		return zl_output_take(client, frame, err);
	case ZL_FRAME_ACK:
	case ZL_FRAME_RESET:
		return zl_input_take(client, frame, err);
	case ZL_FRAME_SYNC:
	default:
		return zl_error_set(err, ZL_DATA_LOSS, "the supervisor sent a second sync frame");
	}
}

int zl_client_feed(
        struct zl_zone_client *client, const uint8_t *bytes, size_t length, struct zl_error *err)
{
	struct zl_frame frame;
	int found;

	while ((found = zl_frame_parse(&client->parser, &bytes, &length, &frame, err)) == 1) {
		if (take_frame(client, &frame, err) < 0)
			return -1;
	}
	return found;
}

// Reads what is there, for a while. *ret_more: there may be more.
static int read_some(struct zl_zone_client *client, bool *ret_more, struct zl_error *err)
{
	uint8_t chunk[READ_CHUNK];

	*ret_more = true;
	for (int i = 0; i < READS_PER_RUN; i++) {
		ssize_t got =
		        client->transport->ops->read(client->transport, chunk, sizeof(chunk), err);

		if (got < 0)
			return -1;
		if (got == 0) {
			*ret_more = false;
			return 0;
		}
		if (zl_client_feed(client, chunk, (size_t)got, err) < 0)
			return -1;
	}
	return 0;
}

// Under the lock.
static int write_some(struct zl_zone_client *client, struct zl_error *err)
{
	struct zl_buffer *out = &client->out;

	while (client->out_done < out->length) {
		const uint8_t *at = out->data + client->out_done;
		size_t length = out->length - client->out_done;
		ssize_t done;

		if (client->transport->whole_frames)
			length = zl_frame_size(at);
		done = client->transport->ops->write(client->transport, at, length, err);
		if (done < 0)
			return -1;
		if (done == 0)
			return 0;
		client->out_done += (size_t)done;
	}
	out->length = 0;
	client->out_done = 0;
	return 0;
}

// Under the lock.
static int fill_and_write(struct zl_zone_client *client, struct zl_error *err)
{
	if (zl_output_acknowledge(client, err) < 0 || zl_input_send(client, err) < 0)
		return -1;
	return write_some(client, err);
}

// Execs that are over. Under the lock.
static void settle_all(struct zl_zone_client *client)
{
	struct process *process;
	struct process *next;

	HASH_ITER (hh, client->processes, process, next) {
		zl_process_settle(client, process);
	}
}

static bool was_aborted(struct zl_zone_client *client)
{
	bool aborted;

	pthread_mutex_lock(&client->lock);
	aborted = client->aborted;
	pthread_mutex_unlock(&client->lock);
	return aborted;
}

static int run_client(struct zl_zone_client *client, struct zl_error *err)
{
	bool aborted = was_aborted(client);
	bool more = false;
	bool offer;
	uint32_t events;
	int result;

	// What came before the end is still to be read, so an end seen here waits for that.
	int open = client->transport->ops->acknowledge(client->transport, err);

	pthread_mutex_lock(&client->lock);
	offer = client->offer;
	client->offer = false;
	pthread_mutex_unlock(&client->lock);
	if (offer)
		zl_output_offer_all(client);
	if (read_some(client, &more, err) < 0 || aborted)
		return -1;
	pthread_mutex_lock(&client->lock);
	result = open < 0 && !more ? -1 : fill_and_write(client, err);
	settle_all(client);
	events = client->transport->ops->events(
	        client->transport, client->out_done < client->out.length);
	if (client->inputs_due && client->out.length == 0)
		more = true;
	pthread_mutex_unlock(&client->lock);
	if (events != client->events)
		zl_loop_task_events(&client->task, events);
	client->events = events;
	if (more)
		zl_loop_task_wake(&client->task);
	return result;
}

static void task_run(struct zl_loop_task *task)
{
	struct zl_zone_client *client = zl_client_of(task);
	struct zl_error err = ZL_ERROR_INIT;

	if (client->transport == NULL)
		return;
	if (run_client(client, &err) == 0)
		return;
	if (err.code == ZL_UNAVAILABLE)
		zl_error_wrap(&err, "the pod's supervisor is gone; the pod has to be made anew");
	end_channel(client, &err);
}

struct zl_zone_client *zl_client_new(struct zl_transport *transport,
        const struct zl_zone_callbacks *callbacks, void *user, struct zl_error *err)
{
	struct zl_zone_client *client = calloc(1, sizeof(*client));

	if (client == NULL) {
		zl_transport_close(transport);
		zl_error_nomem(err);
		return NULL;
	}
	pthread_mutex_init(&client->lock, NULL);
	client->task.run = task_run;
	client->transport = transport;
	client->callbacks = *callbacks;
	client->user = user;
	client->next_request = 1;
	client->reader.type = &zl__zone__from_zone__descriptor;
	client->reader.scrub = true;
	client->reader.partial.limit = ZL_ZONE_MESSAGE_FROM_ZONE_MAX;
	client->events = transport->ops->events(transport, false);
	return client;
}

static int say_hello(struct zl_zone_client *client, const uint8_t *nonce,
        const struct zl_cancel *cancel, struct zl_error *err)
{
	Zl__Zone__Hello hello = ZL__ZONE__HELLO__INIT;
	Zl__Zone__ToZone request = ZL__ZONE__TO_ZONE__INIT;
	struct call call = {.expected = ZL__ZONE__FROM_ZONE__BODY_HELLO};

	hello.protocol_min = ZL_PROTOCOL_VERSION;
	hello.protocol_max = ZL_PROTOCOL_VERSION;
	hello.nonce.data = (uint8_t *)(uintptr_t)nonce;
	hello.nonce.len = ZL_FRAME_NONCE_SIZE;
	hello.daemon_version = (char *)(uintptr_t)ZL_VERSION;
	request.body_case = ZL__ZONE__TO_ZONE__BODY_HELLO;
	request.hello = &hello;
	return zl_client_call(client, &request, &call, cancel, NULL, err);
}

struct zl_zone_client *zl_zone_client_open(struct zl_zone_loop *loop,
        struct zl_transport *transport, const struct zl_zone_callbacks *callbacks, void *user,
        const struct zl_cancel *cancel, struct zl_error *err)
{
	uint8_t nonce[ZL_FRAME_NONCE_SIZE];
	struct zl_zone_client *client = zl_client_new(transport, callbacks, user, err);

	if (client == NULL)
		return NULL;
	if (getrandom(nonce, sizeof(nonce), 0) != (ssize_t)sizeof(nonce)) {
		zl_error_errno(err, errno, "get random bytes");
		zl_client_free(client);
		return NULL;
	}
	zl_frame_parser_seek(&client->parser, nonce);
	if (zl_loop_task_add(loop, &client->task, transport->fd, client->events, err) < 0) {
		zl_client_free(client);
		return NULL;
	}
	if (callbacks->opening != NULL)
		callbacks->opening(user, client);
	if (say_hello(client, nonce, cancel, err) < 0) {
		if (callbacks->opening != NULL)
			callbacks->opening(user, NULL);
		zl_zone_client_close(client);
		zl_error_wrap(err, "the supervisor did not say hello");
		if (err != NULL && (err->code == ZL_DEADLINE_EXCEEDED || err->code == ZL_CANCELLED))
			err->code = ZL_UNAVAILABLE;
		return NULL;
	}
	return client;
}

void zl_zone_client_close(struct zl_zone_client *client)
{
	if (client == NULL)
		return;
	zl_loop_task_remove(&client->task);
	zl_client_free(client);
}

const struct zl_zone_hello *zl_zone_client_hello(const struct zl_zone_client *client)
{
	return &client->hello;
}
