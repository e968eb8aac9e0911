// SPDX-License-Identifier: Apache-2.0
#include "unit/zone/peer.h"

#include <check.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/file.h"

struct heard heard = {.lock = PTHREAD_MUTEX_INITIALIZER, .changed = PTHREAD_COND_INITIALIZER};
size_t appetite = SIZE_MAX;

static size_t on_output(void *user, const char *id, const char *exec_id, enum zl_zone_stream stream,
        uint64_t offset, const void *bytes, size_t length, bool eof)
{
	(void)user, (void)id, (void)exec_id, (void)stream, (void)offset, (void)bytes;
	pthread_mutex_lock(&heard.lock);
	if (length > appetite)
		length = appetite;
	else
		heard.eof = heard.eof || eof;
	heard.bytes += length;
	pthread_cond_broadcast(&heard.changed);
	pthread_mutex_unlock(&heard.lock);
	return length;
}

static void on_exited(void *user, const struct zl_zone_exit *gone)
{
	(void)user, (void)gone;
	pthread_mutex_lock(&heard.lock);
	heard.exits++;
	pthread_cond_broadcast(&heard.changed);
	pthread_mutex_unlock(&heard.lock);
}

static void on_closed(void *user, const struct zl_error *why)
{
	(void)user;
	pthread_mutex_lock(&heard.lock);
	heard.closed = true;
	heard.why = *why;
	pthread_cond_broadcast(&heard.changed);
	pthread_mutex_unlock(&heard.lock);
}

struct zl_zone_client *opening;

static void on_opening(void *user, struct zl_zone_client *client)
{
	(void)user;
	pthread_mutex_lock(&heard.lock);
	opening = client;
	pthread_cond_broadcast(&heard.changed);
	pthread_mutex_unlock(&heard.lock);
}

static const struct zl_zone_callbacks callbacks = {
        .output = on_output, .exited = on_exited, .closed = on_closed, .opening = on_opening};

// ---- the peer's means

void send_frame(struct peer *peer, const struct zl_frame *frame)
{
	zl_auto(buffer) struct zl_buffer out = ZL_BUFFER_INIT;

	(void)zl_frame_append(&out, frame, NULL);
	(void)zl_file_write_all(peer->fd, out.data, out.length, NULL);
}

void send_message(struct peer *peer, Zl__Zone__FromZone *message)
{
	zl_auto(buffer) struct zl_buffer out = ZL_BUFFER_INIT;

	(void)zl_zone_message_append(&out, &message->base, NULL);
	(void)zl_file_write_all(peer->fd, out.data, out.length, NULL);
}

// The next request, NULL when the client is gone. Other frames are skipped.
Zl__Zone__ToZone *next_request(struct peer *peer)
{
	for (;;) {
		void *message = NULL;
		struct zl_frame frame;
		ssize_t got;

		if (zl_frame_parse(&peer->parser, &peer->at, &peer->left, &frame, NULL) == 1) {
			if (frame.kind == ZL_FRAME_CONTROL)
				(void)zl_zone_message_take(&peer->reader, &frame, &message, NULL);
			if (message != NULL)
				return message;
			continue;
		}
		got = read(peer->fd, peer->input, sizeof(peer->input));
		if (got <= 0)
			return NULL;
		peer->at = peer->input;
		peer->left = (size_t)got;
	}
}

void send_sync(struct peer *peer, const Zl__Zone__ToZone *hello)
{
	struct zl_frame sync = {.kind = ZL_FRAME_SYNC,
	        .bytes = hello->hello->nonce.data,
	        .length = hello->hello->nonce.len};

	send_frame(peer, &sync);
}

void send_hello(struct peer *peer, uint64_t request, uint32_t protocol)
{
	Zl__Zone__HelloReply hello = ZL__ZONE__HELLO_REPLY__INIT;
	Zl__Zone__FromZone message = ZL__ZONE__FROM_ZONE__INIT;

	hello.protocol = protocol;
	hello.supervisor_version = (char *)(uintptr_t)"test";
	message.request_id = request;
	message.body_case = ZL__ZONE__FROM_ZONE__BODY_HELLO;
	message.hello = &hello;
	send_message(peer, &message);
}

