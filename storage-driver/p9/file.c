// SPDX-License-Identifier: Apache-2.0
//
// Opening a fid, and what is done with it then.
#include <fcntl.h>
#include <limits.h>
#include <string.h>

#include "storage-driver/p9/call.h"

// ---- open

// O_DIRECT is left out: what it asks for is between the client and its own cache, and its rules of
// alignment must not be those of the node's disk. O_CREAT and O_EXCL were the client's business
// before it came here.
static int open_flags(uint32_t flags, mode_t kind)
{
	int result = (int)(flags & 3) | O_NONBLOCK | O_CLOEXEC;

	if (S_ISDIR(kind))
		return (flags & 3) == 0 ? result | O_DIRECTORY : -1;
	if ((flags & 01000) != 0)
		result |= O_TRUNC;
	if ((flags & 02000) != 0)
		result |= O_APPEND;
	if ((flags & 01000000) != 0)
		result |= O_NOATIME;
	if ((flags & 04000000) != 0)
		result |= O_SYNC;
	else if ((flags & 010000) != 0)
		result |= O_DSYNC;
	return result;
}

// With the fid's lock. Fifos, sockets and devices are opened by the client's own kernel and never
// here, where opening alone may do something.
static int open_file(struct zl_p9_call *call)
{
	struct zl_p9_fid *fid = call->fid;
	int flags = open_flags(call->in->flags, fid->kind);

	if (fid->use != ZL_P9_IDLE)
		return EBADF;
	if (fid->export == NULL) {
		if ((call->in->flags & 3) != 0)
			return EISDIR;
		fid->use = ZL_P9_OPEN;
		call->out->qid = zl_p9_root_qid();
		return 0;
	}
	if ((call->in->flags & 0200000) != 0 && !S_ISDIR(fid->kind))
		return ENOTDIR;
	if (!S_ISREG(fid->kind) && !S_ISDIR(fid->kind))
		return S_ISLNK(fid->kind) ? ELOOP : ENXIO;
	if (flags < 0)
		return EISDIR;
	if ((flags & O_ACCMODE) == O_ACCMODE)
		return EINVAL;
	fid->open_fd = open(zl_p9_fd_path(fid->path_fd).text, flags);
	if (fid->open_fd < 0)
		return errno;
	fid->use = ZL_P9_OPEN;
	fid->directory_next = 0;
	return zl_p9_qid_of(fid, fid->open_fd, &call->out->qid, NULL);
}

int zl_p9_lopen(struct zl_p9_call *call)
{
	int failure;

	pthread_mutex_lock(&call->fid->lock);
	failure = open_file(call);
	pthread_mutex_unlock(&call->fid->lock);
	return failure;
}

// ---- read and write

// The descriptor of an opened plain file, which stays open while the fid is counted; -1.
static int file_of(struct zl_p9_fid *fid)
{
	int fd = -1;

	pthread_mutex_lock(&fid->lock);
	if (fid->use == ZL_P9_OPEN && fid->export != NULL && S_ISREG(fid->kind))
		fd = fid->open_fd;
	pthread_mutex_unlock(&fid->lock);
	return fd;
}

static bool is_xattr(struct zl_p9_fid *fid)
{
	bool result;

	pthread_mutex_lock(&fid->lock);
	result = fid->use == ZL_P9_XATTR_READ || fid->use == ZL_P9_XATTR_WRITE;
	pthread_mutex_unlock(&fid->lock);
	return result;
}

int zl_p9_read(struct zl_p9_call *call)
{
	size_t count = call->in->count < call->room_length ? call->in->count : call->room_length;
	int fd = file_of(call->fid);
	ssize_t got;

	call->out->data = call->room;
	if (is_xattr(call->fid))
		return zl_p9_xattr_read(call);
	if (fd < 0)
		return S_ISDIR(call->fid->kind) ? EISDIR : EBADF;
	if (call->in->offset > INT64_MAX)
		return EINVAL;
	got = pread(fd, call->room, count, (off_t)call->in->offset);
	if (got < 0)
		return errno;
	call->out->data_length = (uint32_t)got;
	return 0;
}

