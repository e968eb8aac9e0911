// SPDX-License-Identifier: Apache-2.0
//
// What a chain of plugins says it made (CNI spec 0.3.0 to 1.1.0, "Result"), as plain values.
//
// Plugins are programs of third parties and their output ends up in resolv.conf, in a zone's
// network set-up and in errors: every string is checked for its form here and written anew from
// what was understood (addresses by inet_ntop, MACs in lower case).
#ifndef ZL_CNI_BRIDGE_RESULT_H
#define ZL_CNI_BRIDGE_RESULT_H

#include "base/error.h"
#include "base/json.h"
#include "cni-bridge/cni.h"
#include "cni-bridge/conflist.h"

enum {
	ZL_CNI_RESULT_MAX_BYTES = 1024 * 1024,
	ZL_CNI_RESULT_MAX_INTERFACES = 64, // host ends included
	ZL_CNI_RESULT_MAX_ADDRESSES = 128,
	ZL_CNI_RESULT_MAX_ROUTES = 1024,
	ZL_CNI_RESULT_MAX_DNS = 32, // entries of each list
};

// Reads a result. `ifname` is the interface that the plugins were asked for: addresses that name no
// interface are its. *ret must be empty and stays so on failure (INTERNAL: the plugin is at fault).
int zl_cni_result_read(const char *what, const json_t *json, const char *ifname,
        struct zl_cni_result *ret, struct zl_error *err);

// Makes a result fit to be a later plugin's prevResult in this version of the spec: sets
// cniVersion, and before 1.0 the "version" of each address, which a newer plugin leaves out.
int zl_cni_result_convert(json_t *json, enum zl_cni_version version, struct zl_error *err);

#endif
