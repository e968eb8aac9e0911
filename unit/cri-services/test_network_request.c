// SPDX-License-Identifier: Apache-2.0
#include "cri-server/sandbox/network_request.h"

#include <check.h>
#include <stdlib.h>
#include <string.h>

#include "cri-server/sandbox/quantity.h"

static Runtime__V1__PodSandboxConfig config;
static Runtime__V1__PodSandboxMetadata metadata;
static Runtime__V1__PortMapping mapping;
static Runtime__V1__PortMapping *mappings[] = {&mapping};
static Runtime__V1__PodSandboxConfig__AnnotationsEntry annotation;
static Runtime__V1__PodSandboxConfig__AnnotationsEntry *annotations[] = {&annotation};
static struct zl_arena arena;

static void set_up(void)
{
	config = (Runtime__V1__PodSandboxConfig)RUNTIME__V1__POD_SANDBOX_CONFIG__INIT;
	metadata = (Runtime__V1__PodSandboxMetadata)RUNTIME__V1__POD_SANDBOX_METADATA__INIT;
	mapping = (Runtime__V1__PortMapping)RUNTIME__V1__PORT_MAPPING__INIT;
	metadata.name = "web";
	metadata.namespace_ = "default";
	metadata.uid = "u";
	config.metadata = &metadata;
	mapping.container_port = 80;
	mapping.host_port = 8080;
	config.port_mappings = mappings;
	annotation = (Runtime__V1__PodSandboxConfig__AnnotationsEntry)
	        RUNTIME__V1__POD_SANDBOX_CONFIG__ANNOTATIONS_ENTRY__INIT;
	config.annotations = annotations;
	arena = (struct zl_arena)ZL_ARENA_INIT;
}

static void tear_down(void)
{
	zl_arena_release(&arena);
}

static struct zl_cni_pod accepted(void)
{
	struct zl_cni_pod pod;
	struct zl_error err = ZL_ERROR_INIT;

	ck_assert_msg(zl_network_request(&config, &arena, &pod, &err) == 0, "%s", err.message);
	return pod;
}

static void refused(const char *part)
{
	struct zl_cni_pod pod;
	struct zl_error err = ZL_ERROR_INIT;

	ck_assert_int_eq(zl_network_request(&config, &arena, &pod, &err), -1);
	ck_assert_int_eq(err.code, ZL_INVALID_ARGUMENT);
	ck_assert_msg(strstr(err.message, "pod default/web: ") == err.message &&
	                      strstr(err.message, part) != NULL,
	        "%s", err.message);
}

static void annotate(const char *key, const char *value)
{
	annotation.key = key;
	annotation.value = value;
	config.n_annotations = 1;
}

START_TEST(takes_ports_of_all_protocols)
{
	const char *const names[] = {"tcp", "udp", "sctp"};
	struct zl_cni_pod pod;

	config.n_port_mappings = 1;
	mapping.host_ip = "fd00::1";
	for (int i = 0; i < 3; i++) {
		mapping.protocol = (Runtime__V1__Protocol)i;
		pod = accepted();
		ck_assert_uint_eq(pod.port_count, 1);
		ck_assert_str_eq(pod.ports[0].protocol, names[i]);
		ck_assert_str_eq(pod.ports[0].host_ip, "fd00::1");
		ck_assert_int_eq(pod.ports[0].host_port, 8080);
		ck_assert_int_eq(pod.ports[0].container_port, 80);
	}
	mapping.host_port = 0;
	pod = accepted();
	ck_assert_uint_eq(pod.port_count, 0);
}
END_TEST

START_TEST(refuses_ports_that_are_none)
{
	config.n_port_mappings = 1;
	mapping.host_port = 65536;
	refused("host port 65536 to 80: ports are 1 to 65535");
	mapping.host_port = 1;
	mapping.container_port = 0;
	refused("host port 1 to 0");
	mapping.container_port = 80;
	mapping.protocol = (Runtime__V1__Protocol)7;
	refused("unknown protocol 7");
	mapping.protocol = RUNTIME__V1__PROTOCOL__TCP;
	mapping.host_ip = "10.0.0.1; rm";
	refused("\"10.0.0.1; rm\" is no IP address");
}
END_TEST

