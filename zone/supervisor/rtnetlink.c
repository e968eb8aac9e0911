// SPDX-License-Identifier: Apache-2.0
#include "zone/supervisor/rtnetlink.h"

#include <arpa/inet.h>
#include <errno.h>
#include <linux/if_addr.h>
#include <linux/netlink.h>
#include <linux/rtnetlink.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/cleanup.h"

enum {
	REQUEST_SIZE = 1024,
	REPLY_SIZE = 32 * 1024,
	PREFIX_TEXT = 80,
	LOWER_UP = 1 << 16, // IFF_LOWER_UP of linux/if.h, which net/if.h excludes
};

struct request {
	union {
		struct nlmsghdr header;
		char bytes[REQUEST_SIZE];
	};
};

union reply {
	struct nlmsghdr header;
	char bytes[REPLY_SIZE];
};

// ---- text

int zl_rtnl_parse_prefix(const char *text, struct zl_rtnl_prefix *ret, struct zl_error *err)
{
	struct zl_rtnl_prefix prefix = {.family = strchr(text, ':') != NULL ? AF_INET6 : AF_INET};
	long most = prefix.family == AF_INET6 ? 128 : 32;
	char address[PREFIX_TEXT];
	long length = most;
	char *slash;
	char *end = NULL;

	(void)snprintf(address, sizeof(address), "%s", text);
	slash = strchr(address, '/');
	if (slash != NULL) {
		*slash = '\0';
		errno = 0;
		length = strtol(slash + 1, &end, 10);
		if (end == slash + 1 || *end != '\0' || errno != 0)
			length = -1;
	}
	if (strlen(text) >= sizeof(address) || length < 0 || length > most ||
	        inet_pton(prefix.family, address, prefix.bytes) != 1)
		return zl_error_set(err, ZL_INVALID_ARGUMENT, "\"%.80s\" is no IP address", text);
	prefix.length = (uint8_t)length;
	*ret = prefix;
	return 0;
}

int zl_rtnl_parse_mac(const char *text, uint8_t ret[static 6], struct zl_error *err)
{
	unsigned octet[6];
	char rest;

	// NOLINTNEXTLINE(cert-err34-c): each field is two digits, so nothing overflows
	if (sscanf(text, "%2x:%2x:%2x:%2x:%2x:%2x%c", &octet[0], &octet[1], &octet[2], &octet[3],
	            &octet[4], &octet[5], &rest) != 6)
		return zl_error_set(err, ZL_INVALID_ARGUMENT, "\"%.40s\" is no MAC address", text);
	for (size_t i = 0; i < ZL_ARRAY_SIZE(octet); i++)
		ret[i] = (uint8_t)octet[i];
	return 0;
}

// ---- messages

static void *begin(struct request *request, uint16_t type, uint16_t flags, size_t body)
{
	memset(request, 0, sizeof(*request));
	request->header.nlmsg_len = (uint32_t)NLMSG_LENGTH(body);
	request->header.nlmsg_type = type;
	request->header.nlmsg_flags = (uint16_t)(NLM_F_REQUEST | flags);
	return NLMSG_DATA(&request->header);
}

// All attributes of all requests fit REQUEST_SIZE many times over.
static void add(struct request *request, uint16_t type, const void *data, size_t length)
{
	size_t at = NLMSG_ALIGN(request->header.nlmsg_len);
	struct rtattr attribute = {
	        .rta_len = (unsigned short)RTA_LENGTH(length),
	        .rta_type = type,
	};

	memcpy(request->bytes + at, &attribute, sizeof(attribute));
	memcpy(request->bytes + at + RTA_LENGTH(0), data, length);
	request->header.nlmsg_len = (uint32_t)(at + RTA_ALIGN(attribute.rta_len));
}

static int send_request(int fd, const struct request *request, struct zl_error *err)
{
	if (send(fd, request, request->header.nlmsg_len, 0) < 0)
		return zl_error_errno(err, errno, "talk to the kernel's network configuration");
	return 0;
}

