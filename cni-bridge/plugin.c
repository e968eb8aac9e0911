// SPDX-License-Identifier: Apache-2.0
#include "cni-bridge/plugin.h"

#include <ctype.h>
#include <string.h>
#include <sys/stat.h>

#include "base/spawn.h"
#include "base/strv.h"
#include "cni-bridge/result.h"

enum {
	STDERR_LIMIT = 64 * 1024,
	CONTAINER_UNKNOWN = 3, // a well-known error code: there is nothing to clean up
};

// The form of PATH.
static char *join(const char *const *dirs, struct zl_error *err)
{
	zl_auto(buffer) struct zl_buffer text = ZL_BUFFER_INIT;

	for (size_t i = 0; dirs[i] != NULL; i++) {
		if (zl_buffer_printf(&text, err, "%s%s", i > 0 ? ":" : "", dirs[i]) < 0)
			return NULL;
	}
	return zl_strdup(zl_buffer_string(&text), err);
}

int zl_plugin_find(const char *const *bin_dirs, const char *type, char out[static PATH_MAX],
        struct zl_error *err)
{
	zl_auto(free) char *looked_in = NULL;

	for (size_t i = 0; bin_dirs[i] != NULL; i++) {
		struct stat info;
		int length = snprintf(out, PATH_MAX, "%s/%s", bin_dirs[i], type);

		if (length > 0 && length < PATH_MAX && stat(out, &info) == 0 &&
		        S_ISREG(info.st_mode) && access(out, X_OK) == 0)
			return 0;
	}
	looked_in = join(bin_dirs, err);
	return zl_error_set(err, ZL_UNAVAILABLE,
	        "network plugin \"%s\" is not in %s; install it (Debian: "
	        "containernetworking-plugins)",
	        type, looked_in != NULL ? looked_in : "the plugin directories");
}

// ---- the environment

static int add_variable(char ***env, const char *name, const char *value, struct zl_error *err)
{
	if (value == NULL)
		return 0;
	return zl_strv_append_format(env, err, "%s=%s", name, value);
}

// The daemon's own environment (plugins look for iptables in PATH, and proxies are set there), but
// nothing of CNI's that the daemon may have been started with.
static int inherit_environment(char ***env, struct zl_error *err)
{
	for (char **variable = environ; variable != NULL && *variable != NULL; variable++) {
		if (strncmp(*variable, "CNI_", 4) != 0 && zl_strv_append(env, *variable, err) < 0)
			return -1;
	}
	return 0;
}

static char **make_environment(const struct zl_plugin_call *call, struct zl_error *err)
{
	zl_auto(strv) char **env = NULL;
	zl_auto(free) char *path = join(call->bin_dirs, err);

	if (path == NULL || inherit_environment(&env, err) < 0 ||
	        add_variable(&env, "CNI_COMMAND", call->command, err) < 0 ||
	        add_variable(&env, "CNI_CONTAINERID", call->container_id, err) < 0 ||
	        add_variable(&env, "CNI_NETNS", call->netns, err) < 0 ||
	        add_variable(&env, "CNI_IFNAME", call->ifname, err) < 0 ||
	        add_variable(&env, "CNI_ARGS", call->args, err) < 0 ||
	        add_variable(&env, "CNI_PATH", path, err) < 0)
		return NULL;
	return zl_take(env);
}

// ---- what it said

// A plugin's words on one line of printable text, cut to what an error message can hold.
static void quote(const char *text, char *out, size_t size)
{
	size_t used = 0;

	for (; text != NULL && *text != '\0' && used + 1 < size; text++)
		out[used++] = iscntrl((unsigned char)*text) ? ' ' : *text;
	while (used > 0 && out[used - 1] == ' ')
		used--;
	out[used] = '\0';
}

// "Well-known Error Codes" of the spec; 50 and 51 came with STATUS.
static enum zl_code code_of(json_int_t cni_code)
{
	switch (cni_code) {
	case 11: // try again later
	case 50: // not available
	case 51: // not available, and existing pods may be cut off
		return ZL_UNAVAILABLE;
	case 1: // incompatible CNI version
	case 2: // unsupported field
	case 7: // invalid network configuration
		return ZL_FAILED_PRECONDITION;
	default:
		return ZL_INTERNAL;
	}
}

