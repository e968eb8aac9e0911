// SPDX-License-Identifier: Apache-2.0
//
// RunPodSandbox: from a pod's configuration to a running, empty sandbox.
#include <errno.h>
#include <string.h>
#include <sys/random.h>

#include "base/clock.h"
#include "base/file.h"
#include "base/log.h"
#include "cri-server/container/container.h"
#include "cri-server/oci/namespace.h"
#include "cri-server/sandbox/backend.h"
#include "cri-server/sandbox/channel.h"
#include "cri-server/sandbox/lifecycle.h"
#include "cri-server/sandbox/network.h"
#include "cri-server/sandbox/network_request.h"
#include "cri-server/sandbox/services.h"

enum { ENTROPY_BYTES = 32, HOSTNAME_MAX = 64 };

static int check_config(const Runtime__V1__RunPodSandboxRequest *request, struct zl_error *err)
{
	const Runtime__V1__PodSandboxConfig *c = request->config;

	if (c == NULL || c->metadata == NULL)
		return zl_error_set(err, ZL_INVALID_ARGUMENT,
		        "RunPodSandbox: the request has no config with metadata");
	if (c->metadata->name[0] == '\0' || c->metadata->namespace_[0] == '\0' ||
	        c->metadata->uid[0] == '\0')
		return zl_error_set(err, ZL_INVALID_ARGUMENT,
		        "RunPodSandbox: the pod's metadata needs name, namespace and uid (have "
		        "\"%s\", \"%s\", \"%s\")",
		        c->metadata->name, c->metadata->namespace_, c->metadata->uid);
	if (strlen(c->hostname) > HOSTNAME_MAX)
		return zl_error_set(err, ZL_INVALID_ARGUMENT,
		        "pod %s/%s: its hostname is longer than the %d characters Linux allows",
		        c->metadata->namespace_, c->metadata->name, HOSTNAME_MAX);
	return 0;
}

// What the pod asks of its network is refused before anything is made.
static int check_network(const Runtime__V1__PodSandboxConfig *config, struct zl_error *err)
{
	zl_auto(arena) struct zl_arena arena = ZL_ARENA_INIT;
	struct zl_cni_pod ignored;

	return zl_network_request(config, &arena, &ignored, err);
}

// The back end for the pod: the one asked for; or `host` for a pod that no zone can hold, where the
// administrator allows that.
static const struct zl_backend *choose_backend(struct zl_services *services,
        const Runtime__V1__RunPodSandboxRequest *request, struct zl_error *err)
{
	const struct zl_backend *backend = zl_backend_find(services, request->runtime_handler, err);
	const Runtime__V1__PodSandboxMetadata *m = request->config->metadata;
	const char *why;

	if (backend == NULL || !backend->zone)
		return backend;
	why = zl_pod_may_leave_zone(request->config, services->config->host_pods.namespaces,
	        services->config->host_pods.privileged_namespaces);
	if (why == NULL)
		return backend;
	backend = zl_backend_find(services, "host", err);
	if (backend != NULL)
		zl_log_warning("audit: pod %s/%s (uid %s) runs under the host handler: it %s",
		        m->namespace_, m->name, m->uid, why);
	return backend;
}

static struct zl_sandbox *new_sandbox(struct zl_services *services,
        const Runtime__V1__RunPodSandboxRequest *request, struct zl_error *err)
{
	const struct zl_backend *backend;
	const char *handler = request->runtime_handler;
	struct zl_sandbox *sandbox;
	char id[ZL_ID_SIZE];

	if (check_config(request, err) < 0)
		return NULL;
	backend = choose_backend(services, request, err);
	if (backend == NULL || backend->check(request->config, err) < 0 ||
	        check_network(request->config, err) < 0 || zl_id_make(id, err) < 0)
		return NULL;
	// Written down, so that a restart finds it where it runs.
	if (strcmp(handler[0] != '\0' ? handler : services->config->default_handler,
	            backend->name) != 0)
		handler = backend->name;
	sandbox = zl_sandbox_new(services, backend, handler, id, request->config, err);
	if (sandbox == NULL)
		return NULL;
	if (zl_zone_size(sandbox->config, services->config, services->host.cpus, &sandbox->size,
	            err) < 0) {
		zl_error_wrap(err, "pod %s/%s", sandbox->config->metadata->namespace_,
		        sandbox->config->metadata->name);
		zl_sandbox_unref(sandbox);
		return NULL;
	}
	return sandbox;
}

// Writes the intent down and makes the sandbox findable.
static int reserve(struct zl_sandbox *sandbox, struct zl_error *err)
{
	if (zl_sandbox_add_record(sandbox, err) < 0)
		return -1;
	zl_sandbox_index(sandbox);
	zl_timeline_mark(sandbox, "reserve");
	return 0;
}

static void fill_sysctls(
        struct zl_sandbox *sandbox, struct zl_zone_config *config, struct zl_arena *arena)
{
	const Runtime__V1__LinuxPodSandboxConfig *lin = sandbox->config->linux;
	struct zl_zone_sysctl *sysctls;

	if (lin == NULL || lin->n_sysctls == 0)
		return;
	sysctls = zl_arena_array(arena, lin->n_sysctls, sizeof(*sysctls));
	for (size_t i = 0; i < lin->n_sysctls; i++) {
		sysctls[i].name = lin->sysctls[i]->key;
		sysctls[i].value = lin->sysctls[i]->value;
	}
	config->sysctls = sysctls;
	config->sysctl_count = lin->n_sysctls;
}

