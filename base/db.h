// SPDX-License-Identifier: Apache-2.0
//
// SQLite, as the daemon's modules use it: one connection to one file in WAL mode.
//
// A kill -9 of the program loses nothing that was committed. What a power failure may cost is the
// caller's choice at zl_db_open; a database is never left inconsistent by either.
//
// Each module brings its own tables by a list of migrations, which only ever grows: what was once
// released is not edited, so any older database can be brought to the present.
//
//   zl_auto(db_query) struct zl_db_query query = ZL_DB_QUERY_INIT;
//
//   if (zl_db_prepare(&query, db, "SELECT size FROM blob WHERE digest = ?", err) < 0)
//           return -1;
//   zl_db_bind_text(&query, 1, digest);
//   found = zl_db_step(&query, err);          // 1: a row, 0: no more, -1: failed
//   if (found > 0)
//           size = zl_db_column_int(&query, 0);
//
// Thread rule: any function from any thread. The connection has one recursive lock: a query holds
// it from zl_db_prepare to zl_db_query_release, a transaction from zl_db_begin to its end, so a
// thread never sees another's half-made transaction. Keep both short; no other lock is taken
// inside.
#ifndef ZL_BASE_DB_H
#define ZL_BASE_DB_H

#include <stddef.h>
#include <stdint.h>

#include "base/cleanup.h"
#include "base/error.h"

struct zl_db;

enum zl_db_durability {
	// synchronous=NORMAL: a power failure may lose the last commits (never their order). A
	// commit
	// costs no fsync.
	ZL_DB_NORMAL,
	// synchronous=FULL: a commit is on the disk when it returns. For what must not be older
	// than
	// files that were synced before it.
	ZL_DB_FULL,
};

// Opens or makes the database at `path` (mode 0600; its directory must exist). A lock held by
// another program is waited for 5 s, then UNAVAILABLE. DATA_LOSS: the file is damaged.
struct zl_db *zl_db_open(const char *path, enum zl_db_durability durability, struct zl_error *err);
// Closes it; all queries must have been released. NULL is allowed.
void zl_db_close(struct zl_db *db);
ZL_AUTO_DEFINE(db, struct zl_db *, zl_db_close);

// Brings the tables of `module` up to date: runs those of the `count` migrations (each a text of
// one or more SQL statements) that the database has not seen yet, each in a transaction of its own
// together with its new version number. FAILED_PRECONDITION when the database knows more migrations
// than we do: a newer version of the program made it.
int zl_db_migrate(struct zl_db *db, const char *module, const char *const *migrations, size_t count,
        struct zl_error *err);

// Runs SQL without parameters and without a result (one or more statements).
int zl_db_exec(struct zl_db *db, const char *sql, struct zl_error *err);

// ---- queries

struct zl_db_query {
	struct zl_db *db; // whose lock is held; NULL when there is no query
	void *statement;  // sqlite3_stmt
	int failure;      // first failed bind, told by the next step; 0 if none
};

#define ZL_DB_QUERY_INIT {.db = NULL}

// Prepares one SQL statement and takes the connection's lock. `query` must be initialised and not
// in use. On failure there is nothing to release (releasing does no harm).
int zl_db_prepare(
        struct zl_db_query *query, struct zl_db *db, const char *sql, struct zl_error *err);
void zl_db_query_release(struct zl_db_query *query);
ZL_AUTO_DEFINE_VALUE(db_query, struct zl_db_query, zl_db_query_release);

// Parameters count from 1. Bytes are copied. NULL binds SQL's NULL. A failure shows at the next
// step or run.
void zl_db_bind_text(struct zl_db_query *query, int index, const char *text);
void zl_db_bind_int(struct zl_db_query *query, int index, int64_t number);
void zl_db_bind_blob(struct zl_db_query *query, int index, const void *bytes, size_t length);

// The next row: 1, 0 when there is none, -1. ALREADY_EXISTS: a unique constraint;
// FAILED_PRECONDITION: another constraint; RESOURCE_EXHAUSTED: no space or memory.
int zl_db_step(struct zl_db_query *query, struct zl_error *err);

// Runs a statement to its end, dropping rows, and makes it ready for other parameters. Returns the
// number of rows changed, or -1.
int64_t zl_db_run(struct zl_db_query *query, struct zl_error *err);

// Columns of the current row count from 0. Text and blobs belong to the query until its next step
// and are NULL for SQL's NULL.
const char *zl_db_column_text(struct zl_db_query *query, int column);
int64_t zl_db_column_int(struct zl_db_query *query, int column);
const void *zl_db_column_blob(struct zl_db_query *query, int column, size_t *ret_length);

// ---- transactions

struct zl_db_transaction {
	struct zl_db *db; // NULL when none is open
};

#define ZL_DB_TRANSACTION_INIT {.db = NULL}

// Begins a write transaction and takes the connection's lock. Transactions do not nest:
// INTERNAL when the calling thread has one already.
int zl_db_begin(struct zl_db_transaction *transaction, struct zl_db *db, struct zl_error *err);
// Commits; on failure the transaction is rolled back. Queries of the transaction should have been
// released or run to their end.
int zl_db_commit(struct zl_db_transaction *transaction, struct zl_error *err);
// Rolls back what was not committed. As zl_auto(db_transaction) it undoes a function that returns
// early.
void zl_db_transaction_release(struct zl_db_transaction *transaction);
ZL_AUTO_DEFINE_VALUE(db_transaction, struct zl_db_transaction, zl_db_transaction_release);

#endif
