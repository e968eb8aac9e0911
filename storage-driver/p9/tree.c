// SPDX-License-Identifier: Apache-2.0
//
// Fids come and go: attach, walk, clunk; and what is in a directory.
#include <dirent.h>
#include <fcntl.h>
#include <linux/openat2.h>
#include <string.h>
#include <sys/syscall.h>

#include "storage-driver/p9/call.h"

// ---- attach

int zl_p9_attach(struct zl_p9_call *call)
{
	struct zl_p9_fids *fids = &call->server->fids;
	struct zl_p9_fid *fid;
	int failure;

	// One tree, whatever aname says; and nobody to authenticate: the ring belongs to one zone.
	if (call->in->other_fid != ZL_P9_NO_FID)
		return EOPNOTSUPP;
	fid = zl_p9_fid_new(fids, NULL, -1, S_IFDIR, call->in->uid);
	if (fid == NULL)
		return ENOMEM;
	failure = zl_p9_fid_insert(fids, fid, call->in->fid);
	zl_p9_fid_put(fids, fid);
	call->out->qid = zl_p9_root_qid();
	return failure;
}

// ---- walk

// Opens without following anything: a symbolic link is opened as itself.
static int open_beneath(int directory, const char *name)
{
	struct open_how how = {
	        .flags = O_PATH | O_NOFOLLOW | O_CLOEXEC,
	        .resolve = RESOLVE_BENEATH | RESOLVE_NO_SYMLINKS | RESOLVE_NO_MAGICLINKS,
	};

	return (int)syscall(SYS_openat2, directory, name, &how, sizeof(how));
}

// The place a walk has come to.
struct place {
	struct zl_p9_export *export; // counted
	int fd;                      // own
	mode_t kind;
	struct zl_p9_qid qid;
};

static void leave(struct zl_p9_fids *fids, struct place *place)
{
	place->fd = zl_close(place->fd);
	zl_p9_export_unref(fids->exports, place->export);
	place->export = NULL;
}

static int look(struct place *place)
{
	struct stat status;

	if (fstat(place->fd, &status) < 0)
		return errno;
	place->kind = status.st_mode & S_IFMT;
	place->qid = zl_p9_export_qid(place->export, status.st_dev, status.st_ino, status.st_mode);
	return 0;
}

static int start(struct zl_p9_fids *fids, const struct zl_p9_fid *fid, struct place *place)
{
	*place = (struct place){.fd = -1, .kind = S_IFDIR, .qid = zl_p9_root_qid()};
	if (fid->export == NULL)
		return 0;
	place->fd = fcntl(fid->path_fd, F_DUPFD_CLOEXEC, 0);
	if (place->fd < 0)
		return errno;
	place->export = zl_p9_export_ref(fids->exports, fid->export);
	return look(place);
}

// From the root's table into an export.
static int enter_export(struct zl_p9_fids *fids, struct place *place, const struct zl_p9_text *name)
{
	struct zl_p9_export *export = zl_p9_export_find(fids->exports, name->bytes, name->length);

	if (export == NULL)
		return ENOENT;
	place->export = export;
	place->fd = fcntl(export->fd, F_DUPFD_CLOEXEC, 0);
	return place->fd < 0 ? errno : look(place);
}

static int step(struct zl_p9_fids *fids, struct place *place, const struct zl_p9_text *name)
{
	struct zl_p9_name text;
	int fd;
	int failure;

	if (!S_ISDIR(place->kind))
		return ENOTDIR;
	if (name->length == 2 && memcmp(name->bytes, "..", 2) == 0)
		return place->export == NULL ? 0 : EOPNOTSUPP; // the root is its own parent
	if (place->export == NULL)
		return enter_export(fids, place, name);
	failure = zl_p9_name(name, &text);
	if (failure != 0)
		return failure;
	fd = open_beneath(place->fd, text.text);
	if (fd < 0)
		return errno;
	(void)zl_close(place->fd);
	place->fd = fd;
	return look(place);
}

// As many names as there are; an error counts only at the first (walk(5)).
static int walk_names(struct zl_p9_call *call, struct place *place)
{
	const struct zl_p9_message *in = call->in;

	for (uint16_t i = 0; i < in->name_count; i++) {
		int failure = step(&call->server->fids, place, &in->names[i]);

		if (failure != 0)
			return i == 0 ? failure : 0;
		call->out->qids[i] = place->qid;
		call->out->qid_count = (uint16_t)(i + 1);
	}
	return 0;
}

int zl_p9_walk(struct zl_p9_call *call)
{
	struct zl_p9_fids *fids = &call->server->fids;
	struct place place;
	struct zl_p9_fid *fid;
	bool itself = call->in->fid == call->in->other_fid;
	int failure;

	// An opened fid cannot be walked, save to clone it as its open file's own path.
	failure = start(fids, call->fid, &place);
	if (failure == 0)
		failure = walk_names(call, &place);
	if (failure != 0 || call->out->qid_count < call->in->name_count) {
		leave(fids, &place);
		return failure;
	}
	fid = zl_p9_fid_new(fids, place.export, place.fd, place.kind, call->fid->uid);
	if (fid == NULL)
		return ENOMEM;
	if (itself)
		failure = zl_p9_fid_replace(fids, fid, call->in->fid) ? 0 : EBADF;
	else
		failure = zl_p9_fid_insert(fids, fid, call->in->other_fid);
	zl_p9_fid_put(fids, fid);
	return failure;
}

