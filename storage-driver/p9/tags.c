// SPDX-License-Identifier: Apache-2.0
#include "storage-driver/p9/tags.h"

#include <fcntl.h>
#include <sys/mman.h>

#include "base/cleanup.h"

struct zl_p9_tags *zl_p9_tags_open(const char *path, struct zl_error *err)
{
	zl_auto(fd) int fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
	void *map;

	if (fd < 0 || ftruncate(fd, sizeof(struct zl_p9_tags)) < 0) {
		zl_error_errno(err, errno, "make %s", path);
		return NULL;
	}
	map = mmap(NULL, sizeof(struct zl_p9_tags), PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	if (map == MAP_FAILED) {
		zl_error_errno(err, errno, "map %s", path);
		return NULL;
	}
	return map;
}

void zl_p9_tags_set(struct zl_p9_tags *tags, uint16_t tag, unsigned lane)
{
	if (tags == NULL)
		return;
	atomic_store(&tags->lanes[tag], (uint8_t)lane);
	atomic_fetch_add(&tags->open[tag], 1);
}

void zl_p9_tags_clear(struct zl_p9_tags *tags, uint16_t tag)
{
	if (tags != NULL)
		atomic_fetch_sub(&tags->open[tag], 1);
}

int zl_p9_tags_each(
        struct zl_p9_tags *tags, int (*each)(void *user, uint16_t tag, unsigned lane), void *user)
{
	for (unsigned tag = 0; tag < ZL_P9_TAGS_COUNT; tag++) {
		if (atomic_load(&tags->open[tag]) == 0)
			continue;
		if (each(user, (uint16_t)tag, atomic_load(&tags->lanes[tag])) < 0)
			return -1;
		atomic_store(&tags->open[tag], 0);
	}
	return 0;
}
