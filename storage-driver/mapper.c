// SPDX-License-Identifier: Apache-2.0
#include "storage-driver/mapper.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/dm-ioctl.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/sysmacros.h>

#include "base/spawn.h"

static const char CONTROL[] = "/dev/mapper/control";

enum { REPLY_SIZE = 64 * 1024, MODPROBE_TIMEOUT_MS = 10000 };

static int open_control(struct zl_error *err)
{
	static const char *const modprobe[] = {"modprobe", "dm_mod", NULL};
	int fd = open(CONTROL, O_RDWR | O_CLOEXEC);

	if (fd < 0 && (errno == ENOENT || errno == ENODEV)) {
		(void)zl_spawn_check(modprobe, NULL, NULL, MODPROBE_TIMEOUT_MS, NULL);
		fd = open(CONTROL, O_RDWR | O_CLOEXEC);
	}
	if (fd < 0)
		zl_error_set(err, ZL_FAILED_PRECONDITION,
		        "%s: %s; images of several layers need the kernel's device mapper (module "
		        "dm_mod) and root",
		        CONTROL, strerrordesc_np(errno));
	return fd;
}

static void init_request(struct dm_ioctl *request, size_t size, const char *name, const char *uuid)
{
	memset(request, 0, sizeof(*request));
	request->version[0] = DM_VERSION_MAJOR; // 4.0: all that is used here
	request->data_size = (__u32)size;
	request->data_start = sizeof(*request);
	if (name != NULL)
		(void)snprintf(request->name, sizeof(request->name), "%s", name);
	if (uuid != NULL)
		(void)snprintf(request->uuid, sizeof(request->uuid), "%s", uuid);
}

// The kernel's device number in an ioctl: huge_encode_dev, the same as glibc's for these.
static void path_of(const struct dm_ioctl *reply, char ret_path[static ZL_MAPPER_PATH_SIZE])
{
	(void)snprintf(ret_path, ZL_MAPPER_PATH_SIZE, "/dev/dm-%u", minor((dev_t)reply->dev));
}

static int append_target(struct zl_buffer *to, const struct zl_mapper_segment *segment,
        uint64_t start, struct zl_error *err)
{
	struct dm_target_spec target = {.sector_start = start, .length = segment->sectors};
	char parameters[64];
	size_t length;

	(void)snprintf(target.target_type, sizeof(target.target_type), "linear");
	(void)snprintf(parameters, sizeof(parameters), "%u:%u 0", major(segment->device),
	        minor(segment->device));
	// The next target begins at a multiple of 8.
	length = (strlen(parameters) + 1 + 7) / 8 * 8;
	memset(parameters + strlen(parameters), 0, length - strlen(parameters));
	target.next = (__u32)(sizeof(target) + length);
	if (zl_buffer_append(to, &target, sizeof(target), err) < 0)
		return -1;
	return zl_buffer_append(to, parameters, length, err);
}

int zl_mapper_table(const struct zl_mapper_segment *segments, size_t count, struct zl_buffer *ret,
        struct zl_error *err)
{
	uint64_t start = 0;

	if (count == 0 || count > ZL_MAPPER_SEGMENTS_MAX)
		return zl_error_set(err, ZL_INVALID_ARGUMENT, "a device of %zu segments", count);
	for (size_t i = 0; i < count; i++) {
		if (append_target(ret, &segments[i], start, err) < 0)
			return -1;
		start += segments[i].sectors;
	}
	return 0;
}

int zl_mapper_find(
        const char *uuid, char ret_path[static ZL_MAPPER_PATH_SIZE], struct zl_error *err)
{
	zl_auto(fd) int fd = open_control(err);
	struct dm_ioctl request;

	if (fd < 0)
		return -1;
	init_request(&request, sizeof(request), NULL, uuid);
	if (ioctl(fd, DM_DEV_STATUS, &request) < 0)
		return errno == ENXIO ? 0
		                      : zl_error_errno(err, errno, "look for dm device %s", uuid);
	path_of(&request, ret_path);
	return 1;
}

