// SPDX-License-Identifier: Apache-2.0
#include <check.h>
#include <stdlib.h>
#include <string.h>

#include "base/strv.h"
#include "cni-bridge/result.h"

static json_t *json(const char *text)
{
	struct zl_error err = ZL_ERROR_INIT;
	json_t *parsed = zl_json_parse("test", text, strlen(text), 1 << 20, &err);

	ck_assert_msg(parsed != NULL, "%s", err.message);
	return parsed;
}

static int read_text(const char *text, struct zl_cni_result *ret, struct zl_error *err)
{
	zl_auto(json) json_t *parsed = json(text);

	return zl_cni_result_read("result of x", parsed, "eth0", ret, err);
}

static void refuse(const char *text, const char *reason)
{
	struct zl_cni_result result = {0};
	struct zl_error err = ZL_ERROR_INIT;

	ck_assert_msg(read_text(text, &result, &err) == -1, "accepted: %s", text);
	ck_assert_int_eq(err.code, ZL_INTERNAL);
	ck_assert_msg(strstr(err.message, reason) != NULL, "message: %s", err.message);
	ck_assert_ptr_null(result.interfaces);
}

// The form of the bridge plugin with host-local, two families.
START_TEST(reads_what_bridge_prints)
{
	zl_auto(cni_result) struct zl_cni_result result = {0};
	struct zl_error err = ZL_ERROR_INIT;
	const struct zl_cni_interface *eth0;

	ck_assert_msg(read_text("{\"cniVersion\":\"1.0.0\",\"interfaces\":["
	                        "{\"name\":\"cni0\",\"mac\":\"6e:00:00:00:00:01\"},"
	                        "{\"name\":\"veth1\",\"mac\":\"6e:00:00:00:00:02\"},"
	                        "{\"name\":\"eth0\",\"mac\":\"6E:00:00:00:00:AB\","
	                        "\"sandbox\":\"/run/netns/x\"}],"
	                        "\"ips\":[{\"interface\":2,\"address\":\"10.88.0.5/16\","
	                        "\"gateway\":\"10.88.0.1\"},"
	                        "{\"interface\":2,\"address\":\"fd00:88:0::5/64\","
	                        "\"gateway\":\"fd00:88::1\"}],"
	                        "\"routes\":[{\"dst\":\"0.0.0.0/0\"},{\"dst\":\"::/0\"},"
	                        "{\"dst\":\"10.0.0.0/8\",\"gw\":\"10.88.0.9\"}],"
	                        "\"dns\":{\"nameservers\":[\"10.0.0.53\",\"fd00::53\"],"
	                        "\"search\":[\"a.example\"],\"options\":[\"ndots:5\"]}}",
	                      &result, &err) == 0,
	        "%s", err.message);
	ck_assert_uint_eq(result.interface_count, 1);
	eth0 = &result.interfaces[0];
	ck_assert_str_eq(eth0->name, "eth0");
	ck_assert_str_eq(eth0->mac, "6e:00:00:00:00:ab");
	ck_assert_uint_eq(eth0->address_count, 2);
	ck_assert_str_eq(eth0->addresses[0].cidr, "10.88.0.5/16");
	ck_assert_str_eq(eth0->addresses[0].gateway, "10.88.0.1");
	ck_assert_str_eq(eth0->addresses[1].cidr, "fd00:88::5/64");
	ck_assert_uint_eq(eth0->route_count, 3);
	ck_assert_str_eq(eth0->routes[0].destination, "0.0.0.0/0");
	ck_assert_str_eq(eth0->routes[0].gateway, "10.88.0.1");
	ck_assert_str_eq(eth0->routes[1].gateway, "fd00:88::1");
	ck_assert_str_eq(eth0->routes[2].gateway, "10.88.0.9");
	ck_assert_str_eq(result.nameservers[1], "fd00::53");
	ck_assert_str_eq(result.searches[0], "a.example");
	ck_assert_str_eq(result.dns_options[0], "ndots:5");
}
END_TEST

