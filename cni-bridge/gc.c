// SPDX-License-Identifier: Apache-2.0
//
// Releasing what belongs to no pod any more.
#include <limits.h>
#include <string.h>

#include "base/strv.h"
#include "cni-bridge/instance.h"

// What went wrong on the way through many things.
struct tally {
	size_t count;
	size_t failed;
	struct zl_error first;
};

static void count(struct tally *tally, int result, const struct zl_error *err, const char *what)
{
	tally->count++;
	if (result == 0 || tally->failed++ > 0)
		return;
	tally->first = *err;
	zl_error_wrap(&tally->first, "%s", what);
}

static int report(const struct tally *tally, struct zl_error *err)
{
	if (tally->failed == 0)
		return 0;
	return zl_error_set(err, tally->first.code, "%zu of %zu failed, the first: %s",
	        tally->failed, tally->count, tally->first.message);
}

// ---- records without a pod

static int undo_one(
        struct zl_cni *cni, const char *id, const struct zl_cancel *cancel, struct zl_error *err)
{
	zl_auto(attachment) struct zl_attachment pod = ZL_ATTACHMENT_INIT;
	const struct zl_cni_pod named = {.sandbox_id = id};
	struct zl_error absent = ZL_ERROR_INIT;

	if (zl_cni_load(cni, &named, &pod, &absent) < 0) {
		if (absent.code == ZL_NOT_FOUND)
			return 0;
		if (err != NULL)
			*err = absent;
		return -1;
	}
	if (zl_cni_undo(cni, &pod, pod.netns, cancel, err) < 0)
		return -1;
	return pod.netns[0] != '\0' ? zl_netns_remove(pod.netns, err) : 0;
}

static int undo_stale(
        struct zl_cni *cni, const char *id, const struct zl_cancel *cancel, struct zl_error *err)
{
	int result;

	(void)pthread_rwlock_rdlock(&cni->activity);
	result = undo_one(cni, id, cancel, err);
	(void)pthread_rwlock_unlock(&cni->activity);
	return result;
}

// Of the records listed before anybody was asked, so that a pod which comes meanwhile is not among
// them. *ret_left: those that are still there.
static int undo_all_stale(struct zl_cni *cni, zl_cni_known *known, void *data,
        const struct zl_cancel *cancel, struct tally *tally, char ***ret_left, struct zl_error *err)
{
	zl_auto(strv) char **ids = NULL;

	if (zl_attachment_list(cni->cache_dir, &ids, err) < 0)
		return -1;
	for (char **id = ids; id != NULL && *id != NULL; id++) {
		struct zl_error why = ZL_ERROR_INIT;
		char what[160];
		int result;

		if (known(data, *id))
			continue;
		if (zl_cancel_check(cancel, err) < 0)
			return -1;
		result = undo_stale(cni, *id, cancel, &why);
		(void)snprintf(what, sizeof(what), "sandbox %.64s, which is gone", *id);
		count(tally, result, &why, what);
		if (result < 0 && zl_strv_append(ret_left, *id, err) < 0)
			return -1;
	}
	return 0;
}

// ---- the plugins' own

static bool contains(char *const *strings, const char *text)
{
	for (; strings != NULL && *strings != NULL; strings++) {
		if (strcmp(*strings, text) == 0)
			return true;
	}
	return false;
}

// One of the network `name`? If its record cannot be read, perhaps.
static bool attached_to(const struct zl_cni *cni, const char *id, const char *name)
{
	zl_auto(attachment) struct zl_attachment pod = ZL_ATTACHMENT_INIT;

	return zl_attachment_load(cni->cache_dir, id, &pod, NULL) < 0 ||
	       strcmp(pod.list.name, name) == 0;
}

// Every record but the stale ones. The caller owns it.
static json_t *list_valid(
        const struct zl_cni *cni, const char *network, char *const *stale, struct zl_error *err)
{
	zl_auto(json) json_t *valid = json_array();
	zl_auto(strv) char **ids = NULL;

	if (zl_attachment_list(cni->cache_dir, &ids, err) < 0)
		return NULL;
	for (char **id = ids; id != NULL && *id != NULL; id++) {
		if (contains(stale, *id) || !attached_to(cni, *id, network))
			continue;
		if (json_array_append_new(valid, json_pack("{ss ss}", "containerID", *id, "ifname",
		                                         ZL_CNI_IFNAME)) < 0) {
			zl_error_nomem(err);
			return NULL;
		}
	}
	return zl_take(valid);
}

static int gc_alone(struct zl_cni *cni, const struct zl_conflist *list, char *const *stale,
        const struct zl_cancel *cancel, struct zl_error *err)
{
	struct zl_chain chain = zl_cni_chain(cni, ZL_CNI_SHORT_TIMEOUT_MS, cancel);
	zl_auto(json) json_t *valid = list_valid(cni, list->name, stale, err);

	if (valid == NULL)
		return -1;
	return zl_chain_gc(&chain, list, valid, err);
}

static int gc_plugins(struct zl_cni *cni, char *const *stale, const struct zl_cancel *cancel,
        struct zl_error *err)
{
	zl_auto(conflist) struct zl_conflist list = ZL_CONFLIST_INIT;
	int result;

	// No network now is nothing that is left behind.
	if (zl_confdir_get(&cni->confdir, &list, NULL, NULL) < 0)
		return 0;
	if (list.version < ZL_CNI_1_1_0 || list.gc_disabled)
		return 0;
	// With pods on their way it is left for the next time.
	if (pthread_rwlock_trywrlock(&cni->activity) != 0)
		return 0;
	result = gc_alone(cni, &list, stale, cancel, err);
	(void)pthread_rwlock_unlock(&cni->activity);
	return result;
}

int zl_cni_gc(struct zl_cni *cni, zl_cni_known *known, void *data, const struct zl_cancel *cancel,
        struct zl_error *err)
{
	struct tally tally = {.count = 0};
	struct zl_error why = ZL_ERROR_INIT;
	zl_auto(strv) char **left = NULL;

	if (undo_all_stale(cni, known, data, cancel, &tally, &left, err) < 0)
		return -1;
	count(&tally, gc_plugins(cni, left, cancel, &why), &why, "GC");
	return report(&tally, err);
}
