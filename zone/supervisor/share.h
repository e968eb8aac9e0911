// SPDX-License-Identifier: Apache-2.0
//
// The node's directories in a zone: one 9P mount with a directory or file for each export
// (storage-driver/p9). Containers get binds of these.
#ifndef ZL_ZONE_SUPERVISOR_SHARE_H
#define ZL_ZONE_SUPERVISOR_SHARE_H

#include "base/error.h"

// Mounts the device at ZL_SHARE_DIR/name (zone/protocol/share.h) if it is not yet. A server that
// died leaves a mount in which everything fails; the next one gets another name.
int zl_share_mount(const char *tag, const char *name, struct zl_error *err);

#endif