static int load_table(int fd, const char *uuid, const struct zl_mapper_segment *segments,
        size_t count, struct zl_error *err)
{
	zl_auto(buffer) struct zl_buffer request = ZL_BUFFER_INIT;
	struct dm_ioctl head = {0};

	if (zl_buffer_append(&request, &head, sizeof(head), err) < 0 ||
	        zl_mapper_table(segments, count, &request, err) < 0)
		return -1;
	init_request(&head, request.length, NULL, uuid);
	head.target_count = (__u32)count;
	head.flags = DM_READONLY_FLAG;
	memcpy(request.data, &head, sizeof(head));
	if (ioctl(fd, DM_TABLE_LOAD, request.data) < 0)
		return zl_error_errno(err, errno, "load the table of dm device %s", uuid);
	return 0;
}

// "Suspend" without the flag is resume: the loaded table comes into force.
static int resume(
        int fd, const char *uuid, char ret_path[static ZL_MAPPER_PATH_SIZE], struct zl_error *err)
{
	struct dm_ioctl request;

	init_request(&request, sizeof(request), NULL, uuid);
	if (ioctl(fd, DM_DEV_SUSPEND, &request) < 0)
		return zl_error_errno(err, errno, "start dm device %s", uuid);
	path_of(&request, ret_path);
	return 0;
}

int zl_mapper_create(const char *name, const char *uuid, const struct zl_mapper_segment *segments,
        size_t count, char ret_path[static ZL_MAPPER_PATH_SIZE], struct zl_error *err)
{
	zl_auto(fd) int fd = open_control(err);
	struct dm_ioctl request;

	if (fd < 0)
		return -1;
	init_request(&request, sizeof(request), name, uuid);
	if (ioctl(fd, DM_DEV_CREATE, &request) < 0) {
		// The kernel says EBUSY for a name or uuid that is taken.
		if (errno == EBUSY)
			return zl_error_set(err, ZL_ALREADY_EXISTS,
			        "dm device %s exists already; remove it with: dmsetup remove %s",
			        name, name);
		return zl_error_errno(err, errno, "make dm device %s", name);
	}
	if (load_table(fd, uuid, segments, count, err) == 0 && resume(fd, uuid, ret_path, err) == 0)
		return 0;
	(void)zl_mapper_remove(uuid, NULL);
	return -1;
}

int zl_mapper_remove(const char *uuid, struct zl_error *err)
{
	zl_auto(fd) int fd = open_control(err);
	struct dm_ioctl request;

	if (fd < 0)
		return -1;
	init_request(&request, sizeof(request), NULL, uuid);
	request.flags = DM_DEFERRED_REMOVE;
	if (ioctl(fd, DM_DEV_REMOVE, &request) < 0 && errno != ENXIO)
		return zl_error_errno(err, errno, "remove dm device %s", uuid);
	return 0;
}

static int visit_name(int fd, const char *name, const char *prefix, zl_mapper_visit *visit,
        void *user, struct zl_error *err)
{
	struct dm_ioctl request;

	init_request(&request, sizeof(request), name, NULL);
	if (ioctl(fd, DM_DEV_STATUS, &request) < 0)
		return errno == ENXIO ? 0
		                      : zl_error_errno(err, errno, "look at dm device %s", name);
	if (strncmp(request.uuid, prefix, strlen(prefix)) != 0)
		return 0;
	return visit(user, request.uuid, err);
}

int zl_mapper_each(const char *prefix, zl_mapper_visit *visit, void *user, struct zl_error *err)
{
	zl_auto(fd) int fd = open(CONTROL, O_RDWR | O_CLOEXEC);
	zl_auto(free) struct dm_ioctl *reply = calloc(1, REPLY_SIZE);
	const struct dm_name_list *entry;

	if (fd < 0)
		return 0;
	if (reply == NULL)
		return zl_error_nomem(err);
	init_request(reply, REPLY_SIZE, NULL, NULL);
	if (ioctl(fd, DM_LIST_DEVICES, reply) < 0)
		return zl_error_errno(err, errno, "list dm devices");
	if (reply->flags & DM_BUFFER_FULL_FLAG)
		return zl_error_set(
		        err, ZL_RESOURCE_EXHAUSTED, "more dm devices than can be listed");
	entry = (const void *)((const char *)reply + reply->data_start);
	if (entry->dev == 0)
		return 0;
	for (;;) {
		if (visit_name(fd, entry->name, prefix, visit, user, err) < 0)
			return -1;
		if (entry->next == 0)
			return 0;
		entry = (const void *)((const char *)entry + entry->next);
	}
}
