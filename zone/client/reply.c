// SPDX-License-Identifier: Apache-2.0
#include <inttypes.h>
#include <string.h>

#include "base/id.h"
#include "zone/client/session.h"

static int receive_exited(
        struct zl_zone_client *client, const Zl__Zone__Exited *message, struct zl_error *err)
{
	const char *exec_id = message->exec_id[0] != '\0' ? message->exec_id : NULL;
	struct process *process;
	struct zl_zone_exit gone;

	pthread_mutex_lock(&client->lock);
	process = zl_process_find(client, message->container_id, exec_id);
	pthread_mutex_unlock(&client->lock);
	if (process == NULL || !process->opened || process->exited || message->exit_code < 0 ||
	        message->exit_code > 255)
		return zl_error_set(err, ZL_DATA_LOSS,
		        "the supervisor told of an exit that cannot be (container %.64s, code "
		        "%" PRId32 ")",
		        message->container_id, message->exit_code);
	process->exited = true;
	gone = (struct zl_zone_exit){
	        .container_id = process->container_id,
	        .exec_id = exec_id != NULL ? process->exec_id : NULL,
	        .exit_code = message->exit_code,
	        .oom_killed = message->oom_killed != 0,
	        .finished_at_ns = message->finished_at_ns,
	        .message = message->message,
	};
	if (!atomic_load(&process->abandoned))
		client->callbacks.exited(client->user, &gone);
	return 0;
}

// Containers that were there before this client.
static int adopt_containers(
        struct zl_zone_client *client, const Zl__Zone__HelloReply *hello, struct zl_error *err)
{
	if (hello->n_containers > ZL_ZONE_CONTAINERS_MAX)
		return zl_error_set(err, ZL_DATA_LOSS, "the supervisor has %zu containers",
		        hello->n_containers);
	for (size_t i = 0; i < hello->n_containers; i++) {
		const Zl__Zone__Container *container = hello->containers[i];
		struct process *process = zl_process_add(client, container->id, NULL, err);

		if (process == NULL)
			return -1;
		process->exited = container->state == ZL__ZONE__STATE__EXITED;
		if (container->streams != NULL &&
		        zl_process_open(client, process, container->streams, err) < 0)
			return -1;
	}
	return 0;
}

static int receive_hello(
        struct zl_zone_client *client, const Zl__Zone__HelloReply *hello, struct zl_error *err)
{
	if (client->established)
		return zl_error_set(err, ZL_DATA_LOSS, "the supervisor said hello twice");
	if (hello->protocol != ZL_PROTOCOL_VERSION)
		return zl_error_set(err, ZL_FAILED_PRECONDITION,
		        "the supervisor speaks protocol %" PRIu32
		        ", this daemon %d: use the zone root image of the same release",
		        hello->protocol, ZL_PROTOCOL_VERSION);
	client->established = true;
	client->hello.protocol = hello->protocol;
	client->hello.boot_ns = hello->boot_ns;
	client->hello.configured = hello->configured != 0;
	(void)snprintf(client->hello.supervisor_version, sizeof(client->hello.supervisor_version),
	        "%s", hello->supervisor_version);
	return adopt_containers(client, hello, err);
}

static struct process *process_of_request(struct zl_zone_client *client, uint64_t id)
{
	struct process *process;
	struct process *next;

	HASH_ITER (hh, client->processes, process, next) {
		if (process->request == id)
			return process;
	}
	return NULL;
}

// A deleted container's: the supervisor has none of them any more.
static void free_execs(struct zl_zone_client *client, const char *container_id)
{
	struct process *process;
	struct process *next;

	HASH_ITER (hh, client->processes, process, next) {
		if (process->exec_id[0] != '\0' && strcmp(process->container_id, container_id) == 0)
			zl_process_free(client, process);
	}
}

// Under the lock: what a reply changes on our side, before its caller sees it; also when the caller
// gave up, since the supervisor did not.
static int apply_reply(
        struct zl_zone_client *client, const Zl__Zone__FromZone *message, struct zl_error *err)
{
	struct process *process = process_of_request(client, message->request_id);

	if (message->body_case == ZL__ZONE__FROM_ZONE__BODY_HELLO)
		return receive_hello(client, message->hello, err);
	if (message->body_case == ZL__ZONE__FROM_ZONE__BODY_OPENED) {
		if (process == NULL || process->opened)
			return zl_error_set(err, ZL_DATA_LOSS,
			        "the supervisor opened streams that nobody asked for");
		if (zl_process_open(client, process, message->opened, err) < 0)
			return -1;
		return atomic_load(&process->abandoned) ? zl_client_kill_exec(client, process, err)
		                                        : 0;
	}
	if (process == NULL)
		return 0;
	// A failed start, or a finished delete or hang-up.
	if (process->opened != (message->body_case == ZL__ZONE__FROM_ZONE__BODY_DONE))
		return 0;
	if (process->opened && process->exec_id[0] == '\0')
		free_execs(client, process->container_id);
	zl_process_free(client, process);
	return 0;
}

// Under the lock: takes the call that waits for this reply out of the list, if one does.
static int take_call(struct zl_zone_client *client, const Zl__Zone__FromZone *message,
        struct call **ret, struct zl_error *err)
{
	struct call **at = &client->calls;

	if (message->request_id >= client->next_request)
		return zl_error_set(
		        err, ZL_DATA_LOSS, "the supervisor answered a request that was never made");
	while (*at != NULL && (*at)->id != message->request_id)
		at = &(*at)->next;
	*ret = *at;
	if (*at == NULL)
		return 0;
	if (message->body_case != ZL__ZONE__FROM_ZONE__BODY_FAILURE &&
	        message->body_case != (*at)->expected)
		return zl_error_set(
		        err, ZL_DATA_LOSS, "the supervisor answered a request with something else");
	*at = (*at)->next;
	return 0;
}

// Under the lock. The message goes to the caller, or is freed.
static int complete_call(
        struct zl_zone_client *client, Zl__Zone__FromZone *message, struct zl_error *err)
{
	struct call *call = NULL;
	uint64_t one = 1;
	int result = take_call(client, message, &call, err);

	if (result == 0)
		result = apply_reply(client, message, err);
	if (call == NULL) {
		zl_zone_message_free(message);
		return result;
	}
	if (result < 0) {
		call->error = *err;
		zl_zone_message_free(message);
	} else {
		call->reply = message;
	}
	call->done = true;
	(void)!write(call->event, &one, sizeof(one));
	return result;
}

int zl_client_receive(
        struct zl_zone_client *client, Zl__Zone__FromZone *message, struct zl_error *err)
{
	int result;

	if (message->request_id != 0) {
		pthread_mutex_lock(&client->lock);
		result = complete_call(client, message, err);
		pthread_mutex_unlock(&client->lock);
		return result;
	}
	if (message->body_case == ZL__ZONE__FROM_ZONE__BODY_EXITED)
		result = receive_exited(client, message->exited, err);
	else
		result = zl_error_set(err, ZL_DATA_LOSS, "the supervisor sent an unknown event");
	zl_zone_message_free(message);
	return result;
}
