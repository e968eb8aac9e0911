// SPDX-License-Identifier: Apache-2.0
#include "unit/cri-services/log_text.h"

#include <stdio.h>
#include <stdlib.h>

#include "base/file.h"

enum { TIME_LENGTH = 30 };

char log_dir[64];
char log_path[128];
char commit_path[128];

void log_dir_make(void)
{
	(void)strcpy(log_dir, "/tmp/zl-unit-log.XXXXXX");
	ck_assert_ptr_nonnull(mkdtemp(log_dir));
	(void)snprintf(log_path, sizeof(log_path), "%s/0.log", log_dir);
	(void)snprintf(commit_path, sizeof(commit_path), "%s/commit", log_dir);
}

void log_dir_remove(void)
{
	ck_assert_int_eq(zl_tree_remove(log_dir, NULL), 0);
}

struct zl_container_log *log_open(bool resume)
{
	struct zl_error err = ZL_ERROR_INIT;
	struct zl_container_log *log = zl_container_log_open(log_path, commit_path, resume, &err);

	ck_assert_msg(log != NULL, "%s", err.message);
	return log;
}

size_t log_say(struct zl_container_log *log, enum zl_log_stream stream, const char *text)
{
	return zl_container_log_write(
	        log, stream, zl_container_log_offset(log, stream), text, strlen(text), false);
}

void log_raw(const char *path, struct zl_buffer *out)
{
	struct zl_error err = ZL_ERROR_INIT;

	zl_buffer_release(out);
	ck_assert_msg(zl_file_read(path, 64 << 20, out, &err) == 0, "%s", err.message);
}

// "2016-10-06T00:17:09.669794202Z " at the start?
static bool has_time(const char *line, size_t length)
{
	static const char form[] = "dddd-dd-ddTdd:dd:dd.dddddddddZ ";

	if (length < TIME_LENGTH + 1)
		return false;
	for (size_t i = 0; i < TIME_LENGTH + 1; i++) {
		if (form[i] == 'd' ? line[i] < '0' || line[i] > '9' : line[i] != form[i])
			return false;
	}
	return true;
}

struct line {
	enum zl_log_stream stream;
	bool full;
	const char *text;
	size_t length; // of the text
};

static struct line parse(const char *text, size_t length)
{
	struct line line = {.stream = ZL_LOG_STDOUT};
	size_t head = TIME_LENGTH + 1 + strlen("stdout F ");

	if (!(length >= head && has_time(text, length)))
		ck_abort_msg("line: %.*s", (int)(length > 80 ? 80 : length), text);
	text += TIME_LENGTH + 1;
	if (strncmp(text, "stderr ", 7) == 0)
		line.stream = ZL_LOG_STDERR;
	else
		must(strncmp(text, "stdout ", 7) == 0);
	must((text[7] == 'F' || text[7] == 'P') && text[8] == ' ');
	line.full = text[7] == 'F';
	line.text = text + 9;
	line.length = length - head;
	must(line.length <= ZL_LOG_LINE_MAX);
	return line;
}

typedef void line_visitor(const struct line *line, void *user);

static void each_line(const char *path, line_visitor *visit, void *user)
{
	zl_auto(buffer) struct zl_buffer raw = ZL_BUFFER_INIT;
	size_t at = 0;

	log_raw(path, &raw);
	while (at < raw.length) {
		const char *start = (const char *)raw.data + at;
		const char *end = memchr(start, '\n', raw.length - at);
		struct line line;

		must(end != NULL); // else the log ends within a line
		line = parse(start, (size_t)(end - start));
		visit(&line, user);
		at += (size_t)(end - start) + 1;
	}
}

static void append_line(const struct line *line, void *out)
{
	struct zl_error err = ZL_ERROR_INIT;

	must(zl_buffer_printf(out, &err, "%s %c ",
	             line->stream == ZL_LOG_STDERR ? "stderr" : "stdout",
	             line->full ? 'F' : 'P') == 0);
	must(zl_buffer_append(out, line->text, line->length, &err) == 0);
	must(zl_buffer_append(out, "\n", 1, &err) == 0);
}

void log_lines(const char *path, struct zl_buffer *out)
{
	zl_buffer_release(out);
	each_line(path, append_line, out);
}

void ck_log_lines(const char *path, const char *wanted)
{
	zl_auto(buffer) struct zl_buffer lines = ZL_BUFFER_INIT;

	log_lines(path, &lines);
	ck_assert_str_eq(zl_buffer_string(&lines), wanted);
}

struct gathering {
	enum zl_log_stream stream;
	struct zl_buffer *out;
};

static void append_text(const struct line *line, void *user)
{
	struct gathering *gathering = user;
	struct zl_error err = ZL_ERROR_INIT;

	if (line->stream != gathering->stream)
		return;
	must(zl_buffer_append(gathering->out, line->text, line->length, &err) == 0);
	if (line->full)
		must(zl_buffer_append(gathering->out, "\n", 1, &err) == 0);
}

void log_stream(const char *path, enum zl_log_stream stream, struct zl_buffer *out)
{
	struct gathering gathering = {stream, out};

	zl_buffer_release(out);
	each_line(path, append_text, &gathering);
}
