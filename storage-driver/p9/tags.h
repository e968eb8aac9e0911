// SPDX-License-Identifier: Apache-2.0
//
// Which requests of a client are unanswered: how many of each tag (two for the moment in which an
// answer has gone out and the client uses the tag again), and the lane of the answer.
//
// A client over Xen's ring waits for each answer for ever: it has no way to notice that the server
// died. So the marks are kept in a file, shared by mapping, and the server that takes the dead
// one's place answers them with an error (zl_p9_tags_each). Order of marks: set before the request
// leaves the ring, cleared after its answer is in it; a death in between makes one answer too many,
// which the client drops (net/9p/trans_xen.c).
//
// Thread rule: any thread.
#ifndef ZL_STORAGE_DRIVER_P9_TAGS_H
#define ZL_STORAGE_DRIVER_P9_TAGS_H

#include <stdatomic.h>
#include <stdint.h>

#include "base/error.h"

enum { ZL_P9_TAGS_COUNT = 65536 };

struct zl_p9_tags {
	_Atomic uint8_t open[ZL_P9_TAGS_COUNT]; // unanswered requests with this tag
	_Atomic uint8_t lanes[ZL_P9_TAGS_COUNT];
};

// Maps the file, which is made when it is not there. The mapping lasts for the process.
struct zl_p9_tags *zl_p9_tags_open(const char *path, struct zl_error *err);

// NULL tags: nothing happens.
void zl_p9_tags_set(struct zl_p9_tags *tags, uint16_t tag, unsigned lane);
void zl_p9_tags_clear(struct zl_p9_tags *tags, uint16_t tag);

// Calls `each` for every tag that is set, and clears it when that returns 0; else stops and
// returns -1.
int zl_p9_tags_each(
        struct zl_p9_tags *tags, int (*each)(void *user, uint16_t tag, unsigned lane), void *user);

#endif
