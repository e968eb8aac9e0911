// SPDX-License-Identifier: Apache-2.0
//
// The bytes are both the merged blob and the layer. A superblock is put in, with the few fields
// that matter taken from the input.
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "storage-driver/puller/implied.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static const uint8_t magic[] = {0xe2, 0xe1, 0xf5, 0xe0};
	struct zl_erofs_image image;
	struct zl_erofs_image layer;
	struct zl_error err = ZL_ERROR_INIT;
	uint8_t *copy = calloc(1, size + 4096);
	uint8_t *again = calloc(1, size + 4096);

	memcpy(copy, data, size);
	memcpy(copy + 1024, magic, sizeof(magic));
	copy[1024 + 12] = 12;
	copy[1024 + 40] &= 1;
	memset(copy + 1024 + 41, 0, 3);
	memcpy(again, copy, size + 4096);
	if (zl_erofs_image_init(&image, copy, size + 4096, &err) == 0 &&
	        zl_erofs_image_init(&layer, again, size + 4096, &err) == 0)
		(void)zl_implied_settle(&image, &layer, 1, &err);
	free(copy);
	free(again);
	return 0;
}
