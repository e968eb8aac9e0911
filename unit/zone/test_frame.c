// SPDX-License-Identifier: Apache-2.0
#include <check.h>
#include <string.h>

#include "unit/zone/tests.h"
#include "zone/protocol/frame.h"

static void append(struct zl_buffer *out, const struct zl_frame *frame)
{
	ck_assert_int_eq(zl_frame_append(out, frame, NULL), 0);
}

// One frame of each kind.
static void append_all(struct zl_buffer *out)
{
	static const uint8_t nonce[ZL_FRAME_NONCE_SIZE] = {1, 2, 3};
	const struct zl_frame frames[] = {
	        {.kind = ZL_FRAME_CONTROL,
	                .more = true,
	                .bytes = (const uint8_t *)"abc",
	                .length = 3},
	        {.kind = ZL_FRAME_CONTROL, .bytes = (const uint8_t *)"", .length = 0},
	        {.kind = ZL_FRAME_DATA,
	                .stream = 7,
	                .offset = UINT64_C(1) << 40,
	                .bytes = (const uint8_t *)"data",
	                .length = 4},
	        {.kind = ZL_FRAME_ACK, .stream = 8, .offset = UINT64_MAX},
	        {.kind = ZL_FRAME_END, .stream = 9, .offset = 12},
	        {.kind = ZL_FRAME_RESET, .stream = UINT32_MAX},
	        {.kind = ZL_FRAME_SYNC, .bytes = nonce, .length = sizeof(nonce)},
	};

	for (size_t i = 0; i < ZL_ARRAY_SIZE(frames); i++)
		append(out, &frames[i]);
}

// What append_all wrote, read in pieces of this size.
static void check_pieces(const struct zl_buffer *all, size_t piece)
{
	zl_auto(frame_parser) struct zl_frame_parser parser = ZL_FRAME_PARSER_INIT;
	struct zl_error err = ZL_ERROR_INIT;
	struct zl_frame frame;
	unsigned seen = 0;

	for (size_t at = 0; at < all->length; at += piece) {
		const uint8_t *bytes = all->data + at;
		size_t length = all->length - at < piece ? all->length - at : piece;

		while (zl_frame_parse(&parser, &bytes, &length, &frame, &err) == 1) {
			seen++;
			switch (frame.kind) {
			case ZL_FRAME_CONTROL:
				ck_assert_uint_eq(frame.length, frame.more ? 3 : 0);
				break;
			case ZL_FRAME_DATA:
				ck_assert_uint_eq(frame.stream, 7);
				ck_assert_uint_eq(frame.offset, UINT64_C(1) << 40);
				ck_assert_mem_eq(frame.bytes, "data", 4);
				break;
			case ZL_FRAME_ACK:
				ck_assert_uint_eq(frame.offset, UINT64_MAX);
				break;
			case ZL_FRAME_END:
				ck_assert_uint_eq(frame.offset, 12);
				break;
			case ZL_FRAME_RESET:
				ck_assert_uint_eq(frame.stream, UINT32_MAX);
				break;
			case ZL_FRAME_SYNC:
				ck_assert_uint_eq(frame.bytes[2], 3);
				break;
			}
		}
		ck_assert_int_eq(err.code, ZL_OK);
		ck_assert_uint_eq(length, 0);
	}
	ck_assert_uint_eq(seen, 7);
}

START_TEST(any_cut)
{
	zl_auto(buffer) struct zl_buffer all = ZL_BUFFER_INIT;

	append_all(&all);
	for (size_t piece = 1; piece <= all.length; piece++)
		check_pieces(&all, piece);
}
END_TEST

START_TEST(largest)
{
	zl_auto(frame_parser) struct zl_frame_parser parser = ZL_FRAME_PARSER_INIT;
	zl_auto(buffer) struct zl_buffer all = ZL_BUFFER_INIT;
	static uint8_t bytes[ZL_FRAME_DATA_MAX];
	struct zl_frame frame = {
	        .kind = ZL_FRAME_DATA, .stream = 1, .bytes = bytes, .length = sizeof(bytes)};
	const uint8_t *at;
	size_t length;

	append(&all, &frame);
	ck_assert_uint_eq(all.length, ZL_FRAME_SIZE_MAX);
	ck_assert_uint_eq(zl_frame_size(all.data), ZL_FRAME_SIZE_MAX);
	at = all.data;
	length = all.length;
	ck_assert_int_eq(zl_frame_parse(&parser, &at, &length, &frame, NULL), 1);
	ck_assert_uint_eq(frame.length, sizeof(bytes));
}
END_TEST

