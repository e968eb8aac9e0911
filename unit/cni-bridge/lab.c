// SPDX-License-Identifier: Apache-2.0
#include "lab.h"

#include <check.h>
#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>

#include "base/file.h"
#include "base/spawn.h"
#include "base/strv.h"

void lab_enter(struct lab *lab)
{
	// As the daemon does: a plugin may be dead before it has read its request.
	(void)signal(SIGPIPE, SIG_IGN);
	(void)snprintf(lab->dir, sizeof(lab->dir), "/mnt");
	ck_assert_int_eq(unshare(CLONE_NEWNET | CLONE_NEWNS), 0);
	ck_assert_int_eq(mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL), 0);
	ck_assert_int_eq(mount("lab", lab->dir, "tmpfs", 0, NULL), 0);
	(void)snprintf(lab->conf, sizeof(lab->conf), "%s/net.d", lab->dir);
	(void)snprintf(lab->bin, sizeof(lab->bin), "%s/bin", lab->dir);
	(void)snprintf(lab->cache, sizeof(lab->cache), "%s/cache", lab->dir);
	(void)snprintf(lab->netns, sizeof(lab->netns), "%s/netns", lab->dir);
	ck_assert_int_eq(mkdir(lab->conf, 0755), 0);
	ck_assert_int_eq(mkdir(lab->bin, 0755), 0);
	lab_shell(NULL, "ip link set lo up");
}

void lab_write(const char *dir, const char *name, unsigned mode, const char *text)
{
	struct zl_error err = ZL_ERROR_INIT;
	char path[256];

	(void)snprintf(path, sizeof(path), "%s/%s", dir, name);
	ck_assert_msg(
	        zl_file_write_atomic(path, text, strlen(text), mode, &err) == 0, "%s", err.message);
}

char *lab_read(const char *dir, const char *name)
{
	zl_auto(buffer) struct zl_buffer text = ZL_BUFFER_INIT;
	char path[256];

	(void)snprintf(path, sizeof(path), "%s/%s", dir, name);
	if (zl_file_read(path, 65536, &text, NULL) < 0)
		return NULL;
	return strdup(zl_buffer_string(&text));
}

static char *run(const char *netns, const char *command)
{
	zl_auto(buffer) struct zl_buffer out = ZL_BUFFER_LIMIT(1048576);
	struct zl_error err = ZL_ERROR_INIT;
	char enter[128];
	const char *inside[] = {"nsenter", enter, "sh", "-ec", command, NULL};

	(void)snprintf(enter, sizeof(enter), "--net=%s", netns != NULL ? netns : "");
	ck_assert_msg(
	        zl_spawn_check(netns != NULL ? inside : inside + 2, &out, NULL, 20000, &err) == 0,
	        "%s: %s", command, err.message);
	return strdup(zl_buffer_string(&out));
}

char *lab_output(const char *netns, const char *format, ...)
{
	char command[2048];
	va_list args;

	va_start(args, format);
	(void)vsnprintf(command, sizeof(command), format, args);
	va_end(args);
	return run(netns, command);
}

void lab_shell(const char *netns, const char *format, ...)
{
	char command[2048];
	va_list args;

	va_start(args, format);
	(void)vsnprintf(command, sizeof(command), format, args);
	va_end(args);
	free(run(netns, command));
}
