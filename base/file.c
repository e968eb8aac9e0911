// SPDX-License-Identifier: Apache-2.0
#include "base/file.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <string.h>
#include <sys/stat.h>

int zl_file_read(const char *path, size_t limit, struct zl_buffer *out, struct zl_error *err)
{
	zl_auto(fd) int fd = open(path, O_RDONLY | O_CLOEXEC);

	if (fd < 0)
		return zl_error_errno(err, errno, "open %s", path);
	out->limit = limit;
	if (zl_buffer_read_all(out, fd, err) < 0)
		return zl_error_wrap(err, "%s", path);
	return 0;
}

int zl_file_write_all(int fd, const void *bytes, size_t length, struct zl_error *err)
{
	const char *from = bytes;

	while (length > 0) {
		ssize_t done = write(fd, from, length);

		if (done < 0 && errno == EINTR)
			continue;
		if (done < 0)
			return zl_error_errno(err, errno, "write");
		from += done;
		length -= (size_t)done;
	}
	return 0;
}

// The directory part of path: "/a" for "/a/b", "." for "b".
static void parent_of(const char *path, char out[static PATH_MAX])
{
	const char *slash = strrchr(path, '/');

	if (slash == NULL)
		(void)snprintf(out, PATH_MAX, ".");
	else if (slash == path)
		(void)snprintf(out, PATH_MAX, "/");
	else
		(void)snprintf(out, PATH_MAX, "%.*s", (int)(slash - path), path);
}

int zl_file_sync_parent(const char *path, struct zl_error *err)
{
	char parent[PATH_MAX];
	zl_auto(fd) int fd = -1;

	parent_of(path, parent);
	fd = open(parent, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (fd < 0)
		return zl_error_errno(err, errno, "open %s", parent);
	if (fsync(fd) < 0)
		return zl_error_errno(err, errno, "sync %s", parent);
	return 0;
}

static int write_and_sync(int fd, const void *bytes, size_t length, struct zl_error *err)
{
	if (zl_file_write_all(fd, bytes, length, err) < 0)
		return -1;
	if (fsync(fd) < 0)
		return zl_error_errno(err, errno, "sync");
	return 0;
}

int zl_file_write_atomic(
	const char *path, const void *bytes, size_t length, mode_t mode, struct zl_error *err)
{
	char temporary[PATH_MAX];
	zl_auto(fd) int fd = -1;

	(void)snprintf(temporary, sizeof(temporary), "%s.XXXXXX", path);
	fd = mkostemp(temporary, O_CLOEXEC);
	if (fd < 0)
		return zl_error_errno(err, errno, "make a temporary file for %s", path);
	if (fchmod(fd, mode) < 0 || write_and_sync(fd, bytes, length, err) < 0) {
		if (err != NULL && err->code == ZL_OK)
			zl_error_errno(err, errno, "set the mode");
		(void)unlink(temporary);
		return zl_error_wrap(err, "write %s", path);
	}
	if (rename(temporary, path) < 0) {
		zl_error_errno(err, errno, "rename %s to %s", temporary, path);
		(void)unlink(temporary);
		return -1;
	}
	return zl_file_sync_parent(path, err);
}

int zl_dir_make(const char *path, mode_t mode, struct zl_error *err)
{
	char partial[PATH_MAX];
	size_t length = strlen(path);

	if (length == 0 || length >= sizeof(partial))
		return zl_error_set(
			err, ZL_INVALID_ARGUMENT, "make directory: bad path '%s'", path);
	memcpy(partial, path, length + 1);
	for (char *slash = partial + 1; *slash != '\0'; slash++) {
		if (*slash != '/')
			continue;
		*slash = '\0';
		if (mkdir(partial, mode) < 0 && errno != EEXIST)
			return zl_error_errno(err, errno, "make directory %s", partial);
		*slash = '/';
	}
	if (mkdir(partial, mode) < 0 && errno != EEXIST)
		return zl_error_errno(err, errno, "make directory %s", partial);
	return 0;
}

static int remove_content(int dir_fd, dev_t device, struct zl_error *err);

static int remove_entry(int dir_fd, const char *name, dev_t device, struct zl_error *err)
{
	zl_auto(fd) int fd = -1;
	struct stat status;

	if (unlinkat(dir_fd, name, 0) == 0 || errno == ENOENT)
		return 0;
	if (errno != EISDIR && errno != EPERM)
		return zl_error_errno(err, errno, "remove %s", name);
	fd = openat(dir_fd, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	if (fd < 0 || fstat(fd, &status) < 0)
		return zl_error_errno(err, errno, "open directory %s", name);
	if (status.st_dev != device)
		return zl_error_set(
			err, ZL_FAILED_PRECONDITION, "%s is a mount point; unmount it first", name);
	if (remove_content(fd, device, err) < 0)
		return zl_error_wrap(err, "%s", name);
	if (unlinkat(dir_fd, name, AT_REMOVEDIR) < 0 && errno != ENOENT)
		return zl_error_errno(err, errno, "remove directory %s", name);
	return 0;
}

static int remove_content(int dir_fd, dev_t device, struct zl_error *err)
{
	int copy = fcntl(dir_fd, F_DUPFD_CLOEXEC, 0);
	zl_auto(dir) DIR *dir = copy < 0 ? NULL : fdopendir(copy);

	if (dir == NULL) {
		zl_error_errno(err, errno, "list directory");
		zl_close(copy);
		return -1;
	}
	for (;;) {
		struct dirent *entry;

		errno = 0;
		entry = readdir(dir);
		if (entry == NULL)
			return errno == 0 ? 0 : zl_error_errno(err, errno, "list directory");
		if (strcmp(entry->d_name, ".") == 0 || strcmp(entry->d_name, "..") == 0)
			continue;
		if (remove_entry(dir_fd, entry->d_name, device, err) < 0)
			return -1;
	}
}

int zl_tree_remove(const char *path, struct zl_error *err)
{
	struct stat status;

	if (lstat(path, &status) < 0) {
		if (errno == ENOENT)
			return 0;
		return zl_error_errno(err, errno, "look at %s", path);
	}
	if (remove_entry(AT_FDCWD, path, status.st_dev, err) < 0)
		return zl_error_wrap(err, "remove tree %s", path);
	return 0;
}

int zl_file_remove(const char *path, struct zl_error *err)
{
	if (unlink(path) < 0 && errno != ENOENT)
		return zl_error_errno(err, errno, "remove %s", path);
	return 0;
}
