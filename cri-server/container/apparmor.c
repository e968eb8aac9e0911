// SPDX-License-Identifier: Apache-2.0
#include "cri-server/container/apparmor.h"

#include <string.h>

#include "base/file.h"
#include "base/log.h"
#include "base/spawn.h"

enum {
	PROFILES_MAX = 4 * 1024 * 1024,
	OUTPUT_MAX = 16 * 1024,
	PARSER_TIMEOUT_MS = 60 * 1000,
};

void zl_apparmor_init(struct zl_apparmor *apparmor)
{
	apparmor->profiles = ZL_APPARMOR_PROFILES;
	apparmor->parser = "apparmor_parser";
	atomic_init(&apparmor->current, false);
	atomic_init(&apparmor->warned, false);
	zl_gate_init(&apparmor->gate);
}

void zl_apparmor_release(struct zl_apparmor *apparmor)
{
	zl_gate_release(&apparmor->gate);
}

// The list; NULL where the kernel has none.
static const char *read_profiles(const struct zl_apparmor *apparmor, struct zl_buffer *text)
{
	zl_buffer_release(text);
	if (zl_file_read(apparmor->profiles, PROFILES_MAX, text, NULL) < 0)
		return NULL;
	return zl_buffer_string(text);
}

bool zl_apparmor_enabled(const struct zl_apparmor *apparmor)
{
	zl_auto(buffer) struct zl_buffer text = ZL_BUFFER_INIT;

	return read_profiles(apparmor, &text) != NULL;
}

// Not from the cache and not into it: the text is this program's, not a file of the node.
static int run_parser(
        const struct zl_apparmor *apparmor, const struct zl_cancel *cancel, struct zl_error *err)
{
	const char *argv[] = {apparmor->parser, "--replace", "--skip-cache", "--quiet", NULL};
	zl_auto(buffer) struct zl_buffer out = ZL_BUFFER_LIMIT(OUTPUT_MAX);
	zl_auto(buffer) struct zl_buffer said = ZL_BUFFER_LIMIT(OUTPUT_MAX);
	struct zl_spawn spawn = ZL_SPAWN_INIT;
	char reason[64];
	int status = 0;

	spawn.program = apparmor->parser;
	spawn.argv = argv;
	if (zl_spawn_run(&spawn, zl_apparmor_default_text, strlen(zl_apparmor_default_text), &out,
	            &said, cancel, PARSER_TIMEOUT_MS, &status, err) < 0)
		return zl_error_wrap(err, "load AppArmor profile " ZL_APPARMOR_DEFAULT);
	if (status != 0)
		return zl_error_set(err, ZL_INTERNAL,
		        "load AppArmor profile " ZL_APPARMOR_DEFAULT ": %s: %s: %.500s",
		        apparmor->parser, zl_status_describe(status, reason, sizeof(reason)),
		        zl_buffer_string(&said));
	zl_log_info("AppArmor profile " ZL_APPARMOR_DEFAULT " is loaded");
	return 0;
}

static int load(struct zl_apparmor *apparmor, struct zl_buffer *text,
        const struct zl_cancel *cancel, struct zl_error *err)
{
	zl_auto(gate) struct zl_gate *inside = NULL;
	const char *profiles;

	if (zl_gate_enter(&apparmor->gate, true, cancel, err) < 0)
		return -1;
	inside = &apparmor->gate;
	profiles = read_profiles(apparmor, text);
	if (profiles != NULL && atomic_load(&apparmor->current) &&
	        zl_apparmor_listed(profiles, ZL_APPARMOR_DEFAULT))
		return 0; // somebody else did, meanwhile
	if (run_parser(apparmor, cancel, err) < 0)
		return -1;
	atomic_store(&apparmor->current, true);
	return 0;
}

// Without the parser there is no default profile. Who did not ask for one runs without.
static int do_without(
        struct zl_apparmor *apparmor, const struct zl_apparmor_want *want, struct zl_error *err)
{
	if (want->asked)
		return zl_error_set(err, ZL_FAILED_PRECONDITION,
		        "AppArmor profile %s cannot be loaded: there is no %s on this node (apt "
		        "install apparmor)",
		        want->name, apparmor->parser);
	if (!atomic_exchange(&apparmor->warned, true))
		zl_log_warning("containers run without AppArmor profile: there is no %s to load "
		               "the default one (apt install apparmor)",
		        apparmor->parser);
	zl_error_clear(err);
	return 0;
}

int zl_apparmor_prepare(struct zl_apparmor *apparmor, const struct zl_apparmor_want *want,
        struct zl_buffer *text, const char **ret, const struct zl_cancel *cancel,
        struct zl_error *err)
{
	*ret = read_profiles(apparmor, text);
	if (*ret == NULL || want->name == NULL || strcmp(want->name, ZL_APPARMOR_DEFAULT) != 0)
		return 0;
	if (atomic_load(&apparmor->current) && zl_apparmor_listed(*ret, ZL_APPARMOR_DEFAULT))
		return 0;
	if (load(apparmor, text, cancel, err) < 0) {
		if (err->code != ZL_NOT_FOUND)
			return -1;
		if (do_without(apparmor, want, err) < 0)
			return -1;
	}
	*ret = read_profiles(apparmor, text);
	return 0;
}