// A host address, its next hop on link, everything else through that (calico).
START_TEST(reads_routes_on_link)
{
	zl_auto(cni_result) struct zl_cni_result result = {0};
	struct zl_error err = ZL_ERROR_INIT;

	ck_assert_int_eq(
	        read_text("{\"interfaces\":[{\"name\":\"eth0\",\"sandbox\":\"/x\",\"mtu\":1450}],"
	                  "\"ips\":[{\"address\":\"192.168.7.3/32\"}],"
	                  "\"routes\":[{\"dst\":\"169.254.1.1/32\"},"
	                  "{\"dst\":\"0.0.0.0/0\",\"gw\":\"169.254.1.1\"}]}",
	                &result, &err),
	        0);
	ck_assert_uint_eq(result.interfaces[0].mtu, 1450);
	ck_assert_str_eq(result.interfaces[0].routes[0].gateway, "");
	ck_assert_str_eq(result.interfaces[0].routes[1].gateway, "169.254.1.1");
}
END_TEST

START_TEST(leaves_link_scope_and_the_gateways_own_route_alone)
{
	zl_auto(cni_result) struct zl_cni_result result = {0};
	struct zl_error err = ZL_ERROR_INIT;

	ck_assert_int_eq(
	        read_text("{\"ips\":[{\"address\":\"10.1.0.3/32\",\"gateway\":\"10.9.9.9\"}],"
	                  "\"routes\":[{\"dst\":\"10.9.9.9/32\"},"
	                  "{\"dst\":\"10.2.0.0/16\",\"scope\":253},{\"dst\":\"10.3.0.0/16\"}]}",
	                &result, &err),
	        0);
	ck_assert_str_eq(result.interfaces[0].name, "eth0"); // made for an address without one
	ck_assert_str_eq(result.interfaces[0].routes[0].gateway, "");
	ck_assert_str_eq(result.interfaces[0].routes[1].gateway, "");
	ck_assert_str_eq(result.interfaces[0].routes[2].gateway, "10.9.9.9");
}
END_TEST

START_TEST(gives_routes_to_the_interface_that_reaches_them)
{
	zl_auto(cni_result) struct zl_cni_result result = {0};
	struct zl_error err = ZL_ERROR_INIT;

	ck_assert_int_eq(read_text("{\"interfaces\":[{\"name\":\"lo\",\"sandbox\":\"/x\"},"
	                           "{\"name\":\"eth0\",\"sandbox\":\"/x\"},"
	                           "{\"name\":\"net1\",\"sandbox\":\"/x\"},{\"name\":\"host\"}],"
	                           "\"ips\":[{\"interface\":1,\"address\":\"10.1.0.3/24\"},"
	                           "{\"interface\":2,\"address\":\"10.2.0.3/23\"},"
	                           "{\"interface\":3,\"address\":\"10.3.0.1/24\"}],"
	                           "\"routes\":[{\"dst\":\"10.9.0.0/16\",\"gw\":\"10.2.1.77\"}]}",
	                         &result, &err),
	        0);
	ck_assert_uint_eq(result.interface_count, 2); // neither lo nor the host's end
	ck_assert_uint_eq(result.interfaces[0].route_count, 0);
	ck_assert_uint_eq(result.interfaces[1].route_count, 1);
	ck_assert_uint_eq(result.interfaces[1].address_count, 1);
}
END_TEST

START_TEST(refuses_what_is_wrong)
{
	refuse("[]", "not a JSON object");
	refuse("{\"interfaces\":[{\"sandbox\":\"/x\"}]}", "\"name\"");
	refuse("{\"interfaces\":[{\"name\":\"a/b\",\"sandbox\":\"/x\"}]}", "\"name\"");
	refuse("{\"interfaces\":[{\"name\":\"a\\nb\",\"sandbox\":\"/x\"}]}", "\"name\"");
	refuse("{\"interfaces\":[{\"name\":\"abcdefghijklmnop\",\"sandbox\":\"/x\"}]}", "\"name\"");
	refuse("{\"interfaces\":[{\"name\":\"a\",\"sandbox\":\"/x\"},"
	       "{\"name\":\"a\",\"sandbox\":\"/x\"}]}",
	        "two interfaces \"a\"");
	refuse("{\"interfaces\":[{\"name\":\"a\",\"sandbox\":\"/x\",\"mac\":\"00:11:22:33:44\"}]}",
	        "bad MAC");
	refuse("{\"interfaces\":[{\"name\":\"a\",\"sandbox\":\"/x\",\"mtu\":-1}]}", "mtu");
	refuse("{\"ips\":[{}]}", "bad address");
	refuse("{\"ips\":[{\"address\":\"10.0.0.1\"}]}", "bad address");
	refuse("{\"ips\":[{\"address\":\"10.0.0.1/33\"}]}", "bad address");
	refuse("{\"ips\":[{\"address\":\"10.0.0.1/-1\"}]}", "bad address");
	refuse("{\"ips\":[{\"address\":\"fd00::1/129\"}]}", "bad address");
	refuse("{\"ips\":[{\"address\":\"10.0.0.1/24\",\"gateway\":\"fd00::1\"}]}", "bad gateway");
	refuse("{\"ips\":[{\"address\":\"10.0.0.1/24\",\"interface\":0}]}", "not in the list");
	refuse("{\"ips\":[{\"address\":\"10.0.0.1/24\",\"interface\":-1}]}", "not in the list");
	refuse("{\"ips\":[{\"address\":\"10.0.0.1/24\"}],\"routes\":[{\"dst\":\"x\"}]}", "\"dst\"");
	refuse("{\"ips\":[{\"address\":\"10.0.0.1/24\"}],"
	       "\"routes\":[{\"dst\":\"0.0.0.0/0\",\"gw\":\"x\"}]}",
	        "\"gw\"");
	refuse("{\"ips\":[{\"address\":\"10.0.0.1/24\"}],\"routes\":[{\"dst\":\"::/0\"}]}",
	        "no address of that family");
	refuse("{\"dns\":{\"nameservers\":[\"10.0.0.1\\nsearch evil\"]}}", "dns.nameservers");
	refuse("{\"dns\":{\"search\":[\"a b\"]}}", "dns.search");
	refuse("{\"dns\":{\"options\":[7]}}", "dns.options");
}
END_TEST

