// SPDX-License-Identifier: Apache-2.0
//
// Each of the plugins of Debian's containernetworking-plugins that the project promises to work
// with: what it makes is there, CHECK is content and is not when it is taken away, and DEL leaves
// nothing. A test whose kernel module is not there says so and is passed over.
#include <arpa/inet.h>
#include <check.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/json.h"
#include "cni-bridge/cni.h"
#include "cni-bridge/netns.h"
#include "lab.h"

enum { TIMEOUT_MS = 30000 };

static struct lab lab;
static struct zl_cni *cni;
static struct zl_cni_pod pod;
static struct zl_cni_result result;

static void set_up(void)
{
	static const char *const bin_dirs[] = {"/opt/cni/bin", "/usr/lib/cni", NULL};
	struct zl_cni_options options = {.bin_dirs = bin_dirs, .timeout_ms = TIMEOUT_MS};
	struct zl_error err = ZL_ERROR_INIT;

	lab_enter(&lab);
	// Nobody waits for duplicate addresses in a network of one's own.
	lab_shell(NULL, "echo 0 >/proc/sys/net/ipv6/conf/default/accept_dad");
	options.conf_dir = lab.conf;
	options.cache_dir = lab.cache;
	cni = zl_cni_open(&options, &err);
	ck_assert_msg(cni != NULL, "%s", err.message);
	ck_assert_msg(zl_netns_create(lab.netns, &err) == 0, "%s", err.message);
	memset(&result, 0, sizeof(result));
	pod = (struct zl_cni_pod){.sandbox_id = "pod1",
	        .name = "web",
	        .namespace_ = "default",
	        .uid = "u",
	        .netns = lab.netns};
}

static void tear_down(void)
{
	zl_cni_result_release(&result);
	zl_cni_close(cni);
}

// Whether the kernel makes such a link; if not, says which module it lacks.
static bool has_link_type(const char *type, const char *options)
{
	zl_auto(free) char *made = lab_output(NULL,
	        "ip link add probe0 type veth peer name probe1; "
	        "ip link add probe2 %s type %s 2>&1 && ip link del probe2 || true; "
	        "ip link del probe0",
	        options, type);

	if (made[0] == '\0')
		return true;
	(void)fprintf(stderr, "passed over: kernel module %s is missing: %s", type, made);
	return false;
}

// A network of these plugins, with addresses of both families from a directory of the lab.
static void use_network(const char *first, const char *more)
{
	char text[2048];

	(void)snprintf(text, sizeof(text),
	        "{\"cniVersion\":\"1.0.0\",\"name\":\"pods\",\"plugins\":[{%s,"
	        "\"ipam\":{\"type\":\"host-local\",\"dataDir\":\"%s/ipam\","
	        "\"ranges\":[[{\"subnet\":\"10.88.0.0/16\"}],[{\"subnet\":\"fd00:88::/64\"}]],"
	        "\"routes\":[{\"dst\":\"0.0.0.0/0\"},{\"dst\":\"::/0\"}]}}%s%s]}",
	        first, lab.dir, more[0] != '\0' ? "," : "", more);
	lab_write(lab.conf, "10-pods.conflist", 0644, text);
}

#define BRIDGE                                                                                     \
	"\"type\":\"bridge\",\"bridge\":\"cni0\",\"isGateway\":true,\"ipMasq\":true,"              \
	"\"hairpinMode\":true"

static void add(void)
{
	struct zl_error err = ZL_ERROR_INIT;

	ck_assert_msg(zl_cni_status(cni, NULL, NULL, &err) == 0, "%s", err.message);
	ck_assert_msg(zl_cni_add(cni, &pod, NULL, &result, &err) == 0, "%s", err.message);
	ck_assert_uint_ge(result.interface_count, 1);
	ck_assert_str_eq(result.interfaces[0].name, "eth0");
	ck_assert_uint_eq(result.interfaces[0].address_count, 2);
}

static void content(void)
{
	struct zl_error err = ZL_ERROR_INIT;

	ck_assert_msg(zl_cni_check(cni, "pod1", NULL, &err) == 0, "%s", err.message);
}

static void not_content(const char *plugin)
{
	struct zl_error err = ZL_ERROR_INIT;

	ck_assert_int_eq(zl_cni_check(cni, "pod1", NULL, &err), -1);
	ck_assert_msg(strstr(err.message, plugin) != NULL, "%s", err.message);
}

