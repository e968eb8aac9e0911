// SPDX-License-Identifier: Apache-2.0
//
// zonectl zones: the pods that are zones, with what their domains have.
#include <inttypes.h>
#include <string.h>

#include "base/clock.h"
#include "base/json.h"
#include "cri-server/zonectl/pods.h"

static const char *duration_text(int64_t ns, struct zl_arena *arena)
{
	int64_t seconds = ns / ZL_NS_PER_SECOND;

	if (ns <= 0)
		return "-";
	if (seconds < 60)
		return zl_arena_printf(arena, "%" PRId64 "s", seconds);
	if (seconds < 3600)
		return zl_arena_printf(
		        arena, "%" PRId64 "m%" PRId64 "s", seconds / 60, seconds % 60);
	if (seconds < 86400)
		return zl_arena_printf(
		        arena, "%" PRId64 "h%" PRId64 "m", seconds / 3600, seconds / 60 % 60);
	return zl_arena_printf(
	        arena, "%" PRId64 "d%" PRId64 "h", seconds / 86400, seconds / 3600 % 24);
}

static void print_row(const struct zl_pod *pod, int pod_width, struct zl_arena *arena)
{
	const char *pod_name = zl_arena_printf(arena, "%s/%s", pod->namespace_, pod->name);
	const char *domid = pod->domid < 0 ? "-" : zl_arena_printf(arena, "%" PRId64, pod->domid);
	const char *memory = pod->memory_bytes <= 0 ? "-"
	                                            : zl_arena_printf(arena, "%" PRId64 "M",
	                                                      pod->memory_bytes >> 20);
	const char *vcpus = pod->vcpus <= 0 ? "-" : zl_arena_printf(arena, "%" PRId64, pod->vcpus);

	printf("%-6s %-*s %-13.13s %-8s %8s %6s %9s  %s%s%s\n", domid, pod_width, pod_name, pod->id,
	        pod->handler, memory, vcpus, duration_text(pod->uptime_ns, arena), pod->state,
	        pod->reason[0] != '\0' ? ": " : "", pod->reason);
}

static bool shown(const struct zl_zonectl *ctl, const struct zl_pod *pod)
{
	return ctl->all || pod->domid >= 0;
}

static void print_table(struct zl_zonectl *ctl, const struct zl_pod *pods, size_t count)
{
	int width = 20;

	for (size_t i = 0; i < count; i++) {
		size_t length = strlen(pods[i].namespace_) + 1 + strlen(pods[i].name);

		if (shown(ctl, &pods[i]) && length > (size_t)width && length < 120)
			width = (int)length;
	}
	printf("%-6s %-*s %-13s %-8s %8s %6s %9s  %s\n", "DOMID", width, "POD", "ID", "HANDLER",
	        "MEMORY", "VCPUS", "UPTIME", "STATE");
	for (size_t i = 0; i < count; i++) {
		if (shown(ctl, &pods[i]))
			print_row(&pods[i], width, &ctl->arena);
	}
}

static json_t *pod_json(const struct zl_pod *pod)
{
	return json_pack("{s:s, s:s, s:s, s:s, s:s, s:s, s:I, s:I, s:I, s:I, s:s}", "id", pod->id,
	        "namespace", pod->namespace_, "name", pod->name, "state", pod->state, "handler",
	        pod->handler, "domain", pod->domain_name, "domid", (json_int_t)pod->domid,
	        "memoryBytes", (json_int_t)pod->memory_bytes, "vcpus", (json_int_t)pod->vcpus,
	        "uptimeNs", (json_int_t)pod->uptime_ns, "reason", pod->reason);
}

static int print_json(
        struct zl_zonectl *ctl, const struct zl_pod *pods, size_t count, struct zl_error *err)
{
	zl_auto(json) json_t *list = json_array();

	for (size_t i = 0; i < count; i++) {
		if (shown(ctl, &pods[i]) && json_array_append_new(list, pod_json(&pods[i])) < 0)
			return zl_error_nomem(err);
	}
	if (json_dumpf(list, stdout, JSON_INDENT(2)) < 0)
		return zl_error_set(err, ZL_INTERNAL, "cannot write");
	printf("\n");
	return 0;
}

int zl_command_zones(struct zl_zonectl *ctl, struct zl_error *err)
{
	struct zl_pod *pods;
	size_t count;

	if (ctl->argc > 0)
		return zl_error_set(err, ZL_INVALID_ARGUMENT, "zones takes no argument");
	if (zl_pods_list(ctl, &pods, &count, err) < 0)
		return -1;
	if (ctl->json)
		return print_json(ctl, pods, count, err);
	print_table(ctl, pods, count);
	return 0;
}
