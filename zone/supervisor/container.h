// SPDX-License-Identifier: Apache-2.0
//
// The life of a container.
//
//   create   image and writable layer mounted, bundle written, streams made     CREATED
//   start    crun run --detach; its failure ends the container (code 128)       STARTED
//   exit     reaped; what is left in its cgroup is killed; told to the daemon   EXITED
//   delete   killed if need be, crun delete, unmounted, its layer thrown away   gone
//
// One of create, start and delete is under way at a time; a delete waits for the others.
#ifndef ZL_ZONE_SUPERVISOR_CONTAINER_H
#define ZL_ZONE_SUPERVISOR_CONTAINER_H

#include "zone/supervisor/device.h"
#include "zone/supervisor/layer.h"
#include "zone/supervisor/process.h"
#include "zone/supervisor/rootfs.h"
#include "zone/supervisor/runtime.h"
#include "zone/supervisor/signal.h"
#include "zone/supervisor/spec.h"

struct zl_exec;

struct zl_container_description {
	Zl__Zone__Container message;
	Zl__Zone__Opened opened;
	Zl__Zone__Stream streams[3];
};

struct zl_container {
	struct zl_process_state process; // first
	char directory[ZL_RUNTIME_PATH]; // state_dir/c/ID: the bundle and its mounts
	char layer[ZL_RUNTIME_PATH];     // scratch_dir/ID
	char cgroups_path[ZL_CGROUPS_PATH_SIZE];
	Zl__Zone__State state;
	bool stdin_once;
	bool mounted;
	bool known_to_crun; // crun delete has something to remove
	bool oom_killed;
	bool exit_due; // its end is still to be told, after its output
	int64_t started_ns;
	struct zl_user user;
	struct zl_late_signal late_signal;
	struct zl_owners owners; // while it is made
	unsigned shared_mounts;  // volumes that are shared with the node (volume.h)

	struct zl_device_wait device;        // create waits for its images' devices,
	size_t devices_here;                 // one after the other: the root's, the volumes'
	Zl__Zone__ContainerCreate *creating; // the request of a create that waits
	Zl__Zone__ToZone *creating_message;  // which owns it
	struct zl_runtime_job job;           // crun run or crun delete
	bool starting;
	struct zl_reply reply; // to the create or start under way

	struct zl_runtime_job update_job; // crun update, beside the other
	struct zl_reply update_reply;

	char upper[ZL_RUNTIME_PATH]; // what it has written: below `layer`
	struct zl_layer_size layer_size;
	int64_t layer_measured_ns; // monotonic

	bool deleting;
	bool has_delete_reply;
	struct zl_reply delete_reply;

	struct zl_container_description description; // zl_container_describe
	struct zl_exec *execs;
	struct zl_container *next;
};

struct zl_container *zl_container_find(struct zl_supervisor *s, const char *id);
// Begins to delete it; on its end tells zl_supervisor_end_step.
void zl_container_delete(struct zl_container *container);
// Fills container->description, what the daemon is told of it.
void zl_container_describe(struct zl_container *container);
// Sends what is to be sent of its output, and its end after that: whoever sees a container ended
// finds its output in the log.
void zl_container_fill(struct zl_container *container, struct zl_link *link);
// Tells the daemon that a process ended.
void zl_send_exited(struct zl_process_state *p, bool oom_killed);
// state_dir/c/ID
void zl_container_directory(
        const struct zl_supervisor *s, const char *id, char out[static ZL_RUNTIME_PATH]);

// Between container.c and container_create.c.
// Takes its mounts, cgroups and files away; idempotent.
int zl_container_unmake(struct zl_container *container, struct zl_error *err);
// Frees what is in memory; mounts and files are gone already.
void zl_container_free(struct zl_container *container);
// Its process ended: process.ended.
void zl_container_ended(struct zl_process_state *p);
// Where the node's version 1 hierarchies are; returns `out`.
const char *zl_container_cgroup1(const struct zl_supervisor *s, char out[static ZL_RUNTIME_PATH]);

// exec.c: a further process.
struct zl_exec {
	struct zl_process_state process; // first
	struct zl_container *container;
	struct zl_runtime_job job; // crun exec
	char directory[ZL_RUNTIME_PATH];
	struct zl_reply reply;
	bool running; // crun exec was successful
	bool kill;    // it is to be killed as soon as it runs
	bool dropped; // nobody reads its output or wants to know its end
	struct zl_exec *next;
};

// Kills all of a container's execs and forgets those that are over: nobody will ask for them.
void zl_exec_drop_all(struct zl_container *container);
// Frees execs that are over and whose output was acknowledged, and goes on with a delete that waits
// for that.
void zl_exec_settle(struct zl_container *container);

#endif
