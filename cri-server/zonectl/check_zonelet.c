// SPDX-License-Identifier: Apache-2.0
//
// Checks of what zonelet itself brings, and of its configuration.
#include <dirent.h>
#include <fcntl.h>
#include <inttypes.h>
#include <pwd.h>
#include <string.h>
#include <sys/stat.h>

#include "base/cleanup.h"
#include "base/json.h"
#include "cri-server/zonectl/check.h"

enum {
	CONFLIST_LIMIT = 1 << 20,
	EROFS_MAGIC_AT = 1024, // Linux: fs/erofs/erofs_fs.h, EROFS_SUPER_OFFSET
};

static struct zl_check_finding file_finding(
        const struct zl_check_context *context, const char *path, int mode, const char *remedy)
{
	struct stat status;
	const char *there = zl_check_path(context, path);

	if (stat(there, &status) < 0 || access(there, mode) < 0)
		return zl_check_missing(zl_arena_printf(context->arena, "%s: %m", path), remedy);
	if (!S_ISREG(status.st_mode))
		return zl_check_missing(
		        zl_arena_printf(context->arena, "%s is not a file", path), remedy);
	return zl_check_ok(zl_arena_printf(
	        context->arena, "%s, %.1f MiB", path, (double)status.st_size / (1 << 20)));
}

struct zl_check_finding zl_check_zone_kernel(
        const struct zl_check *check, const struct zl_check_context *context)
{
	(void)check;
	return file_finding(context, context->config->zone.kernel, R_OK,
	        "install the zonelet package, or set zone.kernel to a kernel with Xen support");
}

static bool is_erofs(const char *path)
{
	static const unsigned char magic[] = {0xe2, 0xe1, 0xf5, 0xe0};
	unsigned char there[sizeof(magic)];
	zl_auto(fd) int fd = open(path, O_RDONLY | O_CLOEXEC);

	return fd >= 0 && pread(fd, there, sizeof(there), EROFS_MAGIC_AT) == sizeof(there) &&
	       memcmp(there, magic, sizeof(magic)) == 0;
}

struct zl_check_finding zl_check_zone_root(
        const struct zl_check *check, const struct zl_check_context *context)
{
	static const char remedy[] =
	        "install the zonelet package, or set zone.root_image to its zone root";
	const char *path = context->config->zone.root_image;
	struct zl_check_finding finding = file_finding(context, path, R_OK, remedy);

	(void)check;
	if (finding.result == ZL_CHECK_OK && !is_erofs(zl_check_path(context, path)))
		return zl_check_missing(
		        zl_arena_printf(context->arena, "%s is not an EROFS image", path), remedy);
	return finding;
}

struct zl_check_finding zl_check_helper(
        const struct zl_check *check, const struct zl_check_context *context)
{
	const struct zl_config *config = context->config;
	const struct {
		const char *subject;
		const char *path;
	} helpers[] = {
	        {"pull", config->images.puller},
	        {"hotplug", config->zone.hotplug},
	        {"share", config->zone.share_server},
	        {"supervisor", config->host.supervisor},
	};
	const char *path = NULL;

	for (size_t i = 0; i < ZL_ARRAY_SIZE(helpers) && path == NULL; i++) {
		if (strcmp(check->subject, helpers[i].subject) == 0)
			path = helpers[i].path;
	}
	return file_finding(context, path, X_OK, "install the zonelet package");
}

struct zl_check_finding zl_check_user(
        const struct zl_check *check, const struct zl_check_context *context)
{
	const char *user = context->config->images.puller_user;
	char buffer[4096];
	struct passwd entry;
	struct passwd *found = NULL;

	(void)check;
	if (user[0] == '\0')
		return zl_check_warning("images are pulled as the daemon's own user",
		        "set images.puller_user to an unprivileged one");
	if (getpwnam_r(user, &entry, buffer, sizeof(buffer), &found) != 0 || found == NULL)
		return zl_check_missing(
		        zl_arena_printf(context->arena, "there is no user %s", user),
		        "systemd-sysusers /usr/lib/sysusers.d/zonelet.conf");
	if (found->pw_uid == 0)
		return zl_check_warning(
		        "it is root", "set images.puller_user to an unprivileged user");
	return zl_check_ok(
	        zl_arena_printf(context->arena, "%s, uid %u", user, (unsigned)found->pw_uid));
}

