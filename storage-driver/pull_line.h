// SPDX-License-Identifier: Apache-2.0
//
// What a puller says, as the daemon reads it: puller/job.h has the lines. The puller has talked to
// the network, so its words are hostile: bounded and checked here, before anything acts on them.
#ifndef ZL_STORAGE_DRIVER_PULL_LINE_H
#define ZL_STORAGE_DRIVER_PULL_LINE_H

#include <stdint.h>

#include "base/error.h"
#include "storage-driver/digest.h"
#include "storage-driver/manifest.h"

enum { ZL_PULL_LINE_MAX = 16 * 1024, ZL_PULL_OBJECT_SIZE = 1024 };

enum zl_pull_event {
	ZL_PULL_PROGRESS,
	ZL_PULL_CLAIM,
	ZL_PULL_LAYER,
	ZL_PULL_DONE,
	ZL_PULL_ERROR,
};

struct zl_pull_line {
	enum zl_pull_event event;
	char stage[32];                   // of progress
	char object[ZL_PULL_OBJECT_SIZE]; // of progress; printable
	uint64_t done;
	uint64_t total;
	char layer[ZL_DIGEST_SIZE]; // valid digest; of claim and layer
	char file[64];              // a plain name of letters, digits, "-" and "."; of layer
	uint32_t documents;         // 1 … ZL_MANIFEST_DEPTH_MAX; of done
	bool merged;                // of done
	struct zl_error failure;    // of error
};

// One line without its end. INVALID_ARGUMENT.
int zl_pull_line_parse(
        const char *text, size_t length, struct zl_pull_line *ret, struct zl_error *err);

#endif
