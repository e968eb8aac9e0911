// SPDX-License-Identifier: Apache-2.0
//
// Messages of 9P2000.L: bytes to structure and back.
//
// Plain functions without state. Both directions come from one table of fields, so what is encoded
// decodes to the same again. The dialect is that of Linux's client (include/net/9p/9p.h,
// net/9p/protocol.c and net/9p/client.c of Linux 6.12): little-endian, size[4] type[1] tag[2] body.
//
// Bounds: nothing is allocated. Texts and data of a decoded message point into the bytes that were
// given, are not terminated, and hold no zero byte (texts).
#ifndef ZL_STORAGE_DRIVER_P9_MESSAGE_H
#define ZL_STORAGE_DRIVER_P9_MESSAGE_H

#include <stddef.h>
#include <stdint.h>

enum {
	ZL_P9_HEADER = 7,       // size, type, tag
	ZL_P9_DATA_HEADER = 11, // in front of the bytes of Rread and Rreaddir: header and count
	ZL_P9_NAMES_MAX = 16,   // names of one walk (P9_MAXWELEM)
	ZL_P9_MSIZE_MIN = 4096,
	ZL_P9_MSIZE_MAX = 512 * 1024, // what trans_xen.c can do at most
	ZL_P9_NO_TAG = 0xffff,
};
#define ZL_P9_NO_FID UINT32_MAX

enum zl_p9_type {
	ZL_P9_RLERROR = 7,
	ZL_P9_TSTATFS = 8,
	ZL_P9_RSTATFS,
	ZL_P9_TLOPEN = 12,
	ZL_P9_RLOPEN,
	ZL_P9_TLCREATE = 14,
	ZL_P9_RLCREATE,
	ZL_P9_TSYMLINK = 16,
	ZL_P9_RSYMLINK,
	ZL_P9_TMKNOD = 18,
	ZL_P9_RMKNOD,
	ZL_P9_TRENAME = 20,
	ZL_P9_RRENAME,
	ZL_P9_TREADLINK = 22,
	ZL_P9_RREADLINK,
	ZL_P9_TGETATTR = 24,
	ZL_P9_RGETATTR,
	ZL_P9_TSETATTR = 26,
	ZL_P9_RSETATTR,
	ZL_P9_TXATTRWALK = 30,
	ZL_P9_RXATTRWALK,
	ZL_P9_TXATTRCREATE = 32,
	ZL_P9_RXATTRCREATE,
	ZL_P9_TREADDIR = 40,
	ZL_P9_RREADDIR,
	ZL_P9_TFSYNC = 50,
	ZL_P9_RFSYNC,
	ZL_P9_TLOCK = 52,
	ZL_P9_RLOCK,
	ZL_P9_TGETLOCK = 54,
	ZL_P9_RGETLOCK,
	ZL_P9_TLINK = 70,
	ZL_P9_RLINK,
	ZL_P9_TMKDIR = 72,
	ZL_P9_RMKDIR,
	ZL_P9_TRENAMEAT = 74,
	ZL_P9_RRENAMEAT,
	ZL_P9_TUNLINKAT = 76,
	ZL_P9_RUNLINKAT,
	ZL_P9_TVERSION = 100,
	ZL_P9_RVERSION,
	ZL_P9_TAUTH = 102,
	ZL_P9_RAUTH,
	ZL_P9_TATTACH = 104,
	ZL_P9_RATTACH,
	ZL_P9_TFLUSH = 108,
	ZL_P9_RFLUSH,
	ZL_P9_TWALK = 110,
	ZL_P9_RWALK,
	ZL_P9_TREAD = 116,
	ZL_P9_RREAD,
	ZL_P9_TWRITE = 118,
	ZL_P9_RWRITE,
	ZL_P9_TCLUNK = 120,
	ZL_P9_RCLUNK,
	ZL_P9_TREMOVE = 122,
	ZL_P9_RREMOVE,
};

// Kinds in a qid (P9_QT…).
enum { ZL_P9_QID_DIR = 0x80, ZL_P9_QID_SYMLINK = 0x02, ZL_P9_QID_FILE = 0 };

// Which fields a Tsetattr sets (P9_ATTR_…, fs/9p/vfs_inode_dotl.c).
enum {
	ZL_P9_SET_MODE = 1 << 0,
	ZL_P9_SET_UID = 1 << 1,
	ZL_P9_SET_GID = 1 << 2,
	ZL_P9_SET_SIZE = 1 << 3,
	ZL_P9_SET_ATIME = 1 << 4,
	ZL_P9_SET_MTIME = 1 << 5,
	ZL_P9_SET_CTIME = 1 << 6,
	ZL_P9_SET_ATIME_GIVEN = 1 << 7, // else now
	ZL_P9_SET_MTIME_GIVEN = 1 << 8,
};

