// SPDX-License-Identifier: Apache-2.0
#include "zone/supervisor/network.h"

#include <errno.h>
#include <stddef.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/ioctl.h>
#include <sys/socket.h>

#include "base/cleanup.h"
#include "zone/protocol/enclosing.h"
#include "zone/supervisor/rtnetlink.h"

enum { EVENT_SIZE = 16 * 1024 };

int zl_network_loopback(struct zl_error *err)
{
	zl_auto(fd) int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	struct ifreq request = {.ifr_name = "lo", .ifr_flags = IFF_UP | IFF_RUNNING};

	if (fd < 0 || ioctl(fd, SIOCSIFFLAGS, &request) < 0)
		return zl_error_errno(err, errno, "set the loopback interface up");
	return 0;
}

static int add_addresses(int fd, int index, const Zl__Zone__Interface *wanted, struct zl_error *err)
{
	struct zl_rtnl_prefix prefix;

	for (size_t i = 0; i < wanted->n_addresses; i++) {
		const char *cidr = wanted->addresses[i]->cidr;

		if (zl_rtnl_parse_prefix(cidr, &prefix, err) < 0)
			return -1;
		if (zl_rtnl_add_address(fd, index, &prefix, err) < 0)
			return zl_error_wrap(err, "%s", cidr);
	}
	return 0;
}

static int add_routes(int fd, int index, const Zl__Zone__Interface *wanted, struct zl_error *err)
{
	struct zl_rtnl_prefix destination;
	struct zl_rtnl_prefix gateway;

	for (size_t i = 0; i < wanted->n_routes; i++) {
		const Zl__Zone__Route *route = wanted->routes[i];
		bool has_gateway = route->gateway[0] != '\0';

		if (zl_rtnl_parse_prefix(route->destination, &destination, err) < 0 ||
		        (has_gateway && zl_rtnl_parse_prefix(route->gateway, &gateway, err) < 0))
			return -1;
		if (zl_rtnl_add_route(fd, index, &destination, has_gateway ? &gateway : NULL, err) <
		        0)
			return zl_error_wrap(err, "%s", route->destination);
	}
	return 0;
}

// Name and MAC can be changed while it is down only.
static int shape_link(int fd, const struct zl_rtnl_link *link, const Zl__Zone__Interface *wanted,
        const uint8_t *mac, struct zl_error *err)
{
	const char *name = strcmp(link->name, wanted->name) != 0 ? wanted->name : NULL;
	uint32_t mtu = wanted->mtu != link->mtu ? wanted->mtu : 0;

	if (mac != NULL && memcmp(mac, link->mac, sizeof(link->mac)) == 0)
		mac = NULL;
	if ((name != NULL || mac != NULL) && link->up &&
	        zl_rtnl_set_up(fd, link->index, false, err) < 0)
		return -1;
	if ((name != NULL || mac != NULL || mtu != 0) &&
	        zl_rtnl_set(fd, link->index, name, mac, mtu, err) < 0)
		return -1;
	return zl_rtnl_set_up(fd, link->index, true, err);
}

// 1: it carries packets; 0: not yet. *shaped: the rest of its configuration is done.
static int apply_one(int fd, const Zl__Zone__Interface *wanted, bool *shaped, struct zl_error *err)
{
	struct zl_rtnl_link link;
	uint8_t mac[6];
	uint8_t set_mac[6];
	bool changes_mac = wanted->set_mac[0] != '\0';
	int found;

	if (strlen(wanted->name) >= sizeof(link.name) || wanted->name[0] == '\0')
		return zl_error_set(
		        err, ZL_INVALID_ARGUMENT, "\"%.40s\" is no interface name", wanted->name);
	if (zl_rtnl_parse_mac(wanted->mac, mac, err) < 0 ||
	        (changes_mac && zl_rtnl_parse_mac(wanted->set_mac, set_mac, err) < 0))
		return -1;
	found = zl_rtnl_find(fd, mac, changes_mac ? set_mac : NULL, &link, err);
	if (found <= 0)
		return found;
	if (*shaped)
		return link.carrier ? 1 : 0;
	if (shape_link(fd, &link, wanted, changes_mac ? set_mac : NULL, err) < 0 ||
	        add_addresses(fd, link.index, wanted, err) < 0 ||
	        add_routes(fd, link.index, wanted, err) < 0)
		return -1;
	*shaped = true;
	return apply_one(fd, wanted, shaped, err);
}

static int apply_all(struct zl_network *network, bool *ret_all, struct zl_error *err)
{
	zl_auto(fd) int fd = zl_rtnl_open(err);

	if (fd < 0)
		return -1;
	*ret_all = true;
	for (size_t i = 0; i < network->count; i++) {
		bool shaped = (network->shaped & (UINT64_C(1) << i)) != 0;
		int ready = apply_one(fd, network->wanted[i], &shaped, err);

		if (ready < 0)
			return zl_error_wrap(err, "interface %.40s", network->wanted[i]->name);
		if (shaped)
			network->shaped |= UINT64_C(1) << i;
		if (ready == 0)
			*ret_all = false;
	}
	return 0;
}

static void step(struct zl_network *network)
{
	struct zl_error err = ZL_ERROR_INIT;
	bool all = false;
	int result = apply_all(network, &all, &err);

	if (result == 0 && !all)
		return;
	zl_network_cancel(network);
	network->done(network, result < 0 ? &err : NULL);
}

static void monitor_ready(struct zl_source *source, uint32_t events)
{
	struct zl_network *network = ZL_ENCLOSING(source, struct zl_network, monitor);
	char event[EVENT_SIZE];

	(void)events;
	// Which link changed does not matter: look at all that are wanted.
	while (recv(source->fd, event, sizeof(event), MSG_DONTWAIT) > 0 || errno == ENOBUFS)
		;
	step(network);
}

void zl_network_init(struct zl_network *network, struct zl_reactor *reactor)
{
	*network = (struct zl_network){.reactor = reactor, .monitor = {.fd = -1}};
}

void zl_network_cancel(struct zl_network *network)
{
	zl_source_close(network->reactor, &network->monitor);
	network->wanted = NULL;
	network->count = 0;
}

void zl_network_release(struct zl_network *network)
{
	zl_network_cancel(network);
}

void zl_network_apply(struct zl_network *network, Zl__Zone__Interface **wanted, size_t count)
{
	struct zl_error err = ZL_ERROR_INIT;

	network->wanted = wanted;
	network->count = count;
	network->shaped = 0;
	if (count > ZL_NETWORK_INTERFACES_MAX) {
		zl_error_set(&err, ZL_INVALID_ARGUMENT, "a zone has at most %d interfaces",
		        ZL_NETWORK_INTERFACES_MAX);
		zl_network_cancel(network);
		network->done(network, &err);
		return;
	}
	// Listening begins before looking, so no change is missed.
	network->monitor =
	        (struct zl_source){.fd = zl_rtnl_open_monitor(&err), .ready = monitor_ready};
	if (network->monitor.fd < 0 ||
	        zl_source_watch(network->reactor, &network->monitor, EPOLLIN, &err) < 0) {
		zl_network_cancel(network);
		network->done(network, &err);
		return;
	}
	step(network);
}
