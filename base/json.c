// SPDX-License-Identifier: Apache-2.0
#include "base/json.h"

json_t *zl_json_parse(
        const char *what, const void *text, size_t length, size_t limit, struct zl_error *err)
{
	json_error_t failure;
	json_t *json;

	if (length > limit) {
		zl_error_set(err, ZL_INVALID_ARGUMENT, "%s: %zu bytes of JSON, at most %zu allowed",
		        what, length, limit);
		return NULL;
	}
	json = json_loadb(text, length, JSON_REJECT_DUPLICATES, &failure);
	if (json == NULL)
		zl_error_set(err, ZL_INVALID_ARGUMENT, "%s: line %d column %d: %s", what,
		        failure.line, failure.column, failure.text);
	return json;
}

const char *zl_json_string(const json_t *object, const char *key)
{
	return json_string_value(json_object_get(object, key));
}

const char *zl_json_need_string(
        const json_t *object, const char *what, const char *key, struct zl_error *err)
{
	const char *text = zl_json_string(object, key);

	if (text == NULL)
		zl_error_set(err, ZL_INVALID_ARGUMENT, "%s: no string \"%s\"", what, key);
	return text;
}

static int append_piece(const char *piece, size_t length, void *out)
{
	return zl_buffer_append(out, piece, length, NULL);
}

int zl_json_print(const json_t *json, struct zl_buffer *out, struct zl_error *err)
{
	if (json_dump_callback(json, append_piece, out, JSON_COMPACT | JSON_ENCODE_ANY) < 0)
		return zl_error_set(err, ZL_RESOURCE_EXHAUSTED, "print JSON: no memory");
	return 0;
}
