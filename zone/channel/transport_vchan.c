// SPDX-License-Identifier: Apache-2.0
//
// libxenvchan: two rings in memory that the zone grants to dom0, and an event channel.
//
// What dom0 reads from the shared page is hostile. libxenvchan copies ring data out before anyone
// looks at it, masks every index and reads each length once (tools/libs/vchan/io.c), so a lying
// zone can only garble its own stream; the sizes of the rings are checked here.
#include <errno.h>
#include <inttypes.h>
#include <libxenvchan.h>
#include <poll.h>
#include <string.h>
#include <sys/epoll.h>
#include <xenstore.h>

#include "zone/channel/transport.h"
#include "zone/protocol/frame.h"

struct vchan {
	struct zl_transport base;
	struct libxenvchan *ctrl;
};

// xs_path is at most this long: libxenvchan formats node names into 64 bytes.
enum { PATH_SIZE = 48, DOM0 = 0, RING_ORDER = 16 };
_Static_assert(1 << RING_ORDER == ZL_VCHAN_RING, "order and size of the rings agree");
_Static_assert((int)ZL_FRAME_SIZE_MAX <= (int)ZL_VCHAN_RING, "a frame fits the ring");

ZL_AUTO_DEFINE(vchan_ctrl, struct libxenvchan *, libxenvchan_close);
ZL_AUTO_DEFINE(xenstore, struct xs_handle *, xs_close);

static struct vchan *vchan_of(const struct zl_transport *t)
{
	return (struct vchan *)(uintptr_t)t;
}

static int gone(struct zl_error *err)
{
	return zl_error_set(err, ZL_UNAVAILABLE, "the peer closed the vchan");
}

static ssize_t vchan_read(struct zl_transport *t, void *bytes, size_t size, struct zl_error *err)
{
	int got = libxenvchan_read(vchan_of(t)->ctrl, bytes, size);

	return got >= 0 ? got : gone(err);
}

static ssize_t server_write(
        struct zl_transport *t, const void *bytes, size_t length, struct zl_error *err)
{
	int done = libxenvchan_write(vchan_of(t)->ctrl, bytes, length);

	return done >= 0 ? done : gone(err);
}

// All or nothing: the ring's index moves once, so a client that dies leaves whole frames.
static ssize_t client_write(
        struct zl_transport *t, const void *bytes, size_t length, struct zl_error *err)
{
	int done = libxenvchan_send(vchan_of(t)->ctrl, bytes, length);

	return done >= 0 ? done : gone(err);
}

static uint32_t vchan_events(const struct zl_transport *t, bool want_write)
{
	(void)t;
	(void)want_write; // room in the ring is told by the same event
	return EPOLLIN;
}

static int vchan_acknowledge(struct zl_transport *t, struct zl_error *err)
{
	struct vchan *v = vchan_of(t);
	struct pollfd ready = {.fd = t->fd, .events = POLLIN};

	// libxenvchan_wait reads the event and would block without one.
	if (poll(&ready, 1, 0) > 0 && libxenvchan_wait(v->ctrl) < 0)
		return zl_error_errno(err, errno, "read the vchan's event");
	return libxenvchan_is_open(v->ctrl) != 0 ? 0 : gone(err);
}

static void vchan_close(struct zl_transport *t)
{
	struct vchan *v = vchan_of(t);

	libxenvchan_close(v->ctrl);
	free(v);
}

static const struct zl_transport_ops server_ops = {
        .name = "vchan",
        .read = vchan_read,
        .write = server_write,
        .events = vchan_events,
        .acknowledge = vchan_acknowledge,
        .close = vchan_close,
};

static const struct zl_transport_ops client_ops = {
        .name = "vchan",
        .read = vchan_read,
        .write = client_write,
        .events = vchan_events,
        .acknowledge = vchan_acknowledge,
        .close = vchan_close,
};

static struct zl_transport *wrap(
        struct libxenvchan *ctrl, const struct zl_transport_ops *ops, struct zl_error *err)
{
	zl_auto(vchan_ctrl) struct libxenvchan *owned = ctrl;
	struct vchan *v = calloc(1, sizeof(*v));

