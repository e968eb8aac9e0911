// SPDX-License-Identifier: Apache-2.0
#include "cri-server/zonectl/pods.h"

#include <string.h>

#include "api.pb-c.h"
#include "base/json.h"

enum {
	INFO_LIMIT = 1 << 20,
	ID_PREFIX_LEAST = 4,
};

static int64_t integer(const json_t *object, const char *key, int64_t fallback)
{
	const json_t *value = json_object_get(object, key);

	return json_is_integer(value) ? (int64_t)json_integer_value(value) : fallback;
}

static const char *text(
        const json_t *object, const char *key, const char *fallback, struct zl_arena *arena)
{
	const char *value = zl_json_string(object, key);

	return value != NULL ? zl_arena_strdup(arena, value) : fallback;
}

void zl_pod_read_info(struct zl_pod *pod, const char *info_json, struct zl_arena *arena)
{
	zl_auto(json) json_t *info =
	        zl_json_parse("zone info", info_json, strlen(info_json), INFO_LIMIT, NULL);

	if (!json_is_object(info))
		return;
	pod->handler = text(info, "handler", pod->handler, arena);
	pod->domain_name = text(info, "name", pod->domain_name, arena);
	pod->reason = text(info, "reason", pod->reason, arena);
	pod->domid = integer(info, "domid", pod->domid);
	pod->memory_bytes = integer(info, "memoryBytes", pod->memory_bytes);
	pod->vcpus = integer(info, "vcpus", pod->vcpus);
	pod->uptime_ns = integer(info, "uptimeNs", pod->uptime_ns);
}

static int read_status(struct zl_zonectl *ctl, struct zl_pod *pod, struct zl_error *err)
{
	Runtime__V1__PodSandboxStatusRequest request =
	        RUNTIME__V1__POD_SANDBOX_STATUS_REQUEST__INIT;
	Runtime__V1__PodSandboxStatusResponse *response;
	const char *info;

	request.pod_sandbox_id = pod->id;
	request.verbose = true;
	response = ZL_CRI_CALL(ctl->client, runtime_service, PodSandboxStatus, &request,
	        &ctl->arena, ZL_ZONECTL_TIMEOUT_MS, err);
	if (response == NULL)
		return -1;
	info = zl_message_map_get(response->info, response->n_info, "zone");
	if (info != NULL)
		zl_pod_read_info(pod, info, &ctl->arena);
	return 0;
}

static struct zl_pod pod_of(const Runtime__V1__PodSandbox *item)
{
	struct zl_pod pod = {
	        .id = item->id,
	        .namespace_ = "",
	        .name = "",
	        .state = item->state == RUNTIME__V1__POD_SANDBOX_STATE__SANDBOX_READY ? "ready"
	                                                                              : "notready",
	        .handler = item->runtime_handler,
	        .domain_name = "",
	        .domid = -1,
	        .reason = "",
	};

	if (item->metadata != NULL) {
		pod.namespace_ = item->metadata->namespace_;
		pod.name = item->metadata->name;
	}
	return pod;
}

int zl_pods_list(
        struct zl_zonectl *ctl, struct zl_pod **ret, size_t *ret_count, struct zl_error *err)
{
	Runtime__V1__ListPodSandboxRequest request = RUNTIME__V1__LIST_POD_SANDBOX_REQUEST__INIT;
	Runtime__V1__ListPodSandboxResponse *response;
	struct zl_pod *pods;
	size_t count = 0;

	if (zl_zonectl_connect(ctl, err) < 0)
		return -1;
	response = ZL_CRI_CALL(ctl->client, runtime_service, ListPodSandbox, &request, &ctl->arena,
	        ZL_ZONECTL_TIMEOUT_MS, err);
	if (response == NULL)
		return -1;
	pods = zl_arena_array(&ctl->arena, response->n_items, sizeof(*pods));
	for (size_t i = 0; i < response->n_items; i++) {
		pods[count] = pod_of(response->items[i]);
		if (read_status(ctl, &pods[count], err) == 0) {
			count++;
			continue;
		}
		// Removed since it was listed.
		if (err->code != ZL_NOT_FOUND)
			return -1;
		zl_error_clear(err);
	}
	*ret = pods;
	*ret_count = count;
	return 0;
}

static bool means(const struct zl_pod *pod, const char *what)
{
	const char *slash = strchr(what, '/');

	if (slash != NULL)
		return strncmp(pod->namespace_, what, (size_t)(slash - what)) == 0 &&
		       pod->namespace_[slash - what] == '\0' && strcmp(pod->name, slash + 1) == 0;
	if (strcmp(pod->name, what) == 0)
		return true;
	return strlen(what) >= ID_PREFIX_LEAST && strncmp(pod->id, what, strlen(what)) == 0;
}

const struct zl_pod *zl_pods_find(
        const struct zl_pod *pods, size_t count, const char *what, struct zl_error *err)
{
	const struct zl_pod *found = NULL;
	bool several = false;

	for (size_t i = 0; i < count; i++) {
		bool ready = strcmp(pods[i].state, "ready") == 0;

		if (!means(&pods[i], what))
			continue;
		if (found == NULL || (ready && strcmp(found->state, "ready") != 0)) {
			found = &pods[i];
			several = false;
		} else if (ready == (strcmp(found->state, "ready") == 0)) {
			several = true;
		}
	}
	if (found == NULL)
		(void)zl_error_set(err, ZL_NOT_FOUND,
		        "no pod is called %s; `zonectl zones -a` lists all", what);
	else if (several)
		(void)zl_error_set(err, ZL_INVALID_ARGUMENT,
		        "several pods are called %s; say namespace/name or the id", what);
	return found == NULL || several ? NULL : found;
}
