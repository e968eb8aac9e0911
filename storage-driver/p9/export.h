// SPDX-License-Identifier: Apache-2.0
//
// What one server shows: a table of directories and files, each under a name.
//
// The root of the tree that a client mounts is not a directory of any file system: it is this
// table. So exports come and go while the client stays mounted, single files are exports as
// directories are, and one attach (trans=xen allows one client a device) reaches all of them.
//
// An export is the root of a detached mount (open_tree(2) with OPEN_TREE_CLONE, made by the
// daemon), known by its descriptor alone: it is attached nowhere, so no path leads to it or out of
// it, and the kernel enforces read-only, nodev and nosuid by the mount's own attributes. It is
// dissolved when the descriptor is closed, also by the end of the process.
//
// Thread rule: any thread.
#ifndef ZL_STORAGE_DRIVER_P9_EXPORT_H
#define ZL_STORAGE_DRIVER_P9_EXPORT_H

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "base/error.h"
#include "storage-driver/p9/message.h"

enum { ZL_P9_EXPORT_NAME_SIZE = 100, ZL_P9_EXPORTS_MAX = 1024 };

struct zl_p9_export {
	char name[ZL_P9_EXPORT_NAME_SIZE];
	int fd;              // O_PATH, root of the detached mount
	mode_t kind;         // S_IFDIR or S_IFREG (or another kind of file)
	dev_t device;        // of its root: inode numbers of other file systems below are mixed
	uint64_t order;      // position in the root's listing: the n-th that was ever added
	atomic_bool removed; // nothing below it can be reached any more
	unsigned references;
	struct zl_p9_export *next; // in the table, by order
};

struct zl_p9_exports {
	pthread_mutex_t lock;
	struct zl_p9_export *first;
	size_t count;
	uint64_t added;
};

void zl_p9_exports_init(struct zl_p9_exports *exports);
void zl_p9_exports_release(struct zl_p9_exports *exports);

// A name is 1 to 99 characters of [A-Za-z0-9._-], not beginning with a dot.
bool zl_p9_export_name_valid(const char *name);

// Adds the root; takes the descriptor, also on failure. A name that is there already stays as it
// is: success (a daemon that was killed in between repeats itself). RESOURCE_EXHAUSTED past
// ZL_P9_EXPORTS_MAX.
int zl_p9_export_add(struct zl_p9_exports *exports, const char *name, int fd, struct zl_error *err);

// Takes it out and returns it, counted, or NULL. Fids below it are the caller's to revoke.
struct zl_p9_export *zl_p9_export_remove(struct zl_p9_exports *exports, const char *name);

// Counted; NULL if there is none.
struct zl_p9_export *zl_p9_export_find(
        struct zl_p9_exports *exports, const char *name, size_t length);
// The first with an order past `after`, counted; NULL at the end.
struct zl_p9_export *zl_p9_export_next(struct zl_p9_exports *exports, uint64_t after);

struct zl_p9_export *zl_p9_export_ref(struct zl_p9_exports *, struct zl_p9_export *);
void zl_p9_export_unref(struct zl_p9_exports *, struct zl_p9_export *); // NULL is fine

// The qid of a file below it: the inode's number, mixed with the device's where a file system is
// mounted below the export. The version is 0, which tells v9fs (fs/9p/fid.h) to cache no data.
struct zl_p9_qid zl_p9_export_qid(
        const struct zl_p9_export *export, dev_t device, uint64_t inode, mode_t mode);

#endif
