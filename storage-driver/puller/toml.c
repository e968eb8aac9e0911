// SPDX-License-Identifier: Apache-2.0
#include "storage-driver/puller/toml.h"

#include <inttypes.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>

struct parser {
	const char *what;
	const char *at;
	const char *end;
	int line;
	struct zl_error *err;
};

static int fail(struct parser *p, const char *why)
{
	return zl_error_set(p->err, ZL_INVALID_ARGUMENT, "%s: line %d: %s", p->what, p->line, why);
}

static char peek(const struct parser *p)
{
	return p->at < p->end ? *p->at : '\0';
}

static void skip_blanks(struct parser *p)
{
	while (peek(p) == ' ' || peek(p) == '\t')
		p->at++;
}

static void skip_comment(struct parser *p)
{
	if (peek(p) != '#')
		return;
	while (p->at < p->end && *p->at != '\n')
		p->at++;
}

// Over blanks, comments and line ends, as between the members of an array.
static void skip_space(struct parser *p)
{
	for (;;) {
		skip_blanks(p);
		skip_comment(p);
		if (peek(p) != '\n' && peek(p) != '\r')
			return;
		if (*p->at == '\n')
			p->line++;
		p->at++;
	}
}

static int end_of_line(struct parser *p)
{
	skip_blanks(p);
	skip_comment(p);
	if (peek(p) == '\r')
		p->at++;
	if (p->at == p->end)
		return 0;
	if (*p->at != '\n')
		return fail(p, "unexpected text at the end of the line");
	p->at++;
	p->line++;
	return 0;
}

static const struct {
	char letter;
	char meaning;
} escapes[] = {{'"', '"'}, {'\\', '\\'}, {'n', '\n'}, {'t', '\t'}, {'r', '\r'}};

static int read_escape(struct parser *p, struct zl_buffer *out)
{
	for (size_t i = 0; i < ZL_ARRAY_SIZE(escapes); i++) {
		if (peek(p) == escapes[i].letter) {
			p->at++;
			return zl_buffer_append(out, &escapes[i].meaning, 1, p->err);
		}
	}
	return fail(p, "an escape other than \\\" \\\\ \\n \\t \\r");
}

// A string in " or '; the opening quote is next.
static int read_quoted(struct parser *p, struct zl_buffer *out)
{
	char quote = *p->at++;

	if (p->end - p->at >= 2 && p->at[0] == quote && p->at[1] == quote)
		return fail(p, "multi-line strings are not supported");
	for (;;) {
		char c = peek(p);

		if (p->at == p->end || c == '\n')
			return fail(p, "a string without its closing quote");
		p->at++;
		if (c == quote)
			return 0;
		if (c == '\0')
			return fail(p, "a zero byte in a string");
		if (c == '\\' && quote == '"') {
			if (read_escape(p, out) < 0)
				return -1;
		} else if (zl_buffer_append(out, &c, 1, p->err) < 0) {
			return -1;
		}
	}
}

static bool is_bare(char c)
{
	return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
	       c == '_' || c == '-';
}

// One part of a dotted key.
static int read_key(struct parser *p, struct zl_buffer *out)
{
	const char *start;

	skip_blanks(p);
	if (peek(p) == '"' || peek(p) == '\'')
		return read_quoted(p, out);
	start = p->at;
	while (is_bare(peek(p)))
		p->at++;
	if (p->at == start)
		return fail(p, "a key was expected");
	return zl_buffer_append(out, start, (size_t)(p->at - start), p->err);
}

static json_t *make_string(struct parser *p, const struct zl_buffer *text)
{
	json_t *value = json_stringn(zl_buffer_string(text), text->length);

	if (value == NULL)
		fail(p, "text that is not UTF-8");
	return value;
}

static json_t *read_string_value(struct parser *p)
{
	zl_auto(buffer) struct zl_buffer text = ZL_BUFFER_INIT;

	return read_quoted(p, &text) < 0 ? NULL : make_string(p, &text);
}

static json_t *read_word_value(struct parser *p)
{
	char word[32];
	size_t length = 0;
	char *rest;
	long long number;

	while (length < sizeof(word) - 1 && (is_bare(peek(p)) || peek(p) == '+' || peek(p) == '.'))
		word[length++] = *p->at++;
	word[length] = '\0';
	if (strcmp(word, "true") == 0)
		return json_true();
	if (strcmp(word, "false") == 0)
		return json_false();
	errno = 0;
	number = strtoll(word, &rest, 10);
	if (length > 0 && *rest == '\0' && errno == 0)
		return json_integer(number);
	fail(p, "a value was expected: a string in quotes, true, false, an integer, or [ ]");
	return NULL;
}

