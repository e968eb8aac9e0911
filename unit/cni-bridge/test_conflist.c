// SPDX-License-Identifier: Apache-2.0
#include <check.h>
#include <stdlib.h>
#include <string.h>

#include "cni-bridge/conflist.h"

static const char chain[] =
        "{\"cniVersion\":\"0.4.0\",\"name\":\"pods\",\"plugins\":["
        "{\"type\":\"bridge\",\"bridge\":\"cni0\",\"ipam\":{\"type\":\"host-local\"},"
        " \"prevResult\":{\"forged\":true},\"runtimeConfig\":{\"portMappings\":[]}},"
        "{\"type\":\"portmap\",\"capabilities\":{\"portMappings\":true,\"dns\":false}}]}";

static int parse(const char *text, struct zl_conflist *ret, struct zl_error *err)
{
	return zl_conflist_parse("/etc/cni/net.d/10-x.conflist", text, strlen(text), ret, err);
}

static void refuse(const char *text, const char *reason)
{
	struct zl_conflist list = ZL_CONFLIST_INIT;
	struct zl_error err = ZL_ERROR_INIT;

	ck_assert_int_eq(parse(text, &list, &err), -1);
	ck_assert_int_eq(err.code, ZL_INVALID_ARGUMENT);
	ck_assert_msg(strstr(err.message, "/etc/cni/net.d/10-x.conflist: ") == err.message &&
	                      strstr(err.message, reason) != NULL,
	        "message: %s", err.message);
	ck_assert_ptr_null(list.document);
}

START_TEST(reads_a_chain)
{
	zl_auto(conflist) struct zl_conflist list = ZL_CONFLIST_INIT;
	struct zl_error err = ZL_ERROR_INIT;

	ck_assert_msg(parse(chain, &list, &err) == 0, "%s", err.message);
	ck_assert_str_eq(list.name, "pods");
	ck_assert_int_eq(list.version, ZL_CNI_0_4_0);
	ck_assert_uint_eq(list.plugin_count, 2);
	ck_assert_str_eq(list.plugins[0].type, "bridge");
	ck_assert_str_eq(list.plugins[1].type, "portmap");
}
END_TEST

START_TEST(reads_a_single_plugin)
{
	zl_auto(conflist) struct zl_conflist list = ZL_CONFLIST_INIT;
	zl_auto(json) json_t *request = NULL;
	struct zl_error err = ZL_ERROR_INIT;

	ck_assert_int_eq(parse("{\"cniVersion\":\"0.3.1\",\"name\":\"one\",\"type\":\"ptp\","
	                       "\"mtu\":1400}",
	                         &list, &err),
	        0);
	ck_assert_uint_eq(list.plugin_count, 1);
	request = zl_conflist_request(&list, 0, NULL, NULL, &err);
	ck_assert_str_eq(zl_json_string(request, "name"), "one");
	ck_assert_str_eq(zl_json_string(request, "cniVersion"), "0.3.1");
	ck_assert_int_eq(json_integer_value(json_object_get(request, "mtu")), 1400);
	// What is kept for a DEL is the list form, which reads back the same.
	ck_assert_uint_eq(json_array_size(json_object_get(list.document, "plugins")), 1);
}
END_TEST

START_TEST(takes_the_highest_version_that_both_speak)
{
	zl_auto(conflist) struct zl_conflist list = ZL_CONFLIST_INIT;
	struct zl_error err = ZL_ERROR_INIT;

	ck_assert_int_eq(
	        parse("{\"cniVersion\":\"0.4.0\",\"cniVersions\":[\"0.3.1\",\"1.0.0\",\"7.0.0\"],"
	              "\"name\":\"n\",\"plugins\":[{\"type\":\"a\"}]}",
	                &list, &err),
	        0);
	ck_assert_int_eq(list.version, ZL_CNI_1_0_0);
}
END_TEST

