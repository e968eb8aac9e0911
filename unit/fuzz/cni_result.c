// SPDX-License-Identifier: Apache-2.0
//
// Any bytes as a plugin's result: refused, or plain values without a control character in them.
#include "base/strv.h"
#include "cni-bridge/result.h"
#include "cni_json.h"

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size);

static const char *const words[] = {"cniVersion", "interfaces", "ips", "routes", "dns", "name",
        "mac", "sandbox", "mtu", "interface", "address", "gateway", "dst", "gw", "scope",
        "nameservers", "search", "options", "eth0", "lo", "/x", "00:11:22:33:44:55", "10.0.0.2/24",
        "10.0.0.1", "fd00::2/64", "fd00::1", "0.0.0.0/0", "::/0", "10.0.0.1/32", "ndots:5", ""};

static void check_text(const char *text)
{
	for (; *text != '\0'; text++) {
		if (*text <= ' ' || *text > '~')
			__builtin_trap();
	}
}

static void check_result(const struct zl_cni_result *result)
{
	for (size_t i = 0; i < result->interface_count; i++) {
		const struct zl_cni_interface *interface = &result->interfaces[i];

		check_text(interface->name);
		check_text(interface->mac);
		for (size_t k = 0; k < interface->address_count; k++)
			check_text(interface->addresses[k].cidr);
		for (size_t k = 0; k < interface->route_count; k++)
			check_text(interface->routes[k].destination);
	}
	for (size_t i = 0; i < zl_strv_length(result->nameservers); i++)
		check_text(result->nameservers[i]);
	for (size_t i = 0; i < zl_strv_length(result->searches); i++)
		check_text(result->searches[i]);
}

static void read_result(json_t *json)
{
	zl_auto(cni_result) struct zl_cni_result result = {0};
	struct zl_error err = ZL_ERROR_INIT;

	if (zl_cni_result_read("input", json, "eth0", &result, &err) == 0)
		check_result(&result);
	(void)zl_cni_result_convert(json, ZL_CNI_0_3_1, &err);
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size)
{
	struct recipe recipe = {bytes, size, words, ZL_ARRAY_SIZE(words)};
	struct zl_error err = ZL_ERROR_INIT;
	zl_auto(json) json_t *made = recipe_value(&recipe, 0);
	zl_auto(json) json_t *parsed =
	        zl_json_parse("input", bytes, size, ZL_CNI_RESULT_MAX_BYTES, &err);

	read_result(made);
	if (parsed != NULL)
		read_result(parsed);
	return 0;
}
