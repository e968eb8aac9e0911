// SPDX-License-Identifier: Apache-2.0
//
// A SPDY connection from bytes: a client is played by a writer and a parser of its own.
#include <string.h>

#include "cri-server/stream/spdy.h"
#include "cri-server/stream/spdy_frame.h"
#include "unit/stream/record.h"
#include "unit/stream/tests.h"

static struct zl_wire *wire;
static struct record record;
static struct zl_spdy_writer *writer;
static struct zl_spdy_parser *parser;
static struct zl_buffer bytes;

static void setup(void)
{
	record = (struct record){.refuse = false};
	wire = zl_spdy_new(&record_events, &record, NULL);
	writer = zl_spdy_writer_new(NULL);
	parser = zl_spdy_parser_new(NULL);
	bytes = (struct zl_buffer)ZL_BUFFER_INIT;
}

static void teardown(void)
{
	zl_wire_free(wire);
	record_release(&record);
	zl_spdy_writer_free(writer);
	zl_spdy_parser_free(parser);
	zl_buffer_release(&bytes);
}

static int feed(struct zl_error *err)
{
	int result = zl_wire_receive(wire, bytes.data, bytes.length, err);

	bytes.length = 0;
	return result;
}

static void opening(
        uint32_t stream, const char *type, const char *port, const char *request, bool fin)
{
	const struct zl_spdy_header headers[] = {
	        {"streamtype", type}, {"port", port}, {"requestid", request}};
	size_t count = port == NULL ? 1 : request == NULL ? 2 : 3;

	ck_assert_int_eq(zl_spdy_write_headers(writer, &bytes, ZL_SPDY_SYN_STREAM, stream, fin,
	                         headers, count, NULL),
	        0);
}

static void open_stream(uint32_t stream, const char *type)
{
	opening(stream, type, NULL, NULL, false);
	ck_assert_int_eq(feed(NULL), 0);
}

static void data(uint32_t stream, const char *text, bool fin)
{
	ck_assert_int_eq(zl_spdy_write_data(&bytes, stream, fin, text, strlen(text), NULL), 0);
}

// The next frame that the server wrote; false: none.
static bool answer(struct zl_spdy_frame *frame)
{
	const uint8_t *at = wire->out.data;
	size_t length = wire->out.length;
	int found = zl_spdy_parse(parser, &at, &length, frame, NULL);

	ck_assert_int_ge(found, 0);
	// Borrowed bytes of data stay where they are: consume after use in these tests is fine.
	wire->out.length = length;
	if (length > 0)
		memmove(wire->out.data, at, length);
	return found == 1;
}

static void expect(enum zl_spdy_type type, uint32_t stream, uint32_t value)
{
	struct zl_spdy_frame frame;

	ck_assert(answer(&frame));
	ck_assert_int_eq(frame.type, type);
	ck_assert_uint_eq(frame.stream, stream);
	ck_assert_uint_eq(frame.value, value);
}

static void expect_nothing(void)
{
	ck_assert_uint_eq(wire->out.length, 0);
}

START_TEST(a_client_opens_writes_and_ends)
{
	open_stream(1, "error");
	opening(3, "stdin", NULL, NULL, false);
	data(3, "hello", false);
	data(3, "", true);
	ck_assert_int_eq(feed(NULL), 0);
	ck_assert_str_eq(
	        record_take(&record), "open 1 error 0 1\nopen 3 stdin 0 3\ndata 3 hello\nend 3\n");
	expect(ZL_SPDY_SYN_REPLY, 1, 0);
	expect(ZL_SPDY_SYN_REPLY, 3, 0);
	expect_nothing();
}
END_TEST

START_TEST(the_server_writes_and_ends)
{
	struct zl_spdy_frame frame;

	open_stream(1, "stdout");
	expect(ZL_SPDY_SYN_REPLY, 1, 0);
	ck_assert_int_eq(zl_wire_send(wire, 1, "text", 4, NULL), 0);
	ck_assert_int_eq(zl_wire_end(wire, 1, NULL), 0);
	ck_assert(answer(&frame));
	ck_assert(frame.type == ZL_SPDY_DATA && frame.length == 4 && !frame.fin);
	ck_assert(answer(&frame));
	ck_assert(frame.type == ZL_SPDY_DATA && frame.length == 0 && frame.fin);
	// After the end nothing follows.
	ck_assert_int_eq(zl_wire_send(wire, 1, "more", 4, NULL), 0);
	ck_assert_int_eq(zl_wire_end(wire, 1, NULL), 0);
	expect_nothing();
	ck_assert_int_eq(zl_wire_goodbye(wire, NULL), 0);
	expect(ZL_SPDY_GOAWAY, 0, 0);
}
END_TEST

