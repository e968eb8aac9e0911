// SPDX-License-Identifier: Apache-2.0
#include "cni-bridge/conflist.h"

#include <ctype.h>
#include <string.h>
#include <strings.h>

static const char *const version_names[] = {
        [ZL_CNI_0_3_0] = "0.3.0",
        [ZL_CNI_0_3_1] = "0.3.1",
        [ZL_CNI_0_4_0] = "0.4.0",
        [ZL_CNI_1_0_0] = "1.0.0",
        [ZL_CNI_1_1_0] = "1.1.0",
};

const char *zl_cni_version_name(enum zl_cni_version version)
{
	return version_names[version];
}

void zl_conflist_release(struct zl_conflist *list)
{
	json_decref(list->document);
	memset(list, 0, sizeof(*list));
}

// -1 for one that we do not speak.
static int find_version(const char *name)
{
	if (name == NULL)
		return -1;
	for (int i = 0; i < (int)ZL_ARRAY_SIZE(version_names); i++) {
		if (strcmp(version_names[i], name) == 0)
			return i;
	}
	return -1;
}

// The highest that both sides speak, of "cniVersion" and (since 1.1) the list "cniVersions".
static int choose_version(
        const char *what, const json_t *document, enum zl_cni_version *ret, struct zl_error *err)
{
	const char *single = zl_json_string(document, "cniVersion");
	int best = find_version(single);
	const json_t *offered = json_object_get(document, "cniVersions");
	size_t i;
	const json_t *item;

	json_array_foreach(offered, i, item)
	{
		int version = find_version(json_string_value(item));

		if (version > best)
			best = version;
	}
	if (best < 0)
		return zl_error_set(err, ZL_INVALID_ARGUMENT,
		        "%s: cniVersion \"%.32s\" is not supported; set it to one of 0.3.0, 0.3.1, "
		        "0.4.0, 1.0.0, 1.1.0 that the plugins know",
		        what, single != NULL ? single : "");
	*ret = (enum zl_cni_version)best;
	return 0;
}

// Section 1: a name starts with a letter or digit, and has nothing but those, '_', '.' and '-'.
// It becomes part of plugins' file names (host-local) and of rule names.
static bool name_valid(const char *name)
{
	if (name == NULL || !isalnum((unsigned char)name[0]) || strlen(name) > 253)
		return false;
	for (const char *c = name; *c != '\0'; c++) {
		if (!isalnum((unsigned char)*c) && strchr("_.-", *c) == NULL)
			return false;
	}
	return true;
}

static int read_plugin(const char *what, size_t index, const json_t *conf,
        struct zl_conflist_plugin *ret, struct zl_error *err)
{
	const char *type = zl_json_string(conf, "type");
	const char *ipam = zl_json_string(json_object_get(conf, "ipam"), "type");
	const json_t *capabilities = json_object_get(conf, "capabilities");

	// The type is joined to a directory and executed: never a path.
	if (!name_valid(type))
		return zl_error_set(err, ZL_INVALID_ARGUMENT,
		        "%s: plugin %zu: \"type\" must be the file name of a plugin program", what,
		        index + 1);
	if (ipam != NULL && *ipam != '\0' && !name_valid(ipam))
		return zl_error_set(err, ZL_INVALID_ARGUMENT,
		        "%s: plugin %s: \"type\" of \"ipam\" must be the file name of a plugin "
		        "program",
		        what, type);
	if (capabilities != NULL && !json_is_object(capabilities))
		return zl_error_set(err, ZL_INVALID_ARGUMENT,
		        "%s: plugin %s: \"capabilities\" must be an object such as "
		        "{\"portMappings\": true}",
		        what, type);
	ret->type = type;
	ret->ipam = ipam != NULL && *ipam != '\0' ? ipam : NULL;
	ret->conf = conf;
	return 0;
}

static int read_plugins(const char *what, struct zl_conflist *list, struct zl_error *err)
{
	const json_t *plugins = json_object_get(list->document, "plugins");
	size_t count = json_array_size(plugins);

	if (count == 0)
		return zl_error_set(
		        err, ZL_INVALID_ARGUMENT, "%s: no plugin in the list \"plugins\"", what);
	if (count > ZL_CONFLIST_MAX_PLUGINS)
		return zl_error_set(err, ZL_INVALID_ARGUMENT, "%s: %zu plugins, at most %d allowed",
		        what, count, ZL_CONFLIST_MAX_PLUGINS);
	for (size_t i = 0; i < count; i++) {
		if (read_plugin(what, i, json_array_get(plugins, i), &list->plugins[i], err) < 0)
			return -1;
	}
	list->plugin_count = count;
	return 0;
}

// libcni takes the words as strings, too.
static int read_flag(
        const char *what, const json_t *document, const char *key, bool *ret, struct zl_error *err)
{
	const json_t *value = json_object_get(document, key);
	const char *word = json_string_value(value);

	*ret = false;
	if (json_is_boolean(value))
		*ret = json_is_true(value);
	else if (word != NULL && strcasecmp(word, "true") == 0)
		*ret = true;
	else if (value != NULL && (word == NULL || strcasecmp(word, "false") != 0))
		return zl_error_set(
		        err, ZL_INVALID_ARGUMENT, "%s: \"%s\" must be true or false", what, key);
	return 0;
}

static int read_flags(const char *what, struct zl_conflist *list, struct zl_error *err)
{
	if (read_flag(what, list->document, "disableCheck", &list->check_disabled, err) < 0)
		return -1;
	return read_flag(what, list->document, "disableGC", &list->gc_disabled, err);
}

