// SPDX-License-Identifier: Apache-2.0
//
// Releasing at the end of a scope.
//
//   zl_auto(free) char *name = strdup(…);
//   zl_auto(fd) int fd = open(…);
//   …
//   *ret_name = zl_take(name);
//
// ZL_AUTO_DEFINE(widget, struct zl_widget *, zl_widget_free) makes zl_auto(widget) for a type whose
// release function accepts its empty value.
#ifndef ZL_BASE_CLEANUP_H
#define ZL_BASE_CLEANUP_H

#include <dirent.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#define zl_auto(name) __attribute__((cleanup(zl_auto_##name)))

// A type cannot be put in parentheses.
// NOLINTBEGIN(bugprone-macro-parentheses)
#define ZL_AUTO_DEFINE(name, type, release)                                                        \
	static inline void zl_auto_##name(type *object)                                            \
	{                                                                                          \
		release(*object);                                                                  \
	}                                                                                          \
	static inline void zl_auto_##name(type *object)

// For structures kept by value: release takes a pointer to the object.
#define ZL_AUTO_DEFINE_VALUE(name, type, release)                                                  \
	static inline void zl_auto_##name(type *object)                                            \
	{                                                                                          \
		release(object);                                                                   \
	}                                                                                          \
	static inline void zl_auto_##name(type *object)
// NOLINTEND(bugprone-macro-parentheses)

// Moves a pointer out of a variable that would release it.
#define zl_take(pointer)                                                                           \
	__extension__({                                                                            \
		__typeof__(pointer) *zl_take_from = &(pointer);                                    \
		__typeof__(pointer) zl_take_value = *zl_take_from;                                 \
		*zl_take_from = NULL;                                                              \
		zl_take_value;                                                                     \
	})

// Closes fd if it is one; errno survives. Returns -1, the "no fd" value.
static inline int zl_close(int fd)
{
	if (fd >= 0) {
		int saved = errno;

		(void)close(fd);
		errno = saved;
	}
	return -1;
}

static inline int zl_take_fd(int *fd)
{
	int value = *fd;

	*fd = -1;
	return value;
}

static inline void zl_auto_fd(int *fd)
{
	*fd = zl_close(*fd);
}

static inline void zl_auto_free(void *pointer)
{
	free(*(void **)pointer);
}

static inline void zl_auto_file(FILE **file)
{
	if (*file != NULL)
		(void)fclose(*file);
}

static inline void zl_auto_dir(DIR **dir)
{
	if (*dir != NULL)
		(void)closedir(*dir);
}

#define ZL_ARRAY_SIZE(array) (sizeof(array) / sizeof((array)[0]))

#endif
