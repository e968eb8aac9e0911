// SPDX-License-Identifier: Apache-2.0
#include "cri-server/daemon/lock.h"

#include <fcntl.h>
#include <sys/file.h>

#include "base/cleanup.h"
#include "base/file.h"
#include "base/strv.h"

int zl_daemon_lock(const char *directory, struct zl_error *err)
{
	zl_auto(free) char *path = NULL;
	zl_auto(fd) int fd = -1;

	// Others may pass through, not look: the puller's user works in a directory below.
	if (zl_dir_make(directory, 0711, err) < 0)
		return -1;
	path = zl_format(err, "%s/zoneletd.lock", directory);
	if (path == NULL)
		return -1;
	fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
	if (fd < 0)
		return zl_error_errno(err, errno, "open %s", path);
	if (flock(fd, LOCK_EX | LOCK_NB) == 0)
		return zl_take_fd(&fd);
	if (errno != EWOULDBLOCK)
		return zl_error_errno(err, errno, "lock %s", path);
	return zl_error_set(err, ZL_ALREADY_EXISTS,
	        "another zoneletd works on %s; stop it, or give this one another `root_dir`",
	        directory);
}
