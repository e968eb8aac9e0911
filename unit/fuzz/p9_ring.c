// SPDX-License-Identifier: Apache-2.0
//
// A front end that writes anything anywhere in the shared memory, between any two steps.
#include <stdlib.h>
#include <string.h>

#include "storage-driver/p9/message.h"
#include "storage-driver/p9/ring.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void scribble(uint8_t *memory, size_t room, const uint8_t **data, size_t *size)
{
	size_t at;
	size_t length;

	if (*size < 3)
		return;
	at = ((*data)[0] | (size_t)(*data)[1] << 8) % room;
	length = (*data)[2] % 16;
	*data += 3;
	*size -= 3;
	length = length < *size ? length : *size;
	length = length < room - at ? length : room - at;
	memcpy(memory + at, *data, length);
	*data += length;
	*size -= length;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	enum { ORDER = 1, DATA = 2 * ZL_P9_RING_PAGE };
	uint8_t *page = calloc(1, ZL_P9_RING_PAGE);
	uint8_t *memory = calloc(1, DATA);
	uint8_t *bytes = calloc(1, DATA);
	struct zl_p9_ring ring;

	if (page == NULL || memory == NULL || bytes == NULL)
		abort();
	scribble(page, 136, &data, &size);
	while (size > 3 && zl_p9_ring_init(&ring, (void *)page, memory, ORDER) == 0) {
		int64_t length;

		scribble(page, 136, &data, &size);
		scribble(memory, DATA, &data, &size);
		length = zl_p9_ring_next(&ring, DATA);
		if (length < 0)
			break;
		scribble(memory, DATA, &data, &size);
		if (length > 0) {
			zl_p9_ring_copy(&ring, bytes, (size_t)length);
			if (zl_p9_size(bytes) != length || length < ZL_P9_HEADER)
				abort();
			zl_p9_ring_taken(&ring, (size_t)length);
		}
		scribble(page, 136, &data, &size);
		if (zl_p9_ring_put(&ring, bytes, size % (DATA + 1)) < 0)
			break;
	}
	free(page);
	free(memory);
	free(bytes);
	return 0;
}
