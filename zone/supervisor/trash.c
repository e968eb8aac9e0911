// SPDX-License-Identifier: Apache-2.0
//
// Removing a writable layer may take long, and the loop must not wait for it: the directory is
// moved out of the way, and a thread of its own removes it.
#include <errno.h>
#include <inttypes.h>
#include <pthread.h>
#include <stdio.h>
#include <string.h>

#include "base/cleanup.h"
#include "base/file.h"
#include "base/log.h"
#include "base/strv.h"
#include "zone/supervisor/supervisor.h"

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t changed = PTHREAD_COND_INITIALIZER;
static unsigned running; // removals under way, guarded by lock
static uint64_t serial;  // of the next directory; the loop's alone

static void remove_path(const char *path)
{
	struct zl_error err = ZL_ERROR_INIT;

	if (zl_tree_remove(path, &err) < 0)
		zl_log_warning("remove a writable layer: %s", err.message);
}

static void *remove_main(void *data)
{
	zl_auto(free) char *path = data;

	remove_path(path);
	pthread_mutex_lock(&lock);
	running--;
	pthread_cond_signal(&changed);
	pthread_mutex_unlock(&lock);
	return NULL;
}

int zl_trash(struct zl_supervisor *s, const char *path, struct zl_error *err)
{
	zl_auto(free) char *moved =
	        zl_format(err, "%s/.trash-%d-%" PRIu64, s->scratch_dir, (int)getpid(), serial++);
	pthread_t thread;

	if (moved == NULL)
		return -1;
	if (rename(path, moved) < 0) {
		if (errno == ENOENT)
			return 0;
		return zl_error_errno(err, errno, "move %s away", path);
	}
	pthread_mutex_lock(&lock);
	running++;
	pthread_mutex_unlock(&lock);
	if (pthread_create(&thread, NULL, remove_main, moved) == 0) {
		(void)zl_take(moved);
		(void)pthread_detach(thread);
	} else {
		(void)remove_main(zl_take(moved));
	}
	return 0;
}

void zl_trash_wait(void)
{
	pthread_mutex_lock(&lock);
	while (running > 0)
		pthread_cond_wait(&changed, &lock);
	pthread_mutex_unlock(&lock);
}