// ---- CNI

static bool is_config_name(const char *name)
{
	const char *dot = strrchr(name, '.');

	return dot != NULL && (strcmp(dot, ".conflist") == 0 || strcmp(dot, ".conf") == 0 ||
	                              strcmp(dot, ".json") == 0);
}

// The first configuration by name, as every runtime takes it; NULL if there is none.
static const char *first_config(const struct zl_check_context *context)
{
	const char *directory = context->config->cni.conf_dir;
	zl_auto(dir) DIR *dir = opendir(zl_check_path(context, directory));
	const char *first = NULL;
	struct dirent *entry;

	// NOLINTNEXTLINE(concurrency-mt-unsafe): one thread
	while (dir != NULL && (entry = readdir(dir)) != NULL) {
		if (is_config_name(entry->d_name) &&
		        (first == NULL || strcmp(entry->d_name, first) < 0))
			first = zl_arena_strdup(context->arena, entry->d_name);
	}
	return first == NULL ? NULL : zl_arena_printf(context->arena, "%s/%s", directory, first);
}

static bool plugin_there(const struct zl_check_context *context, const char *type)
{
	for (const char *const *dir = context->config->cni.bin_dirs; *dir != NULL; dir++) {
		const char *path = zl_arena_printf(context->arena, "%s/%s", *dir, type);

		if (strchr(type, '/') == NULL && access(zl_check_path(context, path), X_OK) == 0)
			return true;
	}
	return false;
}

// The types of the configuration's plugins and of their address management that are not there.
static const char *missing_plugins(const struct zl_check_context *context, const json_t *conflist)
{
	const json_t *plugins = json_object_get(conflist, "plugins");
	const char *missing = "";
	const json_t *plugin;
	size_t i;

	if (!json_is_array(plugins))
		return "";
	json_array_foreach(plugins, i, plugin)
	{
		const char *types[] = {zl_json_string(plugin, "type"),
		        zl_json_string(json_object_get(plugin, "ipam"), "type")};

		for (size_t j = 0; j < ZL_ARRAY_SIZE(types); j++) {
			if (types[j] != NULL && !plugin_there(context, types[j]))
				missing =
				        zl_arena_printf(context->arena, "%s %s", missing, types[j]);
		}
	}
	return missing;
}

struct zl_check_finding zl_check_cni(
        const struct zl_check *check, const struct zl_check_context *context)
{
	const char *path = first_config(context);
	struct zl_error err = ZL_ERROR_INIT;
	const char *missing;
	const char *text;

	(void)check;
	if (path == NULL)
		return zl_check_missing(zl_arena_printf(context->arena, "no configuration in %s",
		                                context->config->cni.conf_dir),
		        "install a network add-on, or copy the example in /usr/share/doc/zonelet");
	text = zl_check_read(context, path);
	zl_auto(json) json_t *conflist =
	        text == NULL ? NULL : zl_json_parse(path, text, strlen(text), CONFLIST_LIMIT, &err);
	if (conflist == NULL)
		return zl_check_missing(
		        text == NULL ? zl_arena_printf(context->arena, "%s cannot be read", path)
		                     : zl_arena_strdup(context->arena, err.message),
		        "mend it");
	missing = missing_plugins(context, conflist);
	if (missing[0] != '\0')
		return zl_check_missing(
		        zl_arena_printf(context->arena, "%s wants the plugins:%s", path, missing),
		        "install containernetworking-plugins, or what brings them, into "
		        "cni.bin_dirs");
	return zl_check_ok(path);
}
