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

#define REMOVE "remove@/devices/"

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

bool zl_bus_is_removal(const char *message, size_t length, const char *name)
{
	size_t prefix = sizeof(REMOVE) - 1;
	size_t name_length = strlen(name);

	return length > prefix + name_length && memcmp(message, REMOVE, prefix) == 0 &&
	       memcmp(message + prefix, name, name_length) == 0 &&
	       message[prefix + name_length] == '\0';
}

static bool present(const char *name)
{
	char path[128];

	(void)snprintf(path, sizeof(path), "/sys/devices/%s", name);
	return access(path, F_OK) == 0;
}

// Takes note of the removals among the messages that are there.
static void hear(int fd, struct zl_bus_device *devices, size_t count)
{
	char message[MESSAGE_SIZE];
	struct sockaddr_nl from = {0};
	socklen_t from_size = sizeof(from);
	ssize_t length;

	while ((length = recvfrom(fd, message, sizeof(message), 0, (struct sockaddr *)&from,
	                &from_size)) > 0) {
		// Only the kernel has port 0.
		for (size_t i = 0; from.nl_pid == 0 && i < count; i++) {
			if (zl_bus_is_removal(message, (size_t)length, devices[i].name))
				devices[i].gone = true;
		}
	}
}

// The first that is still there, NULL if none is.
static const char *first_present(struct zl_bus_device *devices, size_t count)
{
	for (size_t i = 0; i < count; i++) {
		if (!devices[i].gone && present(devices[i].name))
			return devices[i].name;
		devices[i].gone = true;
	}
	return NULL;
}

int zl_bus_await_gone(
        int fd, struct zl_bus_device *devices, size_t count, int timeout_ms, struct zl_error *err)
{
	int64_t deadline = zl_clock_monotonic() + timeout_ms * ZL_NS_PER_MS;
	const char *name;

	while ((name = first_present(devices, count)) != NULL) {
		struct pollfd poll_fd = {.fd = fd, .events = POLLIN};
		int64_t left_ms = (deadline - zl_clock_monotonic()) / ZL_NS_PER_MS;

		if (left_ms <= 0)
			return zl_error_set(err, ZL_DEADLINE_EXCEEDED,
			        "the kernel does not let go of the device %s "
			        "(/sys/devices)",
			        name);
		(void)poll(&poll_fd, 1, left_ms < LOOK_AGAIN_MS ? (int)left_ms : LOOK_AGAIN_MS);
		hear(fd, devices, count);
	}
	return 0;
}
