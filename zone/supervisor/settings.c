// SPDX-License-Identifier: Apache-2.0
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <linux/random.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mount.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/file.h"
#include "zone/supervisor/configure.h"

enum { SYSCTL_PATH = 256, ENTROPY_MAX = 64, SHM_DEFAULT = 64 * 1024 * 1024, SHM_OPTIONS = 64 };

#define CLOCK_TOLERANCE_NS (ZL_NS_PER_SECOND / 2)

// As sysctl(8): dots separate, unless slashes do (then dots belong to names, as in eth0.100).
static int sysctl_path(const char *name, char path[static SYSCTL_PATH], struct zl_error *err)
{
	bool slashes = strchr(name, '/') != NULL;
	size_t length = strlen(name);
	size_t prefix = strlen("/proc/sys/");

	if (length == 0 || length + prefix >= SYSCTL_PATH || strstr(name, "..") != NULL ||
	        name[0] == '/' || name[0] == '.')
		return zl_error_set(err, ZL_INVALID_ARGUMENT, "\"%.200s\" is no sysctl", name);
	(void)snprintf(path, SYSCTL_PATH, "/proc/sys/%s", name);
	for (char *at = path + prefix; !slashes && *at != '\0'; at++) {
		if (*at == '.')
			*at = '/';
	}
	return 0;
}

int zl_sysctl_set(const char *name, const char *value, struct zl_error *err)
{
	char path[SYSCTL_PATH];
	zl_auto(fd) int fd = -1;

	if (sysctl_path(name, path, err) < 0)
		return -1;
	fd = open(path, O_WRONLY | O_CLOEXEC);
	if (fd < 0 || write(fd, value, strlen(value)) < 0) {
		zl_error_errno(err, errno, "set sysctl %s to \"%.200s\"", name, value);
		if (err != NULL && (errno == EINVAL || errno == ENOENT))
			err->code = ZL_INVALID_ARGUMENT;
		return -1;
	}
	return 0;
}

int zl_entropy_add(const void *bytes, size_t length, struct zl_error *err)
{
	union {
		struct rand_pool_info info;
		uint8_t space[sizeof(struct rand_pool_info) + ENTROPY_MAX];
	} pool;
	zl_auto(fd) int fd = -1;

	if (length == 0)
		return 0;
	if (length > ENTROPY_MAX)
		return zl_error_set(
		        err, ZL_INVALID_ARGUMENT, "more than %d bytes of entropy", ENTROPY_MAX);
	pool.info.entropy_count = (int)(length * 8);
	pool.info.buf_size = (int)length;
	memcpy(pool.info.buf, bytes, length);
	fd = open("/dev/random", O_WRONLY | O_CLOEXEC);
	if (fd < 0 || ioctl(fd, RNDADDENTROPY, &pool) < 0)
		return zl_error_errno(err, errno, "add to the random pool");
	return 0;
}

int zl_clock_adjust(int64_t realtime_ns, struct zl_error *err)
{
	int64_t off = realtime_ns - zl_clock_real();
	struct timespec now = {
	        .tv_sec = realtime_ns / ZL_NS_PER_SECOND,
	        .tv_nsec = realtime_ns % ZL_NS_PER_SECOND,
	};

	if (realtime_ns <= 0 || (off < CLOCK_TOLERANCE_NS && off > -CLOCK_TOLERANCE_NS))
		return 0;
	if (clock_settime(CLOCK_REALTIME, &now) < 0)
		return zl_error_errno(err, errno, "set the clock");
	return 0;
}

static int write_text(
        const struct zl_supervisor *s, const char *name, const char *text, struct zl_error *err)
{
	char path[PATH_MAX];

	(void)snprintf(path, sizeof(path), "%s/%s", s->state_dir, name);
	return zl_file_write_atomic(path, text, strlen(text), 0644, err);
}

static int mount_shm(struct zl_supervisor *s, uint64_t bytes, struct zl_error *err)
{
	char options[SHM_OPTIONS];
	char path[PATH_MAX];

	(void)snprintf(path, sizeof(path), "%s/shm", s->state_dir);
	(void)snprintf(options, sizeof(options), "mode=1777,size=%" PRIu64,
	        bytes > 0 ? bytes : SHM_DEFAULT);
	if (zl_dir_make(path, 0755, err) < 0)
		return -1;
	if (mount("shm", path, "tmpfs", MS_NOSUID | MS_NODEV | MS_NOEXEC, options) < 0)
		return zl_error_errno(err, errno, "mount the pod's /dev/shm");
	s->has_shm = true;
	return 0;
}

int zl_pod_files(struct zl_supervisor *s, const Zl__Zone__Configure *config, struct zl_error *err)
{
	char hostname[sizeof(s->hostname) + 1];

	s->has_resolv_conf = config->resolv_conf[0] != '\0';
	if (s->has_resolv_conf && write_text(s, "resolv.conf", config->resolv_conf, err) < 0)
		return -1;
	(void)snprintf(hostname, sizeof(hostname), "%s\n", s->hostname);
	if (s->hostname[0] != '\0' && write_text(s, "hostname", hostname, err) < 0)
		return -1;
	return s->has_shm ? 0 : mount_shm(s, config->shm_bytes, err);
}
