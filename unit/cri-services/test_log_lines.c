// SPDX-License-Identifier: Apache-2.0
//
// How bytes become lines, and which of them are taken.
#include "unit/cri-services/log_text.h"

#include <stdlib.h>

START_TEST(splits_into_lines)
{
	zl_auto(container_log) struct zl_container_log *log = log_open(false);

	ck_assert_uint_eq(log_say(log, ZL_LOG_STDOUT, "one\ntwo\n\nfour\n"), 14);
	ck_log_lines(log_path, "stdout F one\nstdout F two\nstdout F \nstdout F four\n");
	ck_assert_uint_eq(zl_container_log_offset(log, ZL_LOG_STDOUT), 14);
	ck_assert_uint_eq(zl_container_log_offset(log, ZL_LOG_STDERR), 0);
}
END_TEST

START_TEST(leaves_a_rest_until_it_is_a_line)
{
	zl_auto(container_log) struct zl_container_log *log = log_open(false);

	ck_assert_uint_eq(log_say(log, ZL_LOG_STDOUT, "one\nhalf"), 4);
	ck_assert_uint_eq(log_say(log, ZL_LOG_STDOUT, "half"), 0);
	ck_assert_uint_eq(log_say(log, ZL_LOG_STDOUT, ""), 0);
	ck_log_lines(log_path, "stdout F one\n");
	ck_assert_uint_eq(log_say(log, ZL_LOG_STDOUT, "half and half\n"), 14);
	ck_log_lines(log_path, "stdout F one\nstdout F half and half\n");
}
END_TEST

START_TEST(takes_the_rest_at_the_end)
{
	zl_auto(container_log) struct zl_container_log *log = log_open(false);

	ck_assert_uint_eq(zl_container_log_write(log, ZL_LOG_STDOUT, 0, "one\ntail", 8, true), 8);
	ck_assert_uint_eq(zl_container_log_write(log, ZL_LOG_STDERR, 0, "x\n", 2, true), 2);
	ck_assert_uint_eq(zl_container_log_write(log, ZL_LOG_STDERR, 2, "", 0, true), 0);
	ck_log_lines(log_path, "stdout F one\nstdout F tail\nstderr F x\n");
}
END_TEST

// As containerd: a carriage return belongs to the text.
START_TEST(keeps_carriage_returns_and_odd_bytes)
{
	zl_auto(container_log) struct zl_container_log *log = log_open(false);
	zl_auto(buffer) struct zl_buffer out = ZL_BUFFER_INIT;

	ck_assert_uint_eq(log_say(log, ZL_LOG_STDOUT, "dos\r\n\r\n"), 7);
	ck_assert_uint_eq(
	        zl_container_log_write(log, ZL_LOG_STDERR, 0, "\0\xff\x1b[\n", 5, false), 5);
	log_stream(log_path, ZL_LOG_STDOUT, &out);
	ck_assert_str_eq(zl_buffer_string(&out), "dos\r\n\r\n");
	log_stream(log_path, ZL_LOG_STDERR, &out);
	ck_assert_uint_eq(out.length, 5);
	ck_assert_mem_eq(out.data, "\0\xff\x1b[\n", 5);
}
END_TEST

START_TEST(interleaves_both_streams)
{
	zl_auto(container_log) struct zl_container_log *log = log_open(false);

	log_say(log, ZL_LOG_STDOUT, "o1\n");
	log_say(log, ZL_LOG_STDERR, "e1\ne2\n");
	log_say(log, ZL_LOG_STDOUT, "o2\n");
	ck_log_lines(log_path, "stdout F o1\nstderr F e1\nstderr F e2\nstdout F o2\n");
	ck_assert_uint_eq(zl_container_log_offset(log, ZL_LOG_STDOUT), 6);
	ck_assert_uint_eq(zl_container_log_offset(log, ZL_LOG_STDERR), 6);
}
END_TEST

// Lines around the length at which they are cut, whole and in two reads.
START_TEST(cuts_long_lines)
{
	static const struct {
		size_t length; // of the line, without its newline
		size_t parts;
		size_t last; // length of the full line that ends it
	} lines[] = {
	        {ZL_LOG_LINE_MAX - 1, 0, ZL_LOG_LINE_MAX - 1},
	        {ZL_LOG_LINE_MAX, 1, 0},
	        {ZL_LOG_LINE_MAX + 1, 1, 1},
	        {2 * ZL_LOG_LINE_MAX - 1, 1, ZL_LOG_LINE_MAX - 1},
	        {2 * ZL_LOG_LINE_MAX, 2, 0},
	        {5 * ZL_LOG_LINE_MAX + 7, 5, 7},
	};
	char *text = malloc(6 * ZL_LOG_LINE_MAX);

	ck_assert_ptr_nonnull(text);
	for (size_t i = 0; i < sizeof(lines) / sizeof(lines[0]); i++) {
		zl_auto(container_log) struct zl_container_log *log = NULL;
		zl_auto(buffer) struct zl_buffer got = ZL_BUFFER_INIT;
		const char *at;

		(void)remove(log_path);
		log = log_open(false);
		memset(text, 'a' + (int)i, lines[i].length);
		text[lines[i].length] = '\n';
		ck_assert_uint_eq(zl_container_log_write(
		                          log, ZL_LOG_STDOUT, 0, text, lines[i].length + 1, false),
		        lines[i].length + 1);
		log_lines(log_path, &got);
		at = zl_buffer_string(&got);
		for (size_t p = 0; p < lines[i].parts; p++) {
			ck_assert_msg(strncmp(at, "stdout P ", 9) == 0, "length %zu part %zu",
			        lines[i].length, p);
			at += 9 + ZL_LOG_LINE_MAX + 1;
		}
		ck_assert_msg(strncmp(at, "stdout F ", 9) == 0, "length %zu", lines[i].length);
		ck_assert_uint_eq(strlen(at), 9 + lines[i].last + 1);
		log_stream(log_path, ZL_LOG_STDOUT, &got);
		ck_assert_uint_eq(got.length, lines[i].length + 1);
		ck_assert_mem_eq(got.data, text, got.length);
	}
	free(text);
}
END_TEST

