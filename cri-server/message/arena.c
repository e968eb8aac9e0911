// SPDX-License-Identifier: Apache-2.0
#include "cri-server/message/arena.h"

#include <stdint.h>
#include <string.h>

#include "base/log.h"

#if defined(__has_feature)
#if __has_feature(address_sanitizer)
#define ARENA_SEPARATE 1
#endif
#endif
#if defined(__SANITIZE_ADDRESS__)
#define ARENA_SEPARATE 1
#endif
#ifndef ARENA_SEPARATE
// Under the address sanitizer each piece is a block of its own, so that overruns are seen.
#define ARENA_SEPARATE 0
#endif

enum {
	ARENA_ALIGN = 16,
	ARENA_FIRST_BLOCK = 4 << 10,
	ARENA_LARGEST_BLOCK = 256 << 10,
};

struct zl_arena_block {
	struct zl_arena_block *older;
	size_t size; // of `bytes`
	size_t used;
	_Alignas(ARENA_ALIGN) unsigned char bytes[];
};

void zl_arena_release(struct zl_arena *arena)
{
	struct zl_arena_block *block = arena->blocks;

	while (block != NULL) {
		struct zl_arena_block *older = block->older;

		free(block);
		block = older;
	}
	arena->blocks = NULL;
	arena->allocated = 0;
}

// A block with room for `need`, growing so that a large message does not take thousands of them.
static struct zl_arena_block *block_add(struct zl_arena *arena, size_t need)
{
	size_t size = arena->blocks == NULL ? ARENA_FIRST_BLOCK : arena->blocks->size * 2;
	struct zl_arena_block *block;

	if (size > ARENA_LARGEST_BLOCK)
		size = ARENA_LARGEST_BLOCK;
	if (size < need || ARENA_SEPARATE)
		size = need;
	block = malloc(sizeof(*block) + size);
	if (block == NULL)
		return NULL;
	block->older = arena->blocks;
	block->size = size;
	block->used = 0;
	arena->blocks = block;
	return block;
}

// What a piece takes of a block, so that the next one is aligned.
static size_t room_of(size_t size)
{
	return ARENA_SEPARATE ? size : (size + ARENA_ALIGN - 1) / ARENA_ALIGN * ARENA_ALIGN;
}

void *zl_arena_try(struct zl_arena *arena, size_t size)
{
	struct zl_arena_block *block = arena->blocks;
	size_t room = room_of(size);
	void *piece;

	if (size > SIZE_MAX / 2)
		return NULL;
	if (block == NULL || ARENA_SEPARATE || block->size - block->used < room) {
		block = block_add(arena, room);
		if (block == NULL)
			return NULL;
	}
	piece = block->bytes + block->used;
	block->used += room;
	arena->allocated += room;
	memset(piece, 0, size);
	return piece;
}

void *zl_arena_alloc(struct zl_arena *arena, size_t size)
{
	void *piece = zl_arena_try(arena, size);

	if (piece == NULL) {
		zl_log_error("no memory for %zu bytes: giving up, pods go on", size);
		abort();
	}
	return piece;
}

void *zl_arena_array(struct zl_arena *arena, size_t count, size_t size)
{
	if (size != 0 && count > SIZE_MAX / 2 / size)
		count = SIZE_MAX / size;
	return zl_arena_alloc(arena, count * size);
}

void *zl_arena_memdup(struct zl_arena *arena, const void *bytes, size_t length)
{
	void *copy = zl_arena_alloc(arena, length);

	if (length > 0)
		memcpy(copy, bytes, length);
	return copy;
}

char *zl_arena_strndup(struct zl_arena *arena, const char *text, size_t length)
{
	char *copy = zl_arena_alloc(arena, length + 1);

	if (length > 0)
		memcpy(copy, text, length);
	return copy;
}

char *zl_arena_strdup(struct zl_arena *arena, const char *text)
{
	return text == NULL ? zl_arena_strndup(arena, "", 0)
	                    : zl_arena_strndup(arena, text, strlen(text));
}

char *zl_arena_vprintf(struct zl_arena *arena, const char *format, va_list args)
{
	va_list again;
	char *text;
	int length;

	va_copy(again, args);
	length = vsnprintf(NULL, 0, format, args);
	if (length < 0)
		length = 0;
	text = zl_arena_alloc(arena, (size_t)length + 1);
	(void)vsnprintf(text, (size_t)length + 1, format, again);
	va_end(again);
	return text;
}

char *zl_arena_printf(struct zl_arena *arena, const char *format, ...)
{
	va_list args;
	char *text;

	va_start(args, format);
	text = zl_arena_vprintf(arena, format, args);
	va_end(args);
	return text;
}
