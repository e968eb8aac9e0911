// SPDX-License-Identifier: Apache-2.0
#include <errno.h>
#include <poll.h>
#include <sys/eventfd.h>

#include "zone/client/session.h"

int zl_client_post(struct zl_zone_client *client, Zl__Zone__ToZone *request, struct zl_error *err)
{
	if (client->ended)
		return zl_error_set(err, client->why.code, "%s", client->why.message);
	request->request_id = client->next_request++;
	if (zl_zone_message_append(&client->out, &request->base, err) < 0)
		return -1;
	zl_loop_task_wake(&client->task);
	return 0;
}

int zl_client_call_send(struct zl_zone_client *client, Zl__Zone__ToZone *request, struct call *call,
        struct zl_error *err)
{
	call->event = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	if (call->event < 0)
		return zl_error_errno(err, errno, "make an eventfd");
	if (zl_client_post(client, request, err) < 0) {
		call->event = zl_close(call->event);
		return -1;
	}
	call->id = request->request_id;
	call->next = client->calls;
	client->calls = call;
	return 0;
}

static void forget_call(struct zl_zone_client *client, const struct call *call)
{
	for (struct call **c = &client->calls; *c != NULL; c = &(*c)->next) {
		if (*c == call) {
			*c = call->next;
			return;
		}
	}
}

void zl_client_fail_calls(struct zl_zone_client *client)
{
	uint64_t one = 1;

	for (struct call *c = client->calls; c != NULL; c = c->next) {
		c->error = client->why;
		c->done = true;
		(void)!write(c->event, &one, sizeof(one));
	}
	client->calls = NULL;
}

static int wait_call(struct zl_zone_client *client, struct call *call,
        const struct zl_cancel *cancel, struct zl_error *err)
{
	int result = zl_cancel_poll(cancel, call->event, POLLIN, -1, err);

	pthread_mutex_lock(&client->lock);
	if (call->done)
		result = 1; // the reply was faster than the token
	forget_call(client, call);
	pthread_mutex_unlock(&client->lock);
	return result < 0 ? -1 : 0;
}

// The supervisor's errors, with a code that is one.
static int failure_of(const Zl__Zone__Failure *failure, struct zl_error *err)
{
	enum zl_code code = ZL_INTERNAL;

	if (failure->code > ZL_OK && failure->code <= ZL_UNAUTHENTICATED)
		code = (enum zl_code)failure->code;
	return zl_error_set(err, code, "%s", failure->message);
}

int zl_client_call_wait(struct zl_zone_client *client, struct call *call,
        const struct zl_cancel *cancel, Zl__Zone__FromZone **ret_reply, struct zl_error *err)
{
	int result = wait_call(client, call, cancel, err);

	call->event = zl_close(call->event);
	if (result < 0)
		return -1;
	if (call->reply == NULL)
		return zl_error_set(err, call->error.code, "%s", call->error.message);
	if (call->reply->body_case == ZL__ZONE__FROM_ZONE__BODY_FAILURE)
		result = failure_of(call->reply->failure, err);
	if (result == 0 && ret_reply != NULL)
		*ret_reply = call->reply;
	else
		zl_zone_message_free(call->reply);
	return result;
}

int zl_client_call(struct zl_zone_client *client, Zl__Zone__ToZone *request, struct call *call,
        const struct zl_cancel *cancel, Zl__Zone__FromZone **ret_reply, struct zl_error *err)
{
	int result;

	pthread_mutex_lock(&client->lock);
	result = zl_client_call_send(client, request, call, err);
	pthread_mutex_unlock(&client->lock);
	if (result < 0)
		return -1;
	return zl_client_call_wait(client, call, cancel, ret_reply, err);
}

int zl_client_hang_up(struct zl_zone_client *client, struct process *process, struct zl_error *err)
{
	Zl__Zone__HangUp hang_up = ZL__ZONE__HANG_UP__INIT;
	Zl__Zone__ToZone request = ZL__ZONE__TO_ZONE__INIT;

	hang_up.container_id = process->container_id;
	hang_up.exec_id = process->exec_id;
	request.body_case = ZL__ZONE__TO_ZONE__BODY_HANG_UP;
	request.hang_up = &hang_up;
	if (zl_client_post(client, &request, err) < 0)
		return -1;
	// Its reply frees the process.
	process->request = request.request_id;
	return 0;
}

int zl_client_kill_exec(
        struct zl_zone_client *client, struct process *process, struct zl_error *err)
{
	Zl__Zone__ExecKill kill = ZL__ZONE__EXEC_KILL__INIT;
	Zl__Zone__ToZone request = ZL__ZONE__TO_ZONE__INIT;

	if (process->container_id[0] == '\0')
		return zl_client_hang_up(client, process, err);
	kill.container_id = process->container_id;
	kill.exec_id = process->exec_id;
	request.body_case = ZL__ZONE__TO_ZONE__BODY_EXEC_KILL;
	request.exec_kill = &kill;
	return zl_client_post(client, &request, err);
}
