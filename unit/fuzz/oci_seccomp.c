// SPDX-License-Identifier: Apache-2.0
//
// A seccomp profile of the node's administrator, in OCI's format or Docker's.
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "base/json.h"
#include "cri-server/oci/seccomp.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct zl_error err = ZL_ERROR_INIT;
	json_t *capabilities = json_pack("[s, s]", "CAP_SYS_ADMIN", "CAP_CHOWN");
	char *text = malloc(size + 1);
	json_t *filter;

	if (text == NULL || capabilities == NULL)
		abort();
	memcpy(text, data, size);
	text[size] = '\0';
	filter = zl_seccomp_parse(text, capabilities, &err);
	if (filter == NULL && err.code == ZL_OK)
		abort();
	json_decref(filter);
	json_decref(capabilities);
	free(text);
	return 0;
}