int zl_p9_write(struct zl_p9_call *call)
{
	int fd = file_of(call->fid);
	ssize_t put;

	if (is_xattr(call->fid))
		return zl_p9_xattr_write(call);
	if (fd < 0)
		return EBADF;
	if (call->in->offset > INT64_MAX)
		return EINVAL;
	put = pwrite(fd, call->in->data, call->in->data_length, (off_t)call->in->offset);
	if (put < 0)
		return errno;
	call->out->count = (uint32_t)put;
	return 0;
}

int zl_p9_fsync(struct zl_p9_call *call)
{
	struct zl_p9_fid *fid = call->fid;
	int fd;

	pthread_mutex_lock(&fid->lock);
	fd = fid->use == ZL_P9_OPEN ? fid->open_fd : -1;
	pthread_mutex_unlock(&fid->lock);
	if (fid->export == NULL)
		return 0;
	if (fd < 0)
		return EBADF;
	return (call->in->flags != 0 ? fdatasync(fd) : fsync(fd)) < 0 ? errno : 0;
}

// ---- locks

// [start, end] of a request, both included; end INT64_MAX: to the end.
static int lock_range(const struct zl_p9_message *in, struct zl_p9_lock *lock)
{
	uint64_t last = INT64_MAX;

	if (in->lock_start > INT64_MAX)
		return EINVAL;
	if (in->lock_length != 0) {
		if (in->lock_length - 1 > INT64_MAX - in->lock_start)
			return EOVERFLOW;
		last = in->lock_start + in->lock_length - 1;
	}
	lock->start = (int64_t)in->lock_start;
	lock->end = (int64_t)last;
	return 0;
}

static int describe_lock(struct zl_p9_call *call, struct zl_p9_lock *lock)
{
	static const short types[] = {
	        [ZL_P9_LOCK_READ] = F_RDLCK,
	        [ZL_P9_LOCK_WRITE] = F_WRLCK,
	        [ZL_P9_LOCK_NONE] = F_UNLCK,
	};
	struct stat status;
	int fd = file_of(call->fid);

	if (call->in->lock_type >= ZL_ARRAY_SIZE(types))
		return EINVAL;
	if (fd < 0 || fstat(fd, &status) < 0)
		return EBADF;
	*lock = (struct zl_p9_lock){
	        .device = status.st_dev,
	        .inode = status.st_ino,
	        .export = call->fid->export,
	        .fid = call->in->fid,
	        .owner = call->in->lock_owner,
	        .type = types[call->in->lock_type],
	};
	return lock_range(call->in, lock);
}

int zl_p9_tlock(struct zl_p9_call *call)
{
	struct zl_p9_lock lock;
	int failure = describe_lock(call, &lock);

	if (failure != 0)
		return failure;
	failure = zl_p9_lock_set(&call->server->locks, &lock, call->fid->path_fd);
	call->out->lock_status = ZL_P9_LOCK_SUCCESS;
	if (failure == EAGAIN || failure == EACCES)
		call->out->lock_status = ZL_P9_LOCK_BLOCKED;
	else if (failure != 0)
		call->out->lock_status = ZL_P9_LOCK_ERROR;
	return 0;
}

// Linux asks with the type "none" (fs/9p/vfs_file.c, v9fs_file_getlock), where what it wants to
// know is who is in the way of anything: as for a write lock.
int zl_p9_getlock(struct zl_p9_call *call)
{
	struct zl_p9_lock lock;
	int failure = describe_lock(call, &lock);

	if (failure != 0)
		return failure;
	if (lock.type == F_UNLCK)
		lock.type = F_WRLCK;
	failure = zl_p9_lock_test(&call->server->locks, &lock, call->fid->path_fd);
	if (failure != 0)
		return failure;
	call->out->lock_type = ZL_P9_LOCK_NONE;
	call->out->lock_start = call->in->lock_start;
	call->out->lock_length = call->in->lock_length;
	call->out->lock_owner = call->in->lock_owner;
	call->out->user = call->in->user;
	if (lock.type == F_UNLCK)
		return 0;
	call->out->lock_type = lock.type == F_RDLCK ? ZL_P9_LOCK_READ : ZL_P9_LOCK_WRITE;
	call->out->lock_start = (uint64_t)lock.start;
	call->out->lock_length = lock.end == INT64_MAX ? 0 : (uint64_t)(lock.end - lock.start) + 1;
	call->out->lock_owner = lock.owner;
	return 0;
}
