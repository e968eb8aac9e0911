// SPDX-License-Identifier: Apache-2.0
#include "storage-driver/store.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <pwd.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>

#include "base/file.h"
#include "base/strv.h"
#include "storage-driver/catalog.h"
#include "storage-driver/reference.h"

static const uint64_t default_layer_bytes = UINT64_C(64) << 30;

enum { DEFAULT_PARALLEL = 3, ROOT_DIR_MAX = PATH_MAX - 512 };

void zl_store_path(
        const struct zl_store *store, const char *below, const char *name, char *out, size_t size)
{
	(void)snprintf(
	        out, size, "%s/%s%s%s", store->root_dir, below, name[0] != '\0' ? "/" : "", name);
}

// ---- opening

static int copy_options(
        struct zl_store *store, const struct zl_store_options *options, struct zl_error *err)
{
	store->root_dir = zl_strdup(options->root_dir, err);
	store->puller = zl_strdup(options->puller, err);
	if (store->root_dir == NULL || store->puller == NULL)
		return -1;
	if (options->registry_dir != NULL) {
		store->registry_dir = zl_strdup(options->registry_dir, err);
		if (store->registry_dir == NULL)
			return -1;
	}
	for (const char *const *host = options->insecure_registries; host != NULL && *host != NULL;
	        host++) {
		if (zl_strv_append(&store->insecure, *host, err) < 0)
			return -1;
	}
	store->max_layer_bytes =
	        options->max_layer_bytes > 0 ? options->max_layer_bytes : default_layer_bytes;
	store->parallel_layers =
	        options->parallel_layers > 0 ? options->parallel_layers : DEFAULT_PARALLEL;
	return 0;
}

static int find_user(struct zl_store *store, const char *user, struct zl_error *err)
{
	struct passwd entry;
	struct passwd *found = NULL;
	char strings[4096];

	if (user == NULL)
		return 0;
	(void)getpwnam_r(user, &entry, strings, sizeof(strings), &found);
	if (found == NULL)
		return zl_error_set(err, ZL_FAILED_PRECONDITION,
		        "there is no user '%s' to run image pulls as; make it with: useradd "
		        "--system "
		        "--no-create-home %s",
		        user, user);
	store->puller_uid = entry.pw_uid;
	store->puller_gid = entry.pw_gid;
	store->puller_user = zl_strdup(user, err);
	return store->puller_user == NULL ? -1 : 0;
}

static int make_dirs(struct zl_store *store, struct zl_error *err)
{
	static const struct {
		const char *name;
		mode_t mode;
	} dirs[] = {
	        {"", 0711},      // the puller goes through it
	        {"blobs", 0755}, // and reads these
	        {"ingest", 0711},
	        {"scratch", 0700},
	};
	char path[PATH_MAX];

	for (size_t i = 0; i < ZL_ARRAY_SIZE(dirs); i++) {
		zl_store_path(store, dirs[i].name, "", path, sizeof(path));
		if (zl_dir_make(path, dirs[i].mode, err) < 0)
			return -1;
		if (chmod(path, dirs[i].mode) < 0)
			return zl_error_errno(err, errno, "set the mode of %s", path);
	}
	zl_store_path(store, "blobs", "", path, sizeof(path));
	store->blobs_fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	return store->blobs_fd < 0 ? zl_error_errno(err, errno, "open %s", path) : 0;
}

static int take_lock(struct zl_store *store, struct zl_error *err)
{
	char path[PATH_MAX];

	zl_store_path(store, "lock", "", path, sizeof(path));
	store->lock_fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
	if (store->lock_fd < 0)
		return zl_error_errno(err, errno, "open %s", path);
	if (flock(store->lock_fd, LOCK_EX | LOCK_NB) < 0)
		return zl_error_set(err, ZL_UNAVAILABLE,
		        "the image store %s is in use by another process; stop it first",
		        store->root_dir);
	return 0;
}

static int empty_ingest(struct zl_store *store, struct zl_error *err)
{
	char path[PATH_MAX];

	zl_store_path(store, "ingest", "", path, sizeof(path));
	if (zl_tree_remove(path, err) < 0)
		return -1;
	if (mkdir(path, 0711) < 0)
		return zl_error_errno(err, errno, "make directory %s", path);
	return 0;
}

static bool has_all_blobs(struct zl_store *store, char *const *blobs)
{
	if (blobs[0] == NULL)
		return false;
	for (; *blobs != NULL; blobs++) {
		if (faccessat(store->blobs_fd, *blobs, F_OK, AT_SYMLINK_NOFOLLOW) < 0)
			return false;
	}
	return true;
}

