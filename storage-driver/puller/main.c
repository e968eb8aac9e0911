// SPDX-License-Identifier: Apache-2.0
//
// zonelet-pull: fetches one image and makes its EROFS blobs, as a process of its own that gives its
// rights away first (sandbox.h). Started by zoneletd only; job.h is its whole interface.

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#include "base/file.h"
#include "base/strv.h"
#include "storage-driver/image_config.h"
#include "storage-driver/puller/child.h"
#include "storage-driver/puller/erofs.h"
#include "storage-driver/puller/implied.h"
#include "storage-driver/puller/job.h"
#include "storage-driver/puller/layer.h"
#include "storage-driver/puller/registry.h"
#include "storage-driver/puller/report.h"
#include "storage-driver/puller/sandbox.h"

enum { WORKERS_MAX = 16 };

struct pull {
	struct zl_job job;
	struct zl_registry *registry;
	int blobs_fd;
	size_t documents; // written so far
	struct zl_layer *layers;
	size_t layer_count;
	char **names; // of the layers' blobs, for the merge
	char key[ZL_DIGEST_SIZE];
	atomic_size_t next;   // layer to be taken by the next free worker
	atomic_bool stop;     // a layer failed
	pthread_mutex_t lock; // of `failure`
	struct zl_error failure;
};

// ---- manifest and config

static int write_file(const char *name, const struct zl_buffer *bytes, struct zl_error *err)
{
	zl_auto(fd) int fd = open(name, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0644);

	if (fd < 0)
		return zl_error_errno(err, errno, "write %s", name);
	return zl_file_write_all(fd, bytes->data, bytes->length, err);
}

static int keep_document(
        struct pull *pull, const struct zl_registry_document *document, struct zl_error *err)
{
	char name[32];

	(void)snprintf(name, sizeof(name), "document-%zu", pull->documents++);
	return write_file(name, &document->bytes, err);
}

// From the reference through any indexes to the manifest for our platform.
static int fetch_manifest(
        struct pull *pull, struct zl_http *http, struct zl_manifest *ret, struct zl_error *err)
{
	const struct zl_reference *reference = &pull->job.reference;
	char digest[ZL_DIGEST_SIZE];

	(void)snprintf(digest, sizeof(digest), "%s", reference->digest);
	for (int depth = 0; depth < ZL_MANIFEST_DEPTH_MAX; depth++) {
		zl_auto(buffer) struct zl_buffer bytes = ZL_BUFFER_INIT;
		zl_auto(manifest) struct zl_manifest manifest = ZL_MANIFEST_INIT;
		struct zl_registry_document document = {.digest = ""};
		const struct zl_descriptor *chosen;
		int result = zl_registry_manifest(pull->registry, http, reference->tag,
		        digest[0] != '\0' ? digest : NULL, &document, err);

		bytes = document.bytes;
		if (result < 0 || keep_document(pull, &document, err) < 0 ||
		        zl_manifest_parse("manifest", bytes.data, bytes.length,
		                document.content_type, &manifest, err) < 0)
			return -1;
		if (manifest.kind == ZL_MANIFEST_IMAGE) {
			*ret = manifest;
			manifest = (struct zl_manifest)ZL_MANIFEST_INIT;
			return 0;
		}
		chosen = zl_manifest_choose("index", &manifest, &pull->job.platform, err);
		if (chosen == NULL)
			return -1;
		(void)snprintf(digest, sizeof(digest), "%s", chosen->digest);
	}
	return zl_error_set(err, ZL_INVALID_ARGUMENT, "indexes nested deeper than %d",
	        ZL_MANIFEST_DEPTH_MAX - 1);
}

static int gather(void *user, const uint8_t *bytes, size_t length, struct zl_error *err)
{
	return zl_buffer_append(user, bytes, length, err);
}

// The config, verified and written; returns its diffIDs.
static char **fetch_config(struct pull *pull, struct zl_http *http,
        const struct zl_descriptor *descriptor, struct zl_error *err)
{
	zl_auto(buffer) struct zl_buffer bytes = ZL_BUFFER_LIMIT(ZL_IMAGE_CONFIG_LIMIT);
	zl_auto(image) struct zl_image *image = NULL;
	zl_auto(strv) char **diff_ids = NULL;

	if (descriptor->size > ZL_IMAGE_CONFIG_LIMIT) {
		zl_error_set(err, ZL_INVALID_ARGUMENT, "the image config is larger than 4 MiB");
		return NULL;
	}
	if (zl_registry_blob(pull->registry, http, descriptor, gather, &bytes, err) < 0) {
		zl_error_wrap(err, "image config %s", descriptor->digest);
		return NULL;
	}
	if (zl_digest_check("image config", descriptor->digest, bytes.data, bytes.length, err) < 0)
		return NULL;
	image = zl_image_config_parse("image config", bytes.data, bytes.length, &diff_ids, err);
	if (image == NULL ||
	        zl_image_config_check_platform("image config", image, &pull->job.platform, err) < 0)
		return NULL;
	return write_file("config", &bytes, err) < 0 ? NULL : zl_take(diff_ids);
}

