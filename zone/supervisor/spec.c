// SPDX-License-Identifier: Apache-2.0
#include "zone/supervisor/spec.h"

#include <inttypes.h>
#include <string.h>

#include "base/id.h"
#include "base/json.h"

static int nomem(int failed, struct zl_error *err)
{
	return failed == 0 ? 0 : zl_error_nomem(err);
}

static json_t *need_object(json_t *parent, const char *key, struct zl_error *err)
{
	json_t *object = json_object_get(parent, key);

	if (!json_is_object(object)) {
		zl_error_set(err, ZL_INVALID_ARGUMENT, "the OCI spec has no object \"%s\"", key);
		return NULL;
	}
	return object;
}

static int set_root(json_t *spec, const struct zl_spec_facts *facts, struct zl_error *err)
{
	json_t *root = json_object_get(spec, "root");
	bool readonly = facts->readonly || json_is_true(json_object_get(root, "readonly"));

	return nomem(json_object_set_new(spec, "root",
	                     json_pack("{s:s, s:b}", "path", facts->root, "readonly", readonly)),
	        err);
}

static int set_user(json_t *process, const struct zl_user *user, struct zl_error *err)
{
	json_t *groups = json_array();
	int failed = groups == NULL ? -1 : 0;

	for (size_t i = 0; failed == 0 && i < user->group_count; i++)
		failed = json_array_append_new(groups, json_integer(user->groups[i]));
	if (failed == 0)
		failed = json_object_set_new(process, "user",
		        json_pack("{s:I, s:I, s:O}", "uid", (json_int_t)user->uid, "gid",
		                (json_int_t)user->gid, "additionalGids", groups));
	json_decref(groups);
	return nomem(failed, err);
}

static int set_process(json_t *spec, const struct zl_spec_facts *facts, struct zl_error *err)
{
	json_t *process = need_object(spec, "process", err);

	if (process == NULL)
		return -1;
	if (nomem(json_object_set_new(process, "terminal", json_boolean(facts->terminal)), err) < 0)
		return -1;
	return facts->user != NULL ? set_user(process, facts->user, err) : 0;
}

// ---- namespaces

#define POD_PLACEHOLDER       "zonelet:pod"
#define CONTAINER_PLACEHOLDER "zonelet:container:"

// The file in /proc/PID/ns (namespaces(7)).
static const char *file_of(const char *kind, bool pod)
{
	if (strcmp(kind, "network") == 0)
		return "net";
	return strcmp(kind, "pid") == 0 && pod ? "pid_for_children" : kind;
}

// 1: keep the entry, 0: leave it out.
static int resolve_namespace(json_t *entry, const struct zl_spec_facts *facts, struct zl_error *err)
{
	const char *path = zl_json_string(entry, "path");
	const char *kind = zl_json_string(entry, "type");
	const char *container = NULL;
	char holder_path[64];
	pid_t holder;

	if (path == NULL || kind == NULL)
		return 1;
	if (strncmp(path, CONTAINER_PLACEHOLDER, strlen(CONTAINER_PLACEHOLDER)) == 0)
		container = path + strlen(CONTAINER_PLACEHOLDER);
	else if (strcmp(path, POD_PLACEHOLDER) != 0)
		return 1;
	if (container != NULL && !zl_id_valid(container))
		return zl_error_set(
		        err, ZL_INVALID_ARGUMENT, "the namespace %s names no container", path);
	holder = facts->holder(facts->user_data, kind, container, err);
	if (holder < 0)
		return -1;
	if (holder == 0)
		return 0;
	(void)snprintf(holder_path, sizeof(holder_path), "/proc/%d/ns/%.16s", (int)holder,
	        file_of(kind, container == NULL));
	return nomem(json_object_set_new(entry, "path", json_string(holder_path)), err) < 0 ? -1
	                                                                                    : 1;
}

static int set_namespaces(
        json_t *linux_part, const struct zl_spec_facts *facts, struct zl_error *err)
{
	json_t *list = json_object_get(linux_part, "namespaces");
	size_t i = 0;

	while (i < json_array_size(list)) {
		int keep = resolve_namespace(json_array_get(list, i), facts, err);

		if (keep < 0)
			return -1;
		if (keep == 0)
			(void)json_array_remove(list, i);
		else
			i++;
	}
	return 0;
}

// ---- mounts

static json_t *find_mount(json_t *mounts, const char *destination)
{
	json_t *mount;
	size_t i;

	json_array_foreach(mounts, i, mount)
	{
		const char *at = zl_json_string(mount, "destination");

		if (at != NULL && strcmp(at, destination) == 0)
			return mount;
	}
	return NULL;
}

static json_t *bind_mount(const char *source, const char *destination, const char *option)
{
	return json_pack("{s:s, s:s, s:s, s:[s, s, s, s]}", "destination", destination, "type",
	        "bind", "source", source, "options", "rbind", option, "nosuid", "nodev");
}

