// SPDX-License-Identifier: Apache-2.0
//
// Reading directories of an EROFS image in memory (on-disk format: fs/erofs/erofs_fs.h of Linux
// 6.12), as far as layers and merged blobs need it: inodes, plain and inline directories, the
// opaque mark. All offsets are checked against the image's size.
#ifndef ZL_STORAGE_DRIVER_PULLER_EROFS_TREE_H
#define ZL_STORAGE_DRIVER_PULLER_EROFS_TREE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/error.h"

struct zl_erofs_image {
	uint8_t *data;
	size_t size;
	uint32_t block;    // bytes
	uint64_t meta_at;  // where inode 0 would be
	uint64_t xattr_at; // where shared extended attribute 0 would be
	uint64_t root;     // nid of the root
};

struct zl_erofs_inode {
	uint64_t nid;
	size_t at;      // offset of the inode in the image
	bool extended;  // 64 bytes, else 32
	uint8_t layout; // 0 plain, 2 inline tail; others have no directories here
	uint16_t mode;
	uint32_t uid;
	uint32_t gid;
	uint64_t mtime; // seconds; 0 in a compact inode
	uint32_t mtime_ns;
	uint64_t size;       // bytes
	uint32_t data_block; // first block of data
	uint32_t device;     // of a device node
	size_t xattr_size;   // bytes of extended attributes behind the inode
};

// INVALID_ARGUMENT: not an EROFS image, or one with features that change what is read here.
int zl_erofs_image_init(
        struct zl_erofs_image *ret, uint8_t *data, size_t size, struct zl_error *err);
int zl_erofs_inode_read(const struct zl_erofs_image *image, uint64_t nid,
        struct zl_erofs_inode *ret, struct zl_error *err);

// One entry of a directory. The name is not terminated.
struct zl_erofs_entry {
	uint64_t nid;
	const char *name;
	size_t name_length;
	uint8_t type; // 1 regular, 2 directory, 3 character device, …
};

// Calls `visit` for each entry but "." and "..": 0 goes on, else ends with that value.
typedef int zl_erofs_visit(void *user, const struct zl_erofs_entry *entry, struct zl_error *err);
int zl_erofs_each(const struct zl_erofs_image *image, const struct zl_erofs_inode *dir,
        zl_erofs_visit *visit, void *user, struct zl_error *err);

// The entry of this name: 1 found, 0 not, -1.
int zl_erofs_lookup(const struct zl_erofs_image *image, const struct zl_erofs_inode *dir,
        const char *name, size_t length, struct zl_erofs_entry *ret, struct zl_error *err);

// Whether the directory hides those below (trusted.overlay.opaque).
bool zl_erofs_is_opaque(const struct zl_erofs_image *image, const struct zl_erofs_inode *dir);

// Changes who owns an inode, its permission bits and, where it has one, its time.
void zl_erofs_inode_patch(struct zl_erofs_image *image, const struct zl_erofs_inode *inode,
        const struct zl_erofs_inode *like);
// Makes the superblock's checksum right again, if the image has one.
void zl_erofs_image_seal(struct zl_erofs_image *image);

#endif
