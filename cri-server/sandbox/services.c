// SPDX-License-Identifier: Apache-2.0
#include "cri-server/sandbox/services.h"

#include <string.h>

#include "base/file.h"
#include "base/log.h"
#include "cri-server/container/container.h"
#include "cri-server/image/image.h"
#include "cri-server/runtime/runtime.h"
#include "cri-server/sandbox/backend.h"
#include "cri-server/sandbox/caretaker.h"
#include "cri-server/sandbox/cgroup.h"
#include "cri-server/sandbox/console.h"
#include "cri-server/sandbox/lifecycle.h"
#include "cri-server/sandbox/recover.h"
#include "cri-server/stats/stats.h"
#include "cri-server/stream/server.h"
#include "cri-server/stream/streaming.h"

static const struct zl_rpc_method runtime_methods[] = {
        {.name = "Version", .handler = zl_handle_version},
        {.name = "Status", .handler = zl_handle_status},
        {.name = "RuntimeConfig", .handler = zl_handle_runtime_config},
        {.name = "UpdateRuntimeConfig", .handler = zl_handle_update_runtime_config},
        {.name = "RunPodSandbox", .handler = zl_handle_run_pod_sandbox, .slow = true},
        {.name = "StopPodSandbox", .handler = zl_handle_stop_pod_sandbox, .slow = true},
        {.name = "RemovePodSandbox", .handler = zl_handle_remove_pod_sandbox, .slow = true},
        {.name = "PodSandboxStatus", .handler = zl_handle_pod_sandbox_status},
        {.name = "ListPodSandbox", .handler = zl_handle_list_pod_sandbox},
        {.name = "CreateContainer", .handler = zl_handle_create_container, .slow = true},
        {.name = "StartContainer", .handler = zl_handle_start_container, .slow = true},
        {.name = "StopContainer", .handler = zl_handle_stop_container, .slow = true},
        {.name = "RemoveContainer", .handler = zl_handle_remove_container, .slow = true},
        {.name = "ListContainers", .handler = zl_handle_list_containers},
        {.name = "ContainerStatus", .handler = zl_handle_container_status},
        {.name = "ExecSync", .handler = zl_handle_exec_sync, .slow = true},
        {.name = "ReopenContainerLog", .handler = zl_handle_reopen_container_log},
        {.name = "GetContainerEvents",
                .handler = zl_handle_get_container_events,
                .stream = true,
                .slow = true},
        {.name = "UpdateContainerResources", .handler = zl_handle_update_container_resources},
        {.name = "UpdatePodSandboxResources", .handler = zl_handle_update_pod_sandbox_resources},
        {.name = "ContainerStats", .handler = zl_handle_container_stats},
        {.name = "ListContainerStats", .handler = zl_handle_list_container_stats},
        {.name = "PodSandboxStats", .handler = zl_handle_pod_sandbox_stats},
        {.name = "ListPodSandboxStats", .handler = zl_handle_list_pod_sandbox_stats},
        {.name = "ListMetricDescriptors", .handler = zl_handle_list_metric_descriptors},
        {.name = "ListPodSandboxMetrics", .handler = zl_handle_list_pod_sandbox_metrics},
        {.name = "StreamPodSandboxes", .handler = zl_handle_stream_pod_sandboxes, .stream = true},
        {.name = "StreamContainers", .handler = zl_handle_stream_containers, .stream = true},
        {.name = "StreamContainerStats",
                .handler = zl_handle_stream_container_stats,
                .stream = true},
        {.name = "StreamPodSandboxStats",
                .handler = zl_handle_stream_pod_sandbox_stats,
                .stream = true},
        {.name = "StreamPodSandboxMetrics",
                .handler = zl_handle_stream_pod_sandbox_metrics,
                .stream = true},
        {.name = "CheckpointContainer",
                .why = "a container's processes cannot be taken out of their pod; what can be "
                       "saved is the zone as a whole"},
        {.name = "Exec", .handler = zl_handle_exec},
        {.name = "Attach", .handler = zl_handle_attach},
        {.name = "PortForward", .handler = zl_handle_port_forward},
};

static const struct zl_rpc_method image_methods[] = {
        {.name = "PullImage", .handler = zl_handle_pull_image, .slow = true},
        {.name = "ListImages", .handler = zl_handle_list_images},
        {.name = "StreamImages", .handler = zl_handle_stream_images, .stream = true},
        {.name = "ImageStatus", .handler = zl_handle_image_status},
        {.name = "RemoveImage", .handler = zl_handle_remove_image},
        {.name = "ImageFsInfo", .handler = zl_handle_image_fs_info},
};

