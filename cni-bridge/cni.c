// SPDX-License-Identifier: Apache-2.0
#include "cni-bridge/cni.h"

#include <pthread.h>
#include <string.h>

#include "base/clock.h"
#include "base/strv.h"
#include "cni-bridge/attachment.h"
#include "cni-bridge/confdir.h"
#include "cni-bridge/conflist.h"
#include "cni-bridge/netlink.h"
#include "cni-bridge/netns.h"
#include "cni-bridge/plugin.h"
#include "cni-bridge/result.h"

// The kubelet knows one interface of a pod, and every runtime calls it so.
static const char IFNAME[] = "eth0";

// How long the plugins' own "ready" is believed. The kubelet asks for the node's status every few
// seconds, and a STATUS costs a process for each plugin.
static const int64_t STATUS_VALID_NS = 10 * ZL_NS_PER_SECOND;

// Lock order: status_lock, then the lock inside confdir.
struct zl_cni {
	struct zl_confdir confdir;
	char **bin_dirs;
	char *cache_dir;
	int timeout_ms;
	pthread_mutex_t status_lock; // guards ready_until; held while STATUS runs
	int64_t ready_until;         // monotonic; until then all plugins' STATUS counts as good
};

// ---- open, close

struct zl_cni *zl_cni_open(const struct zl_cni_options *options, struct zl_error *err)
{
	struct zl_cni *cni = calloc(1, sizeof(*cni));
	size_t dirs = 0;

	if (cni == NULL) {
		zl_error_nomem(err);
		return NULL;
	}
	while (options->bin_dirs[dirs] != NULL)
		dirs++;
	(void)pthread_mutex_init(&cni->status_lock, NULL);
	cni->timeout_ms = options->timeout_ms;
	cni->cache_dir = zl_strdup(options->cache_dir, err);
	cni->bin_dirs = zl_strv_copy((char *const *)options->bin_dirs, dirs, err);
	if (cni->cache_dir == NULL || cni->bin_dirs == NULL ||
	        zl_confdir_open(&cni->confdir, options->conf_dir, err) < 0) {
		zl_cni_close(cni);
		return NULL;
	}
	return cni;
}

void zl_cni_close(struct zl_cni *cni)
{
	if (cni == NULL)
		return;
	zl_confdir_close(&cni->confdir);
	zl_strv_free(cni->bin_dirs);
	free(cni->cache_dir);
	(void)pthread_mutex_destroy(&cni->status_lock);
	free(cni);
}

// ---- running the chain

static int run_plugin(const struct zl_cni *cni, const char *command,
        const struct zl_attachment *pod, const char *netns, size_t index, json_t *previous,
        const struct zl_cancel *cancel, json_t **ret_result, struct zl_error *err)
{
	zl_auto(json) json_t *request =
	        zl_conflist_request(&pod->list, index, pod->runtime, previous, err);
	struct zl_plugin_call call = {
	        .bin_dirs = (const char *const *)cni->bin_dirs,
	        .timeout_ms = cni->timeout_ms,
	        .command = command,
	        .type = pod->list.plugins[index].type,
	        .container_id = pod->id,
	        .netns = netns,
	        .ifname = IFNAME,
	        .args = pod->args,
	        .request = request,
	        .cancel = cancel,
	};

	if (request == NULL)
		return -1;
	return zl_plugin_run(&call, ret_result, err);
}

// Each plugin gets the result of the one before; that of the last is the pod's.
static int add_chain(const struct zl_cni *cni, struct zl_attachment *pod,
        const struct zl_cancel *cancel, struct zl_error *err)
{
	zl_auto(json) json_t *result = NULL;

	for (size_t i = 0; i < pod->list.plugin_count; i++) {
		json_t *next = NULL;

		if (zl_cancel_check(cancel, err) < 0 ||
		        run_plugin(cni, "ADD", pod, pod->netns, i, result, cancel, &next, err) < 0)
			return -1;
		json_decref(result);
		result = next;
		if (result == NULL)
			return zl_error_set(err, ZL_INTERNAL, "plugin %s ADD: it printed no result",
			        pod->list.plugins[i].type);
		if (zl_cni_result_convert(result, pod->list.version, err) < 0)
			return zl_error_wrap(err, "plugin %s ADD", pod->list.plugins[i].type);
	}
	pod->result = zl_take(result);
	return 0;
}

