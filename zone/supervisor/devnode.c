// SPDX-License-Identifier: Apache-2.0
#include "zone/supervisor/devnode.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>

#include "base/cleanup.h"
#include "base/file.h"
#include "base/json.h"

#define KEY "zonelet:devices"

// Deeper than any device directory (/dev/bus/usb/001/002).
enum { DEPTH_MAX = 8 };

// What a container has of its own: crun makes these (OCI runtime-spec config-linux.md, "Default
// Devices"), and the directories are mounts.
static const char *const own[] = {
        "console",
        "full",
        "mqueue",
        "null",
        "ptmx",
        "pts",
        "random",
        "shm",
        "tty",
        "urandom",
        "zero",
        "hugepages",
};

struct devnodes {
	json_t *devices; // linux.devices
	json_t *rules;   // linux.resources.devices; NULL: everything is allowed already
	const char *access;
};

static int nomem(int failed, struct zl_error *err)
{
	return failed == 0 ? 0 : zl_error_nomem(err);
}

static int add_node(
        struct devnodes *to, const struct stat *st, const char *path, struct zl_error *err)
{
	const char *kind = S_ISBLK(st->st_mode) ? "b" : "c";
	json_int_t major = (json_int_t)major(st->st_rdev);
	json_int_t minor = (json_int_t)minor(st->st_rdev);

	if (json_array_size(to->devices) >= ZL_DEVNODES_MAX)
		return zl_error_set(err, ZL_INVALID_ARGUMENT,
		        "more than %d devices in one container", ZL_DEVNODES_MAX);
	if (nomem(json_array_append_new(to->devices,
	                  json_pack("{s:s, s:s, s:I, s:I, s:i, s:I, s:I}", "path", path, "type",
	                          kind, "major", major, "minor", minor, "fileMode",
	                          (int)(st->st_mode & 07777), "uid", (json_int_t)st->st_uid, "gid",
	                          (json_int_t)st->st_gid)),
	            err) < 0)
		return -1;
	if (to->rules == NULL)
		return 0;
	return nomem(json_array_append_new(to->rules,
	                     json_pack("{s:b, s:s, s:I, s:I, s:s}", "allow", 1, "type", kind,
	                             "major", major, "minor", minor, "access", to->access)),
	        err);
}

static bool is_own(const char *name)
{
	for (size_t i = 0; i < ZL_ARRAY_SIZE(own); i++) {
		if (strcmp(own[i], name) == 0)
			return true;
	}
	return false;
}

// Links are left out: they lead to what is found by itself, or elsewhere.
static int add_below(
        struct devnodes *to, int directory, const char *path, int depth, struct zl_error *err)
{
	int copy = fcntl(directory, F_DUPFD_CLOEXEC, 0);
	zl_auto(dir) DIR *dir = copy >= 0 ? fdopendir(copy) : NULL;
	struct dirent *entry;

	// NOLINTNEXTLINE(concurrency-mt-unsafe): a stream of its own
	while (dir != NULL && depth < DEPTH_MAX && (entry = readdir(dir)) != NULL) {
		char below[PATH_MAX];
		struct stat st;

		if (entry->d_name[0] == '.' || (depth == 0 && is_own(entry->d_name)) ||
		        fstatat(directory, entry->d_name, &st, AT_SYMLINK_NOFOLLOW) < 0 ||
		        snprintf(below, sizeof(below), "%s/%s", path, entry->d_name) >=
		                (int)sizeof(below))
			continue;
		if (S_ISDIR(st.st_mode)) {
			zl_auto(fd) int child = openat(directory, entry->d_name,
			        O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);

			if (child >= 0 && add_below(to, child, below, depth + 1, err) < 0)
				return -1;
		} else if ((S_ISCHR(st.st_mode) || S_ISBLK(st.st_mode)) &&
		           add_node(to, &st, below, err) < 0) {
			return -1;
		}
	}
	return 0;
}

static int add_directory(
        struct devnodes *to, const char *source, const char *path, struct zl_error *err)
{
	zl_auto(fd) int directory = open(source, O_RDONLY | O_DIRECTORY | O_CLOEXEC);

	if (directory < 0)
		return zl_error_errno(err, errno, "open the devices in %s", source);
	// Only at the top of /dev are the container's own names.
	return add_below(to, directory, path, strcmp(source, "/dev") == 0 ? 0 : 1, err);
}

static int add_wanted(struct devnodes *to, const json_t *wanted, struct zl_error *err)
{
	const char *source = zl_json_string(wanted, "source");
	const char *path = zl_json_string(wanted, "path");
	struct stat st;

	to->access = zl_json_string(wanted, "access");
	if (source == NULL || path == NULL || to->access == NULL || source[0] != '/' ||
	        path[0] != '/' || to->access[strspn(to->access, "rwm")] != '\0')
		return zl_error_set(err, ZL_INVALID_ARGUMENT,
		        "device \"%s\": absolute paths and some of the letters rwm are wanted",
		        source != NULL ? source : "");
	if (stat(source, &st) < 0) {
		(void)zl_error_errno(err, errno, "device %s", source);
		if (err != NULL && errno == ENOENT)
			err->code = ZL_NOT_FOUND;
		return -1;
	}
	if (S_ISDIR(st.st_mode))
		return add_directory(to, source, path, err);
	if (!S_ISCHR(st.st_mode) && !S_ISBLK(st.st_mode))
		return zl_error_set(err, ZL_INVALID_ARGUMENT, "%s is no device", source);
	return add_node(to, &st, path, err);
}

// The list at key, made if need be.
static json_t *need_list(json_t *object, const char *key)
{
	json_t *list = json_object_get(object, key);

	if (list == NULL && json_object_set_new(object, key, json_array()) == 0)
		list = json_object_get(object, key);
	return json_is_array(list) ? list : NULL;
}

static json_t *need_rules(json_t *linux_part)
{
	json_t *resources = json_object_get(linux_part, "resources");

	if (resources == NULL && json_object_set_new(linux_part, "resources", json_object()) == 0)
		resources = json_object_get(linux_part, "resources");
	return json_is_object(resources) ? need_list(resources, "devices") : NULL;
}

int zl_devnodes_add(json_t *linux_part, struct zl_error *err)
{
	zl_auto(json) json_t *wanted = json_incref(json_object_get(linux_part, KEY));
	bool all = json_is_true(json_object_get(wanted, "all"));
	const json_t *list = json_object_get(wanted, "list");
	struct devnodes to = {.access = "rwm"};
	const json_t *each;
	size_t i;

	if (wanted == NULL)
		return 0;
	(void)json_object_del(linux_part, KEY);
	if (!all && json_array_size(list) == 0)
		return 0;
	to.devices = need_list(linux_part, "devices");
	to.rules = all ? NULL : need_rules(linux_part);
	if (to.devices == NULL || (!all && to.rules == NULL))
		return zl_error_set(err, ZL_INVALID_ARGUMENT, "the OCI spec's devices are no list");
	if (all && add_directory(&to, "/dev", "/dev", err) < 0)
		return -1;
	json_array_foreach(list, i, each)
	{
		if (add_wanted(&to, each, err) < 0)
			return -1;
	}
	return 0;
}
