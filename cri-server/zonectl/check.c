// SPDX-License-Identifier: Apache-2.0
//
// zonectl check: the table, and its output.
#include "cri-server/zonectl/check.h"

#include <string.h>

#include "api.pb-c.h"
#include "base/file.h"
#include "base/json.h"
#include "cri-server/zonectl/zonectl.h"

#define MODPROBE(name) "modprobe " name " (systemd-modules-load does it at boot)"

enum { FILE_LIMIT = 4 << 20 };

const struct zl_check zl_checks[] = {
        {"Xen", true, zl_check_dom0, NULL, NULL},
        {"hardware virtualisation", true, zl_check_pvh, NULL, NULL},
        {"xenstored", true, zl_check_xenstored, NULL, NULL},
        {"xenconsoled", true, zl_check_xenconsoled, NULL, NULL},
#ifdef ZL_WITH_HYPERVISOR
        {"Xen memory", true, zl_check_xen_memory, NULL, NULL},
#endif
        {"module xen-blkback", true, zl_check_module, "xen-blkback", MODPROBE("xen-blkback")},
        {"module xen-netback", true, zl_check_module, "xen-netback", MODPROBE("xen-netback")},
        {"module xen-gntdev", true, zl_check_module, "xen-gntdev", MODPROBE("xen-gntdev")},
        {"module xen-evtchn", true, zl_check_module, "xen-evtchn", MODPROBE("xen-evtchn")},
        {"module loop", true, zl_check_module, "loop", MODPROBE("loop")},
        {"module dm_mod", true, zl_check_module, "dm_mod", MODPROBE("dm_mod")},
        {"module erofs", false, zl_check_module, "erofs", NULL},
        {"module overlay", false, zl_check_module, "overlay", NULL},
        {"module act_mirred", true, zl_check_module, "act_mirred", NULL},
        {"module cls_u32", true, zl_check_module, "cls_u32", NULL},
        {"module sch_ingress", true, zl_check_module, "sch_ingress", NULL},
        {"loop devices", true, zl_check_device, "/dev/loop-control", MODPROBE("loop")},
        {"device mapper", true, zl_check_device, "/dev/mapper/control", MODPROBE("dm_mod")},
        {"zone kernel", true, zl_check_zone_kernel, NULL, NULL},
        {"zone root", true, zl_check_zone_root, NULL, NULL},
        {"hotplug helper", true, zl_check_helper, "hotplug", NULL},
        {"image puller", false, zl_check_helper, "pull", NULL},
        {"9P server", true, zl_check_helper, "share", NULL},
        {"supervisor", false, zl_check_helper, "supervisor", NULL},
        {"user of the puller", false, zl_check_user, NULL, NULL},
        {"mkfs.erofs", false, zl_check_program, "mkfs.erofs", "apt install erofs-utils"},
        {"mke2fs", true, zl_check_program, "mke2fs", "apt install e2fsprogs"},
        {"crun", false, zl_check_program, "crun", "apt install crun"},
        {"cgroup version 2", false, zl_check_cgroup2, NULL, NULL},
        {"AppArmor", false, zl_check_apparmor, "apparmor_parser", "apt install apparmor"},
        {"CNI", false, zl_check_cni, NULL, NULL},
};
const size_t zl_check_count = ZL_ARRAY_SIZE(zl_checks);

struct zl_check_finding zl_check_ok(const char *found)
{
	return (struct zl_check_finding){ZL_CHECK_OK, found, ""};
}

struct zl_check_finding zl_check_warning(const char *found, const char *remedy)
{
	return (struct zl_check_finding){ZL_CHECK_WARNING, found, remedy};
}

struct zl_check_finding zl_check_missing(const char *found, const char *remedy)
{
	return (struct zl_check_finding){ZL_CHECK_MISSING, found, remedy};
}

const char *zl_check_path(const struct zl_check_context *context, const char *path)
{
	return zl_arena_printf(context->arena, "%s%s", context->root, path);
}

const char *zl_check_read(const struct zl_check_context *context, const char *path)
{
	zl_auto(buffer) struct zl_buffer text = ZL_BUFFER_INIT;
	char *copy;

	if (zl_file_read(zl_check_path(context, path), FILE_LIMIT, &text, NULL) < 0)
		return NULL;
	// Arguments in /proc/PID/cmdline are separated by NUL.
	for (size_t i = 0; i < text.length; i++) {
		if (text.data[i] == '\0')
			text.data[i] = ' ';
	}
	while (text.length > 0 && strchr(" \n\t", text.data[text.length - 1]) != NULL)
		text.length--;
	copy = zl_arena_strndup(context->arena, (const char *)text.data, text.length);
	return copy;
}

static bool offers_zones(const struct zl_config *config)
{
	for (const char *const *handler = config->handlers; *handler != NULL; handler++) {
		if (strcmp(*handler, "zone") == 0)
			return true;
	}
	return false;
}

