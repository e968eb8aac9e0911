// SPDX-License-Identifier: Apache-2.0
//
// A pull from the daemon's side: one zonelet-pull process, its claims and layers, and the commit of
// its result. Nothing that the puller says is believed (pull_line.h, pull_result.h).

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>

#include "base/file.h"
#include "base/id.h"
#include "base/json.h"
#include "base/spawn.h"
#include "base/strv.h"
#include "storage-driver/catalog.h"
#include "storage-driver/image_config.h"
#include "storage-driver/pull_line.h"
#include "storage-driver/pull_result.h"
#include "storage-driver/puller/job.h"
#include "storage-driver/reference.h"
#include "storage-driver/store.h"

enum { JOB_MAX = 60 * 1024 };

struct pull {
	struct zl_store *store;
	struct zl_reference reference;
	char name[ZL_REFERENCE_TEXT_SIZE];
	struct zl_platform platform;
	const struct zl_image_auth *auth;
	zl_pull_progress *progress;
	void *user;
	const struct zl_cancel *cancel;
	char ingest_dir[PATH_MAX];
	int ingest_fd;
	struct zl_process process;
	struct zl_claimant claimant; // answer_fd is the puller's stdin
	int out_fd;                  // its stdout
	struct zl_buffer out;        // read and not yet parsed
	struct zl_pull_line done;    // its last word
	bool is_done;
};

// ---- one pull of a reference at a time

static struct zl_running_pull *find_running(struct zl_store *store, const char *name)
{
	struct zl_running_pull *running = store->running;

	while (running != NULL && strcmp(running->name, name) != 0)
		running = running->next;
	return running;
}

// Enters the list, or returns a descriptor to wait on (-1: entered).
static int try_enter(struct zl_store *store, struct zl_running_pull *self)
{
	struct zl_running_pull *other;
	int wait_fd = -1;

	pthread_mutex_lock(&store->lock);
	other = find_running(store, self->name);
	if (other != NULL) {
		wait_fd = fcntl(other->done_fd, F_DUPFD_CLOEXEC, 0);
	} else {
		self->next = store->running;
		store->running = self;
	}
	pthread_mutex_unlock(&store->lock);
	return other != NULL && wait_fd < 0 ? -2 : wait_fd;
}

static int enter(struct zl_store *store, struct zl_running_pull *self,
        const struct zl_cancel *cancel, struct zl_error *err)
{
	self->done_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	if (self->done_fd < 0)
		return zl_error_errno(err, errno, "make an eventfd");
	for (;;) {
		zl_auto(fd) int wait_fd = try_enter(store, self);

		if (wait_fd == -1)
			return 0;
		if (wait_fd < 0)
			zl_error_errno(err, EMFILE, "wait for another pull");
		if (wait_fd < 0 || zl_cancel_poll(cancel, wait_fd, POLLIN, -1, err) < 0) {
			self->done_fd = zl_close(self->done_fd);
			return -1;
		}
	}
}

static void leave(struct zl_store *store, struct zl_running_pull *self)
{
	struct zl_running_pull **link = &store->running;

	pthread_mutex_lock(&store->lock);
	while (*link != self)
		link = &(*link)->next;
	*link = self->next;
	pthread_mutex_unlock(&store->lock);
	(void)eventfd_write(self->done_fd, 1);
	self->done_fd = zl_close(self->done_fd);
}

// ---- starting the puller

