// SPDX-License-Identifier: Apache-2.0
//
// Who a container's process is: an image config's user against /etc/passwd and /etc/group of the
// container's root. Both files are the image's, so they are hostile: opened without leaving the
// root, read up to a limit, and parsed line by line without trusting any of them.
#ifndef ZL_ZONE_SUPERVISOR_USER_H
#define ZL_ZONE_SUPERVISOR_USER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/error.h"

enum { ZL_USER_GROUPS_MAX = 64 };

struct zl_user_wanted {
	const char *name; // "", "1000", "name", "name:group", "1000:1000"
	bool has_group;
	uint32_t group; // replaces the primary group
	const uint32_t *supplemental;
	size_t supplemental_count;
	bool merge; // the groups that /etc/group gives the user, too
};

struct zl_user {
	uint32_t uid;
	uint32_t gid;
	uint32_t groups[ZL_USER_GROUPS_MAX]; // gid first, no duplicates
	size_t group_count;
};

// `passwd` and `group` are the files' texts, "" where there is none. INVALID_ARGUMENT: the image
// has no such user or group.
int zl_user_resolve(const struct zl_user_wanted *wanted, const char *passwd, const char *group,
        struct zl_user *ret, struct zl_error *err);
// Reads the two files below `root` first.
int zl_user_resolve_in(const char *root, const struct zl_user_wanted *wanted, struct zl_user *ret,
        struct zl_error *err);

#endif
