// SPDX-License-Identifier: Apache-2.0

// protobuf-c marks fields that CRI deprecates; apparmor_profile is still read.
#define PROTOBUF_C__NO_DEPRECATED

#include "cri-server/oci/apparmor.h"

#include <stdbool.h>
#include <string.h>

#define LOCALHOST "localhost/"

// The name of the node's profile that is asked for; NULL: none.
static const char *wanted(const Runtime__V1__LinuxContainerSecurityContext *context)
{
	const Runtime__V1__SecurityProfile *profile = context->apparmor;
	const char *name = context->apparmor_profile;
	bool prefixed;

	if (context->privileged && profile == NULL)
		return NULL;
	if (profile != NULL) {
		if (profile->profile_type != RUNTIME__V1__SECURITY_PROFILE__PROFILE_TYPE__Localhost)
			return NULL;
		name = profile->localhost_ref;
	}
	prefixed = strncmp(name, LOCALHOST, strlen(LOCALHOST)) == 0;
	if (profile == NULL && !prefixed)
		return NULL; // "", "runtime/default", "unconfined"
	return prefixed ? name + strlen(LOCALHOST) : name;
}

static bool is_loaded(const char *loaded, const char *name)
{
	size_t length = strlen(name);

	for (const char *line = loaded; length > 0 && *line != '\0';) {
		size_t whole = strcspn(line, "\n");

		if (whole > length + 1 && strncmp(line, name, length) == 0 && line[length] == ' ' &&
		        line[length + 1] == '(')
			return true;
		line += whole + (line[whole] == '\n' ? 1 : 0);
	}
	return false;
}

int zl_oci_apparmor(const Runtime__V1__LinuxContainerSecurityContext *context, const char *loaded,
        const char **ret, struct zl_error *err)
{
	const char *name = wanted(context);

	*ret = NULL;
	if (name == NULL)
		return 0;
	if (loaded == NULL)
		return zl_error_set(err, ZL_FAILED_PRECONDITION,
		        "AppArmor profile %s: the kernel it would run on has no AppArmor", name);
	if (!is_loaded(loaded, name))
		return zl_error_set(err, ZL_FAILED_PRECONDITION,
		        "AppArmor profile %s is not loaded on this node (apparmor_parser -r)",
		        name);
	*ret = name;
	return 0;
}
