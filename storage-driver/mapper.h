// SPDX-License-Identifier: Apache-2.0
//
// Several block devices as one, end to end: device mapper's "linear" target by its ioctls
// (linux/dm-ioctl.h; Documentation/admin-guide/device-mapper/linear.rst).
//
// Without libdevmapper, since that waits for udev, which a node may not have. The node /dev/dm-N is
// there when the table is loaded: devtmpfs makes it.
#ifndef ZL_STORAGE_DRIVER_MAPPER_H
#define ZL_STORAGE_DRIVER_MAPPER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "base/buffer.h"
#include "base/error.h"

enum { ZL_MAPPER_PATH_SIZE = 64, ZL_MAPPER_SEGMENTS_MAX = 513, ZL_SECTOR = 512 };

// One device, used from its first sector on.
struct zl_mapper_segment {
	dev_t device;
	uint64_t sectors; // of 512 bytes
};

// The table for DM_TABLE_LOAD: a dm_target_spec and its parameters for each segment.
int zl_mapper_table(const struct zl_mapper_segment *segments, size_t count, struct zl_buffer *ret,
        struct zl_error *err);

// The device with this uuid: 1 with its path ("/dev/dm-3"), 0 when there is none, -1.
// FAILED_PRECONDITION: no device mapper.
int zl_mapper_find(
        const char *uuid, char ret_path[static ZL_MAPPER_PATH_SIZE], struct zl_error *err);

// Makes a read-only device. Nothing is left of it on failure. ALREADY_EXISTS: name or uuid taken.
int zl_mapper_create(const char *name, const char *uuid, const struct zl_mapper_segment *segments,
        size_t count, char ret_path[static ZL_MAPPER_PATH_SIZE], struct zl_error *err);

// Removes the device, at once or, while it is open, with its last user. Absent is success.
int zl_mapper_remove(const char *uuid, struct zl_error *err);

// Calls `visit` with the uuid of each device whose uuid begins with `prefix`. No device mapper:
// none.
typedef int zl_mapper_visit(void *user, const char *uuid, struct zl_error *err);
int zl_mapper_each(const char *prefix, zl_mapper_visit *visit, void *user, struct zl_error *err);

#endif
