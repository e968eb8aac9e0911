// SPDX-License-Identifier: Apache-2.0
#include "zone/supervisor/layer.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/clock.h"
#include "base/id.h"

enum { BLOCK = 512, REST_FACTOR = 10 };

// An inode with n names counts an n-th at each of them, in units small enough for the rest.
#define WHOLE (UINT64_C(1) << 20)

struct walk {
	dev_t device;
	uint64_t bytes;
	uint64_t inode_parts;
};

static void count_entry(struct walk *walk, const struct stat *st)
{
	uint64_t names = S_ISDIR(st->st_mode) || st->st_nlink < 1 ? 1 : st->st_nlink;

	walk->bytes += (uint64_t)st->st_blocks * BLOCK / names;
	walk->inode_parts += WHOLE / names;
}

// Takes `fd` over.
static void walk_directory(struct walk *walk, int fd, int depth)
{
	zl_auto(dir) DIR *dir = fdopendir(fd);
	struct dirent *entry;

	if (dir == NULL) {
		zl_close(fd);
		return;
	}
	// NOLINTNEXTLINE(concurrency-mt-unsafe): a stream of our own
	while ((entry = readdir(dir)) != NULL) {
		struct stat st;
		int child;

		if (strcmp(entry->d_name, ".") == 0 || strcmp(entry->d_name, "..") == 0 ||
		        fstatat(fd, entry->d_name, &st, AT_SYMLINK_NOFOLLOW) < 0 ||
		        st.st_dev != walk->device)
			continue;
		count_entry(walk, &st);
		if (!S_ISDIR(st.st_mode) || depth == ZL_LAYER_DEPTH)
			continue;
		child = openat(
		        dirfd(dir), entry->d_name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
		if (child >= 0)
			walk_directory(walk, child, depth + 1);
	}
}

int zl_layer_measure(const char *path, struct zl_layer_size *ret, struct zl_error *err)
{
	int fd = open(path, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	struct walk walk = {0};
	struct stat st;

	if (fd < 0)
		return zl_error_errno(err, errno, "measure %s", path);
	if (fstat(fd, &st) < 0) {
		zl_close(fd);
		return zl_error_errno(err, errno, "measure %s", path);
	}
	walk.device = st.st_dev;
	walk_directory(&walk, fd, 0);
	ret->bytes = walk.bytes;
	ret->inodes = (walk.inode_parts + WHOLE / 2) / WHOLE;
	return 0;
}

// ---- the meter

struct layer {
	char id[ZL_ID_SIZE];
	char *path;
	struct zl_layer_size size;
	bool measured;
};

struct zl_layer_meter {
	int done_fd;
	pthread_t thread;
	pthread_mutex_t lock; // guards all below; `layers` is the thread's own while `busy`
	pthread_cond_t wanted;
	bool busy;
	struct layer *layers;
	size_t count;
	int64_t not_before_ns; // monotonic
};

static void measure_all(struct zl_layer_meter *meter)
{
	for (size_t i = 0; i < meter->count; i++) {
		struct layer *layer = &meter->layers[i];

		layer->measured = zl_layer_measure(layer->path, &layer->size, NULL) == 0;
	}
}

static void *meter_main(void *data)
{
	struct zl_layer_meter *meter = data;
	uint64_t one = 1;

	for (;;) {
		int64_t begin;
		int64_t end;

		pthread_mutex_lock(&meter->lock);
		while (!meter->busy)
			pthread_cond_wait(&meter->wanted, &meter->lock);
		pthread_mutex_unlock(&meter->lock);
		begin = zl_clock_monotonic();
		measure_all(meter);
		end = zl_clock_monotonic();
		pthread_mutex_lock(&meter->lock);
		meter->busy = false;
		meter->not_before_ns = end + (end - begin) * REST_FACTOR;
		pthread_mutex_unlock(&meter->lock);
		(void)!write(meter->done_fd, &one, sizeof(one));
	}
	return NULL;
}

struct zl_layer_meter *zl_layer_meter_new(int done_fd, struct zl_error *err)
{
	struct zl_layer_meter *meter = calloc(1, sizeof(*meter));
	int failure;

	if (meter == NULL) {
		zl_error_nomem(err);
		return NULL;
	}
	meter->done_fd = done_fd;
	pthread_mutex_init(&meter->lock, NULL);
	pthread_cond_init(&meter->wanted, NULL);
	failure = pthread_create(&meter->thread, NULL, meter_main, meter);
	if (failure != 0) {
		zl_error_errno(err, failure, "start a thread");
		free(meter);
		return NULL;
	}
	(void)pthread_detach(meter->thread);
	return meter;
}

bool zl_layer_meter_due(struct zl_layer_meter *meter, int64_t now_ns)
{
	bool due;

	pthread_mutex_lock(&meter->lock);
	due = !meter->busy && now_ns >= meter->not_before_ns;
	pthread_mutex_unlock(&meter->lock);
	return due;
}

static void forget_layers(struct zl_layer_meter *meter)
{
	for (size_t i = 0; i < meter->count; i++)
		free(meter->layers[i].path);
	free(meter->layers);
	meter->layers = NULL;
	meter->count = 0;
}

// Under the lock.
static bool set_layers(struct zl_layer_meter *meter, const char *const *ids,
        const char *const *paths, size_t count)
{
	forget_layers(meter);
	meter->layers = calloc(count, sizeof(*meter->layers));
	if (meter->layers == NULL)
		return false;
	for (; meter->count < count; meter->count++) {
		struct layer *layer = &meter->layers[meter->count];

		(void)snprintf(layer->id, sizeof(layer->id), "%s", ids[meter->count]);
		layer->path = strdup(paths[meter->count]);
		if (layer->path == NULL)
			return false;
	}
	return true;
}

bool zl_layer_meter_begin(struct zl_layer_meter *meter, const char *const *ids,
        const char *const *paths, size_t count)
{
	bool begun;

	pthread_mutex_lock(&meter->lock);
	begun = !meter->busy && count > 0 && set_layers(meter, ids, paths, count);
	meter->busy = meter->busy || begun;
	if (begun)
		pthread_cond_signal(&meter->wanted);
	pthread_mutex_unlock(&meter->lock);
	return begun;
}

bool zl_layer_meter_take(
        struct zl_layer_meter *meter, size_t index, const char **ret_id, struct zl_layer_size *ret)
{
	bool found;

	pthread_mutex_lock(&meter->lock);
	found = !meter->busy && index < meter->count;
	if (found) {
		*ret_id = meter->layers[index].measured ? meter->layers[index].id : "";
		*ret = meter->layers[index].size;
	}
	pthread_mutex_unlock(&meter->lock);
	return found;
}
