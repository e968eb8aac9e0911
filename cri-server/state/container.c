// SPDX-License-Identifier: Apache-2.0
#include "cri-server/state/tables.h"

// In the order in which bind_* and read_container go through them.
#define FIXED_COLUMNS "id, sandbox_id, name, attempt, created_at"
#define CHANGED_COLUMNS                                                                            \
	"phase, started_at, finished_at, pid, exit_code, reason, message, image_id, image_ref, "   \
	"image_device, log_path, config, extra"
#define LOG_COLUMNS "log_stdout, log_stderr, log_size, log_stdout_partial, log_stderr_partial"
#define SELECT      "SELECT " FIXED_COLUMNS ", " CHANGED_COLUMNS ", " LOG_COLUMNS " FROM container "

static void bind_fixed(struct binder *binder, const struct zl_container_record *record)
{
	bind_text(binder, record->id);
	bind_text(binder, record->sandbox_id);
	bind_text(binder, record->name);
	bind_int(binder, record->attempt);
	bind_int(binder, record->created_at_ns);
}

static void bind_changed(struct binder *binder, const struct zl_container_record *record)
{
	bind_int(binder, record->phase);
	bind_int(binder, record->started_at_ns);
	bind_int(binder, record->finished_at_ns);
	bind_int(binder, record->pid);
	bind_int(binder, record->exit_code);
	bind_text(binder, record->reason);
	bind_text(binder, record->message);
	bind_text(binder, record->image_id);
	bind_text(binder, record->image_ref);
	bind_text(binder, record->image_device);
	bind_text(binder, record->log_path);
	bind_blob(binder, record->config, record->config_length);
	bind_text(binder, record->extra);
}

static void bind_log(struct binder *binder, const struct zl_log_commit *log)
{
	bind_int(binder, (int64_t)log->stdout_offset);
	bind_int(binder, (int64_t)log->stderr_offset);
	bind_int(binder, (int64_t)log->log_size);
	bind_int(binder, log->stdout_partial);
	bind_int(binder, log->stderr_partial);
}

static void read_container(struct zl_db_query *query, struct zl_container_record *record)
{
	struct reader reader = {.query = query, .arena = &record->arena};

	record->id = read_text(&reader);
	record->sandbox_id = read_text(&reader);
	record->name = read_text(&reader);
	record->attempt = (uint32_t)read_int(&reader);
	record->created_at_ns = read_int(&reader);
	record->phase = (enum zl_container_phase)read_int(&reader);
	record->started_at_ns = read_int(&reader);
	record->finished_at_ns = read_int(&reader);
	record->pid = read_int(&reader);
	record->exit_code = (int32_t)read_int(&reader);
	record->reason = read_text(&reader);
	record->message = read_text(&reader);
	record->image_id = read_text(&reader);
	record->image_ref = read_text(&reader);
	record->image_device = read_text(&reader);
	record->log_path = read_text(&reader);
	record->config = read_blob(&reader, &record->config_length);
	record->extra = read_text(&reader);
	record->log.stdout_offset = (uint64_t)read_int(&reader);
	record->log.stderr_offset = (uint64_t)read_int(&reader);
	record->log.log_size = (uint64_t)read_int(&reader);
	record->log.stdout_partial = (uint32_t)read_int(&reader);
	record->log.stderr_partial = (uint32_t)read_int(&reader);
}

void zl_container_record_release(struct zl_container_record *record)
{
	zl_arena_release(&record->arena);
	*record = (struct zl_container_record){0};
}

void zl_container_records_free(struct zl_container_record *records, size_t count)
{
	for (size_t i = 0; i < count; i++)
		zl_container_record_release(&records[i]);
	free(records);
}

// 1 and its id if a container has this name, 0, or -1.
static int find(struct zl_state *state, const char *sandbox_id, const char *name, uint32_t attempt,
        char ret_id[static 65], struct zl_error *err)
{
	zl_auto(db_query) struct zl_db_query query = ZL_DB_QUERY_INIT;
	struct binder binder = {.query = &query};

	if (zl_db_prepare(&query, state->db,
	            "SELECT id FROM container WHERE sandbox_id = ? AND name = ? AND attempt = ?",
	            err) < 0)
		return -1;
	bind_text(&binder, sandbox_id);
	bind_text(&binder, name);
	bind_int(&binder, attempt);
	return zl_state_find_id(&query, ret_id, err);
}

static int check_sandbox(struct zl_state *state, const char *id, struct zl_error *err)
{
	zl_auto(db_query) struct zl_db_query query = ZL_DB_QUERY_INIT;
	int found;

	if (zl_db_prepare(&query, state->db, "SELECT 1 FROM sandbox WHERE id = ?", err) < 0)
		return -1;
	zl_db_bind_text(&query, 1, id);
	found = zl_db_step(&query, err);
	if (found == 0)
		return zl_error_set(err, ZL_NOT_FOUND, "there is no sandbox %s", id);
	return found < 0 ? -1 : 0;
}

static int insert(
        struct zl_state *state, const struct zl_container_record *record, struct zl_error *err)
{
	zl_auto(db_query) struct zl_db_query query = ZL_DB_QUERY_INIT;
	struct binder binder = {.query = &query};

