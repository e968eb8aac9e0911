// SPDX-License-Identifier: Apache-2.0
//
// The `host` back end: a sandbox is a supervisor process with namespaces on this machine's kernel.
//
// The process outlives zoneletd and listens on a socket in the sandbox's run directory. All mounts
// it makes are in its own mount namespace, so they are gone when it is.
#include <fcntl.h>
#include <inttypes.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/pidfd.h>
#include <sys/wait.h>

#include "base/clock.h"
#include "base/file.h"
#include "base/log.h"
#include "base/spawn.h"
#include "base/strv.h"
#include "cri-server/container/container.h"
#include "cri-server/oci/namespace.h"
#include "cri-server/sandbox/backend.h"
#include "cri-server/sandbox/cgroup.h"
#include "cri-server/sandbox/services.h"
#include "zone/channel/transport.h"

enum { SUPERVISOR_GRACE_MS = 3000, NETNS_TIMEOUT_MS = 30000, CMDLINE_LIMIT = 64 << 10 };

static int check(const Runtime__V1__PodSandboxConfig *config, struct zl_error *err)
{
	if (zl_pod_check_user_namespace(config, err) < 0)
		return -1;
	return zl_pod_check_sysctls(config, err);
}

// Beside the sandbox's directory and by its short id: the address of a unix socket has 107 bytes.
static const char *socket_path(struct zl_sandbox *sandbox, struct zl_arena *arena)
{
	return zl_arena_printf(
	        arena, "%s/%.12s.sock", sandbox->services->config->run_dir, sandbox->id);
}

static const char *scratch_path(struct zl_sandbox *sandbox, struct zl_arena *arena)
{
	return zl_arena_printf(
	        arena, "%s/scratch/%s", sandbox->services->config->root_dir, sandbox->id);
}

// Field 22 of /proc/PID/stat (proc_pid_stat(5)): what tells a process from another with its pid.
// 0 when there is no such process.
static int64_t process_started(int64_t pid)
{
	zl_auto(buffer) struct zl_buffer text = ZL_BUFFER_INIT;
	char path[64];
	const char *at;
	long long started = 0;

	(void)snprintf(path, sizeof(path), "/proc/%lld/stat", (long long)pid);
	if (pid <= 0 || zl_file_read(path, 4096, &text, NULL) < 0)
		return 0;
	at = strrchr(zl_buffer_string(&text), ')');
	for (int field = 2; at != NULL && field < 22; field++)
		at = strchr(at + 1, ' ');
	if (at != NULL)
		started = strtoll(at + 1, NULL, 10);
	return started;
}

// The log of the supervisor itself, for people: beside its socket.
static int open_log(struct zl_sandbox *sandbox, struct zl_error *err)
{
	zl_auto(arena) struct zl_arena arena = ZL_ARENA_INIT;
	const char *path = zl_arena_printf(&arena, "%s/supervisor.log", sandbox->run_dir);
	int fd = open(path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);

	if (fd < 0)
		return zl_error_errno(err, errno, "open %s", path);
	return fd;
}

// The socket listens before the program runs, so that connecting never has to wait for it.
static int spawn_supervisor(struct zl_sandbox *sandbox, struct zl_error *err)
{
	zl_auto(arena) struct zl_arena arena = ZL_ARENA_INIT;
	const char *program = sandbox->services->config->host.supervisor;
	const char *state = zl_arena_printf(&arena, "%s/supervisor", sandbox->run_dir);
	// An empty --netns is the node's.
	const char *argv[] = {program, "--host", "--state", state, "--listen-fd", "3", "--netns",
	        sandbox->netns, zl_pod_node_ipc(sandbox->config) ? "--host-ipc" : NULL, NULL};
	zl_auto(fd) int log = open_log(sandbox, err);
	zl_auto(fd) int listener = zl_socket_listen(socket_path(sandbox, &arena), err);
	struct zl_spawn spawn = ZL_SPAWN_INIT;
	struct zl_process process = ZL_PROCESS_INIT;

	if (log < 0 || listener < 0)
		return -1;
	spawn.extra_fds = &listener;
	spawn.extra_count = 1;
	spawn.program = program;
	spawn.argv = argv;
	spawn.stdout_fd = log;
	spawn.stderr_fd = log;
	if (zl_spawn_start(&spawn, &process, err) < 0)
		return -1;
	zl_close(process.pidfd);
	pthread_mutex_lock(&sandbox->lock);
	sandbox->pid = process.pid;
	sandbox->pid_started = process_started(process.pid);
	pthread_mutex_unlock(&sandbox->lock);
	zl_timeline_mark(sandbox, "supervisor");
	return 0;
}

