// SPDX-License-Identifier: Apache-2.0
//
// What an ExecSync keeps of its command's output: the beginning of it. The rest is dropped, and the
// command goes on without noticing (ExecSyncResponse in the CRI's api.proto).
//
// Both outputs share one reply, which the kubelet takes up to 16 MiB (cri-client, maxMsgSize). The
// first ZL_CAPTURE_OWN bytes of every command are kept in any case; more is taken from a pool that
// all commands share, so that many of them together have a bound, too.
//
// Thread rule: a capture has one user at a time; the pool any.
#ifndef ZL_CRI_SERVER_CONTAINER_CAPTURE_H
#define ZL_CRI_SERVER_CONTAINER_CAPTURE_H

#include <stdatomic.h>

#include "base/buffer.h"

enum {
	ZL_CAPTURE_OUTPUTS = 2,                 // stdout, stderr
	ZL_CAPTURE_OWN = 64 * 1024,             // bytes of a command that are always kept
	ZL_CAPTURE_STEP = 256 * 1024,           // bytes taken from the pool at a time
	ZL_CAPTURE_ONE_MAX = 15 * 1024 * 1024,  // of one output; the other has a chance then
	ZL_CAPTURE_BOTH_MAX = (16 << 20) - 256, // with the reply's own few bytes
	ZL_CAPTURE_POOL = 128 * 1024 * 1024,
};

struct zl_capture_pool {
	atomic_size_t used;
};

struct zl_capture {
	struct zl_capture_pool *pool;
	size_t borrowed; // of the pool
	struct zl_buffer output[ZL_CAPTURE_OUTPUTS];
};

// Keeps what may be kept of these bytes.
void zl_capture_add(struct zl_capture *capture, size_t output, const void *bytes, size_t length);
// Gives everything back.
void zl_capture_release(struct zl_capture *capture);

#endif