// Tells the supervisor who it is: names, network, disks, clock, entropy.
static int configure(struct zl_sandbox *sandbox, const struct zl_cni_result *network,
        const struct zl_cancel *cancel, struct zl_error *err)
{
	zl_auto(arena) struct zl_arena arena = ZL_ARENA_INIT;
	struct zl_zone_config config = {.realtime_ns = zl_clock_real()};
	unsigned char entropy[ENTROPY_BYTES];

	config.hostname = sandbox->hostname;
	config.resolv_conf = zl_network_resolv_conf(sandbox->config->dns_config, &arena, err);
	fill_sysctls(sandbox, &config, &arena);
	sandbox->backend->scratch(sandbox, &config);
	if (sandbox->backend->network(sandbox, network, &config, &arena, err) < 0)
		return -1;
	zl_timeline_mark(sandbox, "splice");
	if (getrandom(entropy, sizeof(entropy), 0) == (ssize_t)sizeof(entropy)) {
		config.entropy = entropy;
		config.entropy_length = sizeof(entropy);
	}
	if (zl_zone_configure(sandbox->client, &config, cancel, err) < 0)
		return zl_error_wrap(err, "configure the zone");
	zl_timeline_mark(sandbox, "configure");
	return 0;
}

static int start_place(
        struct zl_sandbox *sandbox, const struct zl_cancel *cancel, struct zl_error *err)
{
	if (sandbox->backend->create(sandbox, cancel, err) < 0)
		return -1;
	if (zl_sandbox_save(sandbox, ZL_STEP_DOMAIN, err) < 0)
		return -1;
	return zl_sandbox_connect(sandbox, cancel, err);
}

// The network is made while the zone boots; both are awaited whichever fails.
static int bring_up(
        struct zl_sandbox *sandbox, const struct zl_cancel *cancel, struct zl_error *err)
{
	zl_auto(network_job) struct zl_network_job job = {0};
	struct zl_error network_error = ZL_ERROR_INIT;
	int result;

	// The root of a user namespace has to come through to its containers; it cannot look
	// around.
	if (zl_dir_make(sandbox->run_dir, 0711, err) < 0 ||
	        zl_network_start(&job, sandbox, cancel, err) < 0)
		return -1;
	result = start_place(sandbox, cancel, err);
	if (zl_network_join(&job, &network_error) < 0 && result == 0) {
		if (err != NULL)
			*err = network_error;
		result = -1;
	}
	if (result < 0)
		return -1;
	if (configure(sandbox, &job.network, cancel, err) < 0)
		return -1;
	return zl_zone_client_resume(sandbox->client, err);
}

static int become_ready(struct zl_sandbox *sandbox, struct zl_error *err)
{
	zl_sandbox_set_phase(sandbox, ZL_SANDBOX_READY, "", "");
	return zl_sandbox_save(sandbox, ZL_STEP_DONE, err);
}

// Nothing of a failed start stays: not in the node, not in the database.
static void undo(struct zl_sandbox *sandbox)
{
	struct zl_error why = ZL_ERROR_INIT;

	zl_sandbox_set_phase(sandbox, ZL_SANDBOX_REMOVING, "", "");
	if (zl_sandbox_take_down(sandbox, &why) < 0 || zl_sandbox_forget(sandbox, &why) < 0)
		zl_log_error("cleaning up after a failed start: %s; it is tried again at the next "
		             "start of zoneletd, or by RemovePodSandbox %s",
		        why.message, sandbox->id);
}

static void log_timeline(struct zl_sandbox *sandbox)
{
	zl_auto(buffer) struct zl_buffer text = ZL_BUFFER_INIT;

	for (size_t i = 0; i < sandbox->timeline.count; i++)
		(void)zl_buffer_printf(&text, NULL, " %s=%.1fms", sandbox->timeline.steps[i].name,
		        (double)sandbox->timeline.steps[i].at_ns / (double)ZL_NS_PER_MS);
	zl_log_info("sandbox ready:%s", zl_buffer_string(&text));
}

ZL_RPC_HANDLER(
        zl_handle_run_pod_sandbox, struct zl_services, RunPodSandboxRequest, RunPodSandboxResponse)
{
	zl_auto(sandbox) struct zl_sandbox *sandbox = new_sandbox(service, request, err);
	zl_auto(gate) struct zl_gate *inside = NULL;

	if (sandbox == NULL)
		return -1;
	ZL_LOG_SCOPE("pod", zl_sandbox_pod(sandbox));
	// Nobody else knows it yet, so this does not wait.
	if (zl_gate_enter(&sandbox->gate, true, &call->cancel, err) < 0)
		return -1;
	inside = &sandbox->gate;
	if (reserve(sandbox, err) < 0)
		return -1;
	if (bring_up(sandbox, &call->cancel, err) < 0 || become_ready(sandbox, err) < 0) {
		zl_error_wrap(err, "pod %s", zl_sandbox_pod(sandbox));
		zl_log_error("RunPodSandbox: %s", err->message);
		undo(sandbox);
		return -1;
	}
	log_timeline(sandbox);
	zl_publish_sandbox(sandbox, RUNTIME__V1__CONTAINER_EVENT_TYPE__CONTAINER_STARTED_EVENT);
	response->pod_sandbox_id = zl_call_strdup(call, sandbox->id);
	return 0;
}
