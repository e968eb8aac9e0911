// SPDX-License-Identifier: Apache-2.0
//
// System call filters of containers (OCI runtime-spec config-linux.md, "Seccomp").
//
// RuntimeDefault is made here from a table of what is refused: every system call of Linux up to
// ZL_SECCOMP_LAST is allowed but those that reach beyond a container. A later one has not been
// looked at and answers ENOSYS, as it does on an older kernel, so that programs fall back.
// Localhost is a file of the node's administrator in OCI's format or in Docker's, which adds
// archMap and conditions on capabilities and architectures.
//
// Plain data in, plain data out. A profile's text is the node's, not a pod's; it is bounded all
// the same.
#ifndef ZL_CRI_SERVER_OCI_SECCOMP_H
#define ZL_CRI_SERVER_OCI_SECCOMP_H

#include <jansson.h>

#include "api.pb-c.h"
#include "base/error.h"

enum { ZL_SECCOMP_PROFILE_MAX = 1 << 20 };

// setxattrat and its like (463 to 466) came with Linux 6.13; mseal is 6.10's.
enum { ZL_SECCOMP_LAST = 462 };

// The absolute path of the profile file that a context names, owned by the context; NULL: none.
const char *zl_seccomp_profile_path(const Runtime__V1__LinuxContainerSecurityContext *context);

// *ret: the OCI `seccomp` object, or NULL where the container runs without a filter (no profile,
// Unconfined, or privileged). `capabilities` are those of the bounding set ("CAP_…" strings), which
// decide what the default leaves open. `profile` is the text of zl_seccomp_profile_path's file.
int zl_oci_seccomp(const Runtime__V1__LinuxContainerSecurityContext *context,
        const json_t *capabilities, const char *profile, json_t **ret, struct zl_error *err);

// The object for a profile file's text. INVALID_ARGUMENT says what is wrong with it.
json_t *zl_seccomp_parse(const char *text, const json_t *capabilities, struct zl_error *err);

#endif
