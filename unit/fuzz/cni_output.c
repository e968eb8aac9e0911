// SPDX-License-Identifier: Apache-2.0
//
// Any bytes as what a plugin printed, however it ended: a document, or an error of one line.
#include <string.h>

#include "base/cleanup.h"
#include "cni-bridge/plugin.h"

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size);

static const char *const commands[] = {"ADD", "DEL", "CHECK", "STATUS", "GC"};

static void judge(const char *command, int status, const struct zl_buffer *out,
        const struct zl_buffer *diagnostics)
{
	zl_auto(json) json_t *document = NULL;
	struct zl_error err = ZL_ERROR_INIT;
	int result = zl_plugin_judge(command, status, out, diagnostics, &document, &err);

	if (result == 0 && document != NULL && strcmp(command, "ADD") != 0)
		__builtin_trap();
	if (result < 0 && (err.code == ZL_OK || err.message[0] == '\0' || document != NULL))
		__builtin_trap();
	for (const char *c = err.message; *c != '\0'; c++) {
		if ((unsigned char)*c < ' ' || *c == 0x7f)
			__builtin_trap();
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size)
{
	zl_auto(buffer) struct zl_buffer out = ZL_BUFFER_INIT;
	zl_auto(buffer) struct zl_buffer diagnostics = ZL_BUFFER_INIT;
	size_t first;

	if (size < 3)
		return 0;
	first = (size - 3) * bytes[2] / UINT8_MAX;
	(void)zl_buffer_append(&out, bytes + 3, first, NULL);
	(void)zl_buffer_append(&diagnostics, bytes + 3 + first, size - 3 - first, NULL);
	judge(commands[bytes[0] % ZL_ARRAY_SIZE(commands)], bytes[1] % 3 == 0 ? 0 : bytes[1] << 8,
	        &out, &diagnostics);
	return 0;
}
