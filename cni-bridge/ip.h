// SPDX-License-Identifier: Apache-2.0
//
// IP addresses and prefixes as plain values. What is read here is text of plugins and of CRI
// clients; what is printed is written anew from what was understood.
#ifndef ZL_CNI_BRIDGE_IP_H
#define ZL_CNI_BRIDGE_IP_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct zl_ip {
	int family;        // AF_INET, AF_INET6; 0: none
	uint8_t bytes[16]; // in network order
};

enum { ZL_CIDR_SIZE = 64 };

// "10.0.0.1", "fd00::1". *ret is overwritten either way.
bool zl_ip_parse(const char *text, struct zl_ip *ret);
void zl_ip_print(const struct zl_ip *ip, char *out, size_t size); // "" for none

// "10.0.0.1/8": the address as it stands (no bits are cleared) and the length of the prefix.
bool zl_cidr_parse(const char *text, struct zl_ip *ret, unsigned *ret_prefix);
void zl_cidr_print(const struct zl_ip *ip, unsigned prefix, char out[static ZL_CIDR_SIZE]);

// Is `ip` in the network of `net` with this prefix? Never across families.
bool zl_ip_within(const struct zl_ip *ip, const struct zl_ip *net, unsigned prefix);

// The same with the host's bits cleared.
void zl_ip_mask(struct zl_ip *ip, unsigned prefix);

#endif
