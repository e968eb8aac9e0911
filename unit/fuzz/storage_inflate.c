// SPDX-License-Identifier: Apache-2.0
#include <stdint.h>

#include "storage-driver/puller/inflate.h"

static int limit(void *user, const uint8_t *bytes, size_t length, struct zl_error *err)
{
	size_t *seen = user;

	(void)bytes;
	*seen += length;
	return *seen > 4 << 20 ? zl_error_set(err, ZL_INVALID_ARGUMENT, "enough") : 0;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	zl_auto(inflate) struct zl_inflate inflate = {.state = NULL};
	struct zl_error err = ZL_ERROR_INIT;
	size_t seen = 0;
	size_t half = size / 2;

	if (zl_inflate_init(&inflate, limit, &seen, &err) == 0 &&
	        zl_inflate_feed(&inflate, data, half, &err) == 0 &&
	        zl_inflate_feed(&inflate, data + half, size - half, &err) == 0)
		(void)zl_inflate_end(&inflate, &err);
	return 0;
}
