// SPDX-License-Identifier: Apache-2.0

// protobuf-c marks fields that CRI deprecates; apparmor_profile is still read.
#define PROTOBUF_C__NO_DEPRECATED

#include "cri-server/oci/apparmor.h"

#include <string.h>

#define LOCALHOST       "localhost/"
#define RUNTIME_DEFAULT "runtime/default"

static const char *without_prefix(const char *name)
{
	size_t length = strlen(LOCALHOST);

	return strncmp(name, LOCALHOST, length) == 0 ? name + length : name;
}

// The newer field of the two, where it is set, is the only one that counts.
static struct zl_apparmor_want asked_for(const Runtime__V1__LinuxContainerSecurityContext *context)
{
	const Runtime__V1__SecurityProfile *profile = context->apparmor;
	const char *name = context->apparmor_profile;
	struct zl_apparmor_want want = {.asked = true};

	if (profile == NULL) {
		want.asked = name[0] != '\0';
		if (name[0] == '\0' || strcmp(name, RUNTIME_DEFAULT) == 0)
			want.name = ZL_APPARMOR_DEFAULT;
		else if (strncmp(name, LOCALHOST, strlen(LOCALHOST)) == 0)
			want.name = without_prefix(name);
		return want;
	}
	if (profile->profile_type == RUNTIME__V1__SECURITY_PROFILE__PROFILE_TYPE__Localhost)
		want.name = without_prefix(profile->localhost_ref);
	else if (profile->profile_type ==
	         RUNTIME__V1__SECURITY_PROFILE__PROFILE_TYPE__RuntimeDefault)
		want.name = ZL_APPARMOR_DEFAULT;
	return want;
}

struct zl_apparmor_want zl_apparmor_wanted(
        const Runtime__V1__LinuxContainerSecurityContext *context, bool zone)
{
	struct zl_apparmor_want want = {.name = ZL_APPARMOR_DEFAULT};
	bool privileged = context != NULL && context->privileged;

	if (context != NULL)
		want = asked_for(context);
	if (want.name != NULL && strcmp(want.name, ZL_APPARMOR_DEFAULT) == 0 &&
	        (zone || privileged))
		return (struct zl_apparmor_want){.name = NULL};
	return want;
}

bool zl_apparmor_listed(const char *profiles, const char *name)
{
	size_t length = strlen(name);

	for (const char *line = profiles; length > 0 && *line != '\0';) {
		size_t whole = strcspn(line, "\n");

		if (whole > length + 1 && strncmp(line, name, length) == 0 && line[length] == ' ' &&
		        line[length + 1] == '(')
			return true;
		line += whole + (line[whole] == '\n' ? 1 : 0);
	}
	return false;
}

int zl_oci_apparmor(const Runtime__V1__LinuxContainerSecurityContext *context, bool zone,
        const char *profiles, const char **ret, struct zl_error *err)
{
	struct zl_apparmor_want want = zl_apparmor_wanted(context, zone);

	*ret = NULL;
	if (want.name == NULL)
		return 0;
	if (profiles != NULL && zl_apparmor_listed(profiles, want.name)) {
		*ret = want.name;
		return 0;
	}
	if (!want.asked)
		return 0;
	if (zone)
		return zl_error_set(err, ZL_FAILED_PRECONDITION,
		        "AppArmor profile %s: a zone has a kernel of its own, without AppArmor; "
		        "use "
		        "the host handler",
		        want.name);
	if (profiles == NULL)
		return zl_error_set(err, ZL_FAILED_PRECONDITION,
		        "AppArmor profile %s: this node's kernel has no AppArmor (boot it with "
		        "apparmor=1, or leave the profile out)",
		        want.name);
	return zl_error_set(err, ZL_FAILED_PRECONDITION,
	        "AppArmor profile %s is not loaded on this node: apparmor_parser -r FILE",
	        want.name);
}
