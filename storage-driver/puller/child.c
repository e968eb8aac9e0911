// SPDX-License-Identifier: Apache-2.0
#include "storage-driver/puller/child.h"

#include <errno.h>
#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <unistd.h>

#include "base/strv.h"

#define WORD "--child"

// WORD, the puller's pid, bytes; then the program and its arguments.
enum { PARENT = 2, MEMORY, PROGRAM };

int zl_child_start(const struct zl_spawn *spawn, uint64_t memory_max, struct zl_process *ret,
        struct zl_error *err)
{
	zl_auto(strv) char **argv = NULL;
	struct zl_spawn how = *spawn;

	if (zl_strv_append(&argv, "zonelet-pull", err) < 0 ||
	        zl_strv_append(&argv, WORD, err) < 0 ||
	        zl_strv_append_format(&argv, err, "%d", (int)getpid()) < 0 ||
	        zl_strv_append_format(&argv, err, "%" PRIu64, memory_max) < 0)
		return -1;
	for (const char *const *word = spawn->argv; *word != NULL; word++) {
		if (zl_strv_append(&argv, *word, err) < 0)
			return -1;
	}
	how.program = "/proc/self/exe";
	how.argv = (const char *const *)argv;
	return zl_spawn_start(&how, ret, err);
}

bool zl_child_asked(int argc, char **argv)
{
	return argc > PROGRAM && strcmp(argv[1], WORD) == 0;
}

int zl_child_main(int argc, char **argv)
{
	rlim_t memory = strtoull(argv[MEMORY], NULL, 10);
	struct rlimit limit = {memory, memory};

	(void)argc;
	if (prctl(PR_SET_PDEATHSIG, SIGKILL, 0, 0, 0) < 0)
		return ZL_CHILD_FAILED;
	// It may have died before it could be asked for.
	if (getppid() != (pid_t)strtol(argv[PARENT], NULL, 10))
		return ZL_CHILD_FAILED;
	if (setrlimit(RLIMIT_AS, &limit) < 0)
		return ZL_CHILD_FAILED;
	(void)execvp(argv[PROGRAM], argv + PROGRAM);
	if (errno == ENOENT)
		return ZL_CHILD_MISSING;
	(void)fprintf(stderr, "%s: %m\n", argv[PROGRAM]);
	return ZL_CHILD_FAILED;
}
