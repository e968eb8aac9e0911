// SPDX-License-Identifier: Apache-2.0
#include "zone/supervisor/share.h"

#include <errno.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>

#include "base/file.h"
#include "zone/protocol/share.h"

enum { PATH_SIZE = 128 };

// fs/9p: cache=mmap keeps no data but what is mapped writable (the server's qids have version 0),
// which shared memory of databases needs; names are looked up each time, so that a rename on the
// node is seen at once. access=client: this kernel checks modes, and each user has a fid of its
// own, whose number the server gives new files as owner. msize: as large as both ends can.
#define OPTIONS "trans=xen,version=9p2000.L,msize=524288,cache=mmap,access=client"

// A mount point's device differs from its parent's.
static bool is_mounted(const char *path)
{
	struct stat own;
	struct stat parent;

	return stat(path, &own) == 0 && stat(ZL_SHARE_DIR, &parent) == 0 &&
	       own.st_dev != parent.st_dev;
}

static bool plain(const char *name)
{
	size_t length = strlen(name);

	return length > 0 && length < 32 &&
	       strspn(name, "abcdefghijklmnopqrstuvwxyz0123456789-") == length;
}

int zl_share_mount(const char *tag, const char *name, struct zl_error *err)
{
	char path[PATH_SIZE];

	if (!plain(tag) || !plain(name))
		return zl_error_set(err, ZL_INVALID_ARGUMENT,
		        "\"%.40s\" and \"%.40s\" cannot be a 9pfs device and its directory", tag,
		        name);
	(void)snprintf(path, sizeof(path), "%s/%s", ZL_SHARE_DIR, name);
	if (is_mounted(path))
		return 0;
	if (zl_dir_make(path, 0755, err) < 0)
		return -1;
	if (mount(tag, path, "9p", MS_NODEV, OPTIONS) < 0)
		return zl_error_errno(err, errno,
		        "mount the node's directories from 9pfs device %s (needs "
		        "CONFIG_NET_9P_XEN and CONFIG_9P_FS in the zone's kernel)",
		        tag);
	return 0;
}
