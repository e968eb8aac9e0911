// SPDX-License-Identifier: Apache-2.0
#include "storage-driver/p9/export.h"

#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "base/cleanup.h"

void zl_p9_exports_init(struct zl_p9_exports *exports)
{
	memset(exports, 0, sizeof(*exports));
	pthread_mutex_init(&exports->lock, NULL);
}

static void drop(struct zl_p9_export *export)
{
	if (--export->references > 0)
		return;
	(void)zl_close(export->fd);
	free(export);
}

void zl_p9_exports_release(struct zl_p9_exports *exports)
{
	while (exports->first != NULL) {
		struct zl_p9_export *export = exports->first;

		exports->first = export->next;
		drop(export);
	}
	pthread_mutex_destroy(&exports->lock);
}

bool zl_p9_export_name_valid(const char *name)
{
	static const char allowed[] =
	        "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789._-";
	size_t length = strnlen(name, ZL_P9_EXPORT_NAME_SIZE);

	return length > 0 && length < ZL_P9_EXPORT_NAME_SIZE && name[0] != '.' &&
	       strspn(name, allowed) == length;
}

static struct zl_p9_export *new_export(const char *name, int fd, struct zl_error *err)
{
	struct zl_p9_export *export = calloc(1, sizeof(*export));
	struct stat status;

	if (export == NULL || fstat(fd, &status) < 0) {
		if (export == NULL)
			zl_error_nomem(err);
		else
			zl_error_errno(err, errno, "export %s: its descriptor", name);
		free(export);
		return NULL;
	}
	memcpy(export->name, name, strlen(name) + 1);
	export->fd = fd;
	export->kind = status.st_mode & S_IFMT;
	export->device = status.st_dev;
	export->references = 1;
	return export;
}

static struct zl_p9_export **find_place(
        struct zl_p9_exports *exports, const char *name, size_t length)
{
	struct zl_p9_export **at = &exports->first;

	while (*at != NULL &&
	        (strlen((*at)->name) != length || memcmp((*at)->name, name, length) != 0))
		at = &(*at)->next;
	return at;
}

// With the lock. *at ends the list.
static int append(struct zl_p9_exports *exports, struct zl_p9_export **at, const char *name,
        int *fd, struct zl_error *err)
{
	struct zl_p9_export *export;

	if (exports->count >= ZL_P9_EXPORTS_MAX)
		return zl_error_set(err, ZL_RESOURCE_EXHAUSTED,
		        "export %s: the pod has %d exports already, the most possible", name,
		        ZL_P9_EXPORTS_MAX);
	export = new_export(name, *fd, err);
	if (export == NULL)
		return -1;
	*fd = -1;
	export->order = ++exports->added;
	*at = export;
	exports->count++;
	return 0;
}

int zl_p9_export_add(struct zl_p9_exports *exports, const char *name, int fd, struct zl_error *err)
{
	zl_auto(fd) int own = fd;
	struct zl_p9_export **at;
	int result = 0;

	if (!zl_p9_export_name_valid(name))
		return zl_error_set(err, ZL_INVALID_ARGUMENT,
		        "\"%.100s\" cannot be the name of an export", name);
	pthread_mutex_lock(&exports->lock);
	at = find_place(exports, name, strlen(name));
	if (*at == NULL)
		result = append(exports, at, name, &own, err);
	pthread_mutex_unlock(&exports->lock);
	return result;
}

struct zl_p9_export *zl_p9_export_remove(struct zl_p9_exports *exports, const char *name)
{
	struct zl_p9_export **at;
	struct zl_p9_export *export;

	pthread_mutex_lock(&exports->lock);
	at = find_place(exports, name, strlen(name));
	export = *at;
	if (export != NULL) {
		*at = export->next;
		export->removed = true;
		exports->count--;
	}
	pthread_mutex_unlock(&exports->lock);
	return export;
}

struct zl_p9_export *zl_p9_export_find(
        struct zl_p9_exports *exports, const char *name, size_t length)
{
	struct zl_p9_export *export;

	pthread_mutex_lock(&exports->lock);
	export = *find_place(exports, name, length);
	if (export != NULL)
		export->references++;
	pthread_mutex_unlock(&exports->lock);
	return export;
}

struct zl_p9_export *zl_p9_export_next(struct zl_p9_exports *exports, uint64_t after)
{
	struct zl_p9_export *export;

	pthread_mutex_lock(&exports->lock);
	export = exports->first;
	while (export != NULL && export->order <= after)
		export = export->next;
	if (export != NULL)
		export->references++;
	pthread_mutex_unlock(&exports->lock);
	return export;
}

struct zl_p9_export *zl_p9_export_ref(struct zl_p9_exports *exports, struct zl_p9_export *export)
{
	if (export == NULL)
		return NULL;
	pthread_mutex_lock(&exports->lock);
	export->references++;
	pthread_mutex_unlock(&exports->lock);
	return export;
}

void zl_p9_export_unref(struct zl_p9_exports *exports, struct zl_p9_export *export)
{
	if (export == NULL)
		return;
	pthread_mutex_lock(&exports->lock);
	drop(export);
	pthread_mutex_unlock(&exports->lock);
}

// A permutation of 64 bits (the finaliser of a well-known hash), so that numbers of two file
// systems do not meet by being small.
static uint64_t mix(uint64_t value)
{
	value ^= value >> 30;
	value *= 0xbf58476d1ce4e5b9ULL;
	value ^= value >> 27;
	value *= 0x94d049bb133111ebULL;
	return value ^ value >> 31;
}

struct zl_p9_qid zl_p9_export_qid(
        const struct zl_p9_export *export, dev_t device, uint64_t inode, mode_t mode)
{
	struct zl_p9_qid qid = {.path = inode};

	if (device != export->device)
		qid.path += mix(device);
	if (S_ISDIR(mode))
		qid.type = ZL_P9_QID_DIR;
	else if (S_ISLNK(mode))
		qid.type = ZL_P9_QID_SYMLINK;
	return qid;
}
