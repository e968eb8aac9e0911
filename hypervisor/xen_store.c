// SPDX-License-Identifier: Apache-2.0
#include "hypervisor/xen_store.h"

#include <errno.h>
#include <inttypes.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <xenstore.h>

#include "base/cleanup.h"
#include "base/clock.h"

enum {
	NODE_ROOM = ZL_NODE_SIZE + 64,
	TRANSACTION_TRIES = 64, // xenstored refuses one when another changed what it read
	MAX_DEVICES = 1024,
};

// ---- one node

static char *read_node(struct xs_handle *xs, xs_transaction_t t, const char *path)
{
	unsigned length;

	return xs_read(xs, t, path, &length);
}

static bool exists(struct xs_handle *xs, xs_transaction_t t, const char *path)
{
	zl_auto(free) char *value = read_node(xs, t, path);

	return value != NULL;
}

static int write_node(struct xs_handle *xs, xs_transaction_t t, const char *path, const char *value)
{
	return xs_write(xs, t, path, value, (unsigned)strlen(value)) ? 0 : -1;
}

// What is not there is fine.
static int remove_node(struct xs_handle *xs, xs_transaction_t t, const char *path)
{
	return xs_rm(xs, t, path) || errno == ENOENT ? 0 : -1;
}

static void backend_node(
        const struct zl_device *device, const char *name, char out[static NODE_ROOM])
{
	char directory[ZL_NODE_SIZE];

	zl_device_backend(device, directory);
	(void)snprintf(out, NODE_ROOM, "%s/%s", directory, name);
}

int zl_xenstore_put(struct xs_handle *xs, const struct zl_device *device, const char *name,
        const char *value, struct zl_error *err)
{
	char path[NODE_ROOM];

	backend_node(device, name, path);
	if (write_node(xs, XBT_NULL, path, value) == 0)
		return 0;
	return zl_error_errno(err, errno, "write %s to xenstore", path);
}

// ---- transactions

// What is done inside: 0, or -1 with errno (or with err, if it has a code).
typedef int transaction_body(
        struct xs_handle *xs, xs_transaction_t t, void *user, struct zl_error *err);

static int run_transaction(struct xs_handle *xs, transaction_body *body, void *user,
        const char *what, struct zl_error *err)
{
	struct zl_error own = ZL_ERROR_INIT;

	for (int i = 0; i < TRANSACTION_TRIES; i++) {
		xs_transaction_t t = xs_transaction_start(xs);

		if (t == XBT_NULL)
			break;
		if (body(xs, t, user, &own) < 0) {
			int saved = errno;

			(void)xs_transaction_end(xs, t, true);
			errno = saved;
			break;
		}
		if (xs_transaction_end(xs, t, false))
			return 0;
		if (errno != EAGAIN)
			break;
	}
	if (own.code == ZL_OK)
		return zl_error_errno(err, errno, "%s in xenstore", what);
	if (err != NULL)
		*err = own;
	return -1;
}

// ---- attach

struct writer {
	struct xs_handle *xs;
	xs_transaction_t t;
};

static int make_directory(void *user, const char *path, uint32_t owner, uint32_t reader)
{
	struct writer *w = user;
	struct xs_permissions permissions[] = {
	        {.id = owner, .perms = XS_PERM_NONE},
	        {.id = reader, .perms = XS_PERM_READ},
	};

	if (!xs_mkdir(w->xs, w->t, path) ||
	        !xs_set_permissions(w->xs, w->t, path, permissions, ZL_ARRAY_SIZE(permissions)))
		return -1;
	return 0;
}

static int put(void *user, const char *path, const char *value)
{
	struct writer *w = user;

	return write_node(w->xs, w->t, path, value);
}

struct attaches {
	const struct zl_attach *list;
	size_t count;
};

// By what no guest can write: libxl's record, or where there is none, dom0's own back end.
static bool is_attached(struct xs_handle *xs, xs_transaction_t t, const struct zl_device *device)
{
	char path[ZL_NODE_SIZE];

	if (device->kind == ZL_DEVICE_9PFS)
		zl_device_backend(device, path);
	else
		zl_device_record(device, path);
	return exists(xs, t, path);
}

