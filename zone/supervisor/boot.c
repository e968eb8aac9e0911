// SPDX-License-Identifier: Apache-2.0
//
// A zone's first milliseconds. The supervisor comes in an initial ramdisk with nothing beside it,
// and takes the zone's root from its disk after the hello; or the kernel has mounted that root,
// read-only, and started the supervisor from it.
#include <errno.h>
#include <fcntl.h>
#include <linux/magic.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/vfs.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "zone/supervisor/supervisor.h"

struct mount_entry {
	const char *source;
	const char *target;
	const char *type;
	unsigned long flags;
	const char *options;
	bool make; // the mount point is made first (on what was mounted before)
};

#define SAFE (MS_NOSUID | MS_NODEV | MS_NOEXEC)

// /dev comes alone, before the channel, which needs its device nodes.
static const struct mount_entry dev_entry = {
        "devtmpfs", "/dev", "devtmpfs", MS_NOSUID, "mode=0755", false};

static const struct mount_entry entries[] = {
        {"proc", "/proc", "proc", SAFE, NULL, false},
        {"sysfs", "/sys", "sysfs", SAFE, NULL, false},
        {"tmpfs", "/run", "tmpfs", MS_NOSUID | MS_NODEV, "mode=0755", false},
        {"devpts", "/dev/pts", "devpts", MS_NOSUID | MS_NOEXEC,
                "gid=5,mode=0620,ptmxmode=0666,newinstance", true},
        {"tmpfs", "/dev/shm", "tmpfs", SAFE, "mode=1777", true},
        {"mqueue", "/dev/mqueue", "mqueue", SAFE, NULL, true},
        {"cgroup2", "/sys/fs/cgroup", "cgroup2", SAFE, "nsdelegate", false},
        {"bpf", "/sys/fs/bpf", "bpf", SAFE, "mode=0700", false},
};

static int mount_entry(const struct mount_entry *entry, struct zl_error *err)
{
	if (entry->make && mkdir(entry->target, 0755) < 0 && errno != EEXIST)
		return zl_error_errno(err, errno, "make %s", entry->target);
	// EBUSY: the kernel has mounted it already (CONFIG_DEVTMPFS_MOUNT).
	if (mount(entry->source, entry->target, entry->type, entry->flags, entry->options) < 0 &&
	        errno != EBUSY)
		return zl_error_errno(err, errno, "mount %s", entry->target);
	return 0;
}

int zl_boot_dev(struct zl_error *err)
{
	return mount_entry(&dev_entry, err);
}

// ---- the root

// As the daemon names it on the kernel's command line (cri-server/sandbox/zone.c), for the other
// way.
static const char root_device[] = "/dev/xvda";
enum { ROOT_TIMEOUT_MS = 20000 };

static bool in_ramdisk(void)
{
	struct statfs fs;

	return statfs("/", &fs) == 0 && (fs.f_type == RAMFS_MAGIC || fs.f_type == TMPFS_MAGIC);
}

// The ramdisk's root cannot be left by pivot_root(2), nor unmounted: the new one is moved over it.
static int enter_root(struct zl_error *err)
{
	if (mkdir("/root", 0755) < 0 && errno != EEXIST)
		return zl_error_errno(err, errno, "make /root");
	if (mount(root_device, "/root", "erofs", MS_RDONLY, NULL) < 0)
		return zl_error_errno(err, errno, "mount the zone's root %s", root_device);
	if (mount("/dev", "/root/dev", NULL, MS_MOVE, NULL) < 0)
		return zl_error_errno(err, errno, "move /dev into the zone's root");
	if (chdir("/root") < 0 || mount(".", "/", NULL, MS_MOVE, NULL) < 0 || chroot(".") < 0 ||
	        chdir("/") < 0)
		return zl_error_errno(err, errno, "enter the zone's root");
	return 0;
}

int zl_boot_root(struct zl_error *err)
{
	if (!in_ramdisk())
		return 0;
	if (zl_device_await(root_device, ROOT_TIMEOUT_MS, err) < 0)
		return zl_error_wrap(err, "the zone's root");
	return enter_root(err);
}

// A kernel without one of these (bpf, mqueue: Debian's has them as modules) is still of use.
void zl_boot_mounts(void (*complain)(const char *message))
{
	for (size_t i = 0; i < ZL_ARRAY_SIZE(entries); i++) {
		struct zl_error err = ZL_ERROR_INIT;

		if (mount_entry(&entries[i], &err) < 0)
			complain(err.message);
	}
}

// Each by itself: one that the kernel lacks must not cost the others.
void zl_boot_cgroups(void)
{
	static const char *const controllers[] = {"+cpuset", "+cpu", "+io", "+memory", "+pids"};
	zl_auto(fd) int fd = open("/sys/fs/cgroup/cgroup.subtree_control", O_WRONLY | O_CLOEXEC);

	for (size_t i = 0; fd >= 0 && i < ZL_ARRAY_SIZE(controllers); i++)
		(void)!write(fd, controllers[i], strlen(controllers[i]));
}
