// SPDX-License-Identifier: Apache-2.0
//
// Which images the node has, in SQLite: image configs, the references to them, and the blob files
// that make each one.
//
// Thread rule: as base/db.h.
#ifndef ZL_STORAGE_DRIVER_CATALOG_H
#define ZL_STORAGE_DRIVER_CATALOG_H

#include "base/db.h"
#include "storage-driver/storage.h"

// Makes or updates the tables.
int zl_catalog_open(struct zl_db *db, struct zl_error *err);

struct zl_catalog_blob {
	const char *name; // file name in the blobs directory
	uint64_t bytes;
};

// Adds or replaces an image with its blobs (first the merged one if there is one, then the layers,
// lowest first), and moves the references `tag` (NULL: none) and `repo_digest` to it.
int zl_catalog_put(struct zl_db *db, const struct zl_image *image,
        const struct zl_catalog_blob *blobs, size_t blob_count, const char *tag,
        const char *repo_digest, struct zl_error *err);

// The id that a reference names: a normalised tag or digest reference, an id, or a unique prefix of
// an id's digits. 1: found, 0: no, -1: INVALID_ARGUMENT when a prefix fits several.
int zl_catalog_resolve(
        struct zl_db *db, const char *reference, char ret_id[static 72], struct zl_error *err);

// The image with references and size. NULL: NOT_FOUND.
struct zl_image *zl_catalog_image(struct zl_db *db, const char *id, struct zl_error *err);

// All ids, oldest first; NULL-terminated, freed with zl_strv_free.
char **zl_catalog_ids(struct zl_db *db, struct zl_error *err);

// The names of an image's blobs in order. Empty if the image is unknown.
char **zl_catalog_blobs(struct zl_db *db, const char *id, struct zl_error *err);

int zl_catalog_remove_image(struct zl_db *db, const char *id, struct zl_error *err);
// Absent is success.
int zl_catalog_remove_reference(struct zl_db *db, const char *name, struct zl_error *err);

// Whether some image needs the blob. 1, 0, -1.
int zl_catalog_needs(struct zl_db *db, const char *blob, struct zl_error *err);

#endif
