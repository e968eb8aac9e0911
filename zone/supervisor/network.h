// SPDX-License-Identifier: Apache-2.0
//
// A zone's interfaces: found by MAC, renamed, given their addresses and routes, and waited for
// until they carry packets. An interface or a carrier that is not there yet is waited for by the
// kernel's link events.
#ifndef ZL_ZONE_SUPERVISOR_NETWORK_H
#define ZL_ZONE_SUPERVISOR_NETWORK_H

#include "zone.pb-c.h"
#include "zone/supervisor/reactor.h"

enum { ZL_NETWORK_INTERFACES_MAX = 64 };

struct zl_network {
	struct zl_reactor *reactor;
	struct zl_source monitor;
	Zl__Zone__Interface **wanted; // borrowed, until done
	size_t count;
	uint64_t shaped; // bit i: wanted[i] has its name, addresses and routes
	// All are up, or one failed. Called once for each zl_network_apply.
	void (*done)(struct zl_network *network, const struct zl_error *failure);
	void *user;
};

void zl_network_init(struct zl_network *network, struct zl_reactor *reactor);
void zl_network_release(struct zl_network *network);

// Sets the loopback interface up.
int zl_network_loopback(struct zl_error *err);

// Configures these, which must live until `done` (perhaps before the return). Idempotent.
void zl_network_apply(struct zl_network *network, Zl__Zone__Interface **wanted, size_t count);
// Gives up an apply under way; `done` is not called.
void zl_network_cancel(struct zl_network *network);

#endif
