// SPDX-License-Identifier: Apache-2.0
//
// Manifests and blobs of one repository (OCI distribution-spec, "Pull"), from its mirrors and its
// registry in turn.
//
// Credentials go to the server they are for: the one named by server_address, or the registry of
// the reference when none is named; never to another mirror. Challenges are answered by Docker's
// token protocol (distribution docs/spec/auth/token.md and oauth.md) or Basic.
//
// Thread rule: zl_registry_manifest and zl_registry_blob from any thread, each with an http handle
// of its own.
#ifndef ZL_STORAGE_DRIVER_PULLER_REGISTRY_H
#define ZL_STORAGE_DRIVER_PULLER_REGISTRY_H

#include "storage-driver/puller/hosts.h"
#include "storage-driver/puller/http.h"
#include "storage-driver/puller/job.h"

struct zl_registry;

// `job` must outlive it. Reads the host configuration: call it while the process still has the
// rights for that.
struct zl_registry *zl_registry_open(const struct zl_job *job, struct zl_error *err);
void zl_registry_close(struct zl_registry *registry);
ZL_AUTO_DEFINE(registry, struct zl_registry *, zl_registry_close);

struct zl_registry_document {
	struct zl_buffer bytes;
	char content_type[128];
	char digest[ZL_DIGEST_SIZE]; // of the bytes
};

// Fetches what a tag (`digest` NULL) or a digest names; the bytes are verified against the digest,
// and against the registry's own word for a tag. NOT_FOUND, UNAUTHENTICATED, PERMISSION_DENIED,
// UNAVAILABLE, DATA_LOSS; INVALID_ARGUMENT when larger than ZL_MANIFEST_LIMIT.
int zl_registry_manifest(struct zl_registry *registry, struct zl_http *http, const char *tag,
        const char *digest, struct zl_registry_document *ret, struct zl_error *err);

// Streams a blob of known size into the sink. A connection that breaks is taken up again where it
// broke, a bounded number of times. The digest is the caller's to verify. UNAVAILABLE names server
// and progress; DATA_LOSS: more bytes than the manifest says, or fewer.
int zl_registry_blob(struct zl_registry *registry, struct zl_http *http,
        const struct zl_descriptor *blob, zl_byte_sink *sink, void *user, struct zl_error *err);

#endif
