// SPDX-License-Identifier: Apache-2.0
#include <inttypes.h>

#include "base/log.h"
#include "zone/supervisor/connection.h"
#include "zone/supervisor/container.h"

static zl_request_handler *const handlers[] = {
        [ZL__ZONE__TO_ZONE__BODY_CONFIGURE] = zl_configure_request,
        [ZL__ZONE__TO_ZONE__BODY_SHUTDOWN] = zl_shutdown_request,
        [ZL__ZONE__TO_ZONE__BODY_CONTAINER_CREATE] = zl_container_create_request,
        [ZL__ZONE__TO_ZONE__BODY_CONTAINER_START] = zl_container_start_request,
        [ZL__ZONE__TO_ZONE__BODY_CONTAINER_SIGNAL] = zl_container_signal_request,
        [ZL__ZONE__TO_ZONE__BODY_CONTAINER_DELETE] = zl_container_delete_request,
        [ZL__ZONE__TO_ZONE__BODY_CONTAINER_LIST] = zl_container_list_request,
        [ZL__ZONE__TO_ZONE__BODY_EXEC_START] = zl_exec_start_request,
        [ZL__ZONE__TO_ZONE__BODY_EXEC_KILL] = zl_exec_kill_request,
        [ZL__ZONE__TO_ZONE__BODY_RESIZE] = zl_resize_request,
        [ZL__ZONE__TO_ZONE__BODY_STATS] = zl_stats_request,
        [ZL__ZONE__TO_ZONE__BODY_CONTAINER_UPDATE] = zl_container_update_request,
        [ZL__ZONE__TO_ZONE__BODY_CONNECT] = zl_connect_request,
        [ZL__ZONE__TO_ZONE__BODY_HANG_UP] = zl_hang_up_request,
};

static void take_request(void *user, struct zl_reply reply, Zl__Zone__ToZone *message)
{
	struct zl_supervisor *s = user;
	size_t kind = (size_t)message->body_case;
	struct zl_error err = ZL_ERROR_INIT;

	if (kind >= ZL_ARRAY_SIZE(handlers) || handlers[kind] == NULL)
		zl_error_set(&err, ZL_UNIMPLEMENTED, "the supervisor does not know this request");
	else if (zl_supervisor_boot(s, &err) == 0 && s->ending &&
	         message->body_case != ZL__ZONE__TO_ZONE__BODY_SHUTDOWN)
		zl_error_set(&err, ZL_UNAVAILABLE, "the sandbox is being shut down");
	if (err.code != ZL_OK)
		zl_link_reply_failure(&s->link, reply, &err);
	else
		handlers[kind](s, reply, message);
	zl_zone_message_free(message);
}

static int take_frame(void *user, const struct zl_frame *frame, struct zl_error *err)
{
	struct zl_supervisor *s = user;
	int result = 0;

	for (struct zl_container *c = s->containers; c != NULL; c = c->next) {
		if (zl_process_frame(&c->process, frame, &result, err))
			return result;
		for (struct zl_exec *e = c->execs; e != NULL; e = e->next) {
			if (zl_process_frame(&e->process, frame, &result, err))
				return result;
		}
	}
	(void)zl_connection_frame(s, frame, &result, err);
	return result; // of nobody: sent before the daemon heard that the process is gone
}

// ---- hello and list

// A list of all containers' descriptions, which live in the containers. The caller frees the list.
static Zl__Zone__Container **describe_all(struct zl_supervisor *s, size_t *ret_count)
{
	Zl__Zone__Container **list = calloc(s->container_count + 1, sizeof(*list));

	if (list == NULL)
		return NULL;
	for (struct zl_container *c = s->containers; c != NULL; c = c->next) {
		// One that is not made yet has no streams, and its maker may be gone.
		if (c->creating != NULL)
			continue;
		zl_container_describe(c);
		list[(*ret_count)++] = &c->description.message;
	}
	return list;
}

static int hello(void *user, Zl__Zone__HelloReply *reply, struct zl_error *err)
{
	struct zl_supervisor *s = user;
	struct zl_container *next;

	zl_connection_drop_all(s);
	for (struct zl_container *c = s->containers; c != NULL; c = next) {
		next = c->next;
		// Whoever asked for it is gone, and could not name it to the new daemon.
		if (c->creating != NULL) {
			zl_container_delete(c);
			continue;
		}
		// The reply says that it ended; an event would say it twice.
		c->exit_due = false;
		zl_exec_drop_all(c);
		zl_process_rewind(&c->process);
		// "Once" means one client, and that is gone with its daemon.
		if (c->stdin_once && c->process.input.stream.next > 0)
			zl_input_finish(&c->process.input);
	}
	reply->configured = s->configured;
	reply->containers = describe_all(s, &reply->n_containers);
	return reply->containers != NULL ? 0 : zl_error_nomem(err);
}

static void hello_done(void *user, Zl__Zone__HelloReply *reply)
{
	(void)user;
	free((void *)reply->containers);
}

void zl_container_list_request(
        struct zl_supervisor *s, struct zl_reply reply, const Zl__Zone__ToZone *message)
{
	Zl__Zone__Containers containers = ZL__ZONE__CONTAINERS__INIT;
	Zl__Zone__FromZone answer = ZL__ZONE__FROM_ZONE__INIT;
	struct zl_error err = ZL_ERROR_INIT;

	(void)message;
	containers.containers = describe_all(s, &containers.n_containers);
	if (containers.containers == NULL) {
		zl_error_nomem(&err);
		zl_link_reply_failure(&s->link, reply, &err);
		return;
	}
	answer.body_case = ZL__ZONE__FROM_ZONE__BODY_CONTAINERS;
	answer.containers = &containers;
	zl_link_reply(&s->link, reply, &answer);
	free((void *)containers.containers);
}

static void fill(void *user)
{
	struct zl_supervisor *s = user;

	for (struct zl_container *c = s->containers; c != NULL; c = c->next) {
		zl_container_fill(c, &s->link);
		for (struct zl_exec *e = c->execs; e != NULL; e = e->next) {
			// The daemon may have forgotten its streams.
			if (!e->dropped)
				zl_process_fill(&e->process, &s->link);
		}
	}
	zl_connection_fill(s, &s->link);
}

const struct zl_link_handlers zl_supervisor_handlers = {
        .request = take_request,
        .frame = take_frame,
        .hello = hello,
        .hello_done = hello_done,
        .fill = fill,
};
