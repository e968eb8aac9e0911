// SPDX-License-Identifier: Apache-2.0
//
// zonelet-hotplug: what libxl runs for each device of a zone whose back end is in dom0.
//
//   zonelet-hotplug add|remove               XENBUS_TYPE=vbd
//   zonelet-hotplug online|offline type_if=vif   XENBUS_TYPE=vif, vif=vif3.0
//
// XENBUS_PATH is the back end's directory in xenstore (libxl_linux.c, get_hotplug_env). For a disk
// it writes `physical-device`, which blkback waits for; for a network interface it gives the link
// its name and MTU, sets it up and writes `hotplug-status`, which netback waits for. On the way out
// there is nothing to do: libxl removes the nodes, and the kernel the interface.
//
// It runs once for each device of each pod that starts, so it is linked statically and does no
// more than that. A failure goes to `hotplug-error`, which libxl logs, and to stderr.
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <net/if.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <unistd.h>
#include <xenstore.h>

struct device {
	struct xs_handle *xs;
	const char *path; // backend/vbd/3/51712
};

static const char *variable(const char *name)
{
	return getenv(name); // NOLINT(concurrency-mt-unsafe): this program has one thread
}

// Always returns -1.
static int __attribute__((format(printf, 2, 3))) fail(
        struct device *device, const char *format, ...)
{
	char message[512];
	char node[256];
	va_list args;

	va_start(args, format);
	(void)vsnprintf(message, sizeof(message), format, args);
	va_end(args);
	(void)fprintf(stderr, "zonelet-hotplug: %s: %s\n", device->path, message);
	(void)snprintf(node, sizeof(node), "%s/hotplug-error", device->path);
	(void)xs_write(device->xs, XBT_NULL, node, message, (unsigned)strlen(message));
	return -1;
}

static int put(struct device *device, const char *name, const char *value)
{
	char node[256];

	(void)snprintf(node, sizeof(node), "%s/%s", device->path, name);
	if (xs_write(device->xs, XBT_NULL, node, value, (unsigned)strlen(value)))
		return 0;
	return fail(device, "write %s to xenstore: %s", name, strerrordesc_np(errno));
}

// The caller frees it; NULL if there is none.
static char *get(struct device *device, const char *name)
{
	char node[256];
	unsigned length;

	(void)snprintf(node, sizeof(node), "%s/%s", device->path, name);
	return xs_read(device->xs, XBT_NULL, node, &length);
}

static int disk_add(struct device *device)
{
	char *path = get(device, "params");
	char number[32];
	struct stat st;

	if (path == NULL)
		return fail(device, "it has no params: libxl wrote no block device");
	if (stat(path, &st) < 0)
		return fail(device, "%s: %s", path, strerrordesc_np(errno));
	if (!S_ISBLK(st.st_mode))
		return fail(device, "%s is not a block device", path);
	free(path);
	(void)snprintf(number, sizeof(number), "%x:%x", major(st.st_rdev), minor(st.st_rdev));
	if (put(device, "hotplug-status", "connected") < 0)
		return -1;
	return put(device, "physical-device", number);
}

static void set_name(char to[static IFNAMSIZ], const char *name)
{
	(void)snprintf(to, IFNAMSIZ, "%s", name);
}

static int rename_link(struct device *device, int fd, struct ifreq *request)
{
	char *name = get(device, "vifname");

	if (name == NULL || strcmp(name, request->ifr_name) == 0)
		return 0;
	set_name(request->ifr_newname, name);
	if (ioctl(fd, SIOCSIFNAME, request) < 0)
		return fail(device, "rename %s to %s: %s", request->ifr_name, name,
		        strerrordesc_np(errno));
	set_name(request->ifr_name, name);
	free(name);
	return 0;
}

static int set_mtu(struct device *device, int fd, struct ifreq *request)
{
	char *mtu = get(device, "mtu");

	if (mtu == NULL)
		return 0;
	request->ifr_mtu = (int)strtol(mtu, NULL, 10);
	if (ioctl(fd, SIOCSIFMTU, request) < 0)
		return fail(device, "set the MTU of %s to %s: %s", request->ifr_name, mtu,
		        strerrordesc_np(errno));
	free(mtu);
	return 0;
}

// dom0 must not be reachable over the link before it is joined to the pod's network; IPv6 would
// give it an address by itself. Where the file is not there, neither is IPv6.
static int disable_ipv6(struct device *device, const char *name)
{
	char path[128];
	int fd;
	bool written;

	(void)snprintf(path, sizeof(path), "/proc/sys/net/ipv6/conf/%s/disable_ipv6", name);
	fd = open(path, O_WRONLY | O_CLOEXEC);
	if (fd < 0)
		return errno == ENOENT ? 0 : fail(device, "%s: %s", path, strerrordesc_np(errno));
	written = write(fd, "1", 1) == 1;
	(void)close(fd);
	return written ? 0 : fail(device, "%s: %s", path, strerrordesc_np(errno));
}

static int set_up(struct device *device, int fd, struct ifreq *request)
{
	if (ioctl(fd, SIOCGIFFLAGS, request) < 0)
		return fail(device, "%s: %s", request->ifr_name, strerrordesc_np(errno));
	request->ifr_flags = (short)(request->ifr_flags | IFF_UP);
	if (ioctl(fd, SIOCSIFFLAGS, request) < 0)
		return fail(device, "set %s up: %s", request->ifr_name, strerrordesc_np(errno));
	return 0;
}

static int nic_online(struct device *device)
{
	const char *name = variable("vif");
	struct ifreq request = {0};
	int fd;

	if (name == NULL)
		return fail(device, "the variable vif is missing in the environment");
	// Any socket takes these requests (net/socket.c, sock_do_ioctl).
	fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	if (fd < 0)
		return fail(device, "socket: %s", strerrordesc_np(errno));
	set_name(request.ifr_name, name);
	if (rename_link(device, fd, &request) < 0 || set_mtu(device, fd, &request) < 0 ||
	        disable_ipv6(device, request.ifr_name) < 0 || set_up(device, fd, &request) < 0)
		return -1;
	return put(device, "hotplug-status", "connected");
}

static const struct {
	const char *type;
	const char *action;
	int (*run)(struct device *device); // NULL: nothing to do
} actions[] = {
        {"vbd", "add", disk_add},
        {"vbd", "remove", NULL},
        {"vif", "online", nic_online},
        {"vif", "offline", NULL},
};

static int run(int (*action)(struct device *device), const char *path)
{
	struct device device = {.path = path};
	int result;

	if (action == NULL)
		return 0;
	device.xs = xs_open(0);
	if (device.xs == NULL) {
		(void)fprintf(stderr, "zonelet-hotplug: connect to xenstored: %s\n",
		        strerrordesc_np(errno));
		return -1;
	}
	result = action(&device);
	xs_close(device.xs);
	return result;
}

int main(int argc, char **argv)
{
	const char *type = variable("XENBUS_TYPE");
	const char *path = variable("XENBUS_PATH");

	for (size_t i = 0; argc >= 2 && type != NULL && path != NULL &&
	                   i < sizeof(actions) / sizeof(actions[0]);
	        i++) {
		if (strcmp(actions[i].type, type) == 0 && strcmp(actions[i].action, argv[1]) == 0)
			return run(actions[i].run, path) < 0 ? EXIT_FAILURE : EXIT_SUCCESS;
	}
	(void)fprintf(stderr,
	        "zonelet-hotplug is run by Xen's toolstack, as a device's script, with "
	        "add|remove (XENBUS_TYPE=vbd) or online|offline (XENBUS_TYPE=vif)\n");
	return EXIT_FAILURE;
}
