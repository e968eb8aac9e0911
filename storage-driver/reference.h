// SPDX-License-Identifier: Apache-2.0
//
// Image references, normalised as Docker does it: "busybox" is docker.io/library/busybox:latest.
//
// Grammar: github.com/distribution/reference (its regexp.go is the definition people rely on):
//   [domain/]path[:tag][@digest]
#ifndef ZL_STORAGE_DRIVER_REFERENCE_H
#define ZL_STORAGE_DRIVER_REFERENCE_H

#include "base/error.h"
#include "storage-driver/digest.h"

// Longest name (domain and path) allowed by the grammar is 255, longest tag 128.
enum {
	ZL_REFERENCE_NAME_SIZE = 256,
	ZL_REFERENCE_TAG_SIZE = 129,
	ZL_REFERENCE_TEXT_SIZE = 2 * ZL_REFERENCE_NAME_SIZE + ZL_DIGEST_SIZE,
};

struct zl_reference {
	char domain[ZL_REFERENCE_NAME_SIZE]; // "docker.io", "localhost:5000", "[::1]:5000"
	char path[ZL_REFERENCE_NAME_SIZE];   // "library/busybox"
	char tag[ZL_REFERENCE_TAG_SIZE];     // "latest"; "" only where there is a digest
	char digest[ZL_DIGEST_SIZE];         // "sha256:…"; "" if none
};

// INVALID_ARGUMENT says what is wrong with the text.
int zl_reference_parse(const char *text, struct zl_reference *ret, struct zl_error *err);

// What is stored and shown: "domain/path:tag", or "domain/path@digest" when there is a digest (a
// tag beside a digest says nothing that can be relied on).
void zl_reference_format(
        const struct zl_reference *reference, char out[static ZL_REFERENCE_TEXT_SIZE]);

#endif
