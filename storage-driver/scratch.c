// SPDX-License-Identifier: Apache-2.0
//
// Scratch disks: a sparse file with an empty ext4 and a loop device for it. mke2fs runs once for
// each size; its result is kept as a template, of which a disk is a copy of the few blocks that
// have data. No journal: a scratch disk does not outlive its sandbox, so it is never recovered.

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#include "base/file.h"
#include "base/id.h"
#include "base/spawn.h"
#include "storage-driver/loop.h"
#include "storage-driver/store.h"

enum { BLOCK = 4096, MKE2FS_TIMEOUT_MS = 60000 };

// Below this, ext4's own tables leave no room; above, ext4 with 4 KiB blocks ends.
static const uint64_t smallest = UINT64_C(1) << 20;
static const uint64_t largest = UINT64_C(16) << 40;

static const char SUFFIX[] = ".ext4";

static void disk_path(const struct zl_store *store, const char *name, char out[static PATH_MAX])
{
	char file[128];

	(void)snprintf(file, sizeof(file), "%.100s%s", name, SUFFIX);
	zl_store_path(store, "scratch", file, out, PATH_MAX);
}

static int run_mke2fs(const char *path, struct zl_error *err)
{
	const char *argv[] = {"mke2fs", "-q", "-F", "-t", "ext4", "-b", "4096", "-m", "0", "-O",
	        "^has_journal,^resize_inode", "-E",
	        "lazy_itable_init=1,nodiscard,root_owner=0:0,assume_storage_prezeroed=1", path,
	        NULL};

	if (zl_spawn_check(argv, NULL, NULL, MKE2FS_TIMEOUT_MS, err) == 0)
		return 0;
	if (err->code == ZL_NOT_FOUND)
		return zl_error_set(err, ZL_FAILED_PRECONDITION,
		        "mke2fs is missing; install the package e2fsprogs");
	return zl_error_wrap(err, "make an ext4 in %s", path);
}

// A sparse file of this size under a temporary name; its path goes to ret_path.
static int make_sparse(const char *final_path, uint64_t bytes, char ret_path[static PATH_MAX],
        struct zl_error *err)
{
	int length = snprintf(ret_path, PATH_MAX, "%s.XXXXXX", final_path);
	int fd;

	if (length < 0 || length >= PATH_MAX)
		return zl_error_set(err, ZL_INVALID_ARGUMENT, "path too long: %s", final_path);
	fd = mkostemp(ret_path, O_CLOEXEC);
	if (fd < 0) {
		zl_error_errno(err, errno, "make %s", ret_path);
		return -1;
	}
	if (ftruncate(fd, (off_t)bytes) == 0)
		return fd;
	zl_error_errno(err, errno, "make %s of %llu bytes", ret_path, (unsigned long long)bytes);
	zl_close(fd);
	(void)unlink(ret_path);
	return -1;
}

// Two threads may make the same template; the rename settles which one stays.
static int make_template(const char *path, uint64_t bytes, struct zl_error *err)
{
	char temporary[PATH_MAX];
	zl_auto(fd) int fd = make_sparse(path, bytes, temporary, err);

	if (fd < 0)
		return -1;
	if (run_mke2fs(temporary, err) == 0 && fsync(fd) == 0 && rename(temporary, path) == 0)
		return 0;
	if (err->code == ZL_OK)
		zl_error_errno(err, errno, "make %s", path);
	(void)unlink(temporary);
	return -1;
}

static int open_template(struct zl_store *store, uint64_t bytes, struct zl_error *err)
{
	char path[PATH_MAX];
	char name[64];
	int fd;

	(void)snprintf(name, sizeof(name), "template-%llu", (unsigned long long)bytes);
	disk_path(store, name, path);
	fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0 && errno == ENOENT) {
		if (make_template(path, bytes, err) < 0)
			return -1;
		fd = open(path, O_RDONLY | O_CLOEXEC);
	}
	if (fd < 0)
		zl_error_errno(err, errno, "open %s", path);
	return fd;
}

static int copy_run(int from, int to, off_t at, off_t end, struct zl_error *err)
{
	off_t to_at = at;

	while (at < end) {
		ssize_t done = copy_file_range(from, &at, to, &to_at, (size_t)(end - at), 0);

		if (done < 0 && errno == EINTR)
			continue;
		if (done <= 0)
			return zl_error_errno(
			        err, done < 0 ? errno : EIO, "copy a scratch disk's template");
	}
	return 0;
}

// Copies what has data; the holes of `to` are there already.
static int copy_sparse(int from, int to, struct zl_error *err)
{
	off_t end = 0;

	for (;;) {
		off_t start = lseek(from, end, SEEK_DATA);

		if (start < 0 && errno == ENXIO)
			return 0;
		end = start < 0 ? -1 : lseek(from, start, SEEK_HOLE);
		if (end < 0)
			return zl_error_errno(err, errno, "read a scratch disk's template");
		if (copy_run(from, to, start, end, err) < 0)
			return -1;
	}
}

