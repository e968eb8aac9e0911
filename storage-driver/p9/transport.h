// SPDX-License-Identifier: Apache-2.0
//
// Where a session's messages come from and go to: a stream socket (tests, trans=fd) or the rings
// of a Xen 9pfs device (trans=xen).
//
// Thread rule: one thread receives; any thread sends, also while another receives.
#ifndef ZL_STORAGE_DRIVER_P9_TRANSPORT_H
#define ZL_STORAGE_DRIVER_P9_TRANSPORT_H

#include <stddef.h>
#include <stdint.h>

#include "base/error.h"

struct zl_p9_transport;

struct zl_p9_transport_ops {
	// Begins, in the process and with the threads that will serve. NULL: nothing to do.
	int (*start)(struct zl_p9_transport *transport, struct zl_error *err);
	// Waits for the next message and returns its bytes, malloc'ed, with their length: at least
	// a header, whose size is the length, and at most `limit`. *ret_lane is where its answer
	// must go. 1; 0 at the end; -1.
	int (*receive)(struct zl_p9_transport *transport, size_t limit, uint8_t **ret,
	        size_t *ret_length, unsigned *ret_lane, struct zl_error *err);
	// Sends an answer whole; waits for room. Fails when the other side is gone.
	int (*send)(struct zl_p9_transport *transport, unsigned lane, const uint8_t *bytes,
	        size_t length, struct zl_error *err);
	// Waits until the client has taken all answers that were sent so far, on all lanes, or the
	// transport has ended. NULL where answers of all lanes arrive in the order of sending.
	void (*settle)(struct zl_p9_transport *transport);
	// Makes whoever receives or sends return: from any thread, also in a signal's stead.
	void (*stop)(struct zl_p9_transport *transport);
	void (*close)(struct zl_p9_transport *transport);
};

struct zl_p9_transport {
	const struct zl_p9_transport_ops *ops;
	uint32_t msize_max; // the longest message it can carry
};

// A connected stream socket, or any one descriptor of a stream; owned from here on, also on
// failure.
struct zl_p9_transport *zl_p9_transport_fd(int fd, struct zl_error *err);

static inline void zl_p9_transport_close(struct zl_p9_transport *transport)
{
	if (transport != NULL)
		transport->ops->close(transport);
}

#endif
