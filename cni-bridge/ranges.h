// SPDX-License-Identifier: Apache-2.0
//
// The node's pod CIDRs as the capability "ipRanges" (CNI CONVENTIONS.md), which host-local and
// others take their addresses from; and where they are kept.
#ifndef ZL_CNI_BRIDGE_RANGES_H
#define ZL_CNI_BRIDGE_RANGES_H

#include "base/error.h"
#include "base/json.h"

enum { ZL_RANGES_MAX = 8 };

// "10.244.1.0/24,fd00:1::/64" as [[{"subnet": "10.244.1.0/24"}], [{"subnet": "fd00:1::/64"}]]: one
// address of each. Bits of the host are cleared. The caller owns it. INVALID_ARGUMENT.
json_t *zl_ranges_parse(const char *text, struct zl_error *err);

// The file in directory `dir`. Load: both results are NULL where there is none or where it is
// damaged (the kubelet tells them again when it starts). Store makes the directory and waits for
// the disk.
int zl_ranges_load(const char *dir, char **ret_text, json_t **ret_ranges, struct zl_error *err);
int zl_ranges_store(const char *dir, const char *text, struct zl_error *err);

#endif
