// SPDX-License-Identifier: Apache-2.0
#include "unit/zone/pod.h"

#include <check.h>
#include <errno.h>
#include <jansson.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>

#include "base/file.h"
#include "zone/channel/transport.h"

enum { PATIENCE_SECONDS = 60 };

static const char *setting(const char *name)
{
	return getenv(name); // NOLINT(concurrency-mt-unsafe): nobody changes it
}

static void must(int result, const struct zl_error *err)
{
	ck_assert_msg(result >= 0, "%s: %s", zl_code_name(err->code), err->message);
}

// A failed test exits from where it stands: its supervisor shall not outlive it.
static struct pod *current;

// ---- what the client tells

static struct pod_stream *find_stream(
        struct pod *pod, const char *id, const char *exec_id, enum zl_zone_stream stream)
{
	struct pod_stream *s;

	for (size_t i = 0; i < pod->stream_count; i++) {
		s = &pod->streams[i];
		if (strcmp(s->container_id, id) == 0 &&
		        strcmp(s->exec_id, exec_id != NULL ? exec_id : "") == 0 &&
		        s->stream == stream)
			return s;
	}
	ck_assert_uint_lt(pod->stream_count, POD_STREAMS);
	s = &pod->streams[pod->stream_count++];
	*s = (struct pod_stream){.stream = stream};
	(void)snprintf(s->container_id, sizeof(s->container_id), "%s", id);
	(void)snprintf(s->exec_id, sizeof(s->exec_id), "%s", exec_id != NULL ? exec_id : "");
	return s;
}

static size_t on_output(void *user, const char *id, const char *exec_id, enum zl_zone_stream stream,
        uint64_t offset, const void *bytes, size_t length, bool eof)
{
	struct pod *pod = user;
	struct pod_stream *s;

	pthread_mutex_lock(&pod->lock);
	s = find_stream(pod, id, exec_id, stream);
	// No gap, nothing twice.
	ck_assert_uint_eq(offset, s->text.length);
	if (length > pod->appetite)
		length = pod->appetite;
	else if (eof)
		s->eof = true;
	if (pod->appetite != SIZE_MAX)
		pod->appetite -= length;
	if (length > 0)
		ck_assert_int_eq(zl_buffer_append(&s->text, bytes, length, NULL), 0);
	pthread_cond_broadcast(&pod->changed);
	pthread_mutex_unlock(&pod->lock);
	return length;
}

static void on_exit_event(void *user, const struct zl_zone_exit *gone)
{
	struct pod *pod = user;
	struct pod_exit *e;

	pthread_mutex_lock(&pod->lock);
	ck_assert_uint_lt(pod->exit_count, POD_STREAMS);
	e = &pod->exits[pod->exit_count++];
	*e = (struct pod_exit){.code = gone->exit_code, .oom = gone->oom_killed};
	(void)snprintf(e->container_id, sizeof(e->container_id), "%s", gone->container_id);
	(void)snprintf(
	        e->exec_id, sizeof(e->exec_id), "%s", gone->exec_id != NULL ? gone->exec_id : "");
	ck_assert_int_gt(gone->finished_at_ns, 0);
	pthread_cond_broadcast(&pod->changed);
	pthread_mutex_unlock(&pod->lock);
}

static void on_closed(void *user, const struct zl_error *why)
{
	struct pod *pod = user;

	(void)why;
	pthread_mutex_lock(&pod->lock);
	pod->closed = true;
	pthread_cond_broadcast(&pod->changed);
	pthread_mutex_unlock(&pod->lock);
}

static void on_input_ready(void *user, const char *id, const char *exec_id)
{
	struct pod *pod = user;

	(void)id;
	(void)exec_id;
	pthread_mutex_lock(&pod->lock);
	pod->inputs++;
	pthread_cond_broadcast(&pod->changed);
	pthread_mutex_unlock(&pod->lock);
}

static const struct zl_zone_callbacks callbacks = {.output = on_output,
        .exited = on_exit_event,
        .input_ready = on_input_ready,
        .closed = on_closed};