START_TEST(ports_and_request_ids)
{
	opening(1, "error", "80", "7", true);
	opening(3, "data", "80", "7", false);
	// An old client has no request ids.
	opening(5, "error", "81", NULL, false);
	opening(7, "data", "81", NULL, false);
	ck_assert_int_eq(feed(NULL), 0);
	ck_assert_str_eq(record_take(&record), "open 1 error 80 7\nend 1\nopen 3 data 80 7\nopen 5 "
	                                       "error 81 5\nopen 7 data 81 5\n");
}
END_TEST

static const struct {
	const char *type;
	const char *port;
	const char *request;
} bad[] = {{"", NULL, NULL}, {"stdinn", NULL, NULL}, {"data", "65536", NULL}, {"data", "-1", NULL},
        {"data", "8o", NULL}, {"data", "80", "4294967296"}, {"data", "80", "x"}};

START_TEST(headers_that_mean_nothing_are_refused)
{
	opening(1, bad[_i].type, bad[_i].port, bad[_i].request, false);
	ck_assert_int_eq(feed(NULL), 0);
	ck_assert_str_eq(record_take(&record), "");
	expect(ZL_SPDY_RST_STREAM, 1, ZL_SPDY_PROTOCOL_ERROR);
	// The others go on.
	open_stream(3, "error");
	expect(ZL_SPDY_SYN_REPLY, 3, 0);
}
END_TEST

START_TEST(the_user_may_refuse)
{
	record.refuse = true;
	open_stream(1, "stdin");
	expect(ZL_SPDY_RST_STREAM, 1, ZL_SPDY_REFUSED_STREAM);
	(void)record_take(&record);
	data(1, "late", false);
	ck_assert_int_eq(feed(NULL), 0);
	ck_assert_str_eq(record_take(&record), "");
}
END_TEST

START_TEST(ids_must_grow_and_be_odd)
{
	static const uint32_t ids[] = {2, 1, 3};
	struct zl_error err = ZL_ERROR_INIT;

	open_stream(3, "error");
	opening(ids[_i], "stdin", NULL, NULL, false);
	ck_assert_int_eq(feed(&err), -1);
	ck_assert_int_eq(err.code, ZL_DATA_LOSS);
}
END_TEST

START_TEST(streams_are_bounded)
{
	struct zl_spdy_frame frame;

	for (uint32_t i = 0; i <= ZL_SPDY_STREAMS_MAX; i++) {
		open_stream(2 * i + 1, "data");
		ck_assert(answer(&frame));
		ck_assert_int_eq(frame.type,
		        i < ZL_SPDY_STREAMS_MAX ? ZL_SPDY_SYN_REPLY : ZL_SPDY_RST_STREAM);
	}
	// One that is over makes room.
	data(1, "", true);
	ck_assert_int_eq(feed(NULL), 0);
	ck_assert_int_eq(zl_wire_end(wire, 1, NULL), 0);
	ck_assert(answer(&frame));
	open_stream(2 * ZL_SPDY_STREAMS_MAX + 3, "data");
	ck_assert(answer(&frame));
	ck_assert_int_eq(frame.type, ZL_SPDY_SYN_REPLY);
}
END_TEST

START_TEST(pings_are_answered)
{
	ck_assert_int_eq(zl_spdy_write_ping(&bytes, 5, NULL), 0);
	ck_assert_int_eq(zl_spdy_write_ping(&bytes, 6, NULL), 0); // an answer to one of ours
	ck_assert_int_eq(feed(NULL), 0);
	expect(ZL_SPDY_PING, 0, 5);
	expect_nothing();
}
END_TEST

START_TEST(a_reset_ends_both_directions)
{
	open_stream(1, "data");
	expect(ZL_SPDY_SYN_REPLY, 1, 0);
	(void)record_take(&record);
	ck_assert_int_eq(zl_spdy_write_reset(&bytes, 1, ZL_SPDY_CANCEL, NULL), 0);
	ck_assert_int_eq(feed(NULL), 0);
	ck_assert_str_eq(record_take(&record), "reset 1\n");
	ck_assert_int_eq(zl_wire_send(wire, 1, "x", 1, NULL), 0);
	ck_assert_int_eq(zl_wire_reset(wire, 1, NULL), 0);
	expect_nothing();
}
END_TEST

START_TEST(a_client_without_windows_gets_all)
{
	static const char block[32768];

	open_stream(1, "stdout");
	for (int i = 0; i < 10; i++) {
		ck_assert_uint_ge(zl_wire_room(wire, 1), sizeof(block));
		ck_assert_int_eq(zl_wire_send(wire, 1, block, sizeof(block), NULL), 0);
	}
}
END_TEST

