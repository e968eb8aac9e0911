// SPDX-License-Identifier: Apache-2.0
//
// A growing run of bytes with a limit.
//
// Bytes are kept contiguous: `data` may be handed to a parser as it is, and is always followed by
// one zero byte that `length` does not count, so text can be used as a C string. A limit makes it
// safe for input from a peer: an append beyond it fails and changes nothing.
#ifndef ZL_BASE_BUFFER_H
#define ZL_BASE_BUFFER_H

#include <stddef.h>
#include <stdint.h>

#include "base/cleanup.h"
#include "base/error.h"

struct zl_buffer {
	uint8_t *data;   // NULL while nothing was ever appended
	size_t length;   // bytes in use
	size_t capacity; // bytes allocated
	size_t limit;    // largest length allowed; 0 is no limit
};

#define ZL_BUFFER_INIT           {.data = NULL}
#define ZL_BUFFER_LIMIT(maximum) {.limit = (maximum)}

// Frees the bytes and makes it empty; the limit stays.
void zl_buffer_release(struct zl_buffer *buffer);
ZL_AUTO_DEFINE_VALUE(buffer, struct zl_buffer, zl_buffer_release);

// Makes room for `more` further bytes and returns where they go, or NULL: RESOURCE_EXHAUSTED past
// the limit or without memory. The caller writes there and adds to length.
void *zl_buffer_reserve(struct zl_buffer *buffer, size_t more, struct zl_error *err);

int zl_buffer_append(
        struct zl_buffer *buffer, const void *bytes, size_t length, struct zl_error *err);
int zl_buffer_append_string(struct zl_buffer *buffer, const char *text, struct zl_error *err);
int zl_buffer_printf(struct zl_buffer *buffer, struct zl_error *err, const char *format, ...)
        __attribute__((format(printf, 3, 4)));

// Removes `count` bytes at the front (all, if there are fewer).
void zl_buffer_consume(struct zl_buffer *buffer, size_t count);

// Reads from fd until its end. Fails past the buffer's limit.
int zl_buffer_read_all(struct zl_buffer *buffer, int fd, struct zl_error *err);

// The text as a C string owned by the buffer; "" when empty.
const char *zl_buffer_string(const struct zl_buffer *buffer);

#endif