static int make_disk(struct zl_store *store, const char *path, uint64_t bytes, struct zl_error *err)
{
	char temporary[PATH_MAX];
	zl_auto(fd) int from = open_template(store, bytes, err);
	zl_auto(fd) int to = from < 0 ? -1 : make_sparse(path, bytes, temporary, err);

	if (to < 0)
		return -1;
	if (copy_sparse(from, to, err) == 0) {
		if (rename(temporary, path) == 0)
			return 0;
		zl_error_errno(err, errno, "rename %s", temporary);
	}
	(void)unlink(temporary);
	return -1;
}

static int check_arguments(const char *sandbox_id, uint64_t bytes, struct zl_error *err)
{
	if (!zl_id_valid(sandbox_id))
		return zl_error_set(
		        err, ZL_INVALID_ARGUMENT, "'%.100s' is not a sandbox id", sandbox_id);
	if (bytes < smallest || bytes > largest)
		return zl_error_set(err, ZL_OUT_OF_RANGE,
		        "a scratch disk of %llu bytes: it must have between 1 MiB and 16 TiB",
		        (unsigned long long)bytes);
	return 0;
}

int zl_store_scratch_create(struct zl_store *store, const char *sandbox_id, uint64_t bytes,
        char ret_path[static 64], struct zl_error *err)
{
	char path[PATH_MAX];
	struct stat status;
	int found = 0;

	if (check_arguments(sandbox_id, bytes, err) < 0)
		return -1;
	bytes = (bytes + BLOCK - 1) / BLOCK * BLOCK;
	disk_path(store, sandbox_id, path);
	// Only a file that was there before can have a device already.
	if (stat(path, &status) == 0)
		found = zl_loop_find(path, ret_path, err);
	else if (make_disk(store, path, bytes, err) < 0)
		found = -1;
	if (found == 0)
		found = zl_loop_attach(path, ZL_LOOP_DIRECT, ret_path, NULL, err);
	return found < 0 ? zl_error_wrap(err, "scratch disk of sandbox %s", sandbox_id) : 0;
}

static int detach_loop(void *user, const char *path, const char *file, struct zl_error *err)
{
	// The prefix may fit longer names.
	return strcmp(file, user) == 0 ? zl_loop_detach(path, err) : 0;
}

static int remove_disk(char *path, struct zl_error *err)
{
	struct stat status;

	if (lstat(path, &status) < 0 && errno == ENOENT)
		return 0;
	if (zl_loop_each(path, detach_loop, path, err) < 0)
		return -1;
	return zl_file_remove(path, err);
}

int zl_store_scratch_remove(struct zl_store *store, const char *sandbox_id, struct zl_error *err)
{
	char path[PATH_MAX];

	if (!zl_id_valid(sandbox_id))
		return zl_error_set(
		        err, ZL_INVALID_ARGUMENT, "'%.100s' is not a sandbox id", sandbox_id);
	disk_path(store, sandbox_id, path);
	if (remove_disk(path, err) < 0)
		return zl_error_wrap(err, "scratch disk of sandbox %s", sandbox_id);
	return 0;
}

// A disk of a sandbox that is not listed, or a file whose making was interrupted.
static bool is_orphan(const char *name, const char *const *sandbox_ids, size_t count)
{
	const char *dot = strchr(name, '.');

	if (dot == NULL || strcmp(dot, SUFFIX) != 0)
		return true;
	if (strncmp(name, "template-", 9) == 0)
		return false;
	for (size_t i = 0; i < count; i++) {
		if (strlen(sandbox_ids[i]) == (size_t)(dot - name) &&
		        strncmp(sandbox_ids[i], name, (size_t)(dot - name)) == 0)
			return false;
	}
	return true;
}

static int sweep_scratch(
        struct zl_store *store, const char *const *sandbox_ids, size_t count, struct zl_error *err)
{
	char path[PATH_MAX];
	zl_auto(dir) DIR *dir = NULL;
	const struct dirent *entry;

	zl_store_path(store, "scratch", "", path, sizeof(path));
	dir = opendir(path);
	if (dir == NULL)
		return zl_error_errno(err, errno, "list %s", path);
	while ((entry = readdir(dir)) != NULL) { // NOLINT(concurrency-mt-unsafe): our own DIR
		if (entry->d_name[0] == '.' || !is_orphan(entry->d_name, sandbox_ids, count))
			continue;
		zl_store_path(store, "scratch", entry->d_name, path, sizeof(path));
		if (remove_disk(path, err) < 0)
			return -1;
	}
	return 0;
}

int zl_store_sweep(
        struct zl_store *store, const char *const *sandbox_ids, size_t count, struct zl_error *err)
{
	if (zl_store_sweep_devices(store, err) < 0 ||
	        sweep_scratch(store, sandbox_ids, count, err) < 0)
		return zl_error_wrap(err, "sweep the image store");
	return 0;
}