	if (zl_db_prepare(&query, state->db,
	            "INSERT INTO container (" FIXED_COLUMNS ", " CHANGED_COLUMNS ", " LOG_COLUMNS
	            ") VALUES (?,?,?,?,?, ?,?,?,?,?,?,?,?,?,?,?,?,?, ?,?,?,?,?)",
	            err) < 0)
		return -1;
	bind_fixed(&binder, record);
	bind_changed(&binder, record);
	bind_log(&binder, &record->log);
	if (zl_db_run(&query, err) < 0)
		return zl_error_wrap(err, "store container %s", record->id);
	return 0;
}

int zl_state_container_add(
        struct zl_state *state, const struct zl_container_record *record, struct zl_error *err)
{
	zl_auto(db_transaction) struct zl_db_transaction transaction = ZL_DB_TRANSACTION_INIT;
	char holder[65];
	int found;

	if (zl_db_begin(&transaction, state->db, err) < 0 ||
	        check_sandbox(state, record->sandbox_id, err) < 0)
		return -1;
	found = find(state, record->sandbox_id, record->name, record->attempt, holder, err);
	if (found < 0)
		return -1;
	if (found > 0)
		return zl_error_set(err, ZL_ALREADY_EXISTS,
		        "sandbox %s has the container %s (attempt %u) already: %s; remove it or "
		        "count the attempt up",
		        record->sandbox_id, record->name, record->attempt, holder);
	if (insert(state, record, err) < 0)
		return -1;
	return zl_db_commit(&transaction, err);
}

int zl_state_container_save(
        struct zl_state *state, const struct zl_container_record *record, struct zl_error *err)
{
	zl_auto(db_query) struct zl_db_query query = ZL_DB_QUERY_INIT;
	struct binder binder = {.query = &query};

	if (zl_db_prepare(&query, state->db,
	            "UPDATE container SET (" CHANGED_COLUMNS ") = (?,?,?,?,?,?,?,?,?,?,?,?,?) "
	            "WHERE id = ?",
	            err) < 0)
		return -1;
	bind_changed(&binder, record);
	bind_text(&binder, record->id);
	return zl_state_change_one(&query, "container", record->id, err);
}

int zl_state_container_log(struct zl_state *state, const char *id, const struct zl_log_commit *log,
        struct zl_error *err)
{
	zl_auto(db_query) struct zl_db_query query = ZL_DB_QUERY_INIT;
	struct binder binder = {.query = &query};

	if (zl_db_prepare(&query, state->db,
	            "UPDATE container SET (" LOG_COLUMNS ") = (?,?,?,?,?) WHERE id = ?", err) < 0)
		return -1;
	bind_log(&binder, log);
	bind_text(&binder, id);
	return zl_state_change_one(&query, "container", id, err);
}

int zl_state_container_get(struct zl_state *state, const char *id, struct zl_container_record *ret,
        struct zl_error *err)
{
	zl_auto(db_query) struct zl_db_query query = ZL_DB_QUERY_INIT;
	int found;

	*ret = (struct zl_container_record){0};
	if (zl_db_prepare(&query, state->db, SELECT "WHERE id = ?", err) < 0)
		return -1;
	zl_db_bind_text(&query, 1, id);
	found = zl_db_step(&query, err);
	if (found < 0)
		return -1;
	if (found == 0)
		return zl_error_set(err, ZL_NOT_FOUND, "there is no container %s", id);
	read_container(&query, ret);
	return 0;
}

int zl_state_container_find(struct zl_state *state, const char *sandbox_id, const char *name,
        uint32_t attempt, char ret_id[static 65], struct zl_error *err)
{
	int found = find(state, sandbox_id, name, attempt, ret_id, err);

	if (found == 0)
		return zl_error_set(err, ZL_NOT_FOUND,
		        "sandbox %s has no container %s (attempt %u)", sandbox_id, name, attempt);
	return found < 0 ? -1 : 0;
}

static struct zl_container_record *grow(
        struct zl_container_record **records, size_t count, struct zl_error *err)
{
	struct zl_container_record *more =
	        reallocarray(*records, count + 1, sizeof(struct zl_container_record));

	if (more == NULL) {
		(void)zl_error_nomem(err);
		return NULL;
	}
	*records = more;
	more[count] = (struct zl_container_record){0};
	return &more[count];
}

int zl_state_container_list(struct zl_state *state, const char *sandbox_id,
        struct zl_container_record **ret, size_t *ret_count, struct zl_error *err)
{
	zl_auto(db_query) struct zl_db_query query = ZL_DB_QUERY_INIT;
	struct zl_container_record *records = NULL;
	size_t count = 0;
	int found;

	if (zl_db_prepare(&query, state->db,
	            SELECT "WHERE ?1 IS NULL OR sandbox_id = ?1 ORDER BY seq", err) < 0)
		return -1;
	zl_db_bind_text(&query, 1, sandbox_id);
	while ((found = zl_db_step(&query, err)) > 0) {
		struct zl_container_record *record = grow(&records, count, err);

		if (record == NULL) {
			found = -1;
			break;
		}
		read_container(&query, record);
		count++;
	}
	if (found < 0) {
		zl_container_records_free(records, count);
		return -1;
	}
	*ret = records;
	*ret_count = count;
	return 0;
}

int zl_state_container_remove(struct zl_state *state, const char *id, struct zl_error *err)
{
	zl_auto(db_query) struct zl_db_query query = ZL_DB_QUERY_INIT;

	if (zl_db_prepare(&query, state->db, "DELETE FROM container WHERE id = ?", err) < 0)
		return -1;
	zl_db_bind_text(&query, 1, id);
	return zl_db_run(&query, err) < 0 ? -1 : 0;
}
