// SPDX-License-Identifier: Apache-2.0
#include "cri-server/sandbox/gate.h"

#include <poll.h>
#include <sys/eventfd.h>

struct zl_gate_waiter {
	struct zl_gate_waiter *next;
	int fd; // eventfd, written once when admitted
	bool exclusive;
	bool admitted; // counted as inside already
};

void zl_gate_init(struct zl_gate *gate)
{
	*gate = (struct zl_gate){0};
	pthread_mutex_init(&gate->lock, NULL);
}

void zl_gate_release(struct zl_gate *gate)
{
	pthread_mutex_destroy(&gate->lock);
}

static bool fits(const struct zl_gate *gate, bool exclusive)
{
	return !gate->exclusive && (!exclusive || gate->inside == 0);
}

static void admit(struct zl_gate *gate, bool exclusive)
{
	if (exclusive)
		gate->exclusive = true;
	else
		gate->inside++;
}

// Lets in whoever fits from the head of the queue.
static void admit_waiting(struct zl_gate *gate)
{
	while (gate->first != NULL && fits(gate, gate->first->exclusive)) {
		struct zl_gate_waiter *waiter = gate->first;
		uint64_t one = 1;

		gate->first = waiter->next;
		if (gate->first == NULL)
			gate->last = NULL;
		admit(gate, waiter->exclusive);
		waiter->admitted = true;
		(void)!write(waiter->fd, &one, sizeof(one));
	}
}

static void enqueue(struct zl_gate *gate, struct zl_gate_waiter *waiter)
{
	if (gate->last != NULL)
		gate->last->next = waiter;
	else
		gate->first = waiter;
	gate->last = waiter;
}

static void dequeue(struct zl_gate *gate, struct zl_gate_waiter *waiter)
{
	struct zl_gate_waiter **link = &gate->first;
	struct zl_gate_waiter *before = NULL;

	while (*link != NULL && *link != waiter) {
		before = *link;
		link = &(*link)->next;
	}
	if (*link == NULL)
		return;
	*link = waiter->next;
	if (gate->last == waiter)
		gate->last = before;
}

// False when the caller must wait (and was queued).
static bool enter_or_queue(struct zl_gate *gate, struct zl_gate_waiter *waiter)
{
	bool now;

	pthread_mutex_lock(&gate->lock);
	now = gate->first == NULL && fits(gate, waiter->exclusive);
	if (now)
		admit(gate, waiter->exclusive);
	else
		enqueue(gate, waiter);
	pthread_mutex_unlock(&gate->lock);
	return now;
}

int zl_gate_enter(
        struct zl_gate *gate, bool exclusive, const struct zl_cancel *cancel, struct zl_error *err)
{
	zl_auto(fd) int fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	struct zl_gate_waiter waiter = {.fd = fd, .exclusive = exclusive};
	bool admitted;
	int result;

	if (fd < 0)
		return zl_error_errno(err, errno, "make an eventfd");
	if (enter_or_queue(gate, &waiter))
		return 0;
	result = zl_cancel_poll(cancel, fd, POLLIN, -1, err);
	// Also when admitted: what those who left have written is then seen by who enters.
	pthread_mutex_lock(&gate->lock);
	admitted = waiter.admitted;
	if (!admitted) {
		dequeue(gate, &waiter);
		admit_waiting(gate);
	}
	pthread_mutex_unlock(&gate->lock);
	if (result > 0)
		return 0;
	if (admitted)
		zl_gate_leave(gate);
	return -1;
}

void zl_gate_leave(struct zl_gate *gate)
{
	pthread_mutex_lock(&gate->lock);
	if (gate->exclusive)
		gate->exclusive = false;
	else
		gate->inside--;
	admit_waiting(gate);
	pthread_mutex_unlock(&gate->lock);
}
