// SPDX-License-Identifier: Apache-2.0
#include <string.h>
#include <zlib.h>

#include "cri-server/stream/spdy_frame.h"
#include "unit/stream/tests.h"

static struct zl_spdy_parser *parser;
static struct zl_spdy_writer *writer;
static struct zl_buffer out;

static void setup(void)
{
	parser = zl_spdy_parser_new(NULL);
	writer = zl_spdy_writer_new(NULL);
	out = (struct zl_buffer)ZL_BUFFER_INIT;
}

static void teardown(void)
{
	zl_spdy_parser_free(parser);
	zl_spdy_writer_free(writer);
	zl_buffer_release(&out);
}

// The next frame of `out`, which holds nothing else.
static int parse_all(struct zl_spdy_frame *frame, struct zl_error *err)
{
	const uint8_t *bytes = out.data;
	size_t length = out.length;
	int found = zl_spdy_parse(parser, &bytes, &length, frame, err);

	if (found == 1)
		ck_assert_uint_eq(length, 0);
	return found;
}

static int parse_bytes(const void *data, size_t length, struct zl_spdy_frame *frame)
{
	const uint8_t *bytes = data;
	struct zl_error err = ZL_ERROR_INIT;
	int found = zl_spdy_parse(parser, &bytes, &length, frame, &err);

	if (found < 0)
		ck_assert_int_eq(err.code, ZL_DATA_LOSS);
	return found;
}

START_TEST(the_dictionary_is_the_specifications)
{
	size_t length;
	const uint8_t *dictionary = zl_spdy_dictionary(&length);

	// The id that zlib gives it, as it stands in every compressed header block of SPDY/3.
	ck_assert_uint_eq(length, 1423);
	ck_assert_uint_eq(adler32(adler32(0, NULL, 0), dictionary, (uInt)length), 0xe3c6a7c2);
}
END_TEST

// The first two frames of github.com/moby/spdystream 0.5.1, the client of kubectl and crictl, as it
// sent them: an error stream, and a data stream with port and request id.
static const uint8_t recorded[] = {0x80, 0x03, 0x00, 0x01, 0x00, 0x00, 0x00, 0x29, 0x00, 0x00, 0x00,
        0x01, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x78, 0xf9, 0xe3, 0xc6, 0xa7, 0xc2, 0x62, 0x60,
        0x60, 0x60, 0x04, 0xa7, 0xb3, 0x92, 0xa2, 0xd4, 0xc4, 0x5c, 0x68, 0x51, 0xc2, 0x9a, 0x0a,
        0x0a, 0x68, 0x00, 0x00, 0x00, 0x00, 0xff, 0xff, 0x80, 0x03, 0x00, 0x01, 0x00, 0x00, 0x00,
        0x2f, 0x00, 0x00, 0x00, 0x03, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x02, 0xa5, 0x47, 0x0c,
        0x29, 0x50, 0x29, 0x93, 0x08, 0x29, 0xb0, 0x8b, 0xc0, 0x79, 0xc3, 0xc2, 0xc0, 0xc2, 0x80,
        0x81, 0x81, 0x81, 0xb3, 0x08, 0x12, 0xc1, 0x99, 0xa0, 0x84, 0xcf, 0x68, 0x00, 0x00, 0x00,
        0x00, 0xff, 0xff};
enum { RECORDED_FIRST = 49 }; // bytes of the first frame

static void check_first(const struct zl_spdy_frame *frame)
{
	ck_assert_int_eq(frame->type, ZL_SPDY_SYN_STREAM);
	ck_assert_uint_eq(frame->stream, 1);
	ck_assert(!frame->fin);
	ck_assert_str_eq(zl_spdy_header(frame, "streamtype"), "error");
	ck_assert_ptr_null(zl_spdy_header(frame, "port"));
}