static int create(struct zl_sandbox *sandbox, const struct zl_cancel *cancel, struct zl_error *err)
{
	zl_auto(arena) struct zl_arena arena = ZL_ARENA_INIT;

	(void)cancel;
	sandbox->destroyed = false;
	if (zl_dir_make(scratch_path(sandbox, &arena), 0700, err) < 0)
		return -1;
	return spawn_supervisor(sandbox, err);
}

static struct zl_transport *connect_supervisor(
        struct zl_sandbox *sandbox, const struct zl_cancel *cancel, struct zl_error *err)
{
	zl_auto(arena) struct zl_arena arena = ZL_ARENA_INIT;

	(void)cancel;
	return zl_socket_connect(socket_path(sandbox, &arena), err);
}

// "CONTAINER-ID HOST-ID LENGTH", as user_namespaces(7) has it.
static const char *id_map(Runtime__V1__IDMapping *const *mappings, struct zl_arena *arena)
{
	return zl_arena_printf(arena, "%" PRIu32 " %" PRIu32 " %" PRIu32 "\n",
	        mappings[0]->container_id, mappings[0]->host_id, mappings[0]->length);
}

// A user namespace is of the process that makes it, and this one has threads: the supervisor's
// program does it.
static int netns_create(
        struct zl_sandbox *sandbox, const struct zl_cancel *cancel, struct zl_error *err)
{
	zl_auto(arena) struct zl_arena arena = ZL_ARENA_INIT;
	const Runtime__V1__UserNamespace *user = zl_pod_user_namespace(sandbox->config);

	if (user == NULL)
		return zl_netns_create(sandbox->netns, err);
	{
		const char *const argv[] = {sandbox->services->config->host.supervisor,
		        "--make-netns", sandbox->netns, id_map(user->uids, &arena),
		        id_map(user->gids, &arena), NULL};

		return zl_spawn_check(argv, NULL, cancel, NETNS_TIMEOUT_MS, err);
	}
}

// CNI has set the pod's namespace up; the supervisor has joined it.
static int network(struct zl_sandbox *sandbox, const struct zl_cni_result *network_result,
        struct zl_zone_config *config, struct zl_arena *arena, struct zl_error *err)
{
	(void)sandbox;
	(void)network_result;
	(void)config;
	(void)arena;
	(void)err;
	return 0;
}

static void scratch(struct zl_sandbox *sandbox, struct zl_zone_config *config)
{
	config->scratch_path = scratch_path(sandbox, &sandbox->arena);
}

// The pod's cgroup is the kubelet's, which has its limits set before it calls; crictl has none. A
// pod without one has nothing to resize but what its containers are told themselves.
static int resize(struct zl_sandbox *sandbox, const Runtime__V1__LinuxContainerResources *resources,
        const Runtime__V1__LinuxContainerResources *overhead, const struct zl_cancel *cancel,
        struct zl_error *err)
{
	const Runtime__V1__LinuxPodSandboxConfig *lin = sandbox->config->linux;

	(void)overhead;
	(void)cancel;
	if (resources == NULL || lin == NULL || lin->cgroup_parent[0] != '/')
		return 0;
	return zl_cgroup_limit(lin->cgroup_parent, resources->memory_limit_in_bytes,
	        resources->cpu_quota, resources->cpu_period, err);
}

// A supervisor whose daemon was killed before it could write the pid down: found by its --state
// argument. Looks through all processes; only recovery of a half-made sandbox comes here.
static int64_t find_supervisor(struct zl_sandbox *sandbox)
{
	zl_auto(arena) struct zl_arena arena = ZL_ARENA_INIT;
	zl_auto(dir) DIR *proc = opendir("/proc");
	const char *state = zl_arena_printf(&arena, "%s/supervisor", sandbox->run_dir);
	struct dirent *entry;

	// NOLINTNEXTLINE(concurrency-mt-unsafe): our own DIR
	while (proc != NULL && (entry = readdir(proc)) != NULL) {
		zl_auto(buffer) struct zl_buffer line = ZL_BUFFER_INIT;
		char path[300];

		(void)snprintf(path, sizeof(path), "/proc/%s/cmdline", entry->d_name);
		if (strspn(entry->d_name, "0123456789") != strlen(entry->d_name) ||
		        zl_file_read(path, CMDLINE_LIMIT, &line, NULL) < 0 || line.length == 0)
			continue;
		if (memmem(line.data, line.length, state, strlen(state) + 1) != NULL)
			return strtoll(entry->d_name, NULL, 10);
	}
	return 0;
}

