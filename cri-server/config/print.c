// SPDX-License-Identifier: Apache-2.0
//
// The table of keys as a YAML file and as a page of documentation.
#include <string.h>

#include "cri-server/config/keys.h"

enum { HELP_WIDTH = 78 };

// Help as comment lines of at most HELP_WIDTH characters.
static int print_help(
        const char *help, const char *indent, struct zl_buffer *out, struct zl_error *err)
{
	while (*help != '\0') {
		size_t take = strlen(help);

		if (take > HELP_WIDTH) {
			take = HELP_WIDTH;
			while (take > 0 && help[take] != ' ')
				take--;
			if (take == 0)
				take = strcspn(help, " ");
		}
		if (zl_buffer_printf(out, err, "%s# %.*s\n", indent, (int)take, help) < 0)
			return -1;
		help += take + (help[take] == ' ');
	}
	return 0;
}

// A scalar that every YAML reader takes for the same text.
static int print_scalar(const char *text, struct zl_buffer *out, struct zl_error *err)
{
	static const char plain[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789"
	                            "/._-";

	if (text[0] != '\0' && text[0] != '-' && strspn(text, plain) == strlen(text))
		return zl_buffer_append_string(out, text, err);
	if (zl_buffer_append_string(out, "\"", err) < 0)
		return -1;
	for (const unsigned char *c = (const unsigned char *)text; *c != '\0'; c++) {
		int result;

		if (*c == '"' || *c == '\\')
			result = zl_buffer_printf(out, err, "\\%c", *c);
		else if (*c < ' ' || *c == 0x7f)
			result = zl_buffer_printf(out, err, "\\x%02x", *c);
		else
			result = zl_buffer_append(out, c, 1, err);
		if (result < 0)
			return -1;
	}
	return zl_buffer_append_string(out, "\"", err);
}

static int print_value(const struct zl_key *key, const struct zl_config *config,
        struct zl_buffer *out, struct zl_error *err)
{
	zl_auto(arena) struct zl_arena arena = ZL_ARENA_INIT;
	const char *const *texts;

	if (!zl_key_is_list(key))
		return print_scalar(zl_key_text(key, config, &arena), out, err);
	texts = zl_key_texts(key, config);
	if (zl_buffer_append_string(out, "[", err) < 0)
		return -1;
	for (size_t i = 0; texts[i] != NULL; i++) {
		if ((i > 0 && zl_buffer_append_string(out, ", ", err) < 0) ||
		        print_scalar(texts[i], out, err) < 0)
			return -1;
	}
	return zl_buffer_append_string(out, "]", err);
}

// The length of the section's name in front of the key's; 0 for keys without one.
static size_t section_length(const char *name)
{
	const char *dot = strchr(name, '.');

	return dot != NULL ? (size_t)(dot - name) : 0;
}

// Whether a key begins another section than the one before it.
static bool begins_section(size_t index)
{
	size_t length = section_length(zl_keys[index].name);

	return length > 0 &&
	       (index == 0 || section_length(zl_keys[index - 1].name) != length ||
	               memcmp(zl_keys[index - 1].name, zl_keys[index].name, length) != 0);
}

int zl_config_print(
        const struct zl_config *config, bool with_help, struct zl_buffer *out, struct zl_error *err)
{
	for (size_t i = 0; i < zl_key_count; i++) {
		const struct zl_key *key = &zl_keys[i];
		size_t section = section_length(key->name);
		const char *indent = section > 0 ? "  " : "";
		const char *name = key->name + section + (section > 0);

		if (begins_section(i) &&
		        zl_buffer_printf(out, err, "\n%.*s:\n", (int)section, key->name) < 0)
			return -1;
		if (with_help && print_help(key->help, indent, out, err) < 0)
			return -1;
		if (zl_buffer_printf(out, err, "%s%s: ", indent, name) < 0 ||
		        print_value(key, config, out, err) < 0 ||
		        zl_buffer_append_string(out, "\n", err) < 0)
			return -1;
	}
	return 0;
}

static int document_key(const struct zl_key *key, const struct zl_config *defaults,
        struct zl_buffer *out, struct zl_error *err)
{
	zl_auto(buffer) struct zl_buffer value = ZL_BUFFER_INIT;

	if (print_value(key, defaults, &value, err) < 0)
		return -1;
	return zl_buffer_printf(out, err, "| `%s` | %s%s%s | `%s` | %s |\n", key->name,
	        zl_key_type_name(key), key->choices != NULL ? " " : "",
	        key->choices != NULL ? key->choices : "", zl_buffer_string(&value), key->help);
}

int zl_config_document(struct zl_buffer *out, struct zl_error *err)
{
	static const char head[] =
	        "# Configuration\n\n"
	        "zoneletd reads `" ZL_CONFIG_PATH "`. Every key may be left out and then has its "
	        "default. A key\nthat it does not know, one that is set twice, or a value of the "
	        "wrong kind is an error with its line.\n\n"
	        "    zoneletd config default   prints a file with every key, its default and its "
	        "help\n"
	        "    zoneletd config check     checks the file (or the one given by --config)\n"
	        "    zoneletd config dump      prints what is in effect\n\n"
	        "This page is made from the same table by `zoneletd config doc`. A key with a dot "
	        "belongs to a\nsection: `zone.memory` is `memory` below `zone:`.\n\n"
	        "| key | value | default | |\n| --- | --- | --- | --- |\n";
	zl_auto(config) struct zl_config defaults = ZL_CONFIG_INIT;

	zl_config_defaults(&defaults);
	if (zl_buffer_append_string(out, head, err) < 0)
		return -1;
	for (size_t i = 0; i < zl_key_count; i++) {
		if (document_key(&zl_keys[i], &defaults, out, err) < 0)
			return -1;
	}
	return 0;
}
