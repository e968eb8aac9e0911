// SPDX-License-Identifier: Apache-2.0
#include "storage-driver/p9/server.h"

#include <fcntl.h>
#include <string.h>
#include <sys/fsuid.h>

#include "storage-driver/p9/call.h"

#define VERSION "9P2000.L"

int zl_p9_server_init(
        struct zl_p9_server *server, int proc_fd, uint32_t msize_max, struct zl_error *err)
{
	memset(server, 0, sizeof(*server));
	if (fchdir(proc_fd) < 0)
		return zl_error_errno(err, errno, "enter the directory of own descriptors");
	(void)umask(0);
	zl_p9_exports_init(&server->exports);
	zl_p9_fids_init(&server->fids, &server->exports);
	zl_p9_locks_init(&server->locks);
	server->msize_max = msize_max;
	atomic_init(&server->msize, msize_max);
	return 0;
}

void zl_p9_server_release(struct zl_p9_server *server)
{
	zl_p9_fids_release(&server->fids);
	zl_p9_locks_release(&server->locks);
	zl_p9_exports_release(&server->exports);
}

void zl_p9_server_remove(struct zl_p9_server *server, const char *name)
{
	struct zl_p9_export *export = zl_p9_export_remove(&server->exports, name);

	if (export == NULL)
		return;
	zl_p9_fids_clear(&server->fids, export);
	zl_p9_locks_forget(&server->locks, export);
	zl_p9_export_unref(&server->exports, export);
}

int zl_p9_name(const struct zl_p9_text *from, struct zl_p9_name *ret)
{
	if (from->length >= sizeof(ret->text))
		return ENAMETOOLONG;
	if (from->length == 0 || memchr(from->bytes, '/', from->length) != NULL)
		return EINVAL;
	memcpy(ret->text, from->bytes, from->length);
	ret->text[from->length] = '\0';
	if (strcmp(ret->text, ".") == 0 || strcmp(ret->text, "..") == 0)
		return EINVAL;
	return 0;
}

int zl_p9_need_directory(const struct zl_p9_fid *fid)
{
	if (fid->export == NULL)
		return EROFS;
	return S_ISDIR(fid->kind) ? 0 : ENOTDIR;
}

int zl_p9_qid_of(const struct zl_p9_fid *fid, int fd, struct zl_p9_qid *ret, mode_t *ret_kind)
{
	struct stat status;

	if (fstat(fd, &status) < 0)
		return errno;
	*ret = zl_p9_export_qid(fid->export, status.st_dev, status.st_ino, status.st_mode);
	if (ret_kind != NULL)
		*ret_kind = status.st_mode & S_IFMT;
	return 0;
}

// No inode has the number 0.
struct zl_p9_qid zl_p9_root_qid(void)
{
	return (struct zl_p9_qid){.type = ZL_P9_QID_DIR, .path = 0};
}

void zl_p9_become(uint32_t uid, uint32_t gid)
{
	(void)setfsgid(gid);
	(void)setfsuid(uid);
}

void zl_p9_become_root(void)
{
	(void)setfsuid(0);
	(void)setfsgid(0);
}

// ---- Tversion

static int version(struct zl_p9_call *call)
{
	static const char unknown[] = "unknown";
	const struct zl_p9_text *wanted = &call->in->name;
	uint32_t msize = call->in->msize;

	zl_p9_fids_clear(&call->server->fids, NULL);
	zl_p9_locks_clear(&call->server->locks);
	if (msize > call->server->msize_max)
		msize = call->server->msize_max;
	call->out->msize = msize;
	if (msize < ZL_P9_MSIZE_MIN || wanted->length != strlen(VERSION) ||
	        memcmp(wanted->bytes, VERSION, wanted->length) != 0) {
		call->out->name = (struct zl_p9_text){unknown, sizeof(unknown) - 1};
		return 0;
	}
	call->out->name = *wanted;
	atomic_store(&call->server->msize, msize);
	return 0;
}

static int refuse(struct zl_p9_call *call)
{
	(void)call;
	return EOPNOTSUPP;
}

