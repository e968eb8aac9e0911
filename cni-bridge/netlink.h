// SPDX-License-Identifier: Apache-2.0
//
// A small layer over libmnl for rtnetlink: messages are gathered, sent in one go, and each one's
// answer is checked (rtnetlink(7), linux/rtnetlink.h). The kernel carries out the messages of one
// send in order, and goes on after one that failed.
//
// Thread rule: one thread at a time.
#ifndef ZL_CNI_BRIDGE_NETLINK_H
#define ZL_CNI_BRIDGE_NETLINK_H

#include <libmnl/libmnl.h>
#include <stdint.h>

#include "base/cleanup.h"
#include "base/error.h"

enum { ZL_NETLINK_MAX_MESSAGES = 16, ZL_NETLINK_MESSAGE_SIZE = 512 };

struct zl_netlink {
	struct mnl_socket *socket; // NULL when closed
	uint32_t sequence;         // of the first message gathered
	size_t count;              // messages gathered
	struct {
		uint8_t bytes[ZL_NETLINK_MESSAGE_SIZE] __attribute__((aligned(8)));
		char what[96]; // for errors: "set vif3.0 up"
		int tolerated; // an errno that is no failure; 0: none
	} messages[ZL_NETLINK_MAX_MESSAGES];
};

#define ZL_NETLINK_INIT {.socket = NULL}

// Opens a socket in the namespace at `netns`, NULL for the caller's own.
int zl_netlink_open(struct zl_netlink *netlink, const char *netns, struct zl_error *err);
void zl_netlink_close(struct zl_netlink *netlink);
ZL_AUTO_DEFINE_VALUE(netlink, struct zl_netlink, zl_netlink_close);

// Begins a message: type RTM_…, flags beyond NLM_F_REQUEST and NLM_F_ACK. The caller adds to it
// with mnl_nlmsg_put_extra_header and mnl_attr_put_…_check: ZL_NETLINK_MESSAGE_SIZE bytes in all.
// `tolerated` is an errno that is as good as success (EEXIST, say). NULL when full.
struct nlmsghdr *zl_netlink_put(struct zl_netlink *netlink, uint16_t type, uint16_t flags,
        int tolerated, struct zl_error *err, const char *what, ...)
        __attribute__((format(printf, 6, 7)));

// Sends what was gathered and waits for each answer. Data that comes back is given to `on_data`
// (may be NULL). The first failure is the error, with the kernel's own explanation. Nothing is
// gathered afterwards.
typedef void zl_netlink_data(const struct nlmsghdr *message, void *argument);
int zl_netlink_commit(
        struct zl_netlink *netlink, zl_netlink_data *on_data, void *argument, struct zl_error *err);

struct zl_link {
	int index;
	uint32_t mtu;
	char mac[18]; // "" for one without a MAC
};

// NOT_FOUND if there is none of this name.
int zl_link_get(
        struct zl_netlink *netlink, const char *name, struct zl_link *ret, struct zl_error *err);

// Gather a change of the link: up; up with this MTU; into the namespace of `netns_fd`.
int zl_link_put_up(struct zl_netlink *netlink, const char *name, struct zl_error *err);
int zl_link_put_mtu(
        struct zl_netlink *netlink, const char *name, uint32_t mtu, struct zl_error *err);
int zl_link_put_netns(
        struct zl_netlink *netlink, const char *name, int netns_fd, struct zl_error *err);

// Gathers "no IPv6 address of its own making" for a link that only passes frames on.
int zl_link_put_no_addrgen(struct zl_netlink *netlink, const char *name, struct zl_error *err);

#endif