START_TEST(streams_that_a_real_client_opened)
{
	const uint8_t *bytes = recorded;
	size_t length = sizeof(recorded);
	struct zl_spdy_frame frame;

	ck_assert_int_eq(zl_spdy_parse(parser, &bytes, &length, &frame, NULL), 1);
	check_first(&frame);
	ck_assert_int_eq(zl_spdy_parse(parser, &bytes, &length, &frame, NULL), 1);
	ck_assert_uint_eq(frame.stream, 3);
	ck_assert_str_eq(zl_spdy_header(&frame, "streamtype"), "data");
	ck_assert_str_eq(zl_spdy_header(&frame, "port"), "8080");
	ck_assert_str_eq(zl_spdy_header(&frame, "requestid"), "0");
	ck_assert_int_eq(zl_spdy_parse(parser, &bytes, &length, &frame, NULL), 0);
}
END_TEST

START_TEST(in_any_pieces)
{
	struct zl_spdy_frame frame;

	for (size_t i = 0; i + 1 < RECORDED_FIRST; i++)
		ck_assert_int_eq(parse_bytes(recorded + i, 1, &frame), 0);
	ck_assert_int_eq(parse_bytes(recorded + RECORDED_FIRST - 1, 1, &frame), 1);
	check_first(&frame);
}
END_TEST

START_TEST(headers_there_and_back)
{
	const struct zl_spdy_header headers[] = {{"streamtype", "data"}, {"port", "8080"},
	        {"empty", ""}, {"requestid", "4294967295"}};
	struct zl_spdy_frame frame;

	// Several blocks: the compression goes on from one to the next.
	for (uint32_t i = 1; i < 100; i += 2) {
		out.length = 0;
		ck_assert_int_eq(zl_spdy_write_headers(writer, &out, ZL_SPDY_SYN_STREAM, i, i == 7,
		                         headers, 4, NULL),
		        0);
		ck_assert_int_eq(parse_all(&frame, NULL), 1);
		ck_assert_uint_eq(frame.stream, i);
		ck_assert_uint_eq(frame.header_count, 4);
		ck_assert(frame.fin == (i == 7));
		for (size_t k = 0; k < 4; k++)
			ck_assert_str_eq(zl_spdy_header(&frame, headers[k].name), headers[k].value);
	}
}
END_TEST

START_TEST(data_comes_in_pieces)
{
	static const uint8_t head[] = {0, 0, 0, 5, ZL_SPDY_FLAG_FIN, 0, 0, 4};
	static const uint8_t empty[] = {0, 0, 0, 5, ZL_SPDY_FLAG_FIN, 0, 0, 0};
	struct zl_spdy_frame frame;

	ck_assert_int_eq(parse_bytes(head, sizeof(head), &frame), 0);
	ck_assert_int_eq(parse_bytes("ab", 2, &frame), 1);
	ck_assert_int_eq(frame.type, ZL_SPDY_DATA);
	ck_assert_uint_eq(frame.stream, 5);
	ck_assert(frame.length == 2 && memcmp(frame.bytes, "ab", 2) == 0 && !frame.fin);
	ck_assert_int_eq(parse_bytes("cd", 2, &frame), 1);
	ck_assert(frame.length == 2 && memcmp(frame.bytes, "cd", 2) == 0 && frame.fin);
	ck_assert_int_eq(parse_bytes(empty, sizeof(empty), &frame), 1);
	ck_assert(frame.length == 0 && frame.fin);
}
END_TEST

START_TEST(small_control_frames)
{
	static const uint8_t ping[] = {0x80, 3, 0, 6, 0, 0, 0, 4, 0, 0, 0, 9};
	static const uint8_t reset[] = {0x80, 3, 0, 3, 0, 0, 0, 8, 0, 0, 0, 7, 0, 0, 0, 5};
	static const uint8_t window[] = {0x80, 3, 0, 9, 0, 0, 0, 8, 0, 0, 0, 0, 0x80, 0, 0, 16};
	static const uint8_t settings[] = {0x80, 3, 0, 4, 1, 0, 0, 20, 0, 0, 0, 2, 0, 0, 0, 4, 0, 0,
	        0, 99, 1, 0, 0, 7, 0, 1, 0, 0};
	static const uint8_t unknown[] = {0x80, 3, 0, 77, 0, 0, 0, 2, 1, 2};
	struct zl_spdy_frame frame;

	ck_assert_int_eq(parse_bytes(ping, sizeof(ping), &frame), 1);
	ck_assert(frame.type == ZL_SPDY_PING && frame.value == 9);
	ck_assert_int_eq(parse_bytes(reset, sizeof(reset), &frame), 1);
	ck_assert(frame.type == ZL_SPDY_RST_STREAM && frame.stream == 7 && frame.value == 5);
	ck_assert_int_eq(parse_bytes(unknown, sizeof(unknown), &frame), 0);
	// The highest bit is reserved.
	ck_assert_int_eq(parse_bytes(window, sizeof(window), &frame), 1);
	ck_assert(frame.type == ZL_SPDY_WINDOW_UPDATE && frame.stream == 0 && frame.value == 16);
	ck_assert_int_eq(parse_bytes(settings, sizeof(settings), &frame), 1);
	ck_assert(frame.type == ZL_SPDY_SETTINGS && frame.value == 65536 && !frame.fin);
}
END_TEST