static void del(void)
{
	struct zl_error err = ZL_ERROR_INIT;
	zl_auto(free) char *left = NULL;

	ck_assert_msg(zl_cni_del(cni, &pod, NULL, &err) == 0, "%s", err.message);
	left = lab_output(NULL,
	        "ls %s | grep json || true; ls %s/ipam/pods | grep -E '^(10[.]|fd00:)' || true; "
	        "ip -o link | grep -oE '(veth|ifb|bwp|mv)[^@:]*' || true; "
	        "{ iptables-save; ip6tables-save; } | grep -E '10.88.0.2|fd00:88::2|pod1' || true",
	        lab.cache, lab.dir);
	ck_assert_str_eq(left, "");
	lab_shell(lab.netns, "test -z \"$(ip -o link show type veth)\"");
}

static void shows(const char *netns, const char *command, const char *part)
{
	zl_auto(free) char *text = lab_output(netns, "%s", command);

	ck_assert_msg(strstr(text, part) != NULL, "%s: no '%s' in %s", command, part, text);
}

static void shows_not(const char *netns, const char *command, const char *part)
{
	zl_auto(free) char *text = lab_output(netns, "%s", command);

	ck_assert_msg(strstr(text, part) == NULL, "%s: '%s' in %s", command, part, text);
}

// ---- those that make the interface

START_TEST(bridge)
{
	use_network(BRIDGE ",\"mtu\":1432", "");
	add();
	ck_assert_uint_eq(result.interfaces[0].mtu, 1432);
	lab_shell(lab.netns, "ping -n -c 1 -W 5 10.88.0.1 && ping -n -c 1 -W 5 fd00:88::1");
	content();
	lab_shell(lab.netns, "ip route del default");
	not_content("plugin bridge CHECK");
	del();
}
END_TEST

START_TEST(ptp)
{
	use_network("\"type\":\"ptp\",\"ipMasq\":true,\"mtu\":1420", "");
	add();
	ck_assert_uint_eq(result.interfaces[0].mtu, 1420);
	// The host's end has the gateway's address, and the host a route to the pod.
	lab_shell(lab.netns, "ping -n -c 1 -W 5 10.88.0.1 && ping -n -c 1 -W 5 fd00:88::1");
	lab_shell(NULL, "ping -n -c 1 -W 5 10.88.0.2 && ping -n -c 1 -W 5 fd00:88::2");
	shows(NULL, "ip route show 10.88.0.2", "veth");
	content();
	lab_shell(lab.netns, "ip route del default");
	not_content("plugin ptp CHECK");
	del();
}
END_TEST

START_TEST(macvlan)
{
	struct zl_cni_pod other = pod;
	struct zl_cni_result second = {0};
	struct zl_error err = ZL_ERROR_INIT;
	char netns[128];

	if (!has_link_type("macvlan", "link probe0"))
		return;
	lab_shell(NULL, "ip link add wire type veth peer name far; ip link set wire up; "
	                "ip link set far up");
	use_network(
	        "\"type\":\"macvlan\",\"master\":\"wire\",\"mode\":\"bridge\",\"mtu\":1410", "");
	add();
	ck_assert_uint_eq(result.interfaces[0].mtu, 1410);
	content();
	(void)snprintf(netns, sizeof(netns), "%s/other", lab.dir);
	ck_assert_int_eq(zl_netns_create(netns, &err), 0);
	other.sandbox_id = "pod2";
	other.netns = netns;
	ck_assert_msg(zl_cni_add(cni, &other, NULL, &second, &err) == 0, "%s", err.message);
	lab_shell(netns, "ping -n -c 1 -W 5 10.88.0.2 && ping -n -c 1 -W 5 fd00:88::2");
	ck_assert_int_eq(zl_cni_del(cni, &other, NULL, &err), 0);
	zl_cni_result_release(&second);
	lab_shell(lab.netns, "ip route del default");
	not_content("plugin macvlan CHECK");
	del();
}
END_TEST

// ---- those in a chain

