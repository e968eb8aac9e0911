// SPDX-License-Identifier: Apache-2.0
//
// WebSocket channels from bytes. A client's frames are masked (RFC 6455, section 5.3); the mask
// here is zero, so that they can be read.
#include <string.h>

#include "cri-server/stream/websocket.h"
#include "unit/stream/record.h"
#include "unit/stream/tests.h"

static struct zl_wire *wire;
static struct record record;
static const struct zl_stream_request exec = {
        .kind = ZL_STREAM_EXEC, .has_stdin = true, .has_stdout = true, .has_stderr = false};

static void teardown(void)
{
	zl_wire_free(wire);
	wire = NULL;
	record_release(&record);
}

static void make(const struct zl_websocket_options *options)
{
	record = (struct record){.refuse = false};
	wire = zl_websocket_new(options, &record_events, &record, NULL);
	ck_assert_ptr_nonnull(wire);
}

static void make_exec(bool base64, bool close_signal)
{
	const struct zl_websocket_options options = {
	        .base64 = base64, .close_signal = close_signal, .request = &exec};

	make(&options);
	wire->out.length = 0;
	ck_assert_int_eq(zl_wire_receive(wire, NULL, 0, NULL), 0);
	ck_assert_str_eq(record_take(&record),
	        "open 0 stdin 0 0\nopen 1 stdout 0 0\nopen 3 error 0 1\nopen 4 resize 0 2\n");
}

static int frame(uint8_t first, const void *payload, size_t length, struct zl_error *err)
{
	uint8_t bytes[256] = {first, (uint8_t)(0x80 | length)};

	memcpy(bytes + 6, payload, length);
	return zl_wire_receive(wire, bytes, length + 6, err);
}

static void expect_out(const void *bytes, size_t length)
{
	ck_assert_uint_eq(wire->out.length, length);
	ck_assert_int_eq(memcmp(wire->out.data, bytes, length), 0);
	wire->out.length = 0;
}

enum {
	BINARY = 0x82,
	TEXT = 0x81,
	PING = 0x89,
	CLOSE = 0x88,
	BINARY_PART = 0x02,
	LAST_PART = 0x80
};

START_TEST(the_answer_to_a_key)
{
	char accept[ZL_WEBSOCKET_ACCEPT_SIZE];

	// The example of RFC 6455, section 1.3.
	ck_assert(zl_websocket_accept("dGhlIHNhbXBsZSBub25jZQ==", accept));
	ck_assert_str_eq(accept, "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=");
	ck_assert(!zl_websocket_accept("", accept));
	ck_assert(!zl_websocket_accept("dGhlIHNhbXBsZSBub25jZQ==x", accept));
}
END_TEST

START_TEST(it_is_greeted)
{
	const struct zl_websocket_options options = {.request = &exec};

	make(&options);
	expect_out("\x82\x01\x01", 3);
}
END_TEST

START_TEST(messages_go_to_their_channels)
{
	make_exec(false, false);
	ck_assert_int_eq(frame(BINARY, "\0hello", 6, NULL), 0);
	ck_assert_int_eq(frame(BINARY, "\4{}", 3, NULL), 0);
	// Channels that are only ours, that are not there, or no channels at all.
	ck_assert_int_eq(frame(BINARY, "\2x", 2, NULL), 0);
	ck_assert_int_eq(frame(BINARY, "\7x", 2, NULL), 0);
	ck_assert_int_eq(frame(BINARY, "", 0, NULL), 0);
	ck_assert_int_eq(frame(BINARY, "\377\0", 2, NULL), 0); // before version 5 it means nothing
	ck_assert_str_eq(record_take(&record), "data 0 hello\ndata 4 {}\n");
}
END_TEST

START_TEST(a_message_in_parts)
{
	make_exec(false, false);
	ck_assert_int_eq(frame(BINARY_PART, "\0he", 3, NULL), 0);
	ck_assert_int_eq(frame(PING, "?", 1, NULL), 0);
	ck_assert_int_eq(frame(LAST_PART, "llo", 3, NULL), 0);
	ck_assert_int_eq(frame(BINARY, "\0x", 2, NULL), 0);
	ck_assert_str_eq(record_take(&record), "data 0 he\ndata 0 llo\ndata 0 x\n");
	expect_out("\x8a\x01?", 3); // the pong
}
END_TEST

START_TEST(it_says_unasked_that_it_is_alive)
{
	make_exec(false, false);
	ck_assert_int_eq(zl_wire_keep_alive(wire, NULL), 0);
	expect_out("\x8a\x00", 2);
	ck_assert_int_eq(frame(BINARY, "\0x", 2, NULL), 0);
	ck_assert_str_eq(record_take(&record), "data 0 x\n");
}
END_TEST

