// SPDX-License-Identifier: Apache-2.0
#include "storage-driver/loop.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/loop.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>

#include "base/file.h"
#include "base/spawn.h"

// Somebody else may take the free device between our asking and our taking.
enum { ATTEMPTS_MAX = 64, MODPROBE_TIMEOUT_MS = 10000 };

static const char SYS_BLOCK[] = "/sys/block";

static int open_control(struct zl_error *err)
{
	static const char *const modprobe[] = {"modprobe", "loop", NULL};
	int fd = open("/dev/loop-control", O_RDWR | O_CLOEXEC);

	if (fd < 0 && errno == ENOENT) {
		(void)zl_spawn_check(modprobe, NULL, NULL, MODPROBE_TIMEOUT_MS, NULL);
		fd = open("/dev/loop-control", O_RDWR | O_CLOEXEC);
	}
	if (fd < 0)
		zl_error_set(err, ZL_FAILED_PRECONDITION,
		        "/dev/loop-control: %s; load the module 'loop' and run as root",
		        strerrordesc_np(errno));
	return fd;
}

// The kernel's device number, as LOOP_GET_STATUS64 has it: huge_encode_dev (linux/kdev_t.h), which
// has the same form as stat(2)'s st_dev.
static bool is_backed_by(const struct loop_info64 *info, const struct stat *file)
{
	return info->lo_inode == file->st_ino && info->lo_device == file->st_dev;
}

static int configure(int loop_fd, int file_fd, const char *file, unsigned int flags)
{
	struct loop_config config = {.fd = (__u32)file_fd};

	if (flags & ZL_LOOP_READ_ONLY)
		config.info.lo_flags |= LO_FLAGS_READ_ONLY;
	if (flags & ZL_LOOP_AUTOCLEAR)
		config.info.lo_flags |= LO_FLAGS_AUTOCLEAR;
	if (flags & ZL_LOOP_DIRECT)
		config.info.lo_flags |= LO_FLAGS_DIRECT_IO;
	(void)snprintf((char *)config.info.lo_file_name, LO_NAME_SIZE, "%.63s", file);
	if (ioctl(loop_fd, LOOP_CONFIGURE, &config) == 0)
		return 0;
	// A file system without direct I/O: some kernels refuse instead of going without.
	if (errno != EINVAL || !(flags & ZL_LOOP_DIRECT))
		return -1;
	config.info.lo_flags &= ~(__u32)LO_FLAGS_DIRECT_IO;
	return ioctl(loop_fd, LOOP_CONFIGURE, &config);
}

int zl_loop_attach(const char *file, unsigned int flags, char ret_path[static ZL_LOOP_PATH_SIZE],
        int *ret_fd, struct zl_error *err)
{
	int mode = flags & ZL_LOOP_READ_ONLY ? O_RDONLY : O_RDWR;
	zl_auto(fd) int file_fd = open(file, mode | O_CLOEXEC);
	zl_auto(fd) int control_fd = -1;

	if (file_fd < 0)
		return zl_error_errno(err, errno, "open %s", file);
	control_fd = open_control(err);
	if (control_fd < 0)
		return -1;
	for (int attempt = 0; attempt < ATTEMPTS_MAX; attempt++) {
		zl_auto(fd) int loop_fd = -1;
		int number = ioctl(control_fd, LOOP_CTL_GET_FREE);

		if (number < 0)
			return zl_error_errno(err, errno, "find a free loop device for %s", file);
		(void)snprintf(ret_path, ZL_LOOP_PATH_SIZE, "/dev/loop%d", number);
		loop_fd = open(ret_path, mode | O_CLOEXEC);
		if (loop_fd < 0)
			return zl_error_errno(err, errno, "open %s for %s", ret_path, file);
		if (configure(loop_fd, file_fd, file, flags) == 0) {
			if (ret_fd != NULL)
				*ret_fd = zl_take_fd(&loop_fd);
			return 0;
		}
		if (errno != EBUSY)
			return zl_error_errno(err, errno, "set up %s for %s", ret_path, file);
	}
	return zl_error_set(err, ZL_UNAVAILABLE,
	        "no loop device for %s: others took %d of them before us; try again", file,
	        ATTEMPTS_MAX);
}

