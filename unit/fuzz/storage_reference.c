// SPDX-License-Identifier: Apache-2.0
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "storage-driver/reference.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

// What passes must, once normalised, pass again and stay the same.
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	char *text = strndup((const char *)data, size);
	struct zl_reference reference;
	char one[ZL_REFERENCE_TEXT_SIZE];
	char two[ZL_REFERENCE_TEXT_SIZE];

	if (zl_reference_parse(text, &reference, NULL) == 0) {
		zl_reference_format(&reference, one);
		if (zl_reference_parse(one, &reference, NULL) < 0)
			abort();
		zl_reference_format(&reference, two);
		if (strcmp(one, two) != 0 || strstr(one, "/../") != NULL)
			abort();
	}
	free(text);
	return 0;
}
