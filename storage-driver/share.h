// SPDX-License-Identifier: Apache-2.0
//
// The daemon's side of a pod's 9P server (p9/): starting it, what it exports, ending it.
//
// One process for each pod that has mounts, found again by its socket after a restart of the
// daemon: the kernel says which process listens there. All functions are idempotent.
//
// Thread rule: for one server the caller serialises; different ones at the same time.
#ifndef ZL_STORAGE_DRIVER_SHARE_H
#define ZL_STORAGE_DRIVER_SHARE_H

#include <stdbool.h>
#include <stdint.h>

#include "base/cancel.h"
#include "base/error.h"

struct zl_share {
	const char *program; // zonelet-9p
	const char *socket;  // control socket, at most 107 characters
	const char *log;     // what the server has to say
	const char *tags;    // unanswered requests (p9/tags.h): same file for the device's life
	const char *cgroup;  // directory below /sys/fs/cgroup; made, and removed by the caller
	uint64_t memory_bytes;
	uint32_t domid;
	uint32_t devid;
};

// Whether a server serves the socket.
bool zl_share_running(const struct zl_share *share);

// Starts it, unless it runs, and waits until it serves: the zone's kernel has set its device up by
// then. UNAVAILABLE: it has not in time. *ret_started: this call started it.
int zl_share_start(const struct zl_share *share, const struct zl_cancel *cancel, bool *ret_started,
        struct zl_error *err);

// A pidfd of the server, readable once it has ended. UNAVAILABLE when there is none.
int zl_share_pidfd(const struct zl_share *share, struct zl_error *err);

// Ends it and removes its socket and the file of tags. Not running is success.
int zl_share_stop(const struct zl_share *share, struct zl_error *err);

// A directory or file of the node as a container wants it.
struct zl_share_source {
	const char *path; // absolute; symbolic links are followed, as every runtime does
	bool readonly;
	bool recursive_readonly; // what is mounted below it too
};

enum { ZL_SHARE_NAME_SIZE = 40 };

// The name of the export for this source as it is now: the same directory, wanted the same way, has
// the same name, so that containers share it, and with it locks and mapped pages. A path that does
// not exist is made a directory (as kubelets expect of a runtime). FAILED_PRECONDITION for what
// cannot be exported (a device, a socket).
int zl_share_name(const struct zl_share_source *source, char out[static ZL_SHARE_NAME_SIZE],
        struct zl_error *err);

// Whether something is mounted below the directory. A read-only mount that is not recursive leaves
// that as it is, so that whoever binds the export must not make all of it read-only.
bool zl_share_has_mounts(const struct zl_share_source *source);

// Exports it under that name, with all that is mounted below it at this moment; later mounts do not
// come through (private propagation). Read-only is the mount's own: the node's kernel refuses.
int zl_share_add(const struct zl_share *share, const struct zl_share_source *source,
        const char *name, struct zl_error *err);
// Fids of the zone below it are gone with it; no server is success.
int zl_share_remove(const struct zl_share *share, const char *name, struct zl_error *err);

#endif
