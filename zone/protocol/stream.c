// SPDX-License-Identifier: Apache-2.0
#include "zone/protocol/stream.h"

#include <inttypes.h>
#include <stdlib.h>

enum { MASK = ZL_STREAM_WINDOW - 1 };
_Static_assert((ZL_STREAM_WINDOW & MASK) == 0, "the ring's size is a power of two");

void zl_stream_out_release(struct zl_stream_out *out)
{
	free(out->ring);
	*out = (struct zl_stream_out){0};
}

// Bytes from `offset` that lie in one piece, at most `wanted`.
static size_t contiguous(uint64_t offset, uint64_t wanted)
{
	size_t to_edge = ZL_STREAM_WINDOW - (size_t)(offset & MASK);

	return wanted < to_edge ? (size_t)wanted : to_edge;
}

uint8_t *zl_stream_out_space(struct zl_stream_out *out, size_t *ret_room, struct zl_error *err)
{
	if (out->ring == NULL) {
		out->ring = malloc(ZL_STREAM_WINDOW);
		if (out->ring == NULL) {
			zl_error_nomem(err);
			return NULL;
		}
	}
	*ret_room = contiguous(out->end, ZL_STREAM_WINDOW - (out->end - out->base));
	return out->ring + (out->end & MASK);
}

void zl_stream_out_put(struct zl_stream_out *out, size_t length)
{
	out->end += length;
}

void zl_stream_out_end(struct zl_stream_out *out)
{
	out->ended = true;
}

bool zl_stream_out_next(struct zl_stream_out *out, struct zl_frame *frame)
{
	*frame = (struct zl_frame){.stream = out->id, .offset = out->sent};
	if (out->sent < out->end) {
		uint64_t left = out->end - out->sent;

		if (left > ZL_FRAME_DATA_MAX)
			left = ZL_FRAME_DATA_MAX;
		frame->kind = ZL_FRAME_DATA;
		frame->bytes = out->ring + (out->sent & MASK);
		frame->length = contiguous(out->sent, left);
		out->sent += frame->length;
	} else if (out->ended && out->sent == out->end) {
		frame->kind = ZL_FRAME_END;
		out->sent++;
	} else {
		return false;
	}
	if (out->reached < out->sent)
		out->reached = out->sent;
	return true;
}

int zl_stream_out_ack(struct zl_stream_out *out, uint64_t offset, struct zl_error *err)
{
	if (offset > out->reached)
		return zl_error_set(err, ZL_DATA_LOSS,
		        "the peer acknowledged byte %" PRIu64 " of stream %u, of which %" PRIu64
		        " were sent",
		        offset, out->id, out->reached);
	if (offset > out->base)
		out->base = offset;
	if (out->sent < out->base)
		out->sent = out->base;
	return 0;
}

void zl_stream_out_rewind(struct zl_stream_out *out)
{
	if (out->base > out->end)
		out->base = out->end;
	out->sent = out->base;
}

void zl_stream_out_discard(struct zl_stream_out *out)
{
	uint64_t all = out->end + (out->ended ? 1 : 0);

	out->base = all;
	out->sent = all;
	if (out->reached < all)
		out->reached = all;
}

bool zl_stream_out_complete(const struct zl_stream_out *out)
{
	return out->ended && out->base == out->end + 1;
}

int zl_stream_in_take(struct zl_stream_in *in, const struct zl_frame *frame, struct zl_error *err)
{
	if (in->ended || frame->offset != in->next)
		return zl_error_set(err, ZL_DATA_LOSS,
		        "the peer went on at byte %" PRIu64 " of stream %u, which %s %" PRIu64,
		        frame->offset, in->id, in->ended ? "ended at" : "stands at", in->next);
	if (frame->kind == ZL_FRAME_END) {
		in->ended = true;
		return 0;
	}
	if (in->next - in->consumed + frame->length > ZL_STREAM_WINDOW)
		return zl_error_set(err, ZL_DATA_LOSS,
		        "the peer sent more of stream %u than its window of %d bytes allows",
		        in->id, ZL_STREAM_WINDOW);
	in->next += frame->length;
	return 0;
}
