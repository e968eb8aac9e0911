// SPDX-License-Identifier: Apache-2.0
//
// The client against supervisors that lie. Each plays its part on a thread, over a socket pair.
#include <check.h>
#include <pthread.h>
#include <semaphore.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/file.h"
#include "unit/zone/tests.h"
#include "zone.pb-c.h"
#include "zone/channel/transport.h"
#include "zone/client/client.h"
#include "zone/client/stats.h"
#include "zone/protocol/message.h"
#include "zone/protocol/stream.h"

#define ID "00000000000000000000000000000000000000000000000000000000000000aa"

struct peer {
	int fd;
	void (*part)(struct peer *peer);
	struct zl_frame_parser parser;
	struct zl_zone_message_reader reader;
	uint8_t input[65536];
	const uint8_t *at;
	size_t left;
};

struct heard {
	pthread_mutex_t lock;
	pthread_cond_t changed;
	bool closed;
	struct zl_error why;
	size_t bytes;
	bool eof;
	unsigned exits;
};

static struct heard heard = {
        .lock = PTHREAD_MUTEX_INITIALIZER, .changed = PTHREAD_COND_INITIALIZER};
static size_t appetite = SIZE_MAX;

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

static struct zl_zone_client *opening;

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

static void send_frame(struct peer *peer, const struct zl_frame *frame)
{
	zl_auto(buffer) struct zl_buffer out = ZL_BUFFER_INIT;

	(void)zl_frame_append(&out, frame, NULL);
	(void)zl_file_write_all(peer->fd, out.data, out.length, NULL);
}

static void send_message(struct peer *peer, Zl__Zone__FromZone *message)
{
	zl_auto(buffer) struct zl_buffer out = ZL_BUFFER_INIT;

	(void)zl_zone_message_append(&out, &message->base, NULL);
	(void)zl_file_write_all(peer->fd, out.data, out.length, NULL);
}

// The next request, NULL when the client is gone. Other frames are skipped.
static Zl__Zone__ToZone *next_request(struct peer *peer)
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

static void send_sync(struct peer *peer, const Zl__Zone__ToZone *hello)
{
	struct zl_frame sync = {.kind = ZL_FRAME_SYNC,
	        .bytes = hello->hello->nonce.data,
	        .length = hello->hello->nonce.len};

	send_frame(peer, &sync);
}

static void send_hello(struct peer *peer, uint64_t request, uint32_t protocol)
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

static void greet(struct peer *peer)
{
	Zl__Zone__ToZone *hello = next_request(peer);

	if (hello == NULL)
		return;
	send_sync(peer, hello);
	send_hello(peer, hello->request_id, ZL_PROTOCOL_VERSION);
	zl_zone_message_free(hello);
}

// Answers the create request: streams 1 (stdin), 2 and 3.
static void open_container(struct peer *peer)
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

static void send_exited(struct peer *peer, const char *id, int32_t code)
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
static void linger(struct peer *peer)
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

struct stage {
	struct peer peer;
	pthread_t thread;
	struct zl_zone_loop *loop;
	struct zl_zone_client *client;
	struct zl_error err;
};

