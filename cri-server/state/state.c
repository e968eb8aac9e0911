// SPDX-License-Identifier: Apache-2.0
#include <stdio.h>

#include "cri-server/state/tables.h"

// Only ever appended to: a database of any older version is brought up to date by the rest.
static const char *const migrations[] = {
        "CREATE TABLE sandbox ("
        " seq INTEGER PRIMARY KEY," // order of creation
        " id TEXT NOT NULL UNIQUE,"
        " name TEXT NOT NULL, namespace TEXT NOT NULL, uid TEXT NOT NULL,"
        " attempt INTEGER NOT NULL,"
        " handler TEXT NOT NULL,"
        " phase INTEGER NOT NULL, step INTEGER NOT NULL,"
        " created_at INTEGER NOT NULL, ready_at INTEGER NOT NULL,"
        " reason TEXT NOT NULL, message TEXT NOT NULL,"
        " config BLOB NOT NULL,"
        " domid INTEGER NOT NULL, domain_uuid TEXT NOT NULL,"
        " pid INTEGER NOT NULL, pid_started INTEGER NOT NULL,"
        " netns TEXT NOT NULL, network TEXT NOT NULL, ips TEXT NOT NULL,"
        " memory INTEGER NOT NULL, vcpus INTEGER NOT NULL,"
        " scratch_bytes INTEGER NOT NULL, scratch TEXT NOT NULL,"
        " extra TEXT NOT NULL,"
        " UNIQUE (namespace, name, uid, attempt));"
        "CREATE TABLE container ("
        " seq INTEGER PRIMARY KEY,"
        " id TEXT NOT NULL UNIQUE,"
        " sandbox_id TEXT NOT NULL,"
        " name TEXT NOT NULL, attempt INTEGER NOT NULL,"
        " phase INTEGER NOT NULL,"
        " created_at INTEGER NOT NULL, started_at INTEGER NOT NULL,"
        " finished_at INTEGER NOT NULL,"
        " pid INTEGER NOT NULL, exit_code INTEGER NOT NULL,"
        " reason TEXT NOT NULL, message TEXT NOT NULL,"
        " image_id TEXT NOT NULL, image_ref TEXT NOT NULL, image_device TEXT NOT NULL,"
        " log_path TEXT NOT NULL,"
        " log_stdout INTEGER NOT NULL, log_stderr INTEGER NOT NULL, log_size INTEGER NOT NULL,"
        " log_stdout_partial INTEGER NOT NULL, log_stderr_partial INTEGER NOT NULL,"
        " config BLOB NOT NULL,"
        " extra TEXT NOT NULL,"
        " UNIQUE (sandbox_id, name, attempt));"
        "CREATE INDEX container_image ON container (image_id);",
};

struct zl_state *zl_state_open(const char *path, struct zl_error *err)
{
	struct zl_state *state = calloc(1, sizeof(*state));

	if (state == NULL) {
		(void)zl_error_nomem(err);
		return NULL;
	}
	state->db = zl_db_open(path, ZL_DB_NORMAL, err);
	if (state->db == NULL ||
	        zl_db_migrate(state->db, "state", migrations, ZL_ARRAY_SIZE(migrations), err) < 0) {
		zl_state_close(state);
		return NULL;
	}
	return state;
}

void zl_state_close(struct zl_state *state)
{
	if (state == NULL)
		return;
	zl_db_close(state->db);
	free(state);
}

int zl_state_change_one(
        struct zl_db_query *query, const char *what, const char *id, struct zl_error *err)
{
	int64_t changed = zl_db_run(query, err);

	if (changed < 0)
		return zl_error_wrap(err, "%s %s", what, id);
	if (changed == 0)
		return zl_error_set(err, ZL_NOT_FOUND, "there is no %s %s", what, id);
	return 0;
}

int zl_state_find_id(struct zl_db_query *query, char ret[static 65], struct zl_error *err)
{
	int found = zl_db_step(query, err);

	if (found > 0)
		(void)snprintf(ret, 65, "%s", zl_db_column_text(query, 0));
	return found;
}

int zl_state_image_used(
        struct zl_state *state, const char *image_id, bool *ret_used, struct zl_error *err)
{
	zl_auto(db_query) struct zl_db_query query = ZL_DB_QUERY_INIT;
	int found;

	if (zl_db_prepare(&query, state->db, "SELECT 1 FROM container WHERE image_id = ? LIMIT 1",
	            err) < 0)
		return -1;
	zl_db_bind_text(&query, 1, image_id);
	found = zl_db_step(&query, err);
	if (found < 0)
		return -1;
	*ret_used = found > 0;
	return 0;
}
