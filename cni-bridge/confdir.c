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
	confdir->plugins_watch = -1;
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

static void forget_watch(struct zl_confdir *confdir, int watch)
{
	if (watch == confdir->watch)
		confdir->watch = -1;
	if (watch == confdir->plugins_watch)
		confdir->plugins_watch = -1;
}

// Notes whether anything happened. After an overflow of the queue, too, something did.
static void drain(struct zl_confdir *confdir)
{
	char events[4096] __attribute__((aligned(8)));
	ssize_t got;

	// It does not block, though the analyzer cannot know: the descriptor is IN_NONBLOCK.
	// NOLINTNEXTLINE(clang-analyzer-unix.BlockInCriticalSection)
	while ((got = read(confdir->inotify, events, sizeof(events))) > 0) {
		for (ssize_t at = 0; at < got;) {
			const struct inotify_event *event = (const void *)(events + at);

			// The end of a watch that we took away is no news.
			if ((event->mask & IN_IGNORED) == 0 || event->wd == confdir->watch ||
			        event->wd == confdir->plugins_watch)
				confdir->stale = true;
			// Moved away: the watch follows the directory, not the path.
			if ((event->mask & IN_MOVE_SELF) != 0)
				(void)inotify_rm_watch(confdir->inotify, event->wd);
			if ((event->mask & (IN_MOVE_SELF | IN_IGNORED)) != 0)
				forget_watch(confdir, event->wd);
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

// An editor's or an installer's hidden temporary file is none.
static int is_plugin(const struct dirent *entry)
{
	const char *dot = strrchr(entry->d_name, '.');

	return dot != NULL && entry->d_name[0] != '.' && strcmp(dot, ".conf") == 0;
}

static int is_configuration(const struct dirent *entry)
{
	const char *dot = strrchr(entry->d_name, '.');

	return is_plugin(entry) ||
	       (dot != NULL && entry->d_name[0] != '.' &&
	               (strcmp(dot, ".conflist") == 0 || strcmp(dot, ".json") == 0));
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

static json_t *read_document(const char *path, struct zl_error *err)
{
	zl_auto(buffer) struct zl_buffer text = ZL_BUFFER_INIT;

	if (zl_file_read(path, ZL_CONFLIST_MAX_BYTES, &text, err) < 0)
		return NULL;
	return zl_json_parse(path, text.data, text.length, ZL_CONFLIST_MAX_BYTES, err);
}

static int add_plugin(
        const char *directory, const char *name, json_t *document, struct zl_error *err)
{
	zl_auto(free) char *path = zl_format(err, "%s/%s", directory, name);
	zl_auto(json) json_t *plugin = path != NULL ? read_document(path, err) : NULL;

	if (plugin == NULL)
		return -1;
	return zl_conflist_add_plugin(path, document, plugin, err);
}

static int add_plugins_in(const char *directory, json_t *document, struct zl_error *err)
{
	struct dirent **entries = NULL;
	int count = scandir(directory, &entries, is_plugin, by_bytes);
	int result = 0;

	if (count < 0 && errno != ENOENT && errno != ENOTDIR)
		return zl_error_errno(err, errno, "read directory %s", directory);
	for (int i = 0; i < count; i++) {
		if (result == 0)
			result = add_plugin(directory, entries[i]->d_name, document, err);
		free(entries[i]);
	}
	free(entries);
	return result;
}

// Watches before it looks. A directory that is not there yet is an event of the one above when it
// comes.
static int add_plugins(struct zl_confdir *confdir, json_t *document, struct zl_error *err)
{
	zl_auto(free) char *directory = NULL;
	const char *name;

	if (confdir->plugins_watch >= 0)
		(void)inotify_rm_watch(confdir->inotify, confdir->plugins_watch);
	confdir->plugins_watch = -1;
	if (zl_conflist_directory(confdir->file, document, &name, err) < 0)
		return -1;
	if (name == NULL)
		return 0;
	directory = zl_format(err, "%s/%s", confdir->path, name);
	if (directory == NULL)
		return -1;
	confdir->plugins_watch = inotify_add_watch(confdir->inotify, directory, WATCHED);
	return add_plugins_in(directory, document, err);
}

static int load(struct zl_confdir *confdir, struct zl_error *err)
{
	zl_auto(conflist) struct zl_conflist list = ZL_CONFLIST_INIT;
	zl_auto(json) json_t *document = NULL;

	zl_buffer_release(&confdir->text);
	free(confdir->file);
	confdir->file = choose(confdir, err);
	if (confdir->file == NULL)
		return -1;
	// A broken first file is not passed over: pods would quietly get another network.
	document = read_document(confdir->file, err);
	if (document == NULL)
		return -1;
	if (json_is_object(document) && add_plugins(confdir, document, err) < 0)
		return -1;
	if (zl_conflist_from_json(confdir->file, document, &list, err) < 0)
		return -1;
	return zl_json_print(list.document, &confdir->text, err);
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
	confdir->generation++;
}

static void fill_source(const struct zl_confdir *confdir, struct zl_confdir_source *source)
{
	(void)snprintf(source->file, sizeof(source->file), "%s",
	        confdir->file != NULL ? confdir->file : "");
	source->generation = confdir->generation;
}

int zl_confdir_get(struct zl_confdir *confdir, struct zl_conflist *ret,
        struct zl_confdir_source *source, struct zl_error *err)
{
	int result = -1;

	(void)pthread_mutex_lock(&confdir->lock);
	refresh(confdir);
	if (source != NULL)
		fill_source(confdir, source);
	if (confdir->failure.code == ZL_OK)
		result = zl_conflist_parse(
		        confdir->file, confdir->text.data, confdir->text.length, ret, err);
	else if (err != NULL)
		*err = confdir->failure;
	(void)pthread_mutex_unlock(&confdir->lock);
	return result;
}
