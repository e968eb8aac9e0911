// SPDX-License-Identifier: Apache-2.0
#include "cri-server/sandbox/console.h"

#include <dirent.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/inotify.h>
#include <sys/stat.h>

#include "base/buffer.h"
#include "base/file.h"
#include "base/log.h"

#define PREFIX "guest-"
#define SUFFIX ".log"

enum { ID_DIGITS = 12, LISTED_MAX = 65536 };

struct zl_console_keeper {
	int directory;
	int watch; // inotify of it
	bool (*in_use)(void *user, const char *domain);
	void *user;
	const struct zl_cancel *stopping;
	pthread_t thread;
};

bool zl_console_is_zone(const char *name)
{
	size_t length = strlen(name);
	const char *id = name + length - strlen(SUFFIX) - ID_DIGITS;

	return length > strlen(PREFIX) + 1 + ID_DIGITS + strlen(SUFFIX) &&
	       strncmp(name, PREFIX, strlen(PREFIX)) == 0 &&
	       strcmp(name + length - strlen(SUFFIX), SUFFIX) == 0 && id[-1] == '.' &&
	       strspn(id, "0123456789abcdef") == ID_DIGITS;
}

// ---- one file

static int read_tail(int fd, off_t size, struct zl_buffer *tail, struct zl_error *err)
{
	uint8_t *to = zl_buffer_reserve(tail, ZL_CONSOLE_TAIL, err);
	ssize_t length;

	if (to == NULL)
		return -1;
	length = pread(fd, to, ZL_CONSOLE_TAIL, size - ZL_CONSOLE_TAIL);
	if (length < 0)
		return zl_error_errno(err, errno, "read");
	tail->length += (size_t)length;
	return 0;
}

// What the zone writes in this moment may be lost.
static int cut(int fd, off_t size, struct zl_error *err)
{
	zl_auto(buffer) struct zl_buffer text = ZL_BUFFER_INIT;

	if (zl_buffer_printf(&text, err,
	            "\n[zoneletd: %lld bytes of this console were left out here]\n",
	            (long long)(size - ZL_CONSOLE_HEAD - ZL_CONSOLE_TAIL)) < 0 ||
	        read_tail(fd, size, &text, err) < 0)
		return -1;
	if (ftruncate(fd, ZL_CONSOLE_HEAD) < 0)
		return zl_error_errno(err, errno, "cut");
	return zl_file_write_all(fd, text.data, text.length, err);
}

int zl_console_cut(int directory, const char *name, struct zl_error *err)
{
	zl_auto(fd) int fd = -1;
	struct stat status;

	if (fstatat(directory, name, &status, AT_SYMLINK_NOFOLLOW) < 0)
		return zl_error_errno(err, errno, "look at the console file %s", name);
	if (!S_ISREG(status.st_mode) || status.st_size <= ZL_CONSOLE_MAX)
		return 0;
	fd = openat(directory, name, O_RDWR | O_APPEND | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);
	if (fd < 0)
		return zl_error_errno(err, errno, "open the console file %s", name);
	if (fstat(fd, &status) < 0)
		return zl_error_errno(err, errno, "look at the console file %s", name);
	if (!S_ISREG(status.st_mode) || status.st_size <= ZL_CONSOLE_MAX)
		return 0;
	if (cut(fd, status.st_size, err) < 0)
		return zl_error_wrap(err, "console file %s", name);
	return 0;
}

// ---- all of them

struct entry {
	char *name;
	int64_t changed_ns;
};

struct list {
	struct entry *entries;
	size_t count;
};

static void list_release(struct list *list)
{
	for (size_t i = 0; i < list->count; i++)
		free(list->entries[i].name);
	free(list->entries);
}
ZL_AUTO_DEFINE_VALUE(console_list, struct list, list_release);

static int list_add(
        struct list *list, const char *name, const struct stat *status, struct zl_error *err)
{
	struct entry *entries;

	if (list->count == LISTED_MAX)
		return 0;
	entries = realloc(list->entries, (list->count + 1) * sizeof(*entries));
	if (entries == NULL)
		return zl_error_nomem(err);
	list->entries = entries;
	entries[list->count].name = strdup(name);
	if (entries[list->count].name == NULL)
		return zl_error_nomem(err);
	entries[list->count++].changed_ns =
	        status->st_mtim.tv_sec * (int64_t)1000000000 + status->st_mtim.tv_nsec;
	return 0;
}

