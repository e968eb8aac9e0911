// SPDX-License-Identifier: Apache-2.0
//
// cri-bench: how long the calls of a pod's life take, on any CRI runtime.
//
//   cri-bench --socket PATH --image REF [--handler NAME] [--runs N] [--warm N] [--pull]
//             [--memory BYTES] [--observe COMMAND] [--json FILE]
//
// One run is one pod with one container: RunPodSandbox, CreateContainer, StartContainer, ExecSync
// of true, StopContainer, StopPodSandbox, RemoveContainer, RemovePodSandbox, each a call of its own
// over one connection, as the kubelet has it; "cold" is the first three together. The container
// sleeps, and is stopped without a grace period. --warm runs come first and do not count (files are
// read from the disk then, connections made). --observe runs a shell command while the pod of the
// last run is up, and keeps its output.
//
// Prints a table in milliseconds; --json writes all of it in nanoseconds. Times are those of
// CLOCK_MONOTONIC: in a machine on an instruction clock, virtual time.
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/buffer.h"
#include "base/clock.h"
#include "base/file.h"
#include "base/id.h"
#include "base/json.h"
#include "base/spawn.h"
#include "cri-server/rpc/client.h"
// After the project's own headers: the generated one is not ours to order.
#include "api.pb-c.h"

enum { CALL_TIMEOUT_MS = 300 * 1000, MAX_RUNS = 1000, MAX_STEPS = 8 };

struct options {
	const char *socket;
	const char *image;
	const char *handler;
	const char *observe; // NULL: none
	const char *json;    // file; NULL: none
	int64_t memory;      // the pod's limit in bytes; 0: none
	int runs;
	int warm;
	bool pull;
};

// One pod and the arena that all its messages live in.
struct pod {
	const struct options *options;
	struct zl_rpc_client *client;
	struct zl_arena arena;
	Runtime__V1__PodSandboxConfig *config;
	const char *sandbox_id; // NULL before RunPodSandbox
	const char *container_id;
};

struct run {
	int64_t ns[MAX_STEPS];
	int64_t cold_ns;
	json_t *zone; // what zonelet says of the zone, with the times inside RunPodSandbox; may be
	              // NULL
};

#define NEW(pod, Type, name) ZL_MESSAGE_NEW(&(pod)->arena, Type, name)
#define CALL(pod, Method, request, err)                                                            \
	ZL_CRI_CALL((pod)->client, runtime_service, Method, (request), &(pod)->arena,              \
	        CALL_TIMEOUT_MS, (err))

// ---- the pod's configuration

static Runtime__V1__PodSandboxConfig *make_sandbox_config(struct pod *pod, const char *uid)
{
	Runtime__V1__PodSandboxConfig *config = NEW(pod, PodSandboxConfig, pod_sandbox_config);
	Runtime__V1__LinuxSandboxSecurityContext *security =
	        NEW(pod, LinuxSandboxSecurityContext, linux_sandbox_security_context);

	config->metadata = NEW(pod, PodSandboxMetadata, pod_sandbox_metadata);
	config->metadata->name = zl_arena_printf(&pod->arena, "bench-%.8s", uid);
	config->metadata->namespace_ = "default";
	config->metadata->uid = zl_arena_strdup(&pod->arena, uid);
	config->hostname = config->metadata->name;
	config->log_directory =
	        zl_arena_printf(&pod->arena, "/var/log/pods/%s", config->metadata->name);
	config->linux = NEW(pod, LinuxPodSandboxConfig, linux_pod_sandbox_config);
	config->linux->security_context = security;
	// A pod of the kubelet's: one network, each container its own processes.
	security->namespace_options = NEW(pod, NamespaceOption, namespace_option);
	security->namespace_options->pid = RUNTIME__V1__NAMESPACE_MODE__CONTAINER;
	if (pod->options->memory > 0) {
		config->linux->resources =
		        NEW(pod, LinuxContainerResources, linux_container_resources);
		config->linux->resources->memory_limit_in_bytes = pod->options->memory;
	}
	return config;
}

