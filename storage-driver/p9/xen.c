// SPDX-License-Identifier: Apache-2.0
#include "storage-driver/p9/xen.h"

#include <poll.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <xenevtchn.h>
#include <xengnttab.h>
#include <xenstore.h>

#include "base/cleanup.h"
#include "base/clock.h"
#include "storage-driver/p9/hold.h"
#include "storage-driver/p9/message.h"
#include "storage-driver/p9/ring.h"

enum { STATE_INITIALISED = 3, STATE_CONNECTED = 4, STATE_CLOSING = 5 };

struct xen_transport {
	struct zl_p9_transport transport;
	uint32_t domid;
	struct zl_p9_tags *tags;
	xengnttab_handle *grants;
	xenevtchn_handle *events;
	size_t ring_count;
	struct zl_p9_ring rings[ZL_P9_RINGS_MAX];
	evtchn_port_t ports[ZL_P9_RINGS_MAX];
	struct zl_p9_hold hold; // the receiving thread's
	int stop_fd;
	pthread_t waiter; // reads events
	bool has_waiter;

	pthread_mutex_t lock; // guards all below, and putting into rings
	pthread_cond_t event; // something was signalled, or the end
	bool ended;
	size_t next; // ring to look at first
};

// ---- xenstore, before the process is confined

struct nodes {
	struct xs_handle *xs;
	char front[64];
	char back[64];
};

// A number from a node that the zone writes: decimal digits, at most `limit`.
static int read_number(const struct nodes *nodes, const char *directory, const char *name,
        uint32_t limit, uint32_t *ret, struct zl_error *err)
{
	char path[128];
	unsigned length;
	zl_auto(free) char *text = NULL;
	unsigned long value;
	char *end;

	(void)snprintf(path, sizeof(path), "%s/%s", directory, name);
	text = xs_read(nodes->xs, XBT_NULL, path, &length);
	if (text == NULL)
		return zl_error_errno(err, errno, "read xenstore node %s", path);
	errno = 0;
	value = strtoul(text, &end, 10);
	if (text[0] < '0' || text[0] > '9' || *end != '\0' || errno != 0 || value > limit)
		return zl_error_set(err, ZL_INVALID_ARGUMENT,
		        "xenstore node %s holds no number up to %u", path, limit);
	*ret = (uint32_t)value;
	return 0;
}

// Until the front end is in a state that has rings.
static int wait_front(const struct nodes *nodes, int timeout_ms, struct zl_error *err)
{
	int64_t deadline = zl_clock_monotonic() + (int64_t)timeout_ms * 1000000;
	char path[128];

	(void)snprintf(path, sizeof(path), "%s/state", nodes->front);
	if (!xs_watch(nodes->xs, path, "front"))
		return zl_error_errno(err, errno, "watch %s", path);
	for (;;) {
		struct pollfd wait = {.fd = xs_fileno(nodes->xs), .events = POLLIN};
		int64_t left = (deadline - zl_clock_monotonic()) / 1000000;
		uint32_t state;

		if (read_number(nodes, nodes->front, "state", 8, &state, err) < 0)
			return -1;
		if (state == STATE_INITIALISED || state == STATE_CONNECTED)
			return 0;
		if (state >= STATE_CLOSING)
			return zl_error_set(err, ZL_UNAVAILABLE,
			        "the zone closed its 9pfs device %s", nodes->front);
		if (left <= 0 || poll(&wait, 1, (int)left) == 0)
			return zl_error_set(err, ZL_UNAVAILABLE,
			        "the zone's kernel did not set up its 9pfs device %s within %d ms "
			        "(state %u): has it CONFIG_NET_9P_XEN?",
			        nodes->front, timeout_ms, state);
		for (char **watch; (watch = xs_check_watch(nodes->xs)) != NULL;)
			free(watch);
	}
}

static int write_connected(const struct nodes *nodes, struct zl_error *err)
{
	char path[128];

	(void)snprintf(path, sizeof(path), "%s/state", nodes->back);
	if (!xs_write(nodes->xs, XBT_NULL, path, "4", 1))
		return zl_error_errno(err, errno, "write %s", path);
	return 0;
}

// ---- rings

