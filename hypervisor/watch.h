// SPDX-License-Identifier: Apache-2.0
//
// Who wants to hear of which domain's end: the part of watching that both implementations share.
//
// One thread waits for a hint that some domain changed (`fd` of the source, or zl_watches_wake),
// then asks the source about each watched domain and tells whoever watches those that changed. A
// hint says only "look again", so a lost or doubled hint does no harm, and a domain that ended
// before it was watched is found by the look that the watch itself asks for.
//
// Lock order: the table's lock is a leaf; it is held during neither `look` nor an event.
#ifndef ZL_HYPERVISOR_WATCH_H
#define ZL_HYPERVISOR_WATCH_H

#include "hypervisor/hypervisor.h"

// Where the thread learns what became of domains. All three are called on the thread alone.
struct zl_watches_source {
	int fd; // readable when some domain changed; -1 if there are only wakes
	// Takes the hints that wait on fd. -1: the fd is broken, it is not polled any more.
	int (*drain)(void *user);
	// ZL_DOMAIN_RUNNING also where it cannot be told.
	enum zl_domain_end (*look)(void *user, uint32_t domid);
	void *user;
};

struct zl_watches;

// Starts the thread. The source's `user` must outlive it.
struct zl_watches *zl_watches_start(const struct zl_watches_source *source, struct zl_error *err);

// Ends the thread; no event is delivered after the return. NULL is allowed.
void zl_watches_stop(struct zl_watches *watches);

// ALREADY_EXISTS if the domain is watched. The watch ends by itself with ZL_DOMAIN_GONE.
int zl_watches_add(struct zl_watches *watches, uint32_t domid, zl_domain_event *event, void *user,
        struct zl_error *err);

// Returns when no event of this domain is or will be under way (from within an event: when no
// further one will be).
void zl_watches_remove(struct zl_watches *watches, uint32_t domid);

// Look again.
void zl_watches_wake(struct zl_watches *watches);

// Wakes the thread and returns when a look that began after the call is over, events included. Not
// from within an event.
void zl_watches_settle(struct zl_watches *watches);

#endif
