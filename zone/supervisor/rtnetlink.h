// SPDX-License-Identifier: Apache-2.0
//
// The few rtnetlink(7) requests that bring a zone's network up. Each is sent and acknowledged at
// once, on a socket of its own; the kernel answers without waiting for anything.
#ifndef ZL_ZONE_SUPERVISOR_RTNETLINK_H
#define ZL_ZONE_SUPERVISOR_RTNETLINK_H

#include <net/if.h>
#include <stdbool.h>
#include <stdint.h>

#include "base/error.h"

struct zl_rtnl_link {
	int index;
	char name[IF_NAMESIZE];
	uint8_t mac[6];
	uint32_t mtu;
	bool up;
	bool carrier; // IFF_LOWER_UP
};

// An address or a destination: family, bytes, prefix length.
struct zl_rtnl_prefix {
	int family; // AF_INET, AF_INET6
	uint8_t bytes[16];
	uint8_t length; // of the prefix, in bits
};

// "10.88.0.5/16", "fd00::5/64", or without a length: the whole address.
int zl_rtnl_parse_prefix(const char *text, struct zl_rtnl_prefix *ret, struct zl_error *err);
// "02:00:00:aa:bb:cc"
int zl_rtnl_parse_mac(const char *text, uint8_t ret[static 6], struct zl_error *err);

// A socket for the functions below.
int zl_rtnl_open(struct zl_error *err);
// A non-blocking socket that becomes readable when a link changes.
int zl_rtnl_open_monitor(struct zl_error *err);

// The interface with one of these MACs (`other` may be NULL). 1: found, 0: there is none.
int zl_rtnl_find(int fd, const uint8_t mac[static 6], const uint8_t *other,
        struct zl_rtnl_link *ret, struct zl_error *err);
// Changes name (NULL: not), MAC (NULL: not), MTU (0: not) of a link that is down, then sets it up.
int zl_rtnl_set(int fd, int index, const char *name, const uint8_t *mac, uint32_t mtu,
        struct zl_error *err);
int zl_rtnl_set_up(int fd, int index, bool up, struct zl_error *err);
// An address that is there already is fine.
int zl_rtnl_add_address(
        int fd, int index, const struct zl_rtnl_prefix *address, struct zl_error *err);
// A route that is there already is replaced. gateway NULL: on link.
int zl_rtnl_add_route(int fd, int index, const struct zl_rtnl_prefix *destination,
        const struct zl_rtnl_prefix *gateway, struct zl_error *err);

#endif
