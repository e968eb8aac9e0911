// SPDX-License-Identifier: Apache-2.0
//
// Debian's own plugins (bridge, host-local, portmap) on a network of the test's own, and the splice
// with a pair of veths in the place of a vif: one end is what the back end would have made, the
// other what the zone would see.
#include <arpa/inet.h>
#include <check.h>
#include <errno.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "cni-bridge/cni.h"
#include "cni-bridge/netns.h"
#include "lab.h"

enum { TIMEOUT_MS = 20000, HOST_PORT = 8080, POD_PORT = 80, MEGABYTES = 8 };

static struct lab lab;
static struct zl_cni *cni;

// A pod, by number, and what CNI made for it.
struct pod {
	char id[16];
	char netns[128];
	char zone[128]; // namespace that stands for the zone; "" if it is not spliced
	char vif[16];
	struct zl_cni_port port;
	struct zl_cni_result result;
};

static void write_conflist(void)
{
	char text[1024];

	(void)snprintf(text, sizeof(text),
	        "{\"cniVersion\":\"1.0.0\",\"name\":\"pods\",\"plugins\":["
	        "{\"type\":\"bridge\",\"bridge\":\"cni0\",\"isGateway\":true,\"ipMasq\":true,"
	        "\"hairpinMode\":true,\"mtu\":1440,\"ipam\":{\"type\":\"host-local\","
	        "\"dataDir\":\"%s/ipam\",\"ranges\":[[{\"subnet\":\"10.88.0.0/16\"}],"
	        "[{\"subnet\":\"fd00:88::/64\"}]],"
	        "\"routes\":[{\"dst\":\"0.0.0.0/0\"},{\"dst\":\"::/0\"}]}},"
	        "{\"type\":\"portmap\",\"capabilities\":{\"portMappings\":true}}]}",
	        lab.dir);
	lab_write(lab.conf, "10-pods.conflist", 0644, text);
}

static void set_up(void)
{
	static const char *const bin_dirs[] = {"/opt/cni/bin", "/usr/lib/cni", NULL};
	struct zl_cni_options options = {.bin_dirs = bin_dirs, .timeout_ms = TIMEOUT_MS};
	struct zl_error err = ZL_ERROR_INIT;

	lab_enter(&lab);
	write_conflist();
	options.conf_dir = lab.conf;
	options.cache_dir = lab.cache;
	cni = zl_cni_open(&options, &err);
	ck_assert_msg(cni != NULL, "%s", err.message);
	ck_assert_msg(zl_cni_status(cni, NULL, NULL, &err) == 0, "%s", err.message);
}

static void tear_down(void)
{
	zl_cni_close(cni);
}

static struct zl_cni_pod describe(struct pod *pod)
{
	return (struct zl_cni_pod){.sandbox_id = pod->id,
	        .name = pod->id,
	        .namespace_ = "default",
	        .uid = "u",
	        .netns = pod->netns,
	        .ports = &pod->port,
	        .port_count = 1};
}

static void pod_add(struct pod *pod, int number, int host_port)
{
	struct zl_cni_pod cni_pod;
	struct zl_error err = ZL_ERROR_INIT;

	memset(pod, 0, sizeof(*pod));
	(void)snprintf(pod->id, sizeof(pod->id), "pod%d", number);
	(void)snprintf(pod->netns, sizeof(pod->netns), "%s/ns/%s", lab.dir, pod->id);
	pod->port.host_port = host_port;
	pod->port.container_port = POD_PORT;
	pod->port.protocol = "tcp";
	cni_pod = describe(pod);
	ck_assert_msg(zl_netns_create(pod->netns, &err) == 0, "%s", err.message);
	ck_assert_msg(zl_cni_add(cni, &cni_pod, NULL, &pod->result, &err) == 0, "%s", err.message);
	ck_assert_uint_eq(pod->result.interface_count, 1);
}

static void pod_del(struct pod *pod)
{
	struct zl_cni_pod cni_pod = describe(pod);
	struct zl_error err = ZL_ERROR_INIT;

	ck_assert_msg(zl_cni_del(cni, &cni_pod, NULL, &err) == 0, "%s", err.message);
	ck_assert_msg(zl_netns_remove(pod->netns, &err) == 0, "%s", err.message);
	zl_cni_result_release(&pod->result);
}

// The pod's IPv4 address without its prefix.
static const char *pod_ip(const struct pod *pod, char out[static 64])
{
	(void)snprintf(out, 64, "%s", pod->result.interfaces[0].addresses[0].cidr);
	*strchr(out, '/') = '\0';
	return out;
}

