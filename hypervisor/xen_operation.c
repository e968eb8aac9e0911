// SPDX-License-Identifier: Apache-2.0
#include <errno.h>
#include <poll.h>
#include <stdlib.h>
#include <sys/time.h>

#include "hypervisor/xen.h"

// A cancel token and its parents; base/cancel.c has the same limit.
enum { CANCEL_FDS = 4, FIRST_FDS = 16 };

// On the thread that runs the event loop, or in the initiating call itself.
static void on_complete(libxl_ctx *ctx, int rc, void *user)
{
	struct zl_xen_operation *operation = user;

	(void)ctx;
	operation->rc = rc;
	operation->done = true;
}

void zl_xen_operation_init(struct zl_xen_operation *operation)
{
	*operation = (struct zl_xen_operation){
	        .how = {.callback = on_complete, .u = {.for_callback = operation}}};
}

static int grow(struct zl_xen_context *context, int size)
{
	struct pollfd *fds = reallocarray(context->fds, (size_t)size, sizeof(*fds));

	if (fds == NULL)
		return ERROR_NOMEM;
	context->fds = fds;
	context->fds_size = size;
	return 0;
}

// libxl's descriptors go to context->fds, room for the token's is left behind them.
static int prepare(
        struct zl_xen_context *context, int *ret_count, int *timeout_ms, struct timeval *now)
{
	int rc = context->fds_size == 0 ? grow(context, FIRST_FDS) : 0;

	while (rc == 0) {
		*ret_count = context->fds_size - CANCEL_FDS;
		(void)gettimeofday(now, NULL);
		rc = libxl_osevent_beforepoll(
		        context->ctx, ret_count, context->fds, timeout_ms, *now);
		if (rc != ERROR_BUFFERFULL)
			return rc;
		rc = grow(context, *ret_count + CANCEL_FDS);
	}
	return rc;
}

static nfds_t add_token(
        struct pollfd *fds, nfds_t count, const struct zl_cancel *cancel, int *timeout_ms)
{
	int remaining = zl_cancel_remaining_ms(cancel);
	nfds_t end = count + CANCEL_FDS;

	for (; cancel != NULL && count < end; cancel = cancel->parent)
		fds[count++] = (struct pollfd){.fd = cancel->fd, .events = POLLIN};
	if (remaining >= 0 && (*timeout_ms < 0 || remaining < *timeout_ms))
		*timeout_ms = remaining;
	return count;
}

// One round of the event loop.
static int run_once(struct zl_xen_context *context, const struct zl_cancel *cancel)
{
	struct timeval now;
	int timeout_ms = -1;
	int count = 0;
	nfds_t all;
	int rc = prepare(context, &count, &timeout_ms, &now);

	if (rc != 0)
		return rc;
	all = (nfds_t)count;
	if (cancel != NULL)
		all = add_token(context->fds, all, cancel, &timeout_ms);
	if (poll(context->fds, all, timeout_ms) < 0) {
		if (errno != EINTR)
			return ERROR_FAIL;
		for (int i = 0; i < count; i++)
			context->fds[i].revents = 0;
	}
	(void)gettimeofday(&now, NULL);
	libxl_osevent_afterpoll(context->ctx, count, context->fds, now);
	return 0;
}

int zl_xen_operation_wait(struct zl_xen_context *context, struct zl_xen_operation *operation,
        int started, const struct zl_cancel *cancel)
{
	if (started != 0)
		return started;
	while (!operation->done) {
		int rc;

		if (cancel != NULL && zl_cancel_check(cancel, NULL) < 0) {
			// From here on it ends by itself: libxl limits every wait.
			(void)libxl_ao_abort(context->ctx, &operation->how);
			cancel = NULL;
			continue;
		}
		rc = run_once(context, cancel);
		if (rc != 0) {
			// The operation can neither be waited for nor taken back; the context goes.
			atomic_store(&context->broken, true);
			return rc;
		}
	}
	return operation->rc;
}
