// SPDX-License-Identifier: Apache-2.0
//
// What a pod uses, asked of its supervisor.
//
// A question has two halves, so that one thread can ask many zones and then wait for them all with
// one token: a zone that does not answer costs the others nothing.
//
//   for each: zl_zone_stats_ask(client, …, &question, err)
//   for each: zl_zone_stats_wait(question, &limit, &stats, err)
//
// The client must stay open between the two.
#ifndef ZL_ZONE_CLIENT_STATS_H
#define ZL_ZONE_CLIENT_STATS_H

#include <stdbool.h>

#include "base/cancel.h"
#include "base/error.h"
#include "zone.pb-c.h"
#include "zone/client/client.h"

enum {
	ZL_ZONE_INTERFACES_MAX = 64,
	ZL_ZONE_DEVICES_MAX = 64,
};

struct zl_zone_question;

// Sends the question. pod_cgroup: the pod's cgroup below the root of the hierarchy, or "". detail:
// also descriptors and sockets of every process.
int zl_zone_stats_ask(struct zl_zone_client *client, const char *pod_cgroup, bool detail,
        struct zl_zone_question **ret, struct zl_error *err);

// Waits for the answer and frees the question, also when it fails. *ret is to be freed with
// zl_zone_stats_free. It is checked: at most ZL_ZONE_CONTAINERS_MAX containers with valid ids, each
// with its usage, the pod's usage there, at most ZL_ZONE_INTERFACES_MAX interfaces with names of at
// most 15 characters, percentages in range. The numbers are the zone's word.
int zl_zone_stats_wait(struct zl_zone_question *question, const struct zl_cancel *cancel,
        const Zl__Zone__Stats **ret, struct zl_error *err);
// What that check is.
bool zl_zone_stats_valid(const Zl__Zone__Stats *stats);
void zl_zone_stats_free(const Zl__Zone__Stats *stats); // NULL is fine

// New limits for a container: JSON of an OCI linux.resources object; what it does not name stays.
// NOT_FOUND, FAILED_PRECONDITION when it has exited; crun's words as INTERNAL.
int zl_zone_container_update(struct zl_zone_client *client, const char *id,
        const char *oci_resources, const struct zl_cancel *cancel, struct zl_error *err);

#endif
