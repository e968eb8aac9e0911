// SPDX-License-Identifier: Apache-2.0
//
// cri-call: the CRI calls that crictl has no command for, for the end-to-end tests.
//
//   cri-call SOCKET update CONTAINER [RESOURCE=VALUE...]
//   cri-call SOCKET resize POD [RESOURCE=VALUE...]
//   cri-call SOCKET count STREAM        how many items a Stream* method gives
//   cri-call SOCKET checkpoint CONTAINER
//   cri-call SOCKET runp NAME COUNT [HANDLER]
//   cri-call SOCKET churn POD COUNT IMAGE    makes and removes a container so often
//   cri-call SOCKET events COUNT             reads events by so many clients, until it is ended
//
// RESOURCE: period, quota, shares, memory, swap, oom, cpus, mems, huge.SIZE, unified.FILE. Ends
// with the status' code on failure, its name and message on stderr.
//
// runp runs COUNT pods at the same time, each by a client of its own, and prints a line for each:
// "OK ID", or the status' name and message.
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "cri-server/rpc/client.h"
// After the project's own headers: the generated one is not ours to order.
#include "api.pb-c.h"

enum { TIMEOUT_MS = 60 * 1000, MOST = 16, PODS_MOST = 1024, PODS_TIMEOUT_MS = 600 * 1000 };

struct job {
	const char *socket;
	struct zl_rpc_client *client;
	struct zl_arena arena;
	char **words;
	int count;
};

// ---- resources

static const struct {
	const char *name;
	size_t offset;
} numbers[] = {
        {"period", offsetof(Runtime__V1__LinuxContainerResources, cpu_period)},
        {"quota", offsetof(Runtime__V1__LinuxContainerResources, cpu_quota)},
        {"shares", offsetof(Runtime__V1__LinuxContainerResources, cpu_shares)},
        {"memory", offsetof(Runtime__V1__LinuxContainerResources, memory_limit_in_bytes)},
        {"swap", offsetof(Runtime__V1__LinuxContainerResources, memory_swap_limit_in_bytes)},
        {"oom", offsetof(Runtime__V1__LinuxContainerResources, oom_score_adj)},
};

static void set_huge(struct job *job, Runtime__V1__LinuxContainerResources *r, const char *size,
        const char *value)
{
	Runtime__V1__HugepageLimit *limit =
	        ZL_MESSAGE_NEW(&job->arena, HugepageLimit, hugepage_limit);

	limit->page_size = size;
	limit->limit = strtoull(value, NULL, 10);
	r->hugepage_limits[r->n_hugepage_limits++] = limit;
}

static int set(struct job *job, Runtime__V1__LinuxContainerResources *r, const char *word)
{
	char *name = zl_arena_strdup(&job->arena, word);
	char *value = strchr(name, '=');

	if (value == NULL)
		return -1;
	*value++ = '\0';
	for (size_t i = 0; i < ZL_ARRAY_SIZE(numbers); i++) {
		int64_t number = strtoll(value, NULL, 10);

		if (strcmp(numbers[i].name, name) != 0)
			continue;
		memcpy((char *)r + numbers[i].offset, &number, sizeof(number));
		return 0;
	}
	if (strcmp(name, "cpus") == 0)
		r->cpuset_cpus = value;
	else if (strcmp(name, "mems") == 0)
		r->cpuset_mems = value;
	else if (strncmp(name, "huge.", 5) == 0)
		set_huge(job, r, name + 5, value);
	else if (strncmp(name, "unified.", 8) == 0)
		r->unified[r->n_unified++] = zl_message_map_entry(&job->arena,
		        &runtime__v1__linux_container_resources__unified_entry__descriptor,
		        name + 8, value);
	else
		return -1;
	return 0;
}

