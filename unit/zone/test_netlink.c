// SPDX-License-Identifier: Apache-2.0
//
// The zone's network set-up, on a veth pair in a network namespace of the test's own (each Check
// test is a process).
#include <check.h>
#include <sched.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>

#include "base/spawn.h"
#include "unit/zone/tests.h"
#include "zone/supervisor/network.h"
#include "zone/supervisor/rtnetlink.h"

static void shell(const char *script, struct zl_buffer *out)
{
	const char *argv[] = {"sh", "-c", script, NULL};
	struct zl_error err = ZL_ERROR_INIT;

	ck_assert_msg(
	        zl_spawn_check(argv, out, NULL, 20000, &err) == 0, "%s: %s", script, err.message);
}

START_TEST(prefixes)
{
	static const char *const bad[] = {"", "10.0.0.1/33", "10.0.0/8", "fd00::/129", "10.0.0.1/",
	        "10.0.0.1/x", "10.0.0.1/-1", "1.2.3.4.5", "::g/1"};
	struct zl_rtnl_prefix prefix;

	ck_assert_int_eq(zl_rtnl_parse_prefix("10.88.0.5/16", &prefix, NULL), 0);
	ck_assert_uint_eq(prefix.length, 16);
	ck_assert_mem_eq(prefix.bytes, "\x0a\x58\x00\x05", 4);
	ck_assert_int_eq(zl_rtnl_parse_prefix("10.88.0.1", &prefix, NULL), 0);
	ck_assert_uint_eq(prefix.length, 32);
	ck_assert_int_eq(zl_rtnl_parse_prefix("::/0", &prefix, NULL), 0);
	ck_assert_uint_eq(prefix.length, 0);
	for (size_t i = 0; i < ZL_ARRAY_SIZE(bad); i++)
		ck_assert_msg(zl_rtnl_parse_prefix(bad[i], &prefix, NULL) < 0, "%s", bad[i]);
}
END_TEST

START_TEST(macs)
{
	static const char *const bad[] = {
	        "", "02:00:00:00:00", "02:00:00:00:00:00:00", "02:00:00:00:00:0g", "020000000000"};
	uint8_t mac[6];

	ck_assert_int_eq(zl_rtnl_parse_mac("02:00:aB:00:00:fF", mac, NULL), 0);
	ck_assert_mem_eq(mac, "\x02\x00\xab\x00\x00\xff", 6);
	for (size_t i = 0; i < ZL_ARRAY_SIZE(bad); i++)
		ck_assert_msg(zl_rtnl_parse_mac(bad[i], mac, NULL) < 0, "%s", bad[i]);
}
END_TEST

static struct zl_reactor reactor;
static bool done;
static struct zl_error failure;

static void network_done(struct zl_network *network, const struct zl_error *why)
{
	(void)network;
	done = true;
	reactor.stop = true;
	if (why != NULL)
		failure = *why;
}

START_TEST(interface_comes_late)
{
	Zl__Zone__Address address = ZL__ZONE__ADDRESS__INIT;
	Zl__Zone__Address address6 = ZL__ZONE__ADDRESS__INIT;
	Zl__Zone__Address *addresses[] = {&address, &address6};
	Zl__Zone__Route route = ZL__ZONE__ROUTE__INIT;
	Zl__Zone__Route onlink = ZL__ZONE__ROUTE__INIT;
	Zl__Zone__Route *routes[] = {&onlink, &route};
	Zl__Zone__Interface wanted = ZL__ZONE__INTERFACE__INIT;
	Zl__Zone__Interface *list[] = {&wanted};
	zl_auto(buffer) struct zl_buffer text = ZL_BUFFER_INIT;
	struct zl_error err = ZL_ERROR_INIT;
	struct zl_network network;

	ck_assert_int_eq(unshare(CLONE_NEWNET), 0);
	address.cidr = (char *)(uintptr_t)"10.99.0.5/24";
	address6.cidr = (char *)(uintptr_t)"fd99::5/64";
	onlink.destination = (char *)(uintptr_t)"10.77.0.0/16";
	route.destination = (char *)(uintptr_t)"0.0.0.0/0";
	route.gateway = (char *)(uintptr_t)"10.99.0.1";
	wanted.name = (char *)(uintptr_t)"eth0";
	wanted.mac = (char *)(uintptr_t)"02:00:00:00:00:01";
	wanted.set_mac = (char *)(uintptr_t)"02:00:00:00:00:02";
	wanted.mtu = 1400;
	wanted.addresses = addresses;
	wanted.n_addresses = 2;
	wanted.routes = routes;
	wanted.n_routes = 2;

	ck_assert_int_eq(zl_reactor_init(&reactor, &err), 0);
	zl_network_init(&network, &reactor);
	network.done = network_done;
	ck_assert_int_eq(zl_network_loopback(&err), 0);
	zl_network_apply(&network, list, 1);
	ck_assert(!done);
	shell("ip link add far type veth peer name near address 02:00:00:00:00:01", NULL);
	// Not complete before the other end carries.
	shell("ip link set far up", NULL);
	ck_assert_int_eq(zl_reactor_run(&reactor, &err), 0);
	ck_assert_msg(failure.code == ZL_OK, "%s", failure.message);
	shell("ip -o addr show eth0; ip -o link show eth0; ip route; ip -o link show lo", &text);
	ck_assert_ptr_nonnull(strstr(zl_buffer_string(&text), "10.99.0.5/24"));
	ck_assert_ptr_nonnull(strstr(zl_buffer_string(&text), "fd99::5/64"));
	ck_assert_ptr_nonnull(strstr(zl_buffer_string(&text), "02:00:00:00:00:02"));
	ck_assert_ptr_nonnull(strstr(zl_buffer_string(&text), "mtu 1400"));
	ck_assert_ptr_nonnull(strstr(zl_buffer_string(&text), "default via 10.99.0.1"));
	ck_assert_ptr_nonnull(strstr(zl_buffer_string(&text), "10.77.0.0/16"));
	ck_assert_ptr_nonnull(strstr(zl_buffer_string(&text), "LOOPBACK,UP"));
	// The same again is fine.
	done = false;
	zl_network_apply(&network, list, 1);
	ck_assert(done);
	ck_assert_msg(failure.code == ZL_OK, "%s", failure.message);
	zl_network_release(&network);
	zl_reactor_release(&reactor);
}
END_TEST

START_TEST(bad_address_is_told)
{
	Zl__Zone__Interface wanted = ZL__ZONE__INTERFACE__INIT;
	Zl__Zone__Interface *list[] = {&wanted};
	struct zl_network network;

	ck_assert_int_eq(unshare(CLONE_NEWNET), 0);
	wanted.name = (char *)(uintptr_t)"eth0";
	wanted.mac = (char *)(uintptr_t)"rubbish";
	ck_assert_int_eq(zl_reactor_init(&reactor, NULL), 0);
	zl_network_init(&network, &reactor);
	network.done = network_done;
	zl_network_apply(&network, list, 1);
	ck_assert_int_eq(failure.code, ZL_INVALID_ARGUMENT);
	ck_assert_ptr_nonnull(strstr(failure.message, "eth0"));
	zl_reactor_release(&reactor);
}
END_TEST

TCase *netlink_tests(void)
{
	TCase *tests = tcase_create("netlink");

	tcase_set_timeout(tests, 60);
	tcase_add_test(tests, prefixes);
	tcase_add_test(tests, macs);
	tcase_add_test(tests, interface_comes_late);
	tcase_add_test(tests, bad_address_is_told);
	return tests;
}