START_TEST(a_long_unknown_frame_is_passed_over)
{
	static const uint8_t head[] = {0x80, 3, 0, 77, 0, 1, 0, 0};
	static const uint8_t ping[] = {0x80, 3, 0, 6, 0, 0, 0, 4, 0, 0, 0, 9};
	static const uint8_t body[65536];
	struct zl_spdy_frame frame;

	ck_assert_int_eq(parse_bytes(head, sizeof(head), &frame), 0);
	ck_assert_int_eq(parse_bytes(body, sizeof(body), &frame), 0);
	ck_assert_int_eq(parse_bytes(ping, sizeof(ping), &frame), 1);
	ck_assert_int_eq(frame.type, ZL_SPDY_PING);
}
END_TEST

static const struct {
	const char *bytes;
	size_t length;
} violations[] = {
#define BYTES(text) {text, sizeof(text) - 1}
        BYTES("\0\0\0\0\0\0\0\0"),                               // data of stream 0
        BYTES("\x80\x02\0\x06\0\0\0\x04\0\0\0\x01"),             // another version
        BYTES("\x80\x03\0\x06\0\0\0\x05\0\0\0\x01\0"),           // PING of 5 bytes
        BYTES("\x80\x03\0\x06\0\0\0\0"),                         // of none
        BYTES("\x80\x03\0\x03\0\0\0\x04\0\0\0\x01"),             // RST_STREAM of 4
        BYTES("\x80\x03\0\x04\0\0\0\x04\0\0\0\x01"),             // SETTINGS without its entry
        BYTES("\x80\x03\0\x04\0\0\0\x04\x20\0\0\0"),             // with very many
        BYTES("\x80\x03\0\x04\0\0\0\0"),                         // without a number
        BYTES("\x80\x03\0\x01\0\xff\xff\xff"),                   // a huge header block
        BYTES("\x80\x03\0\x01\0\0\0\x04\0\0\0\x01"),             // SYN_STREAM that is too short
        BYTES("\x80\x03\0\x01\0\0\0\x0a\0\0\0\x01\0\0\0\0\0\0"), // without a block
        BYTES("\x80\x03\0\x01\0\0\0\x0a\0\0\0\0\0\0\0\0\0\0"),   // of stream 0
        BYTES("\x80\x03\0\x08\0\0\0\x08\0\0\0\x01junk"),         // a block that does not expand
#undef BYTES
};

START_TEST(a_violation_ends_it)
{
	static const uint8_t ping[] = {0x80, 3, 0, 6, 0, 0, 0, 4, 0, 0, 0, 9};
	struct zl_spdy_frame frame;

	ck_assert_int_eq(parse_bytes(violations[_i].bytes, violations[_i].length, &frame), -1);
	ck_assert_int_eq(parse_bytes(ping, sizeof(ping), &frame), -1);
}
END_TEST

