// SPDX-License-Identifier: Apache-2.0
#include "cni-bridge/netns.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/magic.h>
#include <net/if.h>
#include <pthread.h>
#include <sched.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mount.h>
#include <sys/socket.h>
#include <sys/vfs.h>

#include "base/file.h"

// One piece of work for a thread of its own.
struct errand {
	int fd;           // namespace to enter; -1: make a new one
	const char *path; // for errors
	zl_netns_work *work;
	void *data;
	int result;
	struct zl_error *err;
};

static void *do_errand(void *argument)
{
	struct errand *errand = argument;

	errand->result = -1;
	if (errand->fd >= 0 && setns(errand->fd, CLONE_NEWNET) < 0)
		zl_error_errno(errand->err, errno, "enter network namespace %s", errand->path);
	else if (errand->fd < 0 && unshare(CLONE_NEWNET) < 0)
		zl_error_errno(errand->err, errno, "make a network namespace");
	else
		errand->result = errand->work(errand->data, errand->err);
	return NULL;
}

static int run_errand(struct errand *errand)
{
	pthread_t thread;
	int failure = pthread_create(&thread, NULL, do_errand, errand);

	if (failure != 0)
		return zl_error_errno(errand->err, failure,
		        "start a thread for network namespace %s", errand->path);
	(void)pthread_join(thread, NULL);
	return errand->result;
}

int zl_netns_run(const char *path, zl_netns_work *work, void *data, struct zl_error *err)
{
	zl_auto(fd) int fd = open(path, O_RDONLY | O_CLOEXEC);
	struct errand errand = {.fd = fd, .path = path, .work = work, .data = data, .err = err};

	if (fd < 0)
		return zl_error_errno(err, errno, "open network namespace %s", path);
	return run_errand(&errand);
}

bool zl_netns_exists(const char *path)
{
	struct statfs info;

	return statfs(path, &info) == 0 && info.f_type == NSFS_MAGIC;
}

static int set_lo_up(struct zl_error *err)
{
	struct ifreq request = {.ifr_name = "lo", .ifr_flags = IFF_UP | IFF_RUNNING};
	zl_auto(fd) int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);

	if (fd < 0 || ioctl(fd, SIOCSIFFLAGS, &request) < 0)
		return zl_error_errno(err, errno, "set up lo in a new network namespace");
	return 0;
}

static int bind_own_namespace(void *data, struct zl_error *err)
{
	const char *path = data;

	if (set_lo_up(err) < 0)
		return -1;
	if (mount("/proc/thread-self/ns/net", path, NULL, MS_BIND, NULL) < 0)
		return zl_error_errno(err, errno, "bind a network namespace to %s", path);
	return 0;
}

static int make_place(const char *path, struct zl_error *err)
{
	zl_auto(fd) int fd = open(path, O_RDONLY | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0444);

	return fd >= 0 ? 0 : zl_error_errno(err, errno, "make %s", path);
}

static int make_parents_and_place(const char *path, struct zl_error *err)
{
	char parent[PATH_MAX];
	const char *slash = strrchr(path, '/');

	if (path[0] != '/' || slash == path || strlen(path) >= sizeof(parent))
		return zl_error_set(err, ZL_INVALID_ARGUMENT,
		        "network namespace: \"%s\" is no absolute path with a directory", path);
	(void)snprintf(parent, sizeof(parent), "%.*s", (int)(slash - path), path);
	if (zl_dir_make(parent, 0755, err) < 0)
		return -1;
	return make_place(path, err);
}

int zl_netns_create(const char *path, struct zl_error *err)
{
	struct errand errand = {.fd = -1,
	        .path = path,
	        .work = bind_own_namespace,
	        .data = (void *)path,
	        .err = err};

	if (zl_netns_exists(path))
		return 0;
	// Its directory is there but for the first pod.
	if (make_place(path, NULL) < 0 && make_parents_and_place(path, err) < 0)
		return -1;
	if (run_errand(&errand) < 0) {
		(void)unlink(path);
		return -1;
	}
	return 0;
}

int zl_netns_remove(const char *path, struct zl_error *err)
{
	// Until nothing is mounted there any more: a crash between two creations may have stacked
	// two.
	while (umount2(path, MNT_DETACH | UMOUNT_NOFOLLOW) == 0)
		continue;
	if (errno != EINVAL && errno != ENOENT)
		return zl_error_errno(err, errno, "unmount network namespace %s", path);
	return zl_file_remove(path, err);
}
