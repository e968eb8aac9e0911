// SPDX-License-Identifier: Apache-2.0
#include "cri-server/sandbox/sandbox.h"
#include "cri-server/sandbox/resources.h"

#include <stdio.h>
#include <string.h>

#include "base/buffer.h"
#include "base/clock.h"
#include "base/failpoint.h"
#include "base/strv.h"
#include "cri-server/message/message.h"
#include "cri-server/oci/namespace.h"
#include "cri-server/sandbox/backend.h"
#include "cri-server/sandbox/services.h"

enum { SHORT_ID = 12 };

// The domain's name in `xl list`: pod and namespace for people, the id's beginning to be unique.
// Anything but letters, digits, dot and dash (a name may come from any CRI client) becomes a dash.
static const char *make_domain_name(struct zl_sandbox *sandbox)
{
	const Runtime__V1__PodSandboxMetadata *m = sandbox->config->metadata;
	char *name = zl_arena_printf(
	        &sandbox->arena, "%.60s.%.40s.%.*s", m->name, m->namespace_, SHORT_ID, sandbox->id);

	for (char *c = name; *c != '\0'; c++) {
		if (strchr("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789.-",
		            *c) == NULL)
			*c = '-';
	}
	return name;
}

// The domain's UUID is the beginning of the sandbox's id, so that a domain can be found again even
// if the daemon died before it could write its domid down.
static const char *make_domain_uuid(struct zl_sandbox *sandbox)
{
	const char *id = sandbox->id;

	return zl_arena_printf(&sandbox->arena, "%.8s-%.4s-%.4s-%.4s-%.12s", id, id + 8, id + 12,
	        id + 16, id + 20);
}

// A pod on the node's network has its name, too: they share the uts namespace.
static const char *hostname_of(struct zl_sandbox *sandbox)
{
	char node[65] = "localhost";

	if (sandbox->config->hostname[0] != '\0' && !zl_pod_node_network(sandbox->config))
		return sandbox->config->hostname;
	(void)gethostname(node, sizeof(node) - 1);
	return zl_arena_strdup(&sandbox->arena, node);
}

static void set_names(struct zl_sandbox *sandbox)
{
	const struct zl_config *config = sandbox->services->config;

	sandbox->hostname = hostname_of(sandbox);
	sandbox->run_dir =
	        zl_arena_printf(&sandbox->arena, "%s/sandboxes/%s", config->run_dir, sandbox->id);
	sandbox->netns = zl_pod_node_network(sandbox->config)
	                         ? ""
	                         : zl_arena_printf(&sandbox->arena, "/run/netns/zonelet-%.*s",
	                                   SHORT_ID, sandbox->id);
	sandbox->domain_name = sandbox->backend->zone ? make_domain_name(sandbox) : "";
	sandbox->domain_uuid = sandbox->backend->zone ? make_domain_uuid(sandbox) : "";
}

struct zl_sandbox *zl_sandbox_new(struct zl_services *services, const struct zl_backend *backend,
        const char *handler, const char *id, const Runtime__V1__PodSandboxConfig *config,
        struct zl_error *err)
{
	struct zl_sandbox *sandbox = calloc(1, sizeof(*sandbox));

	if (sandbox == NULL) {
		zl_error_nomem(err);
		return NULL;
	}
	sandbox->stopping = (struct zl_cancel)ZL_CANCEL_INIT;
	if (zl_cancel_init(&sandbox->stopping, INT64_MAX, &services->stopping, err) < 0) {
		free(sandbox);
		return NULL;
	}
	(void)snprintf(sandbox->id, sizeof(sandbox->id), "%s", id);
	sandbox->services = services;
	sandbox->backend = backend;
	sandbox->config = zl_message_copy(&sandbox->arena, &config->base);
	sandbox->handler = zl_arena_strdup(&sandbox->arena, handler);
	sandbox->created_at_ns = zl_clock_real();
	sandbox->domid = -1;
	if (sandbox->config->linux != NULL)
		sandbox->limits = (struct zl_limits){
		        .resources = sandbox->config->linux->resources,
		        .overhead = sandbox->config->linux->overhead,
		};
	atomic_init(&sandbox->references, 1);
	zl_gate_init(&sandbox->gate);
	zl_gate_init(&sandbox->disk_gate);
	pthread_mutex_init(&sandbox->lock, NULL);
	sandbox->timeline.begin_ns = zl_clock_monotonic();
	set_names(sandbox);
	return sandbox;
}