START_TEST(reads_bandwidth)
{
	struct zl_cni_pod pod;

	annotate("kubernetes.io/ingress-bandwidth", "10M");
	pod = accepted();
	ck_assert_int_eq(pod.ingress_bits, 10000000);
	ck_assert_int_eq(pod.egress_bits, 0);
	annotate("kubernetes.io/egress-bandwidth", "1Ki");
	pod = accepted();
	ck_assert_int_eq(pod.ingress_bits, 0);
	ck_assert_int_eq(pod.egress_bits, 1024);
	ck_assert_uint_eq(pod.annotation_count, 1);
	annotate("kubernetes.io/egress-bandwidth", "999");
	refused("kubernetes.io/egress-bandwidth: \"999\" is no quantity");
	annotate("kubernetes.io/egress-bandwidth", "2P");
	refused("from 1k to 1P");
	annotate("kubernetes.io/ingress-bandwidth", "fast");
	refused("kubernetes.io/ingress-bandwidth");
}
END_TEST

START_TEST(reads_a_mac)
{
	annotate("zonelet/mac", "02:00:00:00:00:aF");
	ck_assert_str_eq(accepted().mac, "02:00:00:00:00:aF");
	annotate("zonelet/mac", "03:00:00:00:00:01");
	refused("zonelet/mac: \"03:00:00:00:00:01\"");
	annotate("zonelet/mac", "00:00:00:00:00:00");
	refused("zonelet/mac");
	annotate("zonelet/mac", "02:00:00:00:00:0");
	refused("zonelet/mac");
	annotate("zonelet/mac", "02-00-00-00-00-01");
	refused("zonelet/mac");
}
END_TEST

START_TEST(hands_on_dns_and_cgroup)
{
	static const char *servers[] = {"10.96.0.10"};
	static Runtime__V1__DNSConfig dns = RUNTIME__V1__DNSCONFIG__INIT;
	static Runtime__V1__LinuxPodSandboxConfig lin = RUNTIME__V1__LINUX_POD_SANDBOX_CONFIG__INIT;
	struct zl_cni_pod pod = accepted();

	ck_assert_ptr_null(pod.nameservers);
	ck_assert_ptr_null(pod.cgroup_path);
	dns.servers = servers;
	dns.n_servers = 1;
	config.dns_config = &dns;
	lin.cgroup_parent = "/kubepods/x";
	config.linux = &lin;
	pod = accepted();
	ck_assert_str_eq(pod.nameservers[0], "10.96.0.10");
	ck_assert_ptr_null(pod.nameservers[1]);
	ck_assert_ptr_null(pod.searches[0]);
	ck_assert_str_eq(pod.cgroup_path, "/kubepods/x");
}
END_TEST

static void quantity(const char *text, int64_t expected)
{
	int64_t value = -7;

	ck_assert_msg(zl_quantity_parse(text, &value), "refused: %s", text);
	ck_assert_msg(value == expected, "%s: %lld", text, (long long)value);
}

static void no_quantity(const char *text)
{
	int64_t value = -7;

	ck_assert_msg(!zl_quantity_parse(text, &value), "%s: %lld", text, (long long)value);
	ck_assert_int_eq(value, -7);
}

// Values as apimachinery's resource.Quantity has them.
START_TEST(quantities)
{
	quantity("0", 0);
	quantity("100", 100);
	quantity("+1k", 1000);
	quantity("1.5M", 1500000);
	quantity(".5G", 500000000);
	quantity("5.", 5);
	quantity("1500m", 2); // rounded up
	quantity("1n", 1);
	quantity("12e6", 12000000);
	quantity("1E3", 1000);
	quantity("1E", INT64_C(1000000000000000000));
	quantity("12.5e-1", 2);
	quantity("2Ki", 2048);
	quantity("1Ei", INT64_C(1) << 60);
	quantity("7Ei", INT64_C(7) << 60);
	no_quantity("");
	no_quantity(".");
	no_quantity("-1");
	no_quantity("1KB");
	no_quantity("1 M");
	no_quantity("M");
	no_quantity("1e");
	no_quantity("1e19");
	no_quantity("1.2.3");
	no_quantity("8Ei");
	no_quantity("10E");
	no_quantity("1234567890123456789");
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("network request");
	TCase *tcase = tcase_create("all");
	SRunner *runner = srunner_create(suite);
	int failed;

	tcase_add_checked_fixture(tcase, set_up, tear_down);
	tcase_add_test(tcase, takes_ports_of_all_protocols);
	tcase_add_test(tcase, refuses_ports_that_are_none);
	tcase_add_test(tcase, reads_bandwidth);
	tcase_add_test(tcase, reads_a_mac);
	tcase_add_test(tcase, hands_on_dns_and_cgroup);
	tcase_add_test(tcase, quantities);
	suite_add_tcase(suite, tcase);
	srunner_run_all(runner, CK_NORMAL);
	failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