struct bad {
	const char *what;
	uint8_t header[ZL_FRAME_HEADER_SIZE];
};

static const struct bad bad_headers[] = {
        {"kind 0", {0}},
        {"unknown kind", {7}},
        {"kind 255", {255}},
        {"unknown flag", {1, 2}},
        {"MORE on data", {2, 1, 0, 0, 1, 0, 0, 0, 9}},
        {"reserved", {1, 0, 1}},
        {"control with a stream", {1, 0, 0, 0, 1}},
        {"data without a stream", {2, 0, 0, 0, 0, 0, 0, 0, 9}},
        {"data without bytes", {2, 0, 0, 0, 1, 0, 0, 0, 8}},
        {"too long", {1, 0, 0, 0, 0, 0, 0, 0, 1, 0x80}},
        {"absurdly long", {2, 0, 0, 0, 1, 0, 0, 0, 0xff, 0xff, 0xff, 0xff}},
        {"short ack", {3, 0, 0, 0, 1, 0, 0, 0, 7}},
        {"long ack", {3, 0, 0, 0, 1, 0, 0, 0, 9}},
        {"end without offset", {4, 0, 0, 0, 1}},
        {"reset with bytes", {5, 0, 0, 0, 1, 0, 0, 0, 1}},
        {"short sync", {6, 0, 0, 0, 0, 0, 0, 0, 15}},
};

START_TEST(refuses)
{
	const struct bad *bad = &bad_headers[_i];

	for (size_t piece = 1; piece <= ZL_FRAME_HEADER_SIZE; piece += ZL_FRAME_HEADER_SIZE - 1) {
		zl_auto(frame_parser) struct zl_frame_parser parser = ZL_FRAME_PARSER_INIT;
		struct zl_error err = ZL_ERROR_INIT;
		struct zl_frame frame;
		int result = 0;

		for (size_t at = 0; at < ZL_FRAME_HEADER_SIZE && result == 0; at += piece) {
			const uint8_t *bytes = bad->header + at;
			size_t length = piece;

			result = zl_frame_parse(&parser, &bytes, &length, &frame, &err);
		}
		ck_assert_msg(result == -1, "%s was accepted", bad->what);
		ck_assert_int_eq(err.code, ZL_DATA_LOSS);
	}
}
END_TEST

// The rest of an old session, a half frame at its end, an old nonce: all of it is skipped.
START_TEST(seeks_its_own_sync)
{
	static const uint8_t nonce[ZL_FRAME_NONCE_SIZE] = {6, 0, 0, 6, 0, 6};
	zl_auto(buffer) struct zl_buffer all = ZL_BUFFER_INIT;
	struct zl_frame sync = {.kind = ZL_FRAME_SYNC, .bytes = nonce, .length = sizeof(nonce)};
	struct zl_frame ack = {.kind = ZL_FRAME_ACK, .stream = 3, .offset = 5};

	append_all(&all);
	// Half of what looks like the beginning of a sync frame.
	ck_assert_int_eq(zl_buffer_append(&all, "\6\0\0\0\0\0\0\0\20\0\0\0\6\0\0", 15, NULL), 0);
	append(&all, &sync);
	append(&all, &ack);
	for (size_t piece = 1; piece <= all.length; piece++) {
		zl_auto(frame_parser) struct zl_frame_parser parser = ZL_FRAME_PARSER_INIT;
		struct zl_frame frame;
		unsigned seen = 0;

		zl_frame_parser_seek(&parser, nonce);
		for (size_t at = 0; at < all.length; at += piece) {
			const uint8_t *bytes = all.data + at;
			size_t length = all.length - at < piece ? all.length - at : piece;

			while (zl_frame_parse(&parser, &bytes, &length, &frame, NULL) == 1) {
				ck_assert_int_eq(frame.kind, ZL_FRAME_ACK);
				ck_assert_uint_eq(frame.offset, 5);
				seen++;
			}
		}
		ck_assert_uint_eq(seen, 1);
	}
}
END_TEST

TCase *frame_tests(void)
{
	TCase *tests = tcase_create("frame");

	tcase_add_test(tests, any_cut);
	tcase_add_test(tests, largest);
	tcase_add_loop_test(tests, refuses, 0, (int)ZL_ARRAY_SIZE(bad_headers));
	tcase_add_test(tests, seeks_its_own_sync);
	return tests;
}
