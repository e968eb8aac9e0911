// SPDX-License-Identifier: Apache-2.0
#include "hypervisor/vif.h"

#include <errno.h>
#include <fcntl.h>
#include <net/if.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/cleanup.h"

static void set_name(char to[static IFNAMSIZ], const char *name)
{
	(void)snprintf(to, IFNAMSIZ, "%s", name);
}

static int rename_link(int fd, const char *from, const char *to, struct zl_error *err)
{
	struct ifreq request = {0};

	if (strcmp(from, to) == 0)
		return 0;
	set_name(request.ifr_name, from);
	set_name(request.ifr_newname, to);
	if (ioctl(fd, SIOCSIFNAME, &request) < 0)
		return zl_error_errno(err, errno, "rename network interface %s to %s", from, to);
	return 0;
}

static int set_mtu(int fd, const char *name, uint32_t mtu, struct zl_error *err)
{
	struct ifreq request = {.ifr_mtu = (int)mtu};

	if (mtu == 0)
		return 0;
	set_name(request.ifr_name, name);
	if (ioctl(fd, SIOCSIFMTU, &request) < 0)
		return zl_error_errno(err, errno, "set the MTU of %s to %u", name, (unsigned)mtu);
	return 0;
}

// Where the file is not there, neither is IPv6.
static int disable_ipv6(const char *name, struct zl_error *err)
{
	char path[64 + IFNAMSIZ];
	zl_auto(fd) int fd = -1;

	(void)snprintf(path, sizeof(path), "/proc/sys/net/ipv6/conf/%s/disable_ipv6", name);
	fd = open(path, O_WRONLY | O_CLOEXEC);
	if (fd < 0 && errno == ENOENT)
		return 0;
	if (fd < 0 || write(fd, "1", 1) != 1)
		return zl_error_errno(err, errno, "%s", path);
	return 0;
}

static int set_up(int fd, const char *name, struct zl_error *err)
{
	struct ifreq request = {0};

	set_name(request.ifr_name, name);
	if (ioctl(fd, SIOCGIFFLAGS, &request) < 0)
		return zl_error_errno(err, errno, "network interface %s", name);
	request.ifr_flags = (short)(request.ifr_flags | IFF_UP);
	if (ioctl(fd, SIOCSIFFLAGS, &request) < 0)
		return zl_error_errno(err, errno, "set network interface %s up", name);
	return 0;
}

// Any socket takes these requests (net/socket.c, sock_do_ioctl).
static int open_socket(struct zl_error *err)
{
	int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);

	return fd >= 0 ? fd : zl_error_errno(err, errno, "make a socket");
}

int zl_vif_shape(const char *from, const char *to, uint32_t mtu, struct zl_error *err)
{
	zl_auto(fd) int fd = open_socket(err);

	if (fd < 0 || rename_link(fd, from, to, err) < 0)
		return -1;
	return set_mtu(fd, to, mtu, err);
}

int zl_vif_prepare(const char *from, const char *to, uint32_t mtu, struct zl_error *err)
{
	zl_auto(fd) int fd = open_socket(err);

	if (fd < 0 || zl_vif_shape(from, to, mtu, err) < 0 || disable_ipv6(to, err) < 0)
		return -1;
	return set_up(fd, to, err);
}
