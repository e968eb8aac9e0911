// SPDX-License-Identifier: Apache-2.0
#include <errno.h>
#include <inttypes.h>
#include <poll.h>
#include <string.h>
#include <sys/eventfd.h>

#include "zone/client/session.h"

enum { QUEUE_ENOUGH = 128 * 1024 };

static struct process *find_input(struct zl_zone_client *client, uint32_t stream)
{
	struct process *process;
	struct process *next;

	HASH_ITER (hh, client->processes, process, next) {
		if (process->has_stdin && process->input.id == stream)
			return process;
	}
	return NULL;
}

// Under the lock. *ret: who is to be told that its stdin moved.
static int move_input(struct zl_zone_client *client, const struct zl_frame *frame,
        struct process **ret, struct zl_error *err)
{
	struct process *process = find_input(client, frame->stream);

	*ret = NULL;
	// The supervisor may have sent it just before it heard that the process is gone.
	if (process == NULL)
		return 0;
	if (frame->kind == ZL_FRAME_RESET) {
		process->stdin_refused = true;
		zl_stream_out_discard(&process->input);
	} else if (zl_stream_out_ack(&process->input, frame->offset, err) < 0) {
		return -1;
	}
	zl_process_wake(process);
	if (process->stdin_wanted && !atomic_load(&process->abandoned))
		*ret = process;
	process->stdin_wanted = false;
	return 0;
}

int zl_input_take(struct zl_zone_client *client, const struct zl_frame *frame, struct zl_error *err)
{
	struct process *process;
	int result;

	pthread_mutex_lock(&client->lock);
	result = move_input(client, frame, &process, err);
	pthread_mutex_unlock(&client->lock);
	// Only this thread frees it.
	if (result == 0 && process != NULL && client->callbacks.input_ready != NULL)
		client->callbacks.input_ready(client->user, process->container_id,
		        process->exec_id[0] != '\0' ? process->exec_id : NULL);
	return result;
}

int zl_input_send(struct zl_zone_client *client, struct zl_error *err)
{
	struct process *process;
	struct process *next;
	struct zl_frame frame;

	if (!client->inputs_due)
		return 0;
	client->inputs_due = false;
	HASH_ITER (hh, client->processes, process, next) {
		if (!process->has_stdin || process->stdin_refused)
			continue;
		while (client->out.length - client->out_done < QUEUE_ENOUGH &&
		        zl_stream_out_next(&process->input, &frame)) {
			if (zl_frame_append(&client->out, &frame, err) < 0)
				return -1;
		}
		if (client->out.length - client->out_done >= QUEUE_ENOUGH)
			client->inputs_due = true;
	}
	return 0;
}

// Under the lock: puts what fits into the stream. Returns how much.
static ssize_t put_some(struct zl_zone_client *client, const char *container_id,
        const char *exec_id, const uint8_t *bytes, size_t length, struct zl_error *err)
{
	struct process *process = zl_process_find(client, container_id, exec_id);
	size_t room = 0;
	uint8_t *to;

	if (client->ended)
		return zl_error_set(err, client->why.code, "%s", client->why.message);
	if (process == NULL)
		return zl_error_set(err, ZL_NOT_FOUND, "%s %s is not there",
		        exec_id != NULL ? "exec" : "container",
		        exec_id != NULL ? exec_id : container_id);
	if (!process->has_stdin)
		return zl_error_set(err, ZL_FAILED_PRECONDITION,
		        "%s %s was made without an open stdin",
		        exec_id != NULL ? "exec" : "container",
		        exec_id != NULL ? exec_id : container_id);
	if (process->stdin_refused || process->input.ended)
		return zl_error_set(err, ZL_FAILED_PRECONDITION, "stdin of %s is closed",
		        exec_id != NULL ? exec_id : container_id);
	if (length == 0) {
		zl_stream_out_end(&process->input);
	} else {
		to = zl_stream_out_space(&process->input, &room, err);
		if (to == NULL)
			return -1;
		if (room > length)
			room = length;
		memcpy(to, bytes, room);
		zl_stream_out_put(&process->input, room);
	}
	client->inputs_due = true;
	zl_loop_task_wake(&client->task);
	return (ssize_t)room;
}

int zl_zone_stdin_put(struct zl_zone_client *client, const char *container_id, const char *exec_id,
        const void *bytes, size_t length, size_t *ret_taken, struct zl_error *err)
{
	const uint8_t *at = bytes;
	size_t taken = 0;
	ssize_t put;

	pthread_mutex_lock(&client->lock);
	// Twice: the ring's room may lie in two pieces.
	do {
		put = put_some(client, container_id, exec_id, at + taken, length - taken, err);
		if (put > 0)
			taken += (size_t)put;
	} while (put > 0 && taken < length);
	if (put >= 0 && taken < length)
		zl_process_find(client, container_id, exec_id)->stdin_wanted = true;
	pthread_mutex_unlock(&client->lock);
	*ret_taken = taken;
	return put < 0 ? -1 : 0;
}

static void remove_waiter(struct zl_zone_client *client, const char *container_id,
        const char *exec_id, const struct waiter *waiter)
{
	struct process *process = zl_process_find(client, container_id, exec_id);

	if (process == NULL)
		return;
	for (struct waiter **w = &process->waiters; *w != NULL; w = &(*w)->next) {
		if (*w == waiter) {
			*w = waiter->next;
			return;
		}
	}
}

// Waits until the stream moved: an acknowledgement, a reset, the end of the channel.
static int wait_room(struct zl_zone_client *client, const char *container_id, const char *exec_id,
        int event, const struct zl_cancel *cancel, struct zl_error *err)
{
	struct waiter waiter = {.event = event};
	struct process *process;
	uint64_t count;
	int result;

	pthread_mutex_lock(&client->lock);
	process = zl_process_find(client, container_id, exec_id);
	if (process == NULL || client->ended || process->stdin_refused ||
	        process->input.end - process->input.base < ZL_STREAM_WINDOW) {
		pthread_mutex_unlock(&client->lock);
		return 0; // the next put tells
	}
	waiter.next = process->waiters;
	process->waiters = &waiter;
	pthread_mutex_unlock(&client->lock);
	result = zl_cancel_poll(cancel, event, POLLIN, -1, err);
	pthread_mutex_lock(&client->lock);
	remove_waiter(client, container_id, exec_id, &waiter);
	pthread_mutex_unlock(&client->lock);
	(void)!read(event, &count, sizeof(count));
	return result < 0 ? -1 : 0;
}

int zl_zone_stdin_write(struct zl_zone_client *client, const char *container_id,
        const char *exec_id, const void *bytes, size_t length, const struct zl_cancel *cancel,
        struct zl_error *err)
{
	zl_auto(fd) int event = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	const uint8_t *at = bytes;

	if (event < 0)
		return zl_error_errno(err, errno, "make an eventfd");
	do {
		ssize_t put;

		pthread_mutex_lock(&client->lock);
		put = put_some(client, container_id, exec_id, at, length, err);
		pthread_mutex_unlock(&client->lock);
		if (put < 0)
			return -1;
		at += put;
		length -= (size_t)put;
		if (length > 0 && put == 0 &&
		        wait_room(client, container_id, exec_id, event, cancel, err) < 0)
			return -1;
	} while (length > 0);
	return 0;
}