static void raise_curtain(
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

static void drop_curtain(struct stage *stage)
{
	zl_zone_client_close(stage->client);
	pthread_join(stage->thread, NULL);
	zl_zone_loop_stop(stage->loop);
}

static int create(struct stage *stage)
{
	const char *files[] = {"/x", NULL};
	struct zl_zone_container container = {
	        .id = ID, .rootfs = {.image_files = files}, .oci_spec = "{}", .user = ""};

	return zl_zone_container_create(stage->client, &container, NULL, NULL, &stage->err);
}

static void wait_closed(void)
{
	pthread_mutex_lock(&heard.lock);
	while (!heard.closed)
		pthread_cond_wait(&heard.changed, &heard.lock);
	pthread_mutex_unlock(&heard.lock);
}

// ---- hello

static void part_gone(struct peer *peer)
{
	(void)peer;
}

static void part_silent(struct peer *peer)
{
	linger(peer);
}

static void part_other_version(struct peer *peer)
{
	Zl__Zone__ToZone *hello = next_request(peer);

	send_sync(peer, hello);
	send_hello(peer, hello->request_id, ZL_PROTOCOL_VERSION + 1);
	zl_zone_message_free(hello);
	linger(peer);
}

// The rest of an old session comes first.
static void part_stale(struct peer *peer)
{
	uint8_t rubbish[5000];

	for (size_t i = 0; i < sizeof(rubbish); i++)
		rubbish[i] = (uint8_t)(i * 7);
	(void)zl_file_write_all(peer->fd, rubbish, sizeof(rubbish), NULL);
	send_exited(peer, ID, 0);
	greet(peer);
	linger(peer);
}

START_TEST(hello_gone)
{
	struct stage stage;

	raise_curtain(&stage, part_gone, NULL);
	ck_assert_ptr_null(stage.client);
	ck_assert_int_eq(stage.err.code, ZL_UNAVAILABLE);
	drop_curtain(&stage);
	ck_assert(!heard.closed);
}
END_TEST

START_TEST(hello_never_comes)
{
	struct zl_cancel limit = ZL_CANCEL_INIT;
	struct stage stage;

	limit.deadline_ns = zl_clock_monotonic() + 50 * ZL_NS_PER_MS;
	raise_curtain(&stage, part_silent, &limit);
	ck_assert_ptr_null(stage.client);
	ck_assert_int_eq(stage.err.code, ZL_UNAVAILABLE);
	drop_curtain(&stage);
}
END_TEST

START_TEST(hello_of_another_version)
{
	struct stage stage;

	raise_curtain(&stage, part_other_version, NULL);
	ck_assert_ptr_null(stage.client);
	ck_assert_int_eq(stage.err.code, ZL_FAILED_PRECONDITION);
	drop_curtain(&stage);
}
END_TEST

START_TEST(hello_after_a_stale_session)
{
	struct stage stage;

	raise_curtain(&stage, part_stale, NULL);
	ck_assert_msg(stage.client != NULL, "%s", stage.err.message);
	ck_assert_str_eq(zl_zone_client_hello(stage.client)->supervisor_version, "test");
	drop_curtain(&stage);
	ck_assert_uint_eq(heard.exits, 0);
}
END_TEST

// ---- lies

static void lie_unknown_stream(struct peer *peer)
{
	struct zl_frame frame = {
	        .kind = ZL_FRAME_DATA, .stream = 99, .bytes = (const uint8_t *)"x", .length = 1};

	send_frame(peer, &frame);
}

static void lie_data_on_stdin(struct peer *peer)
{
	struct zl_frame frame = {
	        .kind = ZL_FRAME_DATA, .stream = 1, .bytes = (const uint8_t *)"x", .length = 1};

	send_frame(peer, &frame);
}

static void lie_gap(struct peer *peer)
{
	struct zl_frame frame = {.kind = ZL_FRAME_DATA,
	        .stream = 2,
	        .offset = 1,
	        .bytes = (const uint8_t *)"x",
	        .length = 1};

	send_frame(peer, &frame);
}

static void lie_past_the_window(struct peer *peer)
{
	static const uint8_t bytes[ZL_FRAME_DATA_MAX];
	struct zl_frame frame = {
	        .kind = ZL_FRAME_DATA, .stream = 3, .bytes = bytes, .length = sizeof(bytes)};

	for (int i = 0; i < 3; i++) {
		send_frame(peer, &frame);
		frame.offset += frame.length;
	}
}

static void lie_ack(struct peer *peer)
{
	struct zl_frame frame = {.kind = ZL_FRAME_ACK, .stream = 1, .offset = 1};

	send_frame(peer, &frame);
}

static void lie_sync(struct peer *peer)
{
	static const uint8_t nonce[ZL_FRAME_NONCE_SIZE];
	struct zl_frame frame = {.kind = ZL_FRAME_SYNC, .bytes = nonce, .length = sizeof(nonce)};

	send_frame(peer, &frame);
}

static void lie_unknown_exit(struct peer *peer)
{
	send_exited(peer, "nobody", 0);
}

static void lie_exit_code(struct peer *peer)
{
	send_exited(peer, ID, 256);
}

static void lie_two_exits(struct peer *peer)
{
	send_exited(peer, ID, 0);
	send_exited(peer, ID, 0);
}

static void lie_unasked_reply(struct peer *peer)
{
	Zl__Zone__Done done = ZL__ZONE__DONE__INIT;
	Zl__Zone__FromZone message = ZL__ZONE__FROM_ZONE__INIT;

	message.request_id = 1000;
	message.body_case = ZL__ZONE__FROM_ZONE__BODY_DONE;
	message.done = &done;
	send_message(peer, &message);
}

static void lie_second_hello(struct peer *peer)
{
	send_hello(peer, 1, ZL_PROTOCOL_VERSION);
}

static void lie_opened_again(struct peer *peer)
{
	Zl__Zone__Opened opened = ZL__ZONE__OPENED__INIT;
	Zl__Zone__FromZone message = ZL__ZONE__FROM_ZONE__INIT;

	message.request_id = 2;
	message.body_case = ZL__ZONE__FROM_ZONE__BODY_OPENED;
	message.opened = &opened;
	send_message(peer, &message);
}

static void lie_empty_event(struct peer *peer)
{
	Zl__Zone__FromZone message = ZL__ZONE__FROM_ZONE__INIT;

	send_message(peer, &message);
}

static void lie_rubbish(struct peer *peer)
{
	(void)zl_file_write_all(peer->fd, "GET / HTTP/1.1\r\n\r\n", 18, NULL);
}

static void lie_rubbish_message(struct peer *peer)
{
	struct zl_frame frame = {
	        .kind = ZL_FRAME_CONTROL, .bytes = (const uint8_t *)"\xff\xff", .length = 2};

	send_frame(peer, &frame);
}

static void lie_endless_message(struct peer *peer)
{
	static const uint8_t bytes[ZL_FRAME_PAYLOAD_MAX];
	struct zl_frame frame = {
	        .kind = ZL_FRAME_CONTROL, .more = true, .bytes = bytes, .length = sizeof(bytes)};

	for (int i = 0; i < ZL_ZONE_MESSAGE_FROM_ZONE_MAX / ZL_FRAME_PAYLOAD_MAX + 1; i++)
		send_frame(peer, &frame);
}

static void (*const lies[])(struct peer *peer) = {
        lie_unknown_stream,
        lie_data_on_stdin,
        lie_gap,
        lie_past_the_window,
        lie_ack,
        lie_sync,
        lie_unknown_exit,
        lie_exit_code,
        lie_two_exits,
        lie_unasked_reply,
        lie_second_hello,
        lie_opened_again,
        lie_empty_event,
        lie_rubbish,
        lie_rubbish_message,
        lie_endless_message,
};

static int chosen;

static void part_liar(struct peer *peer)
{
	(void)signal(SIGPIPE, SIG_IGN);
	greet(peer);
	open_container(peer);
	lies[chosen](peer);
	linger(peer);
}

START_TEST(lie_ends_the_channel)
{
	struct stage stage;

	(void)signal(SIGPIPE, SIG_IGN);
	chosen = _i;
	appetite = 0; // nothing of what comes is consumed
	raise_curtain(&stage, part_liar, NULL);
	ck_assert_ptr_nonnull(stage.client);
	(void)create(&stage);
	wait_closed();
	ck_assert_msg(heard.why.code == ZL_DATA_LOSS, "lie %d: %s", _i, heard.why.message);
	// Calls after that fail as the channel did.
	ck_assert_int_lt(zl_zone_container_signal(stage.client, ID, 9, false, NULL, &stage.err), 0);
	ck_assert_int_eq(stage.err.code, ZL_DATA_LOSS);
	ck_assert_int_lt(zl_zone_stdin_write(stage.client, ID, NULL, "x", 1, NULL, &stage.err), 0);
	drop_curtain(&stage);
}
END_TEST

// ---- a reply of the wrong kind, and none at all

static void part_wrong_reply(struct peer *peer)
{
	Zl__Zone__ToZone *request;
	Zl__Zone__Done done = ZL__ZONE__DONE__INIT;
	Zl__Zone__FromZone message = ZL__ZONE__FROM_ZONE__INIT;

	greet(peer);
	request = next_request(peer);
	message.request_id = request->request_id;
	message.body_case = ZL__ZONE__FROM_ZONE__BODY_DONE;
	message.done = &done;
	send_message(peer, &message);
	zl_zone_message_free(request);
	linger(peer);
}

START_TEST(wrong_reply)
{
	struct stage stage;

	raise_curtain(&stage, part_wrong_reply, NULL);
	ck_assert_int_lt(create(&stage), 0);
	ck_assert_int_eq(stage.err.code, ZL_DATA_LOSS);
	wait_closed();
	drop_curtain(&stage);
}
END_TEST

static void part_dies_in_call(struct peer *peer)
{
	Zl__Zone__ToZone *request;

	greet(peer);
	request = next_request(peer);
	zl_zone_message_free(request);
}

START_TEST(death_in_a_call)
{
	struct stage stage;

	raise_curtain(&stage, part_dies_in_call, NULL);
	ck_assert_int_lt(create(&stage), 0);
	ck_assert_int_eq(stage.err.code, ZL_UNAVAILABLE);
	wait_closed();
	drop_curtain(&stage);
}
END_TEST

// ---- a usage that cannot be

static Zl__Zone__Psi bad_psi;
static Zl__Zone__Pressure bad_pressure;
static Zl__Zone__Usage good_usage;
static Zl__Zone__ContainerStats stats_container;
static Zl__Zone__InterfaceStats stats_interface;

static void usage_without_pod(Zl__Zone__Stats *stats)
{
	stats->pod = NULL;
}

static void usage_bad_id(Zl__Zone__Stats *stats)
{
	(void)stats;
	stats_container.id = (char *)(uintptr_t)"../etc";
}

static void usage_missing(Zl__Zone__Stats *stats)
{
	(void)stats;
	stats_container.usage = NULL;
}

static void usage_long_interface(Zl__Zone__Stats *stats)
{
	(void)stats;
	stats_interface.name = (char *)(uintptr_t)"sixteencharacter";
}

static void usage_bad_pressure(Zl__Zone__Stats *stats)
{
	(void)stats;
	zl__zone__pressure__init(&bad_pressure);
	zl__zone__psi__init(&bad_psi);
	bad_psi.avg10 = 10001;
	bad_pressure.some = &bad_psi;
	good_usage.cpu_pressure = &bad_pressure;
}

static void usage_good(Zl__Zone__Stats *stats)
{
	(void)stats;
}

static void (*const spoil[])(Zl__Zone__Stats *stats) = {usage_good, usage_without_pod, usage_bad_id,
        usage_missing, usage_long_interface, usage_bad_pressure};

static void part_usage(struct peer *peer)
{
	Zl__Zone__ContainerStats *containers[] = {&stats_container};
	Zl__Zone__InterfaceStats *interfaces[] = {&stats_interface};
	Zl__Zone__Stats stats = ZL__ZONE__STATS__INIT;
	Zl__Zone__FromZone message = ZL__ZONE__FROM_ZONE__INIT;
	Zl__Zone__ToZone *request;

	greet(peer);
	request = next_request(peer);
	zl__zone__usage__init(&good_usage);
	zl__zone__container_stats__init(&stats_container);
	zl__zone__interface_stats__init(&stats_interface);
	stats_container.id = (char *)(uintptr_t)ID;
	stats_container.usage = &good_usage;
	stats_interface.name = (char *)(uintptr_t)"eth0";
	stats.pod = &good_usage;
	stats.n_containers = 1;
	stats.containers = containers;
	stats.n_interfaces = 1;
	stats.interfaces = interfaces;
	spoil[chosen](&stats);
	message.request_id = request->request_id;
	message.body_case = ZL__ZONE__FROM_ZONE__BODY_STATS;
	message.stats = &stats;
	send_message(peer, &message);
	zl_zone_message_free(request);
	linger(peer);
}

START_TEST(usage_is_checked)
{
	const Zl__Zone__Stats *stats = NULL;
	struct zl_zone_question *question = NULL;
	struct stage stage;

	chosen = _i;
	raise_curtain(&stage, part_usage, NULL);
	ck_assert_int_eq(zl_zone_stats_ask(stage.client, "", false, &question, &stage.err), 0);
	if (_i == 0) {
		ck_assert_int_eq(zl_zone_stats_wait(question, NULL, &stats, &stage.err), 0);
		ck_assert_str_eq(stats->interfaces[0]->name, "eth0");
	} else {
		ck_assert_int_lt(zl_zone_stats_wait(question, NULL, &stats, &stage.err), 0);
		ck_assert_int_eq(stage.err.code, ZL_DATA_LOSS);
	}
	zl_zone_stats_free(stats);
	drop_curtain(&stage);
}
END_TEST

// ---- a zone that is known to be gone, though its channel says nothing

static const struct zl_error gone = {.code = ZL_UNAVAILABLE, .message = "the domain crashed"};

struct caller {
	struct stage *stage;
	pthread_t thread;
	struct zl_error err;
	int result;
};

static void *caller_main(void *data)
{
	struct caller *caller = data;

	caller->result =
	        zl_zone_container_signal(caller->stage->client, ID, 9, false, NULL, &caller->err);
	return NULL;
}

enum { CALLERS = 4 };
static sem_t asked;

// Takes all requests and answers none.
static void part_mute(struct peer *peer)
{
	Zl__Zone__ToZone *request;

	greet(peer);
	while ((request = next_request(peer)) != NULL) {
		zl_zone_message_free(request);
		(void)sem_post(&asked);
	}
}

START_TEST(abort_fails_all_calls)
{
	struct caller callers[CALLERS];
	struct stage stage;

	(void)sem_init(&asked, 0, 0);
	raise_curtain(&stage, part_mute, NULL);
	ck_assert_ptr_nonnull(stage.client);
	for (int i = 0; i < CALLERS; i++) {
		callers[i] = (struct caller){.stage = &stage, .result = 1};
		ck_assert_int_eq(
		        pthread_create(&callers[i].thread, NULL, caller_main, &callers[i]), 0);
	}
	for (int i = 0; i < CALLERS; i++)
		(void)sem_wait(&asked);
	zl_zone_client_abort(stage.client, &gone);
	for (int i = 0; i < CALLERS; i++) {
		pthread_join(callers[i].thread, NULL);
		ck_assert_int_eq(callers[i].result, -1);
		ck_assert_int_eq(callers[i].err.code, ZL_UNAVAILABLE);
		ck_assert_str_eq(callers[i].err.message, gone.message);
	}
	// Later calls fail the same, and the first reason stays.
	zl_zone_client_abort(stage.client, &(struct zl_error){.code = ZL_INTERNAL});
	ck_assert_int_lt(create(&stage), 0);
	ck_assert_str_eq(stage.err.message, gone.message);
	wait_closed();
	ck_assert_str_eq(heard.why.message, gone.message);
	drop_curtain(&stage);
}
END_TEST

static void part_silent_opening(struct peer *peer)
{
	pthread_mutex_lock(&heard.lock);
	while (opening == NULL)
		pthread_cond_wait(&heard.changed, &heard.lock);
	zl_zone_client_abort(opening, &gone);
	pthread_mutex_unlock(&heard.lock);
	linger(peer);
}

START_TEST(abort_ends_the_wait_for_a_hello)
{
	struct stage stage;

	opening = NULL;
	raise_curtain(&stage, part_silent_opening, NULL);
	ck_assert_ptr_null(stage.client);
	ck_assert_int_eq(stage.err.code, ZL_UNAVAILABLE);
	ck_assert_ptr_nonnull(strstr(stage.err.message, gone.message));
	ck_assert_ptr_null(opening);
	ck_assert(!heard.closed);
	drop_curtain(&stage);
}
END_TEST

// What a zone printed before it died is not lost.
static void part_last_words(struct peer *peer)
{
	struct zl_frame frame = {
	        .kind = ZL_FRAME_DATA, .stream = 2, .bytes = (const uint8_t *)"last", .length = 4};

	greet(peer);
	open_container(peer);
	send_frame(peer, &frame);
	(void)sem_post(&asked);
	linger(peer);
}

START_TEST(abort_delivers_last_words)
{
	struct stage stage;

	(void)sem_init(&asked, 0, 0);
	raise_curtain(&stage, part_last_words, NULL);
	ck_assert_int_eq(create(&stage), 0);
	(void)sem_wait(&asked);
	zl_zone_client_abort(stage.client, &gone);
	wait_closed();
	ck_assert_uint_eq(heard.bytes, 4);
	drop_curtain(&stage);
}
END_TEST

// ---- consumption

static void part_talker(struct peer *peer)
{
	struct zl_frame frame = {
	        .kind = ZL_FRAME_DATA, .stream = 2, .bytes = (const uint8_t *)"hello", .length = 5};

	greet(peer);
	open_container(peer);
	send_frame(peer, &frame);
	frame.offset = 5;
	send_frame(peer, &frame);
	frame = (struct zl_frame){.kind = ZL_FRAME_END, .stream = 2, .offset = 10};
	send_frame(peer, &frame);
	linger(peer);
}

static void wait_bytes(size_t bytes)
{
	pthread_mutex_lock(&heard.lock);
	while (heard.bytes < bytes)
		pthread_cond_wait(&heard.changed, &heard.lock);
	ck_assert_uint_eq(heard.bytes, bytes);
	pthread_mutex_unlock(&heard.lock);
}

START_TEST(unconsumed_is_offered_again)
{
	struct stage stage;

	appetite = 0;
	raise_curtain(&stage, part_talker, NULL);
	ck_assert_int_eq(create(&stage), 0);
	pthread_mutex_lock(&heard.lock);
	appetite = SIZE_MAX;
	pthread_mutex_unlock(&heard.lock);
	ck_assert_int_eq(zl_zone_client_resume(stage.client, &stage.err), 0);
	wait_bytes(10);
	pthread_mutex_lock(&heard.lock);
	while (!heard.eof)
		pthread_cond_wait(&heard.changed, &heard.lock);
	pthread_mutex_unlock(&heard.lock);
	drop_curtain(&stage);
}
END_TEST

// ---- an exec whose caller gives up is killed, once it is there

static bool kill_came;

static void part_slow_exec(struct peer *peer)
{
	Zl__Zone__ToZone *request;
	Zl__Zone__Stream streams[2] = {ZL__ZONE__STREAM__INIT, ZL__ZONE__STREAM__INIT};
	Zl__Zone__Opened opened = ZL__ZONE__OPENED__INIT;
	Zl__Zone__FromZone message = ZL__ZONE__FROM_ZONE__INIT;
	struct zl_frame frame = {
	        .kind = ZL_FRAME_DATA, .stream = 8, .bytes = (const uint8_t *)"late", .length = 4};

	greet(peer);
	open_container(peer);
	request = next_request(peer); // exec
	message.request_id = request->request_id;
	zl_zone_message_free(request);
	request = next_request(peer); // the caller's next call: it has given up
	zl_zone_message_free(request);
	streams[0].id = 8;
	streams[1].id = 9;
	opened.stdout_stream = &streams[0];
	opened.stderr_stream = &streams[1];
	message.body_case = ZL__ZONE__FROM_ZONE__BODY_OPENED;
	message.opened = &opened;
	send_message(peer, &message);
	send_frame(peer, &frame);
	request = next_request(peer);
	if (request == NULL)
		return;
	kill_came = request->body_case == ZL__ZONE__TO_ZONE__BODY_EXEC_KILL &&
	            strcmp(request->exec_kill->exec_id, "e1") == 0;
	zl_zone_message_free(request);
}

START_TEST(abandoned_exec_is_killed)
{
	struct zl_zone_exec exec = {.container_id = ID, .exec_id = "e1", .oci_process = "{}"};
	struct zl_cancel limit = ZL_CANCEL_INIT;
	struct stage stage;

	raise_curtain(&stage, part_slow_exec, NULL);
	ck_assert_int_eq(create(&stage), 0);
	limit.deadline_ns = zl_clock_monotonic() + 20 * ZL_NS_PER_MS;
	ck_assert_int_lt(zl_zone_exec_start(stage.client, &exec, &limit, &stage.err), 0);
	ck_assert_int_eq(stage.err.code, ZL_DEADLINE_EXCEEDED);
	(void)zl_zone_container_signal(stage.client, ID, 9, false, &limit, NULL);
	wait_closed();
	ck_assert_int_eq(heard.why.code, ZL_UNAVAILABLE);
	drop_curtain(&stage);
	ck_assert(kill_came);
	ck_assert_uint_eq(heard.bytes, 0);
}
END_TEST

TCase *client_tests(void)
{
	TCase *tests = tcase_create("client");

	tcase_set_timeout(tests, 60);
	tcase_add_test(tests, hello_gone);
	tcase_add_test(tests, hello_never_comes);
	tcase_add_test(tests, hello_of_another_version);
	tcase_add_test(tests, hello_after_a_stale_session);
	tcase_add_loop_test(tests, lie_ends_the_channel, 0, (int)ZL_ARRAY_SIZE(lies));
	tcase_add_test(tests, wrong_reply);
	tcase_add_test(tests, death_in_a_call);
	tcase_add_loop_test(tests, usage_is_checked, 0, (int)ZL_ARRAY_SIZE(spoil));
	tcase_add_test(tests, abort_fails_all_calls);
	tcase_add_test(tests, abort_ends_the_wait_for_a_hello);
	tcase_add_test(tests, abort_delivers_last_words);
	tcase_add_test(tests, unconsumed_is_offered_again);
	tcase_add_test(tests, abandoned_exec_is_killed);
	return tests;
}
