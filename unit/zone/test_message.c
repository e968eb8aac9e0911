// SPDX-License-Identifier: Apache-2.0
#include <check.h>
#include <stdlib.h>
#include <string.h>

#include "unit/zone/tests.h"
#include "zone.pb-c.h"
#include "zone/protocol/message.h"

// Feeds packed frames to a reader. Returns what zl_zone_message_take did last.
static int feed(struct zl_zone_message_reader *reader, const struct zl_buffer *frames, void **ret,
        struct zl_error *err)
{
	zl_auto(frame_parser) struct zl_frame_parser parser = ZL_FRAME_PARSER_INIT;
	const uint8_t *bytes = frames->data;
	size_t length = frames->length;
	struct zl_frame frame;
	int result = 0;

	*ret = NULL;
	while (result == 0 && zl_frame_parse(&parser, &bytes, &length, &frame, err) == 1)
		result = zl_zone_message_take(reader, &frame, ret, err);
	return result;
}

START_TEST(long_message_in_pieces)
{
	enum { SIZE = 200000 };
	Zl__Zone__ContainerCreate create = ZL__ZONE__CONTAINER_CREATE__INIT;
	Zl__Zone__ToZone message = ZL__ZONE__TO_ZONE__INIT;
	zl_auto(buffer) struct zl_buffer frames = ZL_BUFFER_INIT;
	struct zl_zone_message_reader reader = {.type = &zl__zone__to_zone__descriptor,
	        .partial = ZL_BUFFER_LIMIT(ZL_ZONE_MESSAGE_TO_ZONE_MAX)};
	void *back = NULL;
	char *spec = malloc(SIZE + 1);

	memset(spec, 'j', SIZE);
	spec[SIZE] = '\0';
	create.oci_spec = spec;
	message.request_id = 7;
	message.body_case = ZL__ZONE__TO_ZONE__BODY_CONTAINER_CREATE;
	message.container_create = &create;
	ck_assert_int_eq(zl_zone_message_append(&frames, &message.base, NULL), 0);
	ck_assert_int_eq(feed(&reader, &frames, &back, NULL), 0);
	ck_assert_ptr_nonnull(back);
	ck_assert_str_eq(((Zl__Zone__ToZone *)back)->container_create->oci_spec, spec);
	zl_zone_message_free(back);

	// The same is too much where less is allowed.
	reader.partial.limit = 100000;
	ck_assert_int_lt(feed(&reader, &frames, &back, NULL), 0);
	zl_zone_message_reader_release(&reader);
	free(spec);
}
END_TEST

// Two bytes each on the wire, a hundred in memory.
START_TEST(bomb)
{
	enum { COUNT = 100000 };
	zl_auto(buffer) struct zl_buffer packed = ZL_BUFFER_INIT;
	zl_auto(buffer) struct zl_buffer outer = ZL_BUFFER_INIT;
	struct zl_error err = ZL_ERROR_INIT;
	size_t length = (size_t)COUNT * 2;
	uint8_t header[] = {0x3a, (uint8_t)(length & 0x7f) | 0x80,
	        (uint8_t)((length >> 7) & 0x7f) | 0x80, (uint8_t)(length >> 14)};

	for (int i = 0; i < COUNT; i++)
		ck_assert_int_eq(zl_buffer_append(&packed, "\x0a\x00", 2, NULL), 0);
	ck_assert_int_eq(zl_buffer_append(&outer, header, sizeof(header), NULL), 0);
	ck_assert_int_eq(zl_buffer_append(&outer, packed.data, packed.length, NULL), 0);
	ck_assert_ptr_null(zl_zone_message_unpack(
	        &zl__zone__from_zone__descriptor, outer.data, outer.length, &err));
	ck_assert_int_eq(err.code, ZL_DATA_LOSS);
}
END_TEST

START_TEST(scrub)
{
	struct {
		const char *from;
		const char *to;
	} cases[] = {
	        {"plain", "plain"},
	        {"\xc3\xa4\xe2\x82\xac\xf0\x9f\x90\x8b", "\xc3\xa4\xe2\x82\xac\xf0\x9f\x90\x8b"},
	        {"a\tb\nc", "a\tb\nc"}, {"\x1b[31m\r\x7f", "?[31m??"}, {"\xff\xfe", "??"},
	        {"\xc3", "?"}, {"\xe2\x82", "??"}, {"\xc0\x80", "??"}, // overlong
	        {"\xed\xa0\x80", "???"},                               // a surrogate
	        {"\xf4\x90\x80\x80", "????"},                          // past U+10FFFF
	};

	for (size_t i = 0; i < ZL_ARRAY_SIZE(cases); i++) {
		char text[32];

		(void)snprintf(text, sizeof(text), "%s", cases[i].from);
		zl_zone_text_scrub(text);
		ck_assert_str_eq(text, cases[i].to);
	}
}
END_TEST

START_TEST(scrub_reaches_everything)
{
	Zl__Zone__Container container = ZL__ZONE__CONTAINER__INIT;
	Zl__Zone__Container *list[] = {&container};
	Zl__Zone__HelloReply hello = ZL__ZONE__HELLO_REPLY__INIT;
	Zl__Zone__FromZone message = ZL__ZONE__FROM_ZONE__INIT;
	zl_auto(buffer) struct zl_buffer frames = ZL_BUFFER_INIT;
	struct zl_zone_message_reader reader = {.type = &zl__zone__from_zone__descriptor,
	        .scrub = true,
	        .partial = ZL_BUFFER_LIMIT(ZL_ZONE_MESSAGE_FROM_ZONE_MAX)};
	void *back = NULL;
	const Zl__Zone__HelloReply *got;

	container.id = (char *)(uintptr_t)"\x01id";
	hello.supervisor_version = (char *)(uintptr_t)"v\xff";
	hello.containers = list;
	hello.n_containers = 1;
	message.body_case = ZL__ZONE__FROM_ZONE__BODY_HELLO;
	message.hello = &hello;
	ck_assert_int_eq(zl_zone_message_append(&frames, &message.base, NULL), 0);
	ck_assert_int_eq(feed(&reader, &frames, &back, NULL), 0);
	got = ((Zl__Zone__FromZone *)back)->hello;
	ck_assert_str_eq(got->supervisor_version, "v?");
	ck_assert_str_eq(got->containers[0]->id, "?id");
	zl_zone_message_free(back);
}
END_TEST

TCase *message_tests(void)
{
	TCase *tests = tcase_create("message");

	tcase_add_test(tests, long_message_in_pieces);
	tcase_add_test(tests, bomb);
	tcase_add_test(tests, scrub);
	tcase_add_test(tests, scrub_reaches_everything);
	return tests;
}