// It is not asked by CHECK: that of portmap 1.1.1 looks for IPv4's rules in IPv6's table, and is
// never content.
START_TEST(portmap_of_all_protocols_and_families)
{
	static const struct zl_cni_port ports[] = {
	        {.host_port = 8080, .container_port = 80, .protocol = "tcp"},
	        {.host_port = 5353, .container_port = 53, .protocol = "udp"},
	        {.host_port = 9999, .container_port = 99, .protocol = "sctp"},
	        {.host_port = 7070,
	                .container_port = 70,
	                .protocol = "tcp",
	                .host_ip = "10.88.0.1"},
	        {.host_port = 6060,
	                .container_port = 60,
	                .protocol = "tcp",
	                .host_ip = "fd00:88::1"},
	        {.host_port = 0, .container_port = 81, .protocol = "tcp"}};

	pod.ports = ports;
	pod.port_count = ZL_ARRAY_SIZE(ports);
	use_network(BRIDGE, "{\"type\":\"portmap\",\"capabilities\":{\"portMappings\":true}}");
	add();
	shows(NULL, "iptables-save -t nat",
	        "-p tcp -m tcp --dport 8080 -j DNAT --to-destination 10.88.0.2:80");
	shows(NULL, "iptables-save -t nat",
	        "-p udp -m udp --dport 5353 -j DNAT --to-destination 10.88.0.2:53");
	shows(NULL, "iptables-save -t nat",
	        "-p sctp -m sctp --dport 9999 -j DNAT --to-destination 10.88.0.2:99");
	shows(NULL, "ip6tables-save -t nat",
	        "-p tcp -m tcp --dport 8080 -j DNAT --to-destination [fd00:88::2]:80");
	shows(NULL, "ip6tables-save -t nat", "-p udp -m udp --dport 5353");
	shows(NULL, "ip6tables-save -t nat", "-p sctp -m sctp --dport 9999");
	shows(NULL, "iptables-save -t nat", "-d 10.88.0.1/32 -p tcp -m tcp --dport 7070");
	shows_not(NULL, "ip6tables-save -t nat", "--dport 7070");
	shows(NULL, "ip6tables-save -t nat", "-d fd00:88::1/128 -p tcp -m tcp --dport 6060");
	shows_not(NULL, "iptables-save -t nat", "--dport 6060 -j DNAT");
	del();
}
END_TEST

// ---- sockets in the pod and on the node

struct order {
	int type; // SOCK_STREAM, SOCK_DGRAM
	bool serving;
	struct sockaddr_storage address;
	socklen_t length;
	int fd;
};

static int open_socket(void *data, struct zl_error *err)
{
	struct order *order = data;
	const struct sockaddr *address = (const struct sockaddr *)&order->address;
	struct timeval limit = {.tv_sec = 20};
	int on = 1;

	order->fd = socket(address->sa_family, order->type | SOCK_CLOEXEC, 0);
	if (order->fd < 0)
		return zl_error_errno(err, errno, "make a socket");
	(void)setsockopt(order->fd, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof(limit));
	if (order->serving && address->sa_family == AF_INET6)
		(void)setsockopt(order->fd, IPPROTO_IPV6, IPV6_V6ONLY, &on, sizeof(on));
	if (!order->serving && connect(order->fd, address, order->length) < 0)
		return zl_error_errno(err, errno, "connect");
	if (order->serving && (bind(order->fd, address, order->length) < 0 ||
	                              (order->type == SOCK_STREAM && listen(order->fd, 4) < 0)))
		return zl_error_errno(err, errno, "listen");
	return 0;
}

static void set_address(struct order *order, const char *ip, int port)
{
	struct sockaddr_in *four = (struct sockaddr_in *)&order->address;
	struct sockaddr_in6 *six = (struct sockaddr_in6 *)&order->address;
	bool is_six = strchr(ip, ':') != NULL;

	order->length = is_six ? sizeof(*six) : sizeof(*four);
	order->address.ss_family = is_six ? AF_INET6 : AF_INET;
	if (is_six)
		six->sin6_port = htons((uint16_t)port);
	else
		four->sin_port = htons((uint16_t)port);
	ck_assert_int_eq(inet_pton(order->address.ss_family, ip,
	                         is_six ? (void *)&six->sin6_addr : (void *)&four->sin_addr),
	        1);
}

static int socket_at(const char *netns, int type, bool serving, const char *ip, int port)
{
	struct order order = {.type = type, .serving = serving, .fd = -1};
	struct zl_error err = ZL_ERROR_INIT;
	int done;

	set_address(&order, ip, port);
	done = netns != NULL ? zl_netns_run(netns, open_socket, &order, &err)
	                     : open_socket(&order, &err);
	ck_assert_msg(done == 0, "%s port %d: %s", ip, port, err.message);
	if (order.fd < 0)
		abort();
	return order.fd;
}

// A connection from the node to ip:port arrives at `listener` in the pod, and a word comes back.
static void answers_tcp(int listener, const char *ip, int port)
{
	zl_auto(fd) int client = socket_at(NULL, SOCK_STREAM, false, ip, port);
	zl_auto(fd) int server = accept(listener, NULL, NULL);
	char word[8] = "";

	ck_assert_int_ge(server, 0);
	ck_assert_int_eq(send(server, "tcp", 4, 0), 4);
	ck_assert_int_eq(recv(client, word, sizeof(word), 0), 4);
	ck_assert_str_eq(word, "tcp");
}