static void splice(struct pod *pod)
{
	struct zl_error err = ZL_ERROR_INIT;

	ck_assert_msg(zl_splice_add(pod->netns, "eth0", pod->vif, &err) == 0, "%s", err.message);
}

// What the hypervisor's back end and the supervisor in the zone do: an interface with the pod's MAC
// and MTU, its addresses and routes.
static void make_zone(struct pod *pod, int domid)
{
	const struct zl_cni_interface *eth0 = &pod->result.interfaces[0];
	struct zl_error err = ZL_ERROR_INIT;

	(void)snprintf(pod->zone, sizeof(pod->zone), "%s/zone/%s", lab.dir, pod->id);
	(void)snprintf(pod->vif, sizeof(pod->vif), "vif%d.0", domid);
	ck_assert_int_eq(zl_netns_create(pod->zone, &err), 0);
	lab_shell(NULL, "ip link add %s type veth peer name eth0 netns %s address %s mtu %u",
	        pod->vif, pod->zone, eth0->mac, eth0->mtu);
	lab_shell(pod->zone, "ip link set lo up; ip link set eth0 up");
	for (size_t i = 0; i < eth0->address_count; i++)
		lab_shell(pod->zone, "ip addr add %s dev eth0 %s", eth0->addresses[i].cidr,
		        strchr(eth0->addresses[i].cidr, ':') != NULL ? "nodad" : "");
	for (size_t i = 0; i < eth0->route_count; i++)
		lab_shell(pod->zone, "ip route add %s via %s dev eth0", eth0->routes[i].destination,
		        eth0->routes[i].gateway);
}

static void zone_destroy(struct pod *pod)
{
	struct zl_error err = ZL_ERROR_INIT;

	lab_shell(pod->zone, "ip link del eth0"); // its peer, the vif, goes with it
	ck_assert_int_eq(zl_netns_remove(pod->zone, &err), 0);
}

static void ping(const char *netns, const char *address)
{
	lab_shell(netns, "ping -n -c 1 -W 5 %s", address);
}

// ---- TCP

struct socket_order {
	bool listening;
	struct sockaddr_in address;
	int fd;
};

static int make_socket(void *data, struct zl_error *err)
{
	struct socket_order *order = data;
	struct sockaddr *address = (struct sockaddr *)&order->address;
	struct timeval limit = {.tv_sec = 20};

	order->fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (order->fd < 0)
		return zl_error_errno(err, errno, "make a socket");
	(void)setsockopt(order->fd, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof(limit));
	(void)setsockopt(order->fd, SOL_SOCKET, SO_SNDTIMEO, &limit, sizeof(limit));
	if (order->listening) {
		if (bind(order->fd, address, sizeof(order->address)) < 0 ||
		        listen(order->fd, 1) < 0)
			return zl_error_errno(err, errno, "listen");
	} else if (connect(order->fd, address, sizeof(order->address)) < 0) {
		return zl_error_errno(err, errno, "connect");
	}
	return 0;
}

static int socket_in(const char *netns, bool listening, const char *ip, int port)
{
	struct socket_order order = {.listening = listening,
	        .address = {.sin_family = AF_INET, .sin_port = htons((uint16_t)port)}};
	struct zl_error err = ZL_ERROR_INIT;
	int result;

	ck_assert_int_eq(inet_pton(AF_INET, ip, &order.address.sin_addr), 1);
	result = netns != NULL ? zl_netns_run(netns, make_socket, &order, &err)
	                       : make_socket(&order, &err);
	ck_assert_msg(result == 0, "%s:%d from %s: %s", ip, port, netns != NULL ? netns : "host",
	        err.message);
	return order.fd;
}

static void *send_all(void *argument)
{
	static const char block[1024 * 1024] = "x";
	int fd = *(int *)argument;

	for (int i = 0; i < MEGABYTES; i++) {
		for (size_t sent = 0; sent < sizeof(block);) {
			ssize_t done = send(fd, block + sent, sizeof(block) - sent, MSG_NOSIGNAL);

			if (done <= 0)
				return NULL;
			sent += (size_t)done;
		}
	}
	(void)shutdown(fd, SHUT_WR);
	return NULL;
}

static size_t receive_all(int fd)
{
	static char block[1024 * 1024];
	size_t total = 0;
	ssize_t got;

	while ((got = recv(fd, block, sizeof(block), 0)) > 0)
		total += (size_t)got;
	return total;
}

