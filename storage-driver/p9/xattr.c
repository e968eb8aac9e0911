// SPDX-License-Identifier: Apache-2.0
//
// Extended attributes. Reading is a walk to a fid that has the value (or, without a name, the list)
// as its content; writing turns a fid into one that takes the value and sets it when it is clunked
// (net/9p/client.c, fs/9p/xattr.c).
#include <string.h>
#include <sys/xattr.h>

#include "storage-driver/p9/call.h"

// What a zone may see and set. trusted.* and the other security.* are the node's own.
static bool allowed(const char *name)
{
	static const char *const exact[] = {
	        "security.capability",
	        "system.posix_acl_access",
	        "system.posix_acl_default",
	};

	if (strncmp(name, "user.", 5) == 0)
		return name[5] != '\0';
	for (size_t i = 0; i < ZL_ARRAY_SIZE(exact); i++) {
		if (strcmp(name, exact[i]) == 0)
			return true;
	}
	return false;
}

static int take_name(const struct zl_p9_text *from, char out[static ZL_P9_XATTR_NAME_MAX + 1])
{
	if (from->length > ZL_P9_XATTR_NAME_MAX)
		return ERANGE;
	if (from->length > 0)
		memcpy(out, from->bytes, from->length);
	out[from->length] = '\0';
	return from->length == 0 || allowed(out) ? 0 : EOPNOTSUPP;
}

// Removes from a list of names those that are not for the zone; returns what is left.
static size_t filter(char *list, size_t length)
{
	size_t kept = 0;

	for (size_t at = 0; at < length;) {
		size_t size = strnlen(list + at, length - at) + 1;

		if (at + size > length)
			break;
		if (allowed(list + at)) {
			memmove(list + kept, list + at, size);
			kept += size;
		}
		at += size;
	}
	return kept;
}

// The value of `name`, or the list for "", into a new fid. The size may change between two calls:
// then the second fails with ERANGE, as getxattr(2) does for anybody.
static int fetch(struct zl_p9_call *call, struct zl_p9_fid *fid, const char *name)
{
	struct zl_p9_fd_path path = zl_p9_fd_path(call->fid->path_fd);
	bool list = name[0] == '\0';
	ssize_t size = list ? listxattr(path.text, NULL, 0) : getxattr(path.text, name, NULL, 0);
	int failure;

	if (size < 0)
		return errno;
	failure = zl_p9_fid_xattr(&call->server->fids, fid, (size_t)size);
	if (failure != 0)
		return failure;
	if (size > 0) {
		size = list ? listxattr(path.text, (char *)fid->xattr->bytes, (size_t)size)
		            : getxattr(path.text, name, fid->xattr->bytes, (size_t)size);
		if (size < 0)
			return errno;
	}
	fid->xattr->size = list ? filter((char *)fid->xattr->bytes, (size_t)size) : (size_t)size;
	return 0;
}

int zl_p9_xattrwalk(struct zl_p9_call *call)
{
	struct zl_p9_fids *fids = &call->server->fids;
	char name[ZL_P9_XATTR_NAME_MAX + 1];
	struct zl_p9_fid *fid;
	int failure = take_name(&call->in->name, name);

	if (failure != 0)
		return failure;
	if (call->fid->export == NULL)
		return name[0] == '\0' ? EOPNOTSUPP : ENODATA;
	fid = zl_p9_fid_new(fids, zl_p9_export_ref(fids->exports, call->fid->export), -1,
	        call->fid->kind, call->fid->uid);
	if (fid == NULL)
		return ENOMEM;
	fid->use = ZL_P9_XATTR_READ;
	failure = fetch(call, fid, name);
	if (failure == 0) {
		call->out->size = fid->xattr->size;
		failure = zl_p9_fid_insert(fids, fid, call->in->other_fid);
	}
	zl_p9_fid_put(fids, fid);
	return failure;
}

int zl_p9_xattrcreate(struct zl_p9_call *call)
{
	struct zl_p9_fid *fid = call->fid;
	char name[ZL_P9_XATTR_NAME_MAX + 1];
	int failure = take_name(&call->in->name, name);

	if (failure == 0 && (name[0] == '\0' || (call->in->flags & ~3U) != 0))
		failure = EINVAL;
	if (failure == 0 && call->in->size > ZL_P9_XATTR_MAX)
		failure = E2BIG;
	if (failure == 0 && fid->export == NULL)
		failure = EROFS;
	if (failure != 0)
		return failure;
	pthread_mutex_lock(&fid->lock);
	failure = fid->use == ZL_P9_IDLE
	                  ? zl_p9_fid_xattr(&call->server->fids, fid, (size_t)call->in->size)
	                  : EBADF;
	if (failure == 0) {
		memcpy(fid->xattr->name, name, sizeof(name));
		fid->xattr->flags = (int)call->in->flags;
		fid->use = ZL_P9_XATTR_WRITE;
	}
	pthread_mutex_unlock(&fid->lock);
	return failure;
}

int zl_p9_xattr_read(struct zl_p9_call *call)
{
	struct zl_p9_fid *fid = call->fid;
	size_t count = call->in->count < call->room_length ? call->in->count : call->room_length;
	uint64_t offset = call->in->offset;
	int failure = 0;

	pthread_mutex_lock(&fid->lock);
	if (fid->use != ZL_P9_XATTR_READ) {
		failure = EBADF;
	} else if (offset < fid->xattr->size) {
		if (count > fid->xattr->size - offset)
			count = (size_t)(fid->xattr->size - offset);
		memcpy(call->room, fid->xattr->bytes + offset, count);
		call->out->data_length = (uint32_t)count;
	}
	pthread_mutex_unlock(&fid->lock);
	return failure;
}

int zl_p9_xattr_write(struct zl_p9_call *call)
{
	struct zl_p9_fid *fid = call->fid;
	size_t length = call->in->data_length;
	int failure = 0;

	pthread_mutex_lock(&fid->lock);
	if (fid->use != ZL_P9_XATTR_WRITE) {
		failure = EBADF;
	} else if (call->in->offset != fid->xattr->filled ||
	           length > fid->xattr->size - fid->xattr->filled) {
		failure = ENOSPC;
	} else {
		if (length > 0)
			memcpy(fid->xattr->bytes + fid->xattr->filled, call->in->data, length);
		fid->xattr->filled += length;
		call->out->count = (uint32_t)length;
	}
	pthread_mutex_unlock(&fid->lock);
	return failure;
}

// Linux removes an attribute by size 0 with XATTR_REPLACE (fs/xattr.c, __vfs_removexattr), which
// the protocol cannot tell from replacing its value by an empty one.
int zl_p9_xattr_finish(struct zl_p9_fid *fid)
{
	struct zl_p9_fd_path path = zl_p9_fd_path(fid->path_fd);
	const struct zl_p9_xattr *xattr = fid->xattr;

	if (xattr->filled != xattr->size)
		return EINVAL;
	if (xattr->size == 0 && xattr->flags == XATTR_REPLACE)
		return removexattr(path.text, xattr->name) < 0 ? errno : 0;
	return setxattr(path.text, xattr->name, xattr->bytes, xattr->size, xattr->flags) < 0 ? errno
	                                                                                     : 0;
}
