// SPDX-License-Identifier: Apache-2.0
#include "cni-bridge/ip.h"

#include <arpa/inet.h>
#include <ctype.h>
#include <stdio.h>
#include <string.h>

bool zl_ip_parse(const char *text, struct zl_ip *ret)
{
	memset(ret, 0, sizeof(*ret));
	ret->family = strchr(text, ':') != NULL ? AF_INET6 : AF_INET;
	return inet_pton(ret->family, text, ret->bytes) == 1;
}

void zl_ip_print(const struct zl_ip *ip, char *out, size_t size)
{
	if (ip->family == 0 || inet_ntop(ip->family, ip->bytes, out, (socklen_t)size) == NULL)
		out[0] = '\0';
}

bool zl_cidr_parse(const char *text, struct zl_ip *ret, unsigned *ret_prefix)
{
	char address[INET6_ADDRSTRLEN];
	const char *slash = strchr(text, '/');
	unsigned prefix = 0;

	if (slash == NULL || (size_t)(slash - text) >= sizeof(address))
		return false;
	memcpy(address, text, (size_t)(slash - text));
	address[slash - text] = '\0';
	if (slash[1] == '\0' || strlen(slash + 1) > 3)
		return false;
	for (const char *digit = slash + 1; *digit != '\0'; digit++) {
		if (!isdigit((unsigned char)*digit))
			return false;
		prefix = prefix * 10 + (unsigned)(*digit - '0');
	}
	if (!zl_ip_parse(address, ret) || prefix > (ret->family == AF_INET ? 32U : 128U))
		return false;
	*ret_prefix = prefix;
	return true;
}

void zl_cidr_print(const struct zl_ip *ip, unsigned prefix, char out[static ZL_CIDR_SIZE])
{
	char address[INET6_ADDRSTRLEN];

	zl_ip_print(ip, address, sizeof(address));
	(void)snprintf(out, ZL_CIDR_SIZE, "%s/%u", address, prefix);
}

bool zl_ip_within(const struct zl_ip *ip, const struct zl_ip *net, unsigned prefix)
{
	unsigned whole = prefix / 8;
	unsigned rest = prefix % 8;

	if (ip->family != net->family || memcmp(ip->bytes, net->bytes, whole) != 0)
		return false;
	return rest == 0 || ((ip->bytes[whole] ^ net->bytes[whole]) >> (8 - rest)) == 0;
}

void zl_ip_mask(struct zl_ip *ip, unsigned prefix)
{
	for (unsigned i = 0; i < sizeof(ip->bytes); i++) {
		unsigned first = i * 8;
		unsigned kept = prefix > first ? prefix - first : 0;

		if (kept < 8)
			ip->bytes[i] &= (uint8_t)(0xff00U >> kept);
	}
}
