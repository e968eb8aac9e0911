// SPDX-License-Identifier: Apache-2.0
//
// When has the kernel let go of a device?
//
// A back end's device in dom0 outlives its nodes in xenstore for a moment: until its driver has
// taken the interface down, or closed the block device. The kernel tells of that by the uevent
// "remove", which it sends after the driver's remove function (drivers/base/core.c, device_del).
#ifndef ZL_HYPERVISOR_BUS_H
#define ZL_HYPERVISOR_BUS_H

#include <stdbool.h>
#include <stddef.h>

#include "base/error.h"

// A socket that hears the kernel's uevents; open it before the device is told to go. -1 on error.
int zl_bus_listen(struct zl_error *err);

enum { ZL_BUS_NAME_SIZE = 64 };

struct zl_bus_device {
	char name[ZL_BUS_NAME_SIZE]; // on the xen-backend bus: "vbd-3-51712"
	bool gone;                   // set by zl_bus_await_gone
};

// Waits until all of them are gone. DEADLINE_EXCEEDED after timeout_ms.
int zl_bus_await_gone(
        int fd, struct zl_bus_device *devices, size_t count, int timeout_ms, struct zl_error *err);

// Is this uevent (its bytes as the kernel sends them: "remove@/devices/vbd-3-51712", a zero byte,
// variables) the removal of the device?
bool zl_bus_is_removal(const char *message, size_t length, const char *name);

#endif
