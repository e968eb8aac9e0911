// SPDX-License-Identifier: Apache-2.0
#include "base/buffer.h"

#include <errno.h>
#include <stdarg.h>
#include <string.h>

enum { FIRST_CAPACITY = 256, READ_CHUNK = 64 * 1024 };

void zl_buffer_release(struct zl_buffer *buffer)
{
	free(buffer->data);
	buffer->data = NULL;
	buffer->length = 0;
	buffer->capacity = 0;
}

static int grow(struct zl_buffer *buffer, size_t need, struct zl_error *err)
{
	size_t capacity = buffer->capacity > 0 ? buffer->capacity : FIRST_CAPACITY;
	uint8_t *data;

	while (capacity < need) {
		if (__builtin_mul_overflow(capacity, (size_t)2, &capacity))
			return zl_error_nomem(err);
	}
	data = realloc(buffer->data, capacity);
	if (data == NULL)
		return zl_error_nomem(err);
	buffer->data = data;
	buffer->capacity = capacity;
	return 0;
}

void *zl_buffer_reserve(struct zl_buffer *buffer, size_t more, struct zl_error *err)
{
	size_t need;

	if (__builtin_add_overflow(buffer->length, more, &need) || need == SIZE_MAX) {
		zl_error_nomem(err);
		return NULL;
	}
	if (buffer->limit > 0 && need > buffer->limit) {
		zl_error_set(err, ZL_RESOURCE_EXHAUSTED, "more than the %zu bytes allowed",
		        buffer->limit);
		return NULL;
	}
	if (need + 1 > buffer->capacity && grow(buffer, need + 1, err) < 0)
		return NULL;
	buffer->data[buffer->length] = 0;
	return buffer->data + buffer->length;
}

int zl_buffer_append(
        struct zl_buffer *buffer, const void *bytes, size_t length, struct zl_error *err)
{
	uint8_t *to = zl_buffer_reserve(buffer, length, err);

	if (to == NULL)
		return -1;
	if (length > 0)
		memcpy(to, bytes, length);
	buffer->length += length;
	buffer->data[buffer->length] = 0;
	return 0;
}

int zl_buffer_append_string(struct zl_buffer *buffer, const char *text, struct zl_error *err)
{
	return zl_buffer_append(buffer, text, strlen(text), err);
}

int zl_buffer_printf(struct zl_buffer *buffer, struct zl_error *err, const char *format, ...)
{
	va_list args;
	int length;
	char *to;

	va_start(args, format);
	length = vsnprintf(NULL, 0, format, args);
	va_end(args);
	if (length < 0)
		return zl_error_errno(err, errno, "format text");
	to = zl_buffer_reserve(buffer, (size_t)length, err);
	if (to == NULL)
		return -1;
	va_start(args, format);
	(void)vsnprintf(to, (size_t)length + 1, format, args);
	va_end(args);
	buffer->length += (size_t)length;
	return 0;
}

void zl_buffer_consume(struct zl_buffer *buffer, size_t count)
{
	if (count >= buffer->length) {
		buffer->length = 0;
	} else if (count > 0) {
		memmove(buffer->data, buffer->data + count, buffer->length - count);
		buffer->length -= count;
	}
	if (buffer->data != NULL)
		buffer->data[buffer->length] = 0;
}

int zl_buffer_read_all(struct zl_buffer *buffer, int fd, struct zl_error *err)
{
	uint8_t chunk[READ_CHUNK];

	for (;;) {
		ssize_t got = read(fd, chunk, sizeof(chunk));

		if (got == 0)
			return 0;
		if (got < 0 && errno == EINTR)
			continue;
		if (got < 0)
			return zl_error_errno(err, errno, "read");
		if (zl_buffer_append(buffer, chunk, (size_t)got, err) < 0)
			return -1;
	}
}

const char *zl_buffer_string(const struct zl_buffer *buffer)
{
	return buffer->data != NULL ? (const char *)buffer->data : "";
}