int zl_p9_clunk(struct zl_p9_call *call)
{
	struct zl_p9_fids *fids = &call->server->fids;
	struct zl_p9_fid *fid = zl_p9_fid_take(fids, call->in->fid);
	int failure = 0;

	if (fid == NULL)
		return EBADF;
	pthread_mutex_lock(&fid->lock);
	if (fid->use == ZL_P9_XATTR_WRITE)
		failure = zl_p9_xattr_finish(fid);
	pthread_mutex_unlock(&fid->lock);
	zl_p9_fid_put(fids, fid);
	return failure;
}

// ---- readdir

static uint8_t qid_type(unsigned char type)
{
	if (type == DT_DIR)
		return ZL_P9_QID_DIR;
	return type == DT_LNK ? ZL_P9_QID_SYMLINK : ZL_P9_QID_FILE;
}

// The root lists the exports. An offset is the order of the export before it, after 1 and 2 for
// the two dots.
static int list_exports(struct zl_p9_call *call, size_t room)
{
	struct zl_p9_exports *exports = &call->server->exports;
	struct zl_p9_qid root = zl_p9_root_qid();
	uint64_t at = call->in->offset;
	size_t used = 0;

	while (at < 2) {
		size_t length = zl_p9_encode_entry(call->room + used, room - used, &root, at + 1,
		        DT_DIR, at == 0 ? "." : "..");

		if (length == 0)
			break;
		used += length;
		at++;
	}
	for (size_t length = 1; at >= 2 && length > 0;) {
		struct zl_p9_export *export = zl_p9_export_next(exports, at - 2);
		struct zl_p9_qid qid = {.type = S_ISDIR(export != NULL ? export->kind : 0)
		                                        ? ZL_P9_QID_DIR
		                                        : ZL_P9_QID_FILE};

		if (export == NULL)
			break;
		qid.path = export->order;
		length = zl_p9_encode_entry(call->room + used, room - used, &qid, export->order + 2,
		        S_ISDIR(export->kind) ? DT_DIR : DT_REG, export->name);
		used += length;
		at = export->order + 2;
		zl_p9_export_unref(exports, export);
	}
	call->out->data_length = (uint32_t)used;
	return 0;
}

// One getdents64(2) buffer into 9P entries; sets *next to where the last one that fitted says.
static size_t pack(const uint8_t *bytes, size_t length, struct zl_p9_call *call, size_t used,
        size_t room, int64_t *next, bool *full)
{
	size_t at = 0;

	while (at < length) {
		const struct dirent64 *entry = (const void *)(bytes + at);
		struct zl_p9_qid qid = {.type = qid_type(entry->d_type), .path = entry->d_ino};
		size_t packed = zl_p9_encode_entry(call->room + used, room - used, &qid,
		        (uint64_t)entry->d_off, entry->d_type, entry->d_name);

		if (packed == 0) {
			*full = true;
			break;
		}
		used += packed;
		*next = entry->d_off;
		at += entry->d_reclen;
	}
	return used;
}

// With the fid's lock. Offsets are the file system's own cookies, so they stay what they are while
// entries come and go.
static int list_directory(struct zl_p9_call *call, size_t room)
{
	struct zl_p9_fid *fid = call->fid;
	_Alignas(struct dirent64) uint8_t buffer[16 * 1024];
	int64_t next = (int64_t)call->in->offset;
	size_t used = 0;
	bool full = false;

	if (fid->directory_next != next && lseek(fid->open_fd, next, SEEK_SET) < 0)
		return errno;
	while (!full) {
		ssize_t got = getdents64(fid->open_fd, buffer, sizeof(buffer));

		if (got < 0 && used == 0) {
			fid->directory_next = -1;
			return errno;
		}
		if (got <= 0)
			break;
		used = pack(buffer, (size_t)got, call, used, room, &next, &full);
	}
	fid->directory_next = full ? -1 : next;
	if (full && used == 0)
		return EINVAL;
	call->out->data_length = (uint32_t)used;
	return 0;
}

int zl_p9_readdir(struct zl_p9_call *call)
{
	struct zl_p9_fid *fid = call->fid;
	size_t room = call->in->count < call->room_length ? call->in->count : call->room_length;
	int failure;

	if (!S_ISDIR(fid->kind))
		return ENOTDIR;
	if (call->in->offset > INT64_MAX)
		return EINVAL;
	call->out->data = call->room;
	pthread_mutex_lock(&fid->lock);
	if (fid->use != ZL_P9_OPEN)
		failure = EBADF;
	else
		failure =
		        fid->export == NULL ? list_exports(call, room) : list_directory(call, room);
	pthread_mutex_unlock(&fid->lock);
	return failure;
}
