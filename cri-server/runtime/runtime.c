// SPDX-License-Identifier: Apache-2.0
#include "cri-server/runtime/runtime.h"

#include <stdlib.h>
#include <string.h>

#include "base/file.h"
#include "base/json.h"
#include "base/log.h"
#include "cri-server/sandbox/services.h"

enum { MAX_FILE_SIZE = 64 };

ZL_RPC_HANDLER(zl_handle_version, struct zl_services, VersionRequest, VersionResponse)
{
	// The kubelet's own API version is 0.1.0 (kubeRuntimeAPIVersion in its kuberuntime
	// package); all four fields must be filled or it refuses the runtime.
	response->version = zl_call_strdup(call, "0.1.0");
	response->runtime_name = zl_call_strdup(call, "zonelet");
	response->runtime_version = zl_call_strdup(call, service->version);
	response->runtime_api_version = zl_call_strdup(call, "v1");
	return 0;
}

static Runtime__V1__RuntimeCondition *condition(
        struct zl_call *call, const char *type, const char *reason, const struct zl_error *why)
{
	Runtime__V1__RuntimeCondition *c = ZL_CALL_NEW(call, RuntimeCondition, runtime_condition);

	c->type = zl_call_strdup(call, type);
	c->status = why->code == ZL_OK;
	if (why->code != ZL_OK) {
		c->reason = zl_call_strdup(call, reason);
		c->message = zl_call_strdup(call, why->message);
	}
	return c;
}

// Ready as long as Xen's toolstack answers.
static void check_runtime(struct zl_services *service, struct zl_error *why)
{
	struct zl_host_info host;

	if (service->hypervisor != NULL)
		(void)service->hypervisor->ops->host_info(service->hypervisor, &host, why);
}

// A kernel may be built without user namespaces, and an administrator may allow none
// (namespaces(7), max_user_namespaces).
static bool has_user_namespaces(void)
{
	zl_auto(buffer) struct zl_buffer text = ZL_BUFFER_INIT;

	return zl_file_read("/proc/sys/user/max_user_namespaces", MAX_FILE_SIZE, &text, NULL) ==
	               0 &&
	       strtoul(zl_buffer_string(&text), NULL, 10) > 0;
}

// Recursive read-only and idmapped mounts are of Linux 5.12; `host` needs 6.12 for its images in
// any case, and a zone has our kernel.
static void fill_features(const char *handler, Runtime__V1__RuntimeHandlerFeatures *features)
{
	features->recursive_read_only_mounts = true;
	features->user_namespaces = strcmp(handler, "host") == 0 && has_user_namespaces();
}

static void fill_handlers(
        struct zl_services *service, struct zl_call *call, Runtime__V1__StatusResponse *response)
{
	size_t count = 0;

	while (service->config->handlers[count] != NULL)
		count++;
	// One more: the empty name stands for the default handler.
	response->runtime_handlers = ZL_CALL_NEW_LIST(call, RuntimeHandler, count + 1);
	for (size_t i = 0; i <= count; i++) {
		Runtime__V1__RuntimeHandler *h = ZL_CALL_NEW(call, RuntimeHandler, runtime_handler);

		h->name = zl_call_strdup(call, i < count ? service->config->handlers[i] : "");
		h->features = ZL_CALL_NEW(call, RuntimeHandlerFeatures, runtime_handler_features);
		fill_features(i < count ? h->name : service->config->default_handler, h->features);
		response->runtime_handlers[i] = h;
	}
	response->n_runtime_handlers = count + 1;
}

static char *verbose_info(struct zl_services *service, struct zl_call *call)
{
	zl_auto(json) json_t *info = json_pack("{s:s, s:s, s:I, s:I, s:i, s:b}", "version",
	        service->version, "xen", service->host.version, "memoryTotalBytes",
	        (json_int_t)service->host.memory_total_bytes, "memoryFreeBytes",
	        (json_int_t)service->host.memory_free_bytes, "cpus", (int)service->host.cpus, "pvh",
	        service->host.has_pvh);
	zl_auto(free) char *text = json_dumps(info, JSON_COMPACT);

	return zl_call_strdup(call, text);
}

