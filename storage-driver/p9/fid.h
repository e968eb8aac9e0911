// SPDX-License-Identifier: Apache-2.0
//
// Fids: the handles of a client.
//
// A fid is an O_PATH descriptor, which is neither moved nor lost when the file is renamed or
// unlinked, and, once it is opened, a second one for reading and writing. What it stands for never
// changes while it is in the table, except by Tlcreate, Tlopen and Txattr…, once each.
//
// Thread rule: the table has its own lock. A fid that was looked up is counted and stays valid
// until it is put back, also if the client clunks it meanwhile. Its changing members are guarded by
// its own lock; `open_fd` is set once and may be read with it for as long as the count is held.
#ifndef ZL_STORAGE_DRIVER_P9_FID_H
#define ZL_STORAGE_DRIVER_P9_FID_H

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <uthash.h>

#include "storage-driver/p9/export.h"

enum {
	ZL_P9_FIDS_MAX = 16384,
	ZL_P9_XATTR_FIDS_MAX = 64,   // each may hold ZL_P9_XATTR_MAX bytes
	ZL_P9_XATTR_MAX = 64 * 1024, // XATTR_SIZE_MAX, XATTR_LIST_MAX
	ZL_P9_XATTR_NAME_MAX = 255,  // XATTR_NAME_MAX
};

enum zl_p9_use {
	ZL_P9_IDLE, // walked to, not opened
	ZL_P9_OPEN,
	ZL_P9_XATTR_READ,  // `xattr` is what Txattrwalk found
	ZL_P9_XATTR_WRITE, // `xattr` fills up; Tclunk sets it
};

struct zl_p9_xattr {
	char name[ZL_P9_XATTR_NAME_MAX + 1];
	uint8_t *bytes;
	size_t size;   // announced, or found
	size_t filled; // written so far
	int flags;     // XATTR_CREATE, XATTR_REPLACE
};

struct zl_p9_fid {
	uint32_t number;
	atomic_uint references;
	uint32_t uid;                // as whom what it creates is made
	struct zl_p9_export *export; // counted; NULL: the root, the table of exports
	mode_t kind;                 // S_IFMT
	int path_fd;                 // -1 for the root

	pthread_mutex_t lock; // guards all below
	enum zl_p9_use use;
	int open_fd;            // -1 while not opened; may be the same as path_fd
	int64_t directory_next; // where open_fd's directory stands; -1: unknown
	struct zl_p9_xattr *xattr;
	UT_hash_handle hh; // guarded by the table's lock
};

struct zl_p9_fids {
	pthread_mutex_t lock;
	struct zl_p9_exports *exports;
	struct zl_p9_fid *all;
	size_t count;
	size_t xattr_count;
};

void zl_p9_fids_init(struct zl_p9_fids *fids, struct zl_p9_exports *exports);
void zl_p9_fids_release(struct zl_p9_fids *fids);
// Forgets all fids (Tversion), or those of one export that was removed.
void zl_p9_fids_clear(struct zl_p9_fids *fids, const struct zl_p9_export *export);

// A new fid, in no table, with one reference. Takes path_fd and the count of `export`. NULL without
// memory (both are then released).
struct zl_p9_fid *zl_p9_fid_new(struct zl_p9_fids *fids, struct zl_p9_export *export, int path_fd,
        mode_t kind, uint32_t uid);

// Puts it in the table under this number, with a reference for the table. EBADF: the number is in
// use or is NOFID; ENFILE: too many. 0 on success.
int zl_p9_fid_insert(struct zl_p9_fids *fids, struct zl_p9_fid *fid, uint32_t number);

// Counted; NULL if there is none.
struct zl_p9_fid *zl_p9_fid_get(struct zl_p9_fids *fids, uint32_t number);
// Takes it out of the table and hands the table's count to the caller.
struct zl_p9_fid *zl_p9_fid_take(struct zl_p9_fids *fids, uint32_t number);
// The caller's own object becomes what the table has under the number (Txattrwalk and Twalk with
// newfid == fid). The one that was there loses the table's count. false: it is gone.
bool zl_p9_fid_replace(struct zl_p9_fids *fids, struct zl_p9_fid *fid, uint32_t number);
void zl_p9_fid_put(struct zl_p9_fids *fids, struct zl_p9_fid *fid); // NULL is fine

// Gives it room for an extended attribute of `size` bytes. ENOSPC past the limits, ENOMEM.
int zl_p9_fid_xattr(struct zl_p9_fids *fids, struct zl_p9_fid *fid, size_t size);

#endif
