// SPDX-License-Identifier: Apache-2.0
#include <string.h>

#include "cri-server/message/message.h"

static bool continues(uint8_t byte)
{
	return (byte & 0xc0) == 0x80;
}

// The length of the character at `at`, 0 if it is not well formed: table 3-7 of the Unicode
// standard, which RFC 3629 repeats.
static size_t character(const uint8_t *at, size_t left)
{
	uint8_t low = 0x80;
	uint8_t high = 0xbf;
	size_t length;

	if (at[0] < 0x80)
		return 1;
	if (at[0] < 0xc2 || at[0] > 0xf4)
		return 0;
	length = at[0] < 0xe0 ? 2 : at[0] < 0xf0 ? 3 : 4;
	if (at[0] == 0xe0)
		low = 0xa0;
	else if (at[0] == 0xed)
		high = 0x9f;
	else if (at[0] == 0xf0)
		low = 0x90;
	else if (at[0] == 0xf4)
		high = 0x8f;
	if (left < length || at[1] < low || at[1] > high)
		return 0;
	for (size_t i = 2; i < length; i++) {
		if (!continues(at[i]))
			return 0;
	}
	return length;
}

bool zl_utf8_valid(const void *bytes, size_t length)
{
	const uint8_t *at = bytes;
	size_t done = 0;

	while (done < length) {
		size_t step = character(at + done, length - done);

		if (step == 0)
			return false;
		done += step;
	}
	return true;
}

char *zl_utf8_scrub(struct zl_arena *arena, const char *bytes, size_t length)
{
	static const char replacement[] = "\xef\xbf\xbd";
	const uint8_t *from = (const uint8_t *)bytes;
	size_t need = 0;
	size_t written = 0;
	char *text;

	for (size_t done = 0, step; done < length; done += step > 0 ? step : 1) {
		step = character(from + done, length - done);
		need += step > 0 ? step : sizeof(replacement) - 1;
	}
	text = zl_arena_alloc(arena, need + 1);
	for (size_t done = 0, step; done < length; done += step > 0 ? step : 1) {
		size_t count = step = character(from + done, length - done);
		const void *source = from + done;

		if (step == 0) {
			source = replacement;
			count = sizeof(replacement) - 1;
		}
		memcpy(text + written, source, count);
		written += count;
	}
	return text;
}
