// SPDX-License-Identifier: Apache-2.0
//
// What a puller left in its ingest directory, verified from scratch: the chain from the reference
// over index and manifest to config and layers must hold by digests that we compute, whatever the
// puller says.
#ifndef ZL_STORAGE_DRIVER_PULL_RESULT_H
#define ZL_STORAGE_DRIVER_PULL_RESULT_H

#include "storage-driver/manifest.h"
#include "storage-driver/reference.h"
#include "storage-driver/storage.h"

struct zl_pull_result {
	struct zl_image *image;          // from the config; no references yet
	char **diff_ids;                 // of the layers, each once, lowest first
	char top_digest[ZL_DIGEST_SIZE]; // of what the reference names
};

#define ZL_PULL_RESULT_INIT {.image = NULL}

void zl_pull_result_release(struct zl_pull_result *result);
ZL_AUTO_DEFINE_VALUE(pull_result, struct zl_pull_result, zl_pull_result_release);

// Reads document-0 … document-<documents-1> and config from the directory. DATA_LOSS: a digest does
// not match; INVALID_ARGUMENT: malformed.
int zl_pull_result_read(int ingest_fd, const struct zl_reference *reference, uint32_t documents,
        const struct zl_platform *platform, struct zl_pull_result *ret, struct zl_error *err);

// Moves a blob from the ingest directory to the blobs directory, if it is a plain file with an
// EROFS superblock: read-only, ours, synced. Its size goes to *ret_bytes.
int zl_pull_result_take(int ingest_fd, const char *file, int blobs_fd, const char *name,
        uint64_t *ret_bytes, struct zl_error *err);

#endif
