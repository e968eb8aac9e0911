// SPDX-License-Identifier: Apache-2.0
#include "unit/base/suites.h"

#include "base/json.h"

static json_t *parse(const char *text, struct zl_error *err)
{
	return zl_json_parse("test", text, strlen(text), 1 << 20, err);
}

static const struct {
	const char *text;
	const char *reason;
} refused[] = {
        {"", "line"},
        {"{", "line 1"},
        {"{\"a\":1,\"a\":2}", "duplicate"},
        {"{\"o\":{\"a\":1,\"b\":2,\"a\":3}}", "duplicate"},
        {"{} {}", "end of file"},
        {"{}x", "end of file"},
        {"\n\n{\"a\":}", "line 3"},
        {"7", "'[' or '{'"},
        {"\"x\"", "'[' or '{'"},
        {"{\"a\":\"\xff\"}", "decode"},
        {"{\"a\":\"\xed\xa0\x80\"}", "decode"},
        {"{\"a\":\"\\u0000\"}", "\\u0000"},
        {"{\"\\u0000\":1}", "\\u0000"},
        {"{'a':1}", "line 1"},
        {"[1,]", "line 1"},
        {"[01]", "line 1"},
        {"[1e9999]", "overflow"},
        {"[99999999999999999999]", "too big"},
        {"[NaN]", "line 1"},
        {"[\"\n\"]", "line 1"},
};

START_TEST(refuses_bad_text)
{
	for (size_t i = 0; i < sizeof(refused) / sizeof(refused[0]); i++) {
		struct zl_error err = ZL_ERROR_INIT;

		ck_assert_msg(
		        parse(refused[i].text, &err) == NULL, "accepted: %s", refused[i].text);
		ck_error(err, ZL_INVALID_ARGUMENT, refused[i].reason);
		ck_error(err, ZL_INVALID_ARGUMENT, "test: ");
	}
}
END_TEST

START_TEST(bounds_size)
{
	struct zl_error err = ZL_ERROR_INIT;
	zl_auto(json) json_t *fits = zl_json_parse("test", "[1, 2]", 6, 6, &err);

	ck_assert_ptr_nonnull(fits);
	ck_assert_ptr_null(zl_json_parse("manifest", "[1, 2]", 6, 5, &err));
	ck_error(err, ZL_INVALID_ARGUMENT, "manifest: 6 bytes");
}
END_TEST

START_TEST(bounds_nesting)
{
	struct zl_error err = ZL_ERROR_INIT;
	char *text = malloc(200001);

	ck_assert_ptr_nonnull(text);
	memset(text, '[', 200000);
	text[200000] = '\0';
	ck_assert_ptr_null(parse(text, &err));
	ck_error(err, ZL_INVALID_ARGUMENT, "depth");
	memset(text, '[', 1000);
	memset(text + 1000, ']', 1000);
	text[2000] = '\0';
	json_decref(parse(text, &err));
	free(text);
}
END_TEST

START_TEST(does_not_read_past_the_length)
{
	struct zl_error err = ZL_ERROR_INIT;
	char *exact = malloc(4);
	zl_auto(json) json_t *json = NULL;

	ck_assert_ptr_nonnull(exact);
	memcpy(exact, "[12]", 4);
	json = zl_json_parse("test", exact, 4, 4, &err);
	ck_assert_ptr_nonnull(json);
	ck_assert_int_eq(json_integer_value(json_array_get(json, 0)), 12);
	ck_assert_ptr_null(zl_json_parse("test", exact, 3, 4, &err));
	free(exact);
}
END_TEST

START_TEST(gives_string_members)
{
	struct zl_error err = ZL_ERROR_INIT;
	zl_auto(json) json_t *json = parse("{\"s\":\"x\",\"n\":1,\"z\":null,\"l\":[]}", &err);

	ck_assert_str_eq(zl_json_string(json, "s"), "x");
	ck_assert_ptr_null(zl_json_string(json, "n"));
	ck_assert_ptr_null(zl_json_string(json, "absent"));
	ck_assert_ptr_null(zl_json_string(json_object_get(json, "l"), "s"));
	ck_assert_ptr_null(zl_json_string(NULL, "s"));
	ck_assert_str_eq(zl_json_need_string(json, "config", "s", &err), "x");
	ck_assert_int_eq(err.code, ZL_OK);
	ck_assert_ptr_null(zl_json_need_string(json, "config", "n", &err));
	ck_error(err, ZL_INVALID_ARGUMENT, "config: no string \"n\"");
}
END_TEST

START_TEST(prints_compactly)
{
	zl_auto(buffer) struct zl_buffer out = ZL_BUFFER_INIT;
	struct zl_error err = ZL_ERROR_INIT;
	zl_auto(json) json_t *json = parse(" { \"a\" : [ 1, true, \"é\\n\" ] } ", &err);
	zl_auto(json) json_t *text = json_string("t");

	ck_ok(zl_json_print(json, &out, &err), err);
	ck_ok(zl_json_print(text, &out, &err), err);
	ck_assert_str_eq(zl_buffer_string(&out), "{\"a\":[1,true,\"é\\n\"]}\"t\"");
}
END_TEST

START_TEST(prints_no_more_than_the_limit)
{
	zl_auto(buffer) struct zl_buffer out = ZL_BUFFER_LIMIT(5);
	struct zl_error err = ZL_ERROR_INIT;
	zl_auto(json) json_t *json = parse("[1,2,3]", &err);

	ck_assert_int_eq(zl_json_print(json, &out, &err), -1);
	ck_assert_int_eq(err.code, ZL_RESOURCE_EXHAUSTED);
	ck_assert_uint_le(out.length, 5);
}
END_TEST

SUITE(json, refuses_bad_text, bounds_size, bounds_nesting, does_not_read_past_the_length,
        gives_string_members, prints_compactly, prints_no_more_than_the_limit)
