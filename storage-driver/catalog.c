// SPDX-License-Identifier: Apache-2.0
#include "storage-driver/catalog.h"

#include <stdio.h>
#include <string.h>

#include "base/clock.h"
#include "base/strv.h"
#include "storage-driver/image_config.h"

static const char *const migrations[] = {
        "CREATE TABLE image ("
        "  id TEXT PRIMARY KEY,"
        "  config TEXT NOT NULL,"
        "  pulled_at INTEGER NOT NULL) WITHOUT ROWID;"
        "CREATE TABLE image_reference ("
        "  name TEXT PRIMARY KEY,"
        "  image_id TEXT NOT NULL REFERENCES image (id) ON DELETE CASCADE,"
        "  by_digest INTEGER NOT NULL) WITHOUT ROWID;"
        "CREATE INDEX image_reference_image ON image_reference (image_id);"
        "CREATE TABLE image_blob ("
        "  image_id TEXT NOT NULL REFERENCES image (id) ON DELETE CASCADE,"
        "  position INTEGER NOT NULL,"
        "  name TEXT NOT NULL,"
        "  bytes INTEGER NOT NULL,"
        "  PRIMARY KEY (image_id, position)) WITHOUT ROWID;"
        "CREATE INDEX image_blob_name ON image_blob (name);",
};

int zl_catalog_open(struct zl_db *db, struct zl_error *err)
{
	return zl_db_migrate(db, "images", migrations, ZL_ARRAY_SIZE(migrations), err);
}

static int put_image(struct zl_db *db, const struct zl_image *image, struct zl_error *err)
{
	zl_auto(db_query) struct zl_db_query query = ZL_DB_QUERY_INIT;

	if (zl_db_prepare(&query, db,
	            "INSERT INTO image (id, config, pulled_at) VALUES (?, ?, ?)"
	            " ON CONFLICT (id) DO NOTHING",
	            err) < 0)
		return -1;
	zl_db_bind_text(&query, 1, image->id);
	zl_db_bind_text(&query, 2, image->config_json);
	zl_db_bind_int(&query, 3, zl_clock_real());
	return zl_db_run(&query, err) < 0 ? -1 : 0;
}

static int put_blobs(struct zl_db *db, const char *id, const struct zl_catalog_blob *blobs,
        size_t count, struct zl_error *err)
{
	zl_auto(db_query) struct zl_db_query query = ZL_DB_QUERY_INIT;

	if (zl_db_prepare(&query, db,
	            "INSERT OR REPLACE INTO image_blob (image_id, position, name, bytes)"
	            " VALUES (?, ?, ?, ?)",
	            err) < 0)
		return -1;
	for (size_t i = 0; i < count; i++) {
		zl_db_bind_text(&query, 1, id);
		zl_db_bind_int(&query, 2, (int64_t)i);
		zl_db_bind_text(&query, 3, blobs[i].name);
		zl_db_bind_int(&query, 4, (int64_t)blobs[i].bytes);
		if (zl_db_run(&query, err) < 0)
			return -1;
	}
	return 0;
}

static int put_reference(
        struct zl_db *db, const char *name, const char *id, bool by_digest, struct zl_error *err)
{
	zl_auto(db_query) struct zl_db_query query = ZL_DB_QUERY_INIT;

	if (zl_db_prepare(&query, db,
	            "INSERT INTO image_reference (name, image_id, by_digest) VALUES (?, ?, ?)"
	            " ON CONFLICT (name) DO UPDATE SET image_id = excluded.image_id",
	            err) < 0)
		return -1;
	zl_db_bind_text(&query, 1, name);
	zl_db_bind_text(&query, 2, id);
	zl_db_bind_int(&query, 3, by_digest);
	return zl_db_run(&query, err) < 0 ? -1 : 0;
}

int zl_catalog_put(struct zl_db *db, const struct zl_image *image,
        const struct zl_catalog_blob *blobs, size_t blob_count, const char *tag,
        const char *repo_digest, struct zl_error *err)
{
	zl_auto(db_transaction) struct zl_db_transaction transaction = ZL_DB_TRANSACTION_INIT;

	if (zl_db_begin(&transaction, db, err) < 0 || put_image(db, image, err) < 0 ||
	        put_blobs(db, image->id, blobs, blob_count, err) < 0)
		return -1;
	if (tag != NULL && put_reference(db, tag, image->id, false, err) < 0)
		return -1;
	if (put_reference(db, repo_digest, image->id, true, err) < 0)
		return -1;
	return zl_db_commit(&transaction, err);
}

// One text column of all rows of a statement with at most one text parameter.
static char **read_column(
        struct zl_db *db, const char *sql, const char *parameter, struct zl_error *err)
{
	zl_auto(db_query) struct zl_db_query query = ZL_DB_QUERY_INIT;
	zl_auto(strv) char **column = calloc(1, sizeof(*column));
	int found;

	if (column == NULL) {
		zl_error_nomem(err);
		return NULL;
	}
	if (zl_db_prepare(&query, db, sql, err) < 0)
		return NULL;
	if (parameter != NULL)
		zl_db_bind_text(&query, 1, parameter);
	while ((found = zl_db_step(&query, err)) > 0) {
		if (zl_strv_append(&column, zl_db_column_text(&query, 0), err) < 0)
			return NULL;
	}
	return found < 0 ? NULL : zl_take(column);
}

