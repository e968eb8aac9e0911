// SPDX-License-Identifier: Apache-2.0
#include "zone/supervisor/runtime.h"
#include "zone/protocol/enclosing.h"

#include <errno.h>
#include <fcntl.h>
#include <stddef.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/file.h"
#include "base/json.h"
#include "base/spawn.h"
#include "base/strv.h"

enum { LOG_MAX = 64 * 1024, PID_MAX = 32, LINE_MAX_JSON = 16 * 1024 };

// The last error in crun's log, which is one JSON object a line.
static void read_reason(const char *path, const char *program, int status, struct zl_error *err)
{
	zl_auto(buffer) struct zl_buffer log = ZL_BUFFER_LIMIT(LOG_MAX);
	char reason[64];
	char *save = NULL;

	zl_error_set(err, ZL_INTERNAL, "%s: %s", program,
	        zl_status_describe(status, reason, sizeof(reason)));
	if (zl_file_read(path, LOG_MAX, &log, NULL) < 0 || log.length == 0)
		return;
	for (char *line = strtok_r((char *)log.data, "\n", &save); line != NULL;
	        line = strtok_r(NULL, "\n", &save)) {
		zl_auto(json) json_t *entry =
		        zl_json_parse("crun's log", line, strlen(line), LINE_MAX_JSON, NULL);
		const char *message = entry != NULL ? zl_json_string(entry, "msg") : NULL;

		if (message != NULL)
			zl_error_set(err, ZL_INTERNAL, "%s", message);
	}
}

static void job_path(
        const struct zl_runtime_job *job, const char *name, char out[static ZL_RUNTIME_PATH])
{
	// The directory is at most half of PATH_MAX / 4 (requests.c checks ids).
	(void)snprintf(out, ZL_RUNTIME_PATH, "%.900s/%s", job->directory, name);
}

static void job_exited(struct zl_child *child, int status)
{
	struct zl_runtime_job *job = ZL_ENCLOSING(child, struct zl_runtime_job, child);
	struct zl_reactor *reactor = &job->supervisor->reactor;
	bool launch = job->launch;
	struct zl_error failure = ZL_ERROR_INIT;
	char log[ZL_RUNTIME_PATH];

	if (status != 0) {
		job_path(job, job->log, log);
		read_reason(log, "crun", status, &failure);
	}
	// Reaping goes on in pid order of death: what crun left us may have been reaped already.
	job->done(job, status != 0 ? &failure : NULL);
	if (launch)
		zl_launch_end(reactor);
}

// Before crun's words: what moves into its cgroups and becomes crun.
static int add_cgroup1(struct zl_runtime_job *job, char ***argv, struct zl_error *err)
{
	if (job->cgroups_path == NULL)
		return 0;
	if (zl_strv_append(argv, "zonelet-supervisor", err) < 0 ||
	        zl_strv_append(argv, "--in-cgroups", err) < 0 ||
	        zl_strv_append_format(argv, err, "%s/cgroup1", job->supervisor->state_dir) < 0)
		return -1;
	return zl_strv_append(argv, job->cgroups_path, err);
}

// crun [options] command, with its log and state.
static int start_argv(
        struct zl_runtime_job *job, const char *command, char ***argv, struct zl_error *err)
{
	char log[ZL_RUNTIME_PATH];

	job_path(job, job->log, log);
	(void)unlink(log);
	if (add_cgroup1(job, argv, err) < 0 || zl_strv_append(argv, "crun", err) < 0 ||
	        zl_strv_append(argv, "--cgroup-manager=cgroupfs", err) < 0 ||
	        zl_strv_append_format(argv, err, "--root=%s/crun", job->supervisor->state_dir) <
	                0 ||
	        zl_strv_append_format(argv, err, "--log=%s", log) < 0 ||
	        zl_strv_append(argv, "--log-format=json", err) < 0 ||
	        zl_strv_append(argv, command, err) < 0)
		return -1;
	return 0;
}

static int run_argv(struct zl_runtime_job *job, char *const *argv, const int stdio[static 3],
        struct zl_error *err)
{
	struct zl_process child = ZL_PROCESS_INIT;
	zl_auto(fd) int null = -1;
	struct zl_spawn spawn = ZL_SPAWN_INIT;
	int status;