static Runtime__V1__LinuxContainerResources *resources(struct job *job)
{
	Runtime__V1__LinuxContainerResources *r =
	        ZL_MESSAGE_NEW(&job->arena, LinuxContainerResources, linux_container_resources);

	r->hugepage_limits = zl_arena_array(&job->arena, MOST, sizeof(void *));
	r->unified = zl_arena_array(&job->arena, MOST, sizeof(void *));
	for (int i = 1; i < job->count && i <= MOST; i++) {
		if (set(job, r, job->words[i]) < 0) {
			(void)fprintf(stderr, "what is %s?\n", job->words[i]);
			exit(64); // NOLINT(concurrency-mt-unsafe): nothing runs yet
		}
	}
	return r;
}

// ---- calls

static int update(struct job *job, struct zl_error *err)
{
	Runtime__V1__UpdateContainerResourcesRequest request =
	        RUNTIME__V1__UPDATE_CONTAINER_RESOURCES_REQUEST__INIT;

	request.container_id = job->words[0];
	request.linux = resources(job);
	return ZL_CRI_CALL(job->client, runtime_service, UpdateContainerResources, &request,
	               &job->arena, TIMEOUT_MS, err) != NULL
	               ? 0
	               : -1;
}

static int resize(struct job *job, struct zl_error *err)
{
	Runtime__V1__UpdatePodSandboxResourcesRequest request =
	        RUNTIME__V1__UPDATE_POD_SANDBOX_RESOURCES_REQUEST__INIT;

	request.pod_sandbox_id = job->words[0];
	request.resources = resources(job);
	return ZL_CRI_CALL(job->client, runtime_service, UpdatePodSandboxResources, &request,
	               &job->arena, TIMEOUT_MS, err) != NULL
	               ? 0
	               : -1;
}

static int checkpoint(struct job *job, struct zl_error *err)
{
	Runtime__V1__CheckpointContainerRequest request =
	        RUNTIME__V1__CHECKPOINT_CONTAINER_REQUEST__INIT;

	request.container_id = job->words[0];
	return ZL_CRI_CALL(job->client, runtime_service, CheckpointContainer, &request, &job->arena,
	               TIMEOUT_MS, err) != NULL
	               ? 0
	               : -1;
}

// The one repeated field of what a Stream* method sends.
static size_t items_of(const ProtobufCMessage *message)
{
	size_t count;

	memcpy(&count, (const char *)message + message->descriptor->fields[0].quantifier_offset,
	        sizeof(count));
	return count;
}

static int count(struct job *job, struct zl_error *err)
{
	const char *method = job->words[0];
	const ProtobufCServiceDescriptor *service =
	        strcmp(method, "StreamImages") == 0 ? &runtime__v1__image_service__descriptor
	                                            : &runtime__v1__runtime_service__descriptor;
	const ProtobufCMethodDescriptor *descriptor =
	        protobuf_c_service_descriptor_get_method_by_name(service, method);
	zl_auto(rpc_stream) struct zl_rpc_stream *stream = NULL;
	ProtobufCMessage *message;
	size_t messages = 0;
	size_t items = 0;

	if (descriptor == NULL)
		return zl_error_set(err, ZL_INVALID_ARGUMENT, "there is no %s", method);
	stream = zl_rpc_client_stream(job->client, service, method,
	        zl_message_new(&job->arena, descriptor->input), TIMEOUT_MS, err);
	if (stream == NULL)
		return -1;
	while ((message = zl_rpc_stream_next(stream, &job->arena, NULL, err)) != NULL) {
		messages++;
		items += items_of(message);
	}
	(void)printf("%zu %zu\n", items, messages);
	return err->code == ZL_OK ? 0 : -1;
}

// ---- many pods at once

struct start {
	const char *socket;
	const char *name;
	const char *handler;
	int number;
	pthread_barrier_t *together;
	pthread_t thread;
	char result[1200];
};

