// SPDX-License-Identifier: Apache-2.0
#include "zone/supervisor/rootfs.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/file.h"

enum { OPTIONS_SIZE = 4096 };

// The kernel's own words, which it keeps with the file system context ("e erofs: …").
static int filesystem_error(int context, int errnum, const char *what, struct zl_error *err)
{
	char words[256];
	ssize_t length = read(context, words, sizeof(words) - 1);

	if (errnum == ENOTBLK)
		return zl_error_errno(err, errnum,
		        "mount the image file %s (it must not be on a tmpfs, and the kernel must "
		        "be "
		        "6.12 or newer)",
		        what);
	if (length <= 0)
		return zl_error_errno(err, errnum, "mount the image %s", what);
	words[length] = '\0';
	words[strcspn(words, "\n")] = '\0';
	return zl_error_errno(err, errnum, "mount the image %s (%s)", what, words);
}

// The first file is the file system, the others are its devices, in order.
static int configure_files(int context, const struct zl_rootfs_source *source, struct zl_error *err)
{
	for (size_t i = 0; i < source->file_count; i++) {
		const char *key = i == 0 ? "source" : "device";

		if (fsconfig(context, FSCONFIG_SET_STRING, key, source->files[i], 0) < 0)
			return filesystem_error(context, errno, source->files[i], err);
	}
	if (fsconfig(context, FSCONFIG_SET_FLAG, "ro", NULL, 0) < 0 ||
	        fsconfig(context, FSCONFIG_CMD_CREATE, NULL, NULL, 0) < 0)
		return filesystem_error(context, errno, source->files[0], err);
	return 0;
}

static int map_owners(int mounted, int userns, const char *what, struct zl_error *err)
{
	struct mount_attr attr = {
	        .attr_set = MOUNT_ATTR_IDMAP,
	        .userns_fd = (uint64_t)(unsigned)userns,
	};

	if (userns < 0)
		return 0;
	if (mount_setattr(mounted, "", AT_EMPTY_PATH, &attr, sizeof(attr)) < 0)
		return zl_error_errno(err, errno,
		        "map the owners of %s to the pod's user namespace (its file system must "
		        "support idmapped mounts)",
		        what);
	return 0;
}

static int mount_files(
        const struct zl_rootfs_source *source, const char *target, struct zl_error *err)
{
	zl_auto(fd) int context = fsopen("erofs", FSOPEN_CLOEXEC);
	zl_auto(fd) int mounted = -1;

	if (context < 0)
		return zl_error_errno(err, errno,
		        "this kernel has no EROFS (CONFIG_EROFS_FS, or modprobe erofs)");
	if (configure_files(context, source, err) < 0)
		return -1;
	mounted = fsmount(context, FSMOUNT_CLOEXEC, MOUNT_ATTR_RDONLY | MOUNT_ATTR_NODEV);
	if (mounted < 0)
		return filesystem_error(context, errno, source->files[0], err);
	if (map_owners(mounted, source->owners.userns, source->files[0], err) < 0)
		return -1;
	if (move_mount(mounted, "", AT_FDCWD, target, MOVE_MOUNT_F_EMPTY_PATH) < 0)
		return zl_error_errno(err, errno, "mount the image at %s", target);
	return 0;
}

int zl_image_mount(const struct zl_rootfs_source *source, const char *target, struct zl_error *err)
{
	if (source->device == NULL)
		return mount_files(source, target, err);
	if (mount(source->device, target, "erofs", MS_RDONLY | MS_NODEV, NULL) < 0)
		return zl_error_errno(err, errno, "mount the image on %s", source->device);
	return 0;
}

static int make_layer(const char *layer, const struct zl_owners *owners, struct zl_error *err)
{
	char path[PATH_MAX];

	for (int i = 0; i < 2; i++) {
		(void)snprintf(path, sizeof(path), "%s/%s", layer, i == 0 ? "upper" : "work");
		if (zl_dir_make(path, 0755, err) < 0)
			return -1;
		// The root directory of the container is the upper one.
		if (i == 0 && owners->userns >= 0 && chown(path, owners->uid, owners->gid) < 0)
			return zl_error_errno(err, errno, "give %s to the pod's root", path);
	}
	return 0;
}

// "volatile": the layer lives no longer than the pod, so nothing in it is worth a flush.
static int mount_overlay(
        const char *image, const char *layer, const char *target, struct zl_error *err)
{
	char options[OPTIONS_SIZE];

	if (snprintf(options, sizeof(options),
	            "lowerdir=%s,upperdir=%s/upper,workdir=%s/work,volatile", image, layer,
	            layer) >= (int)sizeof(options))
		return zl_error_set(
		        err, ZL_INVALID_ARGUMENT, "the scratch path %s is too long", layer);
	if (mount("overlay", target, "overlay", MS_NODEV, options) < 0)
		return zl_error_errno(
		        err, errno, "mount the writable layer %s over its image", layer);
	return 0;
}

int zl_rootfs_mount(const struct zl_rootfs_source *source, const char *directory, const char *layer,
        struct zl_error *err)
{
	char image[PATH_MAX];
	char root[PATH_MAX];

	(void)snprintf(image, sizeof(image), "%s/image", directory);
	(void)snprintf(root, sizeof(root), "%s/root", directory);
	if (zl_dir_make(image, 0755, err) < 0 || zl_dir_make(root, 0755, err) < 0 ||
	        make_layer(layer, &source->owners, err) < 0 ||
	        zl_image_mount(source, image, err) < 0)
		return -1;
	if (mount_overlay(image, layer, root, err) < 0) {
		(void)umount2(image, MNT_DETACH);
		return -1;
	}
	return 0;
}

static int unmount(const char *directory, const char *name, struct zl_error *err)
{
	char path[PATH_MAX];

	(void)snprintf(path, sizeof(path), "%s/%s", directory, name);
	// Detached: a process that is dying may still hold it for a moment.
	if (umount2(path, MNT_DETACH | UMOUNT_NOFOLLOW) < 0 && errno != EINVAL && errno != ENOENT)
		return zl_error_errno(err, errno, "unmount %s", path);
	return 0;
}

int zl_rootfs_unmount(const char *directory, struct zl_error *err)
{
	int root = unmount(directory, "root", err);
	int image = unmount(directory, "image", err);

	return root < 0 || image < 0 ? -1 : 0;
}