void greet(struct peer *peer)
{
	Zl__Zone__ToZone *hello = next_request(peer);

	if (hello == NULL)
		return;
	send_sync(peer, hello);
	send_hello(peer, hello->request_id, ZL_PROTOCOL_VERSION);
	zl_zone_message_free(hello);
}

// Answers the create request: streams 1 (stdin), 2 and 3.
void open_container(struct peer *peer)
{
	Zl__Zone__ToZone *request = next_request(peer);
	Zl__Zone__Stream streams[3];
	Zl__Zone__Opened opened = ZL__ZONE__OPENED__INIT;
	Zl__Zone__FromZone message = ZL__ZONE__FROM_ZONE__INIT;

	if (request == NULL)
		return;
	for (uint32_t i = 0; i < 3; i++) {
		zl__zone__stream__init(&streams[i]);
		streams[i].id = i + 1;
	}
	opened.stdin_stream = &streams[0];
	opened.stdout_stream = &streams[1];
	opened.stderr_stream = &streams[2];
	message.request_id = request->request_id;
	message.body_case = ZL__ZONE__FROM_ZONE__BODY_OPENED;
	message.opened = &opened;
	send_message(peer, &message);
	zl_zone_message_free(request);
}

void send_exited(struct peer *peer, const char *id, int32_t code)
{
	Zl__Zone__Exited exited = ZL__ZONE__EXITED__INIT;
	Zl__Zone__FromZone message = ZL__ZONE__FROM_ZONE__INIT;

	exited.container_id = (char *)(uintptr_t)id;
	exited.exit_code = code;
	message.body_case = ZL__ZONE__FROM_ZONE__BODY_EXITED;
	message.exited = &exited;
	send_message(peer, &message);
}

// Until the client is gone.
void linger(struct peer *peer)
{
	Zl__Zone__ToZone *request;

	while ((request = next_request(peer)) != NULL)
		zl_zone_message_free(request);
}

static void *peer_main(void *data)
{
	struct peer *peer = data;

	peer->reader.type = &zl__zone__to_zone__descriptor;
	peer->reader.partial.limit = ZL_ZONE_MESSAGE_TO_ZONE_MAX;
	peer->part(peer);
	zl_frame_parser_release(&peer->parser);
	zl_zone_message_reader_release(&peer->reader);
	peer->fd = zl_close(peer->fd);
	return NULL;
}

// ---- the stage

void raise_curtain(
        struct stage *stage, void (*part)(struct peer *peer), const struct zl_cancel *cancel)
{
	int ends[2];

	memset(stage, 0, sizeof(*stage));
	ck_assert_int_eq(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends), 0);
	stage->peer.fd = ends[1];
	stage->peer.part = part;
	ck_assert_int_eq(pthread_create(&stage->thread, NULL, peer_main, &stage->peer), 0);
	stage->loop = zl_zone_loop_start(&stage->err);
	ck_assert_ptr_nonnull(stage->loop);
	stage->client = zl_zone_client_open(
	        stage->loop, zl_socket_wrap(ends[0], NULL), &callbacks, NULL, cancel, &stage->err);
}

void drop_curtain(struct stage *stage)
{
	zl_zone_client_close(stage->client);
	pthread_join(stage->thread, NULL);
	zl_zone_loop_stop(stage->loop);
}

int create(struct stage *stage)
{
	const char *files[] = {"/x", NULL};
	struct zl_zone_container container = {
	        .id = ID, .rootfs = {.image_files = files}, .oci_spec = "{}", .user = ""};

	return zl_zone_container_create(stage->client, &container, NULL, NULL, &stage->err);
}

void wait_closed(void)
{
	pthread_mutex_lock(&heard.lock);
	while (!heard.closed)
		pthread_cond_wait(&heard.changed, &heard.lock);
	pthread_mutex_unlock(&heard.lock);
}
