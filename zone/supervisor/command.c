// SPDX-License-Identifier: Apache-2.0
#include "zone/supervisor/command.h"

#include <fcntl.h>
#include <limits.h>
#include <linux/openat2.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/file.h"
#include "base/json.h"
#include "zone/supervisor/spec.h"

#define DEFAULT_PATH "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"

enum found { MISSING, UNUSABLE, USABLE };

static enum found look(int root, const char *path)
{
	struct open_how how = {
	        .flags = O_PATH | O_CLOEXEC,
	        .resolve = RESOLVE_IN_ROOT | RESOLVE_NO_MAGICLINKS,
	};
	zl_auto(fd) int fd = (int)syscall(SYS_openat2, root, path, &how, sizeof(how));
	struct stat st;

	if (fd < 0 || fstat(fd, &st) < 0)
		return MISSING;
	return S_ISREG(st.st_mode) && (st.st_mode & 0111) != 0 ? USABLE : UNUSABLE;
}

static bool is_directory(int root, const char *path)
{
	struct open_how how = {
	        .flags = O_PATH | O_CLOEXEC | O_DIRECTORY,
	        .resolve = RESOLVE_IN_ROOT | RESOLVE_NO_MAGICLINKS,
	};
	zl_auto(fd) int fd = (int)syscall(SYS_openat2, root, path, &how, sizeof(how));

	return fd >= 0;
}

static const char *search_path(const json_t *process)
{
	const json_t *env = json_object_get(process, "env");
	const json_t *entry;
	size_t i;

	json_array_foreach(env, i, entry)
	{
		const char *text = json_string_value(entry);

		if (text != NULL && strncmp(text, "PATH=", 5) == 0)
			return text + 5;
	}
	return DEFAULT_PATH;
}

static enum found look_in_path(int root, const json_t *process, const char *name)
{
	const char *list = search_path(process);
	enum found best = MISSING;

	while (*list != '\0') {
		size_t length = strcspn(list, ":");
		char path[PATH_MAX];
		enum found here;

		(void)snprintf(path, sizeof(path), "%.*s/%s", (int)length, list, name);
		here = look(root, path);
		if (here > best)
			best = here;
		list += length + (list[length] == ':' ? 1 : 0);
	}
	return best;
}

enum zl_code zl_command_diagnose(const json_t *process, const char *root)
{
	const char *name = json_string_value(json_array_get(json_object_get(process, "args"), 0));
	const char *cwd = zl_json_string(process, "cwd");
	zl_auto(fd) int fd = open(root, O_PATH | O_DIRECTORY | O_CLOEXEC);
	char path[PATH_MAX];
	enum found found;

	if (name == NULL || fd < 0)
		return ZL_INTERNAL;
	if (strchr(name, '/') == NULL) {
		found = look_in_path(fd, process, name);
	} else {
		(void)snprintf(path, sizeof(path), "%s/%s",
		        name[0] != '/' && cwd != NULL ? cwd : "", name);
		found = look(fd, path);
	}
	if (found == MISSING)
		return ZL_NOT_FOUND;
	if (found == UNUSABLE || (cwd != NULL && !is_directory(fd, cwd)))
		return ZL_INVALID_ARGUMENT;
	return ZL_INTERNAL;
}

enum zl_code zl_command_diagnose_file(const char *path, const char *root)
{
	zl_auto(buffer) struct zl_buffer text = ZL_BUFFER_LIMIT(ZL_SPEC_MAX);
	zl_auto(json) json_t *json = NULL;
	json_t *process;

	if (zl_file_read(path, ZL_SPEC_MAX, &text, NULL) < 0)
		return ZL_INTERNAL;
	json = zl_json_parse(path, text.data, text.length, ZL_SPEC_MAX, NULL);
	process = json_object_get(json, "process");
	return zl_command_diagnose(process != NULL ? process : json, root);
}
