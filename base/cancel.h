// SPDX-License-Identifier: Apache-2.0
//
// One token that says "stop": the deadline passed, the client is gone, the daemon shuts down.
//
// A handler passes its token down to whatever blocks; nobody else needs a timeout of their own.
// Waiting is on file descriptors: zl_cancel_poll returns when the fd is ready or the token fires.
//
// Thread rule: fire from any thread, any number of times; init and release from the owner.
#ifndef ZL_BASE_CANCEL_H
#define ZL_BASE_CANCEL_H

#include <poll.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "base/cleanup.h"
#include "base/error.h"

struct zl_cancel {
	int fd;                         // eventfd, readable once fired; -1 before init
	int64_t deadline_ns;            // on zl_clock_monotonic; INT64_MAX is none
	atomic_bool fired;              // zl_cancel_fire was called
	const struct zl_cancel *parent; // fires this one too; NULL if none
};

// Tokens in a chain, the first included: request, connection, daemon and some to spare.
enum { ZL_CANCEL_DEPTH = 8 };

#define ZL_CANCEL_INIT {.fd = -1, .deadline_ns = INT64_MAX}

// deadline_ns is on the monotonic clock, INT64_MAX for none. parent may be NULL; it must outlive
// the token, and its deadline counts as well. INTERNAL when the chain would be longer than
// ZL_CANCEL_DEPTH.
int zl_cancel_init(struct zl_cancel *cancel, int64_t deadline_ns, const struct zl_cancel *parent,
        struct zl_error *err);
void zl_cancel_release(struct zl_cancel *cancel);
ZL_AUTO_DEFINE_VALUE(cancel, struct zl_cancel, zl_cancel_release);

void zl_cancel_fire(struct zl_cancel *cancel);

// 0 while work may go on; -1 with CANCELLED or DEADLINE_EXCEEDED. A NULL token never fires.
int zl_cancel_check(const struct zl_cancel *cancel, struct zl_error *err);

// Waits until `fd` has one of `events` (poll(2)), and returns what poll said of it (> 0). -1 with
// CANCELLED or DEADLINE_EXCEEDED when the token or timeout_ms (-1: none) comes first. fd -1 waits
// for the token alone.
int zl_cancel_poll(
        const struct zl_cancel *cancel, int fd, short events, int timeout_ms, struct zl_error *err);

// For a poll(2) of one's own: fills `fds` with the descriptors that become readable when a token of
// the chain fires, and returns how many there are. zl_cancel_check then says whether one did.
nfds_t zl_cancel_fds(const struct zl_cancel *cancel, struct pollfd fds[static ZL_CANCEL_DEPTH]);

// Milliseconds until the deadline, rounded up, 0 when past, -1 when there is none.
int zl_cancel_remaining_ms(const struct zl_cancel *cancel);

#endif