static Runtime__V1__PodSandboxConfig *pod_config(struct zl_arena *arena, const struct start *start)
{
	Runtime__V1__PodSandboxConfig *config =
	        ZL_MESSAGE_NEW(arena, PodSandboxConfig, pod_sandbox_config);

	config->metadata = ZL_MESSAGE_NEW(arena, PodSandboxMetadata, pod_sandbox_metadata);
	config->metadata->name = zl_arena_printf(arena, "%s%d", start->name, start->number);
	config->metadata->namespace_ = "default";
	config->metadata->uid = zl_arena_printf(arena, "uid-%s%d", start->name, start->number);
	config->hostname = config->metadata->name;
	config->log_directory =
	        zl_arena_printf(arena, "/var/log/pods-test/%s", config->metadata->name);
	return config;
}

static void *start_one(void *argument)
{
	struct start *start = argument;
	zl_auto(arena) struct zl_arena arena = ZL_ARENA_INIT;
	struct zl_error err = ZL_ERROR_INIT;
	zl_auto(rpc_client) struct zl_rpc_client *client = zl_rpc_client_open(start->socket, &err);
	Runtime__V1__RunPodSandboxRequest request = RUNTIME__V1__RUN_POD_SANDBOX_REQUEST__INIT;
	Runtime__V1__RunPodSandboxResponse *reply = NULL;

	request.config = pod_config(&arena, start);
	request.runtime_handler = start->handler;
	(void)pthread_barrier_wait(start->together);
	if (client != NULL)
		reply = ZL_CRI_CALL(client, runtime_service, RunPodSandbox, &request, &arena,
		        PODS_TIMEOUT_MS, &err);
	if (reply != NULL)
		(void)snprintf(
		        start->result, sizeof(start->result), "OK %s", reply->pod_sandbox_id);
	else
		(void)snprintf(start->result, sizeof(start->result), "%s %s",
		        zl_code_name(err.code), err.message);
	return NULL;
}

static int runp(struct job *job, struct zl_error *err)
{
	int count = job->count > 1 ? (int)strtol(job->words[1], NULL, 10) : 0;
	struct start *starts;
	pthread_barrier_t together;

	if (count < 1 || count > PODS_MOST)
		return zl_error_set(err, ZL_INVALID_ARGUMENT, "how many pods?");
	starts = zl_arena_array(&job->arena, (size_t)count, sizeof(*starts));
	(void)pthread_barrier_init(&together, NULL, (unsigned)count);
	for (int i = 0; i < count; i++) {
		starts[i] = (struct start){.socket = job->socket,
		        .name = job->words[0],
		        .handler = job->count > 2 ? job->words[2] : "",
		        .number = i,
		        .together = &together};
		if (pthread_create(&starts[i].thread, NULL, start_one, &starts[i]) != 0)
			abort();
	}
	for (int i = 0; i < count; i++) {
		(void)pthread_join(starts[i].thread, NULL);
		(void)puts(starts[i].result);
	}
	(void)pthread_barrier_destroy(&together);
	return 0;
}

static int make_and_remove(
        struct job *job, const Runtime__V1__PodSandboxConfig *pod, int number, struct zl_error *err)
{
	zl_auto(arena) struct zl_arena arena = ZL_ARENA_INIT;
	Runtime__V1__CreateContainerRequest create = RUNTIME__V1__CREATE_CONTAINER_REQUEST__INIT;
	Runtime__V1__RemoveContainerRequest remove = RUNTIME__V1__REMOVE_CONTAINER_REQUEST__INIT;
	Runtime__V1__ContainerConfig *config =
	        ZL_MESSAGE_NEW(&arena, ContainerConfig, container_config);
	Runtime__V1__CreateContainerResponse *made;

	config->metadata = ZL_MESSAGE_NEW(&arena, ContainerMetadata, container_metadata);
	config->metadata->name = zl_arena_printf(&arena, "churn%d", number);
	config->image = ZL_MESSAGE_NEW(&arena, ImageSpec, image_spec);
	config->image->image = job->words[2];
	create.pod_sandbox_id = job->words[0];
	create.config = config;
	create.sandbox_config = (Runtime__V1__PodSandboxConfig *)(uintptr_t)pod;
	made = ZL_CRI_CALL(
	        job->client, runtime_service, CreateContainer, &create, &arena, TIMEOUT_MS, err);
	if (made == NULL)
		return -1;
	remove.container_id = made->container_id;
	return ZL_CRI_CALL(job->client, runtime_service, RemoveContainer, &remove, &arena,
	               TIMEOUT_MS, err) != NULL
	               ? 0
	               : -1;
}