START_TEST(version_5_ends_a_channel)
{
	make_exec(false, true);
	ck_assert_int_eq(frame(BINARY, "\0a", 2, NULL), 0);
	ck_assert_int_eq(frame(BINARY, "\377\0", 2, NULL), 0);
	ck_assert_int_eq(frame(BINARY, "\377\0", 2, NULL), 0);
	ck_assert_int_eq(frame(BINARY, "\0b", 2, NULL), 0);
	ck_assert_str_eq(record_take(&record), "data 0 a\nend 0\n");
	ck_assert_int_eq(zl_wire_end(wire, 1, NULL), 0);
	expect_out("\x82\x02\xff\x01", 4);
}
END_TEST

START_TEST(base64)
{
	struct zl_error err = ZL_ERROR_INIT;

	make_exec(true, false);
	ck_assert_int_eq(frame(TEXT, "0aGVsbG8=", 9, NULL), 0);
	ck_assert_int_eq(frame(TEXT, "0aGVsbG8h", 9, NULL), 0);
	ck_assert_int_eq(frame(TEXT, "0aA==", 5, NULL), 0);
	ck_assert_int_eq(frame(TEXT, "0", 1, NULL), 0);
	ck_assert_str_eq(record_take(&record), "data 0 hello\ndata 0 hello!\ndata 0 h\n");
	ck_assert_int_eq(zl_wire_send(wire, 1, "hi", 2, NULL), 0);
	expect_out("\x81\x05"
	           "1aGk=",
	        7);
	ck_assert_int_eq(frame(TEXT, "0a*b=", 5, &err), -1);
	ck_assert_int_eq(err.code, ZL_DATA_LOSS);
}
END_TEST

START_TEST(forwarded_ports)
{
	const struct zl_stream_request forward = {.kind = ZL_STREAM_PORT_FORWARD};
	const uint16_t ports[] = {8080, 9};
	const struct zl_websocket_options options = {
	        .request = &forward, .ports = ports, .port_count = 2};

	make(&options);
	expect_out("\x82\x03\0\x90\x1f\x82\x03\1\x90\x1f\x82\x03\2\x09\0\x82\x03\3\x09\0", 20);
	ck_assert_int_eq(zl_wire_receive(wire, NULL, 0, NULL), 0);
	ck_assert_str_eq(record_take(&record),
	        "open 0 data 8080 0\nopen 1 error 8080 0\nopen 2 data 9 1\nopen 3 error 9 1\n");
}
END_TEST

START_TEST(a_close_is_answered)
{
	make_exec(false, false);
	ck_assert_int_eq(frame(CLOSE, "\3\350", 2, NULL), 0);
	ck_assert(wire->closed);
	expect_out("\x88\x02\3\350", 4);
	ck_assert_int_eq(zl_wire_send(wire, 1, "late", 4, NULL), 0);
	ck_assert_int_eq(zl_wire_goodbye(wire, NULL), 0);
	expect_out("", 0);
}
END_TEST

START_TEST(we_say_goodbye)
{
	make_exec(false, false);
	ck_assert_int_eq(zl_wire_goodbye(wire, NULL), 0);
	expect_out("\x88\x02\3\350", 4);
}
END_TEST

static const struct {
	const char *bytes;
	size_t length;
} violations[] = {
#define BYTES(text) {text, sizeof(text) - 1}
        BYTES("\x82\x02\0x"),                // not masked
        BYTES("\xc2\x82\0\0\0\0\0x"),        // a reserved bit
        BYTES("\x83\x82\0\0\0\0\0x"),        // an unknown kind
        BYTES("\x80\x82\0\0\0\0\0x"),        // goes on where nothing began
        BYTES("\x09\x80\0\0\0\0"),           // a ping in parts
        BYTES("\x82\xff\xff\0\0\0\0\0\0\0"), // a length of 64 bits
#undef BYTES
};

START_TEST(a_violation_ends_it)
{
	struct zl_error err = ZL_ERROR_INIT;

	make_exec(false, false);
	ck_assert_int_eq(zl_wire_receive(wire, (const uint8_t *)violations[_i].bytes,
	                         violations[_i].length, &err),
	        -1);
	ck_assert_int_eq(err.code, ZL_DATA_LOSS);
	ck_assert_str_eq(record_take(&record), "");
}
END_TEST

Suite *websocket_suite(void)
{
	Suite *suite = suite_create("WebSocket");
	TCase *tcase = tcase_create("channels");

	tcase_add_checked_fixture(tcase, NULL, teardown);
	tcase_add_test(tcase, it_is_greeted);
	tcase_add_test(tcase, messages_go_to_their_channels);
	tcase_add_test(tcase, a_message_in_parts);
	tcase_add_test(tcase, version_5_ends_a_channel);
	tcase_add_test(tcase, base64);
	tcase_add_test(tcase, forwarded_ports);
	tcase_add_test(tcase, it_says_unasked_that_it_is_alive);
	tcase_add_test(tcase, a_close_is_answered);
	tcase_add_test(tcase, we_say_goodbye);
	tcase_add_loop_test(
	        tcase, a_violation_ends_it, 0, (int)(sizeof(violations) / sizeof(violations[0])));
	suite_add_tcase(suite, tcase);
	tcase = tcase_create("handshake");
	tcase_add_test(tcase, the_answer_to_a_key);
	suite_add_tcase(suite, tcase);
	return suite;
}
