// SPDX-License-Identifier: Apache-2.0
#include "storage-driver/pull_result.h"

#include <endian.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#include "base/buffer.h"
#include "base/strv.h"
#include "storage-driver/image_config.h"

// fs/erofs/erofs_fs.h: EROFS_SUPER_OFFSET, EROFS_SUPER_MAGIC_V1.
enum { EROFS_SUPER_AT = 1024 };
static const uint32_t erofs_magic = 0xE0F5E1E2;

void zl_pull_result_release(struct zl_pull_result *result)
{
	zl_image_free(result->image);
	zl_strv_free(result->diff_ids);
	*result = (struct zl_pull_result)ZL_PULL_RESULT_INIT;
}

// A plain file with one name: nothing that leads elsewhere or may change under another name.
static int open_plain(int dir_fd, const char *name, struct stat *ret_status, struct zl_error *err)
{
	int fd = openat(dir_fd, name, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);

	if (fd < 0) {
		zl_error_errno(err, errno, "open what zonelet-pull wrote, %s", name);
		return -1;
	}
	if (fstat(fd, ret_status) < 0 || !S_ISREG(ret_status->st_mode) ||
	        ret_status->st_nlink != 1) {
		zl_close(fd);
		zl_error_set(err, ZL_INVALID_ARGUMENT, "zonelet-pull wrote no plain file %s", name);
		return -1;
	}
	return fd;
}

static int read_document(
        int ingest_fd, const char *name, struct zl_buffer *ret, struct zl_error *err)
{
	struct stat status;
	zl_auto(fd) int fd = open_plain(ingest_fd, name, &status, err);

	return fd < 0 ? -1 : zl_buffer_read_all(ret, fd, err);
}

static bool names_digest(const struct zl_manifest *index, const char *digest)
{
	for (size_t i = 0; i < index->entry_count; i++) {
		if (strcmp(index->entries[i].descriptor.digest, digest) == 0)
			return true;
	}
	return false;
}

// The digest of a document by the algorithm of the one who names it.
static int digest_for(const struct zl_manifest *parent, const struct zl_reference *reference,
        const struct zl_buffer *bytes, char out[static ZL_DIGEST_SIZE], struct zl_error *err)
{
	const char *like = NULL;

	if (parent->entry_count > 0)
		like = parent->entries[0].descriptor.digest;
	else if (reference->digest[0] != '\0')
		like = reference->digest;
	return zl_digest_bytes(like, bytes->data, bytes->length, out, err);
}

// Reads one document and replaces *chain, its parent (empty for the first), by it.
static int follow(int ingest_fd, uint32_t number, const struct zl_reference *reference,
        struct zl_manifest *chain, struct zl_pull_result *ret, struct zl_error *err)
{
	zl_auto(buffer) struct zl_buffer bytes = ZL_BUFFER_LIMIT(ZL_MANIFEST_LIMIT);
	struct zl_manifest manifest = ZL_MANIFEST_INIT;
	char digest[ZL_DIGEST_SIZE];
	char name[32];
	bool right;

	(void)snprintf(name, sizeof(name), "document-%u", number);
	if (read_document(ingest_fd, name, &bytes, err) < 0 ||
	        digest_for(chain, reference, &bytes, digest, err) < 0)
		return -1;
	if (number > 0)
		right = names_digest(chain, digest);
	else
		right = reference->digest[0] == '\0' || strcmp(reference->digest, digest) == 0;
	if (!right)
		return zl_error_set(
		        err, ZL_DATA_LOSS, "manifest %s is not the one asked for", digest);
	if (number == 0)
		(void)snprintf(ret->top_digest, sizeof(ret->top_digest), "%s", digest);
	if (zl_manifest_parse("manifest", bytes.data, bytes.length, NULL, &manifest, err) < 0)
		return -1;
	zl_manifest_release(chain);
	*chain = manifest;
	return 0;
}

static int read_config(int ingest_fd, const struct zl_manifest *manifest,
        const struct zl_platform *platform, struct zl_pull_result *ret, struct zl_error *err)
{
	zl_auto(buffer) struct zl_buffer bytes = ZL_BUFFER_LIMIT(ZL_IMAGE_CONFIG_LIMIT);

	if (read_document(ingest_fd, "config", &bytes, err) < 0 ||
	        zl_digest_check(
	                "image config", manifest->config.digest, bytes.data, bytes.length, err) < 0)
		return -1;
	ret->image = zl_image_config_parse(
	        "image config", bytes.data, bytes.length, &ret->diff_ids, err);
	if (ret->image == NULL ||
	        zl_image_config_check_platform("image config", ret->image, platform, err) < 0)
		return -1;
	if (zl_strv_length(ret->diff_ids) != manifest->layer_count)
		return zl_error_set(
		        err, ZL_INVALID_ARGUMENT, "manifest and config have different layers");
	zl_layers_unique(ret->diff_ids);
	return 0;
}

int zl_pull_result_read(int ingest_fd, const struct zl_reference *reference, uint32_t documents,
        const struct zl_platform *platform, struct zl_pull_result *ret, struct zl_error *err)
{
	zl_auto(manifest) struct zl_manifest chain = ZL_MANIFEST_INIT;

	for (uint32_t i = 0; i < documents; i++) {
		if (i > 0 && chain.kind != ZL_MANIFEST_INDEX)
			return zl_error_set(
			        err, ZL_INVALID_ARGUMENT, "a document after the manifest");
		if (follow(ingest_fd, i, reference, &chain, ret, err) < 0)
			return -1;
	}
	if (chain.layer_count == 0)
		return zl_error_set(err, ZL_INVALID_ARGUMENT, "an index without its manifest");
	return read_config(ingest_fd, &chain, platform, ret, err);
}

static int check_erofs(int fd, const char *file, struct zl_error *err)
{
	uint32_t magic = 0;

	if (pread(fd, &magic, sizeof(magic), EROFS_SUPER_AT) == sizeof(magic) &&
	        le32toh(magic) == erofs_magic)
		return 0;
	return zl_error_set(err, ZL_INVALID_ARGUMENT, "%s is not an EROFS image", file);
}

int zl_pull_result_take(int ingest_fd, const char *file, int blobs_fd, const char *name,
        uint64_t *ret_bytes, struct zl_error *err)
{
	struct stat status;
	zl_auto(fd) int fd = open_plain(ingest_fd, file, &status, err);

	if (fd < 0 || check_erofs(fd, file, err) < 0)
		return -1;
	if (status.st_uid != geteuid() && fchown(fd, geteuid(), getegid()) < 0)
		return zl_error_errno(err, errno, "take over %s", file);
	if (fchmod(fd, 0444) < 0 || fsync(fd) < 0)
		return zl_error_errno(err, errno, "sync %s", file);
	if (renameat(ingest_fd, file, blobs_fd, name) < 0)
		return zl_error_errno(err, errno, "move %s to the blobs", file);
	*ret_bytes = (uint64_t)status.st_size;
	return 0;
}
