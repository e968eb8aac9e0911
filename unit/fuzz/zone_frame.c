// SPDX-License-Identifier: Apache-2.0
//
// The frame parser: whatever comes, in whatever pieces, gives the same frames, and none that is
// illegal.
#include <stdlib.h>
#include <string.h>

#include "zone/protocol/frame.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

struct digest {
	size_t frames;
	uint64_t sum;
	int result;
};

static void check(const struct zl_frame *frame)
{
	bool control = frame->kind == ZL_FRAME_CONTROL || frame->kind == ZL_FRAME_SYNC;

	if (control != (frame->stream == 0) || frame->length > ZL_FRAME_PAYLOAD_MAX ||
	        (frame->kind == ZL_FRAME_DATA && frame->length == 0))
		abort();
}

static struct digest parse(const uint8_t *data, size_t size, size_t piece, bool seek)
{
	static const uint8_t nonce[ZL_FRAME_NONCE_SIZE] = "0123456789abcde";
	struct zl_frame_parser parser = ZL_FRAME_PARSER_INIT;
	struct zl_error err = ZL_ERROR_INIT;
	struct digest digest = {0};
	struct zl_frame frame;

	if (seek)
		zl_frame_parser_seek(&parser, nonce);
	for (size_t at = 0; at < size && digest.result >= 0; at += piece) {
		const uint8_t *bytes = data + at;
		size_t length = size - at < piece ? size - at : piece;

		while ((digest.result = zl_frame_parse(&parser, &bytes, &length, &frame, &err)) ==
		        1) {
			check(&frame);
			digest.frames++;
			digest.sum += frame.offset + frame.stream + frame.length;
			for (size_t i = 0; i < frame.length; i++)
				digest.sum = digest.sum * 31 + frame.bytes[i];
		}
	}
	zl_frame_parser_release(&parser);
	return digest;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct digest whole;
	struct digest pieces;
	bool seek;

	if (size < 2)
		return 0;
	seek = (data[0] & 1) != 0;
	whole = parse(data + 2, size - 2, SIZE_MAX / 2, seek);
	pieces = parse(data + 2, size - 2, (size_t)data[1] + 1, seek);
	// NOLINTNEXTLINE(bugprone-suspicious-memory-comparison): parse zeroes them first
	if (memcmp(&whole, &pieces, sizeof(whole)) != 0)
		abort();
	return 0;
}
