// SPDX-License-Identifier: Apache-2.0
#include <string.h>

#include "cri-server/state/tables.h"

// In the order in which bind_* and read_sandbox go through them.
#define FIXED_COLUMNS "id, name, namespace, uid, attempt, handler, created_at"
#define CHANGED_COLUMNS                                                                            \
	"phase, step, ready_at, reason, message, config, domid, domain_uuid, pid, pid_started, "   \
	"netns, network, ips, memory, vcpus, scratch_bytes, scratch, extra"
#define SELECT "SELECT " FIXED_COLUMNS ", " CHANGED_COLUMNS " FROM sandbox "

// Addresses hold no line feed, so they are stored as lines.
static char *join_ips(struct zl_arena *arena, const char *const *ips)
{
	char *text = zl_arena_strdup(arena, "");

	for (size_t i = 0; ips != NULL && ips[i] != NULL; i++)
		text = zl_arena_printf(arena, "%s%s%s", text, i > 0 ? "\n" : "", ips[i]);
	return text;
}

static const char *const *split_ips(struct zl_arena *arena, const char *text)
{
	size_t count = text[0] != '\0';
	const char **ips;

	for (const char *c = text; *c != '\0'; c++)
		count += *c == '\n';
	ips = zl_arena_array(arena, count + 1, sizeof(*ips));
	for (size_t i = 0; i < count; i++) {
		const char *end = strchrnul(text, '\n');

		ips[i] = zl_arena_strndup(arena, text, (size_t)(end - text));
		text = *end != '\0' ? end + 1 : end;
	}
	return ips;
}

static void bind_fixed(struct binder *binder, const struct zl_sandbox_record *record)
{
	bind_text(binder, record->id);
	bind_text(binder, record->name);
	bind_text(binder, record->namespace_);
	bind_text(binder, record->uid);
	bind_int(binder, record->attempt);
	bind_text(binder, record->handler);
	bind_int(binder, record->created_at_ns);
}

static void bind_changed(struct binder *binder, const struct zl_sandbox_record *record)
{
	zl_auto(arena) struct zl_arena arena = ZL_ARENA_INIT;

	bind_int(binder, record->phase);
	bind_int(binder, record->step);
	bind_int(binder, record->ready_at_ns);
	bind_text(binder, record->reason);
	bind_text(binder, record->message);
	bind_blob(binder, record->config, record->config_length);
	bind_int(binder, record->domid);
	bind_text(binder, record->domain_uuid);
	bind_int(binder, record->pid);
	bind_int(binder, record->pid_started);
	bind_text(binder, record->netns);
	bind_text(binder, record->network);
	bind_text(binder, join_ips(&arena, record->ips));
	bind_int(binder, (int64_t)record->memory_bytes);
	bind_int(binder, record->vcpus);
	bind_int(binder, (int64_t)record->scratch_bytes);
	bind_text(binder, record->scratch);
	bind_text(binder, record->extra);
}

static void read_sandbox(struct zl_db_query *query, struct zl_sandbox_record *record)
{
	struct reader reader = {.query = query, .arena = &record->arena};

	record->id = read_text(&reader);
	record->name = read_text(&reader);
	record->namespace_ = read_text(&reader);
	record->uid = read_text(&reader);
	record->attempt = (uint32_t)read_int(&reader);
	record->handler = read_text(&reader);
	record->created_at_ns = read_int(&reader);
	record->phase = (enum zl_sandbox_phase)read_int(&reader);
	record->step = (enum zl_sandbox_step)read_int(&reader);
	record->ready_at_ns = read_int(&reader);
	record->reason = read_text(&reader);
	record->message = read_text(&reader);
	record->config = read_blob(&reader, &record->config_length);
	record->domid = read_int(&reader);
	record->domain_uuid = read_text(&reader);
	record->pid = read_int(&reader);
	record->pid_started = read_int(&reader);
	record->netns = read_text(&reader);
	record->network = read_text(&reader);
	record->ips = split_ips(&record->arena, read_text(&reader));
	record->memory_bytes = (uint64_t)read_int(&reader);
	record->vcpus = (uint32_t)read_int(&reader);
	record->scratch_bytes = (uint64_t)read_int(&reader);
	record->scratch = read_text(&reader);
	record->extra = read_text(&reader);
}