// One way, `from` to `to`, until its end.
static void transfer(int from, int to)
{
	pthread_t sender;

	ck_assert(from >= 0 && to >= 0);
	ck_assert_int_eq(pthread_create(&sender, NULL, send_all, &from), 0);
	ck_assert_uint_eq(receive_all(to), (size_t)MEGABYTES << 20);
	(void)pthread_join(sender, NULL);
}

// A server in `server_ns`, a client in `client_ns` that reaches it at ip:port; both ways.
static void exchange(const char *server_ns, const char *client_ns, const char *ip, int port)
{
	zl_auto(fd) int listener = socket_in(server_ns, true, "0.0.0.0", POD_PORT);
	zl_auto(fd) int client = socket_in(client_ns, false, ip, port);
	zl_auto(fd) int server = accept(listener, NULL, NULL);

	ck_assert_int_ge(server, 0);
	transfer(client, server);
	transfer(server, client);
}

// ---- what is left

static void nothing_left(const struct pod *pod)
{
	zl_auto(free) char *links = lab_output(NULL, "ip -o link show master cni0");
	zl_auto(free) char *rules = lab_output(NULL, "iptables-save; ip6tables-save");
	zl_auto(free) char *leases = lab_output(NULL, "ls %s/ipam/pods", lab.dir);
	zl_auto(free) char *records = lab_output(NULL, "ls %s", lab.cache);

	ck_assert_str_eq(links, "");
	ck_assert_msg(strstr(rules, pod->id) == NULL, "rules left: %s", rules);
	ck_assert_msg(strstr(leases, "10.88.") == NULL, "leases left: %s", leases);
	ck_assert_msg(strstr(leases, "fd00:88::") == NULL, "leases left: %s", leases);
	ck_assert_str_eq(records, "");
}

// That the check above sees what there is to see.
static void something_there(const struct pod *pod)
{
	zl_auto(free) char *rules = lab_output(NULL, "iptables-save -t nat; ip6tables-save -t nat");
	char masquerade[64];

	(void)snprintf(masquerade, sizeof(masquerade), "id: \\\"%s\\\"", pod->id);
	ck_assert_msg(strstr(rules, masquerade) != NULL, "no %s in %s", masquerade, rules);
	ck_assert_msg(strstr(rules, "10.88.0.2:80") != NULL, "no port map in %s", rules);
	lab_shell(NULL, "test -e %s/ipam/pods/10.88.0.2", lab.dir);
	lab_shell(NULL, "test -n \"$(ip -o link show master cni0)\"");
}

START_TEST(bridge_makes_a_network_and_takes_it_back)
{
	struct pod pod;
	struct zl_cni_pod cni_pod;
	struct zl_error err = ZL_ERROR_INIT;
	const struct zl_cni_interface *eth0;
	char ip[64];

	pod_add(&pod, 1, HOST_PORT);
	eth0 = &pod.result.interfaces[0];
	ck_assert_str_eq(eth0->name, "eth0");
	ck_assert_uint_eq(eth0->mtu, 1440);
	ck_assert_uint_eq(eth0->address_count, 2);
	ck_assert_str_eq(eth0->addresses[0].cidr, "10.88.0.2/16");
	ck_assert_str_eq(eth0->addresses[1].cidr, "fd00:88::2/64");
	ck_assert_uint_eq(eth0->route_count, 2);
	ck_assert_str_eq(eth0->routes[0].gateway, "10.88.0.1");
	ck_assert_str_eq(eth0->routes[1].gateway, "fd00:88::1");
	lab_shell(pod.netns, "ping -n -c 1 -W 5 127.0.0.1"); // lo is up
	ping(pod.netns, "10.88.0.1");
	exchange(pod.netns, NULL, pod_ip(&pod, ip), POD_PORT);
	something_there(&pod);
	cni_pod = describe(&pod);
	lab_shell(NULL, "rm %s/10-pods.conflist", lab.conf);
	ck_assert_msg(zl_cni_del(cni, &cni_pod, NULL, &err) == 0, "%s", err.message);
	nothing_left(&pod);
	pod_del(&pod); // once more
}
END_TEST