struct zl_sandbox *zl_sandbox_ref(struct zl_sandbox *sandbox)
{
	atomic_fetch_add(&sandbox->references, 1);
	return sandbox;
}

void zl_sandbox_unref(struct zl_sandbox *sandbox)
{
	if (sandbox == NULL || atomic_fetch_sub(&sandbox->references, 1) != 1)
		return;
	if (sandbox->client != NULL)
		zl_zone_client_close(sandbox->client);
	zl_strv_free(sandbox->ips);
	zl_gate_release(&sandbox->gate);
	zl_gate_release(&sandbox->disk_gate);
	zl_cancel_release(&sandbox->stopping);
	pthread_mutex_destroy(&sandbox->lock);
	zl_arena_release(&sandbox->limits.arena);
	zl_arena_release(&sandbox->arena);
	free(sandbox);
}

void zl_sandbox_index(struct zl_sandbox *sandbox)
{
	struct zl_services *services = sandbox->services;

	zl_sandbox_ref(sandbox);
	pthread_mutex_lock(&services->lock);
	HASH_ADD_STR(services->sandboxes, id, sandbox);
	pthread_mutex_unlock(&services->lock);
}

void zl_sandbox_unindex(struct zl_sandbox *sandbox)
{
	struct zl_services *services = sandbox->services;
	struct zl_sandbox *found;

	pthread_mutex_lock(&services->lock);
	HASH_FIND_STR(services->sandboxes, sandbox->id, found);
	if (found != NULL)
		HASH_DEL(services->sandboxes, found);
	pthread_mutex_unlock(&services->lock);
	zl_sandbox_unref(found);
}

// The one whose id begins with `prefix`; NULL if none or several do.
static struct zl_sandbox *find_by_prefix(struct zl_services *services, const char *prefix)
{
	struct zl_sandbox *match = NULL;
	size_t length = strlen(prefix);

	if (length == 0)
		return NULL;
	for (struct zl_sandbox *s = services->sandboxes; s != NULL; s = s->hh.next) {
		if (strncmp(s->id, prefix, length) != 0)
			continue;
		if (match != NULL)
			return NULL;
		match = s;
	}
	return match;
}

struct zl_sandbox *zl_sandbox_find(
        struct zl_services *services, const char *id, struct zl_error *err)
{
	struct zl_sandbox *sandbox;

	pthread_mutex_lock(&services->lock);
	HASH_FIND_STR(services->sandboxes, id, sandbox);
	if (sandbox == NULL)
		sandbox = find_by_prefix(services, id);
	if (sandbox != NULL)
		zl_sandbox_ref(sandbox);
	pthread_mutex_unlock(&services->lock);
	if (sandbox == NULL)
		zl_error_set(err, ZL_NOT_FOUND, "no pod sandbox \"%s\"", id);
	return sandbox;
}

struct zl_sandbox **zl_sandbox_list(struct zl_services *services, size_t *ret_count)
{
	struct zl_sandbox **list;
	size_t count = 0;

	pthread_mutex_lock(&services->lock);
	list = calloc(HASH_COUNT(services->sandboxes) + 1, sizeof(struct zl_sandbox *));
	for (struct zl_sandbox *s = services->sandboxes; list != NULL && s != NULL; s = s->hh.next)
		list[count++] = zl_sandbox_ref(s);
	pthread_mutex_unlock(&services->lock);
	*ret_count = count;
	return list;
}

void zl_sandbox_list_free(struct zl_sandbox **list, size_t count)
{
	for (size_t i = 0; i < count; i++)
		zl_sandbox_unref(list[i]);
	free(list);
}

const char *zl_sandbox_pod(const struct zl_sandbox *sandbox)
{
	return sandbox->domain_name[0] != '\0' ? sandbox->domain_name
	                                       : sandbox->config->metadata->name;
}

// ---- the record

