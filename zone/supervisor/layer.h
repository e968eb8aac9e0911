// SPDX-License-Identifier: Apache-2.0
//
// How much the containers have written into their layers.
//
// Counting takes a walk over the files, so a thread does it, one walk at a time, when somebody
// asks. Who asks waits for the walk a moment and then gets what the last one found. A walk is not
// begun before ten times the last one's time has passed: counting costs a tenth of a cpu at most.
#ifndef ZL_ZONE_SUPERVISOR_LAYER_H
#define ZL_ZONE_SUPERVISOR_LAYER_H

#include <stdbool.h>
#include <stdint.h>

#include "base/error.h"

struct zl_layer_size {
	uint64_t bytes; // allocated; what has several names counts once
	uint64_t inodes;
};

enum { ZL_LAYER_DEPTH = 128 };

// Walks a directory without following links or entering mounts. What is deeper than ZL_LAYER_DEPTH
// is left out. NOT_FOUND if absent.
int zl_layer_measure(const char *path, struct zl_layer_size *ret, struct zl_error *err);

struct zl_layer_meter;

// `done_fd` is an eventfd that is written after each walk.
struct zl_layer_meter *zl_layer_meter_new(int done_fd, struct zl_error *err);

// Whether a walk may begin now.
bool zl_layer_meter_due(struct zl_layer_meter *meter, int64_t now_ns);
// Begins one over `count` layers: ids (65 bytes each with their zero) and their paths are copied.
// False when one is under way.
bool zl_layer_meter_begin(struct zl_layer_meter *meter, const char *const *ids,
        const char *const *paths, size_t count);
// What the last walk found, one after the other: false at the end, and while a walk is under way.
bool zl_layer_meter_take(
        struct zl_layer_meter *meter, size_t index, const char **ret_id, struct zl_layer_size *ret);

#endif