static void refuse_many(
        const char *head, const char *item, int count, const char *tail, const char *reason)
{
	zl_auto(buffer) struct zl_buffer text = ZL_BUFFER_INIT;

	(void)zl_buffer_append_string(&text, head, NULL);
	for (int i = 0; i < count; i++)
		(void)zl_buffer_printf(&text, NULL, "%s%s", i > 0 ? "," : "", item);
	(void)zl_buffer_append_string(&text, tail, NULL);
	refuse(zl_buffer_string(&text), reason);
}

START_TEST(refuses_too_much)
{
	refuse_many("{\"interfaces\":[", "{}", 65, "]}", "65 interfaces, at most 64");
	refuse_many("{\"ips\":[", "{}", 129, "]}", "129 addresses, at most 128");
	refuse_many("{\"routes\":[", "{}", 1025, "]}", "1025 routes, at most 1024");
	refuse_many("{\"dns\":{\"search\":[", "\"a\"", 33, "]}}", "33 entries, at most 32");
}
END_TEST

START_TEST(converts_for_an_older_version)
{
	zl_auto(json) json_t *result =
	        json("{\"cniVersion\":\"1.0.0\",\"ips\":[{\"address\":\"10.0.0.1/8\"},"
	             "{\"address\":\"fd00::1/64\"}]}");
	zl_auto(json) json_t *text = json("[]");
	struct zl_error err = ZL_ERROR_INIT;
	const json_t *ips = json_object_get(result, "ips");

	ck_assert_int_eq(zl_cni_result_convert(result, ZL_CNI_1_1_0, &err), 0);
	ck_assert_str_eq(zl_json_string(result, "cniVersion"), "1.1.0");
	ck_assert_ptr_null(json_object_get(json_array_get(ips, 0), "version"));
	ck_assert_int_eq(zl_cni_result_convert(result, ZL_CNI_0_3_1, &err), 0);
	ck_assert_str_eq(zl_json_string(result, "cniVersion"), "0.3.1");
	ck_assert_str_eq(zl_json_string(json_array_get(ips, 0), "version"), "4");
	ck_assert_str_eq(zl_json_string(json_array_get(ips, 1), "version"), "6");
	ck_assert_int_eq(zl_cni_result_convert(text, ZL_CNI_0_3_1, &err), -1);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("result");
	TCase *tcase = tcase_create("all");
	SRunner *runner = srunner_create(suite);
	int failed;

	tcase_add_test(tcase, reads_what_bridge_prints);
	tcase_add_test(tcase, reads_routes_on_link);
	tcase_add_test(tcase, leaves_link_scope_and_the_gateways_own_route_alone);
	tcase_add_test(tcase, gives_routes_to_the_interface_that_reaches_them);
	tcase_add_test(tcase, refuses_what_is_wrong);
	tcase_add_test(tcase, refuses_too_much);
	tcase_add_test(tcase, converts_for_an_older_version);
	suite_add_tcase(suite, tcase);
	srunner_run_all(runner, CK_NORMAL);
	failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
