// SPDX-License-Identifier: Apache-2.0
#include "cni-bridge/confdir.h"

#include <dirent.h>
#include <errno.h>
#include <string.h>
#include <sys/inotify.h>

#include "base/file.h"
#include "base/strv.h"

static const uint32_t WATCHED = IN_CLOSE_WRITE | IN_CREATE | IN_DELETE | IN_MOVED_FROM |
                                IN_MOVED_TO | IN_ATTRIB | IN_DELETE_SELF | IN_MOVE_SELF |
                                IN_ONLYDIR;

int zl_confdir_open(struct zl_confdir *confdir, const char *path, struct zl_error *err)
{
	memset(confdir, 0, sizeof(*confdir));
	confdir->watch = -1;
	confdir->stale = true;
	confdir->text.limit = ZL_CONFLIST_MAX_BYTES;
	confdir->inotify = inotify_init1(IN_NONBLOCK | IN_CLOEXEC);
	if (confdir->inotify < 0)
		return zl_error_errno(err, errno, "watch %s", path);
	confdir->path = zl_strdup(path, err);
	if (confdir->path == NULL) {
		confdir->inotify = zl_close(confdir->inotify);
		return -1;
	}
	(void)pthread_mutex_init(&confdir->lock, NULL);
	return 0;
}

void zl_confdir_close(struct zl_confdir *confdir)
{
	if (confdir->path == NULL)
		return;
	confdir->inotify = zl_close(confdir->inotify);
	free(confdir->path);
	confdir->path = NULL;
	free(confdir->file);
	zl_buffer_release(&confdir->text);
	(void)pthread_mutex_destroy(&confdir->lock);
}

// Notes whether anything happened. After an overflow of the queue, too, something did.
static void drain(struct zl_confdir *confdir)
{
	char events[4096] __attribute__((aligned(8)));
	ssize_t got;

	// It does not block, though the analyzer cannot know: the descriptor is IN_NONBLOCK.
	// NOLINTNEXTLINE(clang-analyzer-unix.BlockInCriticalSection)
	while ((got = read(confdir->inotify, events, sizeof(events))) > 0) {
		confdir->stale = true;
		for (ssize_t at = 0; at < got;) {
			const struct inotify_event *event = (const void *)(events + at);

			// Moved away: the watch follows the directory, not the path.
			if ((event->mask & IN_MOVE_SELF) != 0 && event->wd == confdir->watch) {
				(void)inotify_rm_watch(confdir->inotify, event->wd);
				confdir->watch = -1;
			}
			if ((event->mask & IN_IGNORED) != 0 && event->wd == confdir->watch)
				confdir->watch = -1;
			at += (ssize_t)(sizeof(*event) + event->len);
		}
	}
}

// Before looking, so that a change while looking is seen the next time.
static void watch(struct zl_confdir *confdir)
{
	if (confdir->watch >= 0)
		return;
	confdir->watch = inotify_add_watch(confdir->inotify, confdir->path, WATCHED);
	confdir->stale = true;
}

static int is_configuration(const struct dirent *entry)
{
	const char *dot = strrchr(entry->d_name, '.');

	// An editor's or an installer's hidden temporary file is none.
	return dot != NULL && dot != entry->d_name && entry->d_name[0] != '.' &&
	       (strcmp(dot, ".conflist") == 0 || strcmp(dot, ".conf") == 0 ||
	               strcmp(dot, ".json") == 0);
}

static int by_bytes(const struct dirent **a, const struct dirent **b)
{
	return strcmp((*a)->d_name, (*b)->d_name);
}

// Path of the first configuration file; NULL with UNAVAILABLE if there is none.
static char *choose(const struct zl_confdir *confdir, struct zl_error *err)
{
	struct dirent **entries = NULL;
	int count = scandir(confdir->path, &entries, is_configuration, by_bytes);
	char *path = NULL;

	if (count > 0)
		path = zl_format(err, "%s/%s", confdir->path, entries[0]->d_name);
	else if (count == 0 || errno == ENOENT)
		zl_error_set(err, ZL_UNAVAILABLE,
		        "no network configuration in %s; put a .conflist there, or install a "
		        "network add-on that does",
		        confdir->path);
	else
		zl_error_errno(err, errno, "read directory %s", confdir->path);
	for (int i = 0; i < count; i++)
		free(entries[i]);
	free(entries);
	return path;
}

static int load(struct zl_confdir *confdir, struct zl_error *err)
{
	zl_auto(conflist) struct zl_conflist list = ZL_CONFLIST_INIT;

	zl_buffer_release(&confdir->text);
	free(confdir->file);
	confdir->file = choose(confdir, err);
	if (confdir->file == NULL)
		return -1;
	if (zl_file_read(confdir->file, ZL_CONFLIST_MAX_BYTES, &confdir->text, err) < 0)
		return -1;
	// A broken first file is not passed over: pods would quietly get another network.
	return zl_conflist_parse(
	        confdir->file, confdir->text.data, confdir->text.length, &list, err);
}

static void refresh(struct zl_confdir *confdir)
{
	drain(confdir);
	watch(confdir);
	if (!confdir->stale)
		return;
	zl_error_clear(&confdir->failure);
	if (load(confdir, &confdir->failure) < 0)
		confdir->failure.code = ZL_UNAVAILABLE;
	confdir->stale = false;
}

int zl_confdir_get(struct zl_confdir *confdir, struct zl_conflist *ret, struct zl_error *err)
{
	int result = -1;

	(void)pthread_mutex_lock(&confdir->lock);
	refresh(confdir);
	if (confdir->failure.code == ZL_OK)
		result = zl_conflist_parse(
		        confdir->file, confdir->text.data, confdir->text.length, ret, err);
	else if (err != NULL)
		*err = confdir->failure;
	(void)pthread_mutex_unlock(&confdir->lock);
	return result;
}
