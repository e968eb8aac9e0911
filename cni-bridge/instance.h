// SPDX-License-Identifier: Apache-2.0
//
// What is behind struct zl_cni: for cni.c, status.c and gc.c alone.
//
// Lock order: activity, then status_lock, then cidrs_lock or the lock inside confdir.
#ifndef ZL_CNI_BRIDGE_INSTANCE_H
#define ZL_CNI_BRIDGE_INSTANCE_H

#include <pthread.h>

#include "base/json.h"
#include "cni-bridge/attachment.h"
#include "cni-bridge/chain.h"
#include "cni-bridge/cni.h"
#include "cni-bridge/confdir.h"

struct zl_cni {
	struct zl_confdir confdir;
	char **bin_dirs;
	char *cache_dir;
	int timeout_ms;
	// Shared by ADD and DEL, exclusive for the plugins' GC, which only ever tries for it:
	// nobody waits behind a GC that waits.
	pthread_rwlock_t activity;

	pthread_mutex_t status_lock; // guards the next two; held while STATUS runs
	int64_t ready_until;         // monotonic; until then all plugins' STATUS counts as good
	uint64_t ready_generation;   // of the configuration that was asked

	pthread_mutex_t cidrs_lock; // guards the next two
	char *cidrs;                // "10.244.1.0/24,fd00::/64"; NULL while nobody told
	json_t *ranges;             // the same as "ipRanges"; NULL likewise
};

// The most that plugins get for STATUS and GC, which others wait for.
enum { ZL_CNI_SHORT_TIMEOUT_MS = 10000 };

struct zl_chain zl_cni_chain(
        const struct zl_cni *cni, int timeout_limit_ms, const struct zl_cancel *cancel);

// "ipRanges" of now, counted; NULL if not known.
json_t *zl_cni_ranges(struct zl_cni *cni);

// What there is to undo of the pod: its record, or if that is damaged (a power failure, a full
// disk) or gone (for a recovered pod) what the network of now says, without a result: plugins then
// release what they know by the pod's id, as leases are. NOT_FOUND: nothing.
int zl_cni_load(struct zl_cni *cni, const struct zl_cni_pod *pod, struct zl_attachment *ret,
        struct zl_error *err);

// DEL through the chain, then the record goes.
int zl_cni_undo(const struct zl_cni *cni, const struct zl_attachment *pod, const char *netns,
        const struct zl_cancel *cancel, struct zl_error *err);

#endif
