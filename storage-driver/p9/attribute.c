// SPDX-License-Identifier: Apache-2.0
//
// Attributes of files and file systems.
#include <fcntl.h>
#include <sys/statfs.h>
#include <sys/syscall.h>
#include <sys/sysmacros.h>

#include "storage-driver/p9/call.h"

enum {
	PERMISSIONS = 07777,
	ROOT_MODE = S_IFDIR | 0755,
	V9FS_MAGIC = 0x01021997, // linux/magic.h
	BLOCK_SIZE_MAX = 128 * 1024,
};

// ---- getattr

// A device number as the kernel encodes it for user space (linux/kdev_t.h, new_encode_dev).
static uint64_t encode_device(dev_t device)
{
	uint64_t major_number = major(device);
	uint64_t minor_number = minor(device);

	return (minor_number & 0xff) | major_number << 8 | (minor_number & ~0xffULL) << 12;
}

static struct zl_p9_time time_of(const struct timespec *from)
{
	return (struct zl_p9_time){
	        .seconds = (uint64_t)from->tv_sec, .nanoseconds = (uint64_t)from->tv_nsec};
}

// What programs take as a good size for reading: each block is a round trip, so as large as one
// message carries.
static uint64_t block_size(const struct zl_p9_call *call, uint64_t real)
{
	size_t most = call->room_length < BLOCK_SIZE_MAX ? call->room_length : BLOCK_SIZE_MAX;

	return real > 0 && real < most ? most - most % real : real;
}

static void fill_attributes(struct zl_p9_call *call, const struct stat *status)
{
	struct zl_p9_message *out = call->out;

	out->mode = status->st_mode;
	out->uid = status->st_uid;
	out->gid = status->st_gid;
	out->links = status->st_nlink;
	out->device = encode_device(status->st_rdev);
	out->size = (uint64_t)status->st_size;
	out->block_size = block_size(call, (uint64_t)status->st_blksize);
	out->blocks = (uint64_t)status->st_blocks;
	out->access_time = time_of(&status->st_atim);
	out->modify_time = time_of(&status->st_mtim);
	out->change_time = time_of(&status->st_ctim);
}

int zl_p9_getattr(struct zl_p9_call *call)
{
	struct stat status = {.st_mode = ROOT_MODE, .st_nlink = 2, .st_blksize = 4096};

	call->out->mask = ZL_P9_GET_BASIC;
	call->out->qid = zl_p9_root_qid();
	if (call->fid->export != NULL) {
		if (call->fid->path_fd < 0)
			return EBADF;
		if (fstat(call->fid->path_fd, &status) < 0)
			return errno;
		call->out->qid = zl_p9_export_qid(
		        call->fid->export, status.st_dev, status.st_ino, status.st_mode);
	}
	fill_attributes(call, &status);
	return 0;
}

// ---- setattr

// 0 for "leave it" in utimensat's terms.
static struct timespec wanted_time(
        uint32_t valid, uint32_t set, uint32_t given, const struct zl_p9_time *time)
{
	if ((valid & set) == 0)
		return (struct timespec){.tv_nsec = UTIME_OMIT};
	if ((valid & given) == 0)
		return (struct timespec){.tv_nsec = UTIME_NOW};
	return (struct timespec){
	        .tv_sec = (time_t)time->seconds, .tv_nsec = (long)time->nanoseconds};
}

static int set_times(int fd, const struct zl_p9_message *in)
{
	struct timespec times[2] = {
	        wanted_time(in->valid, ZL_P9_SET_ATIME, ZL_P9_SET_ATIME_GIVEN, &in->access_time),
	        wanted_time(in->valid, ZL_P9_SET_MTIME, ZL_P9_SET_MTIME_GIVEN, &in->modify_time),
	};

	if ((in->valid & (ZL_P9_SET_ATIME | ZL_P9_SET_MTIME)) == 0)
		return 0;
	// Two values of nanoseconds have a meaning of their own.
	if (in->access_time.nanoseconds >= 1000000000 || in->modify_time.nanoseconds >= 1000000000)
		return EINVAL;
	return utimensat(fd, "", times, AT_EMPTY_PATH) < 0 ? errno : 0;
}