static int attach_all(struct xs_handle *xs, xs_transaction_t t, void *user, struct zl_error *err)
{
	const struct attaches *attaches = user;
	struct writer writer = {.xs = xs, .t = t};
	struct zl_node_sink sink = {.directory = make_directory, .put = put, .user = &writer};

	for (size_t i = 0; i < attaches->count; i++) {
		const struct zl_device *device = &attaches->list[i].device;

		if (is_attached(xs, t, device))
			return zl_error_set(err, ZL_ALREADY_EXISTS,
			        "domain %" PRIu32 " has a %s %" PRIu32 " already", device->domid,
			        zl_device_kind_name(device->kind), device->devid);
		if (zl_attach_nodes(&attaches->list[i], &sink) < 0)
			return -1;
	}
	return 0;
}

int zl_xenstore_attach(
        struct xs_handle *xs, const struct zl_attach *attaches, size_t count, struct zl_error *err)
{
	struct attaches all = {.list = attaches, .count = count};

	return run_transaction(xs, attach_all, &all, "write devices", err);
}

// ---- close and remove

static int close_one(struct xs_handle *xs, xs_transaction_t t, void *user, struct zl_error *err)
{
	const struct zl_device *device = user;
	char online[NODE_ROOM];
	char state[NODE_ROOM];
	zl_auto(free) char *old = NULL;

	backend_node(device, "online", online);
	backend_node(device, "state", state);
	old = read_node(xs, t, state);
	if (old == NULL)
		return zl_error_set(err, ZL_NOT_FOUND, "there is no %s", state);
	if (write_node(xs, t, online, "0") < 0)
		return -1;
	return strcmp(old, "6") == 0 ? 0 : write_node(xs, t, state, "5");
}

int zl_xenstore_close(struct xs_handle *xs, const struct zl_device *device, struct zl_error *err)
{
	struct zl_device copy = *device;

	return run_transaction(xs, close_one, &copy, "close a device", err);
}

struct devices {
	const struct zl_device *list;
	size_t count;
};

static int remove_all(struct xs_handle *xs, xs_transaction_t t, void *user, struct zl_error *err)
{
	const struct devices *devices = user;

	(void)err;
	for (size_t i = 0; i < devices->count; i++) {
		char path[ZL_NODE_SIZE];

		zl_device_frontend(&devices->list[i], path);
		if (remove_node(xs, t, path) < 0)
			return -1;
		zl_device_backend(&devices->list[i], path);
		if (remove_node(xs, t, path) < 0)
			return -1;
		zl_device_record(&devices->list[i], path);
		if (remove_node(xs, t, path) < 0)
			return -1;
	}
	return 0;
}

int zl_xenstore_remove(
        struct xs_handle *xs, const struct zl_device *devices, size_t count, struct zl_error *err)
{
	struct devices all = {.list = devices, .count = count};

	return count == 0 ? 0 : run_transaction(xs, remove_all, &all, "remove devices", err);
}

void zl_xenstore_sweep(struct xs_handle *xs, uint32_t domid)
{
	static const char *const formats[] = {
	        "/local/domain/0/backend/vbd/%" PRIu32,
	        "/local/domain/0/backend/vif/%" PRIu32,
	        "/local/domain/0/backend/9pfs/%" PRIu32,
	        "/local/domain/0/error/backend/vbd/%" PRIu32,
	        "/local/domain/0/error/backend/vif/%" PRIu32,
	};

	for (size_t i = 0; i < ZL_ARRAY_SIZE(formats); i++) {
		char path[ZL_NODE_SIZE];

		// Literals above: the compiler cannot see that they fit.
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wformat-nonliteral"
		(void)snprintf(path, sizeof(path), formats[i], domid);
#pragma GCC diagnostic pop
		(void)remove_node(xs, XBT_NULL, path);
	}
}

// ---- what is there

// "/local/domain/3/backend/vif/7/0": the record is dom0's own, a guest cannot write it.
static bool read_backend_domid(struct xs_handle *xs, const char *record, uint32_t *ret)
{
	static const char prefix[] = "/local/domain/";
	char path[NODE_ROOM];
	zl_auto(free) char *backend = NULL;
	unsigned long domid;
	char *end;

	(void)snprintf(path, sizeof(path), "%s/backend", record);
	backend = read_node(xs, XBT_NULL, path);
	if (backend == NULL || strncmp(backend, prefix, sizeof(prefix) - 1) != 0)
		return false;
	domid = strtoul(backend + sizeof(prefix) - 1, &end, 10);
	*ret = (uint32_t)domid;
	return *end == '/' && domid <= UINT32_MAX;
}

bool zl_xenstore_find(struct xs_handle *xs, struct zl_device *device)
{
	char record[ZL_NODE_SIZE];

	zl_device_record(device, record);
	return read_backend_domid(xs, record, &device->backend_domid);
}

