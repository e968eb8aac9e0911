// SPDX-License-Identifier: Apache-2.0
//
// Any bytes as a network configuration: refused, or every plugin's request can be made of it.
#include "cni-bridge/conflist.h"
#include "cni_json.h"

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size);

static const char *const words[] = {"cniVersion", "cniVersions", "name", "plugins", "type",
        "capabilities", "portMappings", "dns", "bandwidth", "runtimeConfig", "prevResult", "ipam",
        "0.3.0", "0.3.1", "0.4.0", "1.0.0", "1.1.0", "bridge", "../x", ""};

static void use(const struct zl_conflist *list)
{
	static const struct zl_cni_port port = {.host_port = 80, .container_port = 8080};
	static const struct zl_cni_pod pod = {.sandbox_id = "a", .ports = &port, .port_count = 1};
	struct zl_error err = ZL_ERROR_INIT;
	zl_auto(json) json_t *runtime = zl_conflist_runtime(&pod, NULL, &err);

	for (size_t i = 0; i < list->plugin_count; i++) {
		zl_auto(json) json_t *request =
		        zl_conflist_request(list, i, runtime, runtime, &err);

		if (request == NULL)
			__builtin_trap();
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size)
{
	struct recipe recipe = {bytes, size, words, ZL_ARRAY_SIZE(words)};
	zl_auto(json) json_t *made = recipe_value(&recipe, 0);
	zl_auto(conflist) struct zl_conflist from_json = ZL_CONFLIST_INIT;
	zl_auto(conflist) struct zl_conflist from_text = ZL_CONFLIST_INIT;
	struct zl_error err = ZL_ERROR_INIT;

	if (zl_conflist_parse("input", bytes, size, &from_text, &err) == 0)
		use(&from_text);
	if (zl_conflist_from_json("input", made, &from_json, &err) == 0)
		use(&from_json);
	return 0;
}
