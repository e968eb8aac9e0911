// SPDX-License-Identifier: Apache-2.0
#include "unit/stream/record.h"

#include <inttypes.h>

static int on_opened(void *user, uint32_t stream, const struct zl_stream_opening *opening)
{
	static const char *const names[] = {"error", "stdin", "stdout", "stderr", "resize", "data"};
	struct record *record = user;

	(void)zl_buffer_printf(&record->text, NULL, "open %" PRIu32 " %s %u %" PRIu32 "\n", stream,
	        names[opening->role], opening->port, opening->request_id);
	return record->refuse ? -1 : 0;
}

static int on_data(
        void *user, uint32_t stream, const void *bytes, size_t length, struct zl_error *err)
{
	struct record *record = user;

	record->taken += length;
	if (!record->quiet)
		(void)zl_buffer_printf(&record->text, NULL, "data %" PRIu32 " %.*s\n", stream,
		        (int)length, (const char *)bytes);
	return record->wire != NULL ? zl_wire_consumed(record->wire, stream, length, err) : 0;
}

static void on_ended(void *user, uint32_t stream)
{
	struct record *record = user;

	(void)zl_buffer_printf(&record->text, NULL, "end %" PRIu32 "\n", stream);
}

static void on_reset(void *user, uint32_t stream)
{
	struct record *record = user;

	(void)zl_buffer_printf(&record->text, NULL, "reset %" PRIu32 "\n", stream);
}

const struct zl_wire_events record_events = {
        .opened = on_opened, .data = on_data, .ended = on_ended, .reset = on_reset};

const char *record_take(struct record *record)
{
	const char *text = record->text.length > 0 ? zl_buffer_string(&record->text) : "";

	record->text.length = 0;
	return text;
}

void record_release(struct record *record)
{
	zl_buffer_release(&record->text);
}
