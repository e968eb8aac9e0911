// SPDX-License-Identifier: Apache-2.0
#include "base/id.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/random.h>

int zl_id_make(char out[static ZL_ID_SIZE], struct zl_error *err)
{
	unsigned char bytes[ZL_ID_LENGTH / 2];

	if (getrandom(bytes, sizeof(bytes), 0) != (ssize_t)sizeof(bytes))
		return zl_error_errno(err, errno, "get random bytes");
	for (size_t i = 0; i < sizeof(bytes); i++)
		(void)snprintf(out + 2 * i, 3, "%02x", bytes[i]);
	return 0;
}

bool zl_id_valid(const char *id)
{
	return strlen(id) == ZL_ID_LENGTH && strspn(id, "0123456789abcdef") == ZL_ID_LENGTH;
}