static void answers_udp(int server, const char *ip, int port)
{
	zl_auto(fd) int client = socket_at(NULL, SOCK_DGRAM, false, ip, port);
	struct sockaddr_storage from;
	socklen_t length = sizeof(from);
	char word[8] = "";

	ck_assert_int_eq(send(client, "udp", 4, 0), 4);
	ck_assert_int_eq(
	        recvfrom(server, word, sizeof(word), 0, (struct sockaddr *)&from, &length), 4);
	ck_assert_int_eq(sendto(server, word, 4, 0, (struct sockaddr *)&from, length), 4);
	memset(word, 0, sizeof(word));
	ck_assert_msg(recv(client, word, sizeof(word), 0) == 4, "no answer from %s", ip);
	ck_assert_str_eq(word, "udp");
}

// From the node, by 127.0.0.1 as well. (By ::1 no plugin can: the kernel routes it nowhere else.)
START_TEST(portmap_answers_on_the_node)
{
	static const struct zl_cni_port ports[] = {
	        {.host_port = 8080, .container_port = 80, .protocol = "tcp"},
	        {.host_port = 5353, .container_port = 53, .protocol = "udp"}};
	zl_auto(fd) int tcp = -1;
	zl_auto(fd) int tcp6 = -1;
	zl_auto(fd) int udp = -1;
	zl_auto(fd) int udp6 = -1;

	pod.ports = ports;
	pod.port_count = ZL_ARRAY_SIZE(ports);
	use_network(BRIDGE, "{\"type\":\"portmap\",\"capabilities\":{\"portMappings\":true}}");
	add();
	tcp = socket_at(lab.netns, SOCK_STREAM, true, "0.0.0.0", 80);
	tcp6 = socket_at(lab.netns, SOCK_STREAM, true, "::", 80);
	udp = socket_at(lab.netns, SOCK_DGRAM, true, "10.88.0.2", 53);
	udp6 = socket_at(lab.netns, SOCK_DGRAM, true, "fd00:88::2", 53);
	answers_tcp(tcp, "127.0.0.1", 8080);
	answers_tcp(tcp, "10.88.0.1", 8080);
	answers_tcp(tcp6, "fd00:88::1", 8080);
	answers_udp(udp, "127.0.0.1", 5353);
	answers_udp(udp, "10.88.0.1", 5353);
	answers_udp(udp6, "fd00:88::1", 5353);
	del();
}
END_TEST

START_TEST(bandwidth)
{
	if (!has_link_type("ifb", ""))
		return;
	pod.ingress_bits = 8000000;
	pod.egress_bits = 4000000;
	use_network(BRIDGE, "{\"type\":\"bandwidth\",\"capabilities\":{\"bandwidth\":true}}");
	add();
	// What enters the pod leaves by the host's end of its veth; what leaves it goes through an
	// ifb.
	shows(NULL, "tc qdisc show", "qdisc tbf 1: dev veth");
	shows(NULL, "tc qdisc show | grep 'dev veth'", "rate 8Mbit");
	shows(NULL, "tc qdisc show | grep 'dev bwp'", "rate 4Mbit");
	content();
	lab_shell(NULL, "ip link del $(ip -o link show type ifb | grep -oE 'bwp[^:]*')");
	not_content("plugin bandwidth CHECK");
	del();
}
END_TEST

START_TEST(tuning)
{
	pod.mac = "02:11:22:33:44:55";
	use_network(BRIDGE, "{\"type\":\"tuning\",\"capabilities\":{\"mac\":true},\"mtu\":1400,"
	                    "\"sysctl\":{\"net.ipv4.conf.eth0.arp_filter\":\"1\","
	                    "\"net.core.somaxconn\":\"500\"}}");
	add();
	ck_assert_str_eq(result.interfaces[0].mac, "02:11:22:33:44:55");
	ck_assert_uint_eq(result.interfaces[0].mtu, 1400);
	shows(lab.netns, "cat /proc/sys/net/core/somaxconn", "500");
	shows(lab.netns, "cat /proc/sys/net/ipv4/conf/eth0/arp_filter", "1");
	content();
	lab_shell(lab.netns, "ip link set eth0 mtu 1300");
	not_content("plugin tuning CHECK");
	del();
}
END_TEST

