// SPDX-License-Identifier: Apache-2.0
//
// Container objects: their life, indexes and record (declared in sandbox/sandbox.h).
#include <stdio.h>
#include <string.h>
#include <sys/eventfd.h>

#include "base/buffer.h"
#include "base/clock.h"
#include "base/json.h"
#include "cri-server/message/message.h"
#include "cri-server/sandbox/resources.h"
#include "cri-server/sandbox/sandbox.h"
#include "cri-server/sandbox/services.h"

struct zl_container *zl_container_new(struct zl_sandbox *sandbox, const char *id,
        const Runtime__V1__ContainerConfig *config, struct zl_error *err)
{
	struct zl_container *container = calloc(1, sizeof(*container));

	if (container == NULL) {
		zl_error_nomem(err);
		return NULL;
	}
	container->exited_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	if (container->exited_fd < 0) {
		zl_error_errno(err, errno, "make an eventfd");
		free(container);
		return NULL;
	}
	(void)snprintf(container->id, sizeof(container->id), "%s", id);
	container->sandbox = zl_sandbox_ref(sandbox);
	container->config = zl_message_copy(&container->arena, &config->base);
	container->image_id = "";
	container->image_ref = "";
	container->spec = "";
	container->log_path = "";
	if (config->log_path[0] != '\0' && sandbox->config->log_directory[0] != '\0')
		container->log_path = zl_arena_printf(&container->arena, "%s/%s",
		        sandbox->config->log_directory, config->log_path);
	container->created_at_ns = zl_clock_real();
	if (container->config->linux != NULL)
		container->limits.resources = container->config->linux->resources;
	atomic_init(&container->references, 1);
	zl_gate_init(&container->gate);
	return container;
}

struct zl_container *zl_container_ref(struct zl_container *container)
{
	atomic_fetch_add(&container->references, 1);
	return container;
}

void zl_container_unref(struct zl_container *container)
{
	if (container == NULL || atomic_fetch_sub(&container->references, 1) != 1)
		return;
	zl_container_log_close(container->log);
	zl_gate_release(&container->gate);
	zl_close(container->exited_fd);
	zl_arena_release(&container->limits.arena);
	zl_arena_release(&container->arena);
	zl_sandbox_unref(container->sandbox);
	free(container);
}

void zl_container_index(struct zl_container *container)
{
	struct zl_services *services = container->sandbox->services;

	zl_container_ref(container);
	pthread_mutex_lock(&services->lock);
	HASH_ADD_STR(services->containers, id, container);
	pthread_mutex_lock(&container->sandbox->lock);
	HASH_ADD(hh_sandbox, container->sandbox->containers, id, strlen(container->id), container);
	pthread_mutex_unlock(&container->sandbox->lock);
	pthread_mutex_unlock(&services->lock);
}

void zl_container_unindex(struct zl_container *container)
{
	struct zl_services *services = container->sandbox->services;
	struct zl_container *found;

	pthread_mutex_lock(&services->lock);
	HASH_FIND_STR(services->containers, container->id, found);
	if (found != NULL) {
		HASH_DEL(services->containers, found);
		pthread_mutex_lock(&container->sandbox->lock);
		HASH_DELETE(hh_sandbox, container->sandbox->containers, found);
		pthread_mutex_unlock(&container->sandbox->lock);
	}
	pthread_mutex_unlock(&services->lock);
	zl_container_unref(found);
}

static struct zl_container *find_by_prefix(struct zl_services *services, const char *prefix)
{
	struct zl_container *match = NULL;
	size_t length = strlen(prefix);

	if (length == 0)
		return NULL;
	for (struct zl_container *c = services->containers; c != NULL; c = c->hh.next) {
		if (strncmp(c->id, prefix, length) != 0)
			continue;
		if (match != NULL)
			return NULL;
		match = c;
	}
	return match;
}

struct zl_container *zl_container_find(
        struct zl_services *services, const char *id, struct zl_error *err)
{
	struct zl_container *container;

	pthread_mutex_lock(&services->lock);
	HASH_FIND_STR(services->containers, id, container);
	if (container == NULL)
		container = find_by_prefix(services, id);
	if (container != NULL)
		zl_container_ref(container);
	pthread_mutex_unlock(&services->lock);
	if (container == NULL)
		zl_error_set(err, ZL_NOT_FOUND, "no container \"%s\"", id);
	return container;
}

struct zl_container *zl_container_in(struct zl_sandbox *sandbox, const char *id)
{
	struct zl_container *container;

	pthread_mutex_lock(&sandbox->lock);
	HASH_FIND(hh_sandbox, sandbox->containers, id, strlen(id), container);
	if (container != NULL)
		zl_container_ref(container);
	pthread_mutex_unlock(&sandbox->lock);
	return container;
}

static struct zl_container **list_of_sandbox(struct zl_sandbox *sandbox, size_t *ret_count)
{
	struct zl_container **list;
	size_t count = 0;

	pthread_mutex_lock(&sandbox->lock);
	list = calloc(HASH_CNT(hh_sandbox, sandbox->containers) + 1, sizeof(struct zl_container *));
	for (struct zl_container *c = sandbox->containers; list != NULL && c != NULL;
	        c = c->hh_sandbox.next)
		list[count++] = zl_container_ref(c);
	pthread_mutex_unlock(&sandbox->lock);
	*ret_count = count;
	return list;
}

struct zl_container **zl_container_list(
        struct zl_services *services, struct zl_sandbox *sandbox, size_t *ret_count)
{
	struct zl_container **list;
	size_t count = 0;