// remove also clunks the fid (the manual page of plan 9), whatever comes of it.
static int remove_and_clunk(struct zl_p9_call *call)
{
	zl_p9_fid_put(&call->server->fids, zl_p9_fid_take(&call->server->fids, call->in->fid));
	return EOPNOTSUPP;
}

// ---- dispatch

static const struct route {
	uint8_t type;
	bool takes_fid;
	zl_p9_handler *handler;
} routes[] = {
        {ZL_P9_TSTATFS, true, zl_p9_statfs},
        {ZL_P9_TLOPEN, true, zl_p9_lopen},
        {ZL_P9_TLCREATE, true, zl_p9_lcreate},
        {ZL_P9_TSYMLINK, true, zl_p9_symlink},
        {ZL_P9_TMKNOD, true, zl_p9_mknod},
        {ZL_P9_TRENAME, true, refuse},
        {ZL_P9_TREADLINK, true, zl_p9_readlink},
        {ZL_P9_TGETATTR, true, zl_p9_getattr},
        {ZL_P9_TSETATTR, true, zl_p9_setattr},
        {ZL_P9_TXATTRWALK, true, zl_p9_xattrwalk},
        {ZL_P9_TXATTRCREATE, true, zl_p9_xattrcreate},
        {ZL_P9_TREADDIR, true, zl_p9_readdir},
        {ZL_P9_TFSYNC, true, zl_p9_fsync},
        {ZL_P9_TLOCK, true, zl_p9_tlock},
        {ZL_P9_TGETLOCK, true, zl_p9_getlock},
        {ZL_P9_TLINK, true, zl_p9_link},
        {ZL_P9_TMKDIR, true, zl_p9_mkdir},
        {ZL_P9_TRENAMEAT, true, zl_p9_renameat},
        {ZL_P9_TUNLINKAT, true, zl_p9_unlinkat},
        {ZL_P9_TVERSION, false, version},
        {ZL_P9_TAUTH, false, refuse},
        {ZL_P9_TATTACH, false, zl_p9_attach},
        {ZL_P9_TWALK, true, zl_p9_walk},
        {ZL_P9_TREAD, true, zl_p9_read},
        {ZL_P9_TWRITE, true, zl_p9_write},
        {ZL_P9_TCLUNK, false, zl_p9_clunk},
        {ZL_P9_TREMOVE, false, remove_and_clunk},
};

static const struct route *find_route(uint8_t type)
{
	for (size_t i = 0; i < ZL_ARRAY_SIZE(routes); i++) {
		if (routes[i].type == type)
			return &routes[i];
	}
	return NULL;
}

static int run(const struct route *route, struct zl_p9_call *call)
{
	int failure;

	if (route->takes_fid) {
		call->fid = zl_p9_fid_get(&call->server->fids, call->in->fid);
		if (call->fid == NULL)
			return EBADF;
	}
	failure = route->handler(call);
	zl_p9_fid_put(&call->server->fids, call->fid);
	return failure;
}

size_t zl_p9_answer_error(uint16_t tag, uint32_t error, uint8_t *reply, size_t limit)
{
	struct zl_p9_message message = {.type = ZL_P9_RLERROR, .tag = tag, .error = error};

	return zl_p9_encode(&message, reply, limit);
}

size_t zl_p9_server_answer(
        struct zl_p9_server *server, const struct zl_p9_message *request, uint8_t *reply)
{
	const struct route *route = find_route(request->type);
	size_t limit = atomic_load(&server->msize);
	struct zl_p9_message answer = {.type = (uint8_t)(request->type + 1), .tag = request->tag};
	struct zl_p9_call call = {
	        .server = server,
	        .in = request,
	        .out = &answer,
	        .room = reply + ZL_P9_DATA_HEADER,
	        .room_length = limit - ZL_P9_DATA_HEADER,
	};
	int failure = route != NULL ? run(route, &call) : EOPNOTSUPP;
	size_t length = failure == 0 ? zl_p9_encode(&answer, reply, limit) : 0;

	if (length == 0)
		length = zl_p9_answer_error(
		        request->tag, (uint32_t)(failure != 0 ? failure : EMSGSIZE), reply, limit);
	return length;
}