bool pod_wait_input(struct pod *pod, int milliseconds)
{
	struct timespec limit;
	bool ready;

	(void)clock_gettime(CLOCK_REALTIME, &limit);
	limit.tv_nsec += milliseconds * 1000000L;
	limit.tv_sec += limit.tv_nsec / 1000000000;
	limit.tv_nsec %= 1000000000;
	pthread_mutex_lock(&pod->lock);
	while (pod->inputs == 0 && pthread_cond_timedwait(&pod->changed, &pod->lock, &limit) == 0)
		;
	ready = pod->inputs > 0;
	pod->inputs = 0;
	pthread_mutex_unlock(&pod->lock);
	return ready;
}

// Under the lock.
static void wait_change(struct pod *pod, const char *what)
{
	struct timespec limit;

	(void)clock_gettime(CLOCK_REALTIME, &limit);
	limit.tv_sec += PATIENCE_SECONDS;
	ck_assert_msg(pthread_cond_timedwait(&pod->changed, &pod->lock, &limit) == 0,
	        "waited in vain for %s", what);
}

struct pod_exit pod_wait_exit(struct pod *pod, const char *id, const char *exec_id)
{
	struct pod_exit found;

	pthread_mutex_lock(&pod->lock);
	for (;;) {
		for (size_t i = 0; i < pod->exit_count; i++) {
			found = pod->exits[i];
			if (strcmp(found.container_id, id) == 0 &&
			        strcmp(found.exec_id, exec_id != NULL ? exec_id : "") == 0) {
				pthread_mutex_unlock(&pod->lock);
				return found;
			}
		}
		wait_change(pod, "an exit");
	}
}

const struct pod_stream *pod_wait_eof(
        struct pod *pod, const char *id, const char *exec_id, enum zl_zone_stream stream)
{
	struct pod_stream *s;

	pthread_mutex_lock(&pod->lock);
	s = find_stream(pod, id, exec_id, stream);
	while (!s->eof)
		wait_change(pod, "the end of a stream");
	pthread_mutex_unlock(&pod->lock);
	return s;
}

void pod_wait_text(struct pod *pod, const char *id, const char *exec_id, const char *text)
{
	struct pod_stream *s;

	pthread_mutex_lock(&pod->lock);
	s = find_stream(pod, id, exec_id, ZL_ZONE_STDOUT);
	while (strstr(zl_buffer_string(&s->text), text) == NULL)
		wait_change(pod, text);
	pthread_mutex_unlock(&pod->lock);
}

size_t pod_length(struct pod *pod, const char *id, enum zl_zone_stream stream)
{
	size_t length;

	pthread_mutex_lock(&pod->lock);
	length = find_stream(pod, id, NULL, stream)->text.length;
	pthread_mutex_unlock(&pod->lock);
	return length;
}

void pod_forget(struct pod *pod, const char *id)
{
	pthread_mutex_lock(&pod->lock);
	for (size_t i = 0; i < pod->stream_count; i++) {
		if (strcmp(pod->streams[i].container_id, id) == 0)
			pod->streams[i].container_id[0] = '\0';
	}
	for (size_t i = 0; i < pod->exit_count; i++) {
		if (strcmp(pod->exits[i].container_id, id) == 0)
			pod->exits[i].container_id[0] = '\0';
	}
	pthread_mutex_unlock(&pod->lock);
}

void pod_set_appetite(struct pod *pod, size_t bytes)
{
	pthread_mutex_lock(&pod->lock);
	pod->appetite = bytes;
	pthread_mutex_unlock(&pod->lock);
}

const char *pod_id(int number)
{
	static char ids[10][65];

	(void)snprintf(ids[number], sizeof(ids[number]), "%063d%d", 0, number);
	return ids[number];
}

// ---- image and supervisor