// The last line of stderr: it is all there is to go by when a plugin dies without a word on stdout.
static const char *last_line(const struct zl_buffer *text, char *out, size_t size)
{
	const char *start = zl_buffer_string(text);
	size_t length = strlen(start);
	const char *line;

	while (length > 0 && isspace((unsigned char)start[length - 1]))
		length--;
	line = memrchr(start, '\n', length);
	line = line != NULL ? line + 1 : start;
	if (length == 0)
		line = "it printed no reason";
	else if ((size_t)(start + length - line) + 1 < size)
		size = (size_t)(start + length - line) + 1;
	quote(line, out, size);
	return out;
}

// The "code" of an error object; 0 if it has none.
static json_int_t code_in(const json_t *said)
{
	return json_integer_value(json_object_get(said, "code"));
}

// For a plugin that failed: its own error object if there is one, else how it ended.
static int report_failure(
        int status, const json_t *said, const struct zl_buffer *diagnostics, struct zl_error *err)
{
	json_int_t code = code_in(said);
	char message[400];
	char details[300];
	char ending[64];

	if (code == 0)
		return zl_error_set(err, ZL_INTERNAL, "%s: %s",
		        zl_status_describe(status, ending, sizeof(ending)),
		        last_line(diagnostics, message, sizeof(message)));
	quote(zl_json_string(said, "msg"), message, sizeof(message));
	quote(zl_json_string(said, "details"), details, sizeof(details));
	return zl_error_set(err, code_of(code), "%s (code %lld)%s%s",
	        message[0] != '\0' ? message : "it gave no reason", (long long)code,
	        details[0] != '\0' ? ": " : "", details);
}

static bool silent(const struct zl_buffer *text)
{
	for (size_t i = 0; i < text->length; i++) {
		if (!isspace(text->data[i]))
			return false;
	}
	return true;
}

int zl_plugin_judge(const char *command, int status, const struct zl_buffer *out,
        const struct zl_buffer *diagnostics, json_t **ret_result, struct zl_error *err)
{
	struct zl_error rubbish = ZL_ERROR_INIT;
	zl_auto(json) json_t *said = NULL;

	*ret_result = NULL;
	// Only an ADD has a result: whatever another command prints beside its success is chatter.
	if (status == 0 && strcmp(command, "ADD") != 0)
		return 0;
	if (!silent(out))
		said = zl_json_parse(
		        "its output", out->data, out->length, ZL_CNI_RESULT_MAX_BYTES, &rubbish);
	if (status != 0 && strcmp(command, "DEL") == 0 && code_in(said) == CONTAINER_UNKNOWN)
		return 0;
	if (status != 0)
		return report_failure(status, said, diagnostics, err);
	if (!silent(out) && said == NULL)
		return zl_error_set(err, ZL_INTERNAL, "%s", rubbish.message);
	*ret_result = zl_take(said);
	return 0;
}

static int run(const struct zl_plugin_call *call, json_t **ret_result, struct zl_error *err)
{
	char program[PATH_MAX];
	const char *const argv[] = {program, NULL};
	zl_auto(strv) char **env = NULL;
	zl_auto(buffer) struct zl_buffer input = ZL_BUFFER_INIT;
	zl_auto(buffer) struct zl_buffer out = ZL_BUFFER_LIMIT(ZL_CNI_RESULT_MAX_BYTES);
	zl_auto(buffer) struct zl_buffer diagnostics = ZL_BUFFER_LIMIT(STDERR_LIMIT);
	struct zl_spawn spawn = ZL_SPAWN_INIT;
	int status = 0;

	if (zl_plugin_find(call->bin_dirs, call->type, program, err) < 0)
		return -1;
	env = make_environment(call, err);
	if (env == NULL || zl_json_print(call->request, &input, err) < 0)
		return -1;
	spawn.program = program;
	spawn.argv = argv;
	spawn.env = (const char *const *)env;
	if (zl_spawn_run(&spawn, input.data, input.length, &out, &diagnostics, call->cancel,
	            call->timeout_ms, &status, err) < 0)
		return -1;
	return zl_plugin_judge(call->command, status, &out, &diagnostics, ret_result, err);
}

int zl_plugin_run(const struct zl_plugin_call *call, json_t **ret_result, struct zl_error *err)
{
	struct zl_error ignored = ZL_ERROR_INIT;

	if (err == NULL)
		err = &ignored;
	*ret_result = NULL;
	if (run(call, ret_result, err) < 0)
		return zl_error_wrap(err, "plugin %s %s", call->type, call->command);
	return 0;
}
