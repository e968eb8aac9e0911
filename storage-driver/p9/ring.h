// SPDX-License-Identifier: Apache-2.0
//
// One ring of a Xen 9pfs device, as its back end sees it: shared memory with two byte queues and
// four indexes (xen/include/public/io/9pfs.h, DEFINE_XEN_FLEX_RING_AND_INTF in io/ring.h). The
// front end writes requests to `out` and reads answers from `in`.
//
// Everything in shared memory may change at any moment and hold anything. Each index is read once
// into a local; the two that are ours are kept here and only ever written there; a message is
// copied out once, and only the copy is looked at. A queue that claims to hold more than its size
// is broken for good.
//
// Plain functions over memory: nothing here knows of Xen's libraries, so all of it is tested
// without. Thread rule: one thread takes; puts exclude each other by the caller's lock.
#ifndef ZL_STORAGE_DRIVER_P9_RING_H
#define ZL_STORAGE_DRIVER_P9_RING_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum {
	ZL_P9_RING_PAGE = 4096,
	ZL_P9_RING_ORDER_MAX = 9, // XEN_9PFS_RING_ORDER of trans_xen.c
};

// The shared page (struct xen_9pfs_data_intf).
struct zl_p9_ring_page {
	uint32_t in_cons; // the front end's
	uint32_t in_prod; // ours
	uint8_t pad1[56];
	uint32_t out_cons; // ours
	uint32_t out_prod; // the front end's
	uint8_t pad2[56];
	uint32_t order; // 2^order pages of data, half for `in`, half for `out`
	uint32_t refs[];
};

struct zl_p9_ring {
	volatile struct zl_p9_ring_page *page;
	uint8_t *in;        // answers
	const uint8_t *out; // requests
	uint32_t size;      // of each, a power of two
	uint32_t in_prod;   // what we wrote last
	uint32_t out_cons;
};

// Sets it up over mapped memory: `data` has 2^order pages. The indexes go on from what the page
// says, so that a server can take a dead one's place. -1: the indexes are impossible.
int zl_p9_ring_init(struct zl_p9_ring *ring, volatile struct zl_p9_ring_page *page, uint8_t *data,
        unsigned order);

// The length of the next whole request: 0 if there is none yet; -1 if the ring is broken or the
// request is longer than `limit` or shorter than a header.
int64_t zl_p9_ring_next(const struct zl_p9_ring *ring, size_t limit);
// Copies that request, of the length that zl_p9_ring_next told, and takes it off the ring only
// with zl_p9_ring_taken. The copy's size field is `length`, whatever the memory says by now.
void zl_p9_ring_copy(const struct zl_p9_ring *ring, uint8_t *bytes, size_t length);
void zl_p9_ring_taken(struct zl_p9_ring *ring, size_t length);

// Where the requests end that the front end has put so far; and whether all up to such a place have
// been taken.
uint32_t zl_p9_ring_end(const struct zl_p9_ring *ring);
bool zl_p9_ring_reached(const struct zl_p9_ring *ring, uint32_t end);

// Puts an answer, whole. 1; 0: no room yet; -1: the ring is broken, or the answer never fits.
int zl_p9_ring_put(struct zl_p9_ring *ring, const uint8_t *bytes, size_t length);

// Whether the front end has taken all that was put when in_prod was `mark`. True of a broken ring.
bool zl_p9_ring_took(const struct zl_p9_ring *ring, uint32_t mark);

#endif
