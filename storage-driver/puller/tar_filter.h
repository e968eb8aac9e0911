// SPDX-License-Identifier: Apache-2.0
//
// What may enter mkfs.erofs: a tar stream is checked entry by entry on its way, so that the image
// writer sees only well-formed entries with names inside the root.
//
// Refused (INVALID_ARGUMENT, naming the entry): ".." in a name or a hard link's target, names
// longer than Linux allows, hard links to what this layer has not brought before, malformed or
// meaningless whiteouts, files used as directories, sparse and unknown entries, sizes and counts
// past the limits, extended attributes of overlayfs (they could redirect into other layers), bad
// checksums, an archive that ends inside an entry.
//
// Dropped: aufs' own files (".wh..wh.plnk" and the like), global pax headers (comments of git).
//
// Added: directories that are there only by what lies in them, with a mark (implied.h).
//
// Passed: absolute names (the image writer takes them below the root), device nodes (a container's
// device rules decide, as in every runtime).
//
// Formats: POSIX.1-2001 pax and ustar (IEEE Std 1003.1, pax, "ustar Interchange Format"), GNU long
// names and base-256 numbers (GNU tar manual, "Basic Tar Format"). Whiteouts: OCI image-spec
// layer.md.
#ifndef ZL_STORAGE_DRIVER_PULLER_TAR_FILTER_H
#define ZL_STORAGE_DRIVER_PULLER_TAR_FILTER_H

#include <stdbool.h>
#include <stdint.h>

#include "base/buffer.h"
#include "storage-driver/puller/inflate.h"
#include "storage-driver/puller/tar_header.h"

enum {
	ZL_TAR_META_MAX = 1024 * 1024,    // one extended header; Go's reader has the same limit
	ZL_TAR_ENTRIES_MAX = 1000 * 1000, // entries of one layer
};

enum zl_tar_state { ZL_TAR_HEADER, ZL_TAR_DATA, ZL_TAR_META, ZL_TAR_END };

// Names that an entry gets from the headers before it; NULL when none.
struct zl_tar_extension {
	char *path;
	char *link;
	uint64_t size;
	bool has_size;
};

// A set of names by hash (FNV-1a). A collision does no harm: mkfs.erofs looks for itself.
struct zl_name_set {
	uint64_t *table;
	size_t capacity; // a power of two
	size_t count;
};

struct zl_tar_filter {
	enum zl_tar_state state;
	uint8_t block[ZL_TAR_BLOCK]; // header being gathered
	size_t block_length;
	uint64_t left;         // data bytes still to come, padding included
	uint64_t padding;      // the last of them that are padding
	uint64_t meta_size;    // of them without padding, for an extended header
	char meta_type;        // its type flag
	bool dropping;         // the entry's data does not go on
	struct zl_buffer meta; // an extended header's data
	struct zl_buffer held; // extended headers as they came, until their entry is judged
	struct zl_tar_extension extension;
	struct zl_name_set files; // that a hard link may point to
	struct zl_name_set dirs;  // that were brought, or added
	uint64_t entries;
	uint64_t data_bytes;
	uint64_t max_bytes;
	zl_byte_sink *sink;
	void *user;
};

// max_bytes limits the sum of the files' sizes.
void zl_tar_filter_init(
        struct zl_tar_filter *filter, uint64_t max_bytes, zl_byte_sink *sink, void *user);
int zl_tar_filter_feed(
        struct zl_tar_filter *filter, const uint8_t *bytes, size_t length, struct zl_error *err);
// The end of the input: fails inside an entry, else writes the end of the archive.
int zl_tar_filter_end(struct zl_tar_filter *filter, struct zl_error *err);
void zl_tar_filter_release(struct zl_tar_filter *filter);
ZL_AUTO_DEFINE_VALUE(tar_filter, struct zl_tar_filter, zl_tar_filter_release);

#endif
