// SPDX-License-Identifier: Apache-2.0
#include "zone/supervisor/volume.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/openat2.h>
#include <sched.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/file.h"
#include "base/json.h"
#include "base/spawn.h"
#include "zone/supervisor/container.h"
#include "zone/supervisor/rootfs.h"

#define IMAGE_SOURCE "zonelet:image:"

enum { SHARE_TIMEOUT_MS = 10000, DIAGNOSTICS_MAX = 4096, MOUNTINFO_MAX = 4 * 1024 * 1024 };

static bool has_option(const json_t *mount, const char *wanted)
{
	const json_t *each;
	size_t i;

	json_array_foreach(json_object_get(mount, "options"), i, each)
	{
		if (json_is_string(each) && strcmp(json_string_value(each), wanted) == 0)
			return true;
	}
	return false;
}

static int set_source(json_t *mount, const char *path, struct zl_error *err)
{
	return json_object_set_new(mount, "source", json_string(path)) == 0 ? 0
	                                                                    : zl_error_nomem(err);
}

// A place to mount at: a directory, or a file for what is none.
static int make_place(const struct zl_container *container, const char *name, bool directory,
        char out[static ZL_RUNTIME_PATH], struct zl_error *err)
{
	zl_auto(fd) int fd = -1;

	(void)snprintf(out, ZL_RUNTIME_PATH, "%.900s/v", container->directory);
	if (zl_dir_make(out, 0711, err) < 0)
		return -1;
	(void)snprintf(out, ZL_RUNTIME_PATH, "%.900s/v/%s", container->directory, name);
	if (directory)
		return zl_dir_make(out, 0755, err);
	fd = open(out, O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
	return fd >= 0 ? 0 : zl_error_errno(err, errno, "make %s", out);
}

// ---- images

// The path inside of the image, which must not lead out of it by its links.
static int find_inside(
        const char *root, const char *path, char out[static ZL_RUNTIME_PATH], struct zl_error *err)
{
	struct open_how how = {
	        .flags = O_PATH | O_CLOEXEC,
	        .resolve = RESOLVE_IN_ROOT | RESOLVE_NO_MAGICLINKS,
	};
	zl_auto(fd) int top = open(root, O_PATH | O_DIRECTORY | O_CLOEXEC);
	zl_auto(fd) int fd = -1;
	char link[64];
	ssize_t length;

	while (*path == '/')
		path++;
	fd = top < 0 ? -1
	             : (int)syscall(
	                       SYS_openat2, top, *path == '\0' ? "." : path, &how, sizeof(how));
	if (fd < 0)
		return zl_error_set(err, ZL_NOT_FOUND, "the image has no \"%s\"", path);
	(void)snprintf(link, sizeof(link), "/proc/self/fd/%d", fd);
	length = readlink(link, out, ZL_RUNTIME_PATH - 1);
	if (length <= 0 || length == ZL_RUNTIME_PATH - 1)
		return zl_error_set(err, ZL_INVALID_ARGUMENT, "the path \"%s\" is too long", path);
	out[length] = '\0';
	return 0;
}

static int prepare_image(
        struct zl_container *container, json_t *mount, const char *number, struct zl_error *err)
{
	const Zl__Zone__ContainerCreate *request = container->creating;
	char *end = NULL;
	unsigned long index = strtoul(number, &end, 10);
	const Zl__Zone__ImageVolume *volume;
	struct zl_rootfs_source source = {0};
	char name[32];
	char place[ZL_RUNTIME_PATH];
	char path[ZL_RUNTIME_PATH];

	if (end == number || *end != '\0' || index >= request->n_image_volumes)
		return zl_error_set(
		        err, ZL_INVALID_ARGUMENT, "there is no image volume \"%.20s\"", number);
	volume = request->image_volumes[index];
	if (volume->image_device[0] != '\0')
		source.device = volume->image_device;
	source.files = (const char *const *)volume->image_files;
	source.file_count = volume->n_image_files;
	source.owners = container->owners;
	(void)snprintf(name, sizeof(name), "i%lu", index);
	if (make_place(container, name, true, place, err) < 0 ||
	        zl_image_mount(&source, place, err) < 0)
		return -1;
	if (find_inside(place, volume->sub_path, path, err) < 0)
		return -1;
	return set_source(mount, path, err);
}

// ---- shared with the node

static int prepare_shared(
        struct zl_container *container, json_t *mount, const char *source, struct zl_error *err)
{
	struct zl_supervisor *s = container->process.supervisor;
	zl_auto(buffer) struct zl_buffer out = ZL_BUFFER_LIMIT(DIAGNOSTICS_MAX);
	zl_auto(buffer) struct zl_buffer words = ZL_BUFFER_LIMIT(DIAGNOSTICS_MAX);
	struct zl_spawn spawn = ZL_SPAWN_INIT;
	char place[ZL_RUNTIME_PATH];
	const char *argv[] = {"zonelet-supervisor", "--share", source, place, NULL};
	struct stat st;
	char name[32];
	int status;

	if (stat(source, &st) < 0)
		return zl_error_errno(err, errno, "mount of %s", source);
	(void)snprintf(name, sizeof(name), "m%u", container->shared_mounts++);
	if (make_place(container, name, S_ISDIR(st.st_mode), place, err) < 0)
		return -1;
	spawn.program = "/proc/self/exe";
	spawn.argv = argv;
	spawn.extra_fds = &s->node_mounts;
	spawn.extra_count = 1;
	if (zl_spawn_run(&spawn, NULL, 0, &out, &words, NULL, SHARE_TIMEOUT_MS, &status, err) < 0)
		return -1;
	if (status != 0)
		return zl_error_set(err, ZL_FAILED_PRECONDITION, "mount of %s: %.300s", source,
		        zl_buffer_string(&words));
	return set_source(mount, place, err);
}

static int complain(const char *what)
{
	(void)dprintf(STDERR_FILENO, "%s: %m", what);
	return 1;
}

// Whether the mount that an O_PATH descriptor lies on passes on what is mounted below it
// (proc_pid_mountinfo(5), proc_pid_fdinfo(5)).
static bool is_shared(int fd)
{
	zl_auto(buffer) struct zl_buffer text = ZL_BUFFER_LIMIT(MOUNTINFO_MAX);
	char path[64];
	char wanted[32];
	const char *at;
	size_t length;

	(void)snprintf(path, sizeof(path), "/proc/self/fdinfo/%d", fd);
	if (zl_file_read(path, DIAGNOSTICS_MAX, &text, NULL) < 0)
		return false;
	at = strstr(zl_buffer_string(&text), "mnt_id:");
	if (at == NULL)
		return false;
	(void)snprintf(wanted, sizeof(wanted), "%ld ", strtol(at + strlen("mnt_id:"), NULL, 10));
	text.length = 0;
	if (zl_file_read("/proc/self/mountinfo", MOUNTINFO_MAX, &text, NULL) < 0)
		return false;
	for (at = zl_buffer_string(&text); *at != '\0'; at += length + (at[length] == '\n')) {
		length = strcspn(at, "\n");
		if (strncmp(at, wanted, strlen(wanted)) == 0)
			return memmem(at, length, " shared:", strlen(" shared:")) != NULL;
	}
	return false;
}

int zl_volume_share_main(const char *source, const char *target)
{
	zl_auto(fd) int here = open("/proc/self/ns/mnt", O_RDONLY | O_CLOEXEC);
	zl_auto(fd) int found = -1;
	zl_auto(fd) int tree = -1;

	if (here < 0 || setns(3, CLONE_NEWNS) < 0)
		return complain("enter the node's mount namespace");
	found = open(source, O_PATH | O_CLOEXEC);
	if (found < 0)
		return complain("open it on the node");
	if (!is_shared(found)) {
		(void)dprintf(STDERR_FILENO,
		        "it lies on a mount that is not shared; bidirectional propagation needs "
		        "mount --make-rshared there");
		return 1;
	}
	tree = open_tree(
	        found, "", AT_EMPTY_PATH | AT_RECURSIVE | OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC);
	if (tree < 0)
		return complain("clone its mount");
	if (setns(here, CLONE_NEWNS) < 0)
		return complain("return from the node's mount namespace");
	if (move_mount(tree, "", AT_FDCWD, target, MOVE_MOUNT_F_EMPTY_PATH) < 0)
		return complain("attach its mount");
	return 0;
}

// ----

int zl_volume_prepare(struct zl_container *container, json_t *mount, struct zl_error *err)
{
	const char *source = zl_json_string(mount, "source");
	const char *destination = zl_json_string(mount, "destination");
	struct zl_supervisor *s = container->process.supervisor;
	int result = 0;

	if (source == NULL)
		return 0;
	if (strncmp(source, IMAGE_SOURCE, strlen(IMAGE_SOURCE)) == 0)
		result = prepare_image(container, mount, source + strlen(IMAGE_SOURCE), err);
	else if (s->host && has_option(mount, "rshared"))
		result = prepare_shared(container, mount, source, err);
	else if (access(source, F_OK) < 0)
		result = zl_error_errno(err, errno, "mount of %s", source);
	if (result < 0)
		zl_error_wrap(err, "volume at %s", destination != NULL ? destination : "?");
	return result;
}

int zl_volumes_release(struct zl_container *container, struct zl_error *err)
{
	char path[ZL_RUNTIME_PATH];
	struct dirent *entry;
	zl_auto(dir) DIR *dir = NULL;

	(void)snprintf(path, sizeof(path), "%.900s/v", container->directory);
	dir = opendir(path);
	// NOLINTNEXTLINE(concurrency-mt-unsafe): a stream of its own
	while (dir != NULL && (entry = readdir(dir)) != NULL) {
		if (entry->d_name[0] == '.')
			continue;
		(void)snprintf(
		        path, sizeof(path), "%.700s/v/%.200s", container->directory, entry->d_name);
		// A clone is private first: its end here must not be the node's end of it.
		(void)mount(NULL, path, NULL, MS_REC | MS_PRIVATE, NULL);
		if (umount2(path, MNT_DETACH | UMOUNT_NOFOLLOW) < 0 && errno != EINVAL &&
		        errno != ENOENT)
			return zl_error_errno(err, errno, "unmount %s", path);
	}
	return 0;
}