// An image whose blobs somebody has removed is no image: a pull brings it back.
static int forget_incomplete(struct zl_store *store, struct zl_error *err)
{
	zl_auto(strv) char **ids = zl_catalog_ids(store->db, err);

	if (ids == NULL)
		return -1;
	for (char **id = ids; *id != NULL; id++) {
		zl_auto(strv) char **blobs = zl_catalog_blobs(store->db, *id, err);

		if (blobs == NULL)
			return -1;
		if (!has_all_blobs(store, blobs) &&
		        zl_catalog_remove_image(store->db, *id, err) < 0)
			return -1;
	}
	return 0;
}

static int open_catalog(struct zl_store *store, struct zl_error *err)
{
	char path[PATH_MAX];

	zl_store_path(store, "images.db", "", path, sizeof(path));
	store->db = zl_db_open(path, ZL_DB_FULL, err);
	return store->db == NULL ? -1 : zl_catalog_open(store->db, err);
}

static int check_options(const struct zl_store_options *options, struct zl_error *err)
{
	if (options->root_dir == NULL || options->root_dir[0] != '/' ||
	        strlen(options->root_dir) > ROOT_DIR_MAX)
		return zl_error_set(err, ZL_INVALID_ARGUMENT,
		        "the image store's directory must be an absolute path");
	if (options->puller == NULL || options->puller[0] != '/')
		return zl_error_set(
		        err, ZL_INVALID_ARGUMENT, "the path of zonelet-pull must be absolute");
	return 0;
}

struct zl_store *zl_store_open(const struct zl_store_options *options, struct zl_error *err)
{
	struct zl_store *store = calloc(1, sizeof(*store));

	if (store == NULL) {
		zl_error_nomem(err);
		return NULL;
	}
	store->lock_fd = -1;
	store->blobs_fd = -1;
	pthread_mutex_init(&store->lock, NULL);
	pthread_mutex_init(&store->device_lock, NULL);
	if (check_options(options, err) == 0 && copy_options(store, options, err) == 0 &&
	        find_user(store, options->puller_user, err) == 0 && make_dirs(store, err) == 0 &&
	        take_lock(store, err) == 0 && empty_ingest(store, err) == 0 &&
	        open_catalog(store, err) == 0 && forget_incomplete(store, err) == 0 &&
	        zl_store_collect(store, err) == 0)
		return store;
	zl_error_wrap(err, "open the image store");
	zl_store_close(store);
	return NULL;
}

static void free_devices(struct zl_image_device *device)
{
	while (device != NULL) {
		struct zl_image_device *next = device->next;

		zl_strv_free(device->holders);
		free(device);
		device = next;
	}
}

void zl_store_close(struct zl_store *store)
{
	if (store == NULL)
		return;
	free_devices(store->devices);
	zl_db_close(store->db);
	zl_close(store->blobs_fd);
	zl_close(store->lock_fd);
	pthread_mutex_destroy(&store->device_lock);
	pthread_mutex_destroy(&store->lock);
	zl_strv_free(store->insecure);
	free(store->registry_dir);
	free(store->puller_user);
	free(store->puller);
	free(store->root_dir);
	free(store);
}

// ---- collecting

static int collect_locked(struct zl_store *store, DIR *dir, struct zl_error *err)
{
	const struct dirent *entry;

	while ((entry = readdir(dir)) != NULL) { // NOLINT(concurrency-mt-unsafe): our own DIR
		int needed;

		if (entry->d_name[0] == '.')
			continue;
		needed = zl_catalog_needs(store->db, entry->d_name, err);
		if (needed < 0)
			return -1;
		if (needed == 0 && unlinkat(store->blobs_fd, entry->d_name, 0) < 0 &&
		        errno != ENOENT)
			return zl_error_errno(err, errno, "remove blob %s", entry->d_name);
	}
	return 0;
}

int zl_store_collect(struct zl_store *store, struct zl_error *err)
{
	char path[PATH_MAX];
	zl_auto(dir) DIR *dir = NULL;
	int result = 0;

	zl_store_path(store, "blobs", "", path, sizeof(path));
	dir = opendir(path);
	if (dir == NULL)
		return zl_error_errno(err, errno, "list %s", path);
	pthread_mutex_lock(&store->lock);
	if (store->running == NULL)
		result = collect_locked(store, dir, err);
	pthread_mutex_unlock(&store->lock);
	return result;
}

// ---- looking up

// The id a user means by any kind of reference. 1, 0 or -1.
static int resolve(
        struct zl_store *store, const char *reference, char ret_id[static 72], struct zl_error *err)
{
	struct zl_reference parsed;
	char name[ZL_REFERENCE_TEXT_SIZE];
	int found = zl_catalog_resolve(store->db, reference, ret_id, err);

	if (found != 0 || zl_reference_parse(reference, &parsed, NULL) < 0)
		return found;
	zl_reference_format(&parsed, name);
	return zl_catalog_resolve(store->db, name, ret_id, err);
}

static int not_here(const char *reference, struct zl_error *err)
{
	return zl_error_set(
	        err, ZL_NOT_FOUND, "image '%.300s' is not on this node; pull it first", reference);
}

