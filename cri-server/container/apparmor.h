// SPDX-License-Identifier: Apache-2.0
//
// The node's AppArmor: what is loaded, and the runtime's default profile.
//
// The default profile is loaded when the first container wants it, by apparmor_parser, which
// replaces that of an earlier version (running containers get the new one, too), and again whenever
// somebody has removed it. It stays when the daemon ends; purging the package removes it.
//
// Thread rule: any thread; loading is one at a time, behind a gate.
#ifndef ZL_CRI_SERVER_CONTAINER_APPARMOR_H
#define ZL_CRI_SERVER_CONTAINER_APPARMOR_H

#include <stdatomic.h>
#include <stdbool.h>

#include "base/buffer.h"
#include "base/cancel.h"
#include "base/error.h"
#include "cri-server/oci/apparmor.h"
#include "cri-server/sandbox/gate.h"

struct zl_apparmor {
	const char *profiles; // ZL_APPARMOR_PROFILES
	const char *parser;   // the program that loads profiles
	atomic_bool current;  // this daemon has loaded its default profile
	atomic_bool warned;   // that it could not
	struct zl_gate gate;  // exclusive while the parser runs
};

void zl_apparmor_init(struct zl_apparmor *apparmor);
void zl_apparmor_release(struct zl_apparmor *apparmor);

// Whether the node's kernel has AppArmor.
bool zl_apparmor_enabled(const struct zl_apparmor *apparmor);

// Sees to it that the default profile is loaded if it is what is wanted, and reads the list of the
// loaded profiles to `text`. *ret is that text, NULL where the kernel has no AppArmor.
// FAILED_PRECONDITION: the default is asked for and there is no parser; where it is not asked for,
// that is a warning in the log, once. INTERNAL: the parser's or the kernel's refusal.
int zl_apparmor_prepare(struct zl_apparmor *apparmor, const struct zl_apparmor_want *want,
        struct zl_buffer *text, const char **ret, const struct zl_cancel *cancel,
        struct zl_error *err);

// The default profile as apparmor_parser reads it (apparmor_default.c).
extern const char zl_apparmor_default_text[];

#endif