START_TEST(firewall)
{
	use_network(BRIDGE, "{\"type\":\"firewall\",\"backend\":\"iptables\"}");
	add();
	shows(NULL, "iptables-save -t filter", "-A CNI-FORWARD -s 10.88.0.2/32 -j ACCEPT");
	shows(NULL, "iptables-save -t filter", "-A CNI-FORWARD -d 10.88.0.2/32 -m conntrack");
	shows(NULL, "ip6tables-save -t filter", "-A CNI-FORWARD -s fd00:88::2/128 -j ACCEPT");
	content();
	lab_shell(NULL, "iptables -F CNI-FORWARD");
	not_content("plugin firewall CHECK");
	del();
}
END_TEST

// All in one chain, and the namespace gone before its DEL, as after a reboot.
START_TEST(whole_chain_without_its_namespace)
{
	static const struct zl_cni_port port = {
	        .host_port = 8080, .container_port = 80, .protocol = "tcp"};
	struct zl_error err = ZL_ERROR_INIT;

	if (!has_link_type("ifb", ""))
		return;
	pod.ports = &port;
	pod.port_count = 1;
	pod.mac = "02:11:22:33:44:55";
	pod.ingress_bits = 8000000;
	pod.egress_bits = 4000000;
	use_network(BRIDGE, "{\"type\":\"tuning\",\"capabilities\":{\"mac\":true}},"
	                    "{\"type\":\"portmap\",\"capabilities\":{\"portMappings\":true}},"
	                    "{\"type\":\"bandwidth\",\"capabilities\":{\"bandwidth\":true}},"
	                    "{\"type\":\"firewall\"}");
	add();
	ck_assert_int_eq(zl_netns_remove(lab.netns, &err), 0);
	ck_assert_msg(zl_cni_del(cni, &pod, NULL, &err) == 0, "%s", err.message);
	// Masquerading stays: bridge finds it by the addresses in the namespace.
	shows_not(NULL, "iptables-save -t nat", "10.88.0.2:80");
	shows_not(NULL, "iptables-save -t filter", "10.88.0.2");
	lab_shell(NULL, "test ! -e %s/ipam/pods/10.88.0.2", lab.dir);
	shows_not(NULL, "ip -o link", "bwp");
	lab_shell(NULL, "test -z \"$(ls %s)\"", lab.cache);
}
END_TEST

// The node's pod CIDRs by "ipRanges", for a network without addresses of its own.
START_TEST(host_local_takes_the_nodes_ranges)
{
	struct zl_error err = ZL_ERROR_INIT;
	char text[1024];

	(void)snprintf(text, sizeof(text),
	        "{\"cniVersion\":\"1.0.0\",\"name\":\"pods\",\"plugins\":[{" BRIDGE
	        ",\"capabilities\":{\"ipRanges\":true},\"ipam\":{\"type\":\"host-local\","
	        "\"dataDir\":\"%s/ipam\",\"routes\":[{\"dst\":\"0.0.0.0/0\"}]}}]}",
	        lab.dir);
	lab_write(lab.conf, "10-pods.conflist", 0644, text);
	ck_assert_int_eq(zl_cni_status(cni, NULL, NULL, &err), -1);
	ck_assert_int_eq(zl_cni_set_pod_cidrs(cni, "10.88.0.0/24,fd00:88::/64", &err), 0);
	add();
	ck_assert_str_eq(result.interfaces[0].addresses[0].cidr, "10.88.0.2/24");
	ck_assert_str_eq(result.interfaces[0].addresses[1].cidr, "fd00:88::2/64");
	content();
	del();
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("plugins");
	TCase *tcase = tcase_create("all");
	SRunner *runner = srunner_create(suite);
	int failed;

	if (getuid() != 0) {
		(void)fprintf(stderr, "skipped: network namespaces need root\n");
		return 77;
	}
	tcase_add_checked_fixture(tcase, set_up, tear_down);
	tcase_set_timeout(tcase, 100);
	tcase_add_test(tcase, bridge);
	tcase_add_test(tcase, ptp);
	tcase_add_test(tcase, macvlan);
	tcase_add_test(tcase, portmap_of_all_protocols_and_families);
	tcase_add_test(tcase, portmap_answers_on_the_node);
	tcase_add_test(tcase, bandwidth);
	tcase_add_test(tcase, tuning);
	tcase_add_test(tcase, firewall);
	tcase_add_test(tcase, whole_chain_without_its_namespace);
	tcase_add_test(tcase, host_local_takes_the_nodes_ranges);
	suite_add_tcase(suite, tcase);
	srunner_run_all(runner, CK_NORMAL);
	failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