// Sends it and waits for the acknowledgement. Returns the kernel's errno, 0 for success, -1 when
// the exchange itself failed.
static int exchange(int fd, struct request *request, struct zl_error *err)
{
	union reply reply;
	const struct nlmsghdr *header = &reply.header;
	ssize_t length;

	request->header.nlmsg_flags |= NLM_F_ACK;
	if (send_request(fd, request, err) < 0)
		return -1;
	do {
		length = recv(fd, &reply, sizeof(reply), 0);
	} while (length < 0 && errno == EINTR);
	if (length < (ssize_t)NLMSG_LENGTH(sizeof(struct nlmsgerr)) ||
	        header->nlmsg_type != NLMSG_ERROR)
		return zl_error_errno(err, length < 0 ? errno : EPROTO,
		        "hear from the kernel's network configuration");
	return -((const struct nlmsgerr *)NLMSG_DATA(header))->error;
}

static int open_socket(int flags, unsigned groups, struct zl_error *err)
{
	struct sockaddr_nl address = {.nl_family = AF_NETLINK, .nl_groups = groups};
	zl_auto(fd) int fd = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC | flags, NETLINK_ROUTE);

	if (fd < 0 || bind(fd, (struct sockaddr *)&address, sizeof(address)) < 0)
		return zl_error_errno(err, errno, "open the kernel's network configuration");
	return zl_take_fd(&fd);
}

int zl_rtnl_open(struct zl_error *err)
{
	return open_socket(0, 0, err);
}

int zl_rtnl_open_monitor(struct zl_error *err)
{
	return open_socket(SOCK_NONBLOCK, RTMGRP_LINK, err);
}

// ---- links

static void parse_link_attribute(
        unsigned type, const char *data, size_t length, struct zl_rtnl_link *link)
{
	if (type == IFLA_IFNAME && length > 0)
		(void)snprintf(link->name, sizeof(link->name), "%.*s", (int)length, data);
	else if (type == IFLA_ADDRESS && length == sizeof(link->mac))
		memcpy(link->mac, data, sizeof(link->mac));
	else if (type == IFLA_MTU && length == sizeof(link->mtu))
		memcpy(&link->mtu, data, sizeof(link->mtu));
}

static void parse_link(const struct nlmsghdr *header, struct zl_rtnl_link *link)
{
	const struct ifinfomsg *info = NLMSG_DATA(header);
	size_t at = NLMSG_LENGTH(NLMSG_ALIGN(sizeof(*info)));
	const char *bytes = (const char *)header;
	struct rtattr attribute;

	*link = (struct zl_rtnl_link){
	        .index = info->ifi_index,
	        .up = (info->ifi_flags & IFF_UP) != 0,
	        .carrier = (info->ifi_flags & LOWER_UP) != 0,
	};
	while (at + sizeof(attribute) <= header->nlmsg_len) {
		memcpy(&attribute, bytes + at, sizeof(attribute));
		if (attribute.rta_len < RTA_LENGTH(0) || at + attribute.rta_len > header->nlmsg_len)
			return;
		parse_link_attribute(attribute.rta_type, bytes + at + RTA_LENGTH(0),
		        attribute.rta_len - RTA_LENGTH(0), link);
		at += RTA_ALIGN(attribute.rta_len);
	}
}

static bool has_mac(const struct zl_rtnl_link *link, const uint8_t *mac)
{
	return mac != NULL && memcmp(link->mac, mac, sizeof(link->mac)) == 0;
}

int zl_rtnl_find(int fd, const uint8_t mac[static 6], const uint8_t *other,
        struct zl_rtnl_link *ret, struct zl_error *err)
{
	union reply reply;
	struct request request;
	int found = 0;

