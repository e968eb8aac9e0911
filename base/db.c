// SPDX-License-Identifier: Apache-2.0
#include "base/db.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <sqlite3.h>
#include <stdbool.h>
#include <string.h>

enum { BUSY_TIMEOUT_MS = 5000 };

struct zl_db {
	sqlite3 *handle;
	char *path;           // for messages
	pthread_mutex_t lock; // recursive
	bool in_transaction;  // under the lock
};

static enum zl_code code_of(int extended)
{
	if (extended == SQLITE_CONSTRAINT_UNIQUE || extended == SQLITE_CONSTRAINT_PRIMARYKEY ||
	        extended == SQLITE_CONSTRAINT_ROWID)
		return ZL_ALREADY_EXISTS;
	switch (extended & 0xff) {
	case SQLITE_CONSTRAINT:
		return ZL_FAILED_PRECONDITION;
	case SQLITE_FULL:
	case SQLITE_NOMEM:
	case SQLITE_TOOBIG:
		return ZL_RESOURCE_EXHAUSTED;
	case SQLITE_BUSY:
	case SQLITE_LOCKED:
		return ZL_UNAVAILABLE;
	case SQLITE_CORRUPT:
	case SQLITE_NOTADB:
		return ZL_DATA_LOSS;
	case SQLITE_READONLY:
	case SQLITE_PERM:
	case SQLITE_AUTH:
		return ZL_PERMISSION_DENIED;
	default:
		return ZL_INTERNAL;
	}
}

static const char *remedy_of(enum zl_code code)
{
	switch (code) {
	case ZL_DATA_LOSS:
		return "; move the damaged file away and restart: what it described is made anew";
	case ZL_UNAVAILABLE:
		return "; another program holds the database's lock";
	default:
		return "";
	}
}

static int db_failure(struct zl_db *db, const char *what, struct zl_error *err)
{
	enum zl_code code = code_of(sqlite3_extended_errcode(db->handle));

	return zl_error_set(err, code, "database %s: %s: %s%s", db->path, what,
	        sqlite3_errmsg(db->handle), remedy_of(code));
}

// SQLite would make the file with the umask's mode; its WAL files take the mode of the file itself.
static int make_private(const char *path, struct zl_error *err)
{
	int fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);

	if (fd < 0)
		return zl_error_errno(err, errno, "open database %s", path);
	zl_close(fd);
	return 0;
}

static int configure(struct zl_db *db, enum zl_db_durability durability, struct zl_error *err)
{
	sqlite3_busy_timeout(db->handle, BUSY_TIMEOUT_MS);
	sqlite3_extended_result_codes(db->handle, 1);
	if (zl_db_exec(db,
	            "PRAGMA journal_mode=WAL; PRAGMA foreign_keys=ON; PRAGMA trusted_schema=OFF;",
	            err) < 0)
		return -1;
	return zl_db_exec(db,
	        durability == ZL_DB_FULL ? "PRAGMA synchronous=FULL" : "PRAGMA synchronous=NORMAL",
	        err);
}

static void init_lock(pthread_mutex_t *lock)
{
	pthread_mutexattr_t attributes;

	pthread_mutexattr_init(&attributes);
	pthread_mutexattr_settype(&attributes, PTHREAD_MUTEX_RECURSIVE);
	pthread_mutex_init(lock, &attributes);
	pthread_mutexattr_destroy(&attributes);
}

struct zl_db *zl_db_open(const char *path, enum zl_db_durability durability, struct zl_error *err)
{
	zl_auto(db) struct zl_db *db = calloc(1, sizeof(*db));
	int result;

	if (db == NULL) {
		zl_error_nomem(err);
		return NULL;
	}
	init_lock(&db->lock);
	db->path = strdup(path);
	if (db->path == NULL) {
		zl_error_nomem(err);
		return NULL;
	}
	if (make_private(path, err) < 0)
		return NULL;
	result = sqlite3_open_v2(path, &db->handle,
	        SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE | SQLITE_OPEN_FULLMUTEX, NULL);
	if (result != SQLITE_OK) {
		zl_error_set(
		        err, code_of(result), "open database %s: %s", path, sqlite3_errstr(result));
		return NULL;
	}
	if (configure(db, durability, err) < 0)
		return NULL;
	return zl_take(db);
}