static Runtime__V1__ContainerConfig *make_container_config(struct pod *pod)
{
	static const char *command[] = {"sleep", "1000000"};
	Runtime__V1__ContainerConfig *config = NEW(pod, ContainerConfig, container_config);
	Runtime__V1__LinuxContainerSecurityContext *security =
	        NEW(pod, LinuxContainerSecurityContext, linux_container_security_context);

	config->metadata = NEW(pod, ContainerMetadata, container_metadata);
	config->metadata->name = "main";
	config->image = NEW(pod, ImageSpec, image_spec);
	config->image->image = pod->options->image;
	config->command = command;
	config->n_command = ZL_ARRAY_SIZE(command);
	config->log_path = "main.log";
	config->linux = NEW(pod, LinuxContainerConfig, linux_container_config);
	config->linux->security_context = security;
	security->namespace_options = pod->config->linux->security_context->namespace_options;
	return config;
}

// ---- the steps

typedef int step_function(struct pod *pod, struct zl_error *err);

static int run_sandbox(struct pod *pod, struct zl_error *err)
{
	Runtime__V1__RunPodSandboxRequest *request =
	        NEW(pod, RunPodSandboxRequest, run_pod_sandbox_request);
	Runtime__V1__RunPodSandboxResponse *response;

	request->config = pod->config;
	request->runtime_handler = pod->options->handler;
	response = CALL(pod, RunPodSandbox, request, err);
	if (response == NULL)
		return -1;
	pod->sandbox_id = response->pod_sandbox_id;
	return 0;
}

static int create_container(struct pod *pod, struct zl_error *err)
{
	Runtime__V1__CreateContainerRequest *request =
	        NEW(pod, CreateContainerRequest, create_container_request);
	Runtime__V1__CreateContainerResponse *response;

	request->pod_sandbox_id = pod->sandbox_id;
	request->config = make_container_config(pod);
	request->sandbox_config = pod->config;
	response = CALL(pod, CreateContainer, request, err);
	if (response == NULL)
		return -1;
	pod->container_id = response->container_id;
	return 0;
}

static int start_container(struct pod *pod, struct zl_error *err)
{
	Runtime__V1__StartContainerRequest *request =
	        NEW(pod, StartContainerRequest, start_container_request);

	request->container_id = pod->container_id;
	return CALL(pod, StartContainer, request, err) != NULL ? 0 : -1;
}

static int exec_sync(struct pod *pod, struct zl_error *err)
{
	static const char *command[] = {"true"};
	Runtime__V1__ExecSyncRequest *request = NEW(pod, ExecSyncRequest, exec_sync_request);
	Runtime__V1__ExecSyncResponse *response;

	request->container_id = pod->container_id;
	request->cmd = command;
	request->n_cmd = ZL_ARRAY_SIZE(command);
	response = CALL(pod, ExecSync, request, err);
	if (response == NULL)
		return -1;
	if (response->exit_code != 0)
		return zl_error_set(err, ZL_INTERNAL, "true ended with %d in container %s",
		        response->exit_code, pod->container_id);
	return 0;
}

static int stop_container(struct pod *pod, struct zl_error *err)
{
	Runtime__V1__StopContainerRequest *request =
	        NEW(pod, StopContainerRequest, stop_container_request);

	request->container_id = pod->container_id;
	return CALL(pod, StopContainer, request, err) != NULL ? 0 : -1;
}

static int stop_sandbox(struct pod *pod, struct zl_error *err)
{
	Runtime__V1__StopPodSandboxRequest *request =
	        NEW(pod, StopPodSandboxRequest, stop_pod_sandbox_request);

	request->pod_sandbox_id = pod->sandbox_id;
	return CALL(pod, StopPodSandbox, request, err) != NULL ? 0 : -1;
}

static int remove_container(struct pod *pod, struct zl_error *err)
{
	Runtime__V1__RemoveContainerRequest *request =
	        NEW(pod, RemoveContainerRequest, remove_container_request);

	request->container_id = pod->container_id;
	return CALL(pod, RemoveContainer, request, err) != NULL ? 0 : -1;
}