static int read_list(const char *what, struct zl_conflist *list, struct zl_error *err)
{
	list->name = zl_json_string(list->document, "name");
	if (!name_valid(list->name))
		return zl_error_set(err, ZL_INVALID_ARGUMENT,
		        "%s: \"name\" must begin with a letter or digit and consist of letters, "
		        "digits, '_', '.' and '-'",
		        what);
	if (choose_version(what, list->document, &list->version, err) < 0 ||
	        read_flags(what, list, err) < 0)
		return -1;
	return read_plugins(what, list, err);
}

// A plugin in a file of its own belongs to no other network, and a network may keep others' out.
static int check_open_to_others(
        const char *what, const json_t *document, bool *ret, struct zl_error *err)
{
	bool inlined_only = false;

	if (read_flag(what, document, "loadOnlyInlinedPlugins", &inlined_only, err) < 0)
		return -1;
	if (inlined_only && json_object_get(document, "plugins") == NULL)
		return zl_error_set(err, ZL_INVALID_ARGUMENT,
		        "%s: \"loadOnlyInlinedPlugins\" is true, and there is no list \"plugins\"",
		        what);
	*ret = !inlined_only && json_object_get(document, "type") == NULL;
	return 0;
}

int zl_conflist_directory(
        const char *what, const json_t *document, const char **ret, struct zl_error *err)
{
	const char *name = zl_json_string(document, "name");
	bool open = false;

	*ret = NULL;
	if (check_open_to_others(what, document, &open, err) < 0)
		return -1;
	if (open && name_valid(name))
		*ret = name;
	return 0;
}

int zl_conflist_add_plugin(const char *what, json_t *document, json_t *plugin, struct zl_error *err)
{
	json_t *plugins = json_object_get(document, "plugins");
	struct zl_conflist_plugin checked;

	if (plugins == NULL) {
		plugins = json_array();
		if (json_object_set_new(document, "plugins", plugins) < 0)
			return zl_error_nomem(err);
	}
	if (read_plugin(what, json_array_size(plugins), plugin, &checked, err) < 0)
		return -1;
	if (json_array_append(plugins, plugin) < 0)
		return zl_error_set(
		        err, ZL_INVALID_ARGUMENT, "%s: its network has no list \"plugins\"", what);
	return 0;
}

// A document in the list form: itself, or a list around one plugin's own configuration.
static json_t *as_list(json_t *document)
{
	if (json_object_get(document, "plugins") != NULL ||
	        json_object_get(document, "type") == NULL)
		return json_incref(document);
	return json_pack("{sO? sO? s[O]}", "cniVersion", json_object_get(document, "cniVersion"),
	        "name", json_object_get(document, "name"), "plugins", document);
}

int zl_conflist_from_json(
        const char *what, json_t *document, struct zl_conflist *ret, struct zl_error *err)
{
	zl_auto(conflist) struct zl_conflist list = ZL_CONFLIST_INIT;

	if (!json_is_object(document))
		return zl_error_set(err, ZL_INVALID_ARGUMENT, "%s: not a JSON object {…}", what);
	list.document = as_list(document);
	if (list.document == NULL)
		return zl_error_nomem(err);
	if (read_list(what, &list, err) < 0)
		return -1;
	*ret = list;
	list.document = NULL;
	return 0;
}

int zl_conflist_parse(const char *what, const void *text, size_t length, struct zl_conflist *ret,
        struct zl_error *err)
{
	zl_auto(json) json_t *document =
	        zl_json_parse(what, text, length, ZL_CONFLIST_MAX_BYTES, err);

	if (document == NULL)
		return -1;
	return zl_conflist_from_json(what, document, ret, err);
}

// ---- the request

// Sets runtimeConfig to those of the values that the plugin declares; none, none is set.
static int add_runtime(json_t *request, json_t *runtime)
{
	const json_t *declared = json_object_get(request, "capabilities");
	zl_auto(json) json_t *config = json_object();
	const char *name;
	json_t *value;

	json_object_foreach(runtime, name, value)
	{
		if (json_is_true(json_object_get(declared, name)) &&
		        json_object_set(config, name, value) < 0)
			return -1;
	}
	if (json_object_size(config) == 0)
		return 0;
	return json_object_set(request, "runtimeConfig", config);
}

// These are ours to set; a file that has them would forge the answer of another plugin or of the
// runtime.
static void remove_reserved(json_t *request)
{
	static const char prefix[] = "cni.dev/";
	const char *key;
	json_t *value;
	void *next;

	(void)json_object_del(request, "prevResult");
	(void)json_object_del(request, "runtimeConfig");
	json_object_foreach_safe(request, next, key, value)
	{
		(void)value;
		if (strncmp(key, prefix, sizeof(prefix) - 1) == 0)
			(void)json_object_del(request, key);
	}
}

json_t *zl_conflist_request(const struct zl_conflist *list, size_t index, json_t *runtime,
        json_t *previous, struct zl_error *err)
{
	// A shallow copy is enough: only members of the request itself are set.
	zl_auto(json) json_t *request = json_copy((json_t *)list->plugins[index].conf);

	remove_reserved(request);
	if (json_object_set_new(request, "name", json_string(list->name)) < 0 ||
	        json_object_set_new(request, "cniVersion",
	                json_string(zl_cni_version_name(list->version))) < 0 ||
	        add_runtime(request, runtime) < 0 ||
	        (previous != NULL && json_object_set(request, "prevResult", previous) < 0)) {
		zl_error_nomem(err);
		return NULL;
	}
	return zl_take(request);
}
