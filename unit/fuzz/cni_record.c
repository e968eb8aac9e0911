// SPDX-License-Identifier: Apache-2.0
//
// Any document as a pod's record in the cache: refused, or its result is plain values and every
// plugin's DEL can be made of it.
#include "cni-bridge/attachment.h"
#include "cni_json.h"

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size);

static const char *const words[] = {"format", "id", "netns", "args", "runtime", "config", "result",
        "links", "cniVersion", "name", "plugins", "type", "capabilities", "portMappings", "1.0.0",
        "bridge", "interfaces", "ips", "routes", "eth0", "mac", "mtu", "sandbox", "address",
        "10.0.0.2/24", "dst", "0.0.0.0/0", "gw", "10.0.0.1", "loadOnlyInlinedPlugins", ""};

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size)
{
	struct recipe recipe = {bytes, size, words, ZL_ARRAY_SIZE(words)};
	zl_auto(json) json_t *made = recipe_value(&recipe, 0);
	zl_auto(attachment) struct zl_attachment pod = ZL_ATTACHMENT_INIT;
	zl_auto(cni_result) struct zl_cni_result result = {0};
	struct zl_error err = ZL_ERROR_INIT;

	if (json_is_object(made))
		(void)json_object_set_new(made, "format", json_integer(1));
	if (zl_attachment_parse(made, &pod, &err) < 0)
		return 0;
	(void)zl_attachment_result(&pod, "eth0", &result, &err);
	for (size_t i = 0; i < pod.list.plugin_count; i++) {
		zl_auto(json) json_t *request =
		        zl_conflist_request(&pod.list, i, pod.runtime, pod.result, &err);

		if (request == NULL)
			__builtin_trap();
	}
	return 0;
}
