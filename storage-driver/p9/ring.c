// SPDX-License-Identifier: Apache-2.0
#include "storage-driver/p9/ring.h"

#include <stdatomic.h>
#include <string.h>

#include "storage-driver/p9/message.h"

int zl_p9_ring_init(struct zl_p9_ring *ring, volatile struct zl_p9_ring_page *page, uint8_t *data,
        unsigned order)
{
	*ring = (struct zl_p9_ring){
	        .page = page,
	        .in = data,
	        .size = (uint32_t)(((size_t)ZL_P9_RING_PAGE << order) / 2),
	        .in_prod = page->in_prod,
	        .out_cons = page->out_cons,
	};
	ring->out = data + ring->size;
	if (page->out_prod - ring->out_cons > ring->size ||
	        ring->in_prod - page->in_cons > ring->size)
		return -1;
	return 0;
}

// The first part ends where the memory does, the second goes on at its beginning.
static void copy_out(const struct zl_p9_ring *ring, uint32_t at, uint8_t *bytes, size_t length)
{
	size_t offset = at & (ring->size - 1);
	size_t first = length < ring->size - offset ? length : ring->size - offset;

	memcpy(bytes, ring->out + offset, first);
	memcpy(bytes + first, ring->out, length - first);
}

int64_t zl_p9_ring_next(const struct zl_p9_ring *ring, size_t limit)
{
	uint32_t queued = ring->page->out_prod - ring->out_cons;
	uint8_t header[4];
	uint32_t length;

	if (queued > ring->size)
		return -1;
	if (queued < ZL_P9_HEADER)
		return 0;
	// What is in the ring was written before the index that tells of it.
	atomic_thread_fence(memory_order_acquire);
	copy_out(ring, ring->out_cons, header, sizeof(header));
	length = zl_p9_size(header);
	if (length < ZL_P9_HEADER || length > limit || length > ring->size)
		return -1;
	return queued < length ? 0 : length;
}

void zl_p9_ring_copy(const struct zl_p9_ring *ring, uint8_t *bytes, size_t length)
{
	copy_out(ring, ring->out_cons, bytes, length);
	for (size_t i = 0; i < 4; i++)
		bytes[i] = (uint8_t)(length >> (8 * i));
}

void zl_p9_ring_taken(struct zl_p9_ring *ring, size_t length)
{
	ring->out_cons += (uint32_t)length;
	atomic_thread_fence(memory_order_seq_cst);
	ring->page->out_cons = ring->out_cons;
}

uint32_t zl_p9_ring_end(const struct zl_p9_ring *ring)
{
	return ring->page->out_prod;
}

bool zl_p9_ring_reached(const struct zl_p9_ring *ring, uint32_t end)
{
	// The indexes go round.
	return (int32_t)(ring->out_cons - end) >= 0;
}

int zl_p9_ring_put(struct zl_p9_ring *ring, const uint8_t *bytes, size_t length)
{
	uint32_t queued = ring->in_prod - ring->page->in_cons;
	size_t offset = ring->in_prod & (ring->size - 1);
	size_t first = length < ring->size - offset ? length : ring->size - offset;

	if (queued > ring->size || length > ring->size)
		return -1;
	if (ring->size - queued < length)
		return 0;
	// The room is seen to be free before it is written over.
	atomic_thread_fence(memory_order_seq_cst);
	memcpy(ring->in + offset, bytes, first);
	memcpy(ring->in, bytes + first, length - first);
	atomic_thread_fence(memory_order_release);
	ring->in_prod += (uint32_t)length;
	ring->page->in_prod = ring->in_prod;
	return 1;
}

bool zl_p9_ring_took(const struct zl_p9_ring *ring, uint32_t mark)
{
	uint32_t queued = ring->in_prod - ring->page->in_cons;

	return queued > ring->size || queued <= ring->in_prod - mark;
}
