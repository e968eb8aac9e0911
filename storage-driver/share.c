// SPDX-License-Identifier: Apache-2.0
#include "storage-driver/share.h"

#include <fcntl.h>
#include <limits.h>
#include <linux/mount.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/pidfd.h>
#include <sys/stat.h>
#include <sys/syscall.h>

#include "base/cleanup.h"
#include "base/file.h"
#include "base/spawn.h"
#include "storage-driver/digest.h"
#include "storage-driver/p9/control.h"

enum {
	START_TIMEOUT_MS = 35000,
	STOP_TIMEOUT_MS = 5000,
	OUTPUT_MAX = 4096,
	MOUNTINFO_MAX = 4 << 20
};

#ifndef MOUNT_ATTR_NOSYMFOLLOW
#define MOUNT_ATTR_NOSYMFOLLOW 0x00200000
#endif

// ---- the process

bool zl_share_running(const struct zl_share *share)
{
	zl_auto(fd) int fd = zl_p9_control_connect(share->socket, NULL);

	return fd >= 0;
}

static int spawn(const struct zl_share *share, const struct zl_cancel *cancel, struct zl_error *err)
{
	zl_auto(buffer) struct zl_buffer out = ZL_BUFFER_LIMIT(OUTPUT_MAX);
	zl_auto(buffer) struct zl_buffer words = ZL_BUFFER_LIMIT(OUTPUT_MAX);
	char domid[16];
	char devid[16];
	char memory[32];
	const char *argv[] = {share->program, "--control", share->socket, "--log", share->log,
	        "--tags", share->tags, "--domain", domid, "--device", devid, "--cgroup",
	        share->cgroup, "--memory", memory, NULL};
	struct zl_spawn command = ZL_SPAWN_INIT;
	int status;

	(void)snprintf(domid, sizeof(domid), "%u", share->domid);
	(void)snprintf(devid, sizeof(devid), "%u", share->devid);
	(void)snprintf(memory, sizeof(memory), "%llu", (unsigned long long)share->memory_bytes);
	command.program = share->program;
	command.argv = argv;
	if (zl_spawn_run(&command, NULL, 0, &out, &words, cancel, START_TIMEOUT_MS, &status, err) <
	        0)
		return zl_error_wrap(err, "start the 9P server");
	if (status == 0)
		return 0;
	return zl_error_set(err, ZL_UNAVAILABLE, "the 9P server did not start: %.*s",
	        (int)strcspn(zl_buffer_string(&words), "\n"), zl_buffer_string(&words));
}

int zl_share_start(const struct zl_share *share, const struct zl_cancel *cancel, bool *ret_started,
        struct zl_error *err)
{
	*ret_started = false;
	if (zl_share_running(share))
		return 0;
	if (spawn(share, cancel, err) < 0)
		return -1;
	*ret_started = true;
	return 0;
}

int zl_share_pidfd(const struct zl_share *share, struct zl_error *err)
{
	return zl_p9_control_pidfd(share->socket, err);
}

// SIGKILL: it holds nothing that would have to be written out.
int zl_share_stop(const struct zl_share *share, struct zl_error *err)
{
	zl_auto(fd) int pidfd = zl_p9_control_pidfd(share->socket, NULL);

	if (pidfd >= 0) {
		(void)pidfd_send_signal(pidfd, SIGKILL, NULL, 0);
		if (zl_cancel_poll(NULL, pidfd, POLLIN, STOP_TIMEOUT_MS, err) < 0)
			return zl_error_wrap(
			        err, "the 9P server at %s does not die", share->socket);
	}
	if (zl_file_remove(share->socket, err) < 0)
		return -1;
	return zl_file_remove(share->tags, err);
}

// ---- exports

// Kinds of files that a zone can do something with, and that do nothing on the node when they are
// opened. What is in a directory is the server's to judge.
static int check_kind(const char *path, mode_t mode, struct zl_error *err)
{
	const char *what = NULL;

	if (S_ISCHR(mode) || S_ISBLK(mode))
		what = "a device";
	else if (S_ISSOCK(mode))
		what = "a socket, whose other end is on the node";
	else if (S_ISFIFO(mode))
		what = "a fifo, whose other end is on the node";
	if (what == NULL)
		return 0;
	return zl_error_set(err, ZL_FAILED_PRECONDITION,
	        "%s is %s: a zone has a kernel of its own and cannot reach it; run the pod with "
	        "the handler \"host\"",
	        path, what);
}

static int open_source(const char *path, struct zl_error *err)
{
	int fd;

	if (path[0] != '/')
		return zl_error_set(err, ZL_INVALID_ARGUMENT,
		        "the path on the node, \"%s\", is not absolute", path);
	fd = open(path, O_PATH | O_CLOEXEC);
	if (fd < 0 && errno == ENOENT) {
		if (zl_dir_make(path, 0755, err) < 0)
			return -1;
		fd = open(path, O_PATH | O_CLOEXEC);
	}
	return fd < 0 ? zl_error_errno(err, errno, "open %s", path) : fd;
}

