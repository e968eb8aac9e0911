// SPDX-License-Identifier: Apache-2.0
#include <string.h>

#include "cri-server/stream/negotiate.h"
#include "unit/stream/tests.h"

#define KEY "dGhlIHNhbXBsZSBub25jZQ=="

static const struct {
	enum zl_stream_kind kind;
	struct zl_stream_offer offer;
	enum zl_stream_transport transport;
	int version;
	bool base64;
	const char *name;
} good[] = {
#define SPDY(list) {.connection = "Upgrade", .upgrade = "SPDY/3.1", .spdy_protocols = (list)}
#define WS(list)                                                                                   \
	{.connection = "keep-alive, Upgrade",                                                      \
	        .upgrade = "websocket",                                                            \
	        .websocket_protocols = (list),                                                     \
	        .websocket_key = KEY,                                                              \
	        .websocket_version = "13"}
        {ZL_STREAM_EXEC, SPDY("v5.channel.k8s.io,v4.channel.k8s.io"), ZL_TRANSPORT_SPDY, 5, false,
                "v5.channel.k8s.io"},
        {ZL_STREAM_EXEC, SPDY("v9.channel.k8s.io, v3.channel.k8s.io ,channel.k8s.io"),
                ZL_TRANSPORT_SPDY, 3, false, "v3.channel.k8s.io"},
        {ZL_STREAM_ATTACH, SPDY("channel.k8s.io"), ZL_TRANSPORT_SPDY, 1, false, "channel.k8s.io"},
        {ZL_STREAM_EXEC, SPDY(NULL), ZL_TRANSPORT_SPDY, 1, false, ""},
        {ZL_STREAM_EXEC, SPDY(" , "), ZL_TRANSPORT_SPDY, 1, false, ""},
        {ZL_STREAM_PORT_FORWARD, SPDY("portforward.k8s.io"), ZL_TRANSPORT_SPDY, 4, false,
                "portforward.k8s.io"},
        {ZL_STREAM_EXEC, WS("v5.channel.k8s.io"), ZL_TRANSPORT_WEBSOCKET, 5, false,
                "v5.channel.k8s.io"},
        {ZL_STREAM_EXEC, WS("v4.base64.channel.k8s.io"), ZL_TRANSPORT_WEBSOCKET, 4, true,
                "v4.base64.channel.k8s.io"},
        {ZL_STREAM_EXEC, WS(NULL), ZL_TRANSPORT_WEBSOCKET, 1, false, ""},
        {ZL_STREAM_PORT_FORWARD, WS("SPDY/3.1+portforward.k8s.io"), ZL_TRANSPORT_TUNNEL, 4, false,
                "SPDY/3.1+portforward.k8s.io"},
};

START_TEST(the_clients_first_that_is_ours)
{
	struct zl_stream_protocol protocol;
	struct zl_error err = ZL_ERROR_INIT;

	ck_assert_msg(zl_negotiate(good[_i].kind, &good[_i].offer, &protocol, &err) == 0, "%s",
	        err.message);
	ck_assert_int_eq(protocol.transport, good[_i].transport);
	ck_assert_int_eq(protocol.version, good[_i].version);
	ck_assert(protocol.base64 == good[_i].base64);
	ck_assert_str_eq(protocol.name, good[_i].name);
}
END_TEST

static const struct {
	enum zl_stream_kind kind;
	struct zl_stream_offer offer;
	enum zl_code code;
} bad[] = {
        {ZL_STREAM_EXEC, {.connection = NULL}, ZL_INVALID_ARGUMENT},
        {ZL_STREAM_EXEC, {.connection = "Upgrade"}, ZL_INVALID_ARGUMENT},
        {ZL_STREAM_EXEC, {.upgrade = "SPDY/3.1"}, ZL_INVALID_ARGUMENT},
        {ZL_STREAM_EXEC, {.connection = "Upgrade", .upgrade = "SPDY/3"}, ZL_INVALID_ARGUMENT},
        {ZL_STREAM_EXEC, {.connection = "Upgrade", .upgrade = "websocket"}, ZL_INVALID_ARGUMENT},
        {ZL_STREAM_EXEC, SPDY("v9.channel.k8s.io"), ZL_PERMISSION_DENIED},
        {ZL_STREAM_EXEC, SPDY("portforward.k8s.io"), ZL_PERMISSION_DENIED},
        {ZL_STREAM_PORT_FORWARD, SPDY("v4.channel.k8s.io"), ZL_PERMISSION_DENIED},
        {ZL_STREAM_EXEC, WS("v9.channel.k8s.io"), ZL_PERMISSION_DENIED},
        {ZL_STREAM_PORT_FORWARD, WS("v4.channel.k8s.io"), ZL_INVALID_ARGUMENT}, // no ports
};

START_TEST(what_is_no_upgrade_of_ours)
{
	struct zl_stream_protocol protocol;
	struct zl_error err = ZL_ERROR_INIT;

	ck_assert_int_eq(zl_negotiate(bad[_i].kind, &bad[_i].offer, &protocol, &err), -1);
	ck_assert_int_eq(err.code, bad[_i].code);
}
END_TEST

START_TEST(ports_of_the_query)
{
	static const char *const wrong[] = {
	        "", "0", "65536", "http", "80,", "80,x", "-1", "100000"};
	struct zl_stream_offer offer = WS("v4.channel.k8s.io");
	struct zl_stream_protocol protocol;

	offer.ports = "80,65535,1";
	ck_assert_int_eq(zl_negotiate(ZL_STREAM_PORT_FORWARD, &offer, &protocol, NULL), 0);
	ck_assert_uint_eq(protocol.port_count, 3);
	ck_assert(protocol.ports[0] == 80 && protocol.ports[1] == 65535 && protocol.ports[2] == 1);
	for (size_t i = 0; i < ZL_ARRAY_SIZE(wrong); i++) {
		int expected = strcmp(wrong[i], "80,") == 0 ? 0 : -1;

		offer.ports = wrong[i];
		ck_assert_int_eq(
		        zl_negotiate(ZL_STREAM_PORT_FORWARD, &offer, &protocol, NULL), expected);
	}
}
END_TEST

START_TEST(ports_are_bounded)
{
	struct zl_stream_offer offer = WS("v4.channel.k8s.io");
	struct zl_stream_protocol protocol;
	char list[3 * (ZL_WEBSOCKET_PORTS_MAX + 1) + 1] = "";

	for (int i = 0; i <= ZL_WEBSOCKET_PORTS_MAX; i++)
		strcat(list, "80,"); // NOLINT(clang-analyzer-security.insecureAPI.strcpy)
	offer.ports = list;
	ck_assert_int_eq(zl_negotiate(ZL_STREAM_PORT_FORWARD, &offer, &protocol, NULL), -1);
}
END_TEST

Suite *negotiate_suite(void)
{
	Suite *suite = suite_create("negotiation");
	TCase *tcase = tcase_create("negotiation");

	tcase_add_loop_test(
	        tcase, the_clients_first_that_is_ours, 0, (int)(sizeof(good) / sizeof(good[0])));
	tcase_add_loop_test(
	        tcase, what_is_no_upgrade_of_ours, 0, (int)(sizeof(bad) / sizeof(bad[0])));
	tcase_add_test(tcase, ports_of_the_query);
	tcase_add_test(tcase, ports_are_bounded);
	suite_add_tcase(suite, tcase);
	return suite;
}