	spawn.program = job->cgroups_path != NULL ? "/proc/self/exe" : "crun";
	spawn.argv = (const char *const *)argv;
	spawn.stdin_fd = stdio[0];
	spawn.stdout_fd = stdio[1];
	spawn.stderr_fd = stdio[2];
	if (spawn.stderr_fd < 0) {
		null = open("/dev/null", O_WRONLY | O_CLOEXEC);
		spawn.stderr_fd = null;
	}
	if (zl_spawn_start(&spawn, &child, err) < 0)
		return -1;
	zl_close(child.pidfd); // the loop reaps
	job->child.pid = child.pid;
	job->child.exited = job_exited;
	if (job->launch)
		zl_launch_begin(&job->supervisor->reactor);
	// It cannot have been reaped: only the loop does that.
	(void)zl_child_watch(&job->supervisor->reactor, &job->child, &status);
	return 0;
}

// What run and exec have in common.
static int launch(
        struct zl_runtime_job *job, struct zl_process_state *p, char ***argv, struct zl_error *err)
{
	char pid[ZL_RUNTIME_PATH];
	char console[64];

	job_path(job, "pid", pid);
	(void)unlink(pid);
	if (zl_strv_append(argv, "--detach", err) < 0 ||
	        zl_strv_append_format(argv, err, "--pid-file=%s", pid) < 0)
		return -1;
	if (p->terminal && zl_strv_append_format(argv, err, "--console-socket=%s",
	                           zl_process_console_path(p, console, sizeof(console))) < 0)
		return -1;
	if (zl_strv_append(argv, p->container_id, err) < 0)
		return -1;
	if (run_argv(job, *argv, p->theirs, err) < 0)
		return -1;
	zl_process_close_theirs(p);
	return 0;
}

static void begin(struct zl_runtime_job *job, struct zl_supervisor *s, const char *directory,
        bool leaves_process)
{
	job->supervisor = s;
	job->launch = leaves_process;
	job->log = "log";
	(void)snprintf(job->directory, sizeof(job->directory), "%s", directory);
}

int zl_runtime_run(struct zl_runtime_job *job, struct zl_process_state *p, const char *directory,
        struct zl_error *err)
{
	zl_auto(strv) char **argv = NULL;

	begin(job, p->supervisor, directory, true);
	if (start_argv(job, "run", &argv, err) < 0 ||
	        zl_strv_append_format(&argv, err, "--bundle=%s", directory) < 0)
		return -1;
	return launch(job, p, &argv, err);
}

int zl_runtime_exec(struct zl_runtime_job *job, struct zl_process_state *p, const char *directory,
        struct zl_error *err)
{
	zl_auto(strv) char **argv = NULL;

	begin(job, p->supervisor, directory, true);
	if (start_argv(job, "exec", &argv, err) < 0 ||
	        zl_strv_append_format(&argv, err, "--process=%s/process.json", directory) < 0)
		return -1;
	return launch(job, p, &argv, err);
}

int zl_runtime_delete(struct zl_runtime_job *job, const char *container_id, const char *directory,
        struct zl_error *err)
{
	static const int nothing[3] = {-1, -1, -1};
	zl_auto(strv) char **argv = NULL;

	begin(job, job->supervisor, directory, false);
	job->cgroups_path = NULL;
	if (start_argv(job, "delete", &argv, err) < 0 ||
	        zl_strv_append(&argv, "--force", err) < 0 ||
	        zl_strv_append(&argv, container_id, err) < 0)
		return -1;
	return run_argv(job, argv, nothing, err);
}

int zl_runtime_update(struct zl_runtime_job *job, const char *container_id, const char *directory,
        const char *resources, struct zl_error *err)
{
	static const int nothing[3] = {-1, -1, -1};
	zl_auto(strv) char **argv = NULL;

	begin(job, job->supervisor, directory, false);
	job->log = "update-log";
	if (start_argv(job, "update", &argv, err) < 0 ||
	        zl_strv_append_format(&argv, err, "--resources=%s", resources) < 0 ||
	        zl_strv_append(&argv, container_id, err) < 0)
		return -1;
	return run_argv(job, argv, nothing, err);
}

int zl_runtime_pid(const struct zl_runtime_job *job, pid_t *ret_pid, struct zl_error *err)
{
	zl_auto(buffer) struct zl_buffer text = ZL_BUFFER_LIMIT(PID_MAX);
	char path[ZL_RUNTIME_PATH];
	long pid;

	job_path(job, "pid", path);
	if (zl_file_read(path, PID_MAX, &text, err) < 0)
		return zl_error_wrap(err, "the pid that crun wrote");
	pid = strtol(zl_buffer_string(&text), NULL, 10);
	if (pid <= 0 || pid > INT32_MAX)
		return zl_error_set(err, ZL_INTERNAL, "crun wrote no pid to %s", path);
	*ret_pid = (pid_t)pid;
	return 0;
}