static int map_ring(struct xen_transport *self, const struct nodes *nodes, unsigned order_max,
        struct zl_error *err)
{
	struct zl_p9_ring *ring = &self->rings[self->ring_count];
	volatile struct zl_p9_ring_page *page;
	uint32_t refs[1 << ZL_P9_RING_ORDER_MAX];
	char name[32];
	uint32_t ref;
	uint32_t order;
	uint8_t *data;

	(void)snprintf(name, sizeof(name), "ring-ref%zu", self->ring_count);
	if (read_number(nodes, nodes->front, name, UINT32_MAX, &ref, err) < 0)
		return -1;
	page = xengnttab_map_grant_ref(self->grants, self->domid, ref, PROT_READ | PROT_WRITE);
	if (page == NULL)
		return zl_error_errno(
		        err, errno, "map the page of 9pfs ring %zu", self->ring_count);
	order = page->order;
	if (order == 0 || order > order_max)
		return zl_error_set(err, ZL_INVALID_ARGUMENT,
		        "the zone offers a 9pfs ring of order %u; 1 to %u are possible", order,
		        order_max);
	for (size_t i = 0; i < (size_t)1 << order; i++)
		refs[i] = page->refs[i];
	data = xengnttab_map_domain_grant_refs(
	        self->grants, (uint32_t)1 << order, self->domid, refs, PROT_READ | PROT_WRITE);
	if (data == NULL)
		return zl_error_errno(
		        err, errno, "map the data of 9pfs ring %zu", self->ring_count);
	if (zl_p9_ring_init(ring, page, data, order) < 0)
		return zl_error_set(err, ZL_INVALID_ARGUMENT,
		        "the indexes of the zone's 9pfs ring %zu are impossible", self->ring_count);
	if (ring->size / 2 < self->transport.msize_max)
		self->transport.msize_max = ring->size / 2;
	return 0;
}

static int bind_event(struct xen_transport *self, const struct nodes *nodes, struct zl_error *err)
{
	char name[32];
	uint32_t remote;
	int port;

	(void)snprintf(name, sizeof(name), "event-channel-%zu", self->ring_count);
	if (read_number(nodes, nodes->front, name, UINT32_MAX, &remote, err) < 0)
		return -1;
	port = xenevtchn_bind_interdomain(self->events, self->domid, remote);
	if (port < 0)
		return zl_error_errno(
		        err, errno, "bind event channel %u of domain %u", remote, self->domid);
	self->ports[self->ring_count] = (evtchn_port_t)port;
	return 0;
}

static int open_devices(struct xen_transport *self, struct zl_error *err)
{
	self->stop_fd = eventfd(0, EFD_CLOEXEC);
	self->grants = xengnttab_open(NULL, 0);
	self->events = xenevtchn_open(NULL, 0);
	if (self->stop_fd < 0 || self->grants == NULL || self->events == NULL)
		return zl_error_errno(err, errno, "open Xen's grant and event devices");
	if (xenevtchn_restrict(self->events, (domid_t)self->domid) < 0)
		return zl_error_errno(
		        err, errno, "restrict the event device to domain %u", self->domid);
	return 0;
}

static int connect_rings(
        struct xen_transport *self, const struct nodes *nodes, struct zl_error *err)
{
	uint32_t count;
	uint32_t order_max;

	if (read_number(nodes, nodes->front, "num-rings", ZL_P9_RINGS_MAX, &count, err) < 0 ||
	        read_number(nodes, nodes->back, "max-ring-page-order", ZL_P9_RING_ORDER_MAX,
	                &order_max, err) < 0)
		return -1;
	if (count == 0)
		return zl_error_set(err, ZL_INVALID_ARGUMENT, "the zone's 9pfs device has no ring");
	for (; self->ring_count < count; self->ring_count++) {
		if (map_ring(self, nodes, order_max, err) < 0 || bind_event(self, nodes, err) < 0)
			return -1;
	}
	return 0;
}

// ---- events

static void signal_all(struct xen_transport *self, bool end)
{
	pthread_mutex_lock(&self->lock);
	if (end)
		self->ended = true;
	pthread_cond_broadcast(&self->event);
	pthread_mutex_unlock(&self->lock);
}