void zl_services_rpc(struct zl_services *services, struct zl_rpc_service ret[static 2])
{
	ret[0] = (struct zl_rpc_service){
	        .descriptor = &runtime__v1__runtime_service__descriptor,
	        .methods = runtime_methods,
	        .method_count = ZL_ARRAY_SIZE(runtime_methods),
	        .service = services,
	};
	ret[1] = (struct zl_rpc_service){
	        .descriptor = &runtime__v1__image_service__descriptor,
	        .methods = image_methods,
	        .method_count = ZL_ARRAY_SIZE(image_methods),
	        .service = services,
	};
}

// ---- start and stop

static bool offers(const struct zl_config *config, const char *handler)
{
	for (size_t i = 0; config->handlers[i] != NULL; i++) {
		if (strcmp(config->handlers[i], handler) == 0)
			return true;
	}
	return false;
}

// The directories that pods' own are made in.
static int make_directories(struct zl_services *s, struct zl_error *err)
{
	zl_auto(arena) struct zl_arena arena = ZL_ARENA_INIT;
	const char *root = s->config->root_dir;
	const char *run = s->config->run_dir;

	if (zl_dir_make(root, 0711, err) < 0 || zl_dir_make(run, 0711, err) < 0)
		return -1;
	if (zl_dir_make(zl_arena_printf(&arena, "%s/sandboxes", run), 0711, err) < 0)
		return -1;
	return zl_dir_make(zl_arena_printf(&arena, "%s/scratch", root), 0700, err);
}

static int open_state(struct zl_services *s, struct zl_error *err)
{
	zl_auto(arena) struct zl_arena arena = ZL_ARENA_INIT;

	if (make_directories(s, err) < 0)
		return -1;
	if (offers(s->config, "host"))
		zl_cgroup_make(ZL_CGROUP_PODS);
	s->state = zl_state_open(zl_arena_printf(&arena, "%s/state.db", s->config->root_dir), err);
	return s->state != NULL ? 0 : -1;
}

static int open_hypervisor(struct zl_services *s, struct zl_error *err)
{
	if (!offers(s->config, "zone"))
		return 0;
	if (s->hypervisor == NULL)
		s->hypervisor = zl_xen_open(s->config->zone.hotplug, err);
	if (s->hypervisor == NULL)
		return zl_error_wrap(err,
		        "the zone handler needs Xen (without it, configure `handlers: [host]`)");
	return s->hypervisor->ops->host_info(s->hypervisor, &s->host, err);
}

// The zone root is on one device for all zones: made now, so that no pod's start waits for it. A
// node without the image still starts; its pods then say what is missing.
static void open_zone_root(struct zl_services *s)
{
	struct zl_error why = ZL_ERROR_INIT;
	char device[64];

	if (s->hypervisor != NULL &&
	        zl_store_shared_device(s->store, s->config->zone.root_image, device, &why) < 0)
		zl_log_warning("zone root: %s", why.message);
}

static int open_store(struct zl_services *s, struct zl_error *err)
{
	const struct zl_config *c = s->config;
	struct zl_store_options options = {
	        .root_dir = c->images.dir,
	        .puller = c->images.puller,
	        .puller_user = c->images.puller_user[0] != '\0' ? c->images.puller_user : NULL,
	        .registry_dir = c->images.registry_dir,
	        .insecure_registries = c->images.insecure_registries,
	        .max_layer_bytes = c->images.max_layer_bytes,
	        .parallel_layers = (uint32_t)c->images.parallel_layers,
	};

	s->store = zl_store_open(&options, err);
	if (s->store == NULL)
		return -1;
	open_zone_root(s);
	return 0;
}

static int open_cni(struct zl_services *s, struct zl_error *err)
{
	const struct zl_config *c = s->config;
	struct zl_cni_options options = {
	        .conf_dir = c->cni.conf_dir,
	        .bin_dirs = c->cni.bin_dirs,
	        .cache_dir = c->cni.cache_dir,
	        .timeout_ms = (int)(c->cni.timeout_ns / 1000000),
	};

	s->cni = zl_cni_open(&options, err);
	return s->cni != NULL ? 0 : -1;
}

static int open_streams(struct zl_services *s, struct zl_error *err)
{
	struct zl_stream_options options = {
	        .address = s->config->streaming.address,
	        .port = (uint16_t)s->config->streaming.port,
	        .idle_ns = s->config->streaming.idle_timeout_ns,
	};

	s->streams = zl_stream_server_start(&options, err);
	return s->streams != NULL ? 0 : -1;
}

static bool zone_is_there(void *user, const char *domain)
{
	struct zl_services *s = user;
	bool found = false;

	pthread_mutex_lock(&s->lock);
	for (struct zl_sandbox *each = s->sandboxes; each != NULL && !found; each = each->hh.next)
		found = strcmp(each->domain_name, domain) == 0;
	pthread_mutex_unlock(&s->lock);
	return found;
}

