// SPDX-License-Identifier: Apache-2.0
#include "hypervisor/bus.h"

#include <errno.h>
#include <linux/netlink.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/clock.h"

enum {
	KERNEL_GROUP = 1,    // the kernel's own uevents; udev's are group 2
	MESSAGE_SIZE = 8192, // UEVENT_BUFFER_SIZE is 2048 (include/linux/kobject.h)
	RECEIVE_BUFFER = 1 << 18,
	LOOK_AGAIN_MS = 1000, // messages get lost when the buffer is full
};

int zl_bus_listen(struct zl_error *err)
{
	struct sockaddr_nl address = {.nl_family = AF_NETLINK, .nl_groups = KERNEL_GROUP};
	int size = RECEIVE_BUFFER;
	int fd =
	        socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC | SOCK_NONBLOCK, NETLINK_KOBJECT_UEVENT);

	if (fd < 0)
		return zl_error_errno(err, errno, "listen to the kernel's device events");
	(void)setsockopt(fd, SOL_SOCKET, SO_RCVBUFFORCE, &size, sizeof(size));
	if (bind(fd, (struct sockaddr *)&address, sizeof(address)) == 0)
		return fd;
	zl_error_errno(err, errno, "listen to the kernel's device events");
	(void)close(fd);
	return -1;
}

bool zl_bus_matches(const char *message, size_t length, const struct zl_bus_event *event)
{
	char wanted[ZL_BUS_NAME_SIZE + 32];
	int size = snprintf(wanted, sizeof(wanted), "%s@/devices/%s", event->action, event->name);

	// With the zero byte at the end of both.
	return size > 0 && (size_t)size < sizeof(wanted) && length > (size_t)size &&
	       memcmp(message, wanted, (size_t)size + 1) == 0;
}

// Takes note of those among the messages that are there.
static void hear(int fd, struct zl_bus_event *events, size_t count)
{
	char message[MESSAGE_SIZE];
	struct sockaddr_nl from = {0};
	socklen_t from_size = sizeof(from);
	ssize_t length;

	while ((length = recvfrom(fd, message, sizeof(message), 0, (struct sockaddr *)&from,
	                &from_size)) > 0) {
		// Only the kernel has port 0.
		for (size_t i = 0; from.nl_pid == 0 && i < count; i++) {
			if (zl_bus_matches(message, (size_t)length, &events[i]))
				events[i].happened = true;
		}
	}
}

static bool present(const char *name)
{
	char path[ZL_BUS_NAME_SIZE + 32];

	(void)snprintf(path, sizeof(path), "/sys/devices/%s", name);
	return access(path, F_OK) == 0;
}

// The first that has not happened yet, NULL if all have.
static const struct zl_bus_event *first_missing(struct zl_bus_event *events, size_t count)
{
	for (size_t i = 0; i < count; i++) {
		bool removal = strcmp(events[i].action, ZL_BUS_REMOVE) == 0;

		if (!events[i].happened && (!removal || present(events[i].name)))
			return &events[i];
		events[i].happened = true;
	}
	return NULL;
}

int zl_bus_await(int fd, struct zl_bus_event *events, size_t count, const struct zl_cancel *cancel,
        int timeout_ms, struct zl_error *err)
{
	int64_t deadline = zl_clock_monotonic() + timeout_ms * ZL_NS_PER_MS;
	const struct zl_bus_event *missing;

	while ((missing = first_missing(events, count)) != NULL) {
		int64_t left_ms = (deadline - zl_clock_monotonic()) / ZL_NS_PER_MS;

		if (left_ms <= 0)
			return zl_error_set(err, ZL_DEADLINE_EXCEEDED,
			        "the kernel did not get to \"%s\" of the device %s within %d s "
			        "(/sys/devices/%s)",
			        missing->action, missing->name, timeout_ms / 1000, missing->name);
		if (left_ms > LOOK_AGAIN_MS)
			left_ms = LOOK_AGAIN_MS;
		if (zl_cancel_poll(cancel, fd, POLLIN, (int)left_ms, NULL) < 0 &&
		        zl_cancel_check(cancel, err) < 0)
			return -1;
		hear(fd, events, count);
	}
	return 0;
}
