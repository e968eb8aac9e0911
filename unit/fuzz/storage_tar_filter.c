// SPDX-License-Identifier: Apache-2.0
//
// Checksums would stop nearly every input at its first block, so each block that is no data gets a
// right one first. What passes must pass again, unchanged, and so must it in small pieces.
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "storage-driver/puller/tar_filter.h"

enum { LIMIT = 1024 * 1024 };

static int gather(void *user, const uint8_t *bytes, size_t length, struct zl_error *err)
{
	return zl_buffer_append(user, bytes, length, err);
}

static int run(const uint8_t *data, size_t size, size_t step, struct zl_buffer *out)
{
	zl_auto(tar_filter) struct zl_tar_filter filter;
	struct zl_error err = ZL_ERROR_INIT;

	zl_tar_filter_init(&filter, LIMIT, gather, out);
	for (size_t at = 0; at < size; at += step) {
		if (zl_tar_filter_feed(
		            &filter, data + at, size - at < step ? size - at : step, &err) < 0)
			return -1;
	}
	return zl_tar_filter_end(&filter, &err);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	zl_auto(buffer) struct zl_buffer one = ZL_BUFFER_INIT;
	zl_auto(buffer) struct zl_buffer two = ZL_BUFFER_INIT;
	zl_auto(buffer) struct zl_buffer three = ZL_BUFFER_INIT;
	uint8_t *copy = malloc(size + 1);

	memcpy(copy, data, size);
	for (size_t at = 0; at + ZL_TAR_BLOCK <= size; at += ZL_TAR_BLOCK) {
		if (!zl_tar_block_is_zero(copy + at))
			zl_tar_header_seal(copy + at);
	}
	if (run(copy, size, size + 1, &one) == 0) {
		if (run(one.data, one.length, one.length, &two) < 0 || two.length != one.length ||
		        memcmp(one.data, two.data, one.length) != 0)
			abort();
		if (run(copy, size, 100, &three) < 0 || three.length != one.length)
			abort();
	}
	free(copy);
	return 0;
}
