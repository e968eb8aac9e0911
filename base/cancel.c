// SPDX-License-Identifier: Apache-2.0
#include "base/cancel.h"

#include <limits.h>
#include <sys/eventfd.h>

#include "base/clock.h"

int zl_cancel_init(struct zl_cancel *cancel, int64_t deadline_ns, const struct zl_cancel *parent,
        struct zl_error *err)
{
	int depth = 1;

	for (const struct zl_cancel *c = parent; c != NULL; c = c->parent)
		depth++;
	if (depth > ZL_CANCEL_DEPTH)
		return zl_error_set(
		        err, ZL_INTERNAL, "more than %d cancel tokens in a chain", ZL_CANCEL_DEPTH);
	cancel->fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	if (cancel->fd < 0)
		return zl_error_errno(err, errno, "make an eventfd");
	cancel->deadline_ns = deadline_ns;
	cancel->parent = parent;
	atomic_init(&cancel->fired, false);
	return 0;
}

void zl_cancel_release(struct zl_cancel *cancel)
{
	cancel->fd = zl_close(cancel->fd);
}

void zl_cancel_fire(struct zl_cancel *cancel)
{
	uint64_t one = 1;

	atomic_store(&cancel->fired, true);
	if (cancel->fd >= 0)
		(void)!write(cancel->fd, &one, sizeof(one));
}

static int64_t deadline_of(const struct zl_cancel *cancel)
{
	int64_t deadline = INT64_MAX;

	for (; cancel != NULL; cancel = cancel->parent) {
		if (cancel->deadline_ns < deadline)
			deadline = cancel->deadline_ns;
	}
	return deadline;
}

int zl_cancel_check(const struct zl_cancel *cancel, struct zl_error *err)
{
	for (const struct zl_cancel *c = cancel; c != NULL; c = c->parent) {
		if (atomic_load(&c->fired))
			return zl_error_set(err, ZL_CANCELLED,
			        "the request was cancelled by its client or by a shutdown");
	}
	if (zl_cancel_remaining_ms(cancel) == 0)
		return zl_error_set(err, ZL_DEADLINE_EXCEEDED, "the deadline passed");
	return 0;
}

int zl_cancel_remaining_ms(const struct zl_cancel *cancel)
{
	int64_t deadline = deadline_of(cancel);
	int64_t left;

	if (deadline == INT64_MAX)
		return -1;
	left = deadline - zl_clock_monotonic();
	if (left <= 0)
		return 0;
	left = (left + ZL_NS_PER_MS - 1) / ZL_NS_PER_MS;
	return left > INT_MAX ? INT_MAX : (int)left;
}

nfds_t zl_cancel_fds(const struct zl_cancel *cancel, struct pollfd fds[static ZL_CANCEL_DEPTH])
{
	nfds_t count = 0;

	for (; cancel != NULL && count < ZL_CANCEL_DEPTH; cancel = cancel->parent) {
		if (cancel->fd >= 0)
			fds[count++] = (struct pollfd){.fd = cancel->fd, .events = POLLIN};
	}
	return count;
}

int zl_cancel_poll(
        const struct zl_cancel *cancel, int fd, short events, int timeout_ms, struct zl_error *err)
{
	int64_t end = timeout_ms < 0 ? INT64_MAX : zl_clock_monotonic() + timeout_ms * ZL_NS_PER_MS;
	struct zl_cancel limit = {.fd = -1, .deadline_ns = end, .parent = cancel};

	for (;;) {
		struct pollfd fds[1 + ZL_CANCEL_DEPTH] = {{.fd = fd, .events = events}};
		nfds_t count = 1 + zl_cancel_fds(cancel, fds + 1);
		int ready = poll(fds, count, zl_cancel_remaining_ms(&limit));

		if (ready < 0 && errno != EINTR)
			return zl_error_errno(err, errno, "poll");
		if (ready > 0 && fds[0].revents != 0)
			return fds[0].revents;
		if (zl_cancel_check(&limit, err) < 0)
			return -1;
	}
}
