// SPDX-License-Identifier: Apache-2.0
#include "cri-server/oci/resources.h"

#include <string.h>

#include "cri-server/message/message.h"

typedef Runtime__V1__LinuxContainerResources resources_t;

// -1 is "no limit" to the runtime-spec too; other negative numbers mean nothing.
static void set_number(json_t *object, const char *key, int64_t number)
{
	if (number > 0 || number == -1)
		json_object_set_new(object, key, json_integer(number));
}

static void set_text(json_t *object, const char *key, const char *text)
{
	if (text[0] != '\0')
		json_object_set_new(object, key, json_string(text));
}

// Takes the member over; an empty one is left out.
static void set_member(json_t *object, const char *key, json_t *member)
{
	if (json_object_size(member) > 0 || json_array_size(member) > 0)
		json_object_set(object, key, member);
	json_decref(member);
}

static json_t *cpu_of(const resources_t *r, bool zone)
{
	json_t *cpu = json_object();

	if (r->cpu_shares > 0)
		set_number(cpu, "shares", r->cpu_shares);
	set_number(cpu, "quota", r->cpu_quota);
	if (r->cpu_period > 0)
		set_number(cpu, "period", r->cpu_period);
	if (!zone) {
		set_text(cpu, "cpus", r->cpuset_cpus);
		set_text(cpu, "mems", r->cpuset_mems);
	}
	return cpu;
}

// A zone's kernel has no swap, nor the files that would limit it: no container there ever swaps,
// which is what the kubelet asks for unless a node is set up otherwise.
static json_t *memory_of(const resources_t *r, bool zone)
{
	json_t *memory = json_object();

	set_number(memory, "limit", r->memory_limit_in_bytes);
	if (!zone)
		set_number(memory, "swap", r->memory_swap_limit_in_bytes);
	return memory;
}

static bool is_swap_key(const char *key)
{
	return strncmp(key, "memory.swap.", 12) == 0 || strncmp(key, "memory.zswap.", 13) == 0;
}

static json_t *hugepages_of(const resources_t *r, bool zone)
{
	json_t *list = json_array();

	for (size_t i = 0; i < r->n_hugepage_limits; i++) {
		const Runtime__V1__HugepageLimit *limit = r->hugepage_limits[i];

		if (zone && limit->limit == 0)
			continue;
		json_array_append_new(list, json_pack("{s:s, s:I}", "pageSize", limit->page_size,
		                                    "limit", (json_int_t)limit->limit));
	}
	return list;
}

static json_t *unified_of(const resources_t *r, bool zone)
{
	json_t *unified = json_object();

	for (size_t i = 0; i < r->n_unified; i++) {
		if (zone && is_swap_key(r->unified[i]->key))
			continue;
		json_object_set_new(unified, r->unified[i]->key, json_string(r->unified[i]->value));
	}
	return unified;
}

json_t *zl_oci_resources(const resources_t *resources, bool zone)
{
	json_t *object = json_object();

	if (object == NULL || resources == NULL)
		return object;
	set_member(object, "cpu", cpu_of(resources, zone));
	set_member(object, "memory", memory_of(resources, zone));
	set_member(object, "hugepageLimits", hugepages_of(resources, zone));
	set_member(object, "unified", unified_of(resources, zone));
	return object;
}

// ---- one over another

static void merge_number(int64_t *to, int64_t over)
{
	if (over != 0)
		*to = over;
}

static void merge_text(const char **to, const char *over)
{
	if (over[0] != '\0')
		*to = over;
}

static void merge_hugepages(struct zl_arena *arena, resources_t *to, const resources_t *over)
{
	Runtime__V1__HugepageLimit **list = zl_arena_array(
	        arena, to->n_hugepage_limits + over->n_hugepage_limits, sizeof(*list));
	size_t count = to->n_hugepage_limits;

	for (size_t i = 0; i < count; i++)
		list[i] = to->hugepage_limits[i];
	for (size_t i = 0; i < over->n_hugepage_limits; i++) {
		size_t at = 0;

		while (at < count &&
		        strcmp(list[at]->page_size, over->hugepage_limits[i]->page_size) != 0)
			at++;
		list[at] = over->hugepage_limits[i];
		if (at == count)
			count++;
	}
	to->hugepage_limits = list;
	to->n_hugepage_limits = count;
}

static void merge_unified(struct zl_arena *arena, resources_t *to, const resources_t *over)
{
	Runtime__V1__LinuxContainerResources__UnifiedEntry **list =
	        zl_arena_array(arena, to->n_unified + over->n_unified, sizeof(*list));
	size_t count = to->n_unified;

	for (size_t i = 0; i < count; i++)
		list[i] = to->unified[i];
	for (size_t i = 0; i < over->n_unified; i++) {
		size_t at = 0;

		while (at < count && strcmp(list[at]->key, over->unified[i]->key) != 0)
			at++;
		list[at] = over->unified[i];
		if (at == count)
			count++;
	}
	to->unified = list;
	to->n_unified = count;
}

resources_t *zl_resources_merge(
        struct zl_arena *arena, const resources_t *under, const resources_t *over)
{
	struct zl_arena scratch = ZL_ARENA_INIT;
	resources_t *merged;
	resources_t both;

	if (under == NULL && over == NULL)
		return ZL_MESSAGE_NEW(arena, LinuxContainerResources, linux_container_resources);
	if (under == NULL || over == NULL)
		return zl_message_copy(arena, under != NULL ? &under->base : &over->base);
	both = *under;
	merge_number(&both.cpu_period, over->cpu_period);
	merge_number(&both.cpu_quota, over->cpu_quota);
	merge_number(&both.cpu_shares, over->cpu_shares);
	merge_number(&both.memory_limit_in_bytes, over->memory_limit_in_bytes);
	merge_number(&both.memory_swap_limit_in_bytes, over->memory_swap_limit_in_bytes);
	merge_number(&both.oom_score_adj, over->oom_score_adj);
	merge_text(&both.cpuset_cpus, over->cpuset_cpus);
	merge_text(&both.cpuset_mems, over->cpuset_mems);
	merge_hugepages(&scratch, &both, over);
	merge_unified(&scratch, &both, over);
	merged = zl_message_copy(arena, &both.base);
	zl_arena_release(&scratch);
	return merged;
}
