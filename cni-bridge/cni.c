// SPDX-License-Identifier: Apache-2.0
#include "cni-bridge/cni.h"

#include <limits.h>
#include <string.h>

#include "base/strv.h"
#include "cni-bridge/instance.h"
#include "cni-bridge/netlink.h"
#include "cni-bridge/netns.h"
#include "cni-bridge/ranges.h"

// ---- open, close

static void init_locks(struct zl_cni *cni)
{
	(void)pthread_rwlock_init(&cni->activity, NULL);
	(void)pthread_mutex_init(&cni->status_lock, NULL);
	(void)pthread_mutex_init(&cni->cidrs_lock, NULL);
}

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
	init_locks(cni);
	cni->timeout_ms = options->timeout_ms;
	cni->cache_dir = zl_strdup(options->cache_dir, err);
	cni->bin_dirs = zl_strv_copy((char *const *)options->bin_dirs, dirs, err);
	if (cni->cache_dir == NULL || cni->bin_dirs == NULL ||
	        zl_ranges_load(cni->cache_dir, &cni->cidrs, &cni->ranges, err) < 0 ||
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
	free(cni->cidrs);
	json_decref(cni->ranges);
	(void)pthread_rwlock_destroy(&cni->activity);
	(void)pthread_mutex_destroy(&cni->status_lock);
	(void)pthread_mutex_destroy(&cni->cidrs_lock);
	free(cni);
}

struct zl_chain zl_cni_chain(
        const struct zl_cni *cni, int timeout_limit_ms, const struct zl_cancel *cancel)
{
	return (struct zl_chain){
	        .bin_dirs = (const char *const *)cni->bin_dirs,
	        .timeout_ms =
	                cni->timeout_ms < timeout_limit_ms ? cni->timeout_ms : timeout_limit_ms,
	        .cancel = cancel,
	};
}

// ---- the node's pod CIDRs

json_t *zl_cni_ranges(struct zl_cni *cni)
{
	json_t *ranges;

	(void)pthread_mutex_lock(&cni->cidrs_lock);
	ranges = json_incref(cni->ranges);
	(void)pthread_mutex_unlock(&cni->cidrs_lock);
	return ranges;
}

int zl_cni_set_pod_cidrs(struct zl_cni *cni, const char *text, struct zl_error *err)
{
	zl_auto(free) char *copy = zl_strdup(text, err);
	zl_auto(json) json_t *ranges = NULL;
	int result = 0;

	if (copy == NULL || *copy == '\0')
		return copy != NULL ? 0 : -1;
	ranges = zl_ranges_parse(copy, err);
	if (ranges == NULL)
		return zl_error_wrap(err, "pod CIDR \"%.128s\"", copy);
	(void)pthread_mutex_lock(&cni->cidrs_lock);
	if (cni->cidrs == NULL || strcmp(cni->cidrs, copy) != 0)
		result = zl_ranges_store(cni->cache_dir, copy, err);
	if (result == 0) {
		free(cni->cidrs);
		cni->cidrs = zl_take(copy);
		json_decref(cni->ranges);
		cni->ranges = zl_take(ranges);
	}
	(void)pthread_mutex_unlock(&cni->cidrs_lock);
	return result;
}

// ---- what the kernel has

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
	if (zl_attachment_result(pod, ZL_CNI_IFNAME, &result, err) < 0)
		return -1;
	for (size_t i = 0; i < result.interface_count; i++) {
		if (note_link(netlink, result.interfaces[i].name, pod->links, err) < 0)
			return -1;
	}
	return 0;
}

// ---- the pod's way

int zl_cni_undo(const struct zl_cni *cni, const struct zl_attachment *pod, const char *netns,
        const struct zl_cancel *cancel, struct zl_error *err)
{
	struct zl_chain chain = zl_cni_chain(cni, INT_MAX, cancel);

	// The spec lets CNI_NETNS be absent when the namespace is: with a path to nothing some
	// plugins fail, without one they release what is left.
	if (netns != NULL && !zl_netns_exists(netns))
		netns = NULL;
	if (zl_chain_del(&chain, pod, netns, err) < 0)
		return -1;
	return zl_attachment_forget(cni->cache_dir, pod->id, err);
}

static int attach(const struct zl_cni *cni, struct zl_attachment *pod,
        const struct zl_cancel *cancel, struct zl_error *err)
{
	struct zl_chain chain = zl_cni_chain(cni, INT_MAX, cancel);
	zl_auto(netlink) struct zl_netlink netlink = ZL_NETLINK_INIT;

	if (zl_chain_add(&chain, pod, err) < 0 || zl_netlink_open(&netlink, pod->netns, err) < 0 ||
	        note_links(&netlink, pod, err) < 0)
		return -1;
	return zl_attachment_finish(cni->cache_dir, pod, err);
}

static int make_attachment(struct zl_cni *cni, const struct zl_cni_pod *pod,
        struct zl_conflist *list, struct zl_attachment *ret, struct zl_error *err)
{
	zl_auto(json) json_t *ranges = zl_cni_ranges(cni);

	return zl_attachment_make(pod, list, ranges, ret, err);
}

static int add_new(struct zl_cni *cni, const struct zl_cni_pod *pod, const struct zl_cancel *cancel,
        struct zl_cni_result *ret, struct zl_error *err)
{
	zl_auto(conflist) struct zl_conflist list = ZL_CONFLIST_INIT;
	zl_auto(attachment) struct zl_attachment made = ZL_ATTACHMENT_INIT;
	struct zl_error later = ZL_ERROR_INIT;

