// SPDX-License-Identifier: Apache-2.0
//
// YAML to configuration. The file may have two levels of mappings and lists of scalars; anything
// else that YAML can say (anchors, documents, nested lists) is refused where it stands.
#include "cri-server/config/config.h"

#include <assert.h>
#include <string.h>
#include <yaml.h>

#include "base/file.h"
#include "cri-server/config/keys.h"

enum {
	FILE_LIMIT = 1 << 20,
	LIST_LIMIT = 1024,
	KEYS_MAX = 64,
};

struct parse {
	yaml_parser_t parser;
	const char *name; // of the file
	struct zl_config *config;
	bool seen[KEYS_MAX];         // key, by its index in the table
	bool section_seen[KEYS_MAX]; // section, by the index of its first key
	size_t line;                 // of the event at hand
	struct zl_error *err;
};

static void zl_auto_yaml_event(yaml_event_t *event)
{
	yaml_event_delete(event);
}

void zl_config_release(struct zl_config *config)
{
	zl_arena_release(&config->arena);
	*config = (struct zl_config)ZL_CONFIG_INIT;
}

void zl_config_defaults(struct zl_config *ret)
{
	*ret = (struct zl_config)ZL_CONFIG_INIT;
	for (size_t i = 0; i < zl_key_count; i++)
		zl_key_set_default(&zl_keys[i], ret);
}

static int refuse(struct parse *parse, const char *what)
{
	return zl_error_set(
	        parse->err, ZL_INVALID_ARGUMENT, "%s:%zu: %s", parse->name, parse->line, what);
}

// A failure of the table's, with the place added.
static int placed(struct parse *parse, int result)
{
	return result < 0 ? zl_error_wrap(parse->err, "%s:%zu", parse->name, parse->line) : 0;
}

static int next(struct parse *parse, yaml_event_t *event)
{
	if (!yaml_parser_parse(&parse->parser, event)) {
		parse->line = parse->parser.problem_mark.line + 1;
		memset(event, 0, sizeof(*event));
		return refuse(parse,
		        parse->parser.problem != NULL ? parse->parser.problem : "not valid YAML");
	}
	parse->line = event->start_mark.line + 1;
	if (event->type == YAML_ALIAS_EVENT)
		return refuse(parse, "aliases are not supported: write the value again");
	return 0;
}

// The scalar as a C string that the event owns, or NULL with an error.
static const char *scalar(struct parse *parse, const yaml_event_t *event)
{
	const char *text = (const char *)event->data.scalar.value;

	if (strlen(text) != event->data.scalar.length) {
		(void)refuse(parse, "a value has a NUL byte in it");
		return NULL;
	}
	return text;
}

static int parse_list(struct parse *parse, const struct zl_key *key)
{
	zl_auto(arena) struct zl_arena scratch = ZL_ARENA_INIT;
	const char **texts = zl_arena_array(&scratch, LIST_LIMIT, sizeof(*texts));
	size_t count = 0;

	for (;;) {
		zl_auto(yaml_event) yaml_event_t event = {0};
		const char *text;

		if (next(parse, &event) < 0)
			return -1;
		if (event.type == YAML_SEQUENCE_END_EVENT)
			return placed(parse,
			        zl_key_set_list(key, texts, count, parse->config, parse->err));
		if (event.type != YAML_SCALAR_EVENT)
			return refuse(parse, "a list may hold plain values alone");
		if (count == LIST_LIMIT)
			return refuse(parse, "the list is too long");
		text = scalar(parse, &event);
		if (text == NULL)
			return -1;
		texts[count++] = zl_arena_strdup(&scratch, text);
	}
}

static int parse_value(struct parse *parse, const struct zl_key *key)
{
	zl_auto(yaml_event) yaml_event_t event = {0};
	const char *text;

	if (next(parse, &event) < 0)
		return -1;
	if (event.type == YAML_SEQUENCE_START_EVENT)
		return parse_list(parse, key);
	if (event.type != YAML_SCALAR_EVENT)
		return placed(parse, zl_error_set(parse->err, ZL_INVALID_ARGUMENT,
		                             "%s: wants a value (%s), not a mapping", key->name,
		                             zl_key_type_name(key)));
	text = scalar(parse, &event);
	if (text == NULL)
		return -1;
	return placed(parse, zl_key_set(key, text, parse->config, parse->err));
}

static int parse_mapping(struct parse *parse, const char *section);

// The index of the first key of the section, or -1 if there is no such section.
static int section_index(const char *name)
{
	size_t length = strlen(name);

	for (size_t i = 0; i < zl_key_count; i++) {
		if (strncmp(zl_keys[i].name, name, length) == 0 && zl_keys[i].name[length] == '.')
			return (int)i;
	}
	return -1;
}

static int parse_section(struct parse *parse, const char *name, int index)
{
	zl_auto(yaml_event) yaml_event_t event = {0};

	if (parse->section_seen[index])
		return refuse(parse, "this section was there before: join the two");
	parse->section_seen[index] = true;
	if (next(parse, &event) < 0)
		return -1;
	// "zone:" with nothing below, all of it commented out.
	if (event.type == YAML_SCALAR_EVENT && event.data.scalar.length == 0)
		return 0;
	if (event.type != YAML_MAPPING_START_EVENT)
		return refuse(parse, "this is a section: its keys go below it, indented");
	return parse_mapping(parse, name);
}