static int set_owner(int fd, const struct zl_p9_message *in)
{
	uid_t uid = (in->valid & ZL_P9_SET_UID) != 0 ? in->uid : (uid_t)-1;
	gid_t gid = (in->valid & ZL_P9_SET_GID) != 0 ? in->gid : (gid_t)-1;

	// Alone, the change time: an owner that stays as it is sets it.
	if ((in->valid & (ZL_P9_SET_UID | ZL_P9_SET_GID)) == 0 &&
	        (in->valid & 0x1ff) != ZL_P9_SET_CTIME)
		return 0;
	return fchownat(fd, "", uid, gid, AT_EMPTY_PATH) < 0 ? errno : 0;
}

// glibc's fchmodat has no AT_EMPTY_PATH; the call of Linux 6.6 has.
static int set_mode(int fd, const struct zl_p9_message *in)
{
	if ((in->valid & ZL_P9_SET_MODE) == 0)
		return 0;
	if (syscall(SYS_fchmodat2, fd, "", in->mode & PERMISSIONS, AT_EMPTY_PATH) < 0)
		return errno;
	return 0;
}

static int set_size(const struct zl_p9_fid *fid, const struct zl_p9_message *in)
{
	if ((in->valid & ZL_P9_SET_SIZE) == 0)
		return 0;
	if (!S_ISREG(fid->kind))
		return S_ISDIR(fid->kind) ? EISDIR : EINVAL;
	if (in->size > INT64_MAX)
		return EFBIG;
	return truncate(zl_p9_fd_path(fid->path_fd).text, (off_t)in->size) < 0 ? errno : 0;
}

// The owner before the mode, since a change of owner takes set-id bits away; times last, since all
// others change them.
int zl_p9_setattr(struct zl_p9_call *call)
{
	const struct zl_p9_message *in = call->in;
	int fd = call->fid->path_fd;
	int failure;

	if (call->fid->export == NULL)
		return EROFS;
	if (fd < 0)
		return EBADF;
	failure = set_owner(fd, in);
	if (failure == 0)
		failure = set_mode(fd, in);
	if (failure == 0)
		failure = set_size(call->fid, in);
	return failure != 0 ? failure : set_times(fd, in);
}

// ---- the rest

int zl_p9_readlink(struct zl_p9_call *call)
{
	ssize_t length;

	if (call->fid->export == NULL || !S_ISLNK(call->fid->kind))
		return EINVAL;
	length = readlinkat(call->fid->path_fd, "", (char *)call->room,
	        call->room_length < PATH_MAX ? call->room_length : PATH_MAX);
	if (length < 0)
		return errno;
	call->out->new_name =
	        (struct zl_p9_text){.bytes = (const char *)call->room, .length = (uint16_t)length};
	return 0;
}

int zl_p9_statfs(struct zl_p9_call *call)
{
	struct zl_p9_message *out = call->out;
	struct statfs status = {.f_type = V9FS_MAGIC, .f_bsize = 4096, .f_namelen = 255};

	if (call->fid->export != NULL && fstatfs(call->fid->path_fd, &status) < 0)
		return errno;
	out->fs_type = (uint32_t)status.f_type;
	out->fs_block_size = (uint32_t)status.f_bsize;
	out->fs_blocks = status.f_blocks;
	out->fs_free = status.f_bfree;
	out->fs_available = status.f_bavail;
	out->fs_files = status.f_files;
	out->fs_files_free = status.f_ffree;
	out->fs_id = (uint32_t)status.f_fsid.__val[0] | (uint64_t)(uint32_t)status.f_fsid.__val[1]
	                                                        << 32;
	out->fs_name_length = (uint32_t)status.f_namelen;
	return 0;
}
