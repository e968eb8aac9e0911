// SPDX-License-Identifier: Apache-2.0
#include <stdint.h>

#include "storage-driver/puller/hosts.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	zl_auto(hosts) struct zl_hosts hosts = ZL_HOSTS_INIT;
	struct zl_error err = ZL_ERROR_INIT;

	(void)zl_hosts_parse(
	        "/nonexistent", (const char *)data, size, "example.invalid", NULL, &hosts, &err);
	return 0;
}