static int remove_sandbox(struct pod *pod, struct zl_error *err)
{
	Runtime__V1__RemovePodSandboxRequest *request =
	        NEW(pod, RemovePodSandboxRequest, remove_pod_sandbox_request);

	request->pod_sandbox_id = pod->sandbox_id;
	return CALL(pod, RemovePodSandbox, request, err) != NULL ? 0 : -1;
}

static const struct {
	const char *name;
	step_function *run;
} steps[] = {
        {"RunPodSandbox", run_sandbox},
        {"CreateContainer", create_container},
        {"StartContainer", start_container},
        {"ExecSync", exec_sync},
        {"StopContainer", stop_container},
        {"StopPodSandbox", stop_sandbox},
        {"RemoveContainer", remove_container},
        {"RemovePodSandbox", remove_sandbox},
};
enum { STEP_STARTED = 2, STEP_EXEC = 3 };
static const int STEP_COUNT = ZL_ARRAY_SIZE(steps);
_Static_assert(ZL_ARRAY_SIZE(steps) == MAX_STEPS, "struct run has room for the steps");

// ---- beside the clock

// The entry "zone" of the verbose status; other runtimes have none, which is no error.
static json_t *ask_zone(struct pod *pod)
{
	Runtime__V1__PodSandboxStatusRequest *request =
	        NEW(pod, PodSandboxStatusRequest, pod_sandbox_status_request);
	Runtime__V1__PodSandboxStatusResponse *response;
	const char *text;

	request->pod_sandbox_id = pod->sandbox_id;
	request->verbose = 1;
	response = CALL(pod, PodSandboxStatus, request, NULL);
	if (response == NULL)
		return NULL;
	text = zl_message_map_get(response->info, response->n_info, "zone");
	if (text == NULL)
		return NULL;
	return zl_json_parse("zone", text, strlen(text), 1 << 20, NULL);
}

static int observe(const char *command, char **ret, struct zl_error *err)
{
	const char *argv[] = {"/bin/sh", "-c", command, NULL};
	zl_auto(buffer) struct zl_buffer out = ZL_BUFFER_LIMIT(1 << 20);

	if (zl_spawn_check(argv, &out, NULL, CALL_TIMEOUT_MS, err) < 0)
		return -1;
	*ret = strdup(zl_buffer_string(&out));
	return *ret != NULL ? 0 : zl_error_nomem(err);
}

// After a failure: what the pod still has goes with its sandbox.
static void give_up(struct pod *pod)
{
	if (pod->sandbox_id == NULL)
		return;
	(void)stop_sandbox(pod, NULL);
	(void)remove_sandbox(pod, NULL);
}

// ---- runs

static int do_steps(struct pod *pod, struct run *run, char **observed, struct zl_error *err)
{
	int64_t begin = zl_clock_monotonic();

	for (int i = 0; i < STEP_COUNT; i++) {
		int64_t before = zl_clock_monotonic();

		if (steps[i].run(pod, err) < 0)
			return zl_error_wrap(err, "%s", steps[i].name);
		run->ns[i] = zl_clock_monotonic() - before;
		if (i == STEP_STARTED)
			run->cold_ns = zl_clock_monotonic() - begin;
		if (i == STEP_EXEC)
			run->zone = ask_zone(pod);
		if (i == STEP_EXEC && observed != NULL &&
		        observe(pod->options->observe, observed, err) < 0)
			return -1;
	}
	return 0;
}

static int do_run(const struct options *options, struct zl_rpc_client *client, struct run *run,
        char **observed, struct zl_error *err)
{
	struct pod pod = {.options = options, .client = client};
	char uid[ZL_ID_SIZE];
	int result = zl_id_make(uid, err);

	if (result == 0) {
		pod.config = make_sandbox_config(&pod, uid);
		result = do_steps(&pod, run, observed, err);
	}
	if (result < 0)
		give_up(&pod);
	zl_arena_release(&pod.arena);
	return result;
}

