// SPDX-License-Identifier: Apache-2.0
#include "cri-server/container/events.h"

#include <poll.h>
#include <pthread.h>
#include <stdatomic.h>
#include <string.h>
#include <sys/eventfd.h>

struct event {
	atomic_uint references;
	size_t length;
	unsigned char bytes[];
};

struct zl_event_reader {
	struct zl_events *events;
	struct zl_event_reader *next;
	int fd; // eventfd semaphore: one for each event in the ring
	struct event *ring[ZL_EVENTS_QUEUE];
	size_t first;
	size_t count;
	bool lost; // it fell too far behind: its stream ends
};

struct zl_events {
	pthread_mutex_t lock; // guards the readers and their rings; innermost
	struct zl_event_reader *readers;
	unsigned reader_count;
};

static void event_unref(struct event *event)
{
	if (event != NULL && atomic_fetch_sub(&event->references, 1) == 1)
		free(event);
}

struct zl_events *zl_events_new(struct zl_error *err)
{
	struct zl_events *events = calloc(1, sizeof(*events));

	if (events == NULL) {
		zl_error_nomem(err);
		return NULL;
	}
	pthread_mutex_init(&events->lock, NULL);
	return events;
}

void zl_events_free(struct zl_events *events)
{
	if (events == NULL)
		return;
	pthread_mutex_destroy(&events->lock);
	free(events);
}

static void forget_ring(struct zl_event_reader *reader)
{
	for (size_t i = 0; i < reader->count; i++)
		event_unref(reader->ring[(reader->first + i) % ZL_EVENTS_QUEUE]);
	reader->count = 0;
}

// Whoever misses one event can trust none of the others: they go, and the eventfd stays readable.
static void push(struct zl_event_reader *reader, struct event *event)
{
	uint64_t one = 1;
	size_t slot;

	if (reader->lost)
		return;
	if (reader->count == ZL_EVENTS_QUEUE) {
		reader->lost = true;
		forget_ring(reader);
		return;
	}
	atomic_fetch_add(&event->references, 1);
	slot = (reader->first + reader->count) % ZL_EVENTS_QUEUE;
	reader->ring[slot] = event;
	reader->count++;
	(void)!write(reader->fd, &one, sizeof(one));
}

void zl_events_publish(struct zl_events *events, const void *bytes, size_t length)
{
	struct event *event = malloc(sizeof(*event) + length);

	if (event == NULL)
		return; // the readers will relist
	atomic_init(&event->references, 1);
	event->length = length;
	if (length > 0)
		memcpy(event->bytes, bytes, length);
	pthread_mutex_lock(&events->lock);
	for (struct zl_event_reader *r = events->readers; r != NULL; r = r->next)
		push(r, event);
	pthread_mutex_unlock(&events->lock);
	event_unref(event);
}

static int add(struct zl_events *events, struct zl_event_reader *reader, struct zl_error *err)
{
	bool added;

	pthread_mutex_lock(&events->lock);
	added = events->reader_count < ZL_EVENTS_READERS;
	if (added) {
		events->reader_count++;
		reader->next = events->readers;
		events->readers = reader;
	}
	pthread_mutex_unlock(&events->lock);
	return added ? 0
	             : zl_error_set(err, ZL_RESOURCE_EXHAUSTED,
	                       "%d clients read events already; end one of them",
	                       ZL_EVENTS_READERS);
}

struct zl_event_reader *zl_events_subscribe(struct zl_events *events, struct zl_error *err)
{
	struct zl_event_reader *reader = calloc(1, sizeof(*reader));

	if (reader == NULL) {
		zl_error_nomem(err);
		return NULL;
	}
	reader->events = events;
	reader->fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK | EFD_SEMAPHORE);
	if (reader->fd < 0)
		zl_error_errno(err, errno, "make an eventfd");
	if (reader->fd < 0 || add(events, reader, err) < 0) {
		zl_close(reader->fd);
		free(reader);
		return NULL;
	}
	return reader;
}

void zl_events_unsubscribe(struct zl_event_reader *reader)
{
	struct zl_event_reader **link;

	if (reader == NULL)
		return;
	pthread_mutex_lock(&reader->events->lock);
	for (link = &reader->events->readers; *link != reader; link = &(*link)->next)
		;
	*link = reader->next;
	reader->events->reader_count--;
	pthread_mutex_unlock(&reader->events->lock);
	forget_ring(reader);
	zl_close(reader->fd);
	free(reader);
}

static struct event *pop(struct zl_event_reader *reader, bool *ret_lost)
{
	struct event *event = NULL;
	uint64_t one;

	pthread_mutex_lock(&reader->events->lock);
	*ret_lost = reader->lost;
	if (reader->count > 0) {
		event = reader->ring[reader->first];
		reader->first = (reader->first + 1) % ZL_EVENTS_QUEUE;
		reader->count--;
		// NOLINTNEXTLINE(clang-analyzer-unix.BlockInCriticalSection): never blocks
		(void)!read(reader->fd, &one, sizeof(one));
	}
	pthread_mutex_unlock(&reader->events->lock);
	return event;
}

int zl_events_next(struct zl_event_reader *reader, struct zl_buffer *out,
        const struct zl_cancel *cancel, struct zl_error *err)
{
	struct event *event;
	bool lost;
	int result;

	while ((event = pop(reader, &lost)) == NULL) {
		if (lost)
			return zl_error_set(err, ZL_RESOURCE_EXHAUSTED,
			        "the client is more than %d events behind; it has to ask for "
			        "events "
			        "and list what there is anew",
			        ZL_EVENTS_QUEUE);
		if (zl_cancel_poll(cancel, reader->fd, POLLIN, -1, err) < 0)
			return -1;
	}
	out->length = 0;
	result = zl_buffer_append(out, event->bytes, event->length, err);
	event_unref(event);
	return result;
}