// In reverse. It ends at the first failure: a port map must be gone before its address is given to
// another pod.
static int del_chain(const struct zl_cni *cni, const struct zl_attachment *pod, const char *netns,
        const struct zl_cancel *cancel, struct zl_error *err)
{
	json_t *previous = pod->list.version >= ZL_CNI_0_4_0 ? pod->result : NULL;

	for (size_t i = pod->list.plugin_count; i-- > 0;) {
		zl_auto(json) json_t *ignored = NULL;

		if (run_plugin(cni, "DEL", pod, netns, i, previous, cancel, &ignored, err) < 0)
			return -1;
	}
	return 0;
}

static int undo(const struct zl_cni *cni, const struct zl_attachment *pod, const char *netns,
        const struct zl_cancel *cancel, struct zl_error *err)
{
	// The spec lets CNI_NETNS be absent when the namespace is: with a path to nothing some
	// plugins fail, without one they release what is left.
	if (netns != NULL && !zl_netns_exists(netns))
		netns = NULL;
	if (del_chain(cni, pod, netns, cancel, err) < 0)
		return -1;
	return zl_attachment_forget(cni->cache_dir, pod->id, err);
}

// ---- what the kernel has

static int lo_up(struct zl_netlink *netlink, struct zl_error *err)
{
	if (zl_link_put_up(netlink, "lo", err) < 0)
		return -1;
	return zl_netlink_commit(netlink, NULL, NULL, err);
}

// Before spec 1.1 a result has no MTU, and not every plugin says the MAC.
static int note_link(
        struct zl_netlink *netlink, const char *name, json_t *links, struct zl_error *err)
{
	struct zl_link link;

	if (zl_link_get(netlink, name, &link, err) < 0)
		return -1;
	if (json_object_set_new(
	            links, name, json_pack("{ss si}", "mac", link.mac, "mtu", (int)link.mtu)) < 0)
		return zl_error_nomem(err);
	return 0;
}

// Reads the result and asks the kernel for each of the interfaces in it; an interface that the
// plugins only claim to have made is found out here.
static int note_links(struct zl_netlink *netlink, struct zl_attachment *pod, struct zl_error *err)
{
	zl_auto(cni_result) struct zl_cni_result result = {0};

	pod->links = json_object();
	if (pod->links == NULL)
		return zl_error_nomem(err);
	if (zl_attachment_result(pod, IFNAME, &result, err) < 0)
		return -1;
	for (size_t i = 0; i < result.interface_count; i++) {
		if (note_link(netlink, result.interfaces[i].name, pod->links, err) < 0)
			return -1;
	}
	return 0;
}

// ---- the pod's way

static int attach(const struct zl_cni *cni, struct zl_attachment *pod,
        const struct zl_cancel *cancel, struct zl_error *err)
{
	zl_auto(netlink) struct zl_netlink netlink = ZL_NETLINK_INIT;

	if (zl_netlink_open(&netlink, pod->netns, err) < 0 || lo_up(&netlink, err) < 0 ||
	        add_chain(cni, pod, cancel, err) < 0 || note_links(&netlink, pod, err) < 0)
		return -1;
	return zl_attachment_store(cni->cache_dir, pod, err);
}

static int add_new(struct zl_cni *cni, const struct zl_cni_pod *pod, const struct zl_cancel *cancel,
        struct zl_cni_result *ret, struct zl_error *err)
{
	zl_auto(conflist) struct zl_conflist list = ZL_CONFLIST_INIT;
	zl_auto(attachment) struct zl_attachment made = ZL_ATTACHMENT_INIT;
	struct zl_error later = ZL_ERROR_INIT;

	if (zl_confdir_get(&cni->confdir, &list, err) < 0 ||
	        zl_attachment_make(pod, &list, &made, err) < 0 ||
	        zl_attachment_store(cni->cache_dir, &made, err) < 0)
		return -1;
	if (attach(cni, &made, cancel, err) == 0)
		return zl_attachment_result(&made, IFNAME, ret, err);
	// Not with `cancel`: it may be what ended the ADD. What fails here stays in the cache for
	// the DEL of the sandbox's removal.
	if (undo(cni, &made, made.netns, NULL, &later) < 0)
		zl_error_wrap(err, "(its clean-up failed too: %.300s)", later.message);
	return -1;
}

static int add(struct zl_cni *cni, const struct zl_cni_pod *pod, const struct zl_cancel *cancel,
        struct zl_cni_result *ret, struct zl_error *err)
{
	zl_auto(attachment) struct zl_attachment earlier = ZL_ATTACHMENT_INIT;
	struct zl_error absent = ZL_ERROR_INIT;