static int add_mount(json_t *mounts, const char *source, const char *destination,
        const char *option, struct zl_error *err)
{
	if (source == NULL || find_mount(mounts, destination) != NULL)
		return 0;
	return nomem(json_array_append_new(mounts, bind_mount(source, destination, option)), err);
}

// A tmpfs of the container's own would not be shared in the pod.
static int set_shm(json_t *mounts, const char *shm, struct zl_error *err)
{
	json_t *mount = find_mount(mounts, "/dev/shm");
	const char *type = mount != NULL ? zl_json_string(mount, "type") : NULL;
	json_t *ours;

	if (shm == NULL)
		return 0;
	if (mount == NULL)
		return add_mount(mounts, shm, "/dev/shm", "rw", err);
	if (type == NULL || strcmp(type, "tmpfs") != 0)
		return 0;
	ours = bind_mount(shm, "/dev/shm", "rw");
	if (ours == NULL || json_object_clear(mount) < 0 || json_object_update(mount, ours) < 0) {
		json_decref(ours);
		return zl_error_nomem(err);
	}
	json_decref(ours);
	return 0;
}

static int prepare_sources(json_t *mounts, const struct zl_spec_facts *facts, struct zl_error *err)
{
	json_t *mount;
	size_t i;

	json_array_foreach(mounts, i, mount)
	{
		const char *type = zl_json_string(mount, "type");

		if (type != NULL && strcmp(type, "bind") == 0 &&
		        facts->source(facts->user_data, mount, err) < 0)
			return -1;
	}
	return 0;
}

static int set_mounts(json_t *spec, const struct zl_spec_facts *facts, struct zl_error *err)
{
	json_t *mounts = json_object_get(spec, "mounts");

	if (mounts == NULL) {
		mounts = json_array();
		if (nomem(json_object_set_new(spec, "mounts", mounts), err) < 0)
			return -1;
	}
	if (!json_is_array(mounts))
		return zl_error_set(err, ZL_INVALID_ARGUMENT, "the OCI spec's mounts are no list");
	if (facts->source != NULL && prepare_sources(mounts, facts, err) < 0)
		return -1;
	if (add_mount(mounts, facts->resolv_conf, "/etc/resolv.conf", "ro", err) < 0 ||
	        add_mount(mounts, facts->hostname, "/etc/hostname", "ro", err) < 0)
		return -1;
	return set_shm(mounts, facts->shm, err);
}

// ---- cgroup

static int get_cgroups_path(
        const json_t *linux_part, char out[static ZL_CGROUPS_PATH_SIZE], struct zl_error *err)
{
	const char *path = zl_json_string(linux_part, "cgroupsPath");

	if (path == NULL || path[0] == '\0' || strlen(path) >= ZL_CGROUPS_PATH_SIZE ||
	        strstr(path, "..") != NULL)
		return zl_error_set(
		        err, ZL_INVALID_ARGUMENT, "the OCI spec has no usable linux.cgroupsPath");
	(void)snprintf(out, ZL_CGROUPS_PATH_SIZE, "%s", path);
	return 0;
}

static int set_limits(json_t *linux_part, const struct zl_spec_facts *facts, struct zl_error *err)
{
	json_t *resources = json_object_get(linux_part, "resources");

	if (facts->limits == NULL || resources == NULL)
		return 0;
	return facts->limits(facts->user_data, resources, err);
}

int zl_spec_complete(const char *text, const struct zl_spec_facts *facts, struct zl_buffer *out,
        char ret_cgroups_path[static ZL_CGROUPS_PATH_SIZE], struct zl_error *err)
{
	zl_auto(json) json_t *spec =
	        zl_json_parse("the OCI spec", text, strlen(text), ZL_SPEC_MAX, err);
	json_t *linux_part;

	if (spec == NULL)
		return -1;
	linux_part = need_object(spec, "linux", err);
	if (linux_part == NULL || get_cgroups_path(linux_part, ret_cgroups_path, err) < 0 ||
	        set_root(spec, facts, err) < 0 || set_process(spec, facts, err) < 0 ||
	        set_namespaces(linux_part, facts, err) < 0 || set_mounts(spec, facts, err) < 0 ||
	        set_limits(linux_part, facts, err) < 0 ||
	        (facts->devices != NULL && facts->devices(linux_part, err) < 0))
		return -1;
	return zl_json_print(spec, out, err);
}

int zl_spec_complete_process(
        const char *text, bool terminal, struct zl_buffer *out, struct zl_error *err)
{
	zl_auto(json) json_t *process =
	        zl_json_parse("the OCI process", text, strlen(text), ZL_SPEC_MAX, err);

	if (process == NULL)
		return -1;
	if (!json_is_object(process))
		return zl_error_set(err, ZL_INVALID_ARGUMENT, "the OCI process is no object");
	if (nomem(json_object_set_new(process, "terminal", json_boolean(terminal)), err) < 0)
		return -1;
	return zl_json_print(process, out, err);
}
