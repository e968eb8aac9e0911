// SPDX-License-Identifier: Apache-2.0
#include "storage-driver/p9/hold.h"

#include <stdlib.h>

#include "storage-driver/p9/message.h"

bool zl_p9_hold_add(struct zl_p9_hold *hold, const struct zl_p9_ring *rings, size_t ring_count,
        unsigned ring, uint8_t *bytes, size_t length)
{
	struct zl_p9_held *held = &hold->list[(hold->first + hold->count) % ZL_P9_HOLD_MAX];

	// The type follows the size (four bytes) in every message.
	if (bytes[4] != ZL_P9_TFLUSH || hold->count == ZL_P9_HOLD_MAX)
		return false;
	*held = (struct zl_p9_held){.bytes = bytes, .length = length, .ring = ring};
	for (size_t i = 0; i < ring_count; i++)
		held->marks[i] = zl_p9_ring_end(&rings[i]);
	hold->count++;
	return true;
}

bool zl_p9_hold_next(struct zl_p9_hold *hold, const struct zl_p9_ring *rings, size_t ring_count,
        struct zl_p9_held *ret)
{
	const struct zl_p9_held *oldest = &hold->list[hold->first];

	if (hold->count == 0)
		return false;
	for (size_t i = 0; i < ring_count; i++) {
		if (!zl_p9_ring_reached(&rings[i], oldest->marks[i]))
			return false;
	}
	*ret = *oldest;
	hold->first = (hold->first + 1) % ZL_P9_HOLD_MAX;
	hold->count--;
	return true;
}

void zl_p9_hold_clear(struct zl_p9_hold *hold)
{
	for (; hold->count > 0; hold->count--) {
		free(hold->list[hold->first].bytes);
		hold->first = (hold->first + 1) % ZL_P9_HOLD_MAX;
	}
}
