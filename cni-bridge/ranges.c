// SPDX-License-Identifier: Apache-2.0
#include "cni-bridge/ranges.h"

#include <limits.h>
#include <string.h>

#include "base/file.h"
#include "base/strv.h"
#include "cni-bridge/ip.h"

enum { TEXT_MAX = 1024 };

// No ".json" at its end: not a pod's record.
static const char FILE_NAME[] = "pod-cidrs";

static int add_range(json_t *ranges, const char *text, size_t length, struct zl_error *err)
{
	char cidr[ZL_CIDR_SIZE];
	struct zl_ip net;
	unsigned prefix;

	if (length >= sizeof(cidr))
		return zl_error_set(err, ZL_INVALID_ARGUMENT, "it is too long");
	memcpy(cidr, text, length);
	cidr[length] = '\0';
	if (!zl_cidr_parse(cidr, &net, &prefix))
		return zl_error_set(err, ZL_INVALID_ARGUMENT,
		        "\"%s\" is no network such as 10.244.1.0/24", cidr);
	zl_ip_mask(&net, prefix);
	zl_cidr_print(&net, prefix, cidr);
	if (json_array_append_new(ranges, json_pack("[{ss}]", "subnet", cidr)) < 0)
		return zl_error_nomem(err);
	return 0;
}

json_t *zl_ranges_parse(const char *text, struct zl_error *err)
{
	zl_auto(json) json_t *ranges = json_array();

	for (;;) {
		size_t length = strcspn(text, ",");
		size_t spaces = strspn(text, " ");

		if (json_array_size(ranges) == ZL_RANGES_MAX) {
			zl_error_set(
			        err, ZL_INVALID_ARGUMENT, "more than %d networks", ZL_RANGES_MAX);
			return NULL;
		}
		if (spaces > length)
			spaces = length;
		if (add_range(ranges, text + spaces, length - spaces, err) < 0)
			return NULL;
		if (text[length] == '\0')
			return zl_take(ranges);
		text += length + 1;
	}
}

static int make_path(const char *dir, char out[static PATH_MAX], struct zl_error *err)
{
	if (snprintf(out, PATH_MAX, "%s/%s", dir, FILE_NAME) >= PATH_MAX)
		return zl_error_set(err, ZL_INVALID_ARGUMENT, "path %.64s… is too long", dir);
	return 0;
}

int zl_ranges_load(const char *dir, char **ret_text, json_t **ret_ranges, struct zl_error *err)
{
	zl_auto(buffer) struct zl_buffer text = ZL_BUFFER_INIT;
	zl_auto(json) json_t *ranges = NULL;
	char path[PATH_MAX];
	char *copy;

	*ret_text = NULL;
	*ret_ranges = NULL;
	if (make_path(dir, path, err) < 0)
		return -1;
	if (zl_file_read(path, TEXT_MAX, &text, NULL) < 0)
		return 0;
	ranges = zl_ranges_parse(zl_buffer_string(&text), NULL);
	if (ranges == NULL)
		return 0;
	copy = zl_strdup(zl_buffer_string(&text), err);
	if (copy == NULL)
		return -1;
	*ret_text = copy;
	*ret_ranges = zl_take(ranges);
	return 0;
}

int zl_ranges_store(const char *dir, const char *text, struct zl_error *err)
{
	char path[PATH_MAX];

	if (make_path(dir, path, err) < 0 || zl_dir_make(dir, 0700, err) < 0)
		return -1;
	return zl_file_write_atomic(path, text, strlen(text), 0600, err);
}
