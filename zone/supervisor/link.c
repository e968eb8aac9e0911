// SPDX-License-Identifier: Apache-2.0
#include "zone/supervisor/link.h"
#include "zone/protocol/enclosing.h"

#include <errno.h>
#include <stddef.h>
#include <sys/epoll.h>
#include <sys/socket.h>

#include "base/clock.h"
#include "base/log.h"

enum { READ_CHUNK = 64 * 1024, QUEUE_ENOUGH = 128 * 1024 };

#ifndef ZL_VERSION
#define ZL_VERSION "0.1.0"
#endif

static void forget_session(struct zl_link *link)
{
	link->established = false;
	link->flowing = false;
	link->out.length = 0;
	link->out_done = 0;
	zl_buffer_release(&link->reader.partial);
}

static void drop_transport(struct zl_link *link)
{
	forget_session(link);
	zl_frame_parser_reset(&link->parser);
	if (link->transport == NULL)
		return;
	(void)zl_source_watch(link->reactor, &link->source, 0, NULL);
	link->source = (struct zl_source){.fd = -1};
	zl_transport_close(zl_take(link->transport));
}

// The daemon broke the protocol, or went. A vchan is made anew, which the old client sees.
static void end_session(struct zl_link *link, const struct zl_error *why)
{
	struct zl_error err = ZL_ERROR_INIT;

	if (why->code != ZL_UNAVAILABLE)
		zl_log_error("channel: %s", why->message);
	drop_transport(link);
	if (link->vchan && zl_link_serve_vchan(link, &err) < 0)
		zl_log_error("%s", err.message);
}

// ---- sending

bool zl_link_room(const struct zl_link *link)
{
	return link->out.length - link->out_done < QUEUE_ENOUGH;
}

bool zl_link_idle(const struct zl_link *link)
{
	return link->transport == NULL || !link->established || link->out.length == 0;
}

void zl_link_send(struct zl_link *link, const struct zl_frame *frame)
{
	struct zl_error err = ZL_ERROR_INIT;

	if (zl_frame_append(&link->out, frame, &err) < 0)
		end_session(link, &err);
}

static void send_message(struct zl_link *link, Zl__Zone__FromZone *message)
{
	struct zl_error err = ZL_ERROR_INIT;

	if (zl_zone_message_append(&link->out, &message->base, &err) < 0)
		end_session(link, &err);
}

void zl_link_reply(struct zl_link *link, struct zl_reply reply, Zl__Zone__FromZone *message)
{
	message->request_id = reply.request;
	if (link->established && reply.session == link->session)
		send_message(link, message);
}

void zl_link_event(struct zl_link *link, Zl__Zone__FromZone *message)
{
	message->request_id = 0;
	if (link->established)
		send_message(link, message);
}

void zl_link_reply_done(struct zl_link *link, struct zl_reply reply)
{
	Zl__Zone__Done done = ZL__ZONE__DONE__INIT;
	Zl__Zone__FromZone message = ZL__ZONE__FROM_ZONE__INIT;

	message.body_case = ZL__ZONE__FROM_ZONE__BODY_DONE;
	message.done = &done;
	zl_link_reply(link, reply, &message);
}

void zl_link_reply_failure(
        struct zl_link *link, struct zl_reply reply, const struct zl_error *failure)
{
	Zl__Zone__Failure body = ZL__ZONE__FAILURE__INIT;
	Zl__Zone__FromZone message = ZL__ZONE__FROM_ZONE__INIT;

	body.code = failure->code;
	body.message = (char *)(uintptr_t)failure->message;
	message.body_case = ZL__ZONE__FROM_ZONE__BODY_FAILURE;
	message.failure = &body;
	zl_link_reply(link, reply, &message);
}

static int write_queue(struct zl_link *link, struct zl_error *err)
{
	while (link->out_done < link->out.length) {
		ssize_t done = link->transport->ops->write(link->transport,
		        link->out.data + link->out_done, link->out.length - link->out_done, err);

		if (done < 0)
			return -1;
		if (done == 0)
			return 0;
		link->out_done += (size_t)done;
	}
	link->out.length = 0;
	link->out_done = 0;
	return 0;
}