static int pull(const struct options *options, struct zl_rpc_client *client, struct zl_error *err)
{
	zl_auto(arena) struct zl_arena arena = ZL_ARENA_INIT;
	Runtime__V1__PullImageRequest *request =
	        ZL_MESSAGE_NEW(&arena, PullImageRequest, pull_image_request);

	request->image = ZL_MESSAGE_NEW(&arena, ImageSpec, image_spec);
	request->image->image = options->image;
	if (ZL_CRI_CALL(client, image_service, PullImage, request, &arena, CALL_TIMEOUT_MS, err) ==
	        NULL)
		return zl_error_wrap(err, "PullImage %s", options->image);
	return 0;
}

static int measure(const struct options *options, struct zl_rpc_client *client, struct run *runs,
        char **observed, struct zl_error *err)
{
	if (options->pull && pull(options, client, err) < 0)
		return -1;
	for (int i = -options->warm; i < options->runs; i++) {
		struct run ignored = {0};
		bool last = i == options->runs - 1;

		if (do_run(options, client, i < 0 ? &ignored : &runs[i],
		            last && options->observe != NULL ? observed : NULL, err) < 0)
			return zl_error_wrap(err, "run %d", i);
		json_decref(ignored.zone);
	}
	return 0;
}

// ---- what came out

static int by_value(const void *a, const void *b)
{
	int64_t x = *(const int64_t *)a;
	int64_t y = *(const int64_t *)b;

	return (x > y) - (x < y);
}

// Of step `step`, or of "cold" for -1.
static int64_t value_of(const struct run *run, int step)
{
	return step < 0 ? run->cold_ns : run->ns[step];
}

static int64_t median(const struct run *runs, int count, int step)
{
	int64_t sorted[MAX_RUNS];

	for (int i = 0; i < count; i++)
		sorted[i] = value_of(&runs[i], step);
	qsort(sorted, (size_t)count, sizeof(sorted[0]), by_value);
	return count % 2 != 0 ? sorted[count / 2] : (sorted[count / 2 - 1] + sorted[count / 2]) / 2;
}

static void print_row(const char *name, const struct run *runs, int count, int step)
{
	(void)printf("%-18s %8.1f  ", name, (double)median(runs, count, step) / 1e6);
	for (int i = 0; i < count; i++)
		(void)printf(" %8.1f", (double)value_of(&runs[i], step) / 1e6);
	(void)printf("\n");
}

static void print_table(const struct run *runs, int count)
{
	(void)printf("%-18s %8s   each run, ms\n", "call", "median");
	for (int i = 0; i < STEP_COUNT; i++)
		print_row(steps[i].name, runs, count, i);
	print_row("cold", runs, count, -1);
}

static json_t *run_json(const struct run *run)
{
	json_t *json = json_object();

	for (int i = 0; i < STEP_COUNT; i++)
		(void)json_object_set_new(json, steps[i].name, json_integer(run->ns[i]));
	(void)json_object_set_new(json, "cold", json_integer(run->cold_ns));
	if (run->zone != NULL)
		(void)json_object_set(json, "zone", run->zone);
	return json;
}

static json_t *version_json(struct zl_rpc_client *client, struct zl_error *err)
{
	zl_auto(arena) struct zl_arena arena = ZL_ARENA_INIT;
	Runtime__V1__VersionRequest *request =
	        ZL_MESSAGE_NEW(&arena, VersionRequest, version_request);
	Runtime__V1__VersionResponse *response = ZL_CRI_CALL(
	        client, runtime_service, Version, request, &arena, CALL_TIMEOUT_MS, err);

	if (response == NULL)
		return NULL;
	return json_pack(
	        "{ss ss}", "name", response->runtime_name, "version", response->runtime_version);
}