static void list_kind(struct xs_handle *xs, uint32_t domid, enum zl_device_kind kind,
        struct zl_device *list, size_t *count)
{
	char path[ZL_NODE_SIZE];
	unsigned entry_count = 0;
	zl_auto(free) char **entries = NULL;

	(void)snprintf(path, sizeof(path), "/libxl/%" PRIu32 "/device/%s", domid,
	        zl_device_kind_name(kind));
	entries = xs_directory(xs, XBT_NULL, path, &entry_count);
	for (unsigned i = 0; entries != NULL && i < entry_count && *count < MAX_DEVICES; i++) {
		struct zl_device device = {.kind = kind, .domid = domid};
		char *end;
		unsigned long devid = strtoul(entries[i], &end, 10);

		device.devid = (uint32_t)devid;
		if (*end == '\0' && devid <= UINT32_MAX && zl_xenstore_find(xs, &device))
			list[(*count)++] = device;
	}
}

int zl_xenstore_devices(struct xs_handle *xs, uint32_t domid, struct zl_device **ret,
        size_t *ret_count, struct zl_error *err)
{
	struct zl_device *list = calloc(MAX_DEVICES, sizeof(*list));

	if (list == NULL)
		return zl_error_nomem(err);
	*ret_count = 0;
	list_kind(xs, domid, ZL_DEVICE_VBD, list, ret_count);
	list_kind(xs, domid, ZL_DEVICE_VIF, list, ret_count);
	*ret = list;
	return 0;
}

// ---- states

static enum zl_bus_state read_state(struct xs_handle *xs, const char *path)
{
	zl_auto(free) char *value = read_node(xs, XBT_NULL, path);

	if (value == NULL || value[0] < '1' || value[0] > '6' || value[1] != '\0')
		return ZL_BUS_NONE;
	return (enum zl_bus_state)(value[0] - '0');
}

enum zl_bus_state zl_xenstore_state(struct xs_handle *xs, const struct zl_device *device)
{
	char path[NODE_ROOM];

	backend_node(device, "state", path);
	return read_state(xs, path);
}

static void drop_events(struct xs_handle *xs)
{
	char **event;

	while ((event = xs_check_watch(xs)) != NULL)
		free(event);
}

static int await_state(struct xs_handle *xs, const char *path, unsigned states,
        const struct zl_cancel *cancel, int64_t deadline_ns, struct zl_error *err)
{
	for (;;) {
		enum zl_bus_state state = read_state(xs, path);
		int64_t left_ms = (deadline_ns - zl_clock_monotonic()) / ZL_NS_PER_MS;

		if ((states & 1U << state) != 0)
			return (int)state;
		if (left_ms <= 0)
			return zl_error_set(
			        err, ZL_DEADLINE_EXCEEDED, "%s stayed at %d", path, (int)state);
		if (zl_cancel_poll(cancel, xs_fileno(xs), POLLIN, (int)left_ms, NULL) < 0 &&
		        zl_cancel_check(cancel, err) < 0)
			return -1;
		drop_events(xs);
	}
}

int zl_xenstore_await(struct xs_handle *xs, const struct zl_device *device, unsigned states,
        const struct zl_cancel *cancel, int timeout_ms, struct zl_error *err)
{
	char path[NODE_ROOM];
	int64_t deadline = zl_clock_monotonic() + timeout_ms * ZL_NS_PER_MS;
	enum zl_bus_state state;
	int result;

	backend_node(device, "state", path);
	state = read_state(xs, path);
	if ((states & 1U << state) != 0)
		return (int)state;
	if (!xs_watch(xs, path, "state"))
		return zl_error_errno(err, errno, "watch %s in xenstore", path);
	result = await_state(xs, path, states, cancel, deadline, err);
	(void)xs_unwatch(xs, path, "state");
	return result;
}

void zl_xenstore_driver_error(
        struct xs_handle *xs, const struct zl_device *device, char *out, size_t size)
{
	char path[NODE_ROOM];
	zl_auto(free) char *text = NULL;

	// xenbus_va_dev_error (drivers/xen/xenbus/xenbus_client.c)
	(void)snprintf(path, sizeof(path), "/local/domain/%u/error/backend/%s/%u/%u/error",
	        (unsigned)device->backend_domid, zl_device_kind_name(device->kind),
	        (unsigned)device->domid, (unsigned)device->devid);
	text = read_node(xs, XBT_NULL, path);
	(void)snprintf(out, size, "%s", text != NULL ? text : "");
}
