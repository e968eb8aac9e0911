// SPDX-License-Identifier: Apache-2.0
//
// The image config (OCI image-spec config.md): what to run, and which layers make the root. Hostile
// input: at most ZL_IMAGE_CONFIG_LIMIT bytes, lists bounded.
#ifndef ZL_STORAGE_DRIVER_IMAGE_CONFIG_H
#define ZL_STORAGE_DRIVER_IMAGE_CONFIG_H

#include "storage-driver/digest.h"
#include "storage-driver/manifest.h"
#include "storage-driver/storage.h"

enum {
	ZL_IMAGE_CONFIG_LIMIT = 4 * 1024 * 1024,
	ZL_IMAGE_CONFIG_LIST_MAX = 4096, // strings in any one list
};

// Fills a new image (id, config_json and all that the config says; no references, no size). `what`
// names the document in errors. *ret_diff_ids gets the layers' diffIDs as listed, lowest first,
// each valid. INVALID_ARGUMENT.
struct zl_image *zl_image_config_parse(const char *what, const void *bytes, size_t length,
        char ***ret_diff_ids, struct zl_error *err);

// FAILED_PRECONDITION unless the image is for this platform.
int zl_image_config_check_platform(const char *what, const struct zl_image *image,
        const struct zl_platform *want, struct zl_error *err);

// Removes all but the last of equal diffIDs, in place. The root is the same: what a layer adds, the
// later copy adds again, and what it whites out, the later copy whites out too.
void zl_layers_unique(char **diff_ids);

// A name for this stack of layers: the sha256 of the list. For the merged blob.
int zl_layers_key(char *const *diff_ids, char out[static ZL_DIGEST_SIZE], struct zl_error *err);

#endif
