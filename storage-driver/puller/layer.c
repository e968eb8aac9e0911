// SPDX-License-Identifier: Apache-2.0
#include "storage-driver/puller/layer.h"

#include <stdio.h>
#include <string.h>

#include "base/file.h"
#include "storage-driver/puller/erofs.h"
#include "storage-driver/puller/report.h"
#include "storage-driver/puller/tar_filter.h"

struct pipeline {
	const struct zl_layer *layer;
	const atomic_bool *stop;
	uint64_t max_bytes;
	uint64_t tar_bytes;
	struct zl_digest_stream blob_sum;
	struct zl_digest_stream tar_sum;
	struct zl_inflate inflate;
	struct zl_tar_filter filter;
	struct zl_erofs erofs;
	// The first thing wrong with the content. It is told only if the bytes are the promised
	// ones; until that is known, the rest is only hashed.
	struct zl_error content;
};

static int to_erofs(void *user, const uint8_t *bytes, size_t length, struct zl_error *err)
{
	struct pipeline *pipeline = user;

	if (zl_file_write_all(pipeline->erofs.input, bytes, length, err) == 0)
		return 0;
	// It has ended early; what it said is worth more than "broken pipe".
	if (zl_erofs_finish(&pipeline->erofs, err) == 0)
		zl_error_set(err, ZL_INTERNAL, "mkfs.erofs ended before its input did");
	return -1;
}

static int to_filter(void *user, const uint8_t *bytes, size_t length, struct zl_error *err)
{
	struct pipeline *pipeline = user;

	if (length > pipeline->max_bytes - pipeline->tar_bytes)
		return zl_error_set(err, ZL_INVALID_ARGUMENT,
		        "its tar is larger than the %llu bytes allowed for a layer "
		        "(images.max_layer)",
		        (unsigned long long)pipeline->max_bytes);
	pipeline->tar_bytes += length;
	zl_digest_update(&pipeline->tar_sum, bytes, length);
	return zl_tar_filter_feed(&pipeline->filter, bytes, length, err);
}

static int to_digest(void *user, const uint8_t *bytes, size_t length, struct zl_error *err)
{
	struct pipeline *pipeline = user;

	if (atomic_load_explicit(pipeline->stop, memory_order_relaxed))
		return zl_error_set(err, ZL_CANCELLED, "another layer failed");
	zl_digest_update(&pipeline->blob_sum, bytes, length);
	zl_report_bytes("layer", pipeline->layer->blob.digest, length);
	if (pipeline->content.code == ZL_OK)
		(void)zl_inflate_feed(&pipeline->inflate, bytes, length, &pipeline->content);
	return 0;
}

static int open_pipeline(struct pipeline *pipeline, struct zl_error *err)
{
	const struct zl_layer *layer = pipeline->layer;

	zl_tar_filter_init(&pipeline->filter, pipeline->max_bytes, to_erofs, pipeline);
	if (zl_digest_start(&pipeline->blob_sum, layer->blob.digest, err) < 0 ||
	        zl_digest_start(&pipeline->tar_sum, layer->diff_id, err) < 0 ||
	        zl_inflate_init(&pipeline->inflate, to_filter, pipeline, err) < 0)
		return -1;
	return zl_erofs_start(&pipeline->erofs, layer->file, layer->diff_id, err);
}

static void close_pipeline(struct pipeline *pipeline)
{
	zl_erofs_release(&pipeline->erofs);
	zl_tar_filter_release(&pipeline->filter);
	zl_inflate_release(&pipeline->inflate);
	zl_digest_release(&pipeline->tar_sum);
	zl_digest_release(&pipeline->blob_sum);
}

static int check_sum(struct zl_digest_stream *sum, const char *expected, const char *what,
        const char *whose, struct zl_error *err)
{
	char actual[ZL_DIGEST_SIZE];

	zl_digest_finish(sum, actual);
	if (strcmp(actual, expected) == 0)
		return 0;
	return zl_error_set(err, ZL_DATA_LOSS, "%s has digest %s and not the %s of the image's %s",
	        what, actual, expected, whose);
}

// All bytes are there: end every stage, and judge in the order that tells the true cause.
static int settle(struct pipeline *pipeline, struct zl_error *err)
{
	const struct zl_layer *layer = pipeline->layer;

	if (check_sum(&pipeline->blob_sum, layer->blob.digest, "the layer", "manifest", err) < 0)
		return zl_error_wrap(err, "the registry or a proxy on the way has damaged it");
	if (pipeline->content.code == ZL_OK)
		(void)zl_inflate_end(&pipeline->inflate, &pipeline->content);
	if (pipeline->content.code == ZL_OK)
		(void)zl_tar_filter_end(&pipeline->filter, &pipeline->content);
	if (pipeline->content.code != ZL_OK) {
		*err = pipeline->content;
		return err->code == ZL_INVALID_ARGUMENT
		               ? zl_error_wrap(
		                         err, "this is no layer to use; build the image again")
		               : -1;
	}
	if (zl_erofs_finish(&pipeline->erofs, err) < 0)
		return -1;
	if (check_sum(&pipeline->tar_sum, layer->diff_id, "the unpacked layer", "config", err) < 0)
		return zl_error_wrap(err, "the image was built wrongly; build and push it again");
	return 0;
}

int zl_layer_make(struct zl_registry *registry, struct zl_http *http, const struct zl_layer *layer,
        uint64_t max_bytes, const atomic_bool *stop, struct zl_error *err)
{
	struct pipeline pipeline = {
	        .layer = layer, .stop = stop, .max_bytes = max_bytes, .erofs = ZL_EROFS_INIT};
	int result = open_pipeline(&pipeline, err);

	if (result == 0)
		result = zl_registry_blob(registry, http, &layer->blob, to_digest, &pipeline, err);
	if (result == 0)
		result = settle(&pipeline, err);
	close_pipeline(&pipeline);
	if (result == 0)
		return 0;
	return zl_error_wrap(
	        err, "layer %zu of %zu (%s)", layer->number, layer->count, layer->blob.digest);
}