START_TEST(refuses_what_is_wrong)
{
	refuse("", "line");
	refuse("[]", "not a JSON object");
	refuse("{\"cniVersion\":\"1.0.0\"}", "\"name\"");
	refuse("{\"cniVersion\":\"1.0.0\",\"name\":\"../x\",\"plugins\":[{\"type\":\"a\"}]}",
	        "\"name\"");
	refuse("{\"cniVersion\":\"1.0.0\",\"name\":\"x\",\"plugins\":[]}", "no plugin");
	refuse("{\"cniVersion\":\"1.0.0\",\"name\":\"x\",\"plugins\":7}", "no plugin");
	refuse("{\"cniVersion\":\"0.2.0\",\"name\":\"x\",\"plugins\":[{\"type\":\"a\"}]}",
	        "cniVersion \"0.2.0\"");
	refuse("{\"name\":\"x\",\"plugins\":[{\"type\":\"a\"}]}", "cniVersion \"\"");
	refuse("{\"cniVersion\":\"1.0.0\",\"name\":\"x\",\"plugins\":[{\"type\":\"../../sh\"}]}",
	        "plugin 1");
	refuse("{\"cniVersion\":\"1.0.0\",\"name\":\"x\",\"plugins\":[{\"type\":\"a\"},{}]}",
	        "plugin 2");
	refuse("{\"cniVersion\":\"1.0.0\",\"name\":\"x\",\"plugins\":[{\"type\":\"a\","
	       "\"capabilities\":[\"dns\"]}]}",
	        "plugin a: \"capabilities\"");
	refuse("{\"cniVersion\":\"1.0.0\",\"name\":\"x\",\"plugins\":[{\"type\":\"a\","
	       "\"ipam\":{\"type\":\"/bin/sh\"}}]}",
	        "plugin a: \"type\" of \"ipam\"");
	refuse("{\"name\":\"x\",\"name\":\"y\"}", "duplicate");
}
END_TEST

START_TEST(refuses_too_much)
{
	const size_t size = (size_t)ZL_CONFLIST_MAX_BYTES * 2;
	zl_auto(free) char *text = malloc(size);
	size_t used;

	memset(text, ' ', size);
	text[size - 1] = '\0';
	refuse(text, "at most 1048576");
	used = (size_t)sprintf(
	        text, "{\"cniVersion\":\"1.0.0\",\"name\":\"x\",\"plugins\":[{\"type\":\"a\"}");
	for (int i = 0; i < ZL_CONFLIST_MAX_PLUGINS; i++)
		used += (size_t)sprintf(text + used, ",{\"type\":\"a\"}");
	(void)sprintf(text + used, "]}");
	refuse(text, "33 plugins, at most 32");
}
END_TEST

START_TEST(gives_only_declared_capabilities)
{
	zl_auto(conflist) struct zl_conflist list = ZL_CONFLIST_INIT;
	zl_auto(json) json_t *runtime = NULL;
	zl_auto(json) json_t *bridge = NULL;
	zl_auto(json) json_t *portmap = NULL;
	struct zl_error err = ZL_ERROR_INIT;
	char *servers[] = {"10.96.0.10", NULL};
	const struct zl_cni_port ports[] = {
	        {.host_port = 8080, .container_port = 80, .protocol = "tcp"},
	        {.host_port = 0, .container_port = 81, .protocol = "tcp"},
	        {.host_port = 53, .container_port = 53, .protocol = "udp", .host_ip = "10.0.0.1"}};
	const struct zl_cni_pod pod = {
	        .ports = ports, .port_count = 3, .nameservers = servers, .egress_bits = 1000};
	const json_t *mappings;

	ck_assert_int_eq(parse(chain, &list, &err), 0);
	runtime = zl_conflist_runtime(&pod, NULL, &err);
	ck_assert_uint_eq(json_object_size(runtime), 3);
	ck_assert_ptr_null(json_object_get(json_object_get(runtime, "bandwidth"), "ingressRate"));
	bridge = zl_conflist_request(&list, 0, runtime, NULL, &err);
	ck_assert_ptr_null(json_object_get(bridge, "runtimeConfig"));
	ck_assert_ptr_null(json_object_get(bridge, "prevResult"));
	portmap = zl_conflist_request(&list, 1, runtime, bridge, &err);
	ck_assert_uint_eq(json_object_size(json_object_get(portmap, "runtimeConfig")), 1);
	mappings = json_object_get(json_object_get(portmap, "runtimeConfig"), "portMappings");
	ck_assert_uint_eq(json_array_size(mappings), 2); // not the one without a host port
	ck_assert_ptr_null(json_object_get(json_array_get(mappings, 0), "hostIP"));
	ck_assert_str_eq(zl_json_string(json_array_get(mappings, 1), "hostIP"), "10.0.0.1");
	ck_assert_ptr_eq(json_object_get(portmap, "prevResult"), bridge);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("conflist");
	TCase *tcase = tcase_create("all");
	SRunner *runner = srunner_create(suite);
	int failed;

	tcase_add_test(tcase, reads_a_chain);
	tcase_add_test(tcase, reads_a_single_plugin);
	tcase_add_test(tcase, takes_the_highest_version_that_both_speak);
	tcase_add_test(tcase, refuses_what_is_wrong);
	tcase_add_test(tcase, refuses_too_much);
	tcase_add_test(tcase, gives_only_declared_capabilities);
	suite_add_tcase(suite, tcase);
	srunner_run_all(runner, CK_NORMAL);
	failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