int pod_make_image(const char *path, struct zl_error *err)
{
	const char *argv[] = {"sh", "-c", NULL, NULL};
	char script[2048];

	(void)snprintf(script, sizeof(script),
	        "set -e; t=$(mktemp -d); cd $t; mkdir -p bin etc dev proc sys tmp; "
	        "cp /bin/busybox bin/; for a in sh cat echo sleep id ls kill ps stty tty "
	        "md5sum dd seq mount touch head hostname yes rm tail true; do "
	        "ln -s busybox bin/$a; done; echo data >etc/plain; "
	        "printf 'root:x:0:0::/:/bin/sh\\napp:x:1000:1001::/:/bin/sh\\n' >etc/passwd; "
	        "printf 'app:x:1001:\\nextra:x:1005:app\\n' >etc/group; "
	        "mkfs.erofs -Enoinline_data %s . >/dev/null 2>&1; rm -rf $t",
	        path);
	argv[2] = script;
	return zl_spawn_check(argv, NULL, NULL, PATIENCE_SECONDS * 1000, err);
}

static void spawn_supervisor(struct pod *pod)
{
	// A network namespace of its own would cost and add nothing: it joins the one it is in.
	const char *argv[] = {
	        ZL_SUPERVISOR, "--host", "--listen-fd", "3", "--netns", "/proc/self/ns/net", NULL};
	struct zl_spawn spawn = ZL_SPAWN_INIT;
	struct zl_error err = ZL_ERROR_INIT;
	int listener = zl_socket_listen(pod->socket, &err);

	must(listener, &err);
	spawn.program = argv[0];
	spawn.argv = argv;
	spawn.extra_fds = &listener;
	spawn.extra_count = 1;
	must(zl_spawn_start(&spawn, &pod->supervisor, &err), &err);
	zl_close(listener);
}

void pod_connect(struct pod *pod)
{
	struct zl_error err = ZL_ERROR_INIT;
	struct zl_transport *transport =
	        pod->zone != NULL
	                ? zl_vchan_connect((uint32_t)strtoul(pod->zone, NULL, 10), NULL, &err)
	                : zl_socket_connect(pod->socket, &err);

	must(transport != NULL ? 0 : -1, &err);
	pod->closed = false;
	pod->client = zl_zone_client_open(pod->loop, transport, &callbacks, pod, NULL, &err);
	must(pod->client != NULL ? 0 : -1, &err);
}

void pod_disconnect(struct pod *pod)
{
	zl_zone_client_close(pod->client);
	pod->client = NULL;
}

// A zone goes on: it is made as it was, also after a test that was killed.
static void empty_zone(struct pod *pod)
{
	struct zl_error err = ZL_ERROR_INIT;

	for (int i = 0; i < 10; i++)
		must(zl_zone_container_delete(pod->client, pod_id(i), NULL, &err), &err);
}

static void configure(struct pod *pod)
{
	char scratch[POD_DIR_SIZE + 16];
	struct zl_zone_config config = {
	        .hostname = "testpod",
	        .resolv_conf = "nameserver 192.0.2.1\n",
	        .scratch_path = scratch,
	};
	struct zl_error err = ZL_ERROR_INIT;

	(void)snprintf(scratch, sizeof(scratch), "%s/scratch", pod->dir);
	if (pod->zone != NULL) {
		config.scratch_path = NULL;
		config.scratch_device = setting("ZL_ZONE_SCRATCH");
	}
	must(zl_zone_configure(pod->client, &config, NULL, &err), &err);
	// Again is fine.
	must(zl_zone_configure(pod->client, &config, NULL, &err), &err);
}

static void end_current(void)
{
	if (current == NULL)
		return;
	zl_process_end(&current->supervisor);
	(void)unlink(current->image);
}

