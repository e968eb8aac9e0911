// SPDX-License-Identifier: Apache-2.0
#include "storage-driver/pull_line.h"

#include <stdio.h>
#include <string.h>

#include "base/json.h"
#include "storage-driver/printable.h"

static int malformed(struct zl_error *err, const char *why)
{
	return zl_error_set(
	        err, ZL_INVALID_ARGUMENT, "zonelet-pull says something malformed: %s", why);
}

static uint64_t count_of(const json_t *json, const char *key)
{
	json_int_t value = json_integer_value(json_object_get(json, key));

	return value > 0 ? (uint64_t)value : 0;
}

static int read_layer(const json_t *json, struct zl_pull_line *ret, struct zl_error *err)
{
	const char *layer = zl_json_string(json, "layer");

	if (!zl_digest_valid(layer))
		return malformed(err, "a layer that is not a digest");
	(void)snprintf(ret->layer, sizeof(ret->layer), "%s", layer);
	return 0;
}

static int read_progress(const json_t *json, struct zl_pull_line *ret, struct zl_error *err)
{
	const char *stage = zl_json_string(json, "stage");
	const char *object = zl_json_string(json, "object");

	if (stage == NULL || object == NULL)
		return malformed(err, "progress without a stage");
	(void)zl_printable(stage, ret->stage, sizeof(ret->stage));
	(void)zl_printable(object, ret->object, sizeof(ret->object));
	ret->done = count_of(json, "done");
	ret->total = count_of(json, "total");
	return 0;
}

static int read_made(const json_t *json, struct zl_pull_line *ret, struct zl_error *err)
{
	const char *file = zl_json_string(json, "file");

	if (file == NULL || *file == '\0' || *file == '.' || strlen(file) >= sizeof(ret->file) ||
	        file[strspn(file, "abcdefghijklmnopqrstuvwxyz0123456789-.")] != '\0')
		return malformed(err, "a layer without a plain file name");
	(void)snprintf(ret->file, sizeof(ret->file), "%s", file);
	return read_layer(json, ret, err);
}

static int read_done(const json_t *json, struct zl_pull_line *ret, struct zl_error *err)
{
	uint64_t documents = count_of(json, "documents");

	if (documents == 0 || documents > ZL_MANIFEST_DEPTH_MAX)
		return malformed(err, "an impossible number of documents");
	ret->documents = (uint32_t)documents;
	ret->merged = json_is_true(json_object_get(json, "merged"));
	return 0;
}

static enum zl_code code_named(const char *name)
{
	for (int code = ZL_CANCELLED; code <= ZL_UNAUTHENTICATED; code++) {
		if (name != NULL && strcmp(zl_code_name((enum zl_code)code), name) == 0)
			return (enum zl_code)code;
	}
	return ZL_INTERNAL;
}

static int read_error(const json_t *json, struct zl_pull_line *ret, struct zl_error *err)
{
	const char *message = zl_json_string(json, "message");

	if (message == NULL)
		return malformed(err, "an error without a message");
	ret->failure.code = code_named(zl_json_string(json, "code"));
	(void)zl_printable(message, ret->failure.message, sizeof(ret->failure.message));
	return 0;
}

static const struct {
	const char *name;
	enum zl_pull_event event;
	int (*read)(const json_t *json, struct zl_pull_line *ret, struct zl_error *err);
} events[] = {
        {"progress", ZL_PULL_PROGRESS, read_progress},
        {"claim", ZL_PULL_CLAIM, read_layer},
        {"layer", ZL_PULL_LAYER, read_made},
        {"done", ZL_PULL_DONE, read_done},
        {"error", ZL_PULL_ERROR, read_error},
};

int zl_pull_line_parse(
        const char *text, size_t length, struct zl_pull_line *ret, struct zl_error *err)
{
	zl_auto(json) json_t *json =
	        zl_json_parse("zonelet-pull's line", text, length, ZL_PULL_LINE_MAX, err);
	const char *name = zl_json_string(json, "event");

	*ret = (struct zl_pull_line){.failure = ZL_ERROR_INIT};
	if (json == NULL)
		return -1;
	for (size_t i = 0; name != NULL && i < ZL_ARRAY_SIZE(events); i++) {
		if (strcmp(name, events[i].name) == 0) {
			ret->event = events[i].event;
			return events[i].read(json, ret, err);
		}
	}
	return malformed(err, "an unknown event");
}