void zl_sandbox_record_release(struct zl_sandbox_record *record)
{
	zl_arena_release(&record->arena);
	*record = (struct zl_sandbox_record){.domid = -1};
}

void zl_sandbox_records_free(struct zl_sandbox_record *records, size_t count)
{
	for (size_t i = 0; i < count; i++)
		zl_sandbox_record_release(&records[i]);
	free(records);
}

// 1 and its id if a sandbox has this name, 0, or -1.
static int find(struct zl_state *state, const char *namespace_, const char *name, const char *uid,
        uint32_t attempt, char ret_id[static 65], struct zl_error *err)
{
	zl_auto(db_query) struct zl_db_query query = ZL_DB_QUERY_INIT;
	struct binder binder = {.query = &query};

	if (zl_db_prepare(&query, state->db,
	            "SELECT id FROM sandbox "
	            "WHERE namespace = ? AND name = ? AND uid = ? AND attempt = ?",
	            err) < 0)
		return -1;
	bind_text(&binder, namespace_);
	bind_text(&binder, name);
	bind_text(&binder, uid);
	bind_int(&binder, attempt);
	return zl_state_find_id(&query, ret_id, err);
}

static int insert(
        struct zl_state *state, const struct zl_sandbox_record *record, struct zl_error *err)
{
	zl_auto(db_query) struct zl_db_query query = ZL_DB_QUERY_INIT;
	struct binder binder = {.query = &query};

	if (zl_db_prepare(&query, state->db,
	            "INSERT INTO sandbox (" FIXED_COLUMNS ", " CHANGED_COLUMNS ") VALUES "
	            "(?,?,?,?,?,?,?, ?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?)",
	            err) < 0)
		return -1;
	bind_fixed(&binder, record);
	bind_changed(&binder, record);
	if (zl_db_run(&query, err) < 0)
		return zl_error_wrap(err, "store sandbox %s", record->id);
	return 0;
}

int zl_state_sandbox_add(
        struct zl_state *state, const struct zl_sandbox_record *record, struct zl_error *err)
{
	zl_auto(db_transaction) struct zl_db_transaction transaction = ZL_DB_TRANSACTION_INIT;
	char holder[65];
	int found;

	if (zl_db_begin(&transaction, state->db, err) < 0)
		return -1;
	found = find(
	        state, record->namespace_, record->name, record->uid, record->attempt, holder, err);
	if (found < 0)
		return -1;
	if (found > 0)
		return zl_error_set(err, ZL_ALREADY_EXISTS,
		        "pod %s/%s (uid %s, attempt %u) has the sandbox %s already; remove it or "
		        "count the attempt up",
		        record->namespace_, record->name, record->uid, record->attempt, holder);
	if (insert(state, record, err) < 0)
		return -1;
	return zl_db_commit(&transaction, err);
}

int zl_state_sandbox_save(
        struct zl_state *state, const struct zl_sandbox_record *record, struct zl_error *err)
{
	zl_auto(db_query) struct zl_db_query query = ZL_DB_QUERY_INIT;
	struct binder binder = {.query = &query};

	if (zl_db_prepare(&query, state->db,
	            "UPDATE sandbox SET (" CHANGED_COLUMNS ") = "
	            "(?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?) WHERE id = ?",
	            err) < 0)
		return -1;
	bind_changed(&binder, record);
	bind_text(&binder, record->id);
	return zl_state_change_one(&query, "sandbox", record->id, err);
}

int zl_state_sandbox_phase(struct zl_state *state, const char *id, enum zl_sandbox_phase phase,
        enum zl_sandbox_step step, struct zl_error *err)
{
	zl_auto(db_query) struct zl_db_query query = ZL_DB_QUERY_INIT;
	struct binder binder = {.query = &query};

	if (zl_db_prepare(&query, state->db, "UPDATE sandbox SET phase = ?, step = ? WHERE id = ?",
	            err) < 0)
		return -1;
	bind_int(&binder, phase);
	bind_int(&binder, step);
	bind_text(&binder, id);
	return zl_state_change_one(&query, "sandbox", id, err);
}

