// SPDX-License-Identifier: Apache-2.0
//
// The AppArmor profile of a container.
//
// A profile of the node (Localhost) must be loaded in its kernel. The runtime's default is no
// profile: zonelet ships none, so a container without a Localhost profile is unconfined.
#ifndef ZL_CRI_SERVER_OCI_APPARMOR_H
#define ZL_CRI_SERVER_OCI_APPARMOR_H

#include "api.pb-c.h"
#include "base/error.h"

// Where the kernel lists its profiles, a line each: "NAME (MODE)".
#define ZL_APPARMOR_PROFILES "/sys/kernel/security/apparmor/profiles"

// *ret: the profile for process.apparmorProfile, owned by the context, or NULL for none. `loaded`
// is the text of ZL_APPARMOR_PROFILES, NULL where the kernel has no AppArmor. FAILED_PRECONDITION:
// the profile is not there.
int zl_oci_apparmor(const Runtime__V1__LinuxContainerSecurityContext *context, const char *loaded,
        const char **ret, struct zl_error *err);

#endif
