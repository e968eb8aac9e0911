// SPDX-License-Identifier: Apache-2.0
//
// Inside the file server: one request while it is being answered, and the handlers by subject.
#ifndef ZL_STORAGE_DRIVER_P9_CALL_H
#define ZL_STORAGE_DRIVER_P9_CALL_H

#include <stdbool.h>
#include <stdio.h>
#include <sys/stat.h>

#include "base/cleanup.h"
#include "storage-driver/p9/message.h"
#include "storage-driver/p9/server.h"

struct zl_p9_call {
	struct zl_p9_server *server;
	const struct zl_p9_message *in;
	struct zl_p9_message *out; // type and tag are set
	struct zl_p9_fid *fid;     // of in->fid, counted; NULL where the handler takes none
	uint8_t *room;             // where the bytes of Rread and Rreaddir go, or any text
	size_t room_length;
};

// 0, or the errno for Rlerror.
typedef int zl_p9_handler(struct zl_p9_call *call);

// tree.c
zl_p9_handler zl_p9_attach, zl_p9_walk, zl_p9_clunk, zl_p9_readdir;
// entry.c: names in a directory
zl_p9_handler zl_p9_lcreate, zl_p9_mkdir, zl_p9_mknod, zl_p9_symlink, zl_p9_link, zl_p9_renameat,
        zl_p9_unlinkat;
// file.c: an open file
zl_p9_handler zl_p9_lopen, zl_p9_read, zl_p9_write, zl_p9_fsync, zl_p9_tlock, zl_p9_getlock;
// attribute.c
zl_p9_handler zl_p9_getattr, zl_p9_setattr, zl_p9_statfs, zl_p9_readlink;
// xattr.c
zl_p9_handler zl_p9_xattrwalk, zl_p9_xattrcreate;

// The name of a descriptor in the working directory, /proc/self/fd: opening "7" opens what
// descriptor 7 is, of whatever kind, and whatever it is called by now.
struct zl_p9_fd_path {
	char text[12];
};
static inline struct zl_p9_fd_path zl_p9_fd_path(int fd)
{
	struct zl_p9_fd_path path;

	(void)snprintf(path.text, sizeof(path.text), "%d", fd);
	return path;
}

// One name of a directory entry as a C string: EINVAL for "", "." and "..", or one with a slash;
// ENAMETOOLONG past 255 bytes.
struct zl_p9_name {
	char text[256];
};
int zl_p9_name(const struct zl_p9_text *from, struct zl_p9_name *ret);

// What a call's fid must be. 0 or errno.
int zl_p9_need_directory(const struct zl_p9_fid *fid); // EROFS for the root: it is only a table

// The qid of a descriptor in the fid's export.
int zl_p9_qid_of(const struct zl_p9_fid *fid, int fd, struct zl_p9_qid *ret, mode_t *ret_kind);
struct zl_p9_qid zl_p9_root_qid(void);

// Makes the calling thread act as this user and group on file systems, keeping its capabilities
// (SECBIT_NO_SETUID_FIXUP), and back as root.
void zl_p9_become(uint32_t uid, uint32_t gid);
void zl_p9_become_root(void);

// Bytes of an open fid whose content is an extended attribute (xattr.c). With the fid's lock.
int zl_p9_xattr_read(struct zl_p9_call *call);
int zl_p9_xattr_write(struct zl_p9_call *call);
// Tclunk of such a fid: sets the attribute.
int zl_p9_xattr_finish(struct zl_p9_fid *fid);

#endif
