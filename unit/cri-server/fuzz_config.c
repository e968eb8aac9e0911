// SPDX-License-Identifier: Apache-2.0
//
// Configuration files: what is accepted must print and be read again as the same.
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "cri-server/config/config.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	zl_auto(config) struct zl_config first = ZL_CONFIG_INIT;
	zl_auto(config) struct zl_config second = ZL_CONFIG_INIT;
	zl_auto(buffer) struct zl_buffer once = ZL_BUFFER_INIT;
	zl_auto(buffer) struct zl_buffer twice = ZL_BUFFER_INIT;
	struct zl_error err = ZL_ERROR_INIT;

	if (zl_config_parse("fuzz", data, size, &first, &err) < 0) {
		if (err.code != ZL_INVALID_ARGUMENT)
			abort();
		return 0;
	}
	if (zl_config_print(&first, true, &once, &err) < 0 ||
	        zl_config_parse("printed", once.data, once.length, &second, &err) < 0 ||
	        zl_config_print(&second, true, &twice, &err) < 0)
		abort();
	if (once.length != twice.length || memcmp(once.data, twice.data, once.length) != 0)
		abort();
	return 0;
}
