// SPDX-License-Identifier: Apache-2.0
//
// zonelet-hotplug: the script of a zone's devices, for whoever handles them by the toolstack's
// rules: `xl` in dom0, which runs it when it destroys a zone, and `xl devd` in a driver zone, which
// runs it for devices it serves. zoneletd itself does this work without a program.
//
//   zonelet-hotplug add|remove                   XENBUS_TYPE=vbd
//   zonelet-hotplug online|offline type_if=vif   XENBUS_TYPE=vif, vif=vif3.0
//
// XENBUS_PATH is the back end's directory in xenstore (libxl_linux.c, get_hotplug_env). For a disk
// it writes `physical-device`, which blkback waits for; for a network interface it gives the link
// its name and MTU, sets it up and writes `hotplug-status`, which netback waits for. On the way out
// there is nothing to do: the toolstack removes the nodes, and the kernel the interface.
//
// A failure goes to `hotplug-error`, which libxl logs, and to stderr.
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <unistd.h>
#include <xenstore.h>

#include "base/cleanup.h"
#include "base/error.h"
#include "hypervisor/vif.h"

enum { NODE_SIZE = 256 };

struct device {
	struct xs_handle *xs;
	const char *path; // backend/vbd/3/51712
};

static const char *variable(const char *name)
{
	return getenv(name); // NOLINT(concurrency-mt-unsafe): this program has one thread
}

static int put(struct device *device, const char *name, const char *value, struct zl_error *err)
{
	char node[NODE_SIZE];

	(void)snprintf(node, sizeof(node), "%s/%s", device->path, name);
	if (xs_write(device->xs, XBT_NULL, node, value, (unsigned)strlen(value)))
		return 0;
	return zl_error_errno(err, errno, "write %s to xenstore", node);
}

// The caller frees it; NULL if there is none.
static char *get(struct device *device, const char *name)
{
	char node[NODE_SIZE];
	unsigned length;

	(void)snprintf(node, sizeof(node), "%s/%s", device->path, name);
	return xs_read(device->xs, XBT_NULL, node, &length);
}

static int disk_add(struct device *device, struct zl_error *err)
{
	zl_auto(free) char *path = get(device, "params");
	char number[32];
	struct stat st;

	if (path == NULL)
		return zl_error_set(err, ZL_INTERNAL, "it has no params: no block device is named");
	if (stat(path, &st) < 0)
		return zl_error_errno(err, errno, "%s", path);
	if (!S_ISBLK(st.st_mode))
		return zl_error_set(err, ZL_INVALID_ARGUMENT, "%s is not a block device", path);
	(void)snprintf(number, sizeof(number), "%x:%x", major(st.st_rdev), minor(st.st_rdev));
	if (put(device, "hotplug-status", "connected", err) < 0)
		return -1;
	return put(device, "physical-device", number, err);
}

static int nic_online(struct device *device, struct zl_error *err)
{
	zl_auto(free) char *name = get(device, "vifname");
	zl_auto(free) char *mtu = get(device, "mtu");
	const char *vif = variable("vif");

	if (vif == NULL)
		return zl_error_set(err, ZL_INTERNAL, "the variable vif is not set");
	if (zl_vif_prepare(vif, name != NULL ? name : vif,
	            mtu != NULL ? (uint32_t)strtoul(mtu, NULL, 10) : 0, err) < 0)
		return -1;
	return put(device, "hotplug-status", "connected", err);
}

static const struct {
	const char *type;
	const char *action;
	int (*run)(struct device *device, struct zl_error *err); // NULL: nothing to do
} actions[] = {
        {"vbd", "add", disk_add},
        {"vbd", "remove", NULL},
        {"vif", "online", nic_online},
        {"vif", "offline", NULL},
};

static int run(int (*action)(struct device *device, struct zl_error *err), const char *path)
{
	struct device device = {.path = path};
	struct zl_error err = ZL_ERROR_INIT;
	int result;

	if (action == NULL)
		return 0;
	device.xs = xs_open(0);
	if (device.xs == NULL) {
		(void)fprintf(stderr, "zonelet-hotplug: connect to xenstored: %s\n",
		        strerrordesc_np(errno));
		return -1;
	}
	result = action(&device, &err);
	if (result < 0) {
		(void)fprintf(stderr, "zonelet-hotplug: %s: %s\n", path, err.message);
		(void)put(&device, "hotplug-error", err.message, NULL);
	}
	xs_close(device.xs);
	return result;
}

int main(int argc, char **argv)
{
	const char *type = variable("XENBUS_TYPE");
	const char *path = variable("XENBUS_PATH");

	if (argc < 2 || type == NULL || path == NULL)
		type = "";
	for (size_t i = 0; i < ZL_ARRAY_SIZE(actions); i++) {
		if (strcmp(actions[i].type, type) == 0 && strcmp(actions[i].action, argv[1]) == 0)
			return run(actions[i].run, path) < 0 ? EXIT_FAILURE : EXIT_SUCCESS;
	}
	(void)fprintf(stderr,
	        "zonelet-hotplug is run by Xen's toolstack, as a device's script, with "
	        "add|remove (XENBUS_TYPE=vbd) or online|offline (XENBUS_TYPE=vif)\n");
	return EXIT_FAILURE;
}