	(void)begin(&request, RTM_GETLINK, NLM_F_DUMP, sizeof(struct ifinfomsg));
	if (send_request(fd, &request, err) < 0)
		return -1;
	for (;;) {
		const struct nlmsghdr *header = &reply.header;
		ssize_t length = recv(fd, &reply, sizeof(reply), 0);

		if (length < 0 && errno == EINTR)
			continue;
		if (length <= 0)
			return zl_error_errno(err, errno, "list the network interfaces");
		for (; NLMSG_OK(header, (size_t)length); header = NLMSG_NEXT(header, length)) {
			struct zl_rtnl_link link;

			if (header->nlmsg_type == NLMSG_DONE || header->nlmsg_type == NLMSG_ERROR)
				return found;
			parse_link(header, &link);
			if (found == 0 && (has_mac(&link, mac) || has_mac(&link, other))) {
				*ret = link;
				found = 1;
			}
		}
	}
}

static int answer(int errnum, const char *what, struct zl_error *err)
{
	if (errnum <= 0)
		return errnum;
	return zl_error_errno(err, errnum, "%s", what);
}

int zl_rtnl_set(
        int fd, int index, const char *name, const uint8_t *mac, uint32_t mtu, struct zl_error *err)
{
	struct request request;
	struct ifinfomsg *info = begin(&request, RTM_NEWLINK, 0, sizeof(*info));

	info->ifi_index = index;
	if (name != NULL)
		add(&request, IFLA_IFNAME, name, strlen(name) + 1);
	if (mac != NULL)
		add(&request, IFLA_ADDRESS, mac, 6);
	if (mtu != 0)
		add(&request, IFLA_MTU, &mtu, sizeof(mtu));
	return answer(exchange(fd, &request, err), "set the interface's name, MAC or MTU", err);
}

int zl_rtnl_set_up(int fd, int index, bool up, struct zl_error *err)
{
	struct request request;
	struct ifinfomsg *info = begin(&request, RTM_NEWLINK, 0, sizeof(*info));

	info->ifi_index = index;
	info->ifi_change = IFF_UP;
	info->ifi_flags = up ? IFF_UP : 0;
	return answer(exchange(fd, &request, err), "set the interface up", err);
}

// ---- addresses and routes

static size_t address_size(const struct zl_rtnl_prefix *prefix)
{
	return prefix->family == AF_INET6 ? 16 : 4;
}

int zl_rtnl_add_address(
        int fd, int index, const struct zl_rtnl_prefix *address, struct zl_error *err)
{
	struct request request;
	struct ifaddrmsg *body =
	        begin(&request, RTM_NEWADDR, NLM_F_CREATE | NLM_F_EXCL, sizeof(*body));
	int errnum;

	body->ifa_family = (uint8_t)address->family;
	body->ifa_prefixlen = address->length;
	body->ifa_index = (uint32_t)index;
	// CNI has looked for duplicates on the pod's side of the splice.
	body->ifa_flags = address->family == AF_INET6 ? IFA_F_NODAD : 0;
	add(&request, IFA_LOCAL, address->bytes, address_size(address));
	add(&request, IFA_ADDRESS, address->bytes, address_size(address));
	errnum = exchange(fd, &request, err);
	return answer(errnum == EEXIST ? 0 : errnum, "add the interface's address", err);
}

int zl_rtnl_add_route(int fd, int index, const struct zl_rtnl_prefix *destination,
        const struct zl_rtnl_prefix *gateway, struct zl_error *err)
{
	struct request request;
	struct rtmsg *body =
	        begin(&request, RTM_NEWROUTE, NLM_F_CREATE | NLM_F_REPLACE, sizeof(*body));

	body->rtm_family = (uint8_t)destination->family;
	body->rtm_dst_len = destination->length;
	body->rtm_table = RT_TABLE_MAIN;
	body->rtm_protocol = RTPROT_STATIC;
	body->rtm_scope = gateway != NULL || destination->family == AF_INET6 ? RT_SCOPE_UNIVERSE
	                                                                     : RT_SCOPE_LINK;
	body->rtm_type = RTN_UNICAST;
	add(&request, RTA_DST, destination->bytes, address_size(destination));
	add(&request, RTA_OIF, &index, sizeof(index));
	if (gateway != NULL)
		add(&request, RTA_GATEWAY, gateway->bytes, address_size(gateway));
	return answer(exchange(fd, &request, err), "add the route", err);
}
