// SPDX-License-Identifier: Apache-2.0
//
// What decodes must encode to the same bytes.
#include <stdlib.h>
#include <string.h>

#include "storage-driver/p9/message.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct zl_p9_message message;
	uint8_t *again = malloc(size + 1);

	if (again != NULL && zl_p9_decode(data, size, &message) == 0) {
		if (zl_p9_encode(&message, again, size) != size || memcmp(again, data, size) != 0)
			abort();
	}
	free(again);
	return 0;
}
