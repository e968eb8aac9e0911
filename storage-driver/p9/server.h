// SPDX-License-Identifier: Apache-2.0
//
// The file server: from a request to its answer, on top of fids.
//
// Who may do what. The client is the kernel of a zone, and the zone is the boundary: its kernel
// decides which of its processes may touch a file (v9fs checks modes as any file system does), and
// it can claim any user. So the server does not check users; it does what root in the zone may do
// on a local file system, inside the exports: it keeps CAP_DAC_OVERRIDE, CAP_FOWNER, CAP_FSETID,
// CAP_CHOWN and so on, and takes on the claimed user and group only while it makes something, so
// that owners, set-gid directories and quotas come out as on a local file system. The boundary
// itself is not a check: no operation takes a path. A walk is one openat2(2) for each name, beneath
// the descriptor of its directory, with RESOLVE_BENEATH, RESOLVE_NO_SYMLINKS and
// RESOLVE_NO_MAGICLINKS; every other operation is on a descriptor, or on one name in the
// directory of one.
//
// What is refused on purpose: devices (mknod of character and block devices is EPERM: whoever reads
// the directory on the node must not find any), extended attributes other than user.*,
// security.capability and POSIX ACLs (EOPNOTSUPP), ".." below an export (Linux never asks for it),
// Trename and Tremove (EOPNOTSUPP: Linux then uses, and always tries first, Trenameat and
// Tunlinkat), Tauth.
//
// Thread rule: zl_p9_server_answer may be called from several threads at once, with one reply
// buffer each.
#ifndef ZL_STORAGE_DRIVER_P9_SERVER_H
#define ZL_STORAGE_DRIVER_P9_SERVER_H

#include "storage-driver/p9/fid.h"
#include "storage-driver/p9/lock.h"

struct zl_p9_server {
	struct zl_p9_exports exports;
	struct zl_p9_fids fids;
	struct zl_p9_locks locks;
	uint32_t msize_max; // what the transport can do
	atomic_uint msize;  // agreed; msize_max before
};

// proc_fd: the directory /proc/self/fd of this process. It becomes the working directory of the
// process, which is how a descriptor is opened again. The file creation mask becomes 0.
int zl_p9_server_init(
        struct zl_p9_server *server, int proc_fd, uint32_t msize_max, struct zl_error *err);
void zl_p9_server_release(struct zl_p9_server *server);

// Removes an export: its fids are gone at once, its mount with the last operation on it. A name
// that is not there is success.
void zl_p9_server_remove(struct zl_p9_server *server, const char *name);

// Answers one request (any type but Tflush, whose meaning is the session's). `reply` has room for
// msize_max bytes; returns the length of the answer, which is never more than the agreed msize.
// A Tversion ends what was open before: the caller has seen to it that nothing else is running.
size_t zl_p9_server_answer(
        struct zl_p9_server *server, const struct zl_p9_message *request, uint8_t *reply);

// Rlerror.
size_t zl_p9_answer_error(uint16_t tag, uint32_t error, uint8_t *reply, size_t limit);

#endif
