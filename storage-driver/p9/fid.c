// SPDX-License-Identifier: Apache-2.0
// An insert without memory fails instead of ending the program.
#define HASH_NONFATAL_OOM 1

#include "storage-driver/p9/fid.h"

#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"

void zl_p9_fids_init(struct zl_p9_fids *fids, struct zl_p9_exports *exports)
{
	memset(fids, 0, sizeof(*fids));
	pthread_mutex_init(&fids->lock, NULL);
	fids->exports = exports;
}

static void destroy(struct zl_p9_fids *fids, struct zl_p9_fid *fid)
{
	if (fid->open_fd != fid->path_fd)
		(void)zl_close(fid->open_fd);
	(void)zl_close(fid->path_fd);
	zl_p9_export_unref(fids->exports, fid->export);
	if (fid->xattr != NULL) {
		pthread_mutex_lock(&fids->lock);
		fids->xattr_count--;
		pthread_mutex_unlock(&fids->lock);
		free(fid->xattr->bytes);
		free(fid->xattr);
	}
	pthread_mutex_destroy(&fid->lock);
	free(fid);
}

void zl_p9_fid_put(struct zl_p9_fids *fids, struct zl_p9_fid *fid)
{
	if (fid != NULL && atomic_fetch_sub(&fid->references, 1) == 1)
		destroy(fids, fid);
}

// With the lock.
static void unlink_fid(struct zl_p9_fids *fids, struct zl_p9_fid *fid)
{
	HASH_DEL(fids->all, fid);
	fids->count--;
}

void zl_p9_fids_clear(struct zl_p9_fids *fids, const struct zl_p9_export *export)
{
	struct zl_p9_fid *fid;
	struct zl_p9_fid *next;
	struct zl_p9_fid *gone = NULL;

	pthread_mutex_lock(&fids->lock);
	HASH_ITER (hh, fids->all, fid, next) {
		if (export != NULL && fid->export != export)
			continue;
		unlink_fid(fids, fid);
		fid->hh.next = gone;
		gone = fid;
	}
	pthread_mutex_unlock(&fids->lock);
	while (gone != NULL) {
		fid = gone;
		gone = fid->hh.next;
		zl_p9_fid_put(fids, fid);
	}
}

void zl_p9_fids_release(struct zl_p9_fids *fids)
{
	zl_p9_fids_clear(fids, NULL);
	pthread_mutex_destroy(&fids->lock);
}

struct zl_p9_fid *zl_p9_fid_new(struct zl_p9_fids *fids, struct zl_p9_export *export, int path_fd,
        mode_t kind, uint32_t uid)
{
	struct zl_p9_fid *fid = calloc(1, sizeof(*fid));

	if (fid == NULL) {
		(void)zl_close(path_fd);
		zl_p9_export_unref(fids->exports, export);
		return NULL;
	}
	fid->number = ZL_P9_NO_FID;
	atomic_init(&fid->references, 1);
	fid->uid = uid;
	fid->export = export;
	fid->kind = kind;
	fid->path_fd = path_fd;
	fid->open_fd = -1;
	fid->directory_next = -1;
	pthread_mutex_init(&fid->lock, NULL);
	return fid;
}

static struct zl_p9_fid *find(struct zl_p9_fids *fids, uint32_t number)
{
	struct zl_p9_fid *fid;

	HASH_FIND(hh, fids->all, &number, sizeof(number), fid);
	return fid;
}

// With the lock.
static int insert(struct zl_p9_fids *fids, struct zl_p9_fid *fid, uint32_t number)
{
	// A removal marks the export first and clears the table then, under this lock: a fid that
	// was still on its way comes here too late.
	if (fid->export != NULL && fid->export->removed)
		return ESTALE;
	fid->number = number;
	HASH_ADD(hh, fids->all, number, sizeof(fid->number), fid);
	if (fid->hh.tbl == NULL)
		return ENOMEM;
	atomic_fetch_add(&fid->references, 1);
	fids->count++;
	return 0;
}

int zl_p9_fid_insert(struct zl_p9_fids *fids, struct zl_p9_fid *fid, uint32_t number)
{
	int result;

	pthread_mutex_lock(&fids->lock);
	if (number == ZL_P9_NO_FID || find(fids, number) != NULL)
		result = EBADF;
	else if (fids->count >= ZL_P9_FIDS_MAX)
		result = ENFILE;
	else
		result = insert(fids, fid, number);
	pthread_mutex_unlock(&fids->lock);
	return result;
}

struct zl_p9_fid *zl_p9_fid_get(struct zl_p9_fids *fids, uint32_t number)
{
	struct zl_p9_fid *fid;

	pthread_mutex_lock(&fids->lock);
	fid = find(fids, number);
	if (fid != NULL)
		atomic_fetch_add(&fid->references, 1);
	pthread_mutex_unlock(&fids->lock);
	return fid;
}

struct zl_p9_fid *zl_p9_fid_take(struct zl_p9_fids *fids, uint32_t number)
{
	struct zl_p9_fid *fid;

	pthread_mutex_lock(&fids->lock);
	fid = find(fids, number);
	if (fid != NULL)
		unlink_fid(fids, fid);
	pthread_mutex_unlock(&fids->lock);
	return fid;
}

bool zl_p9_fid_replace(struct zl_p9_fids *fids, struct zl_p9_fid *fid, uint32_t number)
{
	struct zl_p9_fid *old;
	bool done = false;

	pthread_mutex_lock(&fids->lock);
	old = find(fids, number);
	if (old != NULL) {
		unlink_fid(fids, old);
		done = insert(fids, fid, number) == 0;
	}
	pthread_mutex_unlock(&fids->lock);
	zl_p9_fid_put(fids, old);
	return done;
}

static int count_xattr(struct zl_p9_fids *fids)
{
	int result = 0;

	pthread_mutex_lock(&fids->lock);
	if (fids->xattr_count >= ZL_P9_XATTR_FIDS_MAX)
		result = ENOSPC;
	else
		fids->xattr_count++;
	pthread_mutex_unlock(&fids->lock);
	return result;
}

int zl_p9_fid_xattr(struct zl_p9_fids *fids, struct zl_p9_fid *fid, size_t size)
{
	int failure;

	if (size > ZL_P9_XATTR_MAX)
		return E2BIG;
	failure = count_xattr(fids);
	if (failure != 0)
		return failure;
	fid->xattr = calloc(1, sizeof(*fid->xattr));
	if (fid->xattr != NULL)
		fid->xattr->bytes = calloc(1, size + 1);
	if (fid->xattr != NULL && fid->xattr->bytes != NULL) {
		fid->xattr->size = size;
		return 0;
	}
	free(fid->xattr);
	fid->xattr = NULL;
	pthread_mutex_lock(&fids->lock);
	fids->xattr_count--;
	pthread_mutex_unlock(&fids->lock);
	return ENOMEM;
}
