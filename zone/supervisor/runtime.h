// SPDX-License-Identifier: Apache-2.0
//
// crun, the OCI runtime, as child processes (crun(1), version 1.21).
//
// `run --detach` and `exec --detach` return when the process runs (its parent is the supervisor
// then, as PID 1 or child subreaper) or with the reason why it could not; so the two calls tell
// apart what crun says and what the process itself exits with.
#ifndef ZL_ZONE_SUPERVISOR_RUNTIME_H
#define ZL_ZONE_SUPERVISOR_RUNTIME_H

#include "zone/supervisor/process.h"

enum { ZL_RUNTIME_PATH = PATH_MAX / 4 };

struct zl_runtime_job {
	struct zl_supervisor *supervisor;
	struct zl_child child;
	char directory[ZL_RUNTIME_PATH]; // where crun logs and writes the pid
	bool launch;                     // it leaves us a process
	const char *log;                 // name of crun's log in that directory
	const char *cgroups_path;        // version 1 cgroups to start it in; NULL: none (cgroup1.h)
	// crun ended. `failure` is NULL, or crun's own words as INTERNAL. May free the job.
	void (*done)(struct zl_runtime_job *job, const struct zl_error *failure);
};

// Whether the job is running.
static inline bool zl_runtime_busy(const struct zl_runtime_job *job)
{
	return job->child.pid > 0;
}

// `crun run --detach` on the bundle in `directory`, with the process's ends of its stdio.
int zl_runtime_run(struct zl_runtime_job *job, struct zl_process_state *p, const char *directory,
        struct zl_error *err);
// `crun exec --detach` with directory/process.json.
int zl_runtime_exec(struct zl_runtime_job *job, struct zl_process_state *p, const char *directory,
        struct zl_error *err);
// `crun delete --force`: kills what runs, removes crun's state and the cgroup.
int zl_runtime_delete(struct zl_runtime_job *job, const char *container_id, const char *directory,
        struct zl_error *err);

// `crun update` with the OCI resources in the file `resources`. Its log goes beside that of the
// container's own job, which may be running as well.
int zl_runtime_update(struct zl_runtime_job *job, const char *container_id, const char *directory,
        const char *resources, struct zl_error *err);

// After a successful launch: the pid that crun wrote.
int zl_runtime_pid(const struct zl_runtime_job *job, pid_t *ret_pid, struct zl_error *err);

#endif