// Whatever was signalled, both directions of all rings are looked at again.
static void *wait_events(void *argument)
{
	struct xen_transport *self = argument;
	struct pollfd wait[2] = {
	        {.fd = xenevtchn_fd(self->events), .events = POLLIN},
	        {.fd = self->stop_fd, .events = POLLIN},
	};

	for (;;) {
		xenevtchn_port_or_error_t port;

		if (poll(wait, 2, -1) < 0 && errno != EINTR)
			break;
		if ((wait[1].revents & POLLIN) != 0)
			break;
		if (wait[0].revents == 0)
			continue;
		port = xenevtchn_pending(self->events);
		if (port < 0 || xenevtchn_unmask(self->events, (evtchn_port_t)port) < 0)
			break;
		signal_all(self, false);
	}
	signal_all(self, true);
	return NULL;
}

// ---- the transport

static int broken(const struct xen_transport *self, size_t ring, struct zl_error *err)
{
	return zl_error_set(err, ZL_INVALID_ARGUMENT,
	        "domain %u broke ring %zu of its 9pfs device (indexes or a message's length)",
	        self->domid, ring);
}

// With the lock. The ring with a request, fairly; -1 when none has; -2 when one is broken.
static int find_request(struct xen_transport *self, size_t limit, size_t *ret_length)
{
	for (size_t i = 0; i < self->ring_count; i++) {
		size_t ring = (self->next + i) % self->ring_count;
		int64_t length = zl_p9_ring_next(&self->rings[ring], limit);

		if (length == 0)
			continue;
		self->next = ring + 1;
		*ret_length = (size_t)length;
		return length < 0 ? -2 : (int)ring;
	}
	return -1;
}

static int take(
        struct xen_transport *self, size_t ring, size_t length, uint8_t **ret, struct zl_error *err)
{
	uint8_t *bytes = malloc(length);

	if (bytes == NULL)
		return zl_error_nomem(err);
	zl_p9_ring_copy(&self->rings[ring], bytes, length);
	zl_p9_tags_set(self->tags, (uint16_t)(bytes[5] | bytes[6] << 8), (unsigned)ring);
	zl_p9_ring_taken(&self->rings[ring], length);
	(void)xenevtchn_notify(self->events, self->ports[ring]);
	*ret = bytes;
	return 1;
}

static int receive(struct zl_p9_transport *transport, size_t limit, uint8_t **ret,
        size_t *ret_length, unsigned *ret_lane, struct zl_error *err)
{
	struct xen_transport *self = (struct xen_transport *)transport;
	struct zl_p9_held held;
	int ring;

	do {
		if (zl_p9_hold_next(&self->hold, self->rings, self->ring_count, &held)) {
			*ret = held.bytes;
			*ret_length = held.length;
			*ret_lane = held.ring;
			return 1;
		}
		pthread_mutex_lock(&self->lock);
		while ((ring = find_request(self, limit, ret_length)) == -1 && !self->ended)
			pthread_cond_wait(&self->event, &self->lock);
		pthread_mutex_unlock(&self->lock);
		if (ring == -1)
			return 0;
		if (ring == -2)
			return broken(
			        self, (self->next + self->ring_count - 1) % self->ring_count, err);
		*ret_lane = (unsigned)ring;
		if (take(self, (size_t)ring, *ret_length, ret, err) < 0)
			return -1;
	} while (zl_p9_hold_add(
	        &self->hold, self->rings, self->ring_count, *ret_lane, *ret, *ret_length));
	return 1;
}

static int send_message(struct zl_p9_transport *transport, unsigned lane, const uint8_t *bytes,
        size_t length, struct zl_error *err)
{
	struct xen_transport *self = (struct xen_transport *)transport;
	int put;

	if (lane >= self->ring_count)
		return zl_error_set(err, ZL_INTERNAL, "there is no 9pfs ring %u", lane);
	pthread_mutex_lock(&self->lock);
	while ((put = zl_p9_ring_put(&self->rings[lane], bytes, length)) == 0 && !self->ended)
		pthread_cond_wait(&self->event, &self->lock);
	pthread_mutex_unlock(&self->lock);
	if (put < 0)
		return broken(self, lane, err);
	if (put == 0)
		return zl_error_set(err, ZL_UNAVAILABLE, "the 9pfs device has ended");
	(void)xenevtchn_notify(self->events, self->ports[lane]);
	return 0;
}