	if (sandbox != NULL)
		return list_of_sandbox(sandbox, ret_count);
	pthread_mutex_lock(&services->lock);
	list = calloc(HASH_COUNT(services->containers) + 1, sizeof(struct zl_container *));
	for (struct zl_container *c = services->containers; list != NULL && c != NULL;
	        c = c->hh.next)
		list[count++] = zl_container_ref(c);
	pthread_mutex_unlock(&services->lock);
	*ret_count = count;
	return list;
}

void zl_container_list_free(struct zl_container **list, size_t count)
{
	for (size_t i = 0; i < count; i++)
		zl_container_unref(list[i]);
	free(list);
}

// ---- the record

static json_t *volumes_json(const struct zl_container *container)
{
	json_t *list = json_array();

	for (size_t i = 0; i < container->volume_count; i++)
		json_array_append_new(
		        list, json_pack("{s:s, s:s}", "image", container->volumes[i].image_id,
		                      "device", container->volumes[i].vdev));
	return list;
}

bool zl_container_has_volume(const struct zl_container *container, const char *image_id)
{
	for (size_t i = 0; i < container->volume_count; i++) {
		if (strcmp(container->volumes[i].image_id, image_id) == 0)
			return true;
	}
	return false;
}

// What the record has no column for, as JSON: the spec, which exec needs, the resolved user, and
// the images that are volumes.
static const char *extra_json(struct zl_container *container, struct zl_arena *arena)
{
	zl_auto(json) json_t *groups = json_array();
	zl_auto(json) json_t *extra = NULL;
	zl_auto(free) char *text = NULL;

	for (size_t i = 0; i < container->user.group_count; i++)
		json_array_append_new(groups, json_integer(container->user.groups[i]));
	extra = json_pack("{s:s, s:i, s:o}", "spec", container->spec, "stopSignal",
	        container->stop_signal, "volumes", volumes_json(container));
	if (container->has_user)
		json_object_set_new(extra, "user",
		        json_pack("{s:I, s:I, s:O}", "uid", (json_int_t)container->user.uid, "gid",
		                (json_int_t)container->user.gid, "additionalGids", groups));
	text = json_dumps(extra, JSON_COMPACT);
	return zl_arena_strdup(arena, text);
}

static void fill_record(struct zl_container *container, struct zl_container_record *record)
{
	record->id = container->id;
	record->sandbox_id = container->sandbox->id;
	record->name = container->config->metadata->name;
	record->attempt = container->config->metadata->attempt;
	record->created_at_ns = container->created_at_ns;
	record->image_id = container->image_id;
	record->image_ref = container->image_ref;
	record->log_path = container->log_path;
	record->image_device = container->image_vdev;
	pthread_mutex_lock(&container->sandbox->lock);
	record->phase = container->phase;
	record->started_at_ns = container->started_at_ns;
	record->finished_at_ns = container->finished_at_ns;
	record->pid = container->pid;
	record->exit_code = container->exit_code;
	record->reason = zl_arena_strdup(&record->arena, container->reason);
	record->message = zl_arena_strdup(&record->arena, container->message);
	record->extra = extra_json(container, &record->arena);
	pthread_mutex_unlock(&container->sandbox->lock);
}

typedef int write_record(
        struct zl_state *state, const struct zl_container_record *record, struct zl_error *err);

static int write_with(struct zl_container *container, write_record *write, struct zl_error *err)
{
	zl_auto(container_record) struct zl_container_record record = {0};
	zl_auto(buffer) struct zl_buffer packed = ZL_BUFFER_INIT;

	fill_record(container, &record);
	if (zl_container_pack_config(container, &packed, err) < 0)
		return -1;
	record.config = packed.data;
	record.config_length = packed.length;
	return write(container->sandbox->services->state, &record, err);
}

int zl_container_add_record(struct zl_container *container, struct zl_error *err)
{
	return write_with(container, zl_state_container_add, err);
}

int zl_container_save(struct zl_container *container, struct zl_error *err)
{
	return write_with(container, zl_state_container_save, err);
}

enum zl_container_phase zl_container_phase(struct zl_container *container)
{
	enum zl_container_phase phase;

	pthread_mutex_lock(&container->sandbox->lock);
	phase = container->phase;
	pthread_mutex_unlock(&container->sandbox->lock);
	return phase;
}

// CRI's reasons for an end, as the kubelet shows them.
static const char *reason_for(int32_t exit_code, bool oom_killed)
{
	if (oom_killed)
		return "OOMKilled";
	return exit_code == 0 ? "Completed" : "Error";
}

bool zl_container_set_exited(struct zl_container *container, int32_t exit_code, bool oom_killed,
        int64_t finished_at_ns, const char *reason, const char *message)
{
	uint64_t one = 1;
	bool first;

	if (reason == NULL)
		reason = reason_for(exit_code, oom_killed);
	pthread_mutex_lock(&container->sandbox->lock);
	first = container->phase != ZL_CONTAINER_EXITED &&
	        container->phase != ZL_CONTAINER_REMOVING;
	if (first) {
		container->phase = ZL_CONTAINER_EXITED;
		container->exit_code = exit_code;
		container->finished_at_ns = finished_at_ns > 0 ? finished_at_ns : zl_clock_real();
		container->pid = 0;
		(void)snprintf(container->reason, sizeof(container->reason), "%s", reason);
		(void)snprintf(container->message, sizeof(container->message), "%s",
		        message != NULL ? message : "");
	}
	pthread_mutex_unlock(&container->sandbox->lock);
	(void)!write(container->exited_fd, &one, sizeof(one));
	return first;
}
