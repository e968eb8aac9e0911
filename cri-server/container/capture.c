// SPDX-License-Identifier: Apache-2.0
#include "cri-server/container/capture.h"

static bool borrow(struct zl_capture *capture)
{
	size_t before = atomic_fetch_add(&capture->pool->used, ZL_CAPTURE_STEP);

	if (before + ZL_CAPTURE_STEP <= ZL_CAPTURE_POOL) {
		capture->borrowed += ZL_CAPTURE_STEP;
		return true;
	}
	(void)atomic_fetch_sub(&capture->pool->used, ZL_CAPTURE_STEP);
	return false;
}

static size_t smaller(size_t a, size_t b)
{
	return a < b ? a : b;
}

static size_t room(struct zl_capture *capture, size_t output, size_t wanted)
{
	size_t both = capture->output[0].length + capture->output[1].length;
	size_t count = smaller(wanted, ZL_CAPTURE_ONE_MAX - capture->output[output].length);

	count = smaller(count, ZL_CAPTURE_BOTH_MAX - both);
	while (both + count > ZL_CAPTURE_OWN + capture->borrowed) {
		if (!borrow(capture))
			return ZL_CAPTURE_OWN + capture->borrowed - both;
	}
	return count;
}

// Without memory for it, it is dropped as what is past the bound.
void zl_capture_add(struct zl_capture *capture, size_t output, const void *bytes, size_t length)
{
	size_t count = room(capture, output, length);

	if (count > 0)
		(void)zl_buffer_append(&capture->output[output], bytes, count, NULL);
}

void zl_capture_release(struct zl_capture *capture)
{
	for (size_t i = 0; i < ZL_CAPTURE_OUTPUTS; i++)
		zl_buffer_release(&capture->output[i]);
	(void)atomic_fetch_sub(&capture->pool->used, capture->borrowed);
	capture->borrowed = 0;
}