static json_t *read_value(struct parser *p, int depth);

static json_t *read_array(struct parser *p, int depth)
{
	zl_auto(json) json_t *array = json_array();

	p->at++;
	for (;;) {
		skip_space(p);
		if (peek(p) == ']') {
			p->at++;
			return zl_take(array);
		}
		if (json_array_append_new(array, read_value(p, depth + 1)) < 0)
			return NULL;
		skip_space(p);
		if (peek(p) == ',') {
			p->at++;
		} else if (peek(p) != ']') {
			fail(p, "a , or ] was expected");
			return NULL;
		}
	}
}

// NULL with the error set.
static json_t *read_value(struct parser *p, int depth)
{
	if (depth > ZL_TOML_DEPTH_MAX) {
		fail(p, "nested too deep");
		return NULL;
	}
	switch (peek(p)) {
	case '"':
	case '\'':
		return read_string_value(p);
	case '[':
		return read_array(p, depth);
	default:
		return read_word_value(p);
	}
}

// The table `key` of `table`, made if absent. Borrowed.
static json_t *enter_table(struct parser *p, json_t *table, const char *key)
{
	json_t *inner = json_object_get(table, key);

	if (inner == NULL && json_object_set_new(table, key, json_object()) == 0)
		inner = json_object_get(table, key);
	if (json_is_object(inner))
		return inner;
	fail(p, "a key is used both as a value and as a table");
	return NULL;
}

// Reads "a.b.c" and enters all but the last part (all, if `whole`). The last part goes to `last`.
static json_t *walk_key(struct parser *p, json_t *table, bool whole, struct zl_buffer *last)
{
	for (int depth = 0; depth < ZL_TOML_DEPTH_MAX; depth++) {
		zl_buffer_release(last);
		if (read_key(p, last) < 0)
			return NULL;
		skip_blanks(p);
		if (peek(p) != '.')
			return whole ? enter_table(p, table, zl_buffer_string(last)) : table;
		p->at++;
		table = enter_table(p, table, zl_buffer_string(last));
		if (table == NULL)
			return NULL;
	}
	fail(p, "a key with too many parts");
	return NULL;
}

static json_t *read_header(struct parser *p, json_t *root)
{
	zl_auto(buffer) struct zl_buffer last = ZL_BUFFER_INIT;
	json_t *table;

	p->at++;
	if (peek(p) == '[') {
		fail(p, "arrays of tables are not supported");
		return NULL;
	}
	table = walk_key(p, root, true, &last);
	if (table == NULL)
		return NULL;
	if (peek(p) != ']') {
		fail(p, "a ] was expected");
		return NULL;
	}
	p->at++;
	return end_of_line(p) < 0 ? NULL : table;
}

static int read_assignment(struct parser *p, json_t *table)
{
	zl_auto(buffer) struct zl_buffer key = ZL_BUFFER_INIT;
	json_t *value;

	table = walk_key(p, table, false, &key);
	if (table == NULL)
		return -1;
	if (peek(p) != '=')
		return fail(p, "an = was expected");
	if (json_object_get(table, zl_buffer_string(&key)) != NULL)
		return fail(p, "the key is given twice");
	p->at++;
	skip_blanks(p);
	value = read_value(p, 0);
	if (value == NULL)
		return -1;
	if (json_object_set_new(table, zl_buffer_string(&key), value) < 0)
		return fail(p, "a key that is not UTF-8");
	return end_of_line(p);
}

json_t *zl_toml_parse(const char *what, const char *text, size_t length, struct zl_error *err)
{
	struct parser p = {.what = what, .at = text, .end = text + length, .line = 1, .err = err};
	zl_auto(json) json_t *root = json_object();
	json_t *table = root;

	if (length > ZL_TOML_LIMIT) {
		fail(&p, "the file is longer than 1 MiB");
		return NULL;
	}
	for (;;) {
		skip_space(&p);
		if (p.at == p.end)
			return zl_take(root);
		if (*p.at == '[') {
			table = read_header(&p, root);
			if (table == NULL)
				return NULL;
		} else if (read_assignment(&p, table) < 0) {
			return NULL;
		}
	}
}
