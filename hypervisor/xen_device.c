// SPDX-License-Identifier: Apache-2.0
//
// Disks and network interfaces. We write a device's nodes ourselves, all devices of a domain in one
// transaction, instead of asking libxl: it runs a program for each device, one device after the
// other, and takes ten seconds to destroy a domain whose disk was just being attached (its
// "closing" gets overwritten by the driver's next state, and it waits for an answer that never
// comes).
#include <fcntl.h>
#include <inttypes.h>
#include <linux/fs.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>

#include "base/cleanup.h"
#include "hypervisor/bus.h"
#include "hypervisor/domain_config.h"
#include "hypervisor/vif.h"
#include "hypervisor/xen.h"
#include "hypervisor/xen_store.h"

// The same limits as libxl's (LIBXL_INIT_TIMEOUT, LIBXL_DESTROY_TIMEOUT).
enum { INIT_TIMEOUT_MS = 10000, CLOSE_TIMEOUT_MS = 10000, GONE_TIMEOUT_MS = 10000, LOOK_MS = 1000 };

enum { MAX_REWRITES = 8 };

// ---- what is to be attached

// What blkback would find wrong, late and without words. Opened for reading alone, since a close
// after writing makes udev probe the device.
static int check_disk(const struct zl_disk *disk, dev_t *ret, struct zl_error *err)
{
	zl_auto(fd) int fd = open(disk->path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
	struct stat st;
	uint64_t size = 0;
	int readonly = 0;

	if (fd < 0 || fstat(fd, &st) < 0)
		return zl_error_errno(err, errno, "disk %s: %s", disk->vdev, disk->path);
	if (!S_ISBLK(st.st_mode))
		return zl_error_set(err, ZL_INVALID_ARGUMENT, "disk %s: %s is not a block device",
		        disk->vdev, disk->path);
	if (ioctl(fd, BLKGETSIZE64, &size) < 0 || size == 0)
		return zl_error_set(err, ZL_FAILED_PRECONDITION,
		        "disk %s: %s is empty (a loop device without a file?)", disk->vdev,
		        disk->path);
	if (!disk->readonly && ioctl(fd, BLKROGET, &readonly) == 0 && readonly != 0)
		return zl_error_set(err, ZL_FAILED_PRECONDITION,
		        "disk %s: %s is read-only and is to be written to", disk->vdev, disk->path);
	*ret = st.st_rdev;
	return 0;
}

static int prepare_disk(const struct zl_disk *disk, uint32_t domid, const char *script,
        struct zl_attach *attach, struct zl_error *err)
{
	dev_t physical = 0;

	*attach = (struct zl_attach){
	        .device = {.kind = ZL_DEVICE_VBD,
	                .domid = domid,
	                .backend_domid = disk->backend_domid},
	        .disk = disk,
	        .script = script,
	};
	if (zl_disk_devid(disk->vdev, &attach->device.devid, err) < 0)
		return -1;
	if (disk->backend_domid != 0)
		return 0; // its own domain looks it up
	if (check_disk(disk, &physical, err) < 0)
		return -1;
	(void)snprintf(attach->physical, sizeof(attach->physical), "%x:%x", major(physical),
	        minor(physical));
	return 0;
}

static void prepare_nic(
        const struct zl_nic *nic, uint32_t domid, const char *script, struct zl_attach *attach)
{
	*attach = (struct zl_attach){
	        .device = {.kind = ZL_DEVICE_VIF,
	                .domid = domid,
	                .devid = (uint32_t)nic->devid,
	                .backend_domid = nic->backend_domid},
	        .nic = nic,
	        .script = script,
	        .as_made = nic->backend_domid == 0 && nic->ifname == NULL && nic->mtu == 0,
	};
}

// ---- attach

static void describe(const struct zl_attach *attach, char out[static 96])
{
	if (attach->disk != NULL)
		(void)snprintf(out, 96, "disk %s of domain %" PRIu32, attach->disk->vdev,
		        attach->device.domid);
	else
		(void)snprintf(out, 96, "network interface %d of domain %" PRIu32,
		        attach->nic->devid, attach->device.domid);
}

// Never succeeds: what went wrong with a device that is in this state.
static int no_driver(struct zl_xen_context *context, const struct zl_attach *attach, int state,
        struct zl_error *err)
{
	char words[256];
	char what[96];

	describe(attach, what);
	zl_xenstore_driver_error(context->xs, &attach->device, words, sizeof(words));
	if (state != ZL_BUS_INITIALISING)
		return zl_error_set(err, ZL_INTERNAL, "%s: its back end gave up: %s", what,
		        words[0] != '\0' ? words : "dom0's kernel log may say why");
	return zl_error_set(err, ZL_UNAVAILABLE,
	        "%s: no back end took it within %d s; is the module %s loaded in domain %" PRIu32
	        "?",
	        what, INIT_TIMEOUT_MS / 1000, attach->disk != NULL ? "xen-blkback" : "xen-netback",
	        attach->device.backend_domid);
}

static const unsigned taken_states =
        1U << ZL_BUS_INIT_WAIT | 1U << ZL_BUS_INITIALISED | 1U << ZL_BUS_CONNECTED;

// Until the driver in another domain has taken the device. It may be further already.
static int await_driver(struct zl_xen_context *context, const struct zl_attach *attach,
        const struct zl_cancel *cancel, struct zl_error *err)
{
	const unsigned waiting = 1U << ZL_BUS_INITIALISING;
	int state;

	context->watched = true;
	state = zl_xenstore_await(
	        context->xs, &attach->device, ~waiting, cancel, INIT_TIMEOUT_MS, err);
	if (state >= 0 && (taken_states & 1U << state) != 0)
		return 0;
	if (state < 0 && zl_cancel_check(cancel, NULL) < 0)
		return -1;
	return no_driver(context, attach, state < 0 ? ZL_BUS_INITIALISING : state, err);
}

// The first of the devices that dom0's kernel has not taken, NULL if there is none. *ret_state: how
// far it is.
static const struct zl_attach *first_untaken(struct zl_xen_context *context,
        const struct zl_attach *attaches, size_t count, enum zl_bus_state *ret_state)
{
	for (size_t i = 0; i < count; i++) {
		*ret_state = zl_xenstore_state(context->xs, &attaches[i].device);
		if (attaches[i].device.backend_domid == 0 && (taken_states & 1U << *ret_state) == 0)
			return &attaches[i];
	}
	return NULL;
}

static void bus_name(const struct zl_device *device, char out[static ZL_BUS_NAME_SIZE])
{
	char name[ZL_NODE_SIZE];

	zl_device_bus_name(device, name);
	(void)snprintf(out, ZL_BUS_NAME_SIZE, "%.*s", ZL_BUS_NAME_SIZE - 1, name);
}

// Until dom0's drivers have taken their devices. A driver that gives up is not heard of on the bus,
// so states are looked at now and then.
static int await_own_drivers(struct zl_xen_context *context, int fd,
        const struct zl_attach *attaches, size_t count, const struct zl_cancel *cancel,
        struct zl_error *err)
{
	zl_auto(free) struct zl_bus_event *bound = calloc(count + 1, sizeof(*bound));
	const struct zl_attach *untaken;
	enum zl_bus_state state = ZL_BUS_NONE;
	size_t own = 0;

	if (bound == NULL)
		return zl_error_nomem(err);
	for (size_t i = 0; i < count; i++) {
		if (attaches[i].device.backend_domid != 0)
			continue;
		bound[own].action = ZL_BUS_BIND;
		bus_name(&attaches[i].device, bound[own++].name);
	}
	for (int waited = 0;; waited += LOOK_MS) {
		if (zl_bus_await(fd, bound, own, cancel, LOOK_MS, NULL) == 0)
			return 0;
		if (zl_cancel_check(cancel, err) < 0)
			return -1;
		untaken = first_untaken(context, attaches, count, &state);
		if (untaken != NULL &&
		        (state != ZL_BUS_INITIALISING || waited + LOOK_MS >= INIT_TIMEOUT_MS))
			return no_driver(context, untaken, state, err);
	}
}

// netback makes the interface under its own name and waits for this before it connects.
static int bring_up(
        struct zl_xen_context *context, const struct zl_attach *attach, struct zl_error *err)
{
	char made[32];

	(void)snprintf(made, sizeof(made), "vif%" PRIu32 ".%" PRIu32, attach->device.domid,
	        attach->device.devid);
	if (zl_vif_shape(made, attach->nic->ifname != NULL ? attach->nic->ifname : made,
	            attach->nic->mtu, err) < 0)
		return -1;
	return zl_xenstore_put(context->xs, &attach->device, "hotplug-status", "connected", err);
}

static int attach_all(struct zl_xen_context *context, const struct zl_attach *attaches,
        size_t count, const struct zl_cancel *cancel, struct zl_error *err)
{
	zl_auto(fd) int fd = zl_bus_listen(err);

	if (fd < 0 || zl_xenstore_attach(context->xs, attaches, count, err) < 0 ||
	        await_own_drivers(context, fd, attaches, count, cancel, err) < 0)
		return -1;
	for (size_t i = 0; i < count; i++) {
		const struct zl_attach *attach = &attaches[i];
		bool own = attach->device.backend_domid == 0;

		if (!own && await_driver(context, attach, cancel, err) < 0)
			return -1;
		if (own && attach->nic != NULL && !attach->as_made &&
		        bring_up(context, attach, err) < 0)
			return -1;
	}
	return 0;
}

int zl_xen_devices_check(const struct zl_domain_config *config, struct zl_error *err)
{
	struct zl_attach attach;

	for (size_t i = 0; i < config->disk_count; i++) {
		if (prepare_disk(&config->disks[i], 0, NULL, &attach, err) < 0)
			return zl_error_wrap(err, "domain \"%s\"", config->name);
	}
	return 0;
}

static int prepare_all(const struct zl_domain_config *config, uint32_t domid, const char *script,
        struct zl_attach *attaches, struct zl_error *err)
{
	for (size_t i = 0; i < config->disk_count; i++) {
		if (prepare_disk(&config->disks[i], domid, script, &attaches[i], err) < 0)
			return -1;
	}
	for (size_t i = 0; i < config->nic_count; i++)
		prepare_nic(&config->nics[i], domid, script, &attaches[config->disk_count + i]);
	return 0;
}

int zl_xen_devices_add(struct zl_xen_context *context, const char *script, uint32_t domid,
        const struct zl_domain_config *config, const struct zl_cancel *cancel, struct zl_error *err)
{
	size_t count = config->disk_count + config->nic_count;
	zl_auto(free) struct zl_attach *attaches = NULL;

	if (count == 0)
		return 0;
	if (zl_xen_connect(context, err) < 0)
		return -1;
	attaches = calloc(count, sizeof(*attaches));
	if (attaches == NULL)
		return zl_error_nomem(err);
	if (prepare_all(config, domid, script, attaches, err) < 0)
		return -1;
	return attach_all(context, attaches, count, cancel, err);
}

// ---- detach

// Waits until the kernel has let go of devices: of all, or of disks alone.
static int await_gone(int fd, const struct zl_device *devices, size_t count, bool disks_alone,
        struct zl_error *err)
{
	zl_auto(free) struct zl_bus_event *gone = calloc(count + 1, sizeof(*gone));
	size_t waited_for = 0;

	if (gone == NULL)
		return zl_error_nomem(err);
	for (size_t i = 0; i < count; i++) {
		if (devices[i].backend_domid != 0 ||
		        (disks_alone && devices[i].kind != ZL_DEVICE_VBD))
			continue;
		gone[waited_for].action = ZL_BUS_REMOVE;
		bus_name(&devices[i], gone[waited_for++].name);
	}
	return zl_bus_await(fd, gone, waited_for, NULL, GONE_TIMEOUT_MS, err);
}

// Waits until the guest has let go. A driver that was changing state at the same time overwrites
// our "closing"; then it is said again.
static int await_closed(struct zl_xen_context *context, const struct zl_device *device,
        const struct zl_cancel *cancel, struct zl_error *err)
{
	const unsigned any = ~(1U << ZL_BUS_CLOSING);

	context->watched = true;
	for (int i = 0; i < MAX_REWRITES; i++) {
		int state =
		        zl_xenstore_await(context->xs, device, any, cancel, CLOSE_TIMEOUT_MS, err);

		if (state < 0)
			return -1;
		if (state == ZL_BUS_CLOSED || state == ZL_BUS_NONE)
			return 0;
		if (zl_xenstore_close(context->xs, device, NULL) < 0)
			return 0; // it has just gone
	}
	return 0;
}

// Removes the device's nodes and waits for the kernel. Asks the guest first unless `force`; one
// that does not answer in time is not asked again.
static int remove_device(struct zl_xen_context *context, const struct zl_device *device, bool force,
        const struct zl_cancel *cancel, struct zl_error *err)
{
	zl_auto(fd) int fd = zl_bus_listen(err);

	if (fd < 0)
		return -1;
	if (!force && zl_xenstore_close(context->xs, device, NULL) == 0 &&
	        await_closed(context, device, cancel, err) < 0 && zl_cancel_check(cancel, NULL) < 0)
		return -1;
	if (zl_xenstore_remove(context->xs, device, 1, err) < 0)
		return -1;
	if (await_gone(fd, device, 1, false, err) < 0)
		return -1;
	// The driver may have written to its directory in the meantime.
	return zl_xenstore_remove(context->xs, device, 1, err);
}

int zl_xen_devices_drop(struct zl_xen_context *context, uint32_t domid, struct zl_xen_drop *drop,
        struct zl_error *err)
{
	*drop = (struct zl_xen_drop){.domid = domid, .fd = -1};
	if (zl_xen_connect(context, err) < 0 ||
	        zl_xenstore_devices(context->xs, domid, &drop->devices, &drop->count, err) < 0)
		return -1;
	drop->fd = zl_bus_listen(err);
	if (drop->fd < 0)
		return -1;
	return zl_xenstore_remove(context->xs, drop->devices, drop->count, err);
}

int zl_xen_devices_drop_wait(struct zl_xen_context *context, const struct zl_xen_drop *drop,
        bool disks_alone, struct zl_error *err)
{
	int result = await_gone(drop->fd, drop->devices, drop->count, disks_alone, err);

	zl_xenstore_sweep(context->xs, drop->domid);
	return result;
}

void zl_xen_drop_release(struct zl_xen_drop *drop)
{
	free(drop->devices);
	drop->devices = NULL;
	drop->fd = zl_close(drop->fd);
}

// ---- operations

static int add_one(struct zl_xen *xen, const struct zl_attach *attach,
        const struct zl_cancel *cancel, struct zl_error *err)
{
	struct zl_xen_context *context = zl_xen_take(xen, err);
	struct zl_error own = ZL_ERROR_INIT;
	int result;

	if (context == NULL)
		return -1;
	result = zl_xen_need_domain(context, attach->device.domid, &own);
	if (result == 0)
		result = zl_xen_connect(context, &own);
	if (result == 0) {
		result = attach_all(context, attach, 1, cancel, &own);
		if (result < 0 && own.code != ZL_ALREADY_EXISTS)
			(void)remove_device(context, &attach->device, true, NULL, NULL);
	}
	zl_xen_give(xen, context);
	if (result < 0 && err != NULL)
		*err = own;
	return result;
}

static int remove_one(struct zl_xen *xen, struct zl_device *device, const struct zl_cancel *cancel,
        struct zl_error *err)
{
	struct zl_xen_context *context = zl_xen_take(xen, err);
	int result;

	if (context == NULL)
		return -1;
	result = zl_xen_connect(context, err);
	if (result == 0 && zl_xenstore_find(context->xs, device))
		result = remove_device(context, device, false, cancel, err);
	zl_xen_give(xen, context);
	return result;
}

int zl_xen_disk_add(struct zl_hypervisor *hv, uint32_t domid, const struct zl_disk *disk,
        const struct zl_cancel *cancel, struct zl_error *err)
{
	struct zl_xen *xen = zl_xen_of(hv);
	struct zl_attach attach;

	if (zl_disk_check(disk, err) < 0 ||
	        prepare_disk(disk, domid, xen->hotplug_program, &attach, err) < 0 ||
	        zl_cancel_check(cancel, err) < 0)
		return -1;
	return add_one(xen, &attach, cancel, err);
}

int zl_xen_disk_remove(struct zl_hypervisor *hv, uint32_t domid, const char *vdev,
        const struct zl_cancel *cancel, struct zl_error *err)
{
	struct zl_device device = {.kind = ZL_DEVICE_VBD, .domid = domid};

	if (zl_disk_devid(vdev, &device.devid, err) < 0)
		return -1;
	if (remove_one(zl_xen_of(hv), &device, cancel, err) == 0)
		return 0;
	return zl_error_wrap(err, "detach disk %s from domain %u", vdev, (unsigned)domid);
}

int zl_xen_nic_add(struct zl_hypervisor *hv, uint32_t domid, const struct zl_nic *nic,
        const struct zl_cancel *cancel, struct zl_error *err)
{
	struct zl_xen *xen = zl_xen_of(hv);
	struct zl_attach attach;

	if (zl_nic_check(nic, err) < 0 || zl_cancel_check(cancel, err) < 0)
		return -1;
	prepare_nic(nic, domid, xen->hotplug_program, &attach);
	return add_one(xen, &attach, cancel, err);
}

int zl_xen_nic_remove(struct zl_hypervisor *hv, uint32_t domid, int devid,
        const struct zl_cancel *cancel, struct zl_error *err)
{
	struct zl_device device = {.kind = ZL_DEVICE_VIF, .domid = domid, .devid = (uint32_t)devid};

	if (remove_one(zl_xen_of(hv), &device, cancel, err) == 0)
		return 0;
	return zl_error_wrap(
	        err, "detach network interface %d from domain %u", devid, (unsigned)domid);
}
