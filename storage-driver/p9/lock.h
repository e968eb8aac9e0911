// SPDX-License-Identifier: Apache-2.0
//
// Record locks of a zone's processes, towards everybody else.
//
// Within a zone its own kernel decides who has a lock (v9fs takes each lock locally first). What is
// left is that others see it: processes of the node, other zones. So the zone as a whole holds, in
// each file, the strongest lock that any of its processes holds at each byte, by open file
// description locks (fcntl(2), F_OFD_SETLK) of one descriptor for each file. This table knows who
// holds what, so that one process's unlock leaves another's lock.
//
// The protocol does not tell flock(2) from fcntl(2): they are one kind here. An owner is a
// process id of the zone; a lock on a whole file can also be given back through its fid, since
// flock's owner is the open file, and the process that closes it last may be another.
//
// Thread rule: any thread.
#ifndef ZL_STORAGE_DRIVER_P9_LOCK_H
#define ZL_STORAGE_DRIVER_P9_LOCK_H

#include <pthread.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

enum { ZL_P9_LOCKS_MAX = 4096 };

struct zl_p9_export;

struct zl_p9_lock {
	dev_t device;
	ino_t inode;
	const struct zl_p9_export *export; // for comparison
	uint32_t fid;
	uint32_t owner;
	short type; // F_RDLCK, F_WRLCK, F_UNLCK
	int64_t start;
	int64_t end; // the last byte; INT64_MAX: to the end of the file
};

struct zl_p9_locked_file;

struct zl_p9_locks {
	pthread_mutex_t lock;
	struct zl_p9_lock *held; // in no order
	size_t count;
	size_t capacity;
	struct zl_p9_locked_file *files; // those with a lock
};

void zl_p9_locks_init(struct zl_p9_locks *locks);
void zl_p9_locks_release(struct zl_p9_locks *locks);
// Gives all locks back, or those of one export.
void zl_p9_locks_clear(struct zl_p9_locks *locks);
void zl_p9_locks_forget(struct zl_p9_locks *locks, const struct zl_p9_export *export);

// Sets or removes a lock without waiting. path_fd is the file (O_PATH), whose path in the working
// directory opens it (call.h). EAGAIN: somebody else's lock is in the way. ENOLCK: too many.
int zl_p9_lock_set(struct zl_p9_locks *locks, const struct zl_p9_lock *wanted, int path_fd);

// What would be in the way of *lock: *lock becomes it, or its type F_UNLCK when there is nothing.
int zl_p9_lock_test(struct zl_p9_locks *locks, struct zl_p9_lock *lock, int path_fd);

#endif
