// SPDX-License-Identifier: Apache-2.0
//
// What the pod uses now: cgroups, network interfaces, writable layers.
//
// Reading the kernel's files takes about as long as a message does, so it is done in the loop; the
// layers are measured beside it (layer.h), and an answer waits for that a moment at most.
#ifndef ZL_ZONE_SUPERVISOR_STATS_H
#define ZL_ZONE_SUPERVISOR_STATS_H

#include "zone.pb-c.h"
#include "zone/supervisor/layer.h"
#include "zone/supervisor/link.h"
#include "zone/supervisor/reactor.h"

struct zl_supervisor;

enum {
	ZL_STATS_WAITING = 8, // answers that wait; a further one goes at once
	ZL_STATS_WAIT_MS = 100,
	ZL_STATS_INTERFACES = 32,
	ZL_STATS_CGROUP = 1024,
};

struct zl_stats_waiting {
	struct zl_reply reply;
	char pod_cgroup[ZL_STATS_CGROUP];
	bool detail;
};

struct zl_stats {
	struct zl_layer_meter *meter; // NULL until it is needed
	struct zl_source done;        // eventfd of the meter
	struct zl_source timer;
	struct zl_stats_waiting waiting[ZL_STATS_WAITING];
	size_t count;
};

void zl_stats_init(struct zl_stats *stats);

// Parses /proc/net/dev (proc_pid_net(5)): at most `most` interfaces but the loopback. Names are
// copied to `names`.
size_t zl_stats_parse_interfaces(
        const char *text, Zl__Zone__InterfaceStats *ret, char (*names)[16], size_t most);

#endif