void pod_start(struct pod *pod)
{
	struct zl_error err = ZL_ERROR_INIT;

	memset(pod, 0, sizeof(*pod));
	pod->supervisor = (struct zl_process)ZL_PROCESS_INIT;
	current = pod;
	ck_assert_int_eq(atexit(end_current), 0);
	(void)snprintf(pod->dir, sizeof(pod->dir), "/run/zltest-XXXXXX");
	ck_assert_ptr_nonnull(mkdtemp(pod->dir));
	(void)snprintf(pod->socket, sizeof(pod->socket), "%s/s", pod->dir);
	// Not on the tmpfs: EROFS mounts files only of file systems that read through the page
	// cache.
	(void)snprintf(pod->image, sizeof(pod->image), "%s/image-%d.erofs", ZL_TEST_DIR, getpid());
	pthread_mutex_init(&pod->lock, NULL);
	pthread_cond_init(&pod->changed, NULL);
	pod->appetite = SIZE_MAX;
	pod->zone = setting("ZL_ZONE_DOMID");
	if (pod->zone == NULL) {
		must(pod_make_image(pod->image, &err), &err);
		spawn_supervisor(pod);
	}
	pod->loop = zl_zone_loop_start(&err);
	must(pod->loop != NULL ? 0 : -1, &err);
	pod_connect(pod);
	if (pod->zone == NULL)
		ck_assert(!zl_zone_client_hello(pod->client)->configured);
	else
		empty_zone(pod);
	configure(pod);
	must(zl_zone_client_resume(pod->client, &err), &err);
}

// Of containers that are gone no cgroup is left (version 2; crun leaves the empty parent).
static void check_cgroups(const struct pod *pod)
{
	char path[256];

	(void)snprintf(path, sizeof(path), "/sys/fs/cgroup%s", strrchr(pod->dir, '/'));
	ck_assert_msg(rmdir(path) == 0 || errno == ENOENT, "%s: %s", path, strerrordesc_np(errno));
}

// The scratch directory is empty, and no mount of the pod's is seen outside of it.
static void check_leaks(struct pod *pod)
{
	zl_auto(buffer) struct zl_buffer mounts = ZL_BUFFER_INIT;
	char scratch[POD_DIR_SIZE + 16];

	(void)snprintf(scratch, sizeof(scratch), "%s/scratch", pod->dir);
	ck_assert_msg(rmdir(scratch) == 0, "%s is not empty: %s", scratch, strerrordesc_np(errno));
	ck_assert_int_eq(zl_file_read("/proc/self/mounts", 1 << 20, &mounts, NULL), 0);
	ck_assert_ptr_null(strstr(zl_buffer_string(&mounts), "zltest-"));
	ck_assert_ptr_null(strstr(zl_buffer_string(&mounts), "zonelet/supervisor"));
}

static void end_host(struct pod *pod)
{
	struct zl_error err = ZL_ERROR_INIT;
	int status = -1;

	must(zl_zone_shutdown(pod->client, NULL, &err), &err);
	must(zl_process_wait(&pod->supervisor, NULL, PATIENCE_SECONDS * 1000, &status, &err), &err);
	ck_assert_int_eq(status, 0);
	pthread_mutex_lock(&pod->lock);
	while (!pod->closed)
		wait_change(pod, "the end of the channel");
	pthread_mutex_unlock(&pod->lock);
	check_leaks(pod);
	check_cgroups(pod);
}

void pod_end(struct pod *pod)
{
	struct zl_error err = ZL_ERROR_INIT;

	if (pod->zone != NULL)
		empty_zone(pod);
	else
		end_host(pod);
	zl_zone_client_close(pod->client);
	zl_zone_loop_stop(pod->loop);
	must(zl_tree_remove(pod->dir, &err), &err);
	must(zl_file_remove(pod->image, &err), &err);
	for (size_t i = 0; i < pod->stream_count; i++)
		zl_buffer_release(&pod->streams[i].text);
	pthread_mutex_destroy(&pod->lock);
	pthread_cond_destroy(&pod->changed);
	current = NULL;
}

// ---- containers

