// SPDX-License-Identifier: Apache-2.0
//
// The user that a zone's supervisor resolved, put into the process of an exec.
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "cri-server/oci/spec.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static const char spec[] = "{\"process\":{\"args\":[\"a\"],\"user\":{\"uid\":0}}}";
	const char *const argv[] = {"id", NULL};
	struct zl_error err = ZL_ERROR_INIT;
	char *user = malloc(size + 1);
	char *process;

	if (user == NULL)
		return 0;
	memcpy(user, data, size);
	user[size] = '\0';
	process = zl_oci_exec_process(spec, argv, 1, false, user, &err);
	if (process == NULL && err.code == ZL_OK)
		abort();
	free(process);
	free(user);
	return 0;
}
