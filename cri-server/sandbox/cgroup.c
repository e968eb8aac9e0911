// SPDX-License-Identifier: Apache-2.0
#include "cri-server/sandbox/cgroup.h"

#include <fcntl.h>
#include <inttypes.h>
#include <limits.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/cancel.h"
#include "base/cleanup.h"

#define CGROUP_ROOT "/sys/fs/cgroup"

enum { EMPTY_TIMEOUT_MS = 5000 };

static void kill_all(int directory)
{
	zl_auto(fd) int fd = openat(directory, "cgroup.kill", O_WRONLY | O_CLOEXEC);

	if (fd >= 0)
		(void)!write(fd, "1", 1);
}

// 1 if processes are left, 0 if none, -1 if it cannot be read.
static int populated(int events)
{
	char text[256];
	ssize_t got = pread(events, text, sizeof(text) - 1, 0);

	if (got < 0)
		return -1;
	text[got] = '\0';
	return strstr(text, "populated 1") != NULL;
}

static int wait_empty(int directory, const char *path, struct zl_error *err)
{
	zl_auto(fd) int events = openat(directory, "cgroup.events", O_RDONLY | O_CLOEXEC);

	while (events >= 0 && populated(events) > 0) {
		if (zl_cancel_poll(NULL, events, POLLPRI, EMPTY_TIMEOUT_MS, err) < 0)
			return zl_error_wrap(err, "processes in cgroup %s do not die", path);
	}
	return 0;
}

// Removes the directories below, deepest first. Files of a cgroup go with its directory.
static void remove_below(int directory)
{
	int copy = fcntl(directory, F_DUPFD_CLOEXEC, 0);
	zl_auto(dir) DIR *dir = copy >= 0 ? fdopendir(copy) : NULL;
	struct dirent *entry;

	// NOLINTNEXTLINE(concurrency-mt-unsafe): our own DIR
	while (dir != NULL && (entry = readdir(dir)) != NULL) {
		zl_auto(fd) int child = -1;

		if (entry->d_type != DT_DIR || entry->d_name[0] == '.')
			continue;
		child = openat(directory, entry->d_name, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
		if (child >= 0)
			remove_below(child);
		(void)unlinkat(directory, entry->d_name, AT_REMOVEDIR);
	}
}

// Version 2's tree: beside the others on a node that has version 1 as well.
static const char *root2(void)
{
	return access(CGROUP_ROOT "/cgroup.procs", F_OK) < 0 &&
	                       access(CGROUP_ROOT "/unified/cgroup.procs", F_OK) == 0
	               ? CGROUP_ROOT "/unified"
	               : CGROUP_ROOT;
}

void zl_cgroup_make(const char *path)
{
	char full[PATH_MAX];

	(void)snprintf(full, sizeof(full), "%s%s", root2(), path);
	(void)mkdir(full, 0755);
}

// The directories that the supervisor made in version 1 hierarchies, which have nothing below.
static void remove_version1(const char *path)
{
	static const char *const controllers[] = {"memory", "cpu", "cpuacct", "pids", "cpuset"};
	char full[PATH_MAX];

	if (strcmp(root2(), CGROUP_ROOT) == 0)
		return;
	for (size_t i = 0; i < ZL_ARRAY_SIZE(controllers); i++) {
		(void)snprintf(full, sizeof(full), CGROUP_ROOT "/%s%s", controllers[i], path);
		(void)rmdir(full);
	}
}

int zl_cgroup_remove(const char *path, struct zl_error *err)
{
	char full[PATH_MAX];
	zl_auto(fd) int directory = -1;

	(void)snprintf(full, sizeof(full), "%s%s", root2(), path);
	directory = open(full, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (directory < 0 && errno != ENOENT)
		return zl_error_errno(err, errno, "open cgroup %s", full);
	if (directory >= 0) {
		kill_all(directory);
		if (wait_empty(directory, path, err) < 0)
			return -1;
		remove_below(directory);
		if (rmdir(full) < 0 && errno != ENOENT)
			return zl_error_errno(err, errno, "remove cgroup %s", full);
	}
	remove_version1(path);
	return 0;
}

// ---- limits

static bool is_unified(void)
{
	return access(CGROUP_ROOT "/cgroup.procs", F_OK) == 0;
}

// controller: version 1's hierarchy.
static int write_limit(const char *controller, const char *path, const char *name,
        const char *value, struct zl_error *err)
{
	char full[PATH_MAX];
	zl_auto(fd) int fd = -1;

	(void)snprintf(full, sizeof(full), CGROUP_ROOT "%s%s/%s", controller, path, name);
	fd = open(full, O_WRONLY | O_CLOEXEC);
	if (fd < 0)
		return errno == ENOENT ? 0 : zl_error_errno(err, errno, "open %s", full);
	if (write(fd, value, strlen(value)) < 0)
		return zl_error_errno(err, errno, "write \"%s\" to %s", value, full);
	return 0;
}

static int limit_memory(const char *path, int64_t memory, struct zl_error *err)
{
	char value[32];

	if (memory == 0)
		return 0;
	if (!is_unified()) {
		(void)snprintf(value, sizeof(value), "%" PRId64, memory);
		return write_limit("/memory", path, "memory.limit_in_bytes", value, err);
	}
	if (memory < 0)
		return write_limit("", path, "memory.max", "max", err);
	(void)snprintf(value, sizeof(value), "%" PRId64, memory);
	return write_limit("", path, "memory.max", value, err);
}

static int limit_cpu(const char *path, int64_t quota, int64_t period, struct zl_error *err)
{
	char value[64];

	if (quota == 0)
		return 0;
	if (period <= 0)
		period = 100000; // the kernel's default
	if (is_unified()) {
		if (quota < 0)
			(void)snprintf(value, sizeof(value), "max %" PRId64, period);
		else
			(void)snprintf(value, sizeof(value), "%" PRId64 " %" PRId64, quota, period);
		return write_limit("", path, "cpu.max", value, err);
	}
	(void)snprintf(value, sizeof(value), "%" PRId64, period);
	if (write_limit("/cpu", path, "cpu.cfs_period_us", value, err) < 0)
		return -1;
	(void)snprintf(value, sizeof(value), "%" PRId64, quota);
	return write_limit("/cpu", path, "cpu.cfs_quota_us", value, err);
}

int zl_cgroup_limit(
        const char *path, int64_t memory, int64_t quota, int64_t period, struct zl_error *err)
{
	if (limit_memory(path, memory, err) < 0)
		return -1;
	return limit_cpu(path, quota, period, err);
}
