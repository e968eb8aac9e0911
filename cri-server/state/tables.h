// SPDX-License-Identifier: Apache-2.0
//
// What the files of this folder share.
#ifndef ZL_CRI_SERVER_STATE_TABLES_H
#define ZL_CRI_SERVER_STATE_TABLES_H

#include "base/db.h"
#include "cri-server/state/state.h"

struct zl_state {
	struct zl_db *db;
};

// A statement whose parameters are bound one after the other.
struct binder {
	struct zl_db_query *query;
	int index; // of the last one bound
};

static inline void bind_text(struct binder *binder, const char *text)
{
	zl_db_bind_text(binder->query, ++binder->index, text != NULL ? text : "");
}

static inline void bind_int(struct binder *binder, int64_t number)
{
	zl_db_bind_int(binder->query, ++binder->index, number);
}

static inline void bind_blob(struct binder *binder, const void *bytes, size_t length)
{
	zl_db_bind_blob(binder->query, ++binder->index, length > 0 ? bytes : "", length);
}

// A row whose columns are read one after the other; texts and blobs are copied to the arena.
struct reader {
	struct zl_db_query *query;
	struct zl_arena *arena;
	int column; // next
};

static inline const char *read_text(struct reader *reader)
{
	return zl_arena_strdup(reader->arena, zl_db_column_text(reader->query, reader->column++));
}

static inline int64_t read_int(struct reader *reader)
{
	return zl_db_column_int(reader->query, reader->column++);
}

static inline const void *read_blob(struct reader *reader, size_t *ret_length)
{
	const void *bytes = zl_db_column_blob(reader->query, reader->column++, ret_length);

	if (bytes == NULL)
		*ret_length = 0;
	return zl_arena_memdup(reader->arena, bytes, *ret_length);
}

// Runs a statement that must change exactly one row; NOT_FOUND "<what> <id> …" if it changed none.
int zl_state_change_one(
        struct zl_db_query *query, const char *what, const char *id, struct zl_error *err);

// The text of the first row's first column, copied to `ret`. 1: there is one, 0: none, -1.
int zl_state_find_id(struct zl_db_query *query, char ret[static 65], struct zl_error *err);

#endif
