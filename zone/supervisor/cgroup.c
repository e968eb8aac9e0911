// SPDX-License-Identifier: Apache-2.0
#include "zone/supervisor/cgroup.h"

#include <fcntl.h>
#include <limits.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/buffer.h"
#include "base/file.h"

enum { EVENTS_MAX = 4096, PROCS_MAX = 1024 * 1024 };

#define CGROUP_ROOT "/sys/fs/cgroup"

static void file_of(const char *cgroups_path, const char *name, char out[static PATH_MAX])
{
	(void)snprintf(out, PATH_MAX, CGROUP_ROOT "/%s/%s", cgroups_path, name);
}

bool zl_cgroup_oom_killed(const char *cgroups_path)
{
	zl_auto(buffer) struct zl_buffer text = ZL_BUFFER_LIMIT(EVENTS_MAX);
	char path[PATH_MAX];
	const char *line;

	file_of(cgroups_path, "memory.events", path);
	if (zl_file_read(path, EVENTS_MAX, &text, NULL) < 0)
		return false;
	line = strstr(zl_buffer_string(&text), "oom_kill ");
	return line != NULL && strtoul(line + strlen("oom_kill "), NULL, 10) > 0;
}

bool zl_cgroup_kill(const char *cgroups_path)
{
	char path[PATH_MAX];
	zl_auto(fd) int fd = -1;

	file_of(cgroups_path, "cgroup.kill", path);
	fd = open(path, O_WRONLY | O_CLOEXEC);
	return fd >= 0 && write(fd, "1", 1) == 1;
}

void zl_cgroup_signal(const char *cgroups_path, int signal)
{
	zl_auto(buffer) struct zl_buffer text = ZL_BUFFER_LIMIT(PROCS_MAX);
	char path[PATH_MAX];
	char *save = NULL;

	file_of(cgroups_path, "cgroup.procs", path);
	if (zl_file_read(path, PROCS_MAX, &text, NULL) < 0 || text.length == 0)
		return;
	for (char *line = strtok_r((char *)text.data, "\n", &save); line != NULL;
	        line = strtok_r(NULL, "\n", &save)) {
		long pid = strtol(line, NULL, 10);

		if (pid > 1)
			(void)kill((pid_t)pid, signal);
	}
}
