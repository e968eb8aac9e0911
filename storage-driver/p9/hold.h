// SPDX-License-Identifier: Apache-2.0
//
// Holds Tflushes back. The client of a 9pfs device puts a request on one ring and the Tflush that
// names it on another (Linux picks the ring by the tag: net/9p/trans_xen.c), and nothing says which
// was first. Handled before its request, a Tflush would be answered at once, and the client would
// use a tag again whose request is still to be found. So a Tflush waits until everything that was
// queued on any ring when it was taken has been taken too: its request is among that.
//
// Plain functions over rings. Thread rule: for the thread that takes from the rings.
#ifndef ZL_STORAGE_DRIVER_P9_HOLD_H
#define ZL_STORAGE_DRIVER_P9_HOLD_H

#include "storage-driver/p9/ring.h"

enum {
	ZL_P9_RINGS_MAX = 8,
	// More than Linux has requests under way; past it Tflushes are not held any more.
	ZL_P9_HOLD_MAX = 256,
};

struct zl_p9_held {
	uint8_t *bytes;
	size_t length;
	unsigned ring;                   // that it came by
	uint32_t marks[ZL_P9_RINGS_MAX]; // where each ring's requests ended when it was taken
};

struct zl_p9_hold {
	struct zl_p9_held list[ZL_P9_HOLD_MAX]; // a circle
	size_t first;
	size_t count;
};

// Takes ownership of a message if it is to be held: true. False: deliver it now.
bool zl_p9_hold_add(struct zl_p9_hold *hold, const struct zl_p9_ring *rings, size_t ring_count,
        unsigned ring, uint8_t *bytes, size_t length);
// The oldest that need not wait any longer, which becomes the caller's: true; or false.
bool zl_p9_hold_next(struct zl_p9_hold *hold, const struct zl_p9_ring *rings, size_t ring_count,
        struct zl_p9_held *ret);
void zl_p9_hold_clear(struct zl_p9_hold *hold);

#endif
