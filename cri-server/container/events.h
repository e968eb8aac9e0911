// SPDX-License-Identifier: Apache-2.0
//
// Container events for GetContainerEvents: one bounded queue per client.
//
// A client that falls further behind than its queue loses its stream, not the daemon its memory: a
// gap could not be seen by it, the end can, and the kubelet then lists what there is and asks anew
// (its generic relist goes on meanwhile). An event holds a packed ContainerEventResponse, shared by
// all queues.
#ifndef ZL_CRI_SERVER_CONTAINER_EVENTS_H
#define ZL_CRI_SERVER_CONTAINER_EVENTS_H

#include "base/buffer.h"
#include "base/cancel.h"
#include "base/error.h"

struct zl_events;
struct zl_event_reader;

enum {
	ZL_EVENTS_QUEUE = 1024, // events a client may be behind
	ZL_EVENTS_READERS = 64, // clients; each takes a worker for as long as it stays
};

struct zl_events *zl_events_new(struct zl_error *err);
void zl_events_free(struct zl_events *events); // no reader may be left

// Gives a copy of these bytes to every reader. Any thread; never blocks.
void zl_events_publish(struct zl_events *events, const void *bytes, size_t length);

// RESOURCE_EXHAUSTED when ZL_EVENTS_READERS are there.
struct zl_event_reader *zl_events_subscribe(struct zl_events *events, struct zl_error *err);
void zl_events_unsubscribe(struct zl_event_reader *reader); // NULL is fine
ZL_AUTO_DEFINE(event_reader, struct zl_event_reader *, zl_events_unsubscribe);

// Waits for the next event and puts its bytes into `out` (emptied first). -1 when the token fires,
// and RESOURCE_EXHAUSTED for good once the reader fell too far behind.
int zl_events_next(struct zl_event_reader *reader, struct zl_buffer *out,
        const struct zl_cancel *cancel, struct zl_error *err);

#endif
