// SPDX-License-Identifier: Apache-2.0
//
// JSON by jansson, with the project's errors and limits. jansson itself refuses invalid UTF-8,
// duplicate keys (as we call it) and nesting past 2048; the size is bounded here.
#ifndef ZL_BASE_JSON_H
#define ZL_BASE_JSON_H

#include <jansson.h>

#include "base/buffer.h"
#include "base/error.h"

static inline void zl_json_free(json_t *json)
{
	json_decref(json);
}
ZL_AUTO_DEFINE(json, json_t *, zl_json_free);

// Parses exactly one JSON text of at most `limit` bytes. `what` names it in the error
// (INVALID_ARGUMENT with line and column). The caller owns the result.
json_t *zl_json_parse(
        const char *what, const void *text, size_t length, size_t limit, struct zl_error *err);

// The string member `key`, owned by the object; NULL when absent or of another type (with an error
// only from zl_json_need_string).
const char *zl_json_string(const json_t *object, const char *key);
const char *zl_json_need_string(
        const json_t *object, const char *what, const char *key, struct zl_error *err);

// Appends compact JSON to `out`.
int zl_json_print(const json_t *json, struct zl_buffer *out, struct zl_error *err);

#endif
