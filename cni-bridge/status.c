// SPDX-License-Identifier: Apache-2.0
//
// Whether pods can be networked now, and what the network is.
#include <limits.h>
#include <string.h>

#include "base/clock.h"
#include "cni-bridge/instance.h"
#include "cni-bridge/plugin.h"

// How long the plugins' own "ready" is believed. The kubelet asks for the node's status every few
// seconds, and a STATUS costs a process for each plugin.
static const int64_t STATUS_VALID_NS = 10 * ZL_NS_PER_SECOND;

static int find_plugins(
        const struct zl_cni *cni, const struct zl_conflist *list, struct zl_error *err)
{
	const char *const *dirs = (const char *const *)cni->bin_dirs;
	char path[PATH_MAX];

	for (size_t i = 0; i < list->plugin_count; i++) {
		const struct zl_conflist_plugin *plugin = &list->plugins[i];

		if (zl_plugin_find(dirs, plugin->type, path, err) < 0)
			return -1;
		if (plugin->ipam != NULL && zl_plugin_find(dirs, plugin->ipam, path, err) < 0)
			return -1;
	}
	return 0;
}

// A plugin that declares "ipRanges" and has no ranges of its own lives on the node's.
static bool needs_cidrs(const struct zl_conflist_plugin *plugin)
{
	const json_t *ipam = json_object_get(plugin->conf, "ipam");
	const json_t *declared = json_object_get(plugin->conf, "capabilities");

	return json_is_true(json_object_get(declared, "ipRanges")) &&
	       json_object_get(ipam, "ranges") == NULL && json_object_get(ipam, "subnet") == NULL;
}

static int check_cidrs(struct zl_cni *cni, const struct zl_conflist *list, struct zl_error *err)
{
	zl_auto(json) json_t *ranges = zl_cni_ranges(cni);

	for (size_t i = 0; ranges == NULL && i < list->plugin_count; i++) {
		if (needs_cidrs(&list->plugins[i]))
			return zl_error_set(err, ZL_UNAVAILABLE,
			        "plugin %s takes addresses from the node's pod CIDR, which the "
			        "kubelet has not told yet; does the node have a spec.podCIDR "
			        "(kube-controller-manager --allocate-node-cidrs)?",
			        list->plugins[i].type);
	}
	return 0;
}

static int ask_plugins(struct zl_cni *cni, const struct zl_conflist *list, uint64_t generation,
        const struct zl_cancel *cancel, struct zl_error *err)
{
	struct zl_chain chain = zl_cni_chain(cni, ZL_CNI_SHORT_TIMEOUT_MS, cancel);
	int result = 0;

	if (list->version < ZL_CNI_1_1_0)
		return 0;
	(void)pthread_mutex_lock(&cni->status_lock);
	if (zl_clock_monotonic() >= cni->ready_until || cni->ready_generation != generation) {
		result = zl_chain_status(&chain, list, err);
		cni->ready_generation = generation;
		cni->ready_until = result == 0 ? zl_clock_monotonic() + STATUS_VALID_NS : INT64_MIN;
	}
	(void)pthread_mutex_unlock(&cni->status_lock);
	return result;
}

static int check_network(struct zl_cni *cni, const struct zl_conflist *list, uint64_t generation,
        const struct zl_cancel *cancel, const char **ret_reason, struct zl_error *err)
{
	*ret_reason = "NetworkPluginMissing";
	if (find_plugins(cni, list, err) < 0)
		return -1;
	*ret_reason = "PodCIDRUnknown";
	if (check_cidrs(cni, list, err) < 0)
		return -1;
	*ret_reason = "NetworkPluginNotReady";
	return ask_plugins(cni, list, generation, cancel, err);
}

int zl_cni_status(struct zl_cni *cni, const struct zl_cancel *cancel, const char **ret_reason,
        struct zl_error *err)
{
	zl_auto(conflist) struct zl_conflist list = ZL_CONFLIST_INIT;
	struct zl_confdir_source source;
	const char *reason = "";

	if (zl_confdir_get(&cni->confdir, &list, &source, err) < 0) {
		reason = source.file[0] == '\0' ? "NoNetworkConfiguration"
		                                : "InvalidNetworkConfiguration";
	} else if (check_network(cni, &list, source.generation, cancel, &reason, err) < 0) {
		zl_error_wrap(err, "network \"%s\"", list.name);
		if (err != NULL)
			err->code = ZL_UNAVAILABLE;
	} else {
		reason = "";
	}
	if (ret_reason != NULL)
		*ret_reason = reason;
	return *reason == '\0' ? 0 : -1;
}

// ---- for people

static json_t *plugin_names(const struct zl_conflist *list)
{
	json_t *names = json_array();

	for (size_t i = 0; i < list->plugin_count; i++)
		(void)json_array_append_new(names, json_string(list->plugins[i].type));
	return names;
}

static void describe_list(json_t *info, const struct zl_conflist *list)
{
	(void)json_object_set_new(info, "name", json_string(list->name));
	(void)json_object_set_new(
	        info, "cniVersion", json_string(zl_cni_version_name(list->version)));
	(void)json_object_set_new(info, "plugins", plugin_names(list));
}

char *zl_cni_describe(struct zl_cni *cni)
{
	zl_auto(json) json_t *info = json_object();
	zl_auto(conflist) struct zl_conflist list = ZL_CONFLIST_INIT;
	struct zl_confdir_source source;
	struct zl_error err = ZL_ERROR_INIT;

	if (zl_confdir_get(&cni->confdir, &list, &source, &err) < 0)
		(void)json_object_set_new(info, "error", json_string(err.message));
	else
		describe_list(info, &list);
	(void)json_object_set_new(info, "file", json_string(source.file));
	(void)pthread_mutex_lock(&cni->cidrs_lock);
	(void)json_object_set_new(
	        info, "podCIDRs", json_string(cni->cidrs != NULL ? cni->cidrs : ""));
	(void)pthread_mutex_unlock(&cni->cidrs_lock);
	return json_dumps(info, JSON_COMPACT);
}
