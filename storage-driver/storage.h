// SPDX-License-Identifier: Apache-2.0
//
// Images and disks.
//
// One EROFS blob per layer, keyed by diffID, shared by all images that have it; one metadata-only
// merged blob per image; for a zone one block device per image (dm-linear over loop devices), made
// when the first container wants it and gone with the last. Scratch disks are sparse files.
//
// Everything under `root_dir` is either complete or removed at the next zl_store_open: blobs are
// made under temporary names, synced and renamed; what the database does not know is swept.
//
// Thread rule: any function from any thread. Pulls of the same reference go one after the other;
// pulls of different images at the same time fetch a layer that both need once.
//
// One process at a time: zl_store_open takes a lock on root_dir (UNAVAILABLE when it is held). The
// programs mkfs.erofs (erofs-utils 1.8) and mke2fs (e2fsprogs) must be in PATH.
#ifndef ZL_STORAGE_DRIVER_STORAGE_H
#define ZL_STORAGE_DRIVER_STORAGE_H

#include <stdbool.h>
#include <stdint.h>

#include "base/cancel.h"
#include "base/error.h"

struct zl_store;

struct zl_store_options {
	const char *root_dir;    // "/var/lib/zonelet/images"
	const char *puller;      // absolute path of zonelet-pull
	const char *puller_user; // user it runs as, "_zonelet"; NULL: the daemon's (tests)
	const char *
	        registry_dir; // "/etc/zonelet/certs.d": containerd's hosts.toml layout; may be NULL
	const char *const
	        *insecure_registries; // host[:port] spoken to by plain HTTP; loopback always is
	uint64_t max_layer_bytes;     // a layer unpacked may not exceed it; 0: 64 GiB
	uint32_t parallel_layers;     // 0: 3
};

struct zl_store *zl_store_open(const struct zl_store_options *options, struct zl_error *err);
void zl_store_close(struct zl_store *store);

// ---- images

struct zl_image_auth {
	const char *username;
	const char *password;
	const char *auth; // base64 of user:password, as in a docker config
	const char *server_address;
	const char *identity_token;
	const char *registry_token;
};

// What a container needs to know of an image, as its config says (OCI image-spec config.md).
struct zl_image {
	char id[72];         // "sha256:…" of the config: CRI's image id
	char **repo_tags;    // NULL-terminated
	char **repo_digests; // "host/name@sha256:…"
	uint64_t size_bytes; // of its blobs on this node
	char *user;          // "" if none: "1000", "name", "1000:1000"
	char **env;
	char **entrypoint;
	char **command;
	char *working_dir;
	char *stop_signal; // "" if none
	char **volumes;
	char **labels; // "key=value"
	char *os;
	char *architecture;
	char *config_json; // the whole config
	bool pinned;
};
void zl_image_free(struct zl_image *image);
ZL_AUTO_DEFINE(image, struct zl_image *, zl_image_free);

// Called with progress of a pull: a stage ("resolve", "layer", "unpack", "done"), what it is about,
// and bytes so far of all (0: unknown). From one thread at a time.
typedef void zl_pull_progress(
        void *user, const char *stage, const char *object, uint64_t done, uint64_t total);

// Pulls and returns the image. `reference` is normalised as Docker does it ("busybox" is
// docker.io/library/busybox:latest). NOT_FOUND: image or tag unknown; UNAUTHENTICATED,
// PERMISSION_DENIED: the registry refused; UNAVAILABLE: it cannot be reached; DATA_LOSS: a digest
// does not match; FAILED_PRECONDITION: nothing for this architecture; INVALID_ARGUMENT: reference,
// manifest or layer malformed or hostile; CANCELLED, DEADLINE_EXCEEDED: the token fired. Each names
// reference, object, and remedy, and nothing stays of a pull that failed.
struct zl_image *zl_store_pull(struct zl_store *store, const char *reference,
        const struct zl_image_auth *auth, zl_pull_progress *progress, void *user,
        const struct zl_cancel *cancel, struct zl_error *err);

// By id ("sha256:…" or a unique prefix of its hex), tag or digest reference. NOT_FOUND.
struct zl_image *zl_store_image(
        struct zl_store *store, const char *reference, struct zl_error *err);
// All images; the caller frees each and the array.
int zl_store_list(
        struct zl_store *store, struct zl_image ***ret, size_t *ret_count, struct zl_error *err);
// Removes an image with all its references (by id), or one reference; blobs nobody needs any more
// go as well. In use by a container: FAILED_PRECONDITION unless only a reference goes. Absent is
// success.
int zl_store_remove(struct zl_store *store, const char *reference, struct zl_error *err);
int zl_store_usage(
        struct zl_store *store, uint64_t *ret_bytes, uint64_t *ret_inodes, struct zl_error *err);

// ---- for containers

// The files of an image for a file-backed mount: merged.erofs (the layer itself when there is only
// one) and then its layers; NULL-terminated, freed with zl_strv_free.
char **zl_store_image_files(struct zl_store *store, const char *image_id, struct zl_error *err);

// One read-only block device that holds the whole image; `holder` (a container id) is counted, the
// same holder twice counts once. The path is written to ret_path: "/dev/loopN" for an image of one
// layer, "/dev/dm-N" for others. FAILED_PRECONDITION: no loop driver, no device mapper.
int zl_store_image_device(struct zl_store *store, const char *image_id, const char *holder,
        char ret_path[static 64], struct zl_error *err);
// The device goes with its last holder, or, while a zone still has it open, when the zone closes
// it. Absent is success. Survives restarts of the daemon:
// holders are told again with zl_store_image_device, then zl_store_sweep removes the rest.
int zl_store_image_release(
        struct zl_store *store, const char *image_id, const char *holder, struct zl_error *err);

// A read-only loop device for a file shared by all zones (the zone root), made once, kept.
int zl_store_shared_device(
        struct zl_store *store, const char *path, char ret_path[static 64], struct zl_error *err);

// A sparse scratch disk of this size (1 MiB to 16 TiB, else OUT_OF_RANGE) with an empty ext4
// without a journal, as a loop device; for one sandbox, whose id has the form of base/id.h. Again
// for the same sandbox: the same device. An empty template of each size is kept in root_dir.
int zl_store_scratch_create(struct zl_store *store, const char *sandbox_id, uint64_t bytes,
        char ret_path[static 64], struct zl_error *err);
int zl_store_scratch_remove(struct zl_store *store, const char *sandbox_id, struct zl_error *err);

// After a restart, once all holders are known again: removes devices and scratch disks of sandboxes
// not in `sandbox_ids` and of containers not holding.
int zl_store_sweep(
        struct zl_store *store, const char *const *sandbox_ids, size_t count, struct zl_error *err);

#endif