START_TEST(plugins_words_arrive)
{
	struct pod pod = {.id = "pod1"};
	struct zl_cni_pod cni_pod = describe(&pod);
	struct zl_error err = ZL_ERROR_INIT;

	(void)snprintf(pod.netns, sizeof(pod.netns), "%s/ns/pod1", lab.dir);
	ck_assert_int_eq(zl_netns_create(pod.netns, &err), 0);
	// A bridge that cannot be one.
	lab_shell(NULL, "ip link add cni0 type veth peer name other");
	ck_assert_int_eq(zl_cni_add(cni, &cni_pod, NULL, &pod.result, &err), -1);
	ck_assert_msg(strstr(err.message, "plugin bridge ADD: ") != NULL &&
	                      strstr(err.message, "not a bridge") != NULL,
	        "%s", err.message);
	lab_shell(NULL, "test -z \"$(ls %s)\"", lab.cache); // undone
}
END_TEST

START_TEST(spliced_zone_is_the_pod)
{
	struct pod zone;
	struct pod plain;
	char zone_ip[64];
	char plain_ip[64];

	pod_add(&zone, 1, HOST_PORT);
	pod_add(&plain, 2, 0);
	make_zone(&zone, 7);
	splice(&zone);
	(void)pod_ip(&zone, zone_ip);
	(void)pod_ip(&plain, plain_ip);
	// Both families (so ARP and ND pass), both directions, the host, another pod, and itself
	// through the host.
	ping(zone.zone, "10.88.0.1");
	ping(zone.zone, "fd00:88::1");
	ping(NULL, zone_ip);
	ping(plain.netns, zone_ip);
	ping(plain.netns, "fd00:88::2");
	exchange(zone.zone, NULL, zone_ip, POD_PORT);
	exchange(plain.netns, zone.zone, plain_ip, POD_PORT);
	exchange(zone.zone, plain.netns, zone_ip, POD_PORT);
	exchange(zone.zone, NULL, "10.88.0.1", HOST_PORT);
	exchange(zone.zone, plain.netns, "10.88.0.1", HOST_PORT);
	exchange(zone.zone, NULL, "127.0.0.1", HOST_PORT);
	zone_destroy(&zone);
	pod_del(&zone);
	pod_del(&plain);
	nothing_left(&zone);
	nothing_left(&plain);
}
END_TEST

// The kernel behind eth0 never answers: a port that nobody has open in the zone is refused by the
// zone, and with the zone gone by nobody.
START_TEST(pod_namespace_keeps_silent)
{
	struct pod pod;
	zl_auto(free) char *counters = NULL;
	char ip[64];

	pod_add(&pod, 1, 0);
	make_zone(&pod, 7);
	splice(&pod);
	ping(NULL, pod_ip(&pod, ip));
	counters = lab_output(pod.netns, "awk '/^Icmp: [0-9]/ {print $2}' /proc/net/snmp");
	ck_assert_str_eq(counters, "0\n");
	// No address and no packet of its own towards the zone.
	lab_shell(pod.netns, "test -z \"$(ip -o addr show dev vif7.0)\"");
	zone_destroy(&pod);
	lab_shell(NULL, "! ping -n -c 1 -W 1 %s", ip);
	pod_del(&pod);
	nothing_left(&pod);
}
END_TEST

START_TEST(splice_again_keeps_connections)
{
	struct pod pod;
	zl_auto(fd) int listener = -1;
	zl_auto(fd) int client = -1;
	zl_auto(fd) int server = -1;
	char ip[64];

	pod_add(&pod, 1, 0);
	make_zone(&pod, 7);
	splice(&pod);
	listener = socket_in(pod.zone, true, "0.0.0.0", POD_PORT);
	client = socket_in(NULL, false, pod_ip(&pod, ip), POD_PORT);
	server = accept(listener, NULL, NULL);
	splice(&pod);
	splice(&pod);
	transfer(client, server);
	lab_shell(pod.netns, "test $(tc filter show dev eth0 ingress | grep -c mirred) = 1");
	zone_destroy(&pod);
	pod_del(&pod);
}
END_TEST

// The zone was started anew: another domain, another vif, the same pod.
START_TEST(splice_follows_a_new_domain)
{
	struct pod pod;

	pod_add(&pod, 1, 0);
	make_zone(&pod, 7);
	splice(&pod);
	zone_destroy(&pod);
	make_zone(&pod, 8);
	splice(&pod);
	ping(pod.zone, "10.88.0.1");
	zone_destroy(&pod);
	pod_del(&pod);
}
END_TEST

