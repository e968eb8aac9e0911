// SPDX-License-Identifier: Apache-2.0
#include <check.h>
#include <stdlib.h>
#include <string.h>

#include "unit/zone/tests.h"
#include "zone/protocol/stream.h"

static uint8_t byte_at(uint64_t offset)
{
	return (uint8_t)(offset * 31 + offset / 257);
}

// Puts as much as fits, at most `most`.
static void put(struct zl_stream_out *out, size_t most)
{
	size_t room = 0;
	uint8_t *to = zl_stream_out_space(out, &room, NULL);

	if (room > most)
		room = most;
	for (size_t i = 0; i < room; i++)
		to[i] = byte_at(out->end + i);
	zl_stream_out_put(out, room);
}

static void check_frame(const struct zl_frame *frame)
{
	size_t good = 0;

	while (good < frame->length && frame->bytes[good] == byte_at(frame->offset + good))
		good++;
	ck_assert_uint_eq(good, frame->length);
}

START_TEST(full_ring_holds_back)
{
	struct zl_stream_out out = {.id = 1};
	struct zl_frame frame;
	size_t room = 1;

	put(&out, SIZE_MAX);
	(void)zl_stream_out_space(&out, &room, NULL);
	ck_assert_uint_eq(room, 0);
	// Sending alone makes no room.
	while (zl_stream_out_next(&out, &frame))
		check_frame(&frame);
	(void)zl_stream_out_space(&out, &room, NULL);
	ck_assert_uint_eq(room, 0);
	ck_assert_int_eq(zl_stream_out_ack(&out, 10, NULL), 0);
	(void)zl_stream_out_space(&out, &room, NULL);
	ck_assert_uint_eq(room, 10);
	zl_stream_out_release(&out);
}
END_TEST

START_TEST(ack_of_what_was_not_sent)
{
	struct zl_stream_out out = {.id = 1};
	struct zl_error err = ZL_ERROR_INIT;
	struct zl_frame frame;

	put(&out, 100);
	ck_assert_int_lt(zl_stream_out_ack(&out, 1, &err), 0);
	ck_assert_int_eq(err.code, ZL_DATA_LOSS);
	ck_assert(zl_stream_out_next(&out, &frame));
	ck_assert_int_eq(zl_stream_out_ack(&out, 100, NULL), 0);
	ck_assert_int_lt(zl_stream_out_ack(&out, 101, NULL), 0);
	// An old one changes nothing.
	ck_assert_int_eq(zl_stream_out_ack(&out, 5, NULL), 0);
	ck_assert_uint_eq(out.base, 100);
	zl_stream_out_end(&out);
	ck_assert_int_lt(zl_stream_out_ack(&out, 101, NULL), 0);
	ck_assert(zl_stream_out_next(&out, &frame));
	ck_assert_int_eq(frame.kind, ZL_FRAME_END);
	ck_assert(!zl_stream_out_complete(&out));
	ck_assert_int_eq(zl_stream_out_ack(&out, 101, NULL), 0);
	ck_assert(zl_stream_out_complete(&out));
	// A new session hears of the end again.
	zl_stream_out_rewind(&out);
	ck_assert(zl_stream_out_next(&out, &frame));
	ck_assert_int_eq(frame.kind, ZL_FRAME_END);
	ck_assert_uint_eq(frame.offset, 100);
	zl_stream_out_release(&out);
}
END_TEST

START_TEST(receiver_refuses)
{
	struct zl_stream_in in = {.id = 1};
	struct zl_frame frame = {.kind = ZL_FRAME_DATA, .stream = 1, .offset = 0, .length = 10};

	ck_assert_int_eq(zl_stream_in_take(&in, &frame, NULL), 0);
	ck_assert_int_lt(zl_stream_in_take(&in, &frame, NULL), 0); // twice
	frame.offset = 11;
	ck_assert_int_lt(zl_stream_in_take(&in, &frame, NULL), 0); // a gap
	frame.offset = 10;
	frame.length = ZL_STREAM_WINDOW - 10;
	ck_assert_int_eq(zl_stream_in_take(&in, &frame, NULL), 0);
	frame.offset = ZL_STREAM_WINDOW;
	frame.length = 1;
	ck_assert_int_lt(zl_stream_in_take(&in, &frame, NULL), 0); // past the window
	in.consumed = 1;
	ck_assert_int_eq(zl_stream_in_take(&in, &frame, NULL), 0);
	frame = (struct zl_frame){.kind = ZL_FRAME_END, .stream = 1, .offset = 5};
	ck_assert_int_lt(zl_stream_in_take(&in, &frame, NULL), 0); // another length
	frame.offset = ZL_STREAM_WINDOW + 1;
	ck_assert_int_eq(zl_stream_in_take(&in, &frame, NULL), 0);
	ck_assert_int_lt(zl_stream_in_take(&in, &frame, NULL), 0); // after the end
}
END_TEST

// A receiver that consumes at random and is replaced at random, with acknowledgements lost on the
// way: what it consumed is the stream, once.
static void random_session(unsigned seed)
{
	enum { TOTAL = 500000 };
	struct zl_stream_out out = {.id = 1};
	struct zl_stream_in in = {.id = 1};
	uint64_t consumed = 0;
	struct zl_frame frame;
	bool complete = false;

	srandom(seed); // NOLINT(concurrency-mt-unsafe)
	while (!complete) {
		long what = random() % 16; // NOLINT(concurrency-mt-unsafe)

		if (what < 6 && out.end < TOTAL)
			put(&out, (size_t)random() % (TOTAL - out.end + 1)); // NOLINT
		else if (out.end == TOTAL)
			zl_stream_out_end(&out);
		if (what < 10 && zl_stream_out_next(&out, &frame)) {
			ck_assert_int_eq(zl_stream_in_take(&in, &frame, NULL), 0);
			check_frame(&frame);
		} else if (what < 13) {
			in.consumed = in.consumed + (uint64_t)random() % // NOLINT
			                                    (in.next - in.consumed + 1);
			consumed = in.consumed;
			if (what < 12)
				ck_assert_int_eq(zl_stream_out_ack(&out, consumed, NULL), 0);
			if (in.ended && consumed == in.next) {
				ck_assert_int_eq(zl_stream_out_ack(&out, consumed + 1, NULL), 0);
				complete = zl_stream_out_complete(&out);
			}
		} else if (what == 13) {
			zl_stream_out_rewind(&out);
			in = (struct zl_stream_in){.id = 1, .next = consumed, .consumed = consumed};
			ck_assert_int_eq(zl_stream_out_ack(&out, consumed, NULL), 0);
		}
	}
	ck_assert_uint_eq(consumed, TOTAL);
	zl_stream_out_release(&out);
}

START_TEST(random_cuts)
{
	random_session((unsigned)_i + 1);
}
END_TEST

START_TEST(discard)
{
	struct zl_stream_out out = {.id = 1};
	struct zl_frame frame;

	put(&out, 1000);
	zl_stream_out_discard(&out);
	ck_assert(!zl_stream_out_next(&out, &frame));
	put(&out, 1000);
	zl_stream_out_end(&out);
	zl_stream_out_discard(&out);
	ck_assert(zl_stream_out_complete(&out));
	zl_stream_out_release(&out);
}
END_TEST

TCase *stream_tests(void)
{
	TCase *tests = tcase_create("stream");

	tcase_add_test(tests, full_ring_holds_back);
	tcase_add_test(tests, ack_of_what_was_not_sent);
	tcase_add_test(tests, receiver_refuses);
	tcase_add_loop_test(tests, random_cuts, 0, 20);
	tcase_add_test(tests, discard);
	return tests;
}