int zl_share_name(const struct zl_share_source *source, char out[static ZL_SHARE_NAME_SIZE],
        struct zl_error *err)
{
	zl_auto(fd) int fd = open_source(source->path, err);
	char digest[ZL_DIGEST_SIZE];
	char text[PATH_MAX + 64];
	struct stat status;

	if (fd < 0)
		return -1;
	if (fstat(fd, &status) < 0)
		return zl_error_errno(err, errno, "look at %s", source->path);
	if (check_kind(source->path, status.st_mode, err) < 0)
		return -1;
	(void)snprintf(text, sizeof(text), "%llx:%llx:%s", (unsigned long long)status.st_dev,
	        (unsigned long long)status.st_ino, source->path);
	if (zl_digest_bytes(NULL, text, strlen(text), digest, err) < 0)
		return -1;
	(void)snprintf(out, ZL_SHARE_NAME_SIZE, "%.32s-%s", zl_digest_hex(digest),
	        !source->readonly            ? "rw"
	        : source->recursive_readonly ? "rro"
	                                     : "ro");
	return 0;
}

// A path as mountinfo writes it: octal for space, tab, line feed and backslash
// (proc_pid_mountinfo(5)).
static int append_escaped(struct zl_buffer *out, const char *path)
{
	for (; *path != '\0'; path++) {
		int result = strchr(" \t\n\\", *path) != NULL
		                     ? zl_buffer_printf(out, NULL, "\\%03o", (unsigned char)*path)
		                     : zl_buffer_append(out, path, 1, NULL);

		if (result < 0)
			return -1;
	}
	return 0;
}

// Mount points stand between spaces. So do the directories that bind mounts show; where one of
// those is taken for a mount point, the answer is yes without need, which harms nobody.
bool zl_share_has_mounts(const struct zl_share_source *source)
{
	zl_auto(buffer) struct zl_buffer table = ZL_BUFFER_INIT;
	zl_auto(buffer) struct zl_buffer below = ZL_BUFFER_INIT;
	zl_auto(free) char *path = realpath(source->path, NULL);

	if (path == NULL || zl_buffer_append(&below, " ", 1, NULL) < 0 ||
	        append_escaped(&below, strcmp(path, "/") == 0 ? "" : path) < 0 ||
	        zl_buffer_append(&below, "/", 1, NULL) < 0 ||
	        zl_file_read("/proc/self/mountinfo", MOUNTINFO_MAX, &table, NULL) < 0)
		return false;
	return strstr(zl_buffer_string(&table), zl_buffer_string(&below)) != NULL;
}

static int set_attributes(int tree, uint64_t set, bool recursive)
{
	struct mount_attr attributes = {.attr_set = set, .propagation = MS_PRIVATE};
	unsigned flags = AT_EMPTY_PATH | (recursive ? AT_RECURSIVE : 0);

	return (int)syscall(SYS_mount_setattr, tree, "", flags, &attributes, MOUNT_ATTR_SIZE_VER0);
}

// A copy of the mount, and of those below it, that is attached nowhere.
static int clone_tree(const struct zl_share_source *source, struct zl_error *err)
{
	uint64_t always =
	        MOUNT_ATTR_NODEV | MOUNT_ATTR_NOSUID | MOUNT_ATTR_NOEXEC | MOUNT_ATTR_NOSYMFOLLOW;
	zl_auto(fd) int tree = (int)syscall(SYS_open_tree, AT_FDCWD, source->path,
	        OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC | AT_RECURSIVE);

	if (tree < 0)
		return zl_error_errno(err, errno, "take %s to export it", source->path);
	if (source->recursive_readonly)
		always |= MOUNT_ATTR_RDONLY;
	if (set_attributes(tree, always, true) < 0 ||
	        (source->readonly && set_attributes(tree, MOUNT_ATTR_RDONLY, false) < 0))
		return zl_error_errno(err, errno, "restrict the export of %s", source->path);
	return zl_take_fd(&tree);
}

int zl_share_add(const struct zl_share *share, const struct zl_share_source *source,
        const char *name, struct zl_error *err)
{
	zl_auto(fd) int tree = clone_tree(source, err);

	if (tree < 0)
		return -1;
	return zl_p9_control_call(share->socket, 'a', name, tree, err);
}

int zl_share_remove(const struct zl_share *share, const char *name, struct zl_error *err)
{
	struct zl_error own = ZL_ERROR_INIT;

	if (zl_p9_control_call(share->socket, 'r', name, -1, &own) == 0 ||
	        own.code == ZL_UNAVAILABLE)
		return 0;
	if (err != NULL)
		*err = own;
	return -1;
}
