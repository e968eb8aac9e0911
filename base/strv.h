// SPDX-License-Identifier: Apache-2.0
//
// NULL-terminated vectors of strings, as execve(2) takes them.
#ifndef ZL_BASE_STRV_H
#define ZL_BASE_STRV_H

#include <stddef.h>

#include "base/cleanup.h"
#include "base/error.h"

// Frees the strings and the vector; NULL is allowed.
void zl_strv_free(char **strv);
ZL_AUTO_DEFINE(strv, char **, zl_strv_free);

size_t zl_strv_length(char *const *strv);

// Appends a copy of `text`; *strv may be NULL before. O(n): for argument lists, not for data.
int zl_strv_append(char ***strv, const char *text, struct zl_error *err);
int zl_strv_append_format(char ***strv, struct zl_error *err, const char *format, ...)
        __attribute__((format(printf, 3, 4)));

// Copies `count` strings (an array as protobuf-c has them). NULL on error.
char **zl_strv_copy(char *const *strings, size_t count, struct zl_error *err);

// A formatted string on the heap, NULL (and the error set) without memory.
char *zl_format(struct zl_error *err, const char *format, ...)
        __attribute__((format(printf, 2, 3)));
// strdup that takes NULL for NULL's sake: returns NULL with no error then.
char *zl_strdup(const char *text, struct zl_error *err);

#endif
