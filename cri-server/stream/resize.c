// SPDX-License-Identifier: Apache-2.0
#include "cri-server/stream/resize.h"

#include "base/json.h"

static void read_object(struct zl_resize *resize)
{
	zl_auto(json) json_t *size = zl_json_parse(
	        "a terminal's size", resize->text, resize->length, ZL_RESIZE_TEXT, NULL);
	json_int_t columns = json_integer_value(json_object_get(size, "Width"));
	json_int_t rows = json_integer_value(json_object_get(size, "Height"));

	if (columns < 1 || columns > UINT16_MAX || rows < 1 || rows > UINT16_MAX)
		return;
	resize->columns = (uint16_t)columns;
	resize->rows = (uint16_t)rows;
	resize->changed = true;
}

void zl_resize_take(struct zl_resize *resize, const void *bytes, size_t length)
{
	const char *at = bytes;

	for (size_t i = 0; i < length; i++) {
		// Too long for an object of two numbers: begin anew.
		if (at[i] == '{' || resize->length == sizeof(resize->text))
			resize->length = 0;
		resize->text[resize->length++] = at[i];
		if (at[i] == '}') {
			read_object(resize);
			resize->length = 0;
		}
	}
}
