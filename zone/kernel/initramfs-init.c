// SPDX-License-Identifier: Apache-2.0
//
// /init of the initramfs with which Debian's own kernel boots a zone (debian-initramfs).
//
// Debian's kernel has as modules what the zone kernel has built in. This loads them in the order
// of /modules.list (one path a line, dependencies first), waits for the block device that root=
// names, mounts it read-only with the type of rootfstype=, and becomes the zone root's init=. It
// waits on uevents, never by polling; there is no shell to fall into: a failure is said on the
// console and ends the zone as a kernel panic does, which the daemon sees as a crash.
//
// Sources: Documentation/filesystems/ramfs-rootfs-initramfs.rst (the switch of roots),
// lib/kobject_uevent.c (the form of a uevent).
#include <errno.h>
#include <fcntl.h>
#include <linux/netlink.h>
#include <poll.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/cleanup.h"

enum { WAIT_FOR_ROOT_MS = 30000 };

struct boot {
	char root[64];     // root=, "/dev/xvda"
	char type[32];     // rootfstype=, "erofs"
	char program[256]; // init=
};

// The kernel panics when init ends.
static _Noreturn void fail(const char *format, ...) __attribute__((format(printf, 1, 2)));
static _Noreturn void fail(const char *format, ...)
{
	va_list args;

	va_start(args, format);
	(void)fputs("initramfs: ", stderr);
	(void)vfprintf(stderr, format, args);
	(void)fputc('\n', stderr);
	va_end(args);
	exit(1); // NOLINT(concurrency-mt-unsafe): the only thread
}

static void mount_or_fail(const char *type, const char *where)
{
	(void)mkdir(where, 0755);
	if (mount("none", where, type, 0, NULL) != 0 && errno != EBUSY)
		fail("mount %s on %s: %s", type, where, strerrordesc_np(errno));
}

static void load_module(const char *path)
{
	zl_auto(fd) int fd = open(path, O_RDONLY | O_CLOEXEC);

	if (fd < 0)
		fail("%s: %s", path, strerrordesc_np(errno));
	// Listed twice, or built in after all: fine.
	if (syscall(SYS_finit_module, fd, "", 0) != 0 && errno != EEXIST)
		fail("load %s: %s", path, strerrordesc_np(errno));
}

static void load_modules(void)
{
	zl_auto(file) FILE *list = fopen("/modules.list", "re");
	char line[256];

	if (list == NULL)
		fail("/modules.list: %s", strerrordesc_np(errno));
	while (fgets(line, sizeof(line), list) != NULL) {
		line[strcspn(line, "\n")] = '\0';
		if (line[0] != '\0')
			load_module(line);
	}
}

static void take_option(const char *word, const char *name, char *out, size_t size)
{
	size_t length = strlen(name);

	if (strncmp(word, name, length) != 0)
		return;
	if (strlen(word + length) >= size)
		fail("%s on the command line is too long", name);
	(void)snprintf(out, size, "%s", word + length);
}

static void read_command_line(struct boot *boot)
{
	char line[4096] = "";
	char *state = NULL;
	zl_auto(file) FILE *file = fopen("/proc/cmdline", "re");

	if (file == NULL || fgets(line, sizeof(line), file) == NULL)
		fail("cannot read /proc/cmdline");
	for (char *word = strtok_r(line, " \n", &state); word != NULL;
	        word = strtok_r(NULL, " \n", &state)) {
		take_option(word, "root=", boot->root, sizeof(boot->root));
		take_option(word, "rootfstype=", boot->type, sizeof(boot->type));
		take_option(word, "init=", boot->program, sizeof(boot->program));
	}
	if (strncmp(boot->root, "/dev/", 5) != 0)
		fail("root= on the command line must name a block device, as /dev/xvda");
}

// Listens from before the modules are loaded, so that no device is missed.
static int uevent_socket(void)
{
	struct sockaddr_nl address = {.nl_family = AF_NETLINK, .nl_groups = 1};
	int fd = socket(AF_NETLINK, SOCK_DGRAM | SOCK_CLOEXEC, NETLINK_KOBJECT_UEVENT);

	if (fd < 0 || bind(fd, (struct sockaddr *)&address, sizeof(address)) != 0)
		fail("uevents: %s", strerrordesc_np(errno));
	return fd;
}

// devtmpfs has made the node before the device's uevent is sent.
static void wait_for_device(int uevents, const char *path)
{
	char event[4096];
	struct pollfd pollfd = {.fd = uevents, .events = POLLIN};

	while (access(path, F_OK) != 0) {
		int ready = poll(&pollfd, 1, WAIT_FOR_ROOT_MS);

		if (ready == 0)
			fail("%s did not appear within %d s", path, WAIT_FOR_ROOT_MS / 1000);
		if (ready > 0)
			(void)recv(uevents, event, sizeof(event), 0);
	}
}

static void switch_root(const struct boot *boot)
{
	if (mount(boot->root, "/root", boot->type, MS_RDONLY, NULL) != 0)
		fail("mount %s (%s): %s", boot->root, boot->type, strerrordesc_np(errno));
	// As the kernel itself leaves it for an init of its own: /dev mounted, nothing else.
	if (mount("/dev", "/root/dev", NULL, MS_MOVE, NULL) != 0)
		fail("move /dev: %s", strerrordesc_np(errno));
	(void)umount2("/proc", MNT_DETACH);
	(void)umount2("/sys", MNT_DETACH);
	// The files of the initramfs stay in memory until they are removed.
	(void)unlink("/modules.list");
	(void)unlink("/init");
	if (chdir("/root") != 0 || mount(".", "/", NULL, MS_MOVE, NULL) != 0 || chroot(".") != 0 ||
	        chdir("/") != 0)
		fail("switch to %s: %s", boot->root, strerrordesc_np(errno));
}

// Standard streams on the console, which the kernel could not open before /dev was there.
static void open_console(void)
{
	int fd = open("/dev/console", O_RDWR);

	for (int stream = 0; fd >= 0 && stream <= 2; stream++)
		(void)dup2(fd, stream);
	if (fd > 2)
		(void)close(fd);
}

static void remove_modules(void)
{
	zl_auto(file) FILE *list = fopen("/modules.list", "re");
	char line[256];

	while (list != NULL && fgets(line, sizeof(line), list) != NULL) {
		line[strcspn(line, "\n")] = '\0';
		(void)unlink(line);
	}
}

int main(void)
{
	struct boot boot = {.type = "erofs", .program = "/sbin/init"};
	zl_auto(fd) int uevents = -1;

	mount_or_fail("devtmpfs", "/dev");
	open_console();
	mount_or_fail("proc", "/proc");
	mount_or_fail("sysfs", "/sys");
	(void)mkdir("/root", 0755);
	read_command_line(&boot);
	uevents = uevent_socket();
	load_modules();
	wait_for_device(uevents, boot.root);
	remove_modules();
	switch_root(&boot);
	uevents = zl_close(uevents);
	(void)execl(boot.program, boot.program, (char *)NULL);
	fail("%s of %s: %s", boot.program, boot.root, strerrordesc_np(errno));
}
