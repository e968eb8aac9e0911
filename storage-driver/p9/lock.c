// SPDX-License-Identifier: Apache-2.0
#include "storage-driver/p9/lock.h"

#include <fcntl.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "storage-driver/p9/call.h"

// A file with locks: the descriptor that holds them.
struct zl_p9_locked_file {
	dev_t device;
	ino_t inode;
	int fd;
	bool can_write;
	struct zl_p9_locked_file *next;
};

void zl_p9_locks_init(struct zl_p9_locks *locks)
{
	memset(locks, 0, sizeof(*locks));
	pthread_mutex_init(&locks->lock, NULL);
}

// ---- the table of who holds what

static bool same_file(const struct zl_p9_lock *a, const struct zl_p9_lock *b)
{
	return a->device == b->device && a->inode == b->inode;
}

static bool overlap(const struct zl_p9_lock *a, const struct zl_p9_lock *b)
{
	return a->start <= b->end && b->start <= a->end;
}

static bool whole(const struct zl_p9_lock *lock)
{
	return lock->start == 0 && lock->end == INT64_MAX;
}

static bool same_owner(const struct zl_p9_lock *held, const struct zl_p9_lock *wanted)
{
	return held->owner == wanted->owner ||
	       (held->fid == wanted->fid && whole(held) && whole(wanted));
}

static int reserve(struct zl_p9_locks *locks, size_t more)
{
	struct zl_p9_lock *grown;
	size_t capacity = locks->capacity == 0 ? 16 : locks->capacity;

	if (locks->count + more > ZL_P9_LOCKS_MAX)
		return ENOLCK;
	while (capacity < locks->count + more)
		capacity *= 2;
	if (capacity == locks->capacity)
		return 0;
	grown = realloc(locks->held, capacity * sizeof(*grown));
	if (grown == NULL)
		return ENOLCK;
	locks->held = grown;
	locks->capacity = capacity;
	return 0;
}

// Cuts the wanted range out of what its owner holds; what is left on both sides stays.
static int cut(struct zl_p9_locks *locks, const struct zl_p9_lock *wanted)
{
	for (size_t i = 0; i < locks->count;) {
		struct zl_p9_lock held = locks->held[i];
		struct zl_p9_lock after = held;

		if (!same_file(&held, wanted) || !same_owner(&held, wanted) ||
		        !overlap(&held, wanted)) {
			i++;
			continue;
		}
		if (reserve(locks, 1) != 0)
			return ENOLCK;
		locks->held[i] = locks->held[--locks->count];
		if (held.start < wanted->start) {
			held.end = wanted->start - 1;
			locks->held[locks->count++] = held;
		}
		if (after.end > wanted->end) {
			if (reserve(locks, 1) != 0)
				return ENOLCK;
			after.start = wanted->end + 1;
			locks->held[locks->count++] = after;
		}
	}
	return 0;
}

// Two exports of one file are two inodes to the zone's kernel, which then does not see that their
// locks meet.
static bool met_by_own(const struct zl_p9_locks *locks, const struct zl_p9_lock *wanted)
{
	for (size_t i = 0; i < locks->count; i++) {
		const struct zl_p9_lock *held = &locks->held[i];

		if (same_file(held, wanted) && held->export != wanted->export &&
		        held->owner != wanted->owner && overlap(held, wanted) &&
		        (held->type == F_WRLCK || wanted->type == F_WRLCK))
			return true;
	}
	return false;
}

// ---- the descriptor that holds them

static struct zl_p9_locked_file **find_file(
        struct zl_p9_locks *locks, const struct zl_p9_lock *lock)
{
	struct zl_p9_locked_file **at = &locks->files;

	while (*at != NULL && ((*at)->device != lock->device || (*at)->inode != lock->inode))
		at = &(*at)->next;
	return at;
}

static struct zl_p9_locked_file *get_file(
        struct zl_p9_locks *locks, const struct zl_p9_lock *lock, int path_fd)
{
	struct zl_p9_fd_path path = zl_p9_fd_path(path_fd);
	struct zl_p9_locked_file *file = *find_file(locks, lock);

	if (file != NULL)
		return file;
	file = calloc(1, sizeof(*file));
	if (file == NULL)
		return NULL;
	file->device = lock->device;
	file->inode = lock->inode;
	file->can_write = true;
	file->fd = open(path.text, O_RDWR | O_NONBLOCK | O_CLOEXEC);
	if (file->fd < 0) {
		file->can_write = false;
		file->fd = open(path.text, O_RDONLY | O_NONBLOCK | O_CLOEXEC);
	}
	if (file->fd < 0) {
		free(file);
		return NULL;
	}
	file->next = locks->files;
	locks->files = file;
	return file;
}

// A file that nobody in the zone locks any more is closed, which gives its locks back.
static void close_unused(struct zl_p9_locks *locks)
{
	struct zl_p9_locked_file **at = &locks->files;

	while (*at != NULL) {
		struct zl_p9_locked_file *file = *at;
		bool used = false;

		for (size_t i = 0; i < locks->count && !used; i++)
			used = locks->held[i].device == file->device &&
			       locks->held[i].inode == file->inode;
		if (used) {
			at = &file->next;
			continue;
		}
		*at = file->next;
		(void)zl_close(file->fd);
		free(file);
	}
}

