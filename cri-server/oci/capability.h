// SPDX-License-Identifier: Apache-2.0
//
// Capabilities of a container (capabilities(7)), by the rules kubelet users know.
#ifndef ZL_CRI_SERVER_OCI_CAPABILITY_H
#define ZL_CRI_SERVER_OCI_CAPABILITY_H

#include <jansson.h>
#include <stdint.h>

#include "api.pb-c.h"
#include "base/error.h"

// The OCI `capabilities` object for a security context (NULL: the defaults). Adds and drops are
// names with or without CAP_, in any case. ALL goes before single names, drops after adds. Ambient
// ones are in every set. Privileged has all, whatever the lists say.
//
// `available` are those that the runtime has to give, bit by number; 0: all. ALL, privileged and
// the defaults mean what there is of them; one that is named must be there (FAILED_PRECONDITION).
json_t *zl_oci_capabilities(const Runtime__V1__LinuxContainerSecurityContext *context,
        uint64_t available, struct zl_error *err);

#endif