// What a meta plugin makes beside eth0: each interface has its vif, and the zone has them all.
START_TEST(several_interfaces_are_spliced_apart)
{
	struct pod pod;
	struct zl_error err = ZL_ERROR_INIT;

	pod_add(&pod, 1, 0);
	lab_shell(NULL, "ip link add host1 type veth peer name net1 netns %s mtu 1300", pod.netns);
	lab_shell(NULL, "ip addr add 10.77.0.1/24 dev host1; ip link set host1 up");
	lab_shell(pod.netns, "ip addr add 10.77.0.2/24 dev net1; ip link set net1 up");
	make_zone(&pod, 7);
	lab_shell(NULL,
	        "ip link add vif7.1 type veth peer name net1 netns %s address "
	        "$(nsenter --net=%s ip -o link show net1 | sed -E 's/.*ether ([^ ]*).*/\\1/')",
	        pod.zone, pod.netns);
	lab_shell(pod.zone, "ip addr add 10.77.0.2/24 dev net1; ip link set net1 up mtu 1300");
	splice(&pod);
	ck_assert_msg(zl_splice_add(pod.netns, "net1", "vif7.1", &err) == 0, "%s", err.message);
	ping(pod.zone, "10.88.0.1");
	ping(pod.zone, "10.77.0.1");
	ping(NULL, "10.77.0.2");
	exchange(pod.zone, NULL, "10.77.0.2", POD_PORT);
	lab_shell(pod.netns, "ip -o link show vif7.1 | grep -q 'mtu 1300'");
	lab_shell(pod.zone, "ip link del net1");
	lab_shell(NULL, "ip link del host1");
	zone_destroy(&pod);
	pod_del(&pod);
	nothing_left(&pod);
}
END_TEST

START_TEST(splice_errors_name_what_is_missing)
{
	struct pod pod;
	struct zl_error err = ZL_ERROR_INIT;

	pod_add(&pod, 1, 0);
	ck_assert_int_eq(zl_splice_add(pod.netns, "eth0", "vif9.0", &err), -1);
	ck_assert_msg(strstr(err.message, "vif9.0") != NULL &&
	                      strstr(err.message, "No such device") != NULL,
	        "%s", err.message);
	ck_assert_int_eq(zl_splice_add(pod.netns, "eth5", "lo", &err), -1);
	ck_assert_int_eq(err.code, ZL_NOT_FOUND);
	ck_assert_int_eq(zl_splice_add("/nonexistent", "eth0", "vif9.0", &err), -1);
	ck_assert_int_eq(err.code, ZL_NOT_FOUND);
	pod_del(&pod);
}
END_TEST

START_TEST(namespaces_are_idempotent)
{
	struct zl_error err = ZL_ERROR_INIT;
	zl_auto(free) char *first = NULL;
	zl_auto(free) char *second = NULL;

	ck_assert_int_eq(zl_netns_create(lab.netns, &err), 0);
	first = lab_output(NULL, "stat -L -c %%i %s", lab.netns);
	ck_assert_int_eq(zl_netns_create(lab.netns, &err), 0);
	second = lab_output(NULL, "stat -L -c %%i %s", lab.netns);
	ck_assert_str_eq(first, second);
	ck_assert(zl_netns_exists(lab.netns));
	ck_assert_int_eq(zl_netns_remove(lab.netns, &err), 0);
	ck_assert(!zl_netns_exists(lab.netns));
	ck_assert_int_eq(zl_netns_remove(lab.netns, &err), 0);
	lab_shell(NULL, "test ! -e %s && touch %s", lab.netns, lab.netns);
	ck_assert_int_eq(zl_netns_create(lab.netns, &err), 0); // a file that a crash left
	ck_assert_int_eq(zl_netns_remove(lab.netns, &err), 0);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("network");
	TCase *tcase = tcase_create("all");
	SRunner *runner = srunner_create(suite);
	int failed;

	if (getuid() != 0) {
		(void)fprintf(stderr, "skipped: network namespaces need root\n");
		return 77;
	}
	tcase_add_checked_fixture(tcase, set_up, tear_down);
	tcase_set_timeout(tcase, 100);
	tcase_add_test(tcase, bridge_makes_a_network_and_takes_it_back);
	tcase_add_test(tcase, plugins_words_arrive);
	tcase_add_test(tcase, spliced_zone_is_the_pod);
	tcase_add_test(tcase, pod_namespace_keeps_silent);
	tcase_add_test(tcase, splice_again_keeps_connections);
	tcase_add_test(tcase, splice_follows_a_new_domain);
	tcase_add_test(tcase, several_interfaces_are_spliced_apart);
	tcase_add_test(tcase, splice_errors_name_what_is_missing);
	tcase_add_test(tcase, namespaces_are_idempotent);
	suite_add_tcase(suite, tcase);
	srunner_run_all(runner, CK_NORMAL);
	failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
