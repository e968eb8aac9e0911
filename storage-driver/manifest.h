// SPDX-License-Identifier: Apache-2.0
//
// Manifests: OCI image manifest and index (image-spec manifest.md, image-index.md), Docker schema 2
// and its manifest list. What a registry sends is hostile: at most ZL_MANIFEST_LIMIT bytes, counts
// and sizes bounded, digests valid. Docker schema 1 is refused with a reason.
#ifndef ZL_STORAGE_DRIVER_MANIFEST_H
#define ZL_STORAGE_DRIVER_MANIFEST_H

#include <stddef.h>
#include <stdint.h>

#include "base/cleanup.h"
#include "base/error.h"
#include "storage-driver/digest.h"

enum {
	ZL_MANIFEST_LIMIT = 4 * 1024 * 1024, // distribution-spec: registries should take 4 MiB
	ZL_MANIFEST_LAYERS_MAX = 512,        // Docker stops at 127
	ZL_MANIFEST_ENTRIES_MAX = 1024,
	ZL_MANIFEST_DEPTH_MAX = 3, // an index in an index, and the manifest
	ZL_PLATFORM_SIZE = 32,
};

struct zl_platform {
	char os[ZL_PLATFORM_SIZE];           // "linux"
	char architecture[ZL_PLATFORM_SIZE]; // GOARCH: "amd64", "arm64"
	char variant[ZL_PLATFORM_SIZE];      // "v7"; "" if none
};

struct zl_descriptor {
	char digest[ZL_DIGEST_SIZE];
	uint64_t size; // bytes as stored in the registry
};

struct zl_manifest_entry {
	struct zl_descriptor descriptor;
	struct zl_platform platform; // os "" when the index does not say
};

enum zl_manifest_kind { ZL_MANIFEST_IMAGE, ZL_MANIFEST_INDEX };

struct zl_manifest {
	enum zl_manifest_kind kind;
	struct zl_descriptor config;  // of an image
	struct zl_descriptor *layers; // of an image, lowest first
	size_t layer_count;
	struct zl_manifest_entry *entries; // of an index
	size_t entry_count;
};

#define ZL_MANIFEST_INIT {.layers = NULL}

void zl_manifest_release(struct zl_manifest *manifest);
ZL_AUTO_DEFINE_VALUE(manifest, struct zl_manifest, zl_manifest_release);

// The Accept header of a request for a manifest.
extern const char zl_manifest_accept[];

// `what` names the document in errors (INVALID_ARGUMENT). content_type is the HTTP header, used
// when the document itself does not say what it is; may be NULL.
int zl_manifest_parse(const char *what, const void *bytes, size_t length, const char *content_type,
        struct zl_manifest *ret, struct zl_error *err);

// The platform of this machine.
void zl_platform_host(struct zl_platform *ret);

// Whether code for `have` runs where `want` does: same os and architecture, and a variant that is
// not newer (arm64 is v8, amd64 v1, arm v7 where nothing is said).
bool zl_platform_match(const struct zl_platform *want, const struct zl_platform *have);

// The entry of an index for this platform, the best variant first; entries without a platform only
// if nothing else fits. FAILED_PRECONDITION lists what there is.
const struct zl_descriptor *zl_manifest_choose(const char *what, const struct zl_manifest *index,
        const struct zl_platform *want, struct zl_error *err);

// "linux/arm/v7".
const char *zl_platform_format(const struct zl_platform *platform, char *out, size_t size);

#endif
