// SPDX-License-Identifier: Apache-2.0
//
// The inside of a store, for the files of this folder (storage.h is for everybody else).
//
//   <root_dir>/lock          held by the one daemon that uses the store
//   <root_dir>/images.db     the catalog
//   <root_dir>/blobs/        sha256-<diffID>.erofs, merged-<key>.erofs: complete and synced
//   <root_dir>/ingest/<id>/  where one puller writes; gone with it
//   <root_dir>/scratch/      <sandbox id>.ext4, template-<bytes>.ext4
//
// Lock order: device_lock, then lock; neither is held while a process runs or a file is synced.
// device_lock is held over ioctls on loop and dm devices.
#ifndef ZL_STORAGE_DRIVER_STORE_H
#define ZL_STORAGE_DRIVER_STORE_H

#include <pthread.h>
#include <sys/types.h>

#include "base/db.h"
#include "storage-driver/claims.h"
#include "storage-driver/storage.h"

// A pull under way, for others of the same reference to wait for.
struct zl_running_pull {
	const char *name; // normalised reference
	int done_fd;      // eventfd, readable at its end
	struct zl_running_pull *next;
};

// A block device that holds an image, while somebody holds it.
struct zl_image_device {
	char image_id[72];
	char path[64];
	bool mapped;    // dm over loops; else a loop
	char **holders; // container ids
	struct zl_image_device *next;
};

struct zl_store {
	char *root_dir;
	char *puller;
	char *puller_user; // NULL: none
	uid_t puller_uid;  // of puller_user
	gid_t puller_gid;
	char *registry_dir; // NULL: none
	char **insecure;    // NULL: none
	uint64_t max_layer_bytes;
	uint32_t parallel_layers;
	int lock_fd;
	int blobs_fd; // directory
	struct zl_db *db;

	pthread_mutex_t lock; // of the members down to device_lock
	struct zl_running_pull *running;
	struct zl_claims claims;

	pthread_mutex_t device_lock; // of the members below
	struct zl_image_device *devices;
};

// Paths below root_dir; cut is impossible for a root_dir that zl_store_open accepted.
void zl_store_path(
        const struct zl_store *store, const char *below, const char *name, char *out, size_t size);

// Removes blobs that no image needs, unless a pull is under way: then the last pull's end does it.
// Call it without locks.
int zl_store_collect(struct zl_store *store, struct zl_error *err);

// Removes the image devices of this store that nobody holds.
int zl_store_sweep_devices(struct zl_store *store, struct zl_error *err);

#endif