// "/dev/loop7" for an entry of /sys/block that has a backing file; false for others.
static bool is_attached(const char *name, char path[static ZL_LOOP_PATH_SIZE])
{
	char attribute[PATH_MAX];

	if (strncmp(name, "loop", 4) != 0)
		return false;
	(void)snprintf(attribute, sizeof(attribute), "%s/%s/loop/backing_file", SYS_BLOCK, name);
	if (access(attribute, F_OK) < 0)
		return false;
	(void)snprintf(path, ZL_LOOP_PATH_SIZE, "/dev/%.50s", name);
	return true;
}

static bool matches(const char *path, const struct stat *file)
{
	zl_auto(fd) int fd = open(path, O_RDONLY | O_CLOEXEC);
	struct loop_info64 info;

	return fd >= 0 && ioctl(fd, LOOP_GET_STATUS64, &info) == 0 && is_backed_by(&info, file) &&
	       !(info.lo_flags & LO_FLAGS_AUTOCLEAR);
}

int zl_loop_find(const char *file, char ret_path[static ZL_LOOP_PATH_SIZE], struct zl_error *err)
{
	zl_auto(dir) DIR *dir = opendir(SYS_BLOCK);
	const struct dirent *entry;
	struct stat status;

	if (stat(file, &status) < 0)
		return zl_error_errno(err, errno, "look at %s", file);
	if (dir == NULL)
		return zl_error_errno(err, errno, "list %s", SYS_BLOCK);
	while ((entry = readdir(dir)) != NULL) { // NOLINT(concurrency-mt-unsafe): our own DIR
		char path[ZL_LOOP_PATH_SIZE];

		if (is_attached(entry->d_name, path) && matches(path, &status)) {
			memcpy(ret_path, path, sizeof(path));
			return 1;
		}
	}
	return 0;
}

int zl_loop_detach(const char *path, struct zl_error *err)
{
	zl_auto(fd) int fd = open(path, O_RDONLY | O_CLOEXEC);

	if (fd < 0)
		return errno == ENOENT ? 0 : zl_error_errno(err, errno, "open %s", path);
	if (ioctl(fd, LOOP_CLR_FD, 0) < 0 && errno != ENXIO)
		return zl_error_errno(err, errno, "detach %s", path);
	return 0;
}

// The backing file's path, without the mark of a removed one. "" when there is none any more.
static void read_backing(const char *name, struct zl_buffer *ret)
{
	static const char removed[] = " (deleted)";
	char attribute[PATH_MAX];

	(void)snprintf(attribute, sizeof(attribute), "%s/%s/loop/backing_file", SYS_BLOCK, name);
	if (zl_file_read(attribute, PATH_MAX + sizeof(removed), ret, NULL) < 0)
		ret->length = 0;
	while (ret->length > 0 && ret->data[ret->length - 1] == '\n')
		ret->data[--ret->length] = '\0';
	if (ret->length >= sizeof(removed) &&
	        strcmp((char *)ret->data + ret->length - (sizeof(removed) - 1), removed) == 0) {
		ret->length -= sizeof(removed) - 1;
		ret->data[ret->length] = '\0';
	}
}

int zl_loop_each(const char *prefix, zl_loop_visit *visit, void *user, struct zl_error *err)
{
	zl_auto(dir) DIR *dir = opendir(SYS_BLOCK);
	const struct dirent *entry;

	if (dir == NULL)
		return zl_error_errno(err, errno, "list %s", SYS_BLOCK);
	while ((entry = readdir(dir)) != NULL) { // NOLINT(concurrency-mt-unsafe): our own DIR
		zl_auto(buffer) struct zl_buffer file = ZL_BUFFER_INIT;
		char path[ZL_LOOP_PATH_SIZE];

		if (!is_attached(entry->d_name, path))
			continue;
		read_backing(entry->d_name, &file);
		if (strncmp(zl_buffer_string(&file), prefix, strlen(prefix)) == 0 &&
		        visit(user, path, zl_buffer_string(&file), err) < 0)
			return -1;
	}
	return 0;
}
