// SPDX-License-Identifier: Apache-2.0
//
// Directories that a layer has only because something lies in them.
//
// A layer's tar may bring "etc/passwd" without "etc/". Unpacked onto the layers below, the
// directory keeps what they say of it; only where there is none, it is made (root's, 0755). A
// layer's blob is made without knowing what will be below, so the tar filter adds such directories
// with a mark: a modification time that nothing else has. After the merge, marked directories of
// the merged blob, and its root (which mkfs.erofs makes anew), get mode, owner and time of the
// uppermost layer that brought them in full.
#ifndef ZL_STORAGE_DRIVER_PULLER_IMPLIED_H
#define ZL_STORAGE_DRIVER_PULLER_IMPLIED_H

#include "base/error.h"
#include "storage-driver/puller/erofs_tree.h"

// The mark: 1970-01-01 and this many nanoseconds.
enum { ZL_IMPLIED_NS = 370369, ZL_IMPLIED_MODE = 0755 };

// Settles all marked directories of `merged`, in memory. `layers`, lowest first.
int zl_implied_settle(struct zl_erofs_image *merged, const struct zl_erofs_image *layers,
        size_t count, struct zl_error *err);

// The same for files: `file` of the working directory is changed in place, the layers are `names`
// of the directory blobs_fd.
int zl_implied_settle_file(
        const char *file, int blobs_fd, char *const *names, struct zl_error *err);

#endif
