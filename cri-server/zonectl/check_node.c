// SPDX-License-Identifier: Apache-2.0
//
// Checks of the node's kernel and programs.
#include <string.h>
#include <sys/utsname.h>

#include "base/cleanup.h"
#include "cri-server/zonectl/check.h"

// Whether a line of a list of modules (modules.builtin, modules.dep) is of this module:
// "kernel/drivers/block/xen-blkback/xen-blkback.ko.xz: …". Names are compared with - as _.
static bool line_names(const char *line, size_t length, const char *module)
{
	size_t wanted = strlen(module);
	const char *base = line;

	for (size_t i = 0; i < length && line[i] != ':'; i++) {
		if (line[i] == '/')
			base = line + i + 1;
	}
	if ((size_t)(line + length - base) < wanted + 3)
		return false;
	for (size_t i = 0; i < wanted; i++) {
		char there = base[i] == '-' ? '_' : base[i];
		char here = module[i] == '-' ? '_' : module[i];

		if (there != here)
			return false;
	}
	return strncmp(base + wanted, ".ko", 3) == 0;
}

static bool listed(const struct zl_check_context *context, const char *list, const char *module)
{
	struct utsname name;
	const char *text = NULL;

	if (uname(&name) == 0)
		text = zl_check_read(context,
		        zl_arena_printf(context->arena, "/lib/modules/%s/%s", name.release, list));
	while (text != NULL && *text != '\0') {
		size_t length = strcspn(text, "\n");

		if (line_names(text, length, module))
			return true;
		text += length + (text[length] == '\n');
	}
	return false;
}

struct zl_check_finding zl_check_module(
        const struct zl_check *check, const struct zl_check_context *context)
{
	char *path = zl_arena_printf(context->arena, "/sys/module/%s", check->subject);

	for (char *c = path; *c != '\0'; c++) {
		if (*c == '-')
			*c = '_';
	}
	if (access(zl_check_path(context, path), F_OK) == 0)
		return zl_check_ok("loaded");
	if (listed(context, "modules.builtin", check->subject))
		return zl_check_ok("built in");
	if (!listed(context, "modules.dep", check->subject))
		return zl_check_missing("this kernel does not have it",
		        "boot a kernel with it (Debian's linux-image-amd64 has all)");
	// Those without a remedy are loaded by the kernel when they are first used.
	if (check->remedy == NULL)
		return zl_check_ok("there, loaded when needed");
	return zl_check_missing("there, but not loaded", check->remedy);
}

struct zl_check_finding zl_check_program(
        const struct zl_check *check, const struct zl_check_context *context)
{
	static const char *const directories[] = {
	        "/usr/local/sbin", "/usr/local/bin", "/usr/sbin", "/usr/bin", "/sbin", "/bin"};

	for (size_t i = 0; i < ZL_ARRAY_SIZE(directories); i++) {
		const char *path =
		        zl_arena_printf(context->arena, "%s/%s", directories[i], check->subject);

		if (access(zl_check_path(context, path), X_OK) == 0)
			return zl_check_ok(path);
	}
	return zl_check_missing("not there", check->remedy);
}

struct zl_check_finding zl_check_device(
        const struct zl_check *check, const struct zl_check_context *context)
{
	if (access(zl_check_path(context, check->subject), F_OK) == 0)
		return zl_check_ok(check->subject);
	return zl_check_missing("not there", check->remedy);
}

struct zl_check_finding zl_check_cgroup2(
        const struct zl_check *check, const struct zl_check_context *context)
{
	(void)check;
	if (zl_check_read(context, "/sys/fs/cgroup/cgroup.controllers") != NULL)
		return zl_check_ok("the one hierarchy");
	return zl_check_warning("not the only hierarchy: pods under the host handler may not start",
	        "boot with systemd.unified_cgroup_hierarchy=1");
}

// A kernel without it, as one with SELinux, is no fault.
struct zl_check_finding zl_check_apparmor(
        const struct zl_check *check, const struct zl_check_context *context)
{
	const char *enabled = zl_check_read(context, "/sys/module/apparmor/parameters/enabled");

	if (enabled == NULL || enabled[0] != 'Y')
		return (struct zl_check_finding){ZL_CHECK_SKIPPED, "", ""};
	if (zl_check_program(check, context).result == ZL_CHECK_OK)
		return zl_check_ok("enabled, profiles can be loaded");
	return zl_check_warning(
	        "no apparmor_parser: containers under the host handler run without a profile",
	        check->remedy);
}