static int make_ingest(struct pull *pull, struct zl_error *err)
{
	const struct zl_store *store = pull->store;
	char id[ZL_ID_SIZE];

	if (zl_id_make(id, err) < 0)
		return -1;
	zl_store_path(store, "ingest", id, pull->ingest_dir, sizeof(pull->ingest_dir));
	if (mkdir(pull->ingest_dir, 0700) < 0)
		return zl_error_errno(err, errno, "make directory %s", pull->ingest_dir);
	if (store->puller_user != NULL &&
	        chown(pull->ingest_dir, store->puller_uid, store->puller_gid) < 0)
		return zl_error_errno(
		        err, errno, "give %s to user '%s'", pull->ingest_dir, store->puller_user);
	pull->ingest_fd = open(pull->ingest_dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	return pull->ingest_fd < 0 ? zl_error_errno(err, errno, "open %s", pull->ingest_dir) : 0;
}

static void add_text(json_t *object, const char *key, const char *text)
{
	if (text != NULL && *text != '\0')
		(void)json_object_set_new(object, key, json_string(text));
}

static json_t *auth_json(const struct zl_image_auth *auth)
{
	json_t *json = json_object();

	if (auth == NULL)
		return json;
	add_text(json, "username", auth->username);
	add_text(json, "password", auth->password);
	add_text(json, "auth", auth->auth);
	add_text(json, "server_address", auth->server_address);
	add_text(json, "identity_token", auth->identity_token);
	add_text(json, "registry_token", auth->registry_token);
	return json;
}

static json_t *job_json(const struct pull *pull)
{
	const struct zl_store *store = pull->store;
	json_t *json = json_object();
	json_t *insecure = json_array();
	char blobs[PATH_MAX];

	zl_store_path(store, "blobs", "", blobs, sizeof(blobs));
	add_text(json, "reference", pull->name);
	add_text(json, "ingest_dir", pull->ingest_dir);
	add_text(json, "blobs_dir", blobs);
	add_text(json, "registry_dir", store->registry_dir);
	add_text(json, "user", store->puller_user);
	(void)json_object_set_new(
	        json, "max_layer_bytes", json_integer((json_int_t)store->max_layer_bytes));
	(void)json_object_set_new(json, "parallel", json_integer(store->parallel_layers));
	(void)json_object_set_new(json, "auth", auth_json(pull->auth));
	(void)json_object_set_new(json, "platform",
	        json_pack("{s:s,s:s,s:s}", "os", pull->platform.os, "architecture",
	                pull->platform.architecture, "variant", pull->platform.variant));
	for (char **host = store->insecure; host != NULL && *host != NULL; host++)
		(void)json_array_append_new(insecure, json_string(*host));
	(void)json_object_set_new(json, "insecure", insecure);
	return json;
}

// The socket is empty and takes this much at once; a longer job (a huge secret) is refused, not
// waited for.
static int send_job(struct pull *pull, struct zl_error *err)
{
	zl_auto(json) json_t *json = job_json(pull);
	zl_auto(buffer) struct zl_buffer line = ZL_BUFFER_LIMIT(JOB_MAX);

	if (zl_json_print(json, &line, err) < 0 || zl_buffer_append(&line, "\n", 1, err) < 0)
		return zl_error_set(err, ZL_INVALID_ARGUMENT,
		        "the pull secret and the list of registries are longer than 60 KiB");
	if (send(pull->claimant.answer_fd, line.data, line.length, MSG_NOSIGNAL) !=
	        (ssize_t)line.length)
		return zl_error_errno(err, errno, "send the job to zonelet-pull");
	return 0;
}

static int start_puller(struct pull *pull, struct zl_error *err)
{
	const char *argv[] = {pull->store->puller, NULL};
	struct zl_spawn spawn = ZL_SPAWN_INIT;
	zl_auto(fd) int child_in = -1;
	zl_auto(fd) int child_out = -1;
	int in[2];
	int out[2];

	// A socket, not a pipe: writing to a puller that has died must not raise SIGPIPE.
	if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, in) < 0)
		return zl_error_errno(err, errno, "make a socket pair");
	child_in = in[0];
	pull->claimant.answer_fd = in[1];
	if (pipe2(out, O_CLOEXEC) < 0)
		return zl_error_errno(err, errno, "make a pipe");
	child_out = out[1];
	pull->out_fd = out[0];
	(void)fcntl(pull->claimant.answer_fd, F_SETFL, O_NONBLOCK);
	(void)fcntl(pull->out_fd, F_SETFL, O_NONBLOCK);
	spawn.program = argv[0];
	spawn.argv = argv;
	spawn.stdin_fd = child_in;
	spawn.stdout_fd = child_out;
	if (zl_spawn_start(&spawn, &pull->process, err) < 0)
		return -1;
	return send_job(pull, err);
}

// ---- listening to it

static int answer_claim(struct pull *pull, const char *layer, struct zl_error *err)
{
	struct zl_store *store = pull->store;
	char blob[ZL_BLOB_NAME_SIZE];
	int result = 0;

	zl_blob_name(layer, blob);
	pthread_mutex_lock(&store->lock);
	if (faccessat(store->blobs_fd, blob, F_OK, AT_SYMLINK_NOFOLLOW) == 0)
		zl_claim_answer(&pull->claimant, layer, true);
	else
		result = zl_claims_ask(&store->claims, &pull->claimant, layer, err);
	pthread_mutex_unlock(&store->lock);
	return result;
}