// ---- layers

static bool known_before(const struct pull *pull, const char *diff_id)
{
	for (size_t i = 0; i < pull->layer_count; i++) {
		if (strcmp(pull->layers[i].diff_id, diff_id) == 0)
			return true;
	}
	return false;
}

// Pairs manifest and config. Equal diffIDs are one layer.
static int list_layers(struct pull *pull, const struct zl_manifest *manifest, char **diff_ids,
        struct zl_error *err)
{
	if (zl_strv_length(diff_ids) != manifest->layer_count)
		return zl_error_set(err, ZL_INVALID_ARGUMENT,
		        "the manifest has %zu layers and the config %zu; build and push the image "
		        "again",
		        manifest->layer_count, zl_strv_length(diff_ids));
	pull->layers = calloc(manifest->layer_count, sizeof(*pull->layers));
	if (pull->layers == NULL)
		return zl_error_nomem(err);
	for (size_t i = 0; i < manifest->layer_count; i++) {
		struct zl_layer *layer = &pull->layers[pull->layer_count];

		if (known_before(pull, diff_ids[i]))
			continue;
		layer->blob = manifest->layers[i];
		layer->number = i + 1;
		layer->count = manifest->layer_count;
		(void)snprintf(layer->diff_id, sizeof(layer->diff_id), "%s", diff_ids[i]);
		(void)snprintf(layer->file, sizeof(layer->file), "layer-%zu.erofs", i);
		pull->layer_count++;
	}
	return 0;
}

static int name_blobs(struct pull *pull, char **diff_ids, struct zl_error *err)
{
	zl_layers_unique(diff_ids);
	if (zl_layers_key(diff_ids, pull->key, err) < 0)
		return -1;
	for (size_t i = 0; diff_ids[i] != NULL; i++) {
		char name[ZL_BLOB_NAME_SIZE];

		zl_blob_name(diff_ids[i], name);
		if (zl_strv_append(&pull->names, name, err) < 0)
			return -1;
	}
	return 0;
}

// What cannot fit unpacked is not even asked for: compression does not make a layer larger by more
// than a few bytes in a megabyte.
static int check_size(const struct pull *pull, const struct zl_layer *layer, struct zl_error *err)
{
	uint64_t most = pull->job.max_layer_bytes;

	if (layer->blob.size <= most + most / 1024 + 1024)
		return 0;
	return zl_error_set(err, ZL_INVALID_ARGUMENT,
	        "layer %zu of %zu (%s) has %" PRIu64 " bytes by its manifest, and images.max_layer "
	        "allows %" PRIu64,
	        layer->number, layer->count, layer->blob.digest, (uint64_t)layer->blob.size, most);
}

static int make_layer(
        struct pull *pull, struct zl_http *http, const struct zl_layer *layer, struct zl_error *err)
{
	if (zl_report_claim(layer->diff_id)) {
		zl_report_stage("have", layer->blob.digest);
		return 0;
	}
	if (check_size(pull, layer, err) < 0)
		return -1;
	zl_report_total(layer->blob.size);
	zl_report_stage("layer", layer->blob.digest);
	if (zl_layer_make(
	            pull->registry, http, layer, pull->job.max_layer_bytes, &pull->stop, err) < 0)
		return -1;
	zl_report_layer(layer->diff_id, layer->file);
	zl_report_stage("unpacked", layer->blob.digest);
	return 0;
}

static void note_failure(struct pull *pull, const struct zl_error *failure)
{
	pthread_mutex_lock(&pull->lock);
	// The first counts: it has cancelled the others.
	if (pull->failure.code == ZL_OK)
		pull->failure = *failure;
	pthread_mutex_unlock(&pull->lock);
	atomic_store(&pull->stop, true);
}

static void *work(void *user)
{
	struct pull *pull = user;
	struct zl_error err = ZL_ERROR_INIT;
	zl_auto(http) struct zl_http *http = zl_http_open(&err);
	size_t index;

	while (http != NULL && !atomic_load(&pull->stop) &&
	        (index = atomic_fetch_add(&pull->next, 1)) < pull->layer_count) {
		if (make_layer(pull, http, &pull->layers[index], &err) < 0)
			break;
	}
	if (err.code != ZL_OK)
		note_failure(pull, &err);
	return NULL;
}

