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
#include "unit/zone/peer.h"
#include "unit/zone/tests.h"
#include "zone/client/stats.h"

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

static int chosen;
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
