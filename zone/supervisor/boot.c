// SPDX-License-Identifier: Apache-2.0
//
// A zone's first milliseconds. The kernel gives a read-only root (EROFS) and nothing else.
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
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
