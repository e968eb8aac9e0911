// SPDX-License-Identifier: Apache-2.0
//
// An image's /etc/passwd and /etc/group, and the user of its config: three texts, separated by NUL.
#include <stdlib.h>
#include <string.h>

#include "zone/supervisor/user.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	char *text = malloc(size + 3);
	const char *name = text;
	const char *passwd;
	const char *group;
	struct zl_user_wanted wanted = {.merge = (size & 1) != 0};
	struct zl_user user;

	if (size > 0)
		memcpy(text, data, size);
	memset(text + size, 0, 3);
	passwd = name + strlen(name) + 1;
	group = passwd < text + size ? passwd + strlen(passwd) + 1 : "";
	wanted.name = name;
	if (passwd > text + size)
		passwd = "";
	if (group > text + size)
		group = "";
	if (zl_user_resolve(&wanted, passwd, group, &user, NULL) == 0 &&
	        (user.group_count == 0 || user.group_count > ZL_USER_GROUPS_MAX ||
	                user.groups[0] != user.gid))
		abort();
	free(text);
	return 0;
}
