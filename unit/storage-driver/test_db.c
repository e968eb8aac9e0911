// SPDX-License-Identifier: Apache-2.0
#include <check.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>

#include "base/db.h"
#include "base/file.h"

static char dir[] = "/tmp/zl-db-XXXXXX";
static char path[64];
static struct zl_db *db;
static struct zl_error err;

static const char *const first[] = {"CREATE TABLE a (k TEXT PRIMARY KEY, v INTEGER)"};
static const char *const second[] = {
        "CREATE TABLE a (k TEXT PRIMARY KEY, v INTEGER)",
        "ALTER TABLE a ADD COLUMN w BLOB; UPDATE a SET w = x'00ff'",
};

static void set_up(void)
{
	(void)snprintf(dir, sizeof(dir), "/tmp/zl-db-XXXXXX");
	ck_assert_ptr_nonnull(mkdtemp(dir));
	(void)snprintf(path, sizeof(path), "%s/db", dir);
	zl_error_clear(&err);
	db = zl_db_open(path, ZL_DB_FULL, &err);
	ck_assert_msg(db != NULL, "%s", err.message);
	ck_assert_int_eq(zl_db_migrate(db, "test", first, 1, &err), 0);
}

static void tear_down(void)
{
	zl_db_close(db);
	ck_assert_int_eq(zl_tree_remove(dir, &err), 0);
}

static int put(const char *key, int64_t value)
{
	zl_auto(db_query) struct zl_db_query query = ZL_DB_QUERY_INIT;

	if (zl_db_prepare(&query, db, "INSERT INTO a (k, v) VALUES (?, ?)", &err) < 0)
		return -1;
	zl_db_bind_text(&query, 1, key);
	zl_db_bind_int(&query, 2, value);
	return zl_db_run(&query, &err) == 1 ? 0 : -1;
}

static int64_t count(void)
{
	zl_auto(db_query) struct zl_db_query query = ZL_DB_QUERY_INIT;

	ck_assert_int_eq(zl_db_prepare(&query, db, "SELECT count(*) FROM a", &err), 0);
	ck_assert_int_eq(zl_db_step(&query, &err), 1);
	return zl_db_column_int(&query, 0);
}

START_TEST(rows_come_back)
{
	zl_auto(db_query) struct zl_db_query query = ZL_DB_QUERY_INIT;
	struct stat status;

	ck_assert_int_eq(put("one", INT64_MAX), 0);
	ck_assert_int_eq(zl_db_prepare(&query, db, "SELECT k, v, NULL FROM a", &err), 0);
	ck_assert_int_eq(zl_db_step(&query, &err), 1);
	ck_assert_str_eq(zl_db_column_text(&query, 0), "one");
	ck_assert_int_eq(zl_db_column_int(&query, 1), INT64_MAX);
	ck_assert_ptr_null(zl_db_column_text(&query, 2));
	ck_assert_int_eq(zl_db_step(&query, &err), 0);
	ck_assert_int_eq(stat(path, &status), 0);
	ck_assert_int_eq(status.st_mode & 0777, 0600);
}
END_TEST

START_TEST(failures_have_codes)
{
	zl_auto(db_query) struct zl_db_query query = ZL_DB_QUERY_INIT;

	ck_assert_int_eq(put("one", 1), 0);
	ck_assert_int_eq(put("one", 2), -1);
	ck_assert_int_eq(err.code, ZL_ALREADY_EXISTS);
	ck_assert_ptr_nonnull(strstr(err.message, path));
	ck_assert_int_eq(zl_db_exec(db, "nonsense", &err), -1);
	ck_assert_int_eq(err.code, ZL_INTERNAL);
	ck_assert_int_eq(zl_db_prepare(&query, db, "SELECT nothing", &err), -1);
	ck_assert_int_eq(zl_db_prepare(&query, db, "SELECT 1", &err), 0);
	zl_db_bind_int(&query, 7, 1);
	ck_assert_int_eq(zl_db_step(&query, &err), -1);
}
END_TEST

START_TEST(what_is_not_committed_is_undone)
{
	{
		zl_auto(db_transaction) struct zl_db_transaction transaction =
		        ZL_DB_TRANSACTION_INIT;
		struct zl_db_transaction inner = ZL_DB_TRANSACTION_INIT;

		ck_assert_int_eq(zl_db_begin(&transaction, db, &err), 0);
		ck_assert_int_eq(zl_db_begin(&inner, db, &err), -1);
		ck_assert_int_eq(put("lost", 1), 0);
		ck_assert_int_eq(count(), 1);
	}
	ck_assert_int_eq(count(), 0);
	{
		zl_auto(db_transaction) struct zl_db_transaction transaction =
		        ZL_DB_TRANSACTION_INIT;

		ck_assert_int_eq(zl_db_begin(&transaction, db, &err), 0);
		ck_assert_int_eq(put("kept", 1), 0);
		ck_assert_int_eq(zl_db_commit(&transaction, &err), 0);
	}
	ck_assert_int_eq(count(), 1);
}
END_TEST