static void window_update(uint32_t stream, uint32_t delta)
{
	ck_assert_int_eq(zl_spdy_write_window_update(&bytes, stream, delta, NULL), 0);
	ck_assert_int_eq(feed(NULL), 0);
}

START_TEST(a_clients_windows_are_kept)
{
	static const char block[ZL_SPDY_WINDOW];

	open_stream(1, "stdout");
	window_update(0, 1);
	ck_assert_uint_eq(zl_wire_room(wire, 1), ZL_SPDY_WINDOW);
	ck_assert_int_eq(zl_wire_send(wire, 1, block, ZL_SPDY_WINDOW, NULL), 0);
	ck_assert_uint_eq(zl_wire_room(wire, 1), 0);
	window_update(1, 5000);
	ck_assert_uint_eq(zl_wire_room(wire, 1), 1); // the connection's
	window_update(0, 10000);
	ck_assert_uint_eq(zl_wire_room(wire, 1), 5000);
}
END_TEST

START_TEST(a_new_initial_window_changes_open_streams)
{
	static const uint8_t settings[] = {
	        0x80, 3, 0, 4, 0, 0, 0, 12, 0, 0, 0, 1, 0, 0, 0, 7, 0, 0, 0, 100};
	static const char block[200];

	open_stream(1, "stdout");
	ck_assert_int_eq(zl_wire_send(wire, 1, block, sizeof(block), NULL), 0);
	ck_assert_int_eq(zl_buffer_append(&bytes, settings, sizeof(settings), NULL), 0);
	ck_assert_int_eq(feed(NULL), 0);
	ck_assert_uint_eq(zl_wire_room(wire, 1), 0); // -100
	window_update(1, 150);
	ck_assert_uint_eq(zl_wire_room(wire, 1), 50);
	open_stream(3, "stderr");
	ck_assert_uint_eq(zl_wire_room(wire, 3), 100);
}
END_TEST

START_TEST(a_window_has_an_end)
{
	struct zl_error err = ZL_ERROR_INIT;

	open_stream(1, "stdout");
	ck_assert_int_eq(zl_spdy_write_window_update(&bytes, 1, INT32_MAX, NULL), 0);
	ck_assert_int_eq(feed(&err), -1);
	ck_assert_int_eq(err.code, ZL_DATA_LOSS);
}
END_TEST

START_TEST(what_is_consumed_is_credited)
{
	static const char block[ZL_SPDY_WINDOW / 2];
	struct zl_spdy_frame frame;

	open_stream(1, "stdin");
	ck_assert(answer(&frame));
	record.quiet = true;
	ck_assert_int_eq(zl_spdy_write_data(&bytes, 1, false, block, sizeof(block), NULL), 0);
	ck_assert_int_eq(feed(NULL), 0);
	expect_nothing(); // nobody has consumed it
	ck_assert_int_eq(zl_wire_consumed(wire, 1, sizeof(block) - 1, NULL), 0);
	expect_nothing(); // not worth a frame yet
	ck_assert_int_eq(zl_wire_consumed(wire, 1, 1, NULL), 0);
	expect(ZL_SPDY_WINDOW_UPDATE, 0, sizeof(block));
	expect(ZL_SPDY_WINDOW_UPDATE, 1, sizeof(block));
}
END_TEST

Suite *spdy_suite(void)
{
	Suite *suite = suite_create("SPDY");
	TCase *tcase = tcase_create("connection");

	tcase_add_checked_fixture(tcase, setup, teardown);
	tcase_add_test(tcase, a_client_opens_writes_and_ends);
	tcase_add_test(tcase, the_server_writes_and_ends);
	tcase_add_test(tcase, ports_and_request_ids);
	tcase_add_loop_test(tcase, headers_that_mean_nothing_are_refused, 0,
	        (int)(sizeof(bad) / sizeof(bad[0])));
	tcase_add_test(tcase, the_user_may_refuse);
	tcase_add_loop_test(tcase, ids_must_grow_and_be_odd, 0, 3);
	tcase_add_test(tcase, streams_are_bounded);
	tcase_add_test(tcase, pings_are_answered);
	tcase_add_test(tcase, a_reset_ends_both_directions);
	tcase_add_test(tcase, a_client_without_windows_gets_all);
	tcase_add_test(tcase, a_clients_windows_are_kept);
	tcase_add_test(tcase, a_new_initial_window_changes_open_streams);
	tcase_add_test(tcase, a_window_has_an_end);
	tcase_add_test(tcase, what_is_consumed_is_credited);
	suite_add_tcase(suite, tcase);
	return suite;
}
