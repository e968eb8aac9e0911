// SPDX-License-Identifier: Apache-2.0
#include <inttypes.h>

#include "zone/client/session.h"

// Hands bytes at the consumed offset to the callback. Returns how many it took, or all of them when
// nobody wants them any more.
static size_t deliver(
        struct zl_zone_client *client, struct output *output, const void *bytes, size_t length)
{
	const struct process *process = output->process;
	const char *exec_id = process->exec_id[0] != '\0' ? process->exec_id : NULL;
	size_t taken = length;

	if (!atomic_load(&process->abandoned))
		taken = client->callbacks.output(client->user, process->container_id, exec_id,
		        output->kind, output->in.consumed, bytes, length, output->in.ended);
	if (taken > length)
		taken = length;
	pthread_mutex_lock(&client->lock);
	output->in.consumed += taken;
	if (output->in.ended && taken == length)
		output->end_consumed = true;
	if (taken > 0 || output->end_consumed)
		output->ack_due = true;
	pthread_mutex_unlock(&client->lock);
	return taken;
}

static void offer_pending(struct zl_zone_client *client, struct output *output)
{
	size_t taken = deliver(client, output, output->pending.data, output->pending.length);

	zl_buffer_consume(&output->pending, taken);
}

int zl_output_take(
        struct zl_zone_client *client, const struct zl_frame *frame, struct zl_error *err)
{
	struct output *output = NULL;
	size_t taken = 0;
	int result;

	// Only this thread changes the table.
	HASH_FIND(hh, client->outputs, &frame->stream, sizeof(frame->stream), output);
	if (output == NULL)
		return zl_error_set(err, ZL_DATA_LOSS,
		        "the zone sent bytes of stream %" PRIu32 ", which it never opened",
		        frame->stream);
	pthread_mutex_lock(&client->lock);
	result = zl_stream_in_take(&output->in, frame, err);
	pthread_mutex_unlock(&client->lock);
	if (result < 0)
		return -1;
	// The usual case goes to the callback from where it lies.
	if (output->pending.length == 0 && frame->kind == ZL_FRAME_DATA)
		taken = deliver(client, output, frame->bytes, frame->length);
	if (taken < frame->length && zl_buffer_append(&output->pending, frame->bytes + taken,
	                                     frame->length - taken, err) < 0)
		return -1;
	if (frame->kind == ZL_FRAME_END || output->pending.length > frame->length - taken)
		offer_pending(client, output);
	return 0;
}

void zl_output_offer_all(struct zl_zone_client *client)
{
	struct output *output;
	struct output *next;

	HASH_ITER (hh, client->outputs, output, next) {
		if (output->pending.length > 0 || (output->in.ended && !output->end_consumed))
			offer_pending(client, output);
	}
}

int zl_output_acknowledge(struct zl_zone_client *client, struct zl_error *err)
{
	struct output *output;
	struct output *next;

	HASH_ITER (hh, client->outputs, output, next) {
		struct zl_frame frame = {.kind = ZL_FRAME_ACK, .stream = output->in.id};

		if (!output->ack_due)
			continue;
		frame.offset = output->in.consumed + (output->end_consumed ? 1 : 0);
		if (zl_frame_append(&client->out, &frame, err) < 0)
			return -1;
		output->ack_due = false;
	}
	return 0;
}