void zl_db_close(struct zl_db *db)
{
	if (db == NULL)
		return;
	(void)sqlite3_close_v2(db->handle);
	pthread_mutex_destroy(&db->lock);
	free(db->path);
	free(db);
}

int zl_db_exec(struct zl_db *db, const char *sql, struct zl_error *err)
{
	int result = 0;

	pthread_mutex_lock(&db->lock);
	if (sqlite3_exec(db->handle, sql, NULL, NULL, NULL) != SQLITE_OK)
		result = db_failure(db, "run", err);
	pthread_mutex_unlock(&db->lock);
	return result;
}

int zl_db_prepare(
        struct zl_db_query *query, struct zl_db *db, const char *sql, struct zl_error *err)
{
	sqlite3_stmt *statement = NULL;

	pthread_mutex_lock(&db->lock);
	if (sqlite3_prepare_v2(db->handle, sql, -1, &statement, NULL) != SQLITE_OK) {
		db_failure(db, "prepare", err);
		pthread_mutex_unlock(&db->lock);
		return -1;
	}
	query->db = db;
	query->statement = statement;
	query->failure = 0;
	return 0;
}

void zl_db_query_release(struct zl_db_query *query)
{
	struct zl_db *db = query->db;

	if (db == NULL)
		return;
	(void)sqlite3_finalize(query->statement);
	query->db = NULL;
	query->statement = NULL;
	pthread_mutex_unlock(&db->lock);
}

static void note_bind(struct zl_db_query *query, int result)
{
	if (result != SQLITE_OK && query->failure == 0)
		query->failure = result;
}

void zl_db_bind_text(struct zl_db_query *query, int index, const char *text)
{
	note_bind(query, sqlite3_bind_text(query->statement, index, text, -1, SQLITE_TRANSIENT));
}

void zl_db_bind_int(struct zl_db_query *query, int index, int64_t number)
{
	note_bind(query, sqlite3_bind_int64(query->statement, index, number));
}

void zl_db_bind_blob(struct zl_db_query *query, int index, const void *bytes, size_t length)
{
	// A pointer to nothing would become NULL, which is not the same as no bytes.
	if (bytes != NULL && length == 0)
		note_bind(query, sqlite3_bind_zeroblob(query->statement, index, 0));
	else
		note_bind(query, sqlite3_bind_blob64(
		                         query->statement, index, bytes, length, SQLITE_TRANSIENT));
}

int zl_db_step(struct zl_db_query *query, struct zl_error *err)
{
	int result;

	if (query->failure != 0)
		return zl_error_set(err, code_of(query->failure), "database %s: bind to '%s': %s",
		        query->db->path, sqlite3_sql(query->statement),
		        sqlite3_errstr(query->failure));
	result = sqlite3_step(query->statement);
	if (result == SQLITE_ROW)
		return 1;
	if (result == SQLITE_DONE)
		return 0;
	return db_failure(query->db, sqlite3_sql(query->statement), err);
}

int64_t zl_db_run(struct zl_db_query *query, struct zl_error *err)
{
	int64_t before = sqlite3_total_changes64(query->db->handle);
	int result;

	do {
		result = zl_db_step(query, err);
	} while (result > 0);
	(void)sqlite3_reset(query->statement);
	(void)sqlite3_clear_bindings(query->statement);
	query->failure = 0;
	if (result < 0)
		return -1;
	return sqlite3_total_changes64(query->db->handle) - before;
}

const char *zl_db_column_text(struct zl_db_query *query, int column)
{
	return (const char *)sqlite3_column_text(query->statement, column);
}

int64_t zl_db_column_int(struct zl_db_query *query, int column)
{
	return sqlite3_column_int64(query->statement, column);
}

const void *zl_db_column_blob(struct zl_db_query *query, int column, size_t *ret_length)
{
	const void *bytes = sqlite3_column_blob(query->statement, column);

	*ret_length = (size_t)sqlite3_column_bytes(query->statement, column);
	return bytes;
}