START_TEST(migrations_go_forward_only)
{
	static const char *const broken[] = {first[0], second[1], "nonsense"};
	zl_auto(db_query) struct zl_db_query query = ZL_DB_QUERY_INIT;
	size_t length = 0;

	ck_assert_int_eq(put("one", 1), 0);
	ck_assert_int_eq(zl_db_migrate(db, "test", second, 2, &err), 0);
	ck_assert_int_eq(zl_db_migrate(db, "test", second, 2, &err), 0);
	ck_assert_int_eq(zl_db_migrate(db, "other", NULL, 0, &err), 0);
	ck_assert_int_eq(zl_db_prepare(&query, db, "SELECT w FROM a", &err), 0);
	ck_assert_int_eq(zl_db_step(&query, &err), 1);
	ck_assert_mem_eq(zl_db_column_blob(&query, 0, &length), "\x00\xff", 2);
	ck_assert_uint_eq(length, 2);
	zl_db_query_release(&query);
	ck_assert_int_eq(zl_db_migrate(db, "test", broken, 3, &err), -1);
	ck_assert_int_eq(zl_db_migrate(db, "test", first, 1, &err), -1);
	ck_assert_int_eq(err.code, ZL_FAILED_PRECONDITION);
	ck_assert_int_eq(zl_db_migrate(db, "test", second, 2, &err), 0);
}
END_TEST

START_TEST(blobs_of_no_bytes_are_not_null)
{
	zl_auto(db_query) struct zl_db_query query = ZL_DB_QUERY_INIT;

	ck_assert_int_eq(
	        zl_db_prepare(&query, db, "SELECT ?1 IS NULL, ?2 IS NULL, length(?3)", &err), 0);
	zl_db_bind_blob(&query, 1, "", 0);
	zl_db_bind_blob(&query, 2, NULL, 0);
	zl_db_bind_blob(&query, 3, "a\0b", 3);
	ck_assert_int_eq(zl_db_step(&query, &err), 1);
	ck_assert_int_eq(zl_db_column_int(&query, 0), 0);
	ck_assert_int_eq(zl_db_column_int(&query, 1), 1);
	ck_assert_int_eq(zl_db_column_int(&query, 2), 3);
}
END_TEST

START_TEST(a_damaged_file_is_data_loss)
{
	struct zl_db *damaged;
	char other[80];

	(void)snprintf(other, sizeof(other), "%s/damaged", dir);
	ck_assert_int_eq(
	        zl_file_write_atomic(other, "this is no database, is it?", 27, 0600, &err), 0);
	damaged = zl_db_open(other, ZL_DB_NORMAL, &err);
	ck_assert_ptr_null(damaged);
	ck_assert_int_eq(err.code, ZL_DATA_LOSS);
	ck_assert_ptr_null(zl_db_open("/nonexistent/db", ZL_DB_NORMAL, &err));
	ck_assert_int_eq(err.code, ZL_NOT_FOUND);
}
END_TEST

static void *add_many(void *user)
{
	for (int i = 0; i < 200; i++) {
		struct zl_error mine = ZL_ERROR_INIT;
		zl_auto(db_transaction) struct zl_db_transaction transaction =
		        ZL_DB_TRANSACTION_INIT;
		zl_auto(db_query) struct zl_db_query query = ZL_DB_QUERY_INIT;

		// A transaction of another thread must not be seen, or joined, by this one.
		if (zl_db_begin(&transaction, db, &mine) < 0 ||
		        zl_db_prepare(
		                &query, db, "INSERT INTO a (k, v) VALUES (?1 || ?2, 0)", &mine) < 0)
			return user;
		zl_db_bind_text(&query, 1, user);
		zl_db_bind_int(&query, 2, i);
		if (zl_db_run(&query, &mine) != 1)
			return user;
		zl_db_query_release(&query);
		if (i % 2 == 0 && zl_db_commit(&transaction, &mine) < 0)
			return user;
	}
	return NULL;
}

START_TEST(threads_do_not_mix)
{
	static char *const names[] = {"a", "b", "c", "d"};
	pthread_t threads[4];

	for (int i = 0; i < 4; i++)
		ck_assert_int_eq(pthread_create(&threads[i], NULL, add_many, names[i]), 0);
	for (int i = 0; i < 4; i++) {
		void *failed = NULL;

		(void)pthread_join(threads[i], &failed);
		ck_assert_ptr_null(failed);
	}
	ck_assert_int_eq(count(), 4 * 100);
}
END_TEST

// A kill -9 between commits loses what was not committed and nothing else.
START_TEST(a_killed_program_loses_no_commit)
{
	struct zl_db *again;
	pid_t child = fork();

	if (child == 0) {
		struct zl_db_transaction transaction = ZL_DB_TRANSACTION_INIT;

		db = zl_db_open(path, ZL_DB_NORMAL, &err);
		if (db == NULL || put("committed", 1) < 0 ||
		        zl_db_begin(&transaction, db, &err) < 0 || put("open", 1) < 0)
			_exit(1);
		(void)raise(SIGKILL);
	}
	ck_assert_int_eq(waitpid(child, NULL, 0), child);
	again = zl_db_open(path, ZL_DB_NORMAL, &err);
	ck_assert_ptr_nonnull(again);
	ck_assert_int_eq(count(), 1);
	zl_db_close(again);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("db");
	TCase *tests = tcase_create("all");
	SRunner *runner;
	int failed;

	tcase_add_checked_fixture(tests, set_up, tear_down);
	tcase_set_timeout(tests, 60);
	tcase_add_test(tests, rows_come_back);
	tcase_add_test(tests, failures_have_codes);
	tcase_add_test(tests, what_is_not_committed_is_undone);
	tcase_add_test(tests, migrations_go_forward_only);
	tcase_add_test(tests, blobs_of_no_bytes_are_not_null);
	tcase_add_test(tests, a_damaged_file_is_data_loss);
	tcase_add_test(tests, threads_do_not_mix);
	tcase_add_test(tests, a_killed_program_loses_no_commit);
	suite_add_tcase(suite, tests);
	runner = srunner_create(suite);
	srunner_run_all(runner, CK_NORMAL);
	failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