static int take_layer(struct pull *pull, const char *layer, const char *file, struct zl_error *err)
{
	struct zl_store *store = pull->store;
	char blob[ZL_BLOB_NAME_SIZE];
	uint64_t bytes;
	bool owned;

	pthread_mutex_lock(&store->lock);
	owned = zl_claims_owns(&store->claims, &pull->claimant, layer);
	pthread_mutex_unlock(&store->lock);
	if (!owned)
		return zl_error_set(err, ZL_INVALID_ARGUMENT,
		        "zonelet-pull made layer %s without a claim", layer);
	zl_blob_name(layer, blob);
	if (zl_pull_result_take(pull->ingest_fd, file, store->blobs_fd, blob, &bytes, err) < 0)
		return -1;
	pthread_mutex_lock(&store->lock);
	zl_claims_made(&store->claims, layer);
	pthread_mutex_unlock(&store->lock);
	return 0;
}

static int act_on(struct pull *pull, const struct zl_pull_line *line, struct zl_error *err)
{
	switch (line->event) {
	case ZL_PULL_PROGRESS:
		if (pull->progress != NULL)
			pull->progress(
			        pull->user, line->stage, line->object, line->done, line->total);
		return 0;
	case ZL_PULL_CLAIM:
		return answer_claim(pull, line->layer, err);
	case ZL_PULL_LAYER:
		return take_layer(pull, line->layer, line->file, err);
	case ZL_PULL_DONE:
		pull->done = *line;
		pull->is_done = true;
		return 0;
	case ZL_PULL_ERROR:
		break;
	}
	*err = line->failure;
	return -1;
}

static int act_on_lines(struct pull *pull, struct zl_error *err)
{
	struct zl_pull_line line;
	const uint8_t *end;

	while (pull->out.length > 0 &&
	        (end = memchr(pull->out.data, '\n', pull->out.length)) != NULL) {
		size_t length = (size_t)(end - pull->out.data);

		if (pull->is_done)
			return zl_error_set(
			        err, ZL_INVALID_ARGUMENT, "zonelet-pull speaks after its end");
		if (zl_pull_line_parse((const char *)pull->out.data, length, &line, err) < 0 ||
		        act_on(pull, &line, err) < 0)
			return -1;
		zl_buffer_consume(&pull->out, length + 1);
	}
	return 0;
}

// Until its stdout ends.
static int listen_to(struct pull *pull, struct zl_error *err)
{
	pull->out.limit = 2 * (size_t)ZL_PULL_LINE_MAX;
	for (;;) {
		void *to;
		ssize_t got;

		if (zl_cancel_poll(pull->cancel, pull->out_fd, POLLIN, -1, err) < 0)
			return -1;
		to = zl_buffer_reserve(&pull->out, ZL_PULL_LINE_MAX, err);
		if (to == NULL)
			return zl_error_set(err, ZL_INVALID_ARGUMENT,
			        "zonelet-pull says a line longer than 16 KiB");
		got = read(pull->out_fd, to, ZL_PULL_LINE_MAX);
		if (got == 0)
			return 0;
		if (got < 0 && errno != EAGAIN && errno != EINTR)
			return zl_error_errno(err, errno, "read from zonelet-pull");
		pull->out.length += got > 0 ? (size_t)got : 0;
		if (act_on_lines(pull, err) < 0)
			return -1;
	}
}

static int run_puller(struct pull *pull, struct zl_error *err)
{
	char reason[64];
	int status = 0;

	if (start_puller(pull, err) < 0 || listen_to(pull, err) < 0)
		return -1;
	if (zl_process_wait(&pull->process, pull->cancel, -1, &status, err) < 0)
		return -1;
	if (status == 0 && pull->is_done)
		return 0;
	return zl_error_set(err, ZL_INTERNAL,
	        "%s ended without a result (%s); what it printed is in the daemon's log",
	        pull->store->puller, zl_status_describe(status, reason, sizeof(reason)));
}

// ---- the commit

static int blob_bytes(
        struct pull *pull, const char *name, uint64_t *ret_bytes, struct zl_error *err)
{
	struct stat status;

	if (fstatat(pull->store->blobs_fd, name, &status, AT_SYMLINK_NOFOLLOW) < 0)
		return zl_error_errno(
		        err, errno, "zonelet-pull says it is done without blob %s", name);
	*ret_bytes = (uint64_t)status.st_size;
	return 0;
}

// The names of all blobs of the image: merged (if there are several layers), then the layers.
static char **name_blobs(
        struct pull *pull, const struct zl_pull_result *result, struct zl_error *err)
{
	zl_auto(strv) char **names = NULL;
	char name[ZL_BLOB_NAME_SIZE];
	char key[ZL_DIGEST_SIZE];
	uint64_t bytes;