// A node whose consoles grow is one that works.
static void keep_consoles(struct zl_services *s)
{
	struct zl_error why = ZL_ERROR_INIT;

	if (s->hypervisor == NULL)
		return;
	s->consoles = zl_console_keeper_start(ZL_CONSOLE_DIR, zone_is_there, s, &s->stopping, &why);
	if (why.code != ZL_OK)
		zl_log_warning("the zones' consoles are not kept small: %s", why.message);
}

static int open_rest(struct zl_services *s, struct zl_error *err)
{
	s->loop = zl_zone_loop_start(err);
	if (s->loop == NULL)
		return -1;
	s->events = zl_events_new(err);
	if (s->events == NULL)
		return -1;
	s->tasks = zl_tasks_start(err);
	return s->tasks != NULL ? 0 : -1;
}

struct zl_services *zl_services_start(const struct zl_config *config, const char *version,
        struct zl_hypervisor *hypervisor, struct zl_error *err)
{
	struct zl_services *s = calloc(1, sizeof(*s));

	if (s == NULL) {
		zl_error_nomem(err);
		return NULL;
	}
	s->config = config;
	s->version = version;
	s->hypervisor = hypervisor;
	s->stopping = (struct zl_cancel)ZL_CANCEL_INIT;
	pthread_mutex_init(&s->lock, NULL);
	zl_apparmor_init(&s->apparmor);
	if (zl_cancel_init(&s->stopping, INT64_MAX, NULL, err) < 0 || open_state(s, err) < 0 ||
	        open_hypervisor(s, err) < 0 || open_store(s, err) < 0 || open_cni(s, err) < 0 ||
	        open_rest(s, err) < 0 || zl_services_recover(s, err) < 0 ||
	        open_streams(s, err) < 0) {
		zl_services_stop(s);
		return NULL;
	}
	keep_consoles(s);
	s->caretaker = zl_caretaker_start(s, err);
	if (s->caretaker == NULL) {
		zl_services_stop(s);
		return NULL;
	}
	return s;
}

// Lets go of all objects. Their pods go on.
static void drop_objects(struct zl_services *s)
{
	size_t count;
	struct zl_container **containers = zl_container_list(s, NULL, &count);

	for (size_t i = 0; i < count; i++)
		zl_container_unindex(containers[i]);
	zl_container_list_free(containers, count);
	struct zl_sandbox **sandboxes = zl_sandbox_list(s, &count);

	for (size_t i = 0; i < count; i++)
		zl_sandbox_unindex(sandboxes[i]);
	zl_sandbox_list_free(sandboxes, count);
}

// Channels and watches end before the tasks do, so that nothing is posted to a stopped thread.
static void close_channels(struct zl_services *s)
{
	size_t count;
	struct zl_sandbox **list = zl_sandbox_list(s, &count);

	for (size_t i = 0; i < count; i++) {
		struct zl_zone_client *client;

		if (s->hypervisor != NULL && list[i]->domid >= 0)
			s->hypervisor->ops->domain_unwatch(s->hypervisor, (uint32_t)list[i]->domid);
		pthread_mutex_lock(&list[i]->lock);
		client = list[i]->client;
		list[i]->client = NULL;
		pthread_mutex_unlock(&list[i]->lock);
		if (client != NULL)
			zl_zone_client_close(client);
	}
	zl_sandbox_list_free(list, count);
}

void zl_services_stop(struct zl_services *s)
{
	if (s == NULL)
		return;
	zl_cancel_fire(&s->stopping);
	zl_caretaker_join(s->caretaker);
	zl_console_keeper_join(s->consoles);
	// Its sessions use the channels.
	zl_stream_server_stop(s->streams);
	close_channels(s);
	zl_tasks_stop(s->tasks);
	drop_objects(s);
	if (s->loop != NULL)
		zl_zone_loop_stop(s->loop);
	zl_events_free(s->events);
	if (s->cni != NULL)
		zl_cni_close(s->cni);
	if (s->store != NULL)
		zl_store_close(s->store);
	zl_hypervisor_close(s->hypervisor);
	zl_state_close(s->state);
	zl_cancel_release(&s->stopping);
	zl_apparmor_release(&s->apparmor);
	pthread_mutex_destroy(&s->lock);
	free(s);
}

const struct zl_backend *zl_backend_find(
        struct zl_services *services, const char *handler, struct zl_error *err)
{
	static const struct zl_backend *const all[] = {&zl_backend_zone, &zl_backend_host};

	if (handler[0] == '\0')
		handler = services->config->default_handler;
	for (size_t i = 0; i < ZL_ARRAY_SIZE(all); i++) {
		if (strcmp(all[i]->name, handler) == 0 && offers(services->config, handler))
			return all[i];
	}
	zl_error_set(err, ZL_INVALID_ARGUMENT,
	        "no runtime handler \"%s\": this node offers%s%s; check runtimeClassName and "
	        "`handlers` in the configuration",
	        handler, offers(services->config, "zone") ? " zone" : "",
	        offers(services->config, "host") ? " host" : "");
	return NULL;
}