static json_t *process_of(const char *script)
{
	json_t *process = script != NULL ? json_pack("{s:[s, s, s]}", "args", "sh", "-c", script)
	                                 : json_pack("{s:[s]}", "args", "/nope");

	json_object_set_new(process, "cwd", json_string("/"));
	json_object_set_new(process, "env", json_pack("[s]", "PATH=/bin"));
	json_object_set_new(process, "user", json_pack("{s:i, s:i}", "uid", 0, "gid", 0));
	return process;
}

char *pod_process(const char *script)
{
	json_t *process = process_of(script);
	char *text = json_dumps(process, JSON_COMPACT);

	json_decref(process);
	return text;
}

char *pod_spec(const char *id, const char *script)
{
	static const char *const shared[] = {"uts", "ipc", "network"};
	char cgroup[128];
	json_t *namespaces = json_pack("[{s:s}, {s:s}]", "type", "mount", "type", "pid");
	json_t *mounts = json_pack("[{s:s, s:s, s:s}, {s:s, s:s, s:s, s:[s, s]}, "
	                           "{s:s, s:s, s:s, s:[s, s]}]",
	        "destination", "/proc", "type", "proc", "source", "proc", "destination", "/dev",
	        "type", "tmpfs", "source", "tmpfs", "options", "nosuid", "mode=755", "destination",
	        "/dev/pts", "type", "devpts", "source", "devpts", "options", "newinstance",
	        "ptmxmode=0666");
	json_t *spec;
	char *text;

	for (size_t i = 0; i < ZL_ARRAY_SIZE(shared); i++)
		json_array_append_new(namespaces,
		        json_pack("{s:s, s:s}", "type", shared[i], "path", "zonelet:pod"));
	(void)snprintf(cgroup, sizeof(cgroup), "/%s/%s", strrchr(current->dir, '/') + 1, id);
	spec = json_pack("{s:s, s:o, s:{s:s}, s:o, s:{s:o, s:s}}", "ociVersion", "1.0.2", "process",
	        process_of(script), "root", "path", "filled-in", "mounts", mounts, "linux",
	        "namespaces", namespaces, "cgroupsPath", cgroup);
	ck_assert_ptr_nonnull(spec);
	text = json_dumps(spec, JSON_COMPACT);
	json_decref(spec);
	return text;
}

struct zl_zone_rootfs pod_rootfs(struct pod *pod, const char **space)
{
	if (pod->zone != NULL)
		return (struct zl_zone_rootfs){.image_device = setting("ZL_ZONE_IMAGE")};
	space[0] = pod->image;
	space[1] = NULL;
	return (struct zl_zone_rootfs){.image_files = space};
}

void pod_create(struct pod *pod, const char *id, const char *script, bool stdin_open, bool terminal)
{
	const char *files[2];
	zl_auto(free) char *spec = pod_spec(id, script);
	struct zl_zone_container container = {
	        .id = id,
	        .rootfs = pod_rootfs(pod, files),
	        .oci_spec = spec,
	        .stdin_open = stdin_open,
	        .terminal = terminal,
	        .user = "",
	};
	struct zl_zone_user user;
	struct zl_error err = ZL_ERROR_INIT;

	must(zl_zone_container_create(pod->client, &container, &user, NULL, &err), &err);
	ck_assert_uint_eq(user.uid, 0);
}

void pod_run(struct pod *pod, const char *id, const char *script, bool stdin_open)
{
	struct zl_error err = ZL_ERROR_INIT;
	int32_t pid = 0;
	int64_t started = 0;

	pod_create(pod, id, script, stdin_open, false);
	must(zl_zone_container_start(pod->client, id, &pid, &started, NULL, &err), &err);
	ck_assert_int_gt(pid, 0);
	ck_assert_int_gt(started, 0);
}

void pod_exec(struct pod *pod, const char *id, const char *exec_id, const char *script)
{
	zl_auto(free) char *process = pod_process(script);
	struct zl_zone_exec exec = {.container_id = id, .exec_id = exec_id, .oci_process = process};
	struct zl_error err = ZL_ERROR_INIT;

	must(zl_zone_exec_start(pod->client, &exec, NULL, &err), &err);
}
