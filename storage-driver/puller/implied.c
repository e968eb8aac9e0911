// SPDX-License-Identifier: Apache-2.0
#include "storage-driver/puller/implied.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>

#include "base/cleanup.h"
#include "storage-driver/manifest.h"

// A sane image is far below; a cycle in a malformed one ends here.
enum { DEPTH_MAX = 2048, DIRECTORIES_MAX = 4 * 1000 * 1000, TYPE_DIRECTORY = 2, TYPE_CHAR = 3 };

struct settling {
	struct zl_erofs_image *merged;
	const struct zl_erofs_image *layers;
	size_t count;
	char path[PATH_MAX]; // of the directory at hand, "" for the root
	size_t path_length;
	int depth;
	int directories;
};

static bool is_marked(const struct zl_erofs_inode *inode)
{
	return inode->mtime == 0 && inode->mtime_ns == ZL_IMPLIED_NS;
}

enum answer { ABSENT, FOUND, HIDDEN };

// What one layer says of the path: FOUND with its inode, ABSENT and the layers below may know it,
// or HIDDEN when this layer hides what they say.
static int ask_layer(const struct zl_erofs_image *layer, const char *path,
        struct zl_erofs_inode *ret, enum answer *ret_answer, struct zl_error *err)
{
	bool opaque = false;

	if (zl_erofs_inode_read(layer, layer->root, ret, err) < 0)
		return -1;
	while (*path != '\0') {
		size_t length = strcspn(path, "/");
		struct zl_erofs_entry entry;
		int found;

		opaque = opaque || zl_erofs_is_opaque(layer, ret);
		found = zl_erofs_lookup(layer, ret, path, length, &entry, err);
		if (found < 0)
			return -1;
		if (found == 0 || entry.type != TYPE_DIRECTORY) {
			// A whiteout, or a file in the directory's place.
			*ret_answer = found > 0 || opaque ? HIDDEN : ABSENT;
			return 0;
		}
		if (zl_erofs_inode_read(layer, entry.nid, ret, err) < 0)
			return -1;
		path += length;
		path += *path == '/';
	}
	if (!is_marked(ret))
		*ret_answer = FOUND;
	else
		*ret_answer = opaque || zl_erofs_is_opaque(layer, ret) ? HIDDEN : ABSENT;
	return 0;
}

static int settle_one(
        struct settling *settling, const struct zl_erofs_inode *inode, struct zl_error *err)
{
	// Where no layer says anything: as other runtimes make a missing parent.
	struct zl_erofs_inode like = {.mode = ZL_IMPLIED_MODE, .mtime_ns = ZL_IMPLIED_NS};
	enum answer answer = ABSENT;

	for (size_t i = settling->count; i > 0 && answer == ABSENT; i--) {
		struct zl_erofs_inode found;

		if (ask_layer(&settling->layers[i - 1], settling->path, &found, &answer, err) < 0)
			return -1;
		if (answer == FOUND)
			like = found;
	}
	zl_erofs_inode_patch(settling->merged, inode, &like);
	return 0;
}

static int settle_dir(struct settling *settling, uint64_t nid, struct zl_error *err);

static int descend(void *user, const struct zl_erofs_entry *entry, struct zl_error *err)
{
	struct settling *settling = user;
	size_t before = settling->path_length;
	int result;

	if (entry->type != TYPE_DIRECTORY)
		return 0;
	if (before + 1 + entry->name_length >= sizeof(settling->path))
		return zl_error_set(err, ZL_INVALID_ARGUMENT, "malformed EROFS image: path length");
	if (before > 0)
		settling->path[settling->path_length++] = '/';
	memcpy(settling->path + settling->path_length, entry->name, entry->name_length);
	settling->path_length += entry->name_length;
	settling->path[settling->path_length] = '\0';
	result = settle_dir(settling, entry->nid, err);
	settling->path_length = before;
	settling->path[before] = '\0';
	return result;
}

static int settle_dir(struct settling *settling, uint64_t nid, struct zl_error *err)
{
	struct zl_erofs_inode inode;
	int result;

	if (++settling->directories > DIRECTORIES_MAX || ++settling->depth > DEPTH_MAX)
		return zl_error_set(
		        err, ZL_INVALID_ARGUMENT, "malformed EROFS image: directories without end");
	if (zl_erofs_inode_read(settling->merged, nid, &inode, err) < 0)
		return -1;
	if (is_marked(&inode) || settling->path_length == 0) {
		if (settle_one(settling, &inode, err) < 0)
			return -1;
	}
	result = zl_erofs_each(settling->merged, &inode, descend, settling, err);
	settling->depth--;
	return result;
}

int zl_implied_settle(struct zl_erofs_image *merged, const struct zl_erofs_image *layers,
        size_t count, struct zl_error *err)
{
	struct settling settling = {.merged = merged, .layers = layers, .count = count};

	if (settle_dir(&settling, merged->root, err) < 0)
		return -1;
	zl_erofs_image_seal(merged);
	return 0;
}

// ---- files

static int map_file(int dir_fd, const char *name, bool writable, struct zl_erofs_image *ret,
        struct zl_error *err)
{
	zl_auto(fd) int fd = openat(dir_fd, name, (writable ? O_RDWR : O_RDONLY) | O_CLOEXEC);
	struct stat status;
	void *data;

	if (fd < 0 || fstat(fd, &status) < 0)
		return zl_error_errno(err, errno, "open blob %s", name);
	if (status.st_size == 0)
		return zl_error_set(err, ZL_INVALID_ARGUMENT, "blob %s is empty", name);
	data = mmap(NULL, (size_t)status.st_size, writable ? PROT_READ | PROT_WRITE : PROT_READ,
	        MAP_SHARED, fd, 0);
	if (data == MAP_FAILED)
		return zl_error_errno(err, errno, "map blob %s", name);
	ret->data = data;
	ret->size = (size_t)status.st_size;
	return zl_erofs_image_init(ret, data, ret->size, err);
}

static void unmap(struct zl_erofs_image *image)
{
	if (image->data != NULL)
		(void)munmap(image->data, image->size);
}

int zl_implied_settle_file(const char *file, int blobs_fd, char *const *names, struct zl_error *err)
{
	struct zl_erofs_image merged = {.data = NULL};
	struct zl_erofs_image *layers = calloc(ZL_MANIFEST_LAYERS_MAX, sizeof(*layers));
	size_t count = 0;
	int result;

	if (layers == NULL)
		return zl_error_nomem(err);
	result = map_file(AT_FDCWD, file, true, &merged, err);
	for (; result == 0 && names[count] != NULL && count < ZL_MANIFEST_LAYERS_MAX; count++)
		result = map_file(blobs_fd, names[count], false, &layers[count], err);
	if (result == 0)
		result = zl_implied_settle(&merged, layers, count, err);
	while (count > 0)
		unmap(&layers[--count]);
	unmap(&merged);
	free(layers);
	return result;
}