// A part is taken when it is full, not before, and not only when more comes.
START_TEST(takes_a_part_when_it_is_full)
{
	zl_auto(container_log) struct zl_container_log *log = log_open(false);
	char *text = malloc(ZL_LOG_LINE_MAX + 1);

	ck_assert_ptr_nonnull(text);
	memset(text, 'x', ZL_LOG_LINE_MAX);
	text[ZL_LOG_LINE_MAX] = '\0';
	ck_assert_uint_eq(
	        zl_container_log_write(log, ZL_LOG_STDOUT, 0, text, ZL_LOG_LINE_MAX - 1, false), 0);
	ck_assert_uint_eq(
	        zl_container_log_write(log, ZL_LOG_STDOUT, 0, text, ZL_LOG_LINE_MAX, false),
	        ZL_LOG_LINE_MAX);
	// At the end of the stream there is no empty line after it.
	ck_assert_uint_eq(
	        zl_container_log_write(log, ZL_LOG_STDOUT, ZL_LOG_LINE_MAX, "", 0, true), 0);
	text[0] = 'y';
	ck_assert_uint_eq(
	        zl_container_log_write(log, ZL_LOG_STDERR, 0, text, ZL_LOG_LINE_MAX, true),
	        ZL_LOG_LINE_MAX);
	{
		zl_auto(buffer) struct zl_buffer got = ZL_BUFFER_INIT;

		log_lines(log_path, &got);
		ck_assert_uint_eq(got.length, 2 * (9 + ZL_LOG_LINE_MAX + 1));
		ck_assert(strncmp(zl_buffer_string(&got), "stdout P x", 10) == 0);
		ck_assert(strncmp(zl_buffer_string(&got) + 10 + ZL_LOG_LINE_MAX, "stderr P y",
		                  10) == 0);
	}
	free(text);
}
END_TEST

// Bytes that were written before are passed over, however they are cut the second time.
START_TEST(passes_over_what_it_has)
{
	static const char text[] = "one\ntwo\nthree\nfour\n";
	size_t length = sizeof(text) - 1;

	for (size_t piece = 1; piece <= length; piece++) {
		zl_auto(container_log) struct zl_container_log *log = NULL;

		(void)remove(log_path);
		log = log_open(false);
		ck_assert_uint_eq(
		        zl_container_log_write(log, ZL_LOG_STDOUT, 0, text, 14, false), 14);
		for (size_t at = 0; at < length;) {
			size_t size = at + piece < length ? piece : length - at;
			size_t took = zl_container_log_write(
			        log, ZL_LOG_STDOUT, at, text + at, size, at + size == length);

			ck_assert_uint_le(took, size);
			ck_assert_uint_ge(zl_container_log_offset(log, ZL_LOG_STDOUT), 14);
			at += took > 0 ? took : 0;
			if (took == 0) { // it wants more of the line
				ck_assert_uint_eq(zl_container_log_write(log, ZL_LOG_STDOUT, at,
				                          text + at, length - at, true),
				        length - at);
				at = length;
			}
		}
		ck_log_lines(
		        log_path, "stdout F one\nstdout F two\nstdout F three\nstdout F four\n");
		ck_assert_uint_eq(zl_container_log_offset(log, ZL_LOG_STDOUT), length);
	}
}
END_TEST

// A supervisor that had to drop output goes on further ahead.
START_TEST(goes_on_after_a_gap)
{
	zl_auto(container_log) struct zl_container_log *log = log_open(false);

	ck_assert_uint_eq(zl_container_log_write(log, ZL_LOG_STDOUT, 0, "a\n", 2, false), 2);
	ck_assert_uint_eq(zl_container_log_write(log, ZL_LOG_STDOUT, 1000, "b\n", 2, false), 2);
	ck_assert_uint_eq(zl_container_log_offset(log, ZL_LOG_STDOUT), 1002);
	ck_log_lines(log_path, "stdout F a\nstdout F b\n");
}
END_TEST

START_TEST(counts_where_nobody_wants_a_log)
{
	struct zl_error err = ZL_ERROR_INIT;
	zl_auto(container_log) struct zl_container_log *log =
	        zl_container_log_open("", commit_path, false, &err);

	ck_assert_msg(log != NULL, "%s", err.message);
	ck_assert_uint_eq(log_say(log, ZL_LOG_STDOUT, "a\nb"), 2);
	ck_assert_int_eq(zl_container_log_reopen(log, &err), 0);
	zl_container_log_close(log);
	log = zl_container_log_open("", commit_path, true, &err);
	ck_assert_uint_eq(zl_container_log_offset(log, ZL_LOG_STDOUT), 2);
}
END_TEST

LOG_SUITE(log_lines, splits_into_lines, leaves_a_rest_until_it_is_a_line, takes_the_rest_at_the_end,
        keeps_carriage_returns_and_odd_bytes, interleaves_both_streams, cuts_long_lines,
        takes_a_part_when_it_is_full, passes_over_what_it_has, goes_on_after_a_gap,
        counts_where_nobody_wants_a_log)