void zl_link_flush(struct zl_link *link)
{
	struct zl_error err = ZL_ERROR_INIT;
	uint32_t events;

	if (link->transport == NULL)
		return;
	do {
		if (link->established)
			link->handlers->fill(link->user);
		if (link->transport == NULL || link->out.length == 0)
			break;
		if (write_queue(link, &err) < 0) {
			end_session(link, &err);
			return;
		}
	} while (link->out.length == 0);
	if (link->transport == NULL)
		return;
	events = link->transport->ops->events(link->transport, link->out.length > 0);
	if (zl_source_watch(link->reactor, &link->source, events, &err) < 0)
		end_session(link, &err);
}

// ---- receiving

static int check_hello(const Zl__Zone__Hello *hello, struct zl_error *err)
{
	if (hello->nonce.len != ZL_FRAME_NONCE_SIZE)
		return zl_error_set(err, ZL_DATA_LOSS,
		        "the daemon's hello has a nonce of %zu bytes", hello->nonce.len);
	return 0;
}

static int answer_hello(struct zl_link *link, uint64_t request, struct zl_error *err)
{
	Zl__Zone__HelloReply hello = ZL__ZONE__HELLO_REPLY__INIT;
	Zl__Zone__FromZone message = ZL__ZONE__FROM_ZONE__INIT;
	int result;

	hello.protocol = ZL_PROTOCOL_VERSION;
	hello.supervisor_version = (char *)(uintptr_t)ZL_VERSION;
	hello.boot_ns = zl_clock_monotonic();
	message.request_id = request;
	message.body_case = ZL__ZONE__FROM_ZONE__BODY_HELLO;
	message.hello = &hello;
	if (link->handlers->hello(link->user, &hello, err) < 0)
		return -1;
	result = zl_zone_message_append(&link->out, &message.base, err);
	link->handlers->hello_done(link->user, &hello);
	return result;
}

static int refuse_version(struct zl_link *link, const Zl__Zone__Hello *hello, uint64_t request)
{
	struct zl_error failure = ZL_ERROR_INIT;

	zl_error_set(&failure, ZL_FAILED_PRECONDITION,
	        "the daemon speaks protocols %u to %u, this supervisor %d: use the zone root image "
	        "of the daemon's release",
	        hello->protocol_min, hello->protocol_max, ZL_PROTOCOL_VERSION);
	zl_link_reply_failure(link, (struct zl_reply){request, link->session}, &failure);
	return 0;
}

// A new session: see frame.h, Sessions.
static int take_hello(
        struct zl_link *link, uint64_t request, const Zl__Zone__Hello *hello, struct zl_error *err)
{
	struct zl_frame sync = {.kind = ZL_FRAME_SYNC};

	if (check_hello(hello, err) < 0)
		return -1;
	forget_session(link);
	link->session++;
	link->established = true;
	sync.bytes = hello->nonce.data;
	sync.length = ZL_FRAME_NONCE_SIZE;
	if (zl_frame_append(&link->out, &sync, err) < 0)
		return -1;
	if (hello->protocol_min > ZL_PROTOCOL_VERSION || hello->protocol_max < ZL_PROTOCOL_VERSION)
		return refuse_version(link, hello, request);
	return answer_hello(link, request, err);
}

static int take_message(struct zl_link *link, Zl__Zone__ToZone *message, struct zl_error *err)
{
	struct zl_reply reply = {message->request_id, link->session};
	int result = 0;

	if (message->body_case == ZL__ZONE__TO_ZONE__BODY_HELLO) {
		result = take_hello(link, message->request_id, message->hello, err);
		zl_zone_message_free(message);
	} else if (!link->established) {
		zl_zone_message_free(message); // a rest of a session that is over
	} else if (message->body_case == ZL__ZONE__TO_ZONE__BODY_RESUME) {
		link->flowing = true;
		zl_link_reply_done(link, reply);
		zl_zone_message_free(message);
	} else {
		link->handlers->request(link->user, reply, message);
	}
	return result;
}

