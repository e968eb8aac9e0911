// SPDX-License-Identifier: Apache-2.0
//
// Waiting for block devices, which come when the daemon attaches them: by the kernel's uevents, so
// without a poll. The netlink socket is opened with the first device that is not there yet.
#ifndef ZL_ZONE_SUPERVISOR_DEVICE_H
#define ZL_ZONE_SUPERVISOR_DEVICE_H

#include "zone/supervisor/reactor.h"

struct zl_device_wait {
	char path[64];
	void (*ready)(struct zl_device_wait *wait); // the device can be opened now
	struct zl_device_wait *next;
	bool waiting;
};

struct zl_devices {
	struct zl_reactor *reactor;
	struct zl_source uevents;
	struct zl_device_wait *waits;
};

void zl_devices_init(struct zl_devices *devices, struct zl_reactor *reactor);
void zl_devices_release(struct zl_devices *devices);

// Calls wait->ready when wait->path is a block device that can be opened: before the return if it
// is there already.
int zl_device_wait(struct zl_devices *devices, struct zl_device_wait *wait, struct zl_error *err);
void zl_device_wait_cancel(struct zl_devices *devices, struct zl_device_wait *wait);

// Waits right here, without a reactor, until `path` is a block device that can be opened, at most
// timeout_ms: DEADLINE_EXCEEDED.
int zl_device_await(const char *path, int timeout_ms, struct zl_error *err);

#endif
