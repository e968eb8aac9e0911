// SPDX-License-Identifier: Apache-2.0
//
// In place of the CRI services, for tests of the daemon itself: Version and nothing else.
#include "cri-server/sandbox/services.h"

ZL_RPC_HANDLER(handle_version, struct zl_services, VersionRequest, VersionResponse)
{
	response->version = "0.1.0";
	response->runtime_name = "stub";
	response->runtime_version = zl_call_strdup(call, service->version);
	response->runtime_api_version = "v1";
	return 0;
}

static const struct zl_rpc_method runtime_methods[] = {
        {.name = "Version", .handler = handle_version},
};

struct zl_services *zl_services_start(const struct zl_config *config, const char *version,
        struct zl_hypervisor *hypervisor, struct zl_error *err)
{
	struct zl_services *services = calloc(1, sizeof(*services));

	(void)hypervisor;
	if (services == NULL) {
		(void)zl_error_nomem(err);
		return NULL;
	}
	services->config = config;
	services->version = version;
	return services;
}

void zl_services_stop(struct zl_services *services)
{
	free(services);
}

void zl_services_rpc(struct zl_services *services, struct zl_rpc_service ret[static 2])
{
	ret[0] = (struct zl_rpc_service){.descriptor = &runtime__v1__runtime_service__descriptor,
	        .methods = runtime_methods,
	        .method_count = ZL_ARRAY_SIZE(runtime_methods),
	        .service = services};
	ret[1] = (struct zl_rpc_service){.descriptor = &runtime__v1__image_service__descriptor};
}
