// SPDX-License-Identifier: Apache-2.0
#include "zone/supervisor/cgroup1.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/magic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/vfs.h>
#include <unistd.h>

#include "base/file.h"
#include "base/json.h"

#define CGROUP_ROOT "/sys/fs/cgroup"

enum { CONTROL_MAX = 4096 };

// cpuset is one only for those who ask for it: its directories are of no use until they are filled.
static const char *const controllers[] = {"memory", "cpu", "cpuacct", "pids", "cpuset"};

int zl_cgroup1_enter(const char *state_dir, bool *ret_hybrid, struct zl_error *err)
{
	char old[PATH_MAX];
	struct statfs fs;

	*ret_hybrid = false;
	if (statfs(CGROUP_ROOT, &fs) < 0 || (unsigned long)fs.f_type == CGROUP2_SUPER_MAGIC)
		return 0;
	(void)snprintf(old, sizeof(old), "%s/cgroup1", state_dir);
	if (zl_dir_make(old, 0700, err) < 0)
		return -1;
	if (mount(CGROUP_ROOT, old, NULL, MS_BIND | MS_REC, NULL) < 0)
		return zl_error_errno(err, errno, "bind " CGROUP_ROOT " to %s", old);
	if (mount("cgroup", CGROUP_ROOT, "cgroup2", MS_NOSUID | MS_NODEV | MS_NOEXEC, NULL) < 0)
		return zl_error_errno(err, errno,
		        "mount cgroup version 2 (the node has version 1 alone, which does not do)");
	*ret_hybrid = true;
	return 0;
}

static void path_of(const char *base, const char *controller, const char *cgroups_path,
        const char *file, char out[static PATH_MAX])
{
	(void)snprintf(out, PATH_MAX, "%s/%s/%s%s%s", base, controller, cgroups_path,
	        file[0] != '\0' ? "/" : "", file);
}

static bool has_controller(const char *base, const char *controller)
{
	char path[PATH_MAX];
	struct statfs fs;

	(void)snprintf(path, sizeof(path), "%s/%s", base, controller);
	return statfs(path, &fs) == 0 && (unsigned long)fs.f_type == CGROUP_SUPER_MAGIC;
}

static int write_control(const char *base, const char *cgroups_path, const char *controller,
        const char *file, const char *value, struct zl_error *err)
{
	char path[PATH_MAX];
	zl_auto(fd) int fd = -1;

	path_of(base, controller, cgroups_path, file, path);
	fd = open(path, O_WRONLY | O_CLOEXEC);
	if (fd < 0 || write(fd, value, strlen(value)) < 0)
		return zl_error_errno(err, errno, "write %s to %s", value, path);
	return 0;
}

// ---- limits

// A number of an OCI `resources` object, and the file that it goes to.
static const struct limit {
	const char *section;
	const char *key;
	const char *controller;
	const char *file;
	bool optional; // a kernel may be without it
} limits[] = {
        {"memory", "limit", "memory", "memory.limit_in_bytes", false},
        // Memory and swap together, in OCI and here; after the limit, which it may not be below.
        {"memory", "swap", "memory", "memory.memsw.limit_in_bytes", true},
        {"memory", "reservation", "memory", "memory.soft_limit_in_bytes", true},
        {"cpu", "shares", "cpu", "cpu.shares", false},
        {"cpu", "period", "cpu", "cpu.cfs_period_us", true},
        {"cpu", "quota", "cpu", "cpu.cfs_quota_us", true},
        {"pids", "limit", "pids", "pids.max", false},
};

static int set_limit(const char *base, const char *cgroups_path, const struct limit *limit,
        json_t *resources, struct zl_error *err)
{
	json_t *section = json_object_get(resources, limit->section);
	json_t *value = json_object_get(section, limit->key);
	struct zl_error why = ZL_ERROR_INIT;
	char text[32];

	if (!json_is_integer(value) || !has_controller(base, limit->controller))
		return 0;
	(void)snprintf(text, sizeof(text), "%lld", (long long)json_integer_value(value));
	if (write_control(base, cgroups_path, limit->controller, limit->file, text, &why) < 0 &&
	        !(limit->optional && why.errnum == ENOENT)) {
		if (err != NULL)
			*err = why;
		return -1;
	}
	(void)json_object_del(section, limit->key);
	return 0;
}

