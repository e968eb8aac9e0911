// SPDX-License-Identifier: Apache-2.0
//
// Device nodes in xenstore, brought there and taken away, and the wait for what others do to them.
//
// Thread rule: a connection belongs to one thread at a time (each context has its own).
#ifndef ZL_HYPERVISOR_XEN_STORE_H
#define ZL_HYPERVISOR_XEN_STORE_H

#include "hypervisor/xen_nodes.h"

struct xs_handle;

// XenbusState (xen/include/public/io/xenbus.h).
enum zl_bus_state {
	ZL_BUS_NONE = 0, // there is no such node, or it says nothing sensible
	ZL_BUS_INITIALISING = 1,
	ZL_BUS_INIT_WAIT = 2,
	ZL_BUS_INITIALISED = 3,
	ZL_BUS_CONNECTED = 4,
	ZL_BUS_CLOSING = 5,
	ZL_BUS_CLOSED = 6,
};

// Writes the nodes of all devices in one transaction: all are there or none. ALREADY_EXISTS if one
// is there already.
int zl_xenstore_attach(
        struct xs_handle *xs, const struct zl_attach *attaches, size_t count, struct zl_error *err);

// Asks the front end to let the device go: the back end is no longer online, and closing. NOT_FOUND
// if there is no such device.
int zl_xenstore_close(struct xs_handle *xs, const struct zl_device *device, struct zl_error *err);

// Removes all nodes of the devices in one transaction, whatever their state: the kernel's back ends
// take that as the end. What is not there is fine.
int zl_xenstore_remove(
        struct xs_handle *xs, const struct zl_device *devices, size_t count, struct zl_error *err);

// Removes what is left of the back ends of a domain in dom0, and their error reports.
void zl_xenstore_sweep(struct xs_handle *xs, uint32_t domid);

// The vbd and vif devices of a domain by libxl's record of them. The caller frees *ret.
int zl_xenstore_devices(struct xs_handle *xs, uint32_t domid, struct zl_device **ret,
        size_t *ret_count, struct zl_error *err);
// One of them: false if there is no record of it. Sets backend_domid.
bool zl_xenstore_find(struct xs_handle *xs, struct zl_device *device);

// Writes one node of the back end's directory.
int zl_xenstore_put(struct xs_handle *xs, const struct zl_device *device, const char *name,
        const char *value, struct zl_error *err);

enum zl_bus_state zl_xenstore_state(struct xs_handle *xs, const struct zl_device *device);

// Waits until the state of the back end is one of `states` (a set of 1 << state), and returns it.
// -1: the token's error, or DEADLINE_EXCEEDED after timeout_ms.
int zl_xenstore_await(struct xs_handle *xs, const struct zl_device *device, unsigned states,
        const struct zl_cancel *cancel, int timeout_ms, struct zl_error *err);

// What the back end's driver reported as its error, "" if nothing. At most size - 1 characters.
void zl_xenstore_driver_error(
        struct xs_handle *xs, const struct zl_device *device, char *out, size_t size);

#endif
