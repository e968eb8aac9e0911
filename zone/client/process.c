// SPDX-License-Identifier: Apache-2.0
#include <inttypes.h>
#include <string.h>
#include <unistd.h>

#include "base/id.h"
#include "zone/client/session.h"

void zl_process_key(
        char key[static ZL_PROCESS_KEY_SIZE], const char *container_id, const char *exec_id)
{
	(void)snprintf(
	        key, ZL_PROCESS_KEY_SIZE, "%s/%s", container_id, exec_id != NULL ? exec_id : "");
}

struct process *zl_process_find(
        struct zl_zone_client *client, const char *container_id, const char *exec_id)
{
	char key[ZL_PROCESS_KEY_SIZE];
	struct process *found = NULL;

	if (strlen(container_id) > ZL_ID_LENGTH ||
	        (exec_id != NULL && strlen(exec_id) > ZL_EXEC_ID_MAX))
		return NULL;
	zl_process_key(key, container_id, exec_id);
	HASH_FIND_STR(client->processes, key, found);
	return found;
}

struct process *zl_process_add(struct zl_zone_client *client, const char *container_id,
        const char *exec_id, struct zl_error *err)
{
	struct process *process;

	bool connection = container_id[0] == '\0' && exec_id != NULL;

	if ((!connection && !zl_id_valid(container_id)) ||
	        (exec_id != NULL && (exec_id[0] == '\0' || strlen(exec_id) > ZL_EXEC_ID_MAX))) {
		zl_error_set(err, ZL_INVALID_ARGUMENT,
		        "container ids have %d hexadecimal digits, exec ids 1 to %d characters",
		        ZL_ID_LENGTH, ZL_EXEC_ID_MAX);
		return NULL;
	}
	if (zl_process_find(client, container_id, exec_id) != NULL) {
		zl_error_set(err, ZL_ALREADY_EXISTS, "%s %s exists already",
		        exec_id != NULL ? "exec" : "container",
		        exec_id != NULL ? exec_id : container_id);
		return NULL;
	}
	process = calloc(1, sizeof(*process));
	if (process == NULL) {
		zl_error_nomem(err);
		return NULL;
	}
	(void)snprintf(process->container_id, sizeof(process->container_id), "%s", container_id);
	(void)snprintf(
	        process->exec_id, sizeof(process->exec_id), "%s", exec_id != NULL ? exec_id : "");
	zl_process_key(process->key, container_id, exec_id);
	HASH_ADD_STR(client->processes, key, process);
	return process;
}

static int open_output(struct zl_zone_client *client, struct process *process,
        enum zl_zone_stream kind, const Zl__Zone__Stream *stream, struct zl_error *err)
{
	struct output *output = NULL;

	if (stream == NULL || stream->id == 0)
		return 0;
	HASH_FIND(hh, client->outputs, &stream->id, sizeof(stream->id), output);
	if (output != NULL || stream->end < stream->acknowledged ||
	        stream->end - stream->acknowledged > ZL_STREAM_WINDOW)
		return zl_error_set(err, ZL_DATA_LOSS,
		        "the supervisor opened stream %" PRIu32 " wrongly", stream->id);
	output = calloc(1, sizeof(*output));
	if (output == NULL)
		return zl_error_nomem(err);
	output->process = process;
	output->kind = kind;
	output->produced = stream->end;
	output->in = (struct zl_stream_in){
	        .id = stream->id, .next = stream->acknowledged, .consumed = stream->acknowledged};
	output->pending.limit = ZL_STREAM_WINDOW;
	process->outputs[kind - ZL_ZONE_STDOUT] = output;
	HASH_ADD(hh, client->outputs, in.id, sizeof(output->in.id), output);
	return 0;
}

int zl_process_open(struct zl_zone_client *client, struct process *process,
        const Zl__Zone__Opened *opened, struct zl_error *err)
{
	const Zl__Zone__Stream *input = opened->stdin_stream;

	process->opened = true;
	if (input != NULL && input->id != 0) {
		process->has_stdin = true;
		process->input = (struct zl_stream_out){
		        .id = input->id,
		        .base = input->acknowledged,
		        .sent = input->acknowledged,
		        .reached = input->acknowledged,
		        .end = input->acknowledged,
		};
	}
	if (open_output(client, process, ZL_ZONE_STDOUT, opened->stdout_stream, err) < 0)
		return -1;
	return open_output(client, process, ZL_ZONE_STDERR, opened->stderr_stream, err);
}

void zl_process_wake(struct process *process)
{
	uint64_t one = 1;

	for (struct waiter *w = process->waiters; w != NULL; w = w->next)
		(void)!write(w->event, &one, sizeof(one));
}

void zl_process_free(struct zl_zone_client *client, struct process *process)
{
	if (process == NULL)
		return;
	// Waiters look the process up again by its key when they wake, and find it gone.
	zl_process_wake(process);
	for (size_t i = 0; i < ZL_ARRAY_SIZE(process->outputs); i++) {
		struct output *output = process->outputs[i];

		if (output == NULL)
			continue;
		// NOLINTNEXTLINE(clang-analyzer-core.NullDereference): it is in the table
		HASH_DEL(client->outputs, output);
		zl_buffer_release(&output->pending);
		free(output);
	}
	zl_stream_out_release(&process->input);
	HASH_DEL(client->processes, process);
	free(process);
}

void zl_process_settle(struct zl_zone_client *client, struct process *process)
{
	if (process->exec_id[0] == '\0' || !process->exited)
		return;
	for (size_t i = 0; i < ZL_ARRAY_SIZE(process->outputs); i++) {
		struct output *output = process->outputs[i];

		// The acknowledgement of the end is what lets the supervisor forget the exec.
		if (output != NULL && (!output->end_consumed || output->ack_due))
			return;
	}
	zl_process_free(client, process);
}
