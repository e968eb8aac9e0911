// SPDX-License-Identifier: Apache-2.0
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "storage-driver/puller/challenge.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct zl_challenge challenge = {.basic = false};
	char *text = strndup((const char *)data, size);

	zl_challenge_add(&challenge, text);
	zl_challenge_add(&challenge, text);
	if (challenge.bearer && challenge.realm[0] == '\0')
		abort();
	free(text);
	return 0;
}