	if (result->diff_ids[1] != NULL) {
		if (zl_layers_key(result->diff_ids, key, err) < 0)
			return NULL;
		zl_merged_name(key, name);
		if (zl_strv_append(&names, name, err) < 0)
			return NULL;
		if (pull->done.merged && zl_pull_result_take(pull->ingest_fd, "merged",
		                                 pull->store->blobs_fd, name, &bytes, err) < 0)
			return NULL;
	}
	for (char **diff_id = result->diff_ids; *diff_id != NULL; diff_id++) {
		zl_blob_name(*diff_id, name);
		if (zl_strv_append(&names, name, err) < 0)
			return NULL;
	}
	return zl_take(names);
}

static int put(
        struct pull *pull, const struct zl_pull_result *result, char **names, struct zl_error *err)
{
	size_t count = zl_strv_length(names);
	zl_auto(free) struct zl_catalog_blob *blobs = calloc(count, sizeof(*blobs));
	zl_auto(free) char *repo_digest = zl_format(
	        err, "%s/%s@%s", pull->reference.domain, pull->reference.path, result->top_digest);
	const char *tag = pull->reference.digest[0] == '\0' ? pull->name : NULL;

	if (blobs == NULL)
		return zl_error_nomem(err);
	if (repo_digest == NULL)
		return -1;
	for (size_t i = 0; i < count; i++) {
		blobs[i].name = names[i];
		if (blob_bytes(pull, names[i], &blobs[i].bytes, err) < 0)
			return -1;
	}
	if (fsync(pull->store->blobs_fd) < 0)
		return zl_error_errno(err, errno, "sync the blobs directory");
	return zl_catalog_put(pull->store->db, result->image, blobs, count, tag, repo_digest, err);
}

static struct zl_image *commit(struct pull *pull, struct zl_error *err)
{
	zl_auto(pull_result) struct zl_pull_result result = ZL_PULL_RESULT_INIT;
	zl_auto(strv) char **names = NULL;

	if (zl_pull_result_read(pull->ingest_fd, &pull->reference, pull->done.documents,
	            &pull->platform, &result, err) < 0)
		return NULL;
	names = name_blobs(pull, &result, err);
	if (names == NULL || put(pull, &result, names, err) < 0)
		return NULL;
	return zl_catalog_image(pull->store->db, result.image->id, err);
}

static void end_pull(struct pull *pull)
{
	zl_process_end(&pull->process);
	pthread_mutex_lock(&pull->store->lock);
	zl_claims_leave(&pull->store->claims, &pull->claimant);
	pthread_mutex_unlock(&pull->store->lock);
	pull->claimant.answer_fd = zl_close(pull->claimant.answer_fd);
	pull->out_fd = zl_close(pull->out_fd);
	pull->ingest_fd = zl_close(pull->ingest_fd);
	zl_buffer_release(&pull->out);
	if (pull->ingest_dir[0] != '\0')
		(void)zl_tree_remove(pull->ingest_dir, NULL);
}

static struct zl_image *pull_alone(struct pull *pull, struct zl_error *err)
{
	struct zl_image *image = NULL;

	if (make_ingest(pull, err) == 0 && run_puller(pull, err) == 0)
		image = commit(pull, err);
	end_pull(pull);
	return image;
}

struct zl_image *zl_store_pull(struct zl_store *store, const char *reference,
        const struct zl_image_auth *auth, zl_pull_progress *progress, void *user,
        const struct zl_cancel *cancel, struct zl_error *err)
{
	struct pull pull = {
	        .store = store,
	        .auth = auth,
	        .progress = progress,
	        .user = user,
	        .cancel = cancel,
	        .ingest_fd = -1,
	        .process = ZL_PROCESS_INIT,
	        .claimant = {.answer_fd = -1},
	        .out_fd = -1,
	};
	struct zl_running_pull running = {.name = pull.name, .done_fd = -1};
	struct zl_image *image;

	if (zl_reference_parse(reference, &pull.reference, err) < 0)
		return NULL;
	zl_reference_format(&pull.reference, pull.name);
	zl_platform_host(&pull.platform);
	if (enter(store, &running, cancel, err) < 0) {
		zl_error_wrap(err, "pull %s", pull.name);
		return NULL;
	}
	image = pull_alone(&pull, err);
	leave(store, &running);
	// What a failed pull has made of layers goes, if nobody else needs it.
	(void)zl_store_collect(store, NULL);
	if (image == NULL && strncmp(err->message, "pull ", 5) != 0)
		zl_error_wrap(err, "pull %s", pull.name);
	return image;
}
