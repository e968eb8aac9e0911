// SPDX-License-Identifier: Apache-2.0
//
// cri-call: the CRI calls that crictl has no command for, for the end-to-end tests.
//
//   cri-call SOCKET update CONTAINER [RESOURCE=VALUE...]
//   cri-call SOCKET resize POD [RESOURCE=VALUE...]
//   cri-call SOCKET count STREAM        how many items a Stream* method gives
//   cri-call SOCKET checkpoint CONTAINER
//
// RESOURCE: period, quota, shares, memory, swap, oom, cpus, mems, huge.SIZE, unified.FILE. Ends
// with the status' code on failure, its name and message on stderr.
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "cri-server/rpc/client.h"
// After the project's own headers: the generated one is not ours to order.
#include "api.pb-c.h"

enum { TIMEOUT_MS = 60 * 1000, MOST = 16 };

struct job {
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

static const struct {
	const char *name;
	int (*run)(struct job *job, struct zl_error *err);
} commands[] = {
        {"update", update},
        {"resize", resize},
        {"count", count},
        {"checkpoint", checkpoint},
};

int main(int argc, char **argv)
{
	struct zl_error err = ZL_ERROR_INIT;
	struct job job = {.words = argv + 3, .count = argc - 3};
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
