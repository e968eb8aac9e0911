// SPDX-License-Identifier: Apache-2.0
#include "storage-driver/puller/report.h"

#include <pthread.h>
#include <string.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/file.h"
#include "base/json.h"
#include "storage-driver/manifest.h"
#include "storage-driver/printable.h"
#include "storage-driver/puller/job.h"

#define PROGRESS_INTERVAL_NS (INT64_C(250) * ZL_NS_PER_MS)

enum verdict { UNANSWERED, MAKE, HAVE };

struct answer {
	char layer[ZL_DIGEST_SIZE];
	enum verdict verdict;
};

static struct {
	pthread_mutex_t lock;
	pthread_cond_t answered;
	struct answer answers[ZL_MANIFEST_LAYERS_MAX];
	size_t count;
	uint64_t done;
	uint64_t total;
	int64_t last_progress; // monotonic
} state = {.lock = PTHREAD_MUTEX_INITIALIZER, .answered = PTHREAD_COND_INITIALIZER};

// Under the lock. Nobody to talk to is the end.
static void say(json_t *line)
{
	zl_auto(buffer) struct zl_buffer text = ZL_BUFFER_INIT;

	if (line == NULL || zl_json_print(line, &text, NULL) < 0 ||
	        zl_buffer_append(&text, "\n", 1, NULL) < 0 ||
	        zl_file_write_all(STDOUT_FILENO, text.data, text.length, NULL) < 0)
		_exit(1);
	json_decref(line);
}

char *zl_report_read_job(size_t *ret_length, struct zl_error *err)
{
	zl_auto(free) char *line = malloc(ZL_JOB_LINE_MAX);
	size_t length = 0;

	if (line == NULL) {
		zl_error_nomem(err);
		return NULL;
	}
	// Byte by byte up to the line's end: the answers after it are the other thread's.
	while (length < ZL_JOB_LINE_MAX) {
		if (read(STDIN_FILENO, line + length, 1) != 1) {
			zl_error_set(err, ZL_INVALID_ARGUMENT,
			        "stdin ended without a job; zonelet-pull is started by zoneletd");
			return NULL;
		}
		if (line[length] == '\n') {
			*ret_length = length;
			return zl_take(line);
		}
		length++;
	}
	zl_error_set(err, ZL_INVALID_ARGUMENT, "the job's line is too long");
	return NULL;
}

// The slot of a layer, made if new. NULL when there are too many. Under the lock.
static struct answer *slot_of(const char *layer)
{
	for (size_t i = 0; i < state.count; i++) {
		if (strcmp(state.answers[i].layer, layer) == 0)
			return &state.answers[i];
	}
	if (state.count == ZL_ARRAY_SIZE(state.answers))
		return NULL;
	(void)snprintf(state.answers[state.count].layer, ZL_DIGEST_SIZE, "%s", layer);
	return &state.answers[state.count++];
}

static void hear(const char *text, size_t length)
{
	zl_auto(json) json_t *json = json_loadb(text, length, 0, NULL);
	const char *layer = zl_json_string(json, "layer");
	const char *answer = zl_json_string(json, "answer");
	struct answer *slot;

	if (layer == NULL || answer == NULL)
		return;
	pthread_mutex_lock(&state.lock);
	slot = slot_of(layer);
	if (slot != NULL)
		slot->verdict = strcmp(answer, "have") == 0 ? HAVE : MAKE;
	pthread_cond_broadcast(&state.answered);
	pthread_mutex_unlock(&state.lock);
}

static void *hear_all(void *unused)
{
	FILE *in = fdopen(STDIN_FILENO, "r");
	char *line = NULL;
	size_t size = 0;
	ssize_t length;

	(void)unused;
	while (in != NULL && (length = getline(&line, &size, in)) > 0)
		hear(line, (size_t)length);
	_exit(1);
}

int zl_report_start(struct zl_error *err)
{
	pthread_t thread;
	int failure = pthread_create(&thread, NULL, hear_all, NULL);

	if (failure != 0)
		return zl_error_errno(err, failure, "start a thread");
	pthread_detach(thread);
	return 0;
}

void zl_report_total(uint64_t more)
{
	pthread_mutex_lock(&state.lock);
	state.total += more;
	pthread_mutex_unlock(&state.lock);
}

// Under the lock.
static void say_progress(const char *stage, const char *object)
{
	say(json_pack("{s:s,s:s,s:s,s:I,s:I}", "event", "progress", "stage", stage, "object",
	        object, "done", (json_int_t)state.done, "total", (json_int_t)state.total));
	state.last_progress = zl_clock_monotonic();
}

void zl_report_bytes(const char *stage, const char *object, uint64_t more)
{
	pthread_mutex_lock(&state.lock);
	state.done += more;
	if (zl_clock_monotonic() - state.last_progress >= PROGRESS_INTERVAL_NS)
		say_progress(stage, object);
	pthread_mutex_unlock(&state.lock);
}

void zl_report_stage(const char *stage, const char *object)
{
	pthread_mutex_lock(&state.lock);
	say_progress(stage, object);
	pthread_mutex_unlock(&state.lock);
}

// Says the line and waits for the layer's next answer. Under the lock.
static enum verdict ask(const char *diff_id, json_t *line)
{
	struct answer *slot = slot_of(diff_id);

	if (slot == NULL)
		_exit(1); // more layers than a manifest may have
	slot->verdict = UNANSWERED;
	say(line);
	while (slot->verdict == UNANSWERED)
		pthread_cond_wait(&state.answered, &state.lock);
	return slot->verdict;
}

bool zl_report_claim(const char *diff_id)
{
	enum verdict verdict;

	pthread_mutex_lock(&state.lock);
	verdict = ask(diff_id, json_pack("{s:s,s:s}", "event", "claim", "layer", diff_id));
	pthread_mutex_unlock(&state.lock);
	return verdict == HAVE;
}

void zl_report_layer(const char *diff_id, const char *file)
{
	pthread_mutex_lock(&state.lock);
	(void)ask(diff_id,
	        json_pack("{s:s,s:s,s:s}", "event", "layer", "layer", diff_id, "file", file));
	pthread_mutex_unlock(&state.lock);
}

void zl_report_done(size_t documents, bool merged)
{
	pthread_mutex_lock(&state.lock);
	say(json_pack("{s:s,s:I,s:b}", "event", "done", "documents", (json_int_t)documents,
	        "merged", (int)merged));
	pthread_mutex_unlock(&state.lock);
}

void zl_report_error(const struct zl_error *failure)
{
	char message[sizeof(failure->message)];

	// JSON takes UTF-8 alone; a message may have been cut in the middle of a character.
	(void)zl_printable(failure->message, message, sizeof(message));
	pthread_mutex_lock(&state.lock);
	say(json_pack("{s:s,s:s,s:s}", "event", "error", "code", zl_code_name(failure->code),
	        "message", message));
	pthread_mutex_unlock(&state.lock);
}
