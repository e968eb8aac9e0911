// SPDX-License-Identifier: Apache-2.0
//
// Block devices of images: a loop device for an image of one layer, else device mapper over a loop
// device for the merged blob and each layer, end to end (EROFS finds its layers by their place in
// that "flattened" device, Documentation/filesystems/erofs.rst).
//
// The loops below a dm device go by themselves when it goes (autoclear), so there is one thing to
// remove, and a crash between any two steps leaves at most a device that the next sweep finds: by
// its uuid, "ZONELET-<hash of root_dir>-<image>", or by its backing file below root_dir.

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#include "base/strv.h"
#include "storage-driver/digest.h"
#include "storage-driver/loop.h"
#include "storage-driver/mapper.h"
#include "storage-driver/store.h"

enum { UUID_SIZE = 128, NAME_DIGITS = 12 };

// ---- names

static int uuid_prefix(
        const struct zl_store *store, char out[static UUID_SIZE], struct zl_error *err)
{
	char digest[ZL_DIGEST_SIZE];

	if (zl_digest_bytes(NULL, store->root_dir, strlen(store->root_dir), digest, err) < 0)
		return -1;
	(void)snprintf(out, UUID_SIZE, "ZONELET-%.8s-", zl_digest_hex(digest));
	return 0;
}

static int uuid_of(const struct zl_store *store, const char *image_id, char out[static UUID_SIZE],
        struct zl_error *err)
{
	char prefix[UUID_SIZE];

	if (!zl_digest_valid(image_id))
		return zl_error_set(
		        err, ZL_INVALID_ARGUMENT, "'%.100s' is not an image id", image_id);
	if (uuid_prefix(store, prefix, err) < 0)
		return -1;
	(void)snprintf(out, UUID_SIZE, "%.30s%.64s", prefix, zl_digest_hex(image_id));
	return 0;
}

// ---- the table of devices in use; under device_lock

static struct zl_image_device *find_device(struct zl_store *store, const char *image_id)
{
	struct zl_image_device *device = store->devices;

	while (device != NULL && strcmp(device->image_id, image_id) != 0)
		device = device->next;
	return device;
}

// Images of one and the same layer share its loop device.
static bool path_is_shared(struct zl_store *store, const struct zl_image_device *device)
{
	for (const struct zl_image_device *other = store->devices; other != NULL;
	        other = other->next) {
		if (other != device && strcmp(other->path, device->path) == 0)
			return true;
	}
	return false;
}

static bool is_held_by(const struct zl_image_device *device, const char *holder)
{
	for (char **held = device->holders; held != NULL && *held != NULL; held++) {
		if (strcmp(*held, holder) == 0)
			return true;
	}
	return false;
}

static void drop_holder(struct zl_image_device *device, const char *holder)
{
	size_t kept = 0;
	size_t count = zl_strv_length(device->holders);

	for (size_t i = 0; i < count; i++) {
		char *held = device->holders[i];

		if (strcmp(held, holder) == 0)
			free(held);
		else
			device->holders[kept++] = held;
	}
	if (count > 0)
		device->holders[kept] = NULL;
}

static void forget_device(struct zl_store *store, struct zl_image_device *device)
{
	struct zl_image_device **link = &store->devices;

	while (*link != device)
		link = &(*link)->next;
	*link = device->next;
	zl_strv_free(device->holders);
	free(device);
}

// ---- making

static int make_loop(const char *file, struct zl_image_device *device, struct zl_error *err)
{
	int found = zl_loop_find(file, device->path, err);

	if (found != 0)
		return found < 0 ? -1 : 0;
	return zl_loop_attach(file, ZL_LOOP_READ_ONLY, device->path, NULL, err);
}

// A loop for one file, as a segment; its descriptor keeps it until dm has it.
static int make_segment(
        const char *file, struct zl_mapper_segment *segment, int *ret_fd, struct zl_error *err)
{
	char path[ZL_LOOP_PATH_SIZE];
	struct stat status;

	if (stat(file, &status) < 0)
		return zl_error_errno(err, errno, "look at %s", file);
	segment->sectors = (uint64_t)status.st_size / ZL_SECTOR;
	if (zl_loop_attach(file, ZL_LOOP_READ_ONLY | ZL_LOOP_AUTOCLEAR, path, ret_fd, err) < 0)
		return -1;
	if (fstat(*ret_fd, &status) < 0)
		return zl_error_errno(err, errno, "look at %s", path);
	segment->device = status.st_rdev;
	return 0;
}

static int map_files(
        char *const *files, const char *uuid, struct zl_image_device *device, struct zl_error *err)
{
	struct zl_mapper_segment segments[ZL_MAPPER_SEGMENTS_MAX];
	int fds[ZL_MAPPER_SEGMENTS_MAX];
	char name[64];
	size_t count = 0;
	int result = 0;

	for (; files[count] != NULL && count < ZL_MAPPER_SEGMENTS_MAX && result == 0; count++) {
		fds[count] = -1;
		result = make_segment(files[count], &segments[count], &fds[count], err);
	}
	(void)snprintf(name, sizeof(name), "zonelet-img-%.*s", NAME_DIGITS,
	        zl_digest_hex(device->image_id));
	if (result == 0)
		result = zl_mapper_create(name, uuid, segments, count, device->path, err);
	while (count > 0)
		zl_close(fds[--count]);
	return result;
}