static int write_json(const struct options *options, json_t *runtime, const struct run *runs,
        const char *observed, struct zl_error *err)
{
	zl_auto(buffer) struct zl_buffer text = ZL_BUFFER_INIT;
	zl_auto(json) json_t *json =
	        json_pack("{sO ss ss s[] s{} ss*}", "runtime", runtime, "handler", options->handler,
	                "image", options->image, "runs", "median", "observed", observed);
	json_t *medians = json_object_get(json, "median");

	for (int i = 0; i < options->runs; i++)
		(void)json_array_append_new(json_object_get(json, "runs"), run_json(&runs[i]));
	for (int i = 0; i < STEP_COUNT; i++)
		(void)json_object_set_new(
		        medians, steps[i].name, json_integer(median(runs, options->runs, i)));
	(void)json_object_set_new(medians, "cold", json_integer(median(runs, options->runs, -1)));
	if (json == NULL || zl_json_print(json, &text, err) < 0 ||
	        zl_buffer_append_string(&text, "\n", err) < 0)
		return -1;
	return zl_file_write_atomic(options->json, text.data, text.length, 0644, err);
}

static int bench(
        const struct options *options, struct run *runs, char **observed, struct zl_error *err)
{
	zl_auto(rpc_client) struct zl_rpc_client *client = zl_rpc_client_open(options->socket, err);
	zl_auto(json) json_t *runtime = NULL;

	if (client == NULL)
		return -1;
	runtime = version_json(client, err);
	if (runtime == NULL || measure(options, client, runs, observed, err) < 0)
		return -1;
	print_table(runs, options->runs);
	if (options->json == NULL)
		return 0;
	return write_json(options, runtime, runs, *observed, err);
}

// ---- the command line

static int usage(void)
{
	(void)fputs("usage: cri-bench --socket PATH --image REF [--handler NAME] [--runs N] "
	            "[--warm N] [--pull] [--memory BYTES] [--observe COMMAND] [--json FILE]\n",
	        stderr);
	return 2;
}

static bool parse_number(const char *text, int64_t least, int64_t most, int64_t *ret)
{
	char *end;

	errno = 0;
	*ret = strtoll(text, &end, 10);
	return errno == 0 && end != text && *end == '\0' && *ret >= least && *ret <= most;
}

static bool parse(int argc, char **argv, struct options *options)
{
	static const struct option names[] = {{"socket", required_argument, NULL, 's'},
	        {"image", required_argument, NULL, 'i'}, {"handler", required_argument, NULL, 'h'},
	        {"runs", required_argument, NULL, 'n'}, {"warm", required_argument, NULL, 'w'},
	        {"pull", no_argument, NULL, 'p'}, {"memory", required_argument, NULL, 'm'},
	        {"observe", required_argument, NULL, 'o'}, {"json", required_argument, NULL, 'j'},
	        {NULL, 0, NULL, 0}};
	int64_t runs = options->runs;
	int64_t warm = options->warm;
	bool good = true;
	int option;

	// NOLINTNEXTLINE(concurrency-mt-unsafe): the only thread
	while (good && (option = getopt_long(argc, argv, "", names, NULL)) >= 0) {
		switch (option) {
		case 's':
			options->socket = optarg;
			break;
		case 'i':
			options->image = optarg;
			break;
		case 'h':
			options->handler = optarg;
			break;
		case 'n':
			good = parse_number(optarg, 1, MAX_RUNS, &runs);
			break;
		case 'w':
			good = parse_number(optarg, 0, MAX_RUNS, &warm);
			break;
		case 'p':
			options->pull = true;
			break;
		case 'm':
			good = parse_number(optarg, 0, INT64_MAX, &options->memory);
			break;
		case 'o':
			options->observe = optarg;
			break;
		case 'j':
			options->json = optarg;
			break;
		default:
			good = false;
		}
	}
	options->runs = (int)runs;
	options->warm = (int)warm;
	return good && optind == argc && options->socket != NULL && options->image != NULL;
}

int main(int argc, char **argv)
{
	struct options options = {.handler = "", .runs = 3, .warm = 1};
	static struct run runs[MAX_RUNS];
	struct zl_error err = ZL_ERROR_INIT;
	zl_auto(free) char *observed = NULL;
	int result;

	if (!parse(argc, argv, &options))
		return usage();
	result = bench(&options, runs, &observed, &err);
	for (int i = 0; i < options.runs; i++)
		json_decref(runs[i].zone);
	if (result < 0) {
		(void)fprintf(stderr, "cri-bench: %s: %s\n", options.socket, err.message);
		return 1;
	}
	return 0;
}