// The front end handles each ring by itself: an answer on one may be seen before an earlier one on
// another.
static void settle(struct zl_p9_transport *transport)
{
	struct xen_transport *self = (struct xen_transport *)transport;

	pthread_mutex_lock(&self->lock);
	for (size_t i = 0; i < self->ring_count; i++) {
		uint32_t mark = self->rings[i].in_prod;

		while (!zl_p9_ring_took(&self->rings[i], mark) && !self->ended)
			pthread_cond_wait(&self->event, &self->lock);
	}
	pthread_mutex_unlock(&self->lock);
}

static void stop(struct zl_p9_transport *transport)
{
	struct xen_transport *self = (struct xen_transport *)transport;
	uint64_t one = 1;

	(void)!write(self->stop_fd, &one, sizeof(one));
	signal_all(self, true);
}

// The mappings end with the handle.
static void close_transport(struct zl_p9_transport *transport)
{
	struct xen_transport *self = (struct xen_transport *)transport;

	stop(transport);
	if (self->has_waiter)
		(void)pthread_join(self->waiter, NULL);
	if (self->events != NULL)
		(void)xenevtchn_close(self->events);
	if (self->grants != NULL)
		(void)xengnttab_close(self->grants);
	(void)zl_close(self->stop_fd);
	zl_p9_hold_clear(&self->hold);
	pthread_cond_destroy(&self->event);
	pthread_mutex_destroy(&self->lock);
	free(self);
}

static int start(struct zl_p9_transport *transport, struct zl_error *err)
{
	struct xen_transport *self = (struct xen_transport *)transport;
	int failure = pthread_create(&self->waiter, NULL, wait_events, self);

	if (failure != 0)
		return zl_error_errno(err, failure, "start the thread for Xen's events");
	self->has_waiter = true;
	// What came before anybody listened; and the front end, should it wait for room.
	for (size_t i = 0; i < self->ring_count; i++)
		(void)xenevtchn_notify(self->events, self->ports[i]);
	return 0;
}

static const struct zl_p9_transport_ops ops = {
        .start = start,
        .receive = receive,
        .send = send_message,
        .settle = settle,
        .stop = stop,
        .close = close_transport,
};

static struct xen_transport *new_transport(uint32_t domid, struct zl_p9_tags *tags)
{
	struct xen_transport *self = calloc(1, sizeof(*self));

	if (self == NULL)
		return NULL;
	self->transport.ops = &ops;
	self->transport.msize_max = ZL_P9_MSIZE_MAX;
	self->domid = domid;
	self->tags = tags;
	self->stop_fd = -1;
	pthread_mutex_init(&self->lock, NULL);
	pthread_cond_init(&self->event, NULL);
	return self;
}

struct zl_p9_transport *zl_p9_xen_connect(uint32_t domid, uint32_t devid, int timeout_ms,
        struct zl_p9_tags *tags, struct zl_error *err)
{
	struct xen_transport *self = new_transport(domid, tags);
	struct nodes nodes = {.xs = xs_open(0)};
	int result = -1;

	(void)snprintf(
	        nodes.front, sizeof(nodes.front), "/local/domain/%u/device/9pfs/%u", domid, devid);
	(void)snprintf(
	        nodes.back, sizeof(nodes.back), "/local/domain/0/backend/9pfs/%u/%u", domid, devid);
	if (self == NULL)
		(void)zl_error_nomem(err);
	else if (nodes.xs == NULL)
		(void)zl_error_errno(err, errno, "connect to xenstore");
	else if (wait_front(&nodes, timeout_ms, err) == 0 && open_devices(self, err) == 0 &&
	         connect_rings(self, &nodes, err) == 0)
		result = write_connected(&nodes, err);
	if (nodes.xs != NULL)
		xs_close(nodes.xs);
	if (result == 0)
		return &self->transport;
	if (self != NULL)
		close_transport(&self->transport);
	return NULL;
}