static int list_zones(int directory, struct list *list, struct zl_error *err)
{
	int copy = openat(directory, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	DIR *stream = copy >= 0 ? fdopendir(copy) : NULL;
	struct dirent *entry;
	int result = 0;

	if (stream == NULL) {
		zl_close(copy);
		return zl_error_errno(err, errno, "read the directory of consoles");
	}
	// NOLINTNEXTLINE(concurrency-mt-unsafe): the stream is this function's own
	while (result == 0 && (entry = readdir(stream)) != NULL) {
		struct stat status;

		if (zl_console_is_zone(entry->d_name) &&
		        fstatat(directory, entry->d_name, &status, AT_SYMLINK_NOFOLLOW) == 0)
			result = list_add(list, entry->d_name, &status, err);
	}
	(void)closedir(stream);
	return result;
}

static int newest_first(const void *a, const void *b)
{
	const struct entry *one = a;
	const struct entry *two = b;

	return (one->changed_ns < two->changed_ns) - (one->changed_ns > two->changed_ns);
}

static bool used(const char *name, bool (*in_use)(void *user, const char *domain), void *user)
{
	char domain[NAME_MAX + 1];

	(void)snprintf(domain, sizeof(domain), "%.*s",
	        (int)(strlen(name) - strlen(PREFIX) - strlen(SUFFIX)), name + strlen(PREFIX));
	return in_use(user, domain);
}

int zl_console_tidy(int directory, bool (*in_use)(void *user, const char *domain), void *user,
        struct zl_error *err)
{
	zl_auto(console_list) struct list list = {.count = 0};

	if (list_zones(directory, &list, err) < 0)
		return -1;
	if (list.count > 0)
		qsort(list.entries, list.count, sizeof(*list.entries), newest_first);
	for (size_t i = 0; i < list.count; i++) {
		const char *name = list.entries[i].name;

		if (i >= ZL_CONSOLE_FILES && !used(name, in_use, user))
			(void)unlinkat(directory, name, 0);
		else if (zl_console_cut(directory, name, err) < 0 && err->code != ZL_NOT_FOUND)
			return -1;
	}
	return 0;
}

// ---- the thread

// Returns how many files came to the directory.
static unsigned look_at_events(struct zl_console_keeper *keeper)
{
	char events[8192] __attribute__((aligned(__alignof__(struct inotify_event))));
	ssize_t length = read(keeper->watch, events, sizeof(events));
	unsigned came = 0;

	for (ssize_t at = 0; at < length;) {
		const struct inotify_event *event = (const struct inotify_event *)(events + at);
		struct zl_error why = ZL_ERROR_INIT;

		at += (ssize_t)(sizeof(*event) + event->len);
		if ((event->mask & IN_CREATE) != 0)
			came++;
		else if ((event->mask & IN_Q_OVERFLOW) != 0)
			came = ZL_CONSOLE_TIDY;
		if (event->len == 0 || !zl_console_is_zone(event->name))
			continue;
		if (zl_console_cut(keeper->directory, event->name, &why) < 0 &&
		        why.code != ZL_NOT_FOUND)
			zl_log_warning("a zone's console: %s", why.message);
	}
	return came;
}

static void *keep(void *argument)
{
	struct zl_console_keeper *keeper = argument;
	unsigned came = ZL_CONSOLE_TIDY;

	for (;;) {
		struct zl_error why = ZL_ERROR_INIT;

		if (came >= ZL_CONSOLE_TIDY) {
			came = 0;
			if (zl_console_tidy(keeper->directory, keeper->in_use, keeper->user, &why) <
			        0)
				zl_log_warning("the zones' consoles: %s", why.message);
		}
		if (zl_cancel_poll(keeper->stopping, keeper->watch, POLLIN, -1, NULL) < 0)
			return NULL;
		came += look_at_events(keeper);
	}
}

static void keeper_free(struct zl_console_keeper *keeper)
{
	if (keeper == NULL)
		return;
	zl_close(keeper->watch);
	zl_close(keeper->directory);
	free(keeper);
}

static int start(struct zl_console_keeper *keeper, const char *path, struct zl_error *err)
{
	int failure;

	keeper->directory = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (keeper->directory < 0)
		return errno == ENOENT ? -1 : zl_error_errno(err, errno, "open %s", path);
	keeper->watch = inotify_init1(IN_CLOEXEC | IN_NONBLOCK);
	if (keeper->watch < 0 || inotify_add_watch(keeper->watch, path, IN_MODIFY | IN_CREATE) < 0)
		return zl_error_errno(err, errno, "watch %s", path);
	failure = pthread_create(&keeper->thread, NULL, keep, keeper);
	return failure == 0 ? 0 : zl_error_errno(err, failure, "start a thread");
}

struct zl_console_keeper *zl_console_keeper_start(const char *directory,
        bool (*in_use)(void *user, const char *domain), void *user,
        const struct zl_cancel *stopping, struct zl_error *err)
{
	struct zl_console_keeper *keeper = calloc(1, sizeof(*keeper));

	if (keeper == NULL) {
		zl_error_nomem(err);
		return NULL;
	}
	*keeper = (struct zl_console_keeper){
	        .directory = -1, .watch = -1, .in_use = in_use, .user = user, .stopping = stopping};
	if (start(keeper, directory, err) < 0) {
		keeper_free(keeper);
		return NULL;
	}
	return keeper;
}

void zl_console_keeper_join(struct zl_console_keeper *keeper)
{
	if (keeper == NULL)
		return;
	(void)pthread_join(keeper->thread, NULL);
	keeper_free(keeper);
}