struct zl_image *zl_store_image(struct zl_store *store, const char *reference, struct zl_error *err)
{
	char id[72];
	int found = resolve(store, reference, id, err);

	if (found > 0)
		return zl_catalog_image(store->db, id, err);
	if (found == 0)
		not_here(reference, err);
	return NULL;
}

static void free_images(struct zl_image **images, size_t count)
{
	for (size_t i = 0; i < count; i++)
		zl_image_free(images[i]);
	free(images);
}

int zl_store_list(
        struct zl_store *store, struct zl_image ***ret, size_t *ret_count, struct zl_error *err)
{
	zl_auto(strv) char **ids = zl_catalog_ids(store->db, err);
	struct zl_image **images;
	size_t count = 0;

	if (ids == NULL)
		return -1;
	images = calloc(zl_strv_length(ids) + 1, sizeof(struct zl_image *));
	if (images == NULL)
		return zl_error_nomem(err);
	for (char **id = ids; *id != NULL; id++) {
		struct zl_error why = ZL_ERROR_INIT;

		images[count] = zl_catalog_image(store->db, *id, &why);
		if (images[count] != NULL) {
			count++;
		} else if (why.code != ZL_NOT_FOUND) { // removed since: fine
			free_images(images, count);
			*err = why;
			return -1;
		}
	}
	*ret = images;
	*ret_count = count;
	return 0;
}

static bool in_use(struct zl_store *store, const char *id)
{
	const struct zl_image_device *device;

	pthread_mutex_lock(&store->device_lock);
	device = store->devices;
	while (device != NULL && strcmp(device->image_id, id) != 0)
		device = device->next;
	pthread_mutex_unlock(&store->device_lock);
	return device != NULL;
}

static int remove_whole(struct zl_store *store, const char *id, struct zl_error *err)
{
	if (in_use(store, id))
		return zl_error_set(err, ZL_FAILED_PRECONDITION,
		        "image %s is in use by a container; remove the container first", id);
	if (zl_catalog_remove_image(store->db, id, err) < 0)
		return -1;
	return zl_store_collect(store, err);
}

// One reference goes; the image goes with its last one.
static int remove_name(
        struct zl_store *store, const char *name, const char *id, struct zl_error *err)
{
	zl_auto(image) struct zl_image *image = NULL;

	if (zl_catalog_remove_reference(store->db, name, err) < 0)
		return -1;
	image = zl_catalog_image(store->db, id, err);
	if (image == NULL)
		return -1;
	if (image->repo_tags[0] != NULL || image->repo_digests[0] != NULL || in_use(store, id))
		return 0;
	return remove_whole(store, id, err);
}

int zl_store_remove(struct zl_store *store, const char *reference, struct zl_error *err)
{
	struct zl_reference parsed;
	char name[ZL_REFERENCE_TEXT_SIZE];
	char id[72];
	int found;

	if (zl_reference_parse(reference, &parsed, NULL) == 0) {
		zl_reference_format(&parsed, name);
		found = zl_catalog_resolve(store->db, name, id, err);
		if (found != 0)
			return found < 0 ? -1 : remove_name(store, name, id, err);
	}
	found = zl_catalog_resolve(store->db, reference, id, err);
	if (found > 0)
		return remove_whole(store, id, err);
	return found;
}

int zl_store_usage(
        struct zl_store *store, uint64_t *ret_bytes, uint64_t *ret_inodes, struct zl_error *err)
{
	char path[PATH_MAX];
	zl_auto(dir) DIR *dir = NULL;
	const struct dirent *entry;

	zl_store_path(store, "blobs", "", path, sizeof(path));
	dir = opendir(path);
	if (dir == NULL)
		return zl_error_errno(err, errno, "list %s", path);
	*ret_bytes = 0;
	*ret_inodes = 0;
	while ((entry = readdir(dir)) != NULL) { // NOLINT(concurrency-mt-unsafe): our own DIR
		struct stat status;

		if (entry->d_name[0] == '.' ||
		        fstatat(store->blobs_fd, entry->d_name, &status, AT_SYMLINK_NOFOLLOW) < 0)
			continue;
		*ret_bytes += (uint64_t)status.st_blocks * 512;
		*ret_inodes += 1;
	}
	return 0;
}

char **zl_store_image_files(struct zl_store *store, const char *image_id, struct zl_error *err)
{
	zl_auto(strv) char **blobs = zl_catalog_blobs(store->db, image_id, err);
	zl_auto(strv) char **files = NULL;

	if (blobs == NULL)
		return NULL;
	if (blobs[0] == NULL) {
		not_here(image_id, err);
		return NULL;
	}
	for (char **blob = blobs; *blob != NULL; blob++) {
		char path[PATH_MAX];

		zl_store_path(store, "blobs", *blob, path, sizeof(path));
		if (zl_strv_append(&files, path, err) < 0)
			return NULL;
	}
	return zl_take(files);
}
