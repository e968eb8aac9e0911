// SPDX-License-Identifier: Apache-2.0
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "storage-driver/pull_line.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct zl_pull_line line;
	struct zl_error err = ZL_ERROR_INIT;

	if (zl_pull_line_parse((const char *)data, size, &line, &err) < 0)
		return 0;
	if (line.event == ZL_PULL_LAYER && (strchr(line.file, '/') != NULL || line.file[0] == '.' ||
	                                           !zl_digest_valid(line.layer)))
		abort();
	return 0;
}
