// SPDX-License-Identifier: Apache-2.0
#include "base/log.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

static void write_logfmt(
        enum zl_log_level level, const char *message, const struct zl_log_scope *fields);

static zl_log_sink *current_sink = write_logfmt;
static enum zl_log_level current_level = ZL_LOG_INFO;
static _Thread_local const struct zl_log_scope *innermost;

static const char *level_name(enum zl_log_level level)
{
	switch (level) {
	case ZL_LOG_ERROR:
		return "error";
	case ZL_LOG_WARNING:
		return "warning";
	case ZL_LOG_INFO:
		return "info";
	case ZL_LOG_DEBUG:
		break;
	}
	return "debug";
}

// A value in quotes, with control characters escaped so that one record stays one line.
static void write_quoted(FILE *out, const char *text)
{
	(void)fputc('"', out);
	for (const unsigned char *c = (const unsigned char *)text; *c != '\0'; c++) {
		if (*c == '"' || *c == '\\')
			(void)fprintf(out, "\\%c", *c);
		else if (*c < ' ' || *c == 0x7f)
			(void)fprintf(out, "\\x%02x", *c);
		else
			(void)fputc(*c, out);
	}
	(void)fputc('"', out);
}

static void write_fields(FILE *out, const struct zl_log_scope *scope)
{
	if (scope == NULL)
		return;
	write_fields(out, scope->outer);
	(void)fprintf(out, " %s=", scope->key);
	if (strpbrk(scope->value, " \"\\=\n\t") != NULL)
		write_quoted(out, scope->value);
	else
		(void)fputs(scope->value, out);
}

static void write_logfmt(
        enum zl_log_level level, const char *message, const struct zl_log_scope *fields)
{
	char line[4096];
	FILE *out = fmemopen(line, sizeof(line) - 1, "w");
	size_t length;

	if (out == NULL)
		return;
	(void)fprintf(out, "level=%s", level_name(level));
	write_fields(out, fields);
	(void)fputs(" msg=", out);
	write_quoted(out, message);
	(void)fflush(out);
	length = (size_t)ftell(out);
	(void)fclose(out);
	line[length++] = '\n';
	(void)!write(STDERR_FILENO, line, length);
}

void zl_log_push(struct zl_log_scope *scope, const char *key, const char *value)
{
	scope->key = key;
	scope->value = value;
	scope->outer = innermost;
	innermost = scope;
}

void zl_log_pop(struct zl_log_scope *scope)
{
	if (innermost == scope)
		innermost = scope->outer;
}

void zl_log_set_sink(zl_log_sink *sink)
{
	current_sink = sink != NULL ? sink : write_logfmt;
}

void zl_log_set_level(enum zl_log_level most_detailed)
{
	current_level = most_detailed;
}

enum zl_log_level zl_log_level(void)
{
	return current_level;
}

void zl_log(enum zl_log_level level, const char *format, ...)
{
	char message[2048];
	va_list args;

	if (level > current_level)
		return;
	va_start(args, format);
	(void)vsnprintf(message, sizeof(message), format, args);
	va_end(args);
	current_sink(level, message, innermost);
}