static int take_frame(struct zl_link *link, const struct zl_frame *frame, struct zl_error *err)
{
	void *message = NULL;

	if (frame->kind != ZL_FRAME_CONTROL) {
		if (!link->established)
			return 0;
		return link->handlers->frame(link->user, frame, err);
	}
	if (zl_zone_message_take(&link->reader, frame, &message, err) < 0)
		return -1;
	return message == NULL ? 0 : take_message(link, message, err);
}

static int take_bytes(
        struct zl_link *link, const uint8_t *bytes, size_t length, struct zl_error *err)
{
	struct zl_frame frame;
	int found;

	while ((found = zl_frame_parse(&link->parser, &bytes, &length, &frame, err)) == 1) {
		if (take_frame(link, &frame, err) < 0)
			return -1;
	}
	return found;
}

static int read_all(struct zl_link *link, struct zl_error *err)
{
	uint8_t chunk[READ_CHUNK];

	while (link->transport != NULL) {
		ssize_t got =
		        link->transport->ops->read(link->transport, chunk, sizeof(chunk), err);

		if (got <= 0)
			return (int)got;
		if (take_bytes(link, chunk, (size_t)got, err) < 0)
			return -1;
	}
	return 0;
}

static void transport_ready(struct zl_source *source, uint32_t events)
{
	struct zl_link *link = ZL_ENCLOSING(source, struct zl_link, source);
	struct zl_error err = ZL_ERROR_INIT;

	(void)events;
	if (link->transport->ops->acknowledge(link->transport, &err) < 0 ||
	        read_all(link, &err) < 0)
		end_session(link, &err);
	else if (link->vchan && link->transport != NULL && !zl_vchan_connected(link->transport))
		forget_session(link);
}

// ---- connections

static int use_transport(struct zl_link *link, struct zl_transport *transport, struct zl_error *err)
{
	drop_transport(link);
	link->transport = transport;
	link->source = (struct zl_source){.fd = transport->fd, .ready = transport_ready};
	return zl_source_watch(
	        link->reactor, &link->source, transport->ops->events(transport, false), err);
}

int zl_link_accept(struct zl_link *link, int fd, struct zl_error *err)
{
	struct zl_transport *transport = zl_socket_wrap(fd, err);

	return transport != NULL ? use_transport(link, transport, err) : -1;
}

static void listener_ready(struct zl_source *source, uint32_t events)
{
	struct zl_link *link = ZL_ENCLOSING(source, struct zl_link, listener);
	struct zl_error err = ZL_ERROR_INIT;
	int fd = accept4(source->fd, NULL, NULL, SOCK_CLOEXEC);

	(void)events;
	if (fd >= 0 && zl_link_accept(link, fd, &err) < 0)
		zl_log_error("accept a daemon: %s", err.message);
}

int zl_link_listen(struct zl_link *link, int fd, struct zl_error *err)
{
	link->listener = (struct zl_source){.fd = fd, .ready = listener_ready};
	return zl_source_watch(link->reactor, &link->listener, EPOLLIN, err);
}

int zl_link_serve_vchan(struct zl_link *link, struct zl_error *err)
{
	struct zl_transport *transport = zl_vchan_serve(err);

	link->vchan = true;
	return transport != NULL ? use_transport(link, transport, err) : -1;
}

void zl_link_init(struct zl_link *link, struct zl_reactor *reactor,
        const struct zl_link_handlers *handlers, void *user)
{
	*link = (struct zl_link){
	        .reactor = reactor,
	        .handlers = handlers,
	        .user = user,
	        .listener = {.fd = -1},
	        .source = {.fd = -1},
	};
	link->reader.type = &zl__zone__to_zone__descriptor;
	link->reader.partial.limit = ZL_ZONE_MESSAGE_TO_ZONE_MAX;
}

void zl_link_release(struct zl_link *link)
{
	drop_transport(link);
	zl_source_close(link->reactor, &link->listener);
	zl_frame_parser_release(&link->parser);
	zl_zone_message_reader_release(&link->reader);
	zl_buffer_release(&link->out);
}
