// SPDX-License-Identifier: Apache-2.0
#include "base/log.h"

#include <stdarg.h>
#include <stdbool.h>
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

// One line being made; what does not fit is left out.
struct line {
	size_t length;
	char text[4096];
};

// Room kept for what closes a value and the line, so that a cut line is still well-formed.
enum { CLOSING = 2 };

static bool put(struct line *line, const char *text, size_t length)
{
	if (line->length + length > sizeof(line->text) - CLOSING)
		return false;
	memcpy(line->text + line->length, text, length);
	line->length += length;
	return true;
}

static bool is_control(unsigned char c)
{
	return c < ' ' || c == 0x7f;
}

// A value in quotes, with control characters escaped so that one record stays one line, and an
// escape sequence from a hostile program stays text.
static void put_quoted(struct line *line, const char *text)
{
	bool fits = put(line, "\"", 1);

	if (!fits)
		return;
	for (const unsigned char *c = (const unsigned char *)text; fits && *c != '\0'; c++) {
		char escaped[8];

		if (*c == '"' || *c == '\\')
			(void)snprintf(escaped, sizeof(escaped), "\\%c", *c);
		else if (is_control(*c))
			(void)snprintf(escaped, sizeof(escaped), "\\x%02x", *c);
		else
			(void)snprintf(escaped, sizeof(escaped), "%c", *c);
		fits = put(line, escaped, strlen(escaped));
	}
	line->text[line->length++] = '"';
}

static bool needs_quotes(const char *value)
{
	const unsigned char *c = (const unsigned char *)value;

	while (*c != '\0' && !is_control(*c) && strchr(" \"\\=", *c) == NULL)
		c++;
	return *c != '\0' || *value == '\0';
}

static void put_fields(struct line *line, const struct zl_log_scope *scope)
{
	if (scope == NULL)
		return;
	put_fields(line, scope->outer);
	if (!put(line, " ", 1) || !put(line, scope->key, strlen(scope->key)) || !put(line, "=", 1))
		return;
	if (needs_quotes(scope->value))
		put_quoted(line, scope->value);
	else
		(void)put(line, scope->value, strlen(scope->value));
}

static void write_logfmt(
        enum zl_log_level level, const char *message, const struct zl_log_scope *fields)
{
	struct line line = {0};

	(void)put(&line, "level=", 6);
	(void)put(&line, level_name(level), strlen(level_name(level)));
	put_fields(&line, fields);
	if (put(&line, " msg=", 5))
		put_quoted(&line, message);
	line.text[line.length++] = '\n';
	(void)!write(STDERR_FILENO, line.text, line.length);
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
