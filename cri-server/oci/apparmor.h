// SPDX-License-Identifier: Apache-2.0
//
// Which AppArmor profile a container runs under.
//
// | wanted by the request | profile |
// | --- | --- |
// | nothing, RuntimeDefault, "runtime/default" | ZL_APPARMOR_DEFAULT; none in a privileged
// container | | Localhost, "localhost/NAME" | NAME, which the node must have loaded | | Unconfined,
// "unconfined" | none |
//
// A container whose request says nothing runs without a profile where there is none to be had; one
// that asks for a profile fails. In a zone the kernel is the pod's own and has no AppArmor: the
// default is none there, and a profile of the node is refused.
#ifndef ZL_CRI_SERVER_OCI_APPARMOR_H
#define ZL_CRI_SERVER_OCI_APPARMOR_H

#include <stdbool.h>

#include "api.pb-c.h"
#include "base/error.h"

// Where the kernel lists its profiles, a line each: "NAME (MODE)".
#define ZL_APPARMOR_PROFILES "/sys/kernel/security/apparmor/profiles"

// The runtime's default profile, which container/apparmor.h loads.
#define ZL_APPARMOR_DEFAULT "zonelet-default"

struct zl_apparmor_want {
	const char *name; // owned by the context or static; NULL: no profile
	bool asked;       // the request names it: it is that or an error
};

// `context` may be NULL; `zone`: it runs in a zone.
struct zl_apparmor_want zl_apparmor_wanted(
        const Runtime__V1__LinuxContainerSecurityContext *context, bool zone);

// Whether the list has a profile of this name.
bool zl_apparmor_listed(const char *profiles, const char *name);

// *ret: the profile for process.apparmorProfile, owned by the context or static, or NULL for none.
// `profiles` is the text of ZL_APPARMOR_PROFILES, NULL where the kernel has no AppArmor.
// FAILED_PRECONDITION: what was asked for is not there.
int zl_oci_apparmor(const Runtime__V1__LinuxContainerSecurityContext *context, bool zone,
        const char *profiles, const char **ret, struct zl_error *err);

#endif