static int make_layers(struct pull *pull, struct zl_error *err)
{
	pthread_t threads[WORKERS_MAX];
	size_t count = pull->job.parallel < WORKERS_MAX ? pull->job.parallel : WORKERS_MAX;
	size_t started = 0;
	int failure = 0;

	if (count > pull->layer_count)
		count = pull->layer_count;
	while (started < count && failure == 0) {
		failure = pthread_create(&threads[started], NULL, work, pull);
		started += failure == 0;
	}
	for (size_t i = 0; i < started; i++)
		(void)pthread_join(threads[i], NULL);
	if (started == 0)
		return zl_error_errno(err, failure, "start a thread");
	if (pull->failure.code == ZL_OK)
		return 0;
	*err = pull->failure;
	return -1;
}

// The merged blob, unless there is one layer, or the node has it. *ret: made.
static int merge(struct pull *pull, bool *ret, struct zl_error *err)
{
	char name[ZL_BLOB_NAME_SIZE];

	*ret = false;
	zl_merged_name(pull->key, name);
	if (zl_strv_length(pull->names) == 1 ||
	        faccessat(pull->blobs_fd, name, F_OK, AT_SYMLINK_NOFOLLOW) == 0)
		return 0;
	zl_report_stage("merge", pull->job.name);
	if (zl_erofs_merge("merged", pull->blobs_fd, pull->names, pull->key, err) < 0 ||
	        zl_implied_settle_file("merged", pull->blobs_fd, pull->names, err) < 0)
		return zl_error_wrap(err, "merge of %zu layers", zl_strv_length(pull->names));
	*ret = true;
	return 0;
}

// ---- the whole

static int run(struct pull *pull, struct zl_error *err)
{
	zl_auto(manifest) struct zl_manifest manifest = ZL_MANIFEST_INIT;
	zl_auto(http) struct zl_http *http = zl_http_open(err);
	zl_auto(strv) char **diff_ids = NULL;
	bool merged = false;

	if (http == NULL)
		return -1;
	zl_report_stage("resolve", pull->job.name);
	if (fetch_manifest(pull, http, &manifest, err) < 0)
		return -1;
	diff_ids = fetch_config(pull, http, &manifest.config, err);
	if (diff_ids == NULL || list_layers(pull, &manifest, diff_ids, err) < 0 ||
	        name_blobs(pull, diff_ids, err) < 0 || make_layers(pull, err) < 0 ||
	        merge(pull, &merged, err) < 0)
		return -1;
	zl_report_done(pull->documents, merged);
	return 0;
}

// Everything that needs rights: configuration, certificates, directories; then the sandbox.
static int prepare(struct pull *pull, struct zl_error *err)
{
	zl_auto(free) char *line = NULL;
	zl_auto(fd) int ingest_fd = -1;
	size_t length = 0;

	line = zl_report_read_job(&length, err);
	if (line == NULL || zl_job_parse(line, length, &pull->job, err) < 0)
		return -1;
	pull->registry = zl_registry_open(&pull->job, err);
	if (pull->registry == NULL)
		return -1;
	ingest_fd = open(pull->job.ingest_dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (ingest_fd < 0)
		return zl_error_errno(err, errno, "open %s", pull->job.ingest_dir);
	pull->blobs_fd = open(pull->job.blobs_dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (pull->blobs_fd < 0)
		return zl_error_errno(err, errno, "open %s", pull->job.blobs_dir);
	return zl_sandbox_enter(
	        &(struct zl_sandbox){
	                .user = pull->job.user,
	                .ingest_fd = ingest_fd,
	                .blobs_fd = pull->blobs_fd,
	        },
	        err);
}

int main(int argc, char **argv)
{
	static struct pull pull = {.blobs_fd = -1, .lock = PTHREAD_MUTEX_INITIALIZER};
	struct zl_error err = ZL_ERROR_INIT;
	int result;

	if (zl_child_asked(argc, argv))
		return zl_child_main(argc, argv);
	(void)signal(SIGPIPE, SIG_IGN);
	(void)umask(022);
	result = prepare(&pull, &err);
	if (result == 0)
		result = zl_report_start(&err);
	if (result == 0)
		result = zl_http_global_init(&err);
	if (result == 0)
		result = run(&pull, &err);
	if (result < 0) {
		if (pull.job.json != NULL)
			zl_error_wrap(&err, "pull %s", pull.job.name);
		zl_report_error(&err);
	}
	// Not exit: the thread that hears answers is still there.
	_exit(result < 0 ? 1 : 0);
}
