// SPDX-License-Identifier: Apache-2.0
//
// A CNI network configuration: the list of plugins that make up one network (CNI spec 1.1, section
// 1), and the request that each of them gets on its stdin (section 4, "Deriving request
// configuration from plugin configuration").
//
// The older form, one plugin's configuration in a file of its own, is read as a list of one.
#ifndef ZL_CNI_BRIDGE_CONFLIST_H
#define ZL_CNI_BRIDGE_CONFLIST_H

#include <stdbool.h>
#include <stddef.h>

#include "base/error.h"
#include "base/json.h"
#include "cni-bridge/cni.h"

// Versions of the spec that we speak, oldest first. 0.1.0 and 0.2.0 knew no chains and another
// result format.
enum zl_cni_version {
	ZL_CNI_0_3_0,
	ZL_CNI_0_3_1,
	ZL_CNI_0_4_0, // CHECK; DEL gets prevResult
	ZL_CNI_1_0_0, // no "version" in a result's ips
	ZL_CNI_1_1_0, // STATUS, GC
};
const char *zl_cni_version_name(enum zl_cni_version version);

enum {
	ZL_CONFLIST_MAX_BYTES = 1024 * 1024,
	ZL_CONFLIST_MAX_PLUGINS = 32,
};

struct zl_conflist_plugin {
	const char *type;   // the executable's name, never a path; owned by conf
	const char *ipam;   // that of the plugin it has addresses from; NULL if none
	const json_t *conf; // the plugin's own object; owned by the list's document
};

struct zl_conflist {
	json_t *document;            // owned; always in the list form
	const char *name;            // the network's, owned by document
	enum zl_cni_version version; // the highest of those offered that we speak
	bool check_disabled;         // "disableCheck"
	bool gc_disabled;            // "disableGC"
	size_t plugin_count;         // at least 1
	struct zl_conflist_plugin plugins[ZL_CONFLIST_MAX_PLUGINS];
};

#define ZL_CONFLIST_INIT {.document = NULL}

void zl_conflist_release(struct zl_conflist *list);
ZL_AUTO_DEFINE_VALUE(conflist, struct zl_conflist, zl_conflist_release);

// Reads a configuration file's bytes. `what` (its path) begins each error message, which is
// INVALID_ARGUMENT and says what to change. *ret must be empty.
int zl_conflist_parse(const char *what, const void *text, size_t length, struct zl_conflist *ret,
        struct zl_error *err);

// As above for a document already read (one kept by an earlier ADD). Takes a reference of its own.
int zl_conflist_from_json(
        const char *what, json_t *document, struct zl_conflist *ret, struct zl_error *err);

// Others may add plugins to a network by files in the directory of its name beside its own file
// (section 1, "loadOnlyInlinedPlugins"). *ret is that name, owned by document; NULL if it takes
// none: it says so, or is a single plugin's configuration. INVALID_ARGUMENT as above.
int zl_conflist_directory(
        const char *what, const json_t *document, const char **ret, struct zl_error *err);

// Appends one plugin's configuration to the document's list. Takes a reference of its own.
int zl_conflist_add_plugin(
        const char *what, json_t *document, json_t *plugin, struct zl_error *err);

// Values for every capability that we know, from the pod: {"portMappings": […], "dns": {…},
// "bandwidth": {…}, …}; those the pod has nothing for are left out. `ranges`, the node's own, are
// for "ipRanges"; may be NULL. The caller owns the object. (capability.c)
json_t *zl_conflist_runtime(const struct zl_cni_pod *pod, json_t *ranges, struct zl_error *err);

// What the plugin at `index` gets on stdin: its configuration with name, cniVersion, runtimeConfig
// (of `runtime`, only what its "capabilities" declare) and prevResult. `runtime` and `previous` may
// be NULL. The caller owns it. "capabilities" stays in, though the spec's text has it taken out:
// libcni leaves it, and meta plugins that delegate read it. Reserved keys ("cni.dev/…") go.
json_t *zl_conflist_request(const struct zl_conflist *list, size_t index, json_t *runtime,
        json_t *previous, struct zl_error *err);

#endif