	if (v == NULL) {
		zl_error_nomem(err);
		return NULL;
	}
	ctrl->blocking = 0;
	v->ctrl = zl_take(owned);
	v->base.ops = ops;
	v->base.fd = libxenvchan_fd_for_select(ctrl);
	v->base.whole_frames = !ctrl->is_server;
	return &v->base;
}

struct zl_transport *zl_vchan_serve(struct zl_error *err)
{
	struct libxenvchan *ctrl =
	        libxenvchan_server_init(NULL, DOM0, ZL_VCHAN_PATH, ZL_VCHAN_RING, ZL_VCHAN_RING);

	if (ctrl == NULL) {
		zl_error_errno(err, errno,
		        "make the vchan " ZL_VCHAN_PATH
		        " (are /dev/xen/{gntalloc,evtchn,xenbus} there?)");
		return NULL;
	}
	ctrl->server_persist = 1;
	return wrap(ctrl, &server_ops, err);
}

bool zl_vchan_connected(const struct zl_transport *t)
{
	const struct libxenvchan *ctrl = vchan_of(t)->ctrl;

	// 2: none came yet; 0: the last one went, or was killed (the kernel clears the byte).
	return __atomic_load_n(&ctrl->ring->cli_live, __ATOMIC_ACQUIRE) == 1;
}

// Both nodes are written in one transaction, so one of them tells.
static bool node_exists(struct xs_handle *xs, const char *path)
{
	unsigned length = 0;
	zl_auto(free) void *value = xs_read(xs, XBT_NULL, path, &length);

	return value != NULL;
}

static void drain_watch(struct xs_handle *xs)
{
	char **event;

	while ((event = xs_check_watch(xs)) != NULL)
		free((void *)event);
}

// Waits until the zone has published its vchan below `path`.
static int wait_published(struct xs_handle *xs, uint32_t domid, const char *path,
        const struct zl_cancel *cancel, struct zl_error *err)
{
	char node[PATH_SIZE + 16];
	char domain[32];

	(void)snprintf(node, sizeof(node), "%s/event-channel", path);
	(void)snprintf(domain, sizeof(domain), "/local/domain/%" PRIu32, domid);
	if (!xs_watch(xs, path, "zonelet") || !xs_watch(xs, "@releaseDomain", "gone"))
		return zl_error_errno(err, errno, "watch %s in xenstore", path);
	while (!node_exists(xs, node)) {
		if (!node_exists(xs, domain))
			return zl_error_set(err, ZL_UNAVAILABLE,
			        "domain %" PRIu32 " went away before its supervisor said hello",
			        domid);
		if (zl_cancel_poll(cancel, xs_fileno(xs), POLLIN, -1, err) < 0)
			return zl_error_wrap(
			        err, "the supervisor of domain %" PRIu32 " does not answer", domid);
		drain_watch(xs);
	}
	return 0;
}

struct zl_transport *zl_vchan_connect(
        uint32_t domid, const struct zl_cancel *cancel, struct zl_error *err)
{
	zl_auto(xenstore) struct xs_handle *xs = xs_open(0);
	struct libxenvchan *ctrl;
	char path[PATH_SIZE];

	if (xs == NULL) {
		zl_error_errno(err, errno, "open xenstore (is this a Xen dom0?)");
		return NULL;
	}
	(void)snprintf(path, sizeof(path), "/local/domain/%" PRIu32 "/" ZL_VCHAN_PATH, domid);
	if (wait_published(xs, domid, path, cancel, err) < 0)
		return NULL;
	ctrl = libxenvchan_client_init(NULL, (int)domid, path);
	if (ctrl == NULL) {
		zl_error_set(err, ZL_UNAVAILABLE, "connect to the vchan of domain %" PRIu32 ": %s",
		        domid, strerrordesc_np(errno));
		return NULL;
	}
	if (ctrl->read.order < RING_ORDER || ctrl->write.order < RING_ORDER) {
		libxenvchan_close(ctrl);
		zl_error_set(err, ZL_DATA_LOSS,
		        "the vchan of domain %" PRIu32 " has rings of less than %d bytes", domid,
		        ZL_VCHAN_RING);
		return NULL;
	}
	return wrap(ctrl, &client_ops, err);
}