int zl_db_begin(struct zl_db_transaction *transaction, struct zl_db *db, struct zl_error *err)
{
	pthread_mutex_lock(&db->lock);
	if (db->in_transaction) {
		pthread_mutex_unlock(&db->lock);
		return zl_error_set(
		        err, ZL_INTERNAL, "database %s: transactions do not nest", db->path);
	}
	if (zl_db_exec(db, "BEGIN IMMEDIATE", err) < 0) {
		pthread_mutex_unlock(&db->lock);
		return -1;
	}
	db->in_transaction = true;
	transaction->db = db;
	return 0;
}

static void end_transaction(struct zl_db_transaction *transaction)
{
	struct zl_db *db = transaction->db;

	db->in_transaction = false;
	transaction->db = NULL;
	pthread_mutex_unlock(&db->lock);
}

int zl_db_commit(struct zl_db_transaction *transaction, struct zl_error *err)
{
	int result = zl_db_exec(transaction->db, "COMMIT", err);

	if (result < 0)
		(void)zl_db_exec(transaction->db, "ROLLBACK", NULL);
	end_transaction(transaction);
	return result;
}

void zl_db_transaction_release(struct zl_db_transaction *transaction)
{
	if (transaction->db == NULL)
		return;
	// Some failures (a full disk) have rolled back already; a second time does no harm.
	(void)zl_db_exec(transaction->db, "ROLLBACK", NULL);
	end_transaction(transaction);
}

static int read_version(
        struct zl_db *db, const char *module, int64_t *ret_version, struct zl_error *err)
{
	zl_auto(db_query) struct zl_db_query query = ZL_DB_QUERY_INIT;
	int found;

	if (zl_db_prepare(&query, db, "SELECT version FROM zl_schema WHERE module = ?", err) < 0)
		return -1;
	zl_db_bind_text(&query, 1, module);
	found = zl_db_step(&query, err);
	if (found < 0)
		return -1;
	*ret_version = found > 0 ? zl_db_column_int(&query, 0) : 0;
	return 0;
}

static int write_version(
        struct zl_db *db, const char *module, int64_t version, struct zl_error *err)
{
	zl_auto(db_query) struct zl_db_query query = ZL_DB_QUERY_INIT;

	if (zl_db_prepare(&query, db,
	            "INSERT INTO zl_schema (module, version) VALUES (?, ?) "
	            "ON CONFLICT (module) DO UPDATE SET version = excluded.version",
	            err) < 0)
		return -1;
	zl_db_bind_text(&query, 1, module);
	zl_db_bind_int(&query, 2, version);
	return zl_db_run(&query, err) < 0 ? -1 : 0;
}

// One step. The version is read again inside the transaction: two programs may open at once.
static int migrate_once(struct zl_db *db, const char *module, const char *const *migrations,
        size_t count, bool *ret_done, struct zl_error *err)
{
	zl_auto(db_transaction) struct zl_db_transaction transaction = ZL_DB_TRANSACTION_INIT;
	int64_t version = 0;

	if (zl_db_begin(&transaction, db, err) < 0 || read_version(db, module, &version, err) < 0)
		return -1;
	if (version < 0 || (uint64_t)version > count)
		return zl_error_set(err, ZL_FAILED_PRECONDITION,
		        "database %s: the tables of '%s' have version %lld and this program knows "
		        "%zu; install the newer version again",
		        db->path, module, (long long)version, count);
	*ret_done = (uint64_t)version == count;
	if (*ret_done)
		return 0;
	if (zl_db_exec(db, migrations[version], err) < 0 ||
	        write_version(db, module, version + 1, err) < 0)
		return zl_error_wrap(
		        err, "migrate '%s' to version %lld", module, (long long)version + 1);
	return zl_db_commit(&transaction, err);
}

int zl_db_migrate(struct zl_db *db, const char *module, const char *const *migrations, size_t count,
        struct zl_error *err)
{
	bool done = false;

	if (zl_db_exec(db,
	            "CREATE TABLE IF NOT EXISTS zl_schema ("
	            "module TEXT PRIMARY KEY, version INTEGER NOT NULL) WITHOUT ROWID",
	            err) < 0)
		return -1;
	while (!done) {
		if (migrate_once(db, module, migrations, count, &done, err) < 0)
			return -1;
	}
	return 0;
}