static void fill_record(struct zl_sandbox *sandbox, struct zl_sandbox_record *record)
{
	const Runtime__V1__PodSandboxMetadata *m = sandbox->config->metadata;

	record->id = sandbox->id;
	record->name = m->name;
	record->namespace_ = m->namespace_;
	record->uid = m->uid;
	record->attempt = m->attempt;
	record->handler = sandbox->handler;
	record->created_at_ns = sandbox->created_at_ns;
	record->domain_uuid = sandbox->domain_uuid;
	record->netns = sandbox->netns;
	pthread_mutex_lock(&sandbox->lock);
	record->memory_bytes = sandbox->size.memory_bytes;
	record->vcpus = sandbox->size.vcpus;
	record->scratch_bytes = sandbox->size.scratch_bytes;
	record->phase = sandbox->phase;
	record->ready_at_ns = sandbox->ready_at_ns;
	record->reason = zl_arena_strdup(&record->arena, sandbox->reason);
	record->message = zl_arena_strdup(&record->arena, sandbox->message);
	record->domid = sandbox->domid;
	record->pid = sandbox->pid;
	record->pid_started = sandbox->pid_started;
	record->ips = (const char *const *)sandbox->ips; // set once, before it is ready
	if (atomic_load(&sandbox->share.started))
		record->extra = zl_arena_printf(
		        &record->arena, "{\"share\":%u}", atomic_load(&sandbox->share.generation));
	pthread_mutex_unlock(&sandbox->lock);
}

int zl_sandbox_add_record(struct zl_sandbox *sandbox, struct zl_error *err)
{
	zl_auto(sandbox_record) struct zl_sandbox_record record = {0};
	zl_auto(buffer) struct zl_buffer packed = ZL_BUFFER_INIT;

	fill_record(sandbox, &record);
	if (zl_sandbox_pack_config(sandbox, &packed, err) < 0)
		return -1;
	record.config = packed.data;
	record.config_length = packed.length;
	return zl_state_sandbox_add(sandbox->services->state, &record, err);
}

int zl_sandbox_save(struct zl_sandbox *sandbox, enum zl_sandbox_step step, struct zl_error *err)
{
	zl_auto(sandbox_record) struct zl_sandbox_record record = {0};
	zl_auto(buffer) struct zl_buffer packed = ZL_BUFFER_INIT;

	fill_record(sandbox, &record);
	record.step = step;
	if (zl_sandbox_pack_config(sandbox, &packed, err) < 0)
		return -1;
	record.config = packed.data;
	record.config_length = packed.length;
	return zl_state_sandbox_save(sandbox->services->state, &record, err);
}

// ---- fields under the lock

enum zl_sandbox_phase zl_sandbox_phase(struct zl_sandbox *sandbox)
{
	enum zl_sandbox_phase phase;

	pthread_mutex_lock(&sandbox->lock);
	phase = sandbox->phase;
	pthread_mutex_unlock(&sandbox->lock);
	return phase;
}

void zl_sandbox_set_phase(struct zl_sandbox *sandbox, enum zl_sandbox_phase phase,
        const char *reason, const char *message)
{
	pthread_mutex_lock(&sandbox->lock);
	sandbox->phase = phase;
	if (phase == ZL_SANDBOX_READY)
		sandbox->ready_at_ns = zl_clock_real();
	(void)snprintf(sandbox->reason, sizeof(sandbox->reason), "%s", reason);
	(void)snprintf(sandbox->message, sizeof(sandbox->message), "%s", message);
	pthread_mutex_unlock(&sandbox->lock);
}

struct zl_zone_client *zl_sandbox_client(struct zl_sandbox *sandbox, struct zl_error *err)
{
	struct zl_zone_client *client = NULL;

	pthread_mutex_lock(&sandbox->lock);
	if (sandbox->phase == ZL_SANDBOX_READY)
		client = sandbox->client;
	if (client == NULL)
		zl_error_set(err, ZL_FAILED_PRECONDITION,
		        "pod %s: its sandbox %.12s is not ready%s%s", zl_sandbox_pod(sandbox),
		        sandbox->id, sandbox->message[0] != '\0' ? ": " : "", sandbox->message);
	pthread_mutex_unlock(&sandbox->lock);
	return client;
}

void zl_timeline_mark(struct zl_sandbox *sandbox, const char *step)
{
	struct zl_timeline *line = &sandbox->timeline;
	char place[32];

	(void)snprintf(place, sizeof(place), "run.%s", step);
	(void)zl_failpoint(place, NULL);

	pthread_mutex_lock(&sandbox->lock);
	if (line->count < ZL_TIMELINE_STEPS) {
		line->steps[line->count].name = step;
		line->steps[line->count].at_ns = zl_clock_monotonic() - line->begin_ns;
		line->count++;
	}
	pthread_mutex_unlock(&sandbox->lock);
}
