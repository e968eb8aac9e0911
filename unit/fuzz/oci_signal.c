// SPDX-License-Identifier: Apache-2.0
//
// Signal names of image configs, which a registry serves.
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "cri-server/oci/signal.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	char *text = malloc(size + 1);
	int number;

	if (text == NULL)
		return 0;
	memcpy(text, data, size);
	text[size] = '\0';
	number = zl_signal_parse(text);
	if (number < 0 || number > 64)
		abort();
	(void)zl_signal_to_cri(number);
	free(text);
	return 0;
}
