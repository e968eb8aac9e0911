// SPDX-License-Identifier: Apache-2.0
#include "storage-driver/printable.h"

#include <string.h>

const char *zl_printable(const char *text, char *out, size_t size)
{
	size_t used = 0;

	for (; *text != '\0' && used + 4 < size; text++)
		out[used++] = *text >= ' ' && *text < 0x7f ? *text : '?';
	if (*text != '\0') {
		memcpy(out + used, "...", 3);
		used += 3;
	}
	out[used] = '\0';
	return out;
}