static int key_index(const char *section, const char *name)
{
	size_t length = strlen(section);

	for (size_t i = 0; i < zl_key_count; i++) {
		const char *full = zl_keys[i].name;

		if (length == 0 ? strcmp(full, name) == 0 && strchr(full, '.') == NULL
		                : strncmp(full, section, length) == 0 && full[length] == '.' &&
		                          strcmp(full + length + 1, name) == 0)
			return (int)i;
	}
	return -1;
}

static int refuse_unknown(struct parse *parse, const char *section, const char *name)
{
	return placed(
	        parse, zl_error_set(parse->err, ZL_INVALID_ARGUMENT,
	                       "unknown key \"%.100s\"%s%s; `zoneletd config default` shows all",
	                       name, section[0] != '\0' ? " in section " : "", section));
}

static int parse_pair(struct parse *parse, const char *section, const char *name)
{
	int index = key_index(section, name);

	if (index >= 0) {
		if (parse->seen[index])
			return placed(
			        parse, zl_error_set(parse->err, ZL_INVALID_ARGUMENT,
			                       "%s is set a second time", zl_keys[index].name));
		parse->seen[index] = true;
		return parse_value(parse, &zl_keys[index]);
	}
	index = section[0] == '\0' ? section_index(name) : -1;
	if (index >= 0)
		return parse_section(parse, name, index);
	return refuse_unknown(parse, section, name);
}

static int parse_mapping(struct parse *parse, const char *section)
{
	for (;;) {
		zl_auto(yaml_event) yaml_event_t event = {0};
		const char *name;

		if (next(parse, &event) < 0)
			return -1;
		if (event.type == YAML_MAPPING_END_EVENT)
			return 0;
		if (event.type != YAML_SCALAR_EVENT)
			return refuse(parse, "a key must be a plain word");
		name = scalar(parse, &event);
		if (name == NULL || parse_pair(parse, section, name) < 0)
			return -1;
	}
}

static int parse_document(struct parse *parse)
{
	zl_auto(yaml_event) yaml_event_t event = {0};

	if (next(parse, &event) < 0)
		return -1;
	if (event.type == YAML_MAPPING_START_EVENT)
		return parse_mapping(parse, "");
	// A file of comments alone.
	if (event.type == YAML_SCALAR_EVENT && event.data.scalar.length == 0)
		return 0;
	return refuse(parse, "the file must be a mapping of keys to values");
}

static int parse_stream(struct parse *parse)
{
	bool had_document = false;

	for (;;) {
		zl_auto(yaml_event) yaml_event_t event = {0};

		if (next(parse, &event) < 0)
			return -1;
		if (event.type == YAML_STREAM_END_EVENT)
			return 0;
		if (event.type != YAML_DOCUMENT_START_EVENT)
			continue;
		if (had_document)
			return refuse(parse, "a second document");
		had_document = true;
		if (parse_document(parse) < 0)
			return -1;
	}
}

static int check(const struct zl_config *config, const char *name, struct zl_error *err)
{
	if (config->handlers[0] == NULL)
		return zl_error_set(err, ZL_INVALID_ARGUMENT,
		        "%s: handlers: at least one is needed: zone, host", name);
	for (size_t i = 0; config->handlers[i] != NULL; i++) {
		if (strcmp(config->handlers[i], config->default_handler) == 0)
			return 0;
	}
	return zl_error_set(err, ZL_INVALID_ARGUMENT,
	        "%s: default_handler: \"%s\" is not among handlers", name, config->default_handler);
}

int zl_config_parse(const char *name, const void *text, size_t length, struct zl_config *ret,
        struct zl_error *err)
{
	struct parse parse = {.name = name, .config = ret, .err = err};
	int result;

	assert(zl_key_count <= KEYS_MAX);
	zl_config_defaults(ret);
	if (length > FILE_LIMIT)
		return zl_error_set(
		        err, ZL_INVALID_ARGUMENT, "%s is larger than %d bytes", name, FILE_LIMIT);
	if (!yaml_parser_initialize(&parse.parser))
		return zl_error_nomem(err);
	yaml_parser_set_input_string(
	        &parse.parser, length > 0 ? text : (const unsigned char *)"", length);
	result = parse_stream(&parse);
	yaml_parser_delete(&parse.parser);
	if (result < 0 || check(ret, name, err) < 0) {
		zl_config_release(ret);
		return -1;
	}
	return 0;
}

int zl_config_load(const char *path, struct zl_config *ret, struct zl_error *err)
{
	zl_auto(buffer) struct zl_buffer text = ZL_BUFFER_INIT;

	*ret = (struct zl_config)ZL_CONFIG_INIT;
	if (zl_file_read(path, FILE_LIMIT, &text, err) < 0)
		return -1;
	return zl_config_parse(path, text.data, text.length, ret, err);
}