struct zl_check_finding zl_check_run(
        const struct zl_check *check, const struct zl_check_context *context)
{
	if (check->zones && !offers_zones(context->config))
		return (struct zl_check_finding){ZL_CHECK_SKIPPED, "", ""};
	return check->run(check, context);
}

// ---- the daemon

static const char *conditions_text(
        const Runtime__V1__StatusResponse *response, bool *ret_good, struct zl_arena *arena)
{
	const char *text = "";

	*ret_good = response->status != NULL;
	for (size_t i = 0; *ret_good && i < response->status->n_conditions; i++) {
		const Runtime__V1__RuntimeCondition *condition = response->status->conditions[i];

		if (condition->status)
			continue;
		text = zl_arena_printf(arena, "%s%s is not so: %s %s", text[0] != '\0' ? "; " : "",
		        condition->type, condition->reason, condition->message);
	}
	if (text[0] != '\0')
		*ret_good = false;
	return text;
}

static struct zl_check_finding check_daemon(struct zl_zonectl *ctl)
{
	Runtime__V1__VersionRequest version_request = RUNTIME__V1__VERSION_REQUEST__INIT;
	Runtime__V1__StatusRequest status_request = RUNTIME__V1__STATUS_REQUEST__INIT;
	Runtime__V1__VersionResponse *version = NULL;
	Runtime__V1__StatusResponse *status = NULL;
	struct zl_error err = ZL_ERROR_INIT;
	const char *conditions;
	bool good;

	if (zl_zonectl_connect(ctl, &err) == 0)
		version = ZL_CRI_CALL(ctl->client, runtime_service, Version, &version_request,
		        &ctl->arena, ZL_ZONECTL_TIMEOUT_MS, &err);
	if (version == NULL)
		return zl_check_missing(zl_arena_strdup(&ctl->arena, err.message),
		        "systemctl enable --now zoneletd.service; journalctl -u zoneletd says why "
		        "it does not run");
	status = ZL_CRI_CALL(ctl->client, runtime_service, Status, &status_request, &ctl->arena,
	        ZL_ZONECTL_TIMEOUT_MS, &err);
	if (status == NULL)
		return zl_check_missing(zl_arena_strdup(&ctl->arena, err.message),
		        "journalctl -u zoneletd says more");
	conditions = conditions_text(status, &good, &ctl->arena);
	if (!good)
		return zl_check_missing(conditions, "journalctl -u zoneletd says more");
	return zl_check_ok(zl_arena_printf(
	        &ctl->arena, "%s %s, ready", version->runtime_name, version->runtime_version));
}

// ---- output

static const char *const result_names[] = {
        [ZL_CHECK_OK] = "ok",
        [ZL_CHECK_WARNING] = "warning",
        [ZL_CHECK_MISSING] = "missing",
        [ZL_CHECK_SKIPPED] = "skipped",
};

static void report(struct zl_zonectl *ctl, json_t *list, const char *name,
        const struct zl_check_finding *finding, unsigned counts[static 4])
{
	counts[finding->result]++;
	if (ctl->json) {
		(void)json_array_append_new(
		        list, json_pack("{s:s, s:s, s:s, s:s}", "check", name, "result",
		                      result_names[finding->result], "found", finding->found,
		                      "remedy", finding->remedy));
		return;
	}
	if (finding->result == ZL_CHECK_SKIPPED)
		return;
	printf("%-8s %-24s %s\n", result_names[finding->result], name, finding->found);
	if (finding->remedy[0] != '\0')
		printf("%-8s %-24s -> %s\n", "", "", finding->remedy);
}

int zl_command_check(struct zl_zonectl *ctl, struct zl_error *err)
{
	struct zl_check_context context = {
	        .root = "", .config = &ctl->config, .arena = &ctl->arena};
	zl_auto(json) json_t *list = json_array();
	struct zl_check_finding daemon;
	unsigned counts[4] = {0};

	if (ctl->argc > 0)
		return zl_error_set(err, ZL_INVALID_ARGUMENT, "check takes no argument");
	for (size_t i = 0; i < zl_check_count; i++) {
		struct zl_check_finding finding = zl_check_run(&zl_checks[i], &context);

		report(ctl, list, zl_checks[i].name, &finding, counts);
	}
	daemon = check_daemon(ctl);
	report(ctl, list, "zoneletd", &daemon, counts);
	if (ctl->json) {
		(void)json_dumpf(list, stdout, JSON_INDENT(2));
		printf("\n");
	} else if (counts[ZL_CHECK_MISSING] > 0) {
		printf("\n%u of %u are missing: pods cannot run before that is mended\n",
		        counts[ZL_CHECK_MISSING],
		        counts[ZL_CHECK_MISSING] + counts[ZL_CHECK_WARNING] + counts[ZL_CHECK_OK]);
	} else {
		printf("\nthis node can run pods%s\n",
		        counts[ZL_CHECK_WARNING] > 0 ? ", with the warnings above" : "");
	}
	return counts[ZL_CHECK_MISSING] > 0 ? 1 : 0;
}
