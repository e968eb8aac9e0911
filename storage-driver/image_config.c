// SPDX-License-Identifier: Apache-2.0
#include "storage-driver/image_config.h"

#include <stdio.h>
#include <string.h>

#include "base/json.h"
#include "base/strv.h"

void zl_image_free(struct zl_image *image)
{
	if (image == NULL)
		return;
	zl_strv_free(image->repo_tags);
	zl_strv_free(image->repo_digests);
	zl_strv_free(image->env);
	zl_strv_free(image->entrypoint);
	zl_strv_free(image->command);
	zl_strv_free(image->volumes);
	zl_strv_free(image->labels);
	free(image->user);
	free(image->working_dir);
	free(image->stop_signal);
	free(image->os);
	free(image->architecture);
	free(image->config_json);
	free(image);
}

// An empty vector, so that callers never meet NULL for "none".
static char **empty_vector(struct zl_error *err)
{
	char **vector = calloc(1, sizeof(*vector));

	if (vector == NULL)
		zl_error_nomem(err);
	return vector;
}

static int check_count(const char *what, const char *key, size_t count, struct zl_error *err)
{
	if (count <= ZL_IMAGE_CONFIG_LIST_MAX)
		return 0;
	return zl_error_set(err, ZL_INVALID_ARGUMENT, "%s: %s has %zu members, at most %d allowed",
	        what, key, count, ZL_IMAGE_CONFIG_LIST_MAX);
}

// A list of strings; absent or null is empty.
static char **read_list(
        const char *what, const json_t *object, const char *key, struct zl_error *err)
{
	const json_t *list = json_object_get(object, key);
	size_t count = json_array_size(list);
	zl_auto(strv) char **out = NULL;

	if (list != NULL && !json_is_null(list) && !json_is_array(list)) {
		zl_error_set(err, ZL_INVALID_ARGUMENT, "%s: %s is not a list", what, key);
		return NULL;
	}
	if (check_count(what, key, count, err) < 0)
		return NULL;
	out = calloc(count + 1, sizeof(*out));
	if (out == NULL) {
		zl_error_nomem(err);
		return NULL;
	}
	for (size_t i = 0; i < count; i++) {
		const char *text = json_string_value(json_array_get(list, i));

		if (text == NULL) {
			zl_error_set(err, ZL_INVALID_ARGUMENT,
			        "%s: %s has a member that is not text", what, key);
			return NULL;
		}
		out[i] = zl_strdup(text, err);
		if (out[i] == NULL)
			return NULL;
	}
	return zl_take(out);
}

// The members of a map: "key=value", or the keys alone (Volumes, whose values are empty objects).
static char **read_map(const char *what, const json_t *object, const char *key, bool with_values,
        struct zl_error *err)
{
	json_t *map = json_object_get(object, key);
	zl_auto(strv) char **out = NULL;
	const char *name;
	json_t *value;
	size_t i = 0;

	if (map == NULL || json_is_null(map))
		return empty_vector(err);
	if (!json_is_object(map)) {
		zl_error_set(err, ZL_INVALID_ARGUMENT, "%s: %s is not a map", what, key);
		return NULL;
	}
	if (check_count(what, key, json_object_size(map), err) < 0)
		return NULL;
	out = calloc(json_object_size(map) + 1, sizeof(*out));
	if (out == NULL) {
		zl_error_nomem(err);
		return NULL;
	}
	json_object_foreach(map, name, value)
	{
		const char *text = json_string_value(value);

		out[i] = with_values ? zl_format(err, "%s=%s", name, text != NULL ? text : "")
		                     : zl_strdup(name, err);
		if (out[i++] == NULL)
			return NULL;
	}
	return zl_take(out);
}

static char *read_text(const json_t *object, const char *key, struct zl_error *err)
{
	const char *text = zl_json_string(object, key);

	return zl_strdup(text != NULL ? text : "", err);
}

static int read_lists(
        const char *what, const json_t *config, struct zl_image *image, struct zl_error *err)
{
	image->env = read_list(what, config, "Env", err);
	if (image->env == NULL)
		return -1;
	image->entrypoint = read_list(what, config, "Entrypoint", err);
	if (image->entrypoint == NULL)
		return -1;
	image->command = read_list(what, config, "Cmd", err);
	if (image->command == NULL)
		return -1;
	image->volumes = read_map(what, config, "Volumes", false, err);
	if (image->volumes == NULL)
		return -1;
	image->labels = read_map(what, config, "Labels", true, err);
	return image->labels == NULL ? -1 : 0;
}

static int read_texts(
        const json_t *json, const json_t *config, struct zl_image *image, struct zl_error *err)
{
	image->user = read_text(config, "User", err);
	image->working_dir = read_text(config, "WorkingDir", err);
	image->stop_signal = read_text(config, "StopSignal", err);
	image->os = read_text(json, "os", err);
	image->architecture = read_text(json, "architecture", err);
	if (image->user == NULL || image->working_dir == NULL || image->stop_signal == NULL ||
	        image->os == NULL || image->architecture == NULL)
		return -1;
	return 0;
}