// Ends the supervisor and waits for its end. Gone already is success.
static int kill_supervisor(struct zl_sandbox *sandbox, struct zl_error *err)
{
	zl_auto(fd) int pidfd = -1;
	siginfo_t info;

	if (sandbox->pid <= 0) {
		sandbox->pid = find_supervisor(sandbox);
		sandbox->pid_started = process_started(sandbox->pid);
	}
	if (sandbox->pid <= 0 || process_started(sandbox->pid) != sandbox->pid_started)
		return 0;
	pidfd = pidfd_open((pid_t)sandbox->pid, 0);
	if (pidfd < 0)
		return errno == ESRCH ? 0 : zl_error_errno(err, errno, "find the supervisor");
	(void)pidfd_send_signal(pidfd, SIGTERM, NULL, 0);
	if (zl_cancel_poll(NULL, pidfd, POLLIN, SUPERVISOR_GRACE_MS, NULL) < 0)
		(void)pidfd_send_signal(pidfd, SIGKILL, NULL, 0);
	if (zl_cancel_poll(NULL, pidfd, POLLIN, SUPERVISOR_GRACE_MS, err) < 0)
		return zl_error_wrap(err, "supervisor %lld does not die", (long long)sandbox->pid);
	(void)waitid(P_PIDFD, (id_t)pidfd, &info, WEXITED);
	return 0;
}

// A supervisor that was killed leaves its containers' cgroups, perhaps with processes in them.
static int remove_cgroups(struct zl_sandbox *sandbox, struct zl_error *err)
{
	size_t count;
	struct zl_container **list = zl_container_list(sandbox->services, sandbox, &count);
	int result = 0;

	for (size_t i = 0; i < count && result == 0; i++) {
		zl_auto(arena) struct zl_arena arena = ZL_ARENA_INIT;

		result = zl_cgroup_remove(zl_container_cgroup(list[i], &arena), err);
	}
	zl_container_list_free(list, count);
	return result;
}

static int destroy(struct zl_sandbox *sandbox, struct zl_error *err)
{
	zl_auto(arena) struct zl_arena arena = ZL_ARENA_INIT;

	if (sandbox->destroyed)
		return 0;
	if (kill_supervisor(sandbox, err) < 0 || remove_cgroups(sandbox, err) < 0 ||
	        zl_file_remove(socket_path(sandbox, &arena), err) < 0 ||
	        zl_tree_remove(scratch_path(sandbox, &arena), err) < 0)
		return -1;
	pthread_mutex_lock(&sandbox->lock);
	sandbox->pid = 0;
	pthread_mutex_unlock(&sandbox->lock);
	sandbox->destroyed = true;
	return 0;
}

static int recover(struct zl_sandbox *sandbox, struct zl_error *err)
{
	if (sandbox->pid > 0 && process_started(sandbox->pid) == sandbox->pid_started)
		return 0;
	return zl_error_set(
	        err, ZL_NOT_FOUND, "its supervisor is gone (killed, or the node was restarted)");
}

// ---- images: their files are mounted as they are

static const char *const *image_files(const struct zl_container *container, const char *image_id,
        struct zl_arena *arena, struct zl_error *err)
{
	zl_auto(strv) char **files =
	        zl_store_image_files(container->sandbox->services->store, image_id, err);
	size_t count = zl_strv_length(files);
	const char **copy;

	if (files == NULL)
		return NULL;
	copy = zl_arena_array(arena, count + 1, sizeof(*copy));
	for (size_t i = 0; i < count; i++)
		copy[i] = zl_arena_strdup(arena, files[i]);
	return copy;
}

static int rootfs_add(struct zl_container *container, struct zl_zone_rootfs *ret,
        struct zl_arena *arena, const struct zl_cancel *cancel, struct zl_error *err)
{
	(void)cancel;
	ret->image_files = image_files(container, container->image_id, arena, err);
	return ret->image_files != NULL ? 0 : -1;
}

static int volume_add(struct zl_container *container, struct zl_container_volume *volume,
        struct zl_zone_image_volume *ret, struct zl_arena *arena, const struct zl_cancel *cancel,
        struct zl_error *err)
{
	(void)cancel;
	ret->image_files = image_files(container, volume->image_id, arena, err);
	return ret->image_files != NULL ? 0 : -1;
}

static int rootfs_remove(struct zl_container *container, struct zl_error *err)
{
	(void)container;
	(void)err;
	return 0;
}

static int rootfs_recover(struct zl_container *container, const char *vdev, struct zl_error *err)
{
	(void)container;
	(void)vdev;
	(void)err;
	return 0;
}

const struct zl_backend zl_backend_host = {
        .name = "host",
        .zone = false,
        .check = check,
        .create = create,
        .netns_create = netns_create,
        .connect = connect_supervisor,
        .network = network,
        .scratch = scratch,
        .resize = resize,
        .destroy = destroy,
        .recover = recover,
        .rootfs_add = rootfs_add,
        .volume_add = volume_add,
        .rootfs_remove = rootfs_remove,
        .rootfs_recover = rootfs_recover,
};
