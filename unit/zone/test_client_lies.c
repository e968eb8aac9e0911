// SPDX-License-Identifier: Apache-2.0
//
// The client against supervisors that say what cannot be.
#include <check.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/file.h"
#include "unit/zone/peer.h"
#include "unit/zone/tests.h"

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

TCase *client_lies_tests(void)
{
	TCase *tests = tcase_create("client_lies");

	tcase_set_timeout(tests, 60);
	tcase_add_loop_test(tests, lie_ends_the_channel, 0, (int)ZL_ARRAY_SIZE(lies));
	return tests;
}
