// SPDX-License-Identifier: Apache-2.0
#include <signal.h>

#include "zone/supervisor/configure.h"
#include "zone/supervisor/container.h"

void zl_supervisor_end_step(struct zl_supervisor *s)
{
	if (!s->ending || s->containers != NULL || s->ended)
		return;
	s->ended = true;
	if (s->has_end_reply)
		zl_link_reply_done(&s->link, s->end_reply);
}

void zl_supervisor_end(struct zl_supervisor *s)
{
	struct zl_container *next;

	if (s->ending)
		return;
	s->ending = true;
	zl_configure_cancel(s);
	for (struct zl_container *c = s->containers; c != NULL; c = next) {
		next = c->next;
		if (!c->deleting)
			zl_container_delete(c);
	}
	zl_supervisor_end_step(s);
}

void zl_shutdown_request(
        struct zl_supervisor *s, struct zl_reply reply, const Zl__Zone__ToZone *message)
{
	(void)message;
	if (s->has_end_reply) {
		// Both get an answer; the first one's client has usually gone.
		zl_link_reply_done(&s->link, reply);
		return;
	}
	s->has_end_reply = true;
	s->end_reply = reply;
	zl_supervisor_end(s);
}
