// SPDX-License-Identifier: Apache-2.0
#include "zone/supervisor/device.h"
#include "zone/protocol/enclosing.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/netlink.h>
#include <poll.h>
#include <stddef.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/clock.h"

enum { UEVENT_SIZE = 8192, KERNEL_GROUP = 1 };

// Opening it shows that the driver is connected: the node alone may be early (ENXIO).
static bool device_ready(const char *path)
{
	zl_auto(fd) int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
	struct stat st;

	return fd >= 0 && fstat(fd, &st) == 0 && S_ISBLK(st.st_mode) && lseek(fd, 0, SEEK_END) > 0;
}

static void check_waits(struct zl_devices *devices)
{
	struct zl_device_wait *wait = devices->waits;

	while (wait != NULL) {
		if (!device_ready(wait->path)) {
			wait = wait->next;
			continue;
		}
		zl_device_wait_cancel(devices, wait);
		wait->ready(wait);
		wait = devices->waits; // the callback may have changed the list
	}
}

// What the events say does not matter: any of them is a reason to look.
static void drop_uevents(int fd)
{
	char event[UEVENT_SIZE];

	while (recv(fd, event, sizeof(event), MSG_DONTWAIT) >= 0 || errno == ENOBUFS)
		;
}

static void uevents_ready(struct zl_source *source, uint32_t events)
{
	struct zl_devices *devices = ZL_ENCLOSING(source, struct zl_devices, uevents);

	(void)events;
	drop_uevents(source->fd);
	check_waits(devices);
}

static int open_uevents(struct zl_error *err)
{
	struct sockaddr_nl address = {.nl_family = AF_NETLINK, .nl_groups = KERNEL_GROUP};
	int fd = socket(
	        AF_NETLINK, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, NETLINK_KOBJECT_UEVENT);

	if (fd >= 0 && bind(fd, (struct sockaddr *)&address, sizeof(address)) == 0)
		return fd;
	zl_error_errno(err, errno, "listen for the kernel's device events");
	return zl_close(fd);
}

static int listen_uevents(struct zl_devices *devices, struct zl_error *err)
{
	if (devices->uevents.fd >= 0)
		return 0;
	devices->uevents.ready = uevents_ready;
	devices->uevents.fd = open_uevents(err);
	if (devices->uevents.fd < 0)
		return -1;
	return zl_source_watch(devices->reactor, &devices->uevents, EPOLLIN, err);
}

void zl_devices_init(struct zl_devices *devices, struct zl_reactor *reactor)
{
	*devices = (struct zl_devices){.reactor = reactor, .uevents = {.fd = -1}};
}

void zl_devices_release(struct zl_devices *devices)
{
	zl_source_close(devices->reactor, &devices->uevents);
}

int zl_device_wait(struct zl_devices *devices, struct zl_device_wait *wait, struct zl_error *err)
{
	if (device_ready(wait->path)) {
		wait->ready(wait);
		return 0;
	}
	if (listen_uevents(devices, err) < 0)
		return -1;
	wait->next = devices->waits;
	wait->waiting = true;
	devices->waits = wait;
	// It may have come while the socket was being made.
	check_waits(devices);
	return 0;
}

void zl_device_wait_cancel(struct zl_devices *devices, struct zl_device_wait *wait)
{
	for (struct zl_device_wait **at = &devices->waits; *at != NULL; at = &(*at)->next) {
		if (*at == wait) {
			*at = wait->next;
			break;
		}
	}
	wait->waiting = false;
}

int zl_device_await(const char *path, int timeout_ms, struct zl_error *err)
{
	int64_t deadline = zl_clock_monotonic() + timeout_ms * ZL_NS_PER_MS;
	zl_auto(fd) int fd = open_uevents(err);

	if (fd < 0)
		return -1;
	while (!device_ready(path)) {
		struct pollfd event = {.fd = fd, .events = POLLIN};
		int64_t left_ms = (deadline - zl_clock_monotonic()) / ZL_NS_PER_MS;

		if (left_ms <= 0)
			return zl_error_set(err, ZL_DEADLINE_EXCEEDED,
			        "the disk %s did not come within %d s", path, timeout_ms / 1000);
		if (poll(&event, 1, (int)left_ms) > 0)
			drop_uevents(fd);
	}
	return 0;
}
