// SPDX-License-Identifier: Apache-2.0
#include "cni-bridge/chain.h"

#include "cni-bridge/plugin.h"
#include "cni-bridge/result.h"

static struct zl_plugin_call make_call(
        const struct zl_chain *chain, const char *command, const char *type, const json_t *request)
{
	return (struct zl_plugin_call){
	        .bin_dirs = chain->bin_dirs,
	        .timeout_ms = chain->timeout_ms,
	        .command = command,
	        .type = type,
	        .request = request,
	        .cancel = chain->cancel,
	};
}

// ---- for one attachment

static int run_plugin(const struct zl_chain *chain, const char *command,
        const struct zl_attachment *pod, const char *netns, size_t index, json_t *previous,
        json_t **ret_result, struct zl_error *err)
{
	zl_auto(json) json_t *request =
	        zl_conflist_request(&pod->list, index, pod->runtime, previous, err);
	struct zl_plugin_call call =
	        make_call(chain, command, pod->list.plugins[index].type, request);

	if (request == NULL)
		return -1;
	call.container_id = pod->id;
	call.netns = netns;
	call.ifname = ZL_CNI_IFNAME;
	call.args = pod->args;
	return zl_plugin_run(&call, ret_result, err);
}

int zl_chain_add(const struct zl_chain *chain, struct zl_attachment *pod, struct zl_error *err)
{
	zl_auto(json) json_t *result = NULL;

	for (size_t i = 0; i < pod->list.plugin_count; i++) {
		json_t *next = NULL;

		if (zl_cancel_check(chain->cancel, err) < 0 ||
		        run_plugin(chain, "ADD", pod, pod->netns, i, result, &next, err) < 0)
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

int zl_chain_del(const struct zl_chain *chain, const struct zl_attachment *pod, const char *netns,
        struct zl_error *err)
{
	json_t *previous = pod->list.version >= ZL_CNI_0_4_0 ? pod->result : NULL;

	for (size_t i = pod->list.plugin_count; i-- > 0;) {
		json_t *none = NULL;

		if (run_plugin(chain, "DEL", pod, netns, i, previous, &none, err) < 0)
			return -1;
	}
	return 0;
}

int zl_chain_check(
        const struct zl_chain *chain, const struct zl_attachment *pod, struct zl_error *err)
{
	for (size_t i = 0; i < pod->list.plugin_count; i++) {
		json_t *none = NULL;

		if (run_plugin(chain, "CHECK", pod, pod->netns, i, pod->result, &none, err) < 0)
			return -1;
	}
	return 0;
}

// ---- for the network

int zl_chain_status(
        const struct zl_chain *chain, const struct zl_conflist *list, struct zl_error *err)
{
	for (size_t i = 0; i < list->plugin_count; i++) {
		zl_auto(json) json_t *request = zl_conflist_request(list, i, NULL, NULL, err);
		struct zl_plugin_call call =
		        make_call(chain, "STATUS", list->plugins[i].type, request);
		json_t *none = NULL;

		if (request == NULL || zl_plugin_run(&call, &none, err) < 0)
			return -1;
	}
	return 0;
}

static int gc_plugin(const struct zl_chain *chain, const struct zl_conflist *list, size_t index,
        json_t *valid, struct zl_error *err)
{
	// The second is what libcni calls it, too, after an early text of the spec.
	static const char *const keys[] = {"cni.dev/valid-attachments", "cni.dev/attachments"};
	zl_auto(json) json_t *request = zl_conflist_request(list, index, NULL, NULL, err);
	struct zl_plugin_call call = make_call(chain, "GC", list->plugins[index].type, request);
	json_t *none = NULL;

	if (request == NULL)
		return -1;
	for (size_t i = 0; i < ZL_ARRAY_SIZE(keys); i++) {
		if (json_object_set(request, keys[i], valid) < 0)
			return zl_error_nomem(err);
	}
	return zl_plugin_run(&call, &none, err);
}

int zl_chain_gc(const struct zl_chain *chain, const struct zl_conflist *list, json_t *valid,
        struct zl_error *err)
{
	size_t failed = 0;

	for (size_t i = 0; i < list->plugin_count; i++) {
		struct zl_error later = ZL_ERROR_INIT;

		if (gc_plugin(chain, list, i, valid, failed == 0 ? err : &later) < 0)
			failed++;
	}
	if (failed > 1)
		zl_error_wrap(err, "%zu of %zu plugins, the first", failed, list->plugin_count);
	return failed == 0 ? 0 : -1;
}
