// SPDX-License-Identifier: Apache-2.0
#include "base/file.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/openat2.h>
#include <stdbool.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>

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

static int make_one(const char *path, mode_t mode, struct zl_error *err)
{
	struct stat status;

	if (mkdir(path, mode) == 0)
		return 0;
	if (errno != EEXIST)
		return zl_error_errno(err, errno, "make directory %s", path);
	if (stat(path, &status) == 0 && !S_ISDIR(status.st_mode))
		return zl_error_errno(err, ENOTDIR, "make directory %s", path);
	return 0;
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
		if (make_one(partial, mode, err) < 0)
			return -1;
		*slash = '/';
	}
	return make_one(partial, mode, err);
}

// ---- trees

// Trees may come from containers, which can nest directories without end. Each level costs two
// descriptors and a stack frame here, so what lies deeper than this is moved up to the top of the
// tree, under a name of its own, and removed from there.
enum { LEVELS_MAX = 64 };

struct removal {
	int top_fd;     // the tree's own directory; -1 before it is open
	unsigned moved; // directories moved up so far
	int level;
};

static int remove_content(struct removal *tree, int dir_fd, struct zl_error *err);

static int is_mount_point(const char *name, struct zl_error *err)
{
	return zl_error_set(
	        err, ZL_FAILED_PRECONDITION, "%s is a mount point; unmount it first", name);
}

// A directory below dir_fd, if that takes no symbolic link and no mount (of any kind: a bind mount
// has the same device number, so stat(2) would not tell).
static int open_within(int dir_fd, const char *name, struct zl_error *err)
{
	struct open_how how = {
	        .flags = O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC,
	        .resolve = RESOLVE_NO_XDEV | RESOLVE_NO_SYMLINKS,
	};
	long fd = syscall(SYS_openat2, dir_fd, name, &how, sizeof(how));

	if (fd < 0 && errno == EXDEV)
		return is_mount_point(name, err);
	if (fd < 0)
		return zl_error_errno(err, errno, "open directory %s", name);
	return (int)fd;
}

static int move_up(struct removal *tree, int dir_fd, const char *name, struct zl_error *err)
{
	char unique[32];
	int result;

	do {
		(void)snprintf(unique, sizeof(unique), ".zl-removed-%u", tree->moved++);
		result = renameat2(dir_fd, name, tree->top_fd, unique, RENAME_NOREPLACE);
	} while (result < 0 && errno == EEXIST);
	if (result < 0 && (errno == EBUSY || errno == EXDEV))
		return is_mount_point(name, err);
	if (result < 0)
		return zl_error_errno(err, errno, "move %s to remove it", name);
	return 0;
}

static int remove_directory(
        struct removal *tree, int dir_fd, const char *name, int why, struct zl_error *err)
{
	zl_auto(fd) int fd = open_within(dir_fd, name, err);
	bool top = tree->top_fd < 0;
	unsigned moved;

	if (fd < 0) {
		if (err != NULL &&
		        err->errnum == ENOTDIR) // no directory: then the first error holds
			zl_error_errno(err, why, "remove %s", name);
		return -1;
	}
	if (top)
		tree->top_fd = fd;
	do {
		moved = tree->moved;
		tree->level++;
		if (remove_content(tree, fd, err) < 0)
			return zl_error_wrap(err, "%s", name);
		tree->level--;
	} while (top && tree->moved != moved);
	if (unlinkat(dir_fd, name, AT_REMOVEDIR) < 0 && errno != ENOENT)
		return zl_error_errno(err, errno, "remove directory %s", name);
	return 0;
}

static int remove_entry(struct removal *tree, int dir_fd, const char *name, struct zl_error *err)
{
	if (unlinkat(dir_fd, name, 0) == 0 || errno == ENOENT)
		return 0;
	if (errno == EBUSY)
		return is_mount_point(name, err);
	if (errno != EISDIR && errno != EPERM)
		return zl_error_errno(err, errno, "remove %s", name);
	if (tree->level >= LEVELS_MAX)
		return move_up(tree, dir_fd, name, err);
	return remove_directory(tree, dir_fd, name, errno, err);
}

static int remove_content(struct removal *tree, int dir_fd, struct zl_error *err)
{
	int copy = fcntl(dir_fd, F_DUPFD_CLOEXEC, 0);
	zl_auto(dir) DIR *dir = copy < 0 ? NULL : fdopendir(copy);

	if (dir == NULL) {
		zl_error_errno(err, errno, "list directory");
		zl_close(copy);
		return -1;
	}
	rewinddir(dir); // the copy shares its position
	for (;;) {
		struct dirent *entry;

		errno = 0;
		// NOLINTNEXTLINE(concurrency-mt-unsafe): the directory is ours alone
		entry = readdir(dir);
		if (entry == NULL)
			return errno == 0 ? 0 : zl_error_errno(err, errno, "list directory");
		if (strcmp(entry->d_name, ".") == 0 || strcmp(entry->d_name, "..") == 0)
			continue;
		if (remove_entry(tree, dir_fd, entry->d_name, err) < 0)
			return -1;
	}
}

int zl_tree_remove(const char *path, struct zl_error *err)
{
	struct removal tree = {.top_fd = -1};
	char whole[PATH_MAX];
	char parent[PATH_MAX];
	zl_auto(fd) int fd = -1;
	size_t length = strlen(path);
	const char *name;

	while (length > 1 && path[length - 1] == '/')
		length--;
	if (length >= sizeof(whole))
		return zl_error_errno(err, ENAMETOOLONG, "remove tree %s", path);
	(void)snprintf(whole, sizeof(whole), "%.*s", (int)length, path);
	name = strrchr(whole, '/') != NULL ? strrchr(whole, '/') + 1 : whole;
	if (*name == '\0' || strcmp(name, ".") == 0 || strcmp(name, "..") == 0)
		return zl_error_set(err, ZL_INVALID_ARGUMENT, "remove tree: bad path '%s'", path);
	parent_of(whole, parent);
	fd = open(parent, O_PATH | O_DIRECTORY | O_CLOEXEC);
	if (fd < 0 && errno == ENOENT)
		return 0;
	if (fd < 0)
		return zl_error_errno(err, errno, "open %s", parent);
	if (remove_entry(&tree, fd, name, err) < 0)
		return zl_error_wrap(err, "remove tree %s", path);
	return 0;
}

int zl_file_remove(const char *path, struct zl_error *err)
{
	if (unlink(path) < 0 && errno != ENOENT)
		return zl_error_errno(err, errno, "remove %s", path);
	return 0;
}
