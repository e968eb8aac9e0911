// SPDX-License-Identifier: Apache-2.0
//
// A byte pipe between daemon and supervisor that never blocks: a unix socket under `host`, a vchan
// (two rings of shared memory and an event channel) to a zone.
//
// Thread rule: one thread at a time; opening and closing may happen on different threads.
#ifndef ZL_ZONE_CHANNEL_TRANSPORT_H
#define ZL_ZONE_CHANNEL_TRANSPORT_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "base/cancel.h"
#include "base/error.h"

struct zl_transport;

struct zl_transport_ops {
	const char *name; // "socket", "vchan"
	// Takes what has come, at most `size` bytes. 0: nothing now; -1: the peer is gone
	// (UNAVAILABLE).
	ssize_t (*read)(struct zl_transport *t, void *bytes, size_t size, struct zl_error *err);
	// Sends what fits. 0: no room now; -1: the peer is gone.
	ssize_t (*write)(
	        struct zl_transport *t, const void *bytes, size_t length, struct zl_error *err);
	// epoll events to wait for on `fd`.
	uint32_t (*events)(const struct zl_transport *t, bool want_write);
	// To be called when `fd` was ready, before reading and writing until both return 0. -1: the
	// peer is gone, but what it sent may still be read.
	int (*acknowledge)(struct zl_transport *t, struct zl_error *err);
	void (*close)(struct zl_transport *t);
};

struct zl_transport {
	const struct zl_transport_ops *ops;
	int fd; // what to poll; the transport's own
	// write takes a whole frame or nothing, and must be given exactly one (frame.h, Sessions)
	bool whole_frames;
};

static inline void zl_transport_close(struct zl_transport *t)
{
	if (t != NULL)
		t->ops->close(t);
}
ZL_AUTO_DEFINE(transport, struct zl_transport *, zl_transport_close);

// Takes over a connected stream socket.
struct zl_transport *zl_socket_wrap(int fd, struct zl_error *err);
// Connects to the unix socket at `path`. UNAVAILABLE when nobody listens there.
struct zl_transport *zl_socket_connect(const char *path, struct zl_error *err);
// A listening, close-on-exec, non-blocking unix socket at `path`, mode 0600; what was there before
// is replaced. Returns the descriptor.
int zl_socket_listen(const char *path, struct zl_error *err);

// dom0: connects to the supervisor of domain `domid`, as soon as its vchan appears in xenstore
// (a watch, no poll). Fails with the token's error, or UNAVAILABLE when the domain goes away.
struct zl_transport *zl_vchan_connect(
        uint32_t domid, const struct zl_cancel *cancel, struct zl_error *err);
// In a zone: makes the rings, ZL_VCHAN_RING bytes each way, and publishes them to dom0 at
// `data/zonelet` of the zone's own xenstore directory. Clients may come and go.
struct zl_transport *zl_vchan_serve(struct zl_error *err);
// Whether a client is connected now (of zl_vchan_serve).
bool zl_vchan_connected(const struct zl_transport *t);

enum { ZL_VCHAN_RING = 64 * 1024 };
#define ZL_VCHAN_PATH "data/zonelet"

#endif
