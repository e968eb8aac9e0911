// SPDX-License-Identifier: Apache-2.0
//
// Checks of the hypervisor and its daemons.
#include <dirent.h>
#include <inttypes.h>
#include <string.h>

#include "base/cleanup.h"
#include "cri-server/zonectl/check.h"
#ifdef ZL_WITH_HYPERVISOR
#include "hypervisor/hypervisor.h"
#endif

struct zl_check_finding zl_check_dom0(
        const struct zl_check *check, const struct zl_check_context *context)
{
	const char *capabilities = zl_check_read(context, "/proc/xen/capabilities");
	const char *type = zl_check_read(context, "/sys/hypervisor/type");
	const char *major = zl_check_read(context, "/sys/hypervisor/version/major");
	const char *minor = zl_check_read(context, "/sys/hypervisor/version/minor");
	const char *extra = zl_check_read(context, "/sys/hypervisor/version/extra");

	(void)check;
	if (type == NULL || strcmp(type, "xen") != 0)
		return zl_check_missing("this machine does not run under Xen",
		        "install xen-hypervisor-amd64 and reboot into the GRUB entry \"… with "
		        "Xen\"");
	if (capabilities == NULL)
		return zl_check_missing("/proc/xen is not mounted",
		        "mount -t xenfs xenfs /proc/xen (xen.service does it)");
	if (strstr(capabilities, "control_d") == NULL)
		return zl_check_missing("this is a guest of Xen, not its dom0",
		        "run zonelet in dom0, or configure `handlers: [host]`");
	return zl_check_ok(
	        zl_arena_printf(context->arena, "Xen %s.%s%s", major != NULL ? major : "?",
	                minor != NULL ? minor : "?", extra != NULL ? extra : ""));
}

struct zl_check_finding zl_check_pvh(
        const struct zl_check *check, const struct zl_check_context *context)
{
	const char *capabilities =
	        zl_check_read(context, "/sys/hypervisor/properties/capabilities");
	bool forced = context->config->zone.type == ZL_ZONE_TYPE_PVH;

	(void)check;
	// Without Xen the check before this one has said it all.
	if (capabilities == NULL)
		return (struct zl_check_finding){ZL_CHECK_SKIPPED, "", ""};
	if (strstr(capabilities, "hvm-3.0-x86_64") != NULL)
		return zl_check_ok("zones run as PVH");
	if (forced)
		return zl_check_missing("there is none, and zone.type is pvh",
		        "switch VT-x or AMD-V on in the firmware, or set zone.type to auto");
	return zl_check_warning("there is none: zones run as PV, which starts slower",
	        "switch VT-x or AMD-V on in the firmware");
}

struct zl_check_finding zl_check_xenstored(
        const struct zl_check *check, const struct zl_check_context *context)
{
	static const char *const places[] = {
	        "/run/xenstored/socket", "/var/run/xenstored/socket", "/proc/xen/xsd_kva"};

	(void)check;
	for (size_t i = 0; i < ZL_ARRAY_SIZE(places); i++) {
		if (access(zl_check_path(context, places[i]), F_OK) == 0)
			return zl_check_ok(i < 2 ? "runs" : "runs in a domain of its own");
	}
	return zl_check_missing("does not run", "systemctl enable --now xen.service");
}

// The command line of the first process with this name, arguments separated by spaces; NULL if
// there is none. comm is cut to 15 characters by the kernel (proc(5)).
static const char *find_process(const struct zl_check_context *context, const char *name)
{
	zl_auto(dir) DIR *proc = opendir(zl_check_path(context, "/proc"));
	struct dirent *entry;

	// NOLINTNEXTLINE(concurrency-mt-unsafe): one thread
	while (proc != NULL && (entry = readdir(proc)) != NULL) {
		const char *path;
		const char *comm;

		if (entry->d_name[0] < '1' || entry->d_name[0] > '9')
			continue;
		path = zl_arena_printf(context->arena, "/proc/%s/comm", entry->d_name);
		comm = zl_check_read(context, path);
		if (comm == NULL || strcmp(comm, name) != 0)
			continue;
		path = zl_arena_printf(context->arena, "/proc/%s/cmdline", entry->d_name);
		return zl_check_read(context, path);
	}
	return NULL;
}

struct zl_check_finding zl_check_xenconsoled(
        const struct zl_check *check, const struct zl_check_context *context)
{
	const char *command = find_process(context, "xenconsoled");

	(void)check;
	if (command == NULL)
		return zl_check_missing("does not run", "systemctl enable --now xen.service");
	if (strstr(command, "--log=guest") == NULL && strstr(command, "--log=all") == NULL)
		return zl_check_warning("runs, but keeps no consoles for `zonectl console`",
		        "set XENCONSOLED_TRACE=guest in /etc/default/xen and restart xen.service");
	return zl_check_ok("runs and keeps the zones' consoles");
}

#ifdef ZL_WITH_HYPERVISOR
struct zl_check_finding zl_check_xen_memory(
        const struct zl_check *check, const struct zl_check_context *context)
{
	const struct zl_config *config = context->config;
	uint64_t need = config->zone.memory_bytes + config->zone.overhead_bytes;
	struct zl_error err = ZL_ERROR_INIT;
	struct zl_host_info info;
	const char *found;

	(void)check;
	if (context->root[0] != '\0')
		return (struct zl_check_finding){ZL_CHECK_SKIPPED, "", ""};
	zl_auto(hypervisor) struct zl_hypervisor *xen = zl_xen_open(config->zone.hotplug, &err);

	if (xen == NULL || xen->ops->host_info(xen, &info, &err) < 0)
		return zl_check_missing(zl_arena_strdup(context->arena, err.message),
		        "run as root in dom0, with xen.service running");
	found = zl_arena_printf(context->arena, "%" PRIu64 " MiB free of %" PRIu64,
	        info.memory_free_bytes >> 20, info.memory_total_bytes >> 20);
	if (info.memory_free_bytes < need)
		return zl_check_missing(found,
		        "not enough for a zone of default size: give dom0 less (dom0_mem=… on the "
		        "hypervisor's command line), or end zones");
	return zl_check_ok(found);
}
#endif