static char *network_info(struct zl_services *service, struct zl_call *call)
{
	zl_auto(free) char *text = zl_cni_describe(service->cni);

	return zl_call_strdup(call, text != NULL ? text : "{}");
}

// The keys are containerd's where it has them, since tools look for those: critest asks for
// stateDir to see whether the file system that containers are on can map owners.
static char *verbose_config(struct zl_services *service, struct zl_call *call)
{
	const struct zl_config *config = service->config;
	zl_auto(json) json_t *info = json_pack("{s:o, s:s, s:s, s:s, s:b}", "stateDir",
	        json_sprintf("%s/scratch", config->root_dir), "runDir", config->run_dir, "imageDir",
	        config->images.dir, "defaultHandler", config->default_handler, "apparmor",
	        zl_apparmor_enabled(&service->apparmor));
	zl_auto(free) char *text = json_dumps(info, JSON_COMPACT);

	return zl_call_strdup(call, text);
}

static void *info_entry(struct zl_call *call, const char *key, const char *value)
{
	return zl_message_map_entry(
	        &call->arena, &runtime__v1__status_response__info_entry__descriptor, key, value);
}

ZL_RPC_HANDLER(zl_handle_status, struct zl_services, StatusRequest, StatusResponse)
{
	struct zl_error runtime = ZL_ERROR_INIT;
	struct zl_error network = ZL_ERROR_INIT;
	const char *network_reason;

	check_runtime(service, &runtime);
	(void)zl_cni_status(service->cni, &call->cancel, &network_reason, &network);
	response->status = ZL_CALL_NEW(call, RuntimeStatus, runtime_status);
	response->status->conditions = ZL_CALL_NEW_LIST(call, RuntimeCondition, 2);
	response->status->conditions[0] =
	        condition(call, "RuntimeReady", "HypervisorNotReady", &runtime);
	response->status->conditions[1] = condition(call, "NetworkReady", network_reason, &network);
	response->status->n_conditions = 2;
	fill_handlers(service, call, response);
	response->features = ZL_CALL_NEW(call, RuntimeFeatures, runtime_features);
	response->features->supplemental_groups_policy = true;
	if (request->verbose) {
		response->info = zl_call_array(call, 3, sizeof(void *));
		response->info[0] = info_entry(call, "node", verbose_info(service, call));
		response->info[1] = info_entry(call, "cni", network_info(service, call));
		response->info[2] = info_entry(call, "config", verbose_config(service, call));
		response->n_info = 3;
	}
	return 0;
}

ZL_RPC_HANDLER(
        zl_handle_runtime_config, struct zl_services, RuntimeConfigRequest, RuntimeConfigResponse)
{
	response->linux = ZL_CALL_NEW(call, LinuxRuntimeConfiguration, linux_runtime_configuration);
	response->linux->cgroup_driver = RUNTIME__V1__CGROUP_DRIVER__CGROUPFS;
	return 0;
}

// The node's pod CIDR goes to plugins that declare the capability "ipRanges"; a network that has
// addresses of its own is not touched by it.
ZL_RPC_HANDLER(zl_handle_update_runtime_config, struct zl_services, UpdateRuntimeConfigRequest,
        UpdateRuntimeConfigResponse)
{
	const Runtime__V1__RuntimeConfig *config = request->runtime_config;

	if (config == NULL || config->network_config == NULL)
		return 0;
	if (zl_cni_set_pod_cidrs(service->cni, config->network_config->pod_cidr, err) < 0)
		return zl_error_wrap(err, "UpdateRuntimeConfig");
	zl_log_info("the node's pod CIDR is %s", config->network_config->pod_cidr);
	return 0;
}