// A block compressed as a client would, of any content.
static void write_block(const void *plain, size_t length)
{
	static uint8_t packed[256 * 1024];
	size_t dictionary_length;
	const uint8_t *dictionary = zl_spdy_dictionary(&dictionary_length);
	z_stream z = {.next_in = (uint8_t *)(uintptr_t)plain, .avail_in = (uInt)length};
	uint8_t head[18] = {0x80, 3, 0, 1, 0, 0, 0, 0, 0, 0, 0, 1};
	size_t size;

	ck_assert_int_eq(deflateInit(&z, 9), Z_OK);
	(void)deflateSetDictionary(&z, dictionary, (uInt)dictionary_length);
	z.next_out = packed;
	z.avail_out = sizeof(packed);
	ck_assert_int_eq(deflate(&z, Z_SYNC_FLUSH), Z_OK);
	size = sizeof(packed) - z.avail_out;
	(void)deflateEnd(&z);
	head[5] = (uint8_t)((size + 10) >> 16);
	head[6] = (uint8_t)((size + 10) >> 8);
	head[7] = (uint8_t)(size + 10);
	ck_assert_int_eq(zl_buffer_append(&out, head, sizeof(head), NULL), 0);
	ck_assert_int_eq(zl_buffer_append(&out, packed, size, NULL), 0);
}

START_TEST(a_block_that_expands_without_end)
{
	static uint8_t zeros[1 << 20]; // 1 KB when compressed
	struct zl_error err = ZL_ERROR_INIT;
	struct zl_spdy_frame frame;

	write_block(zeros, sizeof(zeros));
	ck_assert_uint_lt(out.length, 4096);
	ck_assert_int_eq(parse_all(&frame, &err), -1);
	ck_assert_ptr_nonnull(strstr(err.message, "more than 16384 bytes"));
}
END_TEST

static const struct {
	const char *bytes;
	size_t length;
} bad_blocks[] = {
#define BYTES(text) {text, sizeof(text) - 1}
        BYTES(""), BYTES("\0\0\0"),
        BYTES("\0\0\0\x01"),                           // one header, none there
        BYTES("\0\0\0\x01\0\0\0\x05name"),             // a name that is cut
        BYTES("\0\0\0\x01\xff\xff\xff\xffname"),       // a length beyond all
        BYTES("\0\0\0\x01\0\0\0\x01n\0\0\0\x02v"),     // a value that is cut
        BYTES("\0\0\0\x01\0\0\0\0\0\0\0\x01v"),        // an empty name
        BYTES("\0\0\0\x01\0\0\0\x01N\0\0\0\x01v"),     // a capital
        BYTES("\0\0\0\x01\0\0\0\x01\x80\0\0\0\x01v"),  // not ASCII
        BYTES("\0\0\0\x41\0\0\0\x01n\0\0\0\x01v"),     // more than 64
        BYTES("\0\0\0\x01\0\0\0\x01n\0\0\0\x01vrest"), // a rest
#undef BYTES
};

START_TEST(a_block_that_is_none)
{
	struct zl_error err = ZL_ERROR_INIT;
	struct zl_spdy_frame frame;

	write_block(bad_blocks[_i].bytes, bad_blocks[_i].length);
	ck_assert_int_eq(parse_all(&frame, &err), -1);
	ck_assert_int_eq(err.code, ZL_DATA_LOSS);
}
END_TEST

Suite *spdy_frame_suite(void)
{
	Suite *suite = suite_create("SPDY frames");
	TCase *tcase = tcase_create("frames");

	tcase_add_checked_fixture(tcase, setup, teardown);
	tcase_add_test(tcase, the_dictionary_is_the_specifications);
	tcase_add_test(tcase, streams_that_a_real_client_opened);
	tcase_add_test(tcase, in_any_pieces);
	tcase_add_test(tcase, headers_there_and_back);
	tcase_add_test(tcase, data_comes_in_pieces);
	tcase_add_test(tcase, small_control_frames);
	tcase_add_test(tcase, a_long_unknown_frame_is_passed_over);
	tcase_add_loop_test(
	        tcase, a_violation_ends_it, 0, (int)(sizeof(violations) / sizeof(violations[0])));
	tcase_add_test(tcase, a_block_that_expands_without_end);
	tcase_add_loop_test(
	        tcase, a_block_that_is_none, 0, (int)(sizeof(bad_blocks) / sizeof(bad_blocks[0])));
	suite_add_tcase(suite, tcase);
	return suite;
}
