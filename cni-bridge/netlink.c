// SPDX-License-Identifier: Apache-2.0
#include "cni-bridge/netlink.h"

#include <errno.h>
#include <linux/if_link.h>
#include <linux/rtnetlink.h>
#include <net/if.h>
#include <stdarg.h>
#include <string.h>
#include <sys/uio.h>

#include "cni-bridge/netns.h"

static int open_socket(void *data, struct zl_error *err)
{
	struct zl_netlink *netlink = data;
	int on = 1;

	netlink->socket = mnl_socket_open2(NETLINK_ROUTE, SOCK_CLOEXEC);
	if (netlink->socket == NULL ||
	        mnl_socket_bind(netlink->socket, 0, MNL_SOCKET_AUTOPID) < 0) {
		zl_error_errno(err, errno, "open a netlink socket");
		zl_netlink_close(netlink);
		return -1;
	}
	// Explanations in answers, and no echo of the request. A kernel without them only says
	// less.
	(void)mnl_socket_setsockopt(netlink->socket, NETLINK_EXT_ACK, &on, sizeof(on));
	(void)mnl_socket_setsockopt(netlink->socket, NETLINK_CAP_ACK, &on, sizeof(on));
	return 0;
}

int zl_netlink_open(struct zl_netlink *netlink, const char *netns, struct zl_error *err)
{
	netlink->socket = NULL;
	netlink->count = 0;
	netlink->sequence = 1;
	if (netns == NULL)
		return open_socket(netlink, err);
	return zl_netns_run(netns, open_socket, netlink, err);
}

void zl_netlink_close(struct zl_netlink *netlink)
{
	if (netlink->socket != NULL)
		(void)mnl_socket_close(netlink->socket);
	netlink->socket = NULL;
}

struct nlmsghdr *zl_netlink_put(struct zl_netlink *netlink, uint16_t type, uint16_t flags,
        int tolerated, struct zl_error *err, const char *what, ...)
{
	struct nlmsghdr *message;
	va_list args;

	if (netlink->count == ZL_NETLINK_MAX_MESSAGES) {
		zl_error_set(err, ZL_INTERNAL, "too many netlink messages at once");
		return NULL;
	}
	memset(netlink->messages[netlink->count].bytes, 0, ZL_NETLINK_MESSAGE_SIZE);
	message = mnl_nlmsg_put_header(netlink->messages[netlink->count].bytes);
	message->nlmsg_type = type;
	message->nlmsg_flags = (uint16_t)(NLM_F_REQUEST | NLM_F_ACK | flags);
	message->nlmsg_seq = netlink->sequence + (uint32_t)netlink->count;
	netlink->messages[netlink->count].tolerated = tolerated;
	va_start(args, what);
	(void)vsnprintf(netlink->messages[netlink->count].what,
	        sizeof(netlink->messages[netlink->count].what), what, args);
	va_end(args);
	netlink->count++;
	return message;
}

// ---- answers

static int read_explanation(const struct nlattr *attr, void *ret)
{
	const char **text = ret;

	if (mnl_attr_get_type(attr) == NLMSGERR_ATTR_MSG &&
	        mnl_attr_validate(attr, MNL_TYPE_NUL_STRING) >= 0)
		*text = mnl_attr_get_str(attr);
	return MNL_CB_OK;
}

// The kernel's words in an extended acknowledgement, NULL if it has none: attributes behind the
// error code and the header of the request (NETLINK_CAP_ACK).
static const char *explanation(const struct nlmsghdr *message)
{
	const char *text = NULL;

	if ((message->nlmsg_flags & NLM_F_ACK_TLVS) != 0)
		(void)mnl_attr_parse(
		        message, sizeof(struct nlmsgerr), read_explanation, (void *)&text);
	return text;
}

static int check_answer(
        const struct zl_netlink *netlink, const struct nlmsghdr *message, struct zl_error *err)
{
	const struct nlmsgerr *answer = mnl_nlmsg_get_payload(message);
	uint32_t index = message->nlmsg_seq - netlink->sequence;
	const char *why;

	if (answer->error == 0 || -answer->error == netlink->messages[index].tolerated)
		return 0;
	why = explanation(message);
	if (why == NULL)
		return zl_error_errno(err, -answer->error, "%s", netlink->messages[index].what);
	return zl_error_errno(err, -answer->error, "%s (%s)", netlink->messages[index].what, why);
}

// Takes the answers of one datagram; *left falls by one for each acknowledgement.
static int take_answers(struct zl_netlink *netlink, const void *bytes, int length, size_t *left,
        zl_netlink_data *on_data, void *argument, struct zl_error *err)
{
	int result = 0;
	struct zl_error later = ZL_ERROR_INIT;

	for (const struct nlmsghdr *message = bytes; mnl_nlmsg_ok(message, length);
	        message = mnl_nlmsg_next(message, &length)) {
		if (message->nlmsg_seq - netlink->sequence >= netlink->count)
			continue;
		if (message->nlmsg_type != NLMSG_ERROR) {
			if (on_data != NULL)
				on_data(message, argument);
			continue;
		}
		(*left)--;
		if (check_answer(netlink, message, result == 0 ? err : &later) < 0)
			result = -1;
	}
	return result;
}

static int send_all(struct zl_netlink *netlink, struct zl_error *err)
{
	struct iovec parts[ZL_NETLINK_MAX_MESSAGES];
	struct sockaddr_nl kernel = {.nl_family = AF_NETLINK};
	struct msghdr send = {.msg_name = &kernel,
	        .msg_namelen = sizeof(kernel),
	        .msg_iov = parts,
	        .msg_iovlen = netlink->count};

	for (size_t i = 0; i < netlink->count; i++) {
		struct nlmsghdr *message = (struct nlmsghdr *)netlink->messages[i].bytes;

		parts[i].iov_base = message;
		parts[i].iov_len = NLMSG_ALIGN(message->nlmsg_len);
	}
	if (sendmsg(mnl_socket_get_fd(netlink->socket), &send, 0) < 0)
		return zl_error_errno(err, errno, "send netlink messages");
	return 0;
}

