// SPDX-License-Identifier: Apache-2.0
//
// Any text as a quantity or as pod CIDRs: refused, or a number that is not negative.
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "cni-bridge/ranges.h"
#include "cri-server/sandbox/quantity.h"

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size);

static void read_text(const char *text)
{
	zl_auto(json) json_t *ranges = zl_ranges_parse(text, NULL);
	int64_t value = -1;

	if (zl_quantity_parse(text, &value) && value < 0)
		__builtin_trap();
	if (json_array_size(ranges) > ZL_RANGES_MAX)
		__builtin_trap();
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size)
{
	char *text = strndup((const char *)bytes, size);

	if (text != NULL)
		read_text(text);
	free(text);
	return 0;
}
