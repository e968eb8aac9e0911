// SPDX-License-Identifier: Apache-2.0
//
// Names in a directory: made, linked, renamed, removed.
#include <fcntl.h>
#include <limits.h>
#include <string.h>

#include "storage-driver/p9/call.h"

enum { PERMISSIONS = 07777 };

// The directory of the call's fid and the name in it.
static int prepare(struct zl_p9_call *call, struct zl_p9_name *name)
{
	int failure = zl_p9_need_directory(call->fid);

	return failure != 0 ? failure : zl_p9_name(&call->in->name, name);
}

// The qid of what was just made.
static int answer_qid(struct zl_p9_call *call, const struct zl_p9_name *name)
{
	struct stat status;

	if (fstatat(call->fid->path_fd, name->text, &status, AT_SYMLINK_NOFOLLOW) < 0)
		return errno;
	call->out->qid =
	        zl_p9_export_qid(call->fid->export, status.st_dev, status.st_ino, status.st_mode);
	return 0;
}

int zl_p9_mkdir(struct zl_p9_call *call)
{
	struct zl_p9_name name;
	int failure = prepare(call, &name);

	if (failure != 0)
		return failure;
	zl_p9_become(call->fid->uid, call->in->gid);
	if (mkdirat(call->fid->path_fd, name.text, call->in->mode & PERMISSIONS) < 0)
		failure = errno;
	zl_p9_become_root();
	return failure != 0 ? failure : answer_qid(call, &name);
}

int zl_p9_mknod(struct zl_p9_call *call)
{
	mode_t kind = call->in->mode & S_IFMT;
	struct zl_p9_name name;
	int failure = prepare(call, &name);

	if (failure != 0)
		return failure;
	// An overlay's whiteout is a character device 0:0, which opens nothing.
	if (S_ISBLK(kind) || (S_ISCHR(kind) && (call->in->major != 0 || call->in->minor != 0)))
		return EPERM;
	if (!S_ISREG(kind) && !S_ISFIFO(kind) && !S_ISSOCK(kind) && !S_ISCHR(kind))
		return EINVAL;
	zl_p9_become(call->fid->uid, call->in->gid);
	if (mknodat(call->fid->path_fd, name.text, kind | (call->in->mode & PERMISSIONS), 0) < 0)
		failure = errno;
	zl_p9_become_root();
	return failure != 0 ? failure : answer_qid(call, &name);
}

int zl_p9_symlink(struct zl_p9_call *call)
{
	const struct zl_p9_text *target = &call->in->new_name;
	struct zl_p9_name name;
	char text[PATH_MAX];
	int failure = prepare(call, &name);

	if (failure != 0)
		return failure;
	if (target->length >= sizeof(text))
		return ENAMETOOLONG;
	memcpy(text, target->bytes, target->length);
	text[target->length] = '\0';
	zl_p9_become(call->fid->uid, call->in->gid);
	if (symlinkat(text, call->fid->path_fd, name.text) < 0)
		failure = errno;
	zl_p9_become_root();
	return failure != 0 ? failure : answer_qid(call, &name);
}

// The call's fid is the directory; other_fid is what gets one more name. By the descriptor's path,
// since AT_EMPTY_PATH would need CAP_DAC_READ_SEARCH.
int zl_p9_link(struct zl_p9_call *call)
{
	struct zl_p9_fid *target;
	struct zl_p9_name name;
	int failure = prepare(call, &name);

	if (failure != 0)
		return failure;
	target = zl_p9_fid_get(&call->server->fids, call->in->other_fid);
	if (target == NULL)
		return EBADF;
	if (target->export == NULL)
		failure = EPERM;
	else if (linkat(AT_FDCWD, zl_p9_fd_path(target->path_fd).text, call->fid->path_fd,
	                 name.text, AT_SYMLINK_FOLLOW) < 0)
		failure = errno;
	zl_p9_fid_put(&call->server->fids, target);
	return failure;
}

int zl_p9_renameat(struct zl_p9_call *call)
{
	struct zl_p9_fid *directory;
	struct zl_p9_name name;
	struct zl_p9_name new_name;
	int failure = prepare(call, &name);

	if (failure == 0)
		failure = zl_p9_name(&call->in->new_name, &new_name);
	if (failure != 0)
		return failure;
	directory = zl_p9_fid_get(&call->server->fids, call->in->other_fid);
	if (directory == NULL)
		return EBADF;
	failure = zl_p9_need_directory(directory);
	if (failure == 0 &&
	        renameat(call->fid->path_fd, name.text, directory->path_fd, new_name.text) < 0)
		failure = errno;
	zl_p9_fid_put(&call->server->fids, directory);
	return failure;
}

int zl_p9_unlinkat(struct zl_p9_call *call)
{
	int flags = (call->in->flags & ZL_P9_UNLINK_DIRECTORY) != 0 ? AT_REMOVEDIR : 0;
	struct zl_p9_name name;
	int failure = prepare(call, &name);

	if (failure != 0)
		return failure;
	return unlinkat(call->fid->path_fd, name.text, flags) < 0 ? errno : 0;
}

// ---- Tlcreate: the fid of the directory becomes that of the open file

// Only what says how to open a file. The bits of P9_DOTL_… are spelled out, since they are the
// numbers of one architecture.
static int create_flags(uint32_t flags)
{
	int result = (int)(flags & 3) | O_CREAT | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC;

	if ((flags & 0200) != 0)
		result |= O_EXCL;
	if ((flags & 01000) != 0)
		result |= O_TRUNC;
	if ((flags & 02000) != 0)
		result |= O_APPEND;
	if ((flags & 04000000) != 0)
		result |= O_SYNC;
	else if ((flags & 010000) != 0)
		result |= O_DSYNC;
	return result;
}

// What was there before and is no plain file (a fifo) is not handed out.
static int adopt(struct zl_p9_call *call, int file)
{
	struct zl_p9_fids *fids = &call->server->fids;
	struct zl_p9_fid *fid;
	mode_t kind;
	int failure = zl_p9_qid_of(call->fid, file, &call->out->qid, &kind);

	if (failure == 0 && !S_ISREG(kind))
		failure = EEXIST;
	if (failure != 0) {
		(void)zl_close(file);
		return failure;
	}
	fid = zl_p9_fid_new(fids, zl_p9_export_ref(fids->exports, call->fid->export), file, kind,
	        call->fid->uid);
	if (fid == NULL)
		return ENOMEM;
	fid->open_fd = file;
	fid->use = ZL_P9_OPEN;
	failure = zl_p9_fid_replace(fids, fid, call->in->fid) ? 0 : EBADF;
	zl_p9_fid_put(fids, fid);
	return failure;
}

int zl_p9_lcreate(struct zl_p9_call *call)
{
	int flags = create_flags(call->in->flags);
	struct zl_p9_name name;
	int failure = prepare(call, &name);
	int file;

	if (failure == 0 && (flags & O_ACCMODE) == O_ACCMODE)
		failure = EINVAL;
	if (failure != 0)
		return failure;
	zl_p9_become(call->fid->uid, call->in->gid);
	file = openat(call->fid->path_fd, name.text, flags, call->in->mode & PERMISSIONS);
	failure = errno;
	zl_p9_become_root();
	return file < 0 ? failure : adopt(call, file);
}
