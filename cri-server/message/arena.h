// SPDX-License-Identifier: Apache-2.0
//
// Memory that goes all at once: a call's request and reply, a record and its strings.
//
// Allocation never returns NULL. The bytes of a peer go through zl_message_unpack, which has a
// limit; what is left are small pieces of our own, and a daemon that cannot get those is better
// restarted (pods go on meanwhile) than led through a thousand error paths that nobody ever ran:
// it logs and aborts.
//
// Thread rule: one arena, one thread at a time.
#ifndef ZL_CRI_SERVER_MESSAGE_ARENA_H
#define ZL_CRI_SERVER_MESSAGE_ARENA_H

#include <stdarg.h>
#include <stddef.h>

#include "base/cleanup.h"

struct zl_arena_block;

struct zl_arena {
	struct zl_arena_block *blocks; // newest first; NULL while empty
	size_t allocated;              // bytes handed out so far
};

#define ZL_ARENA_INIT {.blocks = NULL}

// Frees everything; the arena is empty and usable again.
void zl_arena_release(struct zl_arena *arena);
ZL_AUTO_DEFINE_VALUE(arena, struct zl_arena, zl_arena_release);

// `size` zero bytes, aligned for any type. Size 0 gives a valid pointer.
void *zl_arena_alloc(struct zl_arena *arena, size_t size);
// The same, but NULL without memory: for bytes of a peer.
void *zl_arena_try(struct zl_arena *arena, size_t size);
// `count` zeroed elements; aborts where the product overflows.
void *zl_arena_array(struct zl_arena *arena, size_t count, size_t size);
// NULL gives "".
char *zl_arena_strdup(struct zl_arena *arena, const char *text);
char *zl_arena_strndup(struct zl_arena *arena, const char *text, size_t length);
void *zl_arena_memdup(struct zl_arena *arena, const void *bytes, size_t length);
char *zl_arena_printf(struct zl_arena *arena, const char *format, ...)
        __attribute__((format(printf, 2, 3)));
char *zl_arena_vprintf(struct zl_arena *arena, const char *format, va_list args)
        __attribute__((format(printf, 2, 0)));

// A zeroed object of a C type.
#define ZL_ARENA_NEW(arena, type) ((type *)zl_arena_alloc((arena), sizeof(type)))

#endif