int zl_netlink_commit(
        struct zl_netlink *netlink, zl_netlink_data *on_data, void *argument, struct zl_error *err)
{
	uint8_t bytes[32 * 1024] __attribute__((aligned(8)));
	struct zl_error later = ZL_ERROR_INIT;
	size_t left = netlink->count;
	int result = send_all(netlink, err);

	if (result < 0)
		left = 0;
	while (left > 0) {
		ssize_t got = mnl_socket_recvfrom(netlink->socket, bytes, sizeof(bytes));

		if (got < 0 && errno == EINTR)
			continue;
		if (got <= 0) {
			result = zl_error_errno(err, errno, "receive netlink messages");
			break;
		}
		if (take_answers(netlink, bytes, (int)got, &left, on_data, argument,
		            result == 0 ? err : &later) < 0)
			result = -1;
	}
	netlink->sequence += (uint32_t)netlink->count;
	netlink->count = 0;
	return result;
}

// ---- links

static int read_link_attribute(const struct nlattr *attr, void *argument)
{
	struct zl_link *link = argument;
	const uint8_t *b = mnl_attr_get_payload(attr);

	if (mnl_attr_get_type(attr) == IFLA_MTU)
		link->mtu = mnl_attr_get_u32(attr);
	if (mnl_attr_get_type(attr) == IFLA_ADDRESS && mnl_attr_get_payload_len(attr) == 6)
		(void)snprintf(link->mac, sizeof(link->mac), "%02x:%02x:%02x:%02x:%02x:%02x", b[0],
		        b[1], b[2], b[3], b[4], b[5]);
	return MNL_CB_OK;
}

static void read_link(const struct nlmsghdr *message, void *argument)
{
	const struct ifinfomsg *info = mnl_nlmsg_get_payload(message);
	struct zl_link *link = argument;

	link->index = info->ifi_index;
	(void)mnl_attr_parse(message, sizeof(*info), read_link_attribute, link);
}

// A message about the link `name`; IFLA_IFNAME finds it where ifi_index is 0.
static struct nlmsghdr *put_link(struct zl_netlink *netlink, uint16_t type, const char *name,
        unsigned flags, int tolerated, const char *what, struct zl_error *err)
{
	struct nlmsghdr *message;
	struct ifinfomsg *info;

	if (strlen(name) >= IFNAMSIZ) {
		zl_error_set(
		        err, ZL_INVALID_ARGUMENT, "interface name \"%.64s\" is too long", name);
		return NULL;
	}
	message = zl_netlink_put(netlink, type, 0, tolerated, err, "%s %s", what, name);
	if (message == NULL)
		return NULL;
	info = mnl_nlmsg_put_extra_header(message, sizeof(*info));
	info->ifi_family = AF_UNSPEC;
	info->ifi_flags = flags;
	info->ifi_change = flags;
	mnl_attr_put_strz(message, IFLA_IFNAME, name);
	return message;
}

int zl_link_get(
        struct zl_netlink *netlink, const char *name, struct zl_link *ret, struct zl_error *err)
{
	struct zl_link link = {0};

	if (put_link(netlink, RTM_GETLINK, name, 0, 0, "find interface", err) == NULL)
		return -1;
	if (zl_netlink_commit(netlink, read_link, &link, err) < 0) {
		if (err != NULL && err->errnum == ENODEV)
			err->code = ZL_NOT_FOUND;
		return -1;
	}
	*ret = link;
	return 0;
}

int zl_link_put_up(struct zl_netlink *netlink, const char *name, struct zl_error *err)
{
	return put_link(netlink, RTM_NEWLINK, name, IFF_UP, 0, "set up interface", err) != NULL
	               ? 0
	               : -1;
}

int zl_link_put_mtu(
        struct zl_netlink *netlink, const char *name, uint32_t mtu, struct zl_error *err)
{
	struct nlmsghdr *message =
	        put_link(netlink, RTM_NEWLINK, name, 0, 0, "set the MTU of interface", err);

	if (message == NULL)
		return -1;
	mnl_attr_put_u32(message, IFLA_MTU, mtu);
	return 0;
}

int zl_link_put_netns(
        struct zl_netlink *netlink, const char *name, int netns_fd, struct zl_error *err)
{
	struct nlmsghdr *message = put_link(netlink, RTM_NEWLINK, name, 0, 0,
	        "move into the pod's network namespace interface", err);

	if (message == NULL)
		return -1;
	mnl_attr_put_u32(message, IFLA_NET_NS_FD, (uint32_t)netns_fd);
	return 0;
}

int zl_link_put_no_addrgen(struct zl_netlink *netlink, const char *name, struct zl_error *err)
{
	// EAFNOSUPPORT: a kernel without IPv6, which makes no address either.
	struct nlmsghdr *message = put_link(netlink, RTM_NEWLINK, name, 0, EAFNOSUPPORT,
	        "turn off IPv6 address generation on interface", err);
	struct nlattr *families;
	struct nlattr *inet6;

	if (message == NULL)
		return -1;
	families = mnl_attr_nest_start(message, IFLA_AF_SPEC);
	inet6 = mnl_attr_nest_start(message, AF_INET6);
	mnl_attr_put_u8(message, IFLA_INET6_ADDR_GEN_MODE, IN6_ADDR_GEN_MODE_NONE);
	mnl_attr_nest_end(message, inet6);
	mnl_attr_nest_end(message, families);
	return 0;
}