// Both files of a cpuset must be filled before a process can be in it: the one that is not asked
// for is as the parent has it.
static int set_cpuset(
        const char *base, const char *cgroups_path, json_t *resources, struct zl_error *err)
{
	static const char *const keys[] = {"cpus", "mems"};
	json_t *cpu = json_object_get(resources, "cpu");
	const char *values[2] = {zl_json_string(cpu, "cpus"), zl_json_string(cpu, "mems")};

	if ((values[0] == NULL && values[1] == NULL) || !has_controller(base, "cpuset"))
		return 0;
	for (size_t i = 0; i < ZL_ARRAY_SIZE(keys); i++) {
		zl_auto(buffer) struct zl_buffer whole = ZL_BUFFER_LIMIT(CONTROL_MAX);
		char path[PATH_MAX];
		char file[16];
		char parent[PATH_MAX];
		const char *slash = strrchr(cgroups_path, '/');

		(void)snprintf(file, sizeof(file), "cpuset.%s", keys[i]);
		// A parent that was just made is as empty: filled from the top.
		(void)snprintf(parent, sizeof(parent), "%.*s",
		        slash != NULL ? (int)(slash - cgroups_path) : 0, cgroups_path);
		(void)snprintf(path, sizeof(path), "%s/cpuset/%s", base, file);
		if (zl_file_read(path, CONTROL_MAX, &whole, err) < 0)
			return -1;
		if (parent[0] != '\0')
			(void)write_control(
			        base, parent, "cpuset", file, zl_buffer_string(&whole), NULL);
		if (write_control(base, cgroups_path, "cpuset", file,
		            values[i] != NULL ? values[i] : zl_buffer_string(&whole), err) < 0)
			return -1;
		(void)json_object_del(cpu, keys[i]);
	}
	return 0;
}

static int make_directories(
        const char *base, const char *cgroups_path, bool with_cpuset, struct zl_error *err)
{
	for (size_t i = 0; i < ZL_ARRAY_SIZE(controllers); i++) {
		char path[PATH_MAX];

		if (!has_controller(base, controllers[i]) ||
		        (!with_cpuset && strcmp(controllers[i], "cpuset") == 0))
			continue;
		path_of(base, controllers[i], cgroups_path, "", path);
		if (zl_dir_make(path, 0755, err) < 0)
			return -1;
	}
	return 0;
}

int zl_cgroup1_apply(
        const char *base, const char *cgroups_path, json_t *resources, struct zl_error *err)
{
	const json_t *cpu = json_object_get(resources, "cpu");
	bool with_cpuset =
	        zl_json_string(cpu, "cpus") != NULL || zl_json_string(cpu, "mems") != NULL;

	if (make_directories(base, cgroups_path, with_cpuset, err) < 0 ||
	        set_cpuset(base, cgroups_path, resources, err) < 0)
		return -1;
	for (size_t i = 0; i < ZL_ARRAY_SIZE(limits); i++) {
		if (set_limit(base, cgroups_path, &limits[i], resources, err) < 0)
			return -1;
	}
	return 0;
}

// ----

bool zl_cgroup1_oom_killed(const char *base, const char *cgroups_path)
{
	zl_auto(buffer) struct zl_buffer text = ZL_BUFFER_LIMIT(CONTROL_MAX);
	char path[PATH_MAX];
	const char *line;

	path_of(base, "memory", cgroups_path, "memory.oom_control", path);
	if (zl_file_read(path, CONTROL_MAX, &text, NULL) < 0)
		return false;
	line = strstr(zl_buffer_string(&text), "\noom_kill ");
	return line != NULL && strtoul(line + strlen("\noom_kill "), NULL, 10) > 0;
}

void zl_cgroup1_remove(const char *base, const char *cgroups_path)
{
	for (size_t i = 0; i < ZL_ARRAY_SIZE(controllers); i++) {
		char path[PATH_MAX];

		path_of(base, controllers[i], cgroups_path, "", path);
		(void)rmdir(path);
	}
}

int zl_cgroup1_exec_main(const char *base, const char *cgroups_path, char **argv)
{
	for (size_t i = 0; i < ZL_ARRAY_SIZE(controllers); i++) {
		struct zl_error why = ZL_ERROR_INIT;

		if (write_control(base, cgroups_path, controllers[i], "cgroup.procs", "0", &why) <
		                0 &&
		        why.errnum != ENOENT) {
			(void)dprintf(STDERR_FILENO, "%s\n", why.message);
			return 1;
		}
	}
	(void)execvp(argv[0], argv);
	(void)dprintf(STDERR_FILENO, "%s: %m\n", argv[0]);
	return 1;
}