	if (zl_confdir_get(&cni->confdir, &list, NULL, err) < 0 ||
	        make_attachment(cni, pod, &list, &made, err) < 0 ||
	        zl_attachment_store(cni->cache_dir, &made, err) < 0)
		return -1;
	if (attach(cni, &made, cancel, err) == 0)
		return zl_attachment_result(&made, ZL_CNI_IFNAME, ret, err);
	// Not with `cancel`: it may be what ended the ADD. What fails here stays in the cache for
	// the DEL of the sandbox's removal.
	if (zl_cni_undo(cni, &made, made.netns, NULL, &later) < 0)
		zl_error_wrap(err, "(its clean-up failed too: %.300s)", later.message);
	return -1;
}

// By the network of now.
static int make_up(struct zl_cni *cni, const struct zl_cni_pod *pod, struct zl_attachment *ret,
        struct zl_error *err)
{
	zl_auto(conflist) struct zl_conflist list = ZL_CONFLIST_INIT;
	struct zl_cni_pod named = *pod;

	if (zl_confdir_get(&cni->confdir, &list, NULL, err) < 0)
		return -1;
	if (named.netns == NULL)
		named.netns = "";
	return make_attachment(cni, &named, &list, ret, err);
}

int zl_cni_load(struct zl_cni *cni, const struct zl_cni_pod *pod, struct zl_attachment *ret,
        struct zl_error *err)
{
	struct zl_error why = ZL_ERROR_INIT;

	if (zl_attachment_load(cni->cache_dir, pod->sandbox_id, ret, &why) == 0)
		return 0;
	if (why.code == ZL_DATA_LOSS) {
		if (make_up(cni, pod, ret, err) == 0)
			return 0;
		return zl_error_wrap(err, "%s", why.message);
	}
	// Without a network now nobody can be asked, and nothing says that there is anything.
	if (why.code == ZL_NOT_FOUND && pod->recovered && make_up(cni, pod, ret, NULL) == 0)
		return 0;
	if (err != NULL)
		*err = why;
	return -1;
}

static int add(struct zl_cni *cni, const struct zl_cni_pod *pod, const struct zl_cancel *cancel,
        struct zl_cni_result *ret, struct zl_error *err)
{
	zl_auto(attachment) struct zl_attachment earlier = ZL_ATTACHMENT_INIT;
	struct zl_error absent = ZL_ERROR_INIT;

	if (pod->netns == NULL)
		return zl_error_set(err, ZL_INVALID_ARGUMENT, "no network namespace given");
	if (zl_cni_load(cni, pod, &earlier, &absent) == 0) {
		if (earlier.result != NULL && strcmp(earlier.netns, pod->netns) == 0)
			return zl_attachment_result(&earlier, ZL_CNI_IFNAME, ret, err);
		if (zl_cni_undo(cni, &earlier, earlier.netns, cancel, err) < 0)
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
	int result;

	(void)pthread_rwlock_rdlock(&cni->activity);
	result = add(cni, pod, cancel, ret, err);
	(void)pthread_rwlock_unlock(&cni->activity);
	return result < 0 ? wrap_pod(pod, "set up", err) : 0;
}

static int del(struct zl_cni *cni, const struct zl_cni_pod *pod, const struct zl_cancel *cancel,
        struct zl_error *err)
{
	zl_auto(attachment) struct zl_attachment earlier = ZL_ATTACHMENT_INIT;
	struct zl_error failure = ZL_ERROR_INIT;

	if (zl_cni_load(cni, pod, &earlier, &failure) == 0)
		return zl_cni_undo(cni, &earlier, earlier.netns, cancel, err);
	if (failure.code == ZL_NOT_FOUND)
		return 0;
	if (err != NULL)
		*err = failure;
	return -1;
}

int zl_cni_del(struct zl_cni *cni, const struct zl_cni_pod *pod, const struct zl_cancel *cancel,
        struct zl_error *err)
{
	int result;

	(void)pthread_rwlock_rdlock(&cni->activity);
	result = del(cni, pod, cancel, err);
	(void)pthread_rwlock_unlock(&cni->activity);
	return result < 0 ? wrap_pod(pod, "take down", err) : 0;
}

int zl_cni_check(struct zl_cni *cni, const char *sandbox_id, const struct zl_cancel *cancel,
        struct zl_error *err)
{
	zl_auto(attachment) struct zl_attachment pod = ZL_ATTACHMENT_INIT;
	struct zl_chain chain = zl_cni_chain(cni, INT_MAX, cancel);

	if (zl_attachment_load(cni->cache_dir, sandbox_id, &pod, err) < 0)
		return -1;
	if (pod.result == NULL)
		return zl_error_set(err, ZL_NOT_FOUND,
		        "sandbox %s: its network was never set up to the end", sandbox_id);
	if (pod.list.version < ZL_CNI_0_4_0 || pod.list.check_disabled)
		return 0;
	return zl_chain_check(&chain, &pod, err);
}

int zl_cni_cached(
        struct zl_cni *cni, const char *sandbox_id, struct zl_cni_result *ret, struct zl_error *err)
{
	zl_auto(attachment) struct zl_attachment pod = ZL_ATTACHMENT_INIT;

	if (zl_attachment_load(cni->cache_dir, sandbox_id, &pod, err) < 0)
		return -1;
	return zl_attachment_result(&pod, ZL_CNI_IFNAME, ret, err);
}