// 1: the only id of the list, 0: the list is empty.
static int only_match(
        char **ids, const char *reference, char ret_id[static 72], struct zl_error *err)
{
	if (ids == NULL)
		return -1;
	if (ids[0] == NULL)
		return 0;
	if (ids[1] != NULL)
		return zl_error_set(err, ZL_INVALID_ARGUMENT,
		        "image id '%s' is the beginning of several images' ids; give more digits",
		        reference);
	(void)snprintf(ret_id, 72, "%.71s", ids[0]);
	return 1;
}

int zl_catalog_resolve(
        struct zl_db *db, const char *reference, char ret_id[static 72], struct zl_error *err)
{
	zl_auto(strv) char **named = read_column(
	        db, "SELECT image_id FROM image_reference WHERE name = ?", reference, err);
	zl_auto(strv) char **ids = NULL;
	const char *digits = reference;
	int result = only_match(named, reference, ret_id, err);

	if (result != 0)
		return result;
	if (strncmp(digits, "sha256:", 7) == 0)
		digits += 7;
	if (*digits == '\0' || strlen(digits) > 64 ||
	        digits[strspn(digits, "0123456789abcdef")] != '\0')
		return 0;
	ids = read_column(db, "SELECT id FROM image WHERE substr(id, 8, length(?1)) = ?1 LIMIT 2",
	        digits, err);
	return only_match(ids, reference, ret_id, err);
}

static int read_size(struct zl_db *db, const char *id, uint64_t *ret, struct zl_error *err)
{
	zl_auto(db_query) struct zl_db_query query = ZL_DB_QUERY_INIT;

	if (zl_db_prepare(&query, db, "SELECT sum(bytes) FROM image_blob WHERE image_id = ?", err) <
	        0)
		return -1;
	zl_db_bind_text(&query, 1, id);
	if (zl_db_step(&query, err) < 0)
		return -1;
	*ret = (uint64_t)zl_db_column_int(&query, 0);
	return 0;
}

static struct zl_image *read_config(struct zl_db *db, const char *id, struct zl_error *err)
{
	zl_auto(strv) char **configs =
	        read_column(db, "SELECT config FROM image WHERE id = ?", id, err);
	zl_auto(strv) char **diff_ids = NULL;

	if (configs == NULL)
		return NULL;
	if (configs[0] == NULL) {
		zl_error_set(err, ZL_NOT_FOUND, "image %s is not on this node", id);
		return NULL;
	}
	return zl_image_config_parse(id, configs[0], strlen(configs[0]), &diff_ids, err);
}

struct zl_image *zl_catalog_image(struct zl_db *db, const char *id, struct zl_error *err)
{
	zl_auto(image) struct zl_image *image = read_config(db, id, err);

	if (image == NULL || read_size(db, id, &image->size_bytes, err) < 0)
		return NULL;
	zl_strv_free(image->repo_tags);
	zl_strv_free(image->repo_digests);
	image->repo_digests = NULL;
	image->repo_tags = read_column(db,
	        "SELECT name FROM image_reference WHERE image_id = ? AND NOT by_digest ORDER BY "
	        "name",
	        id, err);
	if (image->repo_tags == NULL)
		return NULL;
	image->repo_digests = read_column(db,
	        "SELECT name FROM image_reference WHERE image_id = ? AND by_digest ORDER BY name",
	        id, err);
	return image->repo_digests == NULL ? NULL : zl_take(image);
}

char **zl_catalog_ids(struct zl_db *db, struct zl_error *err)
{
	return read_column(db, "SELECT id FROM image ORDER BY pulled_at, id", NULL, err);
}

char **zl_catalog_blobs(struct zl_db *db, const char *id, struct zl_error *err)
{
	return read_column(
	        db, "SELECT name FROM image_blob WHERE image_id = ? ORDER BY position", id, err);
}

static int run_with(struct zl_db *db, const char *sql, const char *parameter, struct zl_error *err)
{
	zl_auto(db_query) struct zl_db_query query = ZL_DB_QUERY_INIT;

	if (zl_db_prepare(&query, db, sql, err) < 0)
		return -1;
	zl_db_bind_text(&query, 1, parameter);
	return zl_db_run(&query, err) < 0 ? -1 : 0;
}

int zl_catalog_remove_image(struct zl_db *db, const char *id, struct zl_error *err)
{
	return run_with(db, "DELETE FROM image WHERE id = ?", id, err);
}

int zl_catalog_remove_reference(struct zl_db *db, const char *name, struct zl_error *err)
{
	return run_with(db, "DELETE FROM image_reference WHERE name = ?", name, err);
}

int zl_catalog_needs(struct zl_db *db, const char *blob, struct zl_error *err)
{
	zl_auto(db_query) struct zl_db_query query = ZL_DB_QUERY_INIT;

	if (zl_db_prepare(&query, db, "SELECT 1 FROM image_blob WHERE name = ? LIMIT 1", err) < 0)
		return -1;
	zl_db_bind_text(&query, 1, blob);
	return zl_db_step(&query, err);
}