// Rgetattr: the mask of all that stat(2) has (P9_STATS_BASIC), and the birth time.
#define ZL_P9_GET_BASIC 0x7ffULL
#define ZL_P9_GET_BTIME 0x800ULL

enum { ZL_P9_LOCK_READ, ZL_P9_LOCK_WRITE, ZL_P9_LOCK_NONE }; // P9_LOCK_TYPE_…
enum { ZL_P9_LOCK_SUCCESS, ZL_P9_LOCK_BLOCKED, ZL_P9_LOCK_ERROR };
enum { ZL_P9_UNLINK_DIRECTORY = 0x200 }; // P9_DOTL_AT_REMOVEDIR

struct zl_p9_text {
	const char *bytes; // not terminated
	uint16_t length;
};

struct zl_p9_qid {
	uint8_t type;
	uint32_t version;
	uint64_t path;
};

struct zl_p9_time {
	uint64_t seconds;
	uint64_t nanoseconds;
};

// One message. A member is used by the types that have such a field and is zero in others.
struct zl_p9_message {
	uint8_t type;
	uint16_t tag;

	uint32_t fid;       // the fid it is about; the directory's for what names an entry
	uint32_t other_fid; // newfid, afid, target of a link, directory to rename into
	uint16_t old_tag;
	uint32_t msize;
	uint32_t error; // Rlerror: Linux errno
	uint32_t flags; // of open, unlinkat, lock, xattrcreate, fsync (datasync)
	uint32_t mode;
	uint32_t uid; // n_uname of Tattach; owner
	uint32_t gid;
	uint32_t major;
	uint32_t minor;
	uint32_t count; // Tread, Treaddir; Rwrite
	uint32_t io_unit;
	uint32_t valid; // Tsetattr: ZL_P9_SET_…
	uint64_t offset;
	uint64_t size;              // Tsetattr; size of an extended attribute
	uint64_t mask;              // Tgetattr, Rgetattr
	struct zl_p9_text name;     // entry, version, extended attribute
	struct zl_p9_text new_name; // after a rename; target of a symbolic link
	struct zl_p9_text user;     // uname; client_id of a lock
	struct zl_p9_qid qid;

	uint16_t name_count; // Twalk
	struct zl_p9_text names[ZL_P9_NAMES_MAX];
	uint16_t qid_count; // Rwalk
	struct zl_p9_qid qids[ZL_P9_NAMES_MAX];

	const uint8_t *data; // Twrite, Rread, Rreaddir
	uint32_t data_length;

	// attributes, beside mode, uid, gid, size
	uint64_t links;
	uint64_t device; // as the kernel's new_encode_dev
	uint64_t block_size;
	uint64_t blocks;
	struct zl_p9_time access_time;
	struct zl_p9_time modify_time;
	struct zl_p9_time change_time;
	struct zl_p9_time birth_time;
	uint64_t generation;
	uint64_t data_version;

	// file system
	uint32_t fs_type;
	uint32_t fs_block_size;
	uint64_t fs_blocks;
	uint64_t fs_free;
	uint64_t fs_available;
	uint64_t fs_files;
	uint64_t fs_files_free;
	uint64_t fs_id;
	uint32_t fs_name_length;

	// locks
	uint8_t lock_type;
	uint8_t lock_status;
	uint64_t lock_start;
	uint64_t lock_length; // 0: to the end
	uint32_t lock_owner;  // proc_id
};

// Whether a type is one that a client sends (and this codec knows).
int zl_p9_is_request(uint8_t type);

// Decodes one whole message: the size in its header must be `length`. -1 if the bytes are no
// message of a known type, are cut short, have something left over, or a text with a zero byte.
// The header's type and tag are in *out even then, when there are that many bytes.
int zl_p9_decode(const uint8_t *bytes, size_t length, struct zl_p9_message *out);

// Writes a message to `bytes`; its length, or 0 when it does not fit into `limit` or the type is
// unknown. `data` may already be where it belongs (at ZL_P9_DATA_HEADER of Rread and Rreaddir).
size_t zl_p9_encode(const struct zl_p9_message *message, uint8_t *bytes, size_t limit);

// One entry of a directory as Rreaddir holds them: qid[13] offset[8] type[1] name[s]. The length,
// or 0 if there is no room.
size_t zl_p9_encode_entry(uint8_t *bytes, size_t room, const struct zl_p9_qid *qid, uint64_t offset,
        uint8_t type, const char *name);

// size[4] of a header.
uint32_t zl_p9_size(const uint8_t header[static 4]);

#endif