// A write lock needs a file that is open for writing; on a read-only one it is a read lock to
// others.
static int set_range(const struct zl_p9_locked_file *file, short type, int64_t start, int64_t end)
{
	struct flock range = {
	        .l_type = type == F_WRLCK && !file->can_write ? F_RDLCK : type,
	        .l_whence = SEEK_SET,
	        .l_start = start,
	        .l_len = end == INT64_MAX ? 0 : end - start + 1,
	};

	return fcntl(file->fd, F_OFD_SETLK, &range) < 0 ? errno : 0;
}

// The strongest lock that the table has at byte `at`, and the last byte up to which that holds, at
// most `end`.
static short strongest(
        const struct zl_p9_locks *locks, const struct zl_p9_lock *file, int64_t at, int64_t *end)
{
	short type = F_UNLCK;

	for (size_t i = 0; i < locks->count; i++) {
		const struct zl_p9_lock *held = &locks->held[i];

		if (!same_file(held, file) || held->end < at)
			continue;
		if (held->start > at) {
			if (held->start - 1 < *end)
				*end = held->start - 1;
			continue;
		}
		if (held->end < *end)
			*end = held->end;
		if (held->type == F_WRLCK || type == F_UNLCK)
			type = held->type;
	}
	return type;
}

// Makes the descriptor hold, in this range, what the table says.
static int apply(const struct zl_p9_locks *locks, const struct zl_p9_lock *range,
        const struct zl_p9_locked_file *file)
{
	int64_t at = range->start;
	int failure = 0;

	for (;;) {
		int64_t end = range->end;
		short type = strongest(locks, range, at, &end);

		failure = set_range(file, type, at, end);
		if (failure != 0 || end >= range->end)
			return failure;
		at = end + 1;
	}
}

// ---- what the server asks

static int hold(struct zl_p9_locks *locks, const struct zl_p9_lock *wanted,
        const struct zl_p9_locked_file *file)
{
	if (cut(locks, wanted) != 0)
		return ENOLCK;
	if (wanted->type != F_UNLCK) {
		if (reserve(locks, 1) != 0)
			return ENOLCK;
		locks->held[locks->count++] = *wanted;
	}
	return apply(locks, wanted, file);
}

// With the lock. The table as it was is put back when the node's kernel refuses.
static int change(struct zl_p9_locks *locks, const struct zl_p9_lock *wanted, int path_fd)
{
	struct zl_p9_locked_file *file = get_file(locks, wanted, path_fd);
	size_t count = locks->count;
	struct zl_p9_lock *before;
	int failure;

	if (file == NULL)
		return ENOLCK;
	before = malloc((count + 1) * sizeof(*before));
	if (before == NULL)
		return ENOLCK;
	if (count > 0)
		memcpy(before, locks->held, count * sizeof(*before));
	failure = hold(locks, wanted, file);
	if (failure != 0) {
		if (count > 0)
			memcpy(locks->held, before, count * sizeof(*before));
		locks->count = count;
		(void)apply(locks, wanted, file);
	}
	free(before);
	return failure;
}

int zl_p9_lock_set(struct zl_p9_locks *locks, const struct zl_p9_lock *wanted, int path_fd)
{
	int failure;

	pthread_mutex_lock(&locks->lock);
	if (wanted->type != F_UNLCK && met_by_own(locks, wanted))
		failure = EAGAIN;
	else
		failure = change(locks, wanted, path_fd);
	close_unused(locks);
	pthread_mutex_unlock(&locks->lock);
	return failure;
}

int zl_p9_lock_test(struct zl_p9_locks *locks, struct zl_p9_lock *lock, int path_fd)
{
	struct flock range = {
	        .l_type = lock->type,
	        .l_whence = SEEK_SET,
	        .l_start = lock->start,
	        .l_len = lock->end == INT64_MAX ? 0 : lock->end - lock->start + 1,
	};
	struct zl_p9_locked_file *file;
	int failure = 0;

	pthread_mutex_lock(&locks->lock);
	file = get_file(locks, lock, path_fd);
	if (file == NULL)
		failure = ENOLCK;
	else if (fcntl(file->fd, F_OFD_GETLK, &range) < 0)
		failure = errno;
	close_unused(locks);
	pthread_mutex_unlock(&locks->lock);
	if (failure != 0)
		return failure;
	lock->type = range.l_type;
	if (range.l_type == F_UNLCK)
		return 0;
	lock->start = range.l_start;
	lock->end = range.l_len == 0 ? INT64_MAX : range.l_start + range.l_len - 1;
	lock->owner = range.l_pid > 0 ? (uint32_t)range.l_pid : 0;
	return 0;
}

static void forget(struct zl_p9_locks *locks, const struct zl_p9_export *export)
{
	size_t kept = 0;

	pthread_mutex_lock(&locks->lock);
	for (size_t i = 0; i < locks->count; i++) {
		if (export != NULL && locks->held[i].export != export)
			locks->held[kept++] = locks->held[i];
	}
	locks->count = kept;
	close_unused(locks);
	for (struct zl_p9_locked_file *file = locks->files; file != NULL; file = file->next) {
		struct zl_p9_lock all = {
		        .device = file->device, .inode = file->inode, .end = INT64_MAX};

		(void)apply(locks, &all, file);
	}
	pthread_mutex_unlock(&locks->lock);
}

void zl_p9_locks_clear(struct zl_p9_locks *locks)
{
	forget(locks, NULL);
}

void zl_p9_locks_forget(struct zl_p9_locks *locks, const struct zl_p9_export *export)
{
	forget(locks, export);
}

void zl_p9_locks_release(struct zl_p9_locks *locks)
{
	zl_p9_locks_clear(locks);
	free(locks->held);
	pthread_mutex_destroy(&locks->lock);
}