// ---- many readers of events

static struct readers {
	pthread_mutex_t lock;
	const char *socket;
	int refused;
	struct zl_error last;
} readers = {.lock = PTHREAD_MUTEX_INITIALIZER};

static void *read_events(void *unused)
{
	Runtime__V1__GetEventsRequest request = RUNTIME__V1__GET_EVENTS_REQUEST__INIT;
	zl_auto(arena) struct zl_arena arena = ZL_ARENA_INIT;
	struct zl_error err = ZL_ERROR_INIT;
	zl_auto(rpc_client) struct zl_rpc_client *client = zl_rpc_client_open(readers.socket, &err);
	zl_auto(rpc_stream) struct zl_rpc_stream *stream = NULL;

	if (client != NULL)
		stream = zl_rpc_client_stream(client, &runtime__v1__runtime_service__descriptor,
		        "GetContainerEvents", &request.base, -1, &err);
	while (stream != NULL && zl_rpc_stream_next(stream, &arena, NULL, &err) != NULL)
		zl_arena_release(&arena);
	pthread_mutex_lock(&readers.lock);
	readers.refused++;
	readers.last = err;
	pthread_mutex_unlock(&readers.lock);
	return unused;
}

static int events(struct job *job, struct zl_error *err)
{
	int count = (int)strtol(job->words[0], NULL, 10);
	pthread_t thread = 0;

	readers.socket = job->socket;
	for (int i = 0; i < count; i++) {
		if (pthread_create(&thread, NULL, read_events, NULL) != 0)
			return zl_error_nomem(err);
	}
	// Long enough for all of them to have heard.
	(void)sleep(5);
	pthread_mutex_lock(&readers.lock);
	(void)printf("%d refused: %s %s\n", readers.refused, zl_code_name(readers.last.code),
	        readers.last.message);
	pthread_mutex_unlock(&readers.lock);
	(void)fflush(stdout);
	(void)pause();
	return 0;
}

static int churn(struct job *job, struct zl_error *err)
{
	Runtime__V1__PodSandboxConfig *pod =
	        ZL_MESSAGE_NEW(&job->arena, PodSandboxConfig, pod_sandbox_config);

	if (job->count < 3)
		return zl_error_set(err, ZL_INVALID_ARGUMENT, "how many, of which image?");
	for (int i = 0; i < (int)strtol(job->words[1], NULL, 10); i++) {
		if (make_and_remove(job, pod, i, err) < 0)
			return -1;
	}
	return 0;
}

static const struct {
	const char *name;
	int (*run)(struct job *job, struct zl_error *err);
} commands[] = {
        {"update", update},
        {"resize", resize},
        {"count", count},
        {"checkpoint", checkpoint},
        {"runp", runp},
        {"churn", churn},
        {"events", events},
};

int main(int argc, char **argv)
{
	struct zl_error err = ZL_ERROR_INIT;
	struct job job = {.socket = argv[1], .words = argv + 3, .count = argc - 3};
	int result = -1;

	if (argc < 4) {
		(void)fputs("usage: cri-call SOCKET COMMAND OBJECT [RESOURCE=VALUE...]\n", stderr);
		return 64;
	}
	job.client = zl_rpc_client_open(argv[1], &err);
	for (size_t i = 0; job.client != NULL && i < ZL_ARRAY_SIZE(commands); i++) {
		if (strcmp(commands[i].name, argv[2]) == 0)
			result = commands[i].run(&job, &err);
	}
	if (result < 0)
		(void)fprintf(stderr, "%d %s\n", (int)err.code, err.message);
	zl_rpc_client_close(job.client);
	zl_arena_release(&job.arena);
	return result < 0 ? 1 : 0;
}