static char **read_diff_ids(const char *what, const json_t *json, struct zl_error *err)
{
	const json_t *rootfs = json_object_get(json, "rootfs");
	const char *type = zl_json_string(rootfs, "type");
	zl_auto(strv) char **diff_ids = NULL;

	if (type == NULL || strcmp(type, "layers") != 0) {
		zl_error_set(err, ZL_INVALID_ARGUMENT,
		        "%s: no rootfs of type 'layers': not the config of a container image",
		        what);
		return NULL;
	}
	diff_ids = read_list(what, rootfs, "diff_ids", err);
	if (diff_ids == NULL)
		return NULL;
	for (size_t i = 0; diff_ids[i] != NULL; i++) {
		if (!zl_digest_valid(diff_ids[i])) {
			zl_error_set(err, ZL_INVALID_ARGUMENT,
			        "%s: diffID %zu is not a sha256 or sha512 digest", what, i + 1);
			return NULL;
		}
	}
	return zl_take(diff_ids);
}

static int set_id(const void *bytes, size_t length, struct zl_image *image, struct zl_error *err)
{
	char digest[ZL_DIGEST_SIZE];

	if (zl_digest_bytes(NULL, bytes, length, digest, err) < 0)
		return -1;
	(void)snprintf(image->id, sizeof(image->id), "%.71s", digest);
	image->config_json = strndup(bytes, length);
	return image->config_json == NULL ? zl_error_nomem(err) : 0;
}

struct zl_image *zl_image_config_parse(const char *what, const void *bytes, size_t length,
        char ***ret_diff_ids, struct zl_error *err)
{
	zl_auto(json) json_t *json = zl_json_parse(what, bytes, length, ZL_IMAGE_CONFIG_LIMIT, err);
	zl_auto(image) struct zl_image *image = NULL;
	zl_auto(strv) char **diff_ids = NULL;
	const json_t *config;

	if (json == NULL)
		return NULL;
	image = calloc(1, sizeof(*image));
	if (image == NULL) {
		zl_error_nomem(err);
		return NULL;
	}
	config = json_object_get(json, "config");
	diff_ids = read_diff_ids(what, json, err);
	if (diff_ids == NULL || read_lists(what, config, image, err) < 0 ||
	        read_texts(json, config, image, err) < 0 || set_id(bytes, length, image, err) < 0)
		return NULL;
	image->repo_tags = empty_vector(err);
	image->repo_digests = empty_vector(err);
	if (image->repo_tags == NULL || image->repo_digests == NULL)
		return NULL;
	*ret_diff_ids = zl_take(diff_ids);
	return zl_take(image);
}

int zl_image_config_check_platform(const char *what, const struct zl_image *image,
        const struct zl_platform *want, struct zl_error *err)
{
	struct zl_platform have = {.os = ""};
	char wanted[3 * ZL_PLATFORM_SIZE];
	char found[3 * ZL_PLATFORM_SIZE];

	(void)snprintf(have.os, sizeof(have.os), "%s", image->os);
	(void)snprintf(have.architecture, sizeof(have.architecture), "%s", image->architecture);
	// Configs seldom name a variant, and where an index did, it was matched there.
	if (zl_platform_match(want, &have))
		return 0;
	return zl_error_set(err, ZL_FAILED_PRECONDITION,
	        "%s: the image is for %s and this machine is %s; use another tag or build the "
	        "image "
	        "for this architecture",
	        what, zl_platform_format(&have, found, sizeof(found)),
	        zl_platform_format(want, wanted, sizeof(wanted)));
}

static bool comes_again(char *const *diff_ids, size_t at)
{
	for (size_t i = at + 1; diff_ids[i] != NULL; i++) {
		if (strcmp(diff_ids[i], diff_ids[at]) == 0)
			return true;
	}
	return false;
}

void zl_layers_unique(char **diff_ids)
{
	size_t kept = 0;

	for (size_t i = 0; diff_ids[i] != NULL; i++) {
		char *diff_id = diff_ids[i];

		if (comes_again(diff_ids, i))
			free(diff_id);
		else
			diff_ids[kept++] = diff_id;
	}
	diff_ids[kept] = NULL;
}

int zl_layers_key(char *const *diff_ids, char out[static ZL_DIGEST_SIZE], struct zl_error *err)
{
	zl_auto(digest_stream) struct zl_digest_stream stream = ZL_DIGEST_STREAM_INIT;

	if (zl_digest_start(&stream, "sha256:", err) < 0)
		return -1;
	for (; *diff_ids != NULL; diff_ids++) {
		zl_digest_update(&stream, *diff_ids, strlen(*diff_ids));
		zl_digest_update(&stream, "\n", 1);
	}
	zl_digest_finish(&stream, out);
	return 0;
}