static int make_mapped(struct zl_store *store, char *const *files, struct zl_image_device *device,
        struct zl_error *err)
{
	char uuid[UUID_SIZE];
	int found;

	device->mapped = true;
	if (uuid_of(store, device->image_id, uuid, err) < 0)
		return -1;
	found = zl_mapper_find(uuid, device->path, err);
	if (found != 0)
		return found < 0 ? -1 : 0;
	return map_files(files, uuid, device, err);
}

static struct zl_image_device *make_device(
        struct zl_store *store, const char *image_id, struct zl_error *err)
{
	zl_auto(strv) char **files = zl_store_image_files(store, image_id, err);
	zl_auto(free) struct zl_image_device *device = calloc(1, sizeof(*device));
	int result;

	if (files == NULL)
		return NULL;
	if (device == NULL) {
		zl_error_nomem(err);
		return NULL;
	}
	(void)snprintf(device->image_id, sizeof(device->image_id), "%.71s", image_id);
	if (files[1] == NULL)
		result = make_loop(files[0], device, err);
	else
		result = make_mapped(store, files, device, err);
	if (result < 0)
		return NULL;
	device->next = store->devices;
	store->devices = device;
	return zl_take(device);
}

static int unmake_device(
        struct zl_store *store, struct zl_image_device *device, struct zl_error *err)
{
	char uuid[UUID_SIZE];

	if (device->mapped) {
		if (uuid_of(store, device->image_id, uuid, err) < 0)
			return -1;
		return zl_mapper_remove(uuid, err);
	}
	return path_is_shared(store, device) ? 0 : zl_loop_detach(device->path, err);
}

// ---- for containers

static int hold(struct zl_store *store, const char *image_id, const char *holder,
        char ret_path[static 64], struct zl_error *err)
{
	struct zl_image_device *device = find_device(store, image_id);

	if (device == NULL)
		device = make_device(store, image_id, err);
	if (device == NULL)
		return -1;
	if (!is_held_by(device, holder) && zl_strv_append(&device->holders, holder, err) < 0)
		return -1;
	memcpy(ret_path, device->path, sizeof(device->path));
	return 0;
}

int zl_store_image_device(struct zl_store *store, const char *image_id, const char *holder,
        char ret_path[static 64], struct zl_error *err)
{
	int result;

	pthread_mutex_lock(&store->device_lock);
	result = hold(store, image_id, holder, ret_path, err);
	pthread_mutex_unlock(&store->device_lock);
	return result < 0 ? zl_error_wrap(err, "block device of image %s", image_id) : 0;
}

static int release(
        struct zl_store *store, const char *image_id, const char *holder, struct zl_error *err)
{
	struct zl_image_device *device = find_device(store, image_id);

	if (device == NULL)
		return 0;
	drop_holder(device, holder);
	if (zl_strv_length(device->holders) > 0)
		return 0;
	if (unmake_device(store, device, err) < 0)
		return -1;
	forget_device(store, device);
	return 0;
}

int zl_store_image_release(
        struct zl_store *store, const char *image_id, const char *holder, struct zl_error *err)
{
	int result;

	pthread_mutex_lock(&store->device_lock);
	result = release(store, image_id, holder, err);
	pthread_mutex_unlock(&store->device_lock);
	return result < 0 ? zl_error_wrap(err, "block device of image %s", image_id) : 0;
}

int zl_store_shared_device(
        struct zl_store *store, const char *path, char ret_path[static 64], struct zl_error *err)
{
	int result;

	pthread_mutex_lock(&store->device_lock);
	result = zl_loop_find(path, ret_path, err);
	if (result == 0)
		result = zl_loop_attach(path, ZL_LOOP_READ_ONLY, ret_path, NULL, err);
	pthread_mutex_unlock(&store->device_lock);
	return result < 0 ? -1 : 0;
}

// ---- sweeping

static int sweep_mapped(void *user, const char *uuid, struct zl_error *err)
{
	struct zl_store *store = user;

	for (const struct zl_image_device *device = store->devices; device != NULL;
	        device = device->next) {
		const char *digits = zl_digest_hex(device->image_id);
		size_t length = strlen(uuid);

		if (device->mapped && length > 64 && strcmp(uuid + length - 64, digits) == 0)
			return 0;
	}
	return zl_mapper_remove(uuid, err);
}

// A loop below a live dm device only becomes what it is already: one that goes with its user.
static int sweep_loop(void *user, const char *path, const char *file, struct zl_error *err)
{
	struct zl_store *store = user;

	(void)file;
	for (const struct zl_image_device *device = store->devices; device != NULL;
	        device = device->next) {
		if (strcmp(device->path, path) == 0)
			return 0;
	}
	return zl_loop_detach(path, err);
}

int zl_store_sweep_devices(struct zl_store *store, struct zl_error *err)
{
	char prefix[UUID_SIZE];
	char blobs[PATH_MAX];
	int result = -1;

	(void)snprintf(blobs, sizeof(blobs), "%s/blobs/", store->root_dir);
	pthread_mutex_lock(&store->device_lock);
	if (uuid_prefix(store, prefix, err) == 0 &&
	        zl_mapper_each(prefix, sweep_mapped, store, err) == 0)
		result = zl_loop_each(blobs, sweep_loop, store, err);
	pthread_mutex_unlock(&store->device_lock);
	return result;
}
