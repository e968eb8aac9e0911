// SPDX-License-Identifier: Apache-2.0
//
// What the kernel does with the back ends' devices in dom0, as it tells by its uevents.
//
// - When a driver has taken a device, the kernel says "bind" (driver_bound, drivers/base/dd.c).
// Both
//   back ends have said "InitWait" in xenstore by then, and netback has made its interface, which
//   is not to be seen in xenstore: an ioctl on an interface that is not there yet makes the kernel
//   look for a module of that name, which takes longer than all the rest of an attach (dev_load,
//   net/core/dev_ioctl.c). The event costs nothing, where a watch is four trips to xenstored.
// - A device outlives its nodes until its driver has taken the interface down, or closed the block
//   device; then the kernel says "remove" (device_del, drivers/base/core.c).
#ifndef ZL_HYPERVISOR_BUS_H
#define ZL_HYPERVISOR_BUS_H

#include <stdbool.h>
#include <stddef.h>

#include "base/cancel.h"
#include "base/error.h"

enum { ZL_BUS_NAME_SIZE = 64 };

#define ZL_BUS_BIND   "bind"
#define ZL_BUS_REMOVE "remove"

// Something to be waited for.
struct zl_bus_event {
	const char *action;          // ZL_BUS_BIND or ZL_BUS_REMOVE
	char name[ZL_BUS_NAME_SIZE]; // of the device: "vbd-3-51712"
	bool happened;               // set by zl_bus_await
};

// A socket that hears the kernel's uevents; open it before what is to cause them. -1 on error.
int zl_bus_listen(struct zl_error *err);

// Waits until all of them happened. A device that is not there has been removed. The token's error,
// or DEADLINE_EXCEEDED after timeout_ms.
int zl_bus_await(int fd, struct zl_bus_event *events, size_t count, const struct zl_cancel *cancel,
        int timeout_ms, struct zl_error *err);

// Is this uevent (its bytes as the kernel sends them: "remove@/devices/vbd-3-51712", a zero byte,
// variables) the event?
bool zl_bus_matches(const char *message, size_t length, const struct zl_bus_event *event);

#endif
