// SPDX-License-Identifier: Apache-2.0
#include "cri-server/zonectl/console_log.h"

#include <fcntl.h>
#include <poll.h>
#include <string.h>
#include <sys/inotify.h>
#include <sys/stat.h>

#include "base/file.h"
#include "base/strv.h"

struct copy {
	const char *path;
	bool raw;
	int out_fd;
	int fd;       // the file; -1 while there is none
	off_t offset; // read so far
};

int zl_console_clean(const void *bytes, size_t length, struct zl_buffer *out, struct zl_error *err)
{
	const unsigned char *from = bytes;

	for (size_t i = 0; i < length; i++) {
		unsigned char shown[2] = {'^', (unsigned char)(from[i] ^ 0x40)};
		int result;

		if (from[i] == '\r')
			continue;
		if (from[i] == 0x7f || (from[i] < ' ' && from[i] != '\n' && from[i] != '\t'))
			result = zl_buffer_append(out, shown, sizeof(shown), err);
		else
			result = zl_buffer_append(out, &from[i], 1, err);
		if (result < 0)
			return -1;
	}
	return 0;
}

static int write_part(
        const struct copy *copy, const void *bytes, size_t length, struct zl_error *err)
{
	zl_auto(buffer) struct zl_buffer clean = ZL_BUFFER_INIT;

	if (copy->raw)
		return zl_file_write_all(copy->out_fd, bytes, length, err);
	if (zl_console_clean(bytes, length, &clean, err) < 0)
		return -1;
	return zl_file_write_all(copy->out_fd, clean.data, clean.length, err);
}

// Opens the file if it is not open. 0 also where there is none yet.
static int open_file(struct copy *copy, struct zl_error *err)
{
	if (copy->fd >= 0)
		return 0;
	copy->fd = open(copy->path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
	copy->offset = 0;
	if (copy->fd < 0 && errno != ENOENT)
		return zl_error_errno(err, errno, "open %s", copy->path);
	return 0;
}

// Copies what there is from the offset on. A file that has shrunk was begun anew.
static int copy_rest(struct copy *copy, struct zl_error *err)
{
	char bytes[65536];
	struct stat status;
	ssize_t length;

	if (copy->fd < 0)
		return 0;
	if (fstat(copy->fd, &status) == 0 && status.st_size < copy->offset)
		copy->offset = 0;
	while ((length = pread(copy->fd, bytes, sizeof(bytes), copy->offset)) > 0) {
		copy->offset += length;
		if (write_part(copy, bytes, (size_t)length, err) < 0)
			return -1;
	}
	return length == 0 ? 0 : zl_error_errno(err, errno, "read %s", copy->path);
}

// Whether the path now names another file than the one that is open (rotated, or made anew).
static bool replaced(const struct copy *copy)
{
	struct stat ours;
	struct stat there;

	if (copy->fd < 0)
		return false;
	return fstat(copy->fd, &ours) == 0 &&
	       (stat(copy->path, &there) < 0 || there.st_ino != ours.st_ino ||
	               there.st_dev != ours.st_dev);
}

static int watch_directory(const char *path, struct zl_error *err)
{
	zl_auto(free) char *directory = zl_strdup(path, err);
	zl_auto(fd) int fd = inotify_init1(IN_CLOEXEC | IN_NONBLOCK);
	char *slash;

	if (directory == NULL)
		return -1;
	if (fd < 0)
		return zl_error_errno(err, errno, "make an inotify");
	slash = strrchr(directory, '/');
	if (slash != NULL)
		*slash = '\0';
	if (inotify_add_watch(fd, directory,
	            IN_MODIFY | IN_CREATE | IN_MOVED_TO | IN_MOVED_FROM | IN_DELETE) < 0)
		return zl_error_errno(err, errno, "watch %s", directory);
	return zl_take_fd(&fd);
}

// Any event in the directory is a reason to look; which one does not matter.
static void drain(int fd)
{
	char events[4096] __attribute__((aligned(__alignof__(struct inotify_event))));

	while (read(fd, events, sizeof(events)) > 0)
		;
}

static int copy_on(
        struct copy *copy, int watch, const struct zl_cancel *cancel, struct zl_error *err)
{
	for (;;) {
		if (open_file(copy, err) < 0 || copy_rest(copy, err) < 0)
			return -1;
		if (replaced(copy)) {
			copy->fd = zl_close(copy->fd);
			if (open_file(copy, err) < 0)
				return -1;
			if (copy->fd >= 0)
				continue;
		}
		if (zl_cancel_poll(cancel, watch, POLLIN, -1, err) < 0)
			return err != NULL && err->code == ZL_CANCELLED ? 0 : -1;
		drain(watch);
	}
}

int zl_console_copy(const char *path, bool raw, bool follow, int out_fd,
        const struct zl_cancel *cancel, struct zl_error *err)
{
	struct copy copy = {.path = path, .raw = raw, .out_fd = out_fd, .fd = -1};
	struct zl_error local = ZL_ERROR_INIT;
	zl_auto(fd) int watch = -1;
	int result;

	if (err == NULL)
		err = &local;
	// The watch before the first look, so that nothing falls between them.
	if (follow) {
		watch = watch_directory(path, err);
		if (watch < 0)
			return -1;
		result = copy_on(&copy, watch, cancel, err);
	} else {
		result = open_file(&copy, err);
		if (result == 0 && copy.fd < 0)
			result = zl_error_set(err, ZL_NOT_FOUND,
			        "there is no %s; xenconsoled keeps consoles only with "
			        "XENCONSOLED_TRACE=guest in /etc/default/xen (then `systemctl "
			        "restart xen`), and only from a zone's start on",
			        path);
		if (result == 0)
			result = copy_rest(&copy, err);
	}
	(void)zl_close(copy.fd);
	return result;
}
