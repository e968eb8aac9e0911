// SPDX-License-Identifier: Apache-2.0
#include "base/strv.h"

#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

void zl_strv_free(char **strv)
{
	if (strv == NULL)
		return;
	for (char **each = strv; *each != NULL; each++)
		free(*each);
	free(strv);
}

size_t zl_strv_length(char *const *strv)
{
	size_t count = 0;

	while (strv != NULL && strv[count] != NULL)
		count++;
	return count;
}

static int append_owned(char ***strv, char *text, struct zl_error *err)
{
	size_t count = zl_strv_length(*strv);
	char **grown = reallocarray(*strv, count + 2, sizeof(char *));

	if (grown == NULL) {
		free(text);
		return zl_error_nomem(err);
	}
	grown[count] = text;
	grown[count + 1] = NULL;
	*strv = grown;
	return 0;
}

int zl_strv_append(char ***strv, const char *text, struct zl_error *err)
{
	char *copy = strdup(text);

	if (copy == NULL)
		return zl_error_nomem(err);
	return append_owned(strv, copy, err);
}

int zl_strv_append_format(char ***strv, struct zl_error *err, const char *format, ...)
{
	char *text = NULL;
	va_list args;
	int length;

	va_start(args, format);
	length = vasprintf(&text, format, args);
	va_end(args);
	if (length < 0)
		return zl_error_nomem(err);
	return append_owned(strv, text, err);
}

char **zl_strv_copy(char *const *strings, size_t count, struct zl_error *err)
{
	zl_auto(strv) char **copy = calloc(count + 1, sizeof(char *));

	if (copy == NULL) {
		zl_error_nomem(err);
		return NULL;
	}
	for (size_t i = 0; i < count; i++) {
		copy[i] = strdup(strings[i]);
		if (copy[i] == NULL) {
			zl_error_nomem(err);
			return NULL;
		}
	}
	return zl_take(copy);
}

char *zl_format(struct zl_error *err, const char *format, ...)
{
	char *text = NULL;
	va_list args;
	int length;

	va_start(args, format);
	length = vasprintf(&text, format, args);
	va_end(args);
	if (length < 0) {
		zl_error_nomem(err);
		return NULL;
	}
	return text;
}

char *zl_strdup(const char *text, struct zl_error *err)
{
	char *copy;

	if (text == NULL)
		return NULL;
	copy = strdup(text);
	if (copy == NULL)
		zl_error_nomem(err);
	return copy;
}