int zl_state_sandbox_get(
        struct zl_state *state, const char *id, struct zl_sandbox_record *ret, struct zl_error *err)
{
	zl_auto(db_query) struct zl_db_query query = ZL_DB_QUERY_INIT;
	int found;

	*ret = (struct zl_sandbox_record){.domid = -1};
	if (zl_db_prepare(&query, state->db, SELECT "WHERE id = ?", err) < 0)
		return -1;
	zl_db_bind_text(&query, 1, id);
	found = zl_db_step(&query, err);
	if (found < 0)
		return -1;
	if (found == 0)
		return zl_error_set(err, ZL_NOT_FOUND, "there is no sandbox %s", id);
	read_sandbox(&query, ret);
	return 0;
}

int zl_state_sandbox_find(struct zl_state *state, const char *namespace_, const char *name,
        const char *uid, uint32_t attempt, char ret_id[static 65], struct zl_error *err)
{
	int found = find(state, namespace_, name, uid, attempt, ret_id, err);

	if (found == 0)
		return zl_error_set(err, ZL_NOT_FOUND,
		        "pod %s/%s (uid %s, attempt %u) has no sandbox", namespace_, name, uid,
		        attempt);
	return found < 0 ? -1 : 0;
}

// Makes room for one more of the records and returns it.
static struct zl_sandbox_record *grow(
        struct zl_sandbox_record **records, size_t count, struct zl_error *err)
{
	struct zl_sandbox_record *more =
	        reallocarray(*records, count + 1, sizeof(struct zl_sandbox_record));

	if (more == NULL) {
		(void)zl_error_nomem(err);
		return NULL;
	}
	*records = more;
	more[count] = (struct zl_sandbox_record){.domid = -1};
	return &more[count];
}

int zl_state_sandbox_list(struct zl_state *state, struct zl_sandbox_record **ret, size_t *ret_count,
        struct zl_error *err)
{
	zl_auto(db_query) struct zl_db_query query = ZL_DB_QUERY_INIT;
	struct zl_sandbox_record *records = NULL;
	size_t count = 0;
	int found;

	if (zl_db_prepare(&query, state->db, SELECT "ORDER BY seq", err) < 0)
		return -1;
	while ((found = zl_db_step(&query, err)) > 0) {
		struct zl_sandbox_record *record = grow(&records, count, err);

		if (record == NULL) {
			found = -1;
			break;
		}
		read_sandbox(&query, record);
		count++;
	}
	if (found < 0) {
		zl_sandbox_records_free(records, count);
		return -1;
	}
	*ret = records;
	*ret_count = count;
	return 0;
}

static int check_no_containers(struct zl_state *state, const char *id, struct zl_error *err)
{
	zl_auto(db_query) struct zl_db_query query = ZL_DB_QUERY_INIT;
	char container[65];
	int found;

	if (zl_db_prepare(&query, state->db,
	            "SELECT id FROM container WHERE sandbox_id = ? LIMIT 1", err) < 0)
		return -1;
	zl_db_bind_text(&query, 1, id);
	found = zl_state_find_id(&query, container, err);
	if (found > 0)
		return zl_error_set(err, ZL_FAILED_PRECONDITION,
		        "sandbox %s still has the container %s; remove that first", id, container);
	return found;
}

int zl_state_sandbox_remove(struct zl_state *state, const char *id, struct zl_error *err)
{
	zl_auto(db_transaction) struct zl_db_transaction transaction = ZL_DB_TRANSACTION_INIT;
	zl_auto(db_query) struct zl_db_query query = ZL_DB_QUERY_INIT;

	if (zl_db_begin(&transaction, state->db, err) < 0 ||
	        check_no_containers(state, id, err) < 0)
		return -1;
	if (zl_db_prepare(&query, state->db, "DELETE FROM sandbox WHERE id = ?", err) < 0)
		return -1;
	zl_db_bind_text(&query, 1, id);
	if (zl_db_run(&query, err) < 0)
		return -1;
	zl_db_query_release(&query);
	return zl_db_commit(&transaction, err);
}