	if (pod->netns == NULL)
		return zl_error_set(err, ZL_INVALID_ARGUMENT, "no network namespace given");
	if (zl_attachment_load(cni->cache_dir, pod->sandbox_id, &earlier, &absent) == 0) {
		if (earlier.result != NULL && strcmp(earlier.netns, pod->netns) == 0)
			return zl_attachment_result(&earlier, IFNAME, ret, err);
		if (undo(cni, &earlier, earlier.netns, cancel, err) < 0)
			return zl_error_wrap(err, "undo an earlier attempt");
	} else if (absent.code != ZL_NOT_FOUND) {
		if (err != NULL)
			*err = absent;
		return -1;
	}
	return add_new(cni, pod, cancel, ret, err);
}

static int wrap_pod(const struct zl_cni_pod *pod, const char *verb, struct zl_error *err)
{
	return zl_error_wrap(err, "%s network of pod %s/%s", verb,
	        pod->namespace_ != NULL ? pod->namespace_ : "?",
	        pod->name != NULL ? pod->name : "?");
}

int zl_cni_add(struct zl_cni *cni, const struct zl_cni_pod *pod, const struct zl_cancel *cancel,
        struct zl_cni_result *ret, struct zl_error *err)
{
	if (add(cni, pod, cancel, ret, err) < 0)
		return wrap_pod(pod, "set up", err);
	return 0;
}

int zl_cni_del(struct zl_cni *cni, const struct zl_cni_pod *pod, const struct zl_cancel *cancel,
        struct zl_error *err)
{
	zl_auto(attachment) struct zl_attachment earlier = ZL_ATTACHMENT_INIT;
	struct zl_error failure = ZL_ERROR_INIT;

	if (zl_attachment_load(cni->cache_dir, pod->sandbox_id, &earlier, &failure) < 0) {
		if (failure.code == ZL_NOT_FOUND)
			return 0;
		if (err != NULL)
			*err = failure;
		return wrap_pod(pod, "take down", err);
	}
	if (undo(cni, &earlier, earlier.netns, cancel, err) < 0)
		return wrap_pod(pod, "take down", err);
	return 0;
}

int zl_cni_cached(
        struct zl_cni *cni, const char *sandbox_id, struct zl_cni_result *ret, struct zl_error *err)
{
	zl_auto(attachment) struct zl_attachment pod = ZL_ATTACHMENT_INIT;

	if (zl_attachment_load(cni->cache_dir, sandbox_id, &pod, err) < 0)
		return -1;
	return zl_attachment_result(&pod, IFNAME, ret, err);
}

// ---- status

static int ask_plugins(
        const struct zl_cni *cni, const struct zl_conflist *list, struct zl_error *err)
{
	for (size_t i = 0; i < list->plugin_count; i++) {
		zl_auto(json) json_t *request = zl_conflist_request(list, i, NULL, NULL, err);
		zl_auto(json) json_t *ignored = NULL;
		struct zl_plugin_call call = {
		        .bin_dirs = (const char *const *)cni->bin_dirs,
		        .timeout_ms = cni->timeout_ms,
		        .command = "STATUS",
		        .type = list->plugins[i].type,
		        .request = request,
		};

		if (request == NULL || zl_plugin_run(&call, &ignored, err) < 0)
			return -1;
	}
	return 0;
}

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

static int check_plugins(struct zl_cni *cni, const struct zl_conflist *list, struct zl_error *err)
{
	int result = 0;

	if (find_plugins(cni, list, err) < 0)
		return -1;
	if (list->version < ZL_CNI_1_1_0)
		return 0;
	(void)pthread_mutex_lock(&cni->status_lock);
	if (zl_clock_monotonic() >= cni->ready_until) {
		result = ask_plugins(cni, list, err);
		if (result == 0)
			cni->ready_until = zl_clock_monotonic() + STATUS_VALID_NS;
	}
	(void)pthread_mutex_unlock(&cni->status_lock);
	return result;
}

int zl_cni_status(struct zl_cni *cni, struct zl_error *err)
{
	zl_auto(conflist) struct zl_conflist list = ZL_CONFLIST_INIT;

	if (zl_confdir_get(&cni->confdir, &list, err) < 0)
		return -1;
	if (check_plugins(cni, &list, err) < 0) {
		zl_error_wrap(err, "network \"%s\"", list.name);
		if (err != NULL)
			err->code = ZL_UNAVAILABLE;
		return -1;
	}
	return 0;
}
