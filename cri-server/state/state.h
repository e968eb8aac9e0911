// SPDX-License-Identifier: Apache-2.0
//
// What survives a kill -9 of zoneletd: sandboxes and containers, in <root_dir>/state.db.
//
// Each change is one transaction, so the caller writes an intent before it acts (add with phase
// CREATING, then a step before each effect) and recovery knows how far a half-made pod may have
// come. A committed change survives any death of the daemon. A loss of power may cost the last
// seconds, never the order: nothing that the records tell of outlives it anyway, and a commit costs
// no wait for the disk. What CRI replies are made of is kept as the packed CRI configuration, so
// nothing of it is lost.
//
// Records: strings of a record that was read live in its arena; a record to be written may point
// anywhere. NULL strings are stored as "".
//
// Thread rule: any function from any thread; the database serialises.
#ifndef ZL_CRI_SERVER_STATE_STATE_H
#define ZL_CRI_SERVER_STATE_STATE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/error.h"
#include "cri-server/message/arena.h"

struct zl_state;

// Opens or makes the database. FAILED_PRECONDITION: it was written by a newer zonelet.
struct zl_state *zl_state_open(const char *path, struct zl_error *err);
void zl_state_close(struct zl_state *state);
ZL_AUTO_DEFINE(state, struct zl_state *, zl_state_close);

// ---- sandboxes

// Numbers are stored: never change one, add at the end.
enum zl_sandbox_phase {
	ZL_SANDBOX_CREATING = 0, // RunPodSandbox has not answered; `step` says how far it came
	ZL_SANDBOX_READY = 1,
	ZL_SANDBOX_NOTREADY = 2, // stopped, or its zone died
	ZL_SANDBOX_REMOVING = 3, // RemovePodSandbox began
};

// Written before the effect it names is begun.
enum zl_sandbox_step {
	ZL_STEP_RESERVED = 0, // name reserved, nothing made
	ZL_STEP_NETNS = 1,    // network namespace
	ZL_STEP_NETWORK = 2,  // CNI ADD
	ZL_STEP_DISKS = 3,    // scratch and devices
	ZL_STEP_DOMAIN = 4,   // domain, or supervisor process under `host`
	ZL_STEP_HELLO = 5,    // waiting for the supervisor, configuring it
	ZL_STEP_DONE = 6,
	ZL_STEP_STOPPING = 7, // StopPodSandbox began to take things down
	ZL_STEP_STOPPED = 8,  // all taken down: no domain, network, scratch
};

struct zl_sandbox_record {
	struct zl_arena arena; // owns the strings of a record that was read
	const char *id;
	const char *name; // of the pod; name, namespace, uid and attempt together are unique
	const char *namespace_;
	const char *uid;
	uint32_t attempt;
	const char *handler; // "zone" or "host"
	enum zl_sandbox_phase phase;
	enum zl_sandbox_step step;
	int64_t created_at_ns; // realtime
	int64_t ready_at_ns;   // 0: never was
	const char *reason;    // why it is not ready: "ZoneCrashed"; "" if it is
	const char *message;
	const void *config; // packed runtime.v1.PodSandboxConfig
	size_t config_length;
	// the sandbox's place
	int64_t domid;           // -1: none
	const char *domain_uuid; // "" if none; what tells a domain from another with its domid
	int64_t pid;             // supervisor process under `host`; 0: none
	int64_t pid_started; // its start time (field 22 of /proc/PID/stat), against reuse of pids
	const char *netns;   // path; "" for the node's own network
	const char *network; // JSON of the CNI result as the caller wants it; "" if none
	const char *const *ips; // NULL-terminated, may be NULL; the first is the pod's main address
	uint64_t memory_bytes;
	uint32_t vcpus;
	uint64_t scratch_bytes;
	const char *scratch; // device or directory; "" if none
	const char *extra;   // JSON for whatever else the caller keeps
};
void zl_sandbox_record_release(struct zl_sandbox_record *record);
ZL_AUTO_DEFINE_VALUE(sandbox_record, struct zl_sandbox_record, zl_sandbox_record_release);

// Reserves the name and stores. ALREADY_EXISTS names the sandbox that holds it.
int zl_state_sandbox_add(
        struct zl_state *state, const struct zl_sandbox_record *record, struct zl_error *err);
// Stores everything but id, name, namespace, uid, attempt, handler and created_at. NOT_FOUND.
int zl_state_sandbox_save(
        struct zl_state *state, const struct zl_sandbox_record *record, struct zl_error *err);
// Only phase and step. NOT_FOUND.
int zl_state_sandbox_phase(struct zl_state *state, const char *id, enum zl_sandbox_phase phase,
        enum zl_sandbox_step step, struct zl_error *err);
// NOT_FOUND. *ret is overwritten, release it.
int zl_state_sandbox_get(struct zl_state *state, const char *id, struct zl_sandbox_record *ret,
        struct zl_error *err);
// Its id by its name. NOT_FOUND.
int zl_state_sandbox_find(struct zl_state *state, const char *namespace_, const char *name,
        const char *uid, uint32_t attempt, char ret_id[static 65], struct zl_error *err);
// All, oldest first; free with zl_sandbox_records_free.
int zl_state_sandbox_list(struct zl_state *state, struct zl_sandbox_record **ret, size_t *ret_count,
        struct zl_error *err);
void zl_sandbox_records_free(struct zl_sandbox_record *records, size_t count);
// Removes it; absent is success. FAILED_PRECONDITION while it has containers.
int zl_state_sandbox_remove(struct zl_state *state, const char *id, struct zl_error *err);

// ---- containers

// Numbers are stored: never change one, add at the end.
enum zl_container_phase {
	ZL_CONTAINER_CREATING = 0, // CreateContainer has not answered
	ZL_CONTAINER_CREATED = 1,
	ZL_CONTAINER_RUNNING = 2,
	ZL_CONTAINER_EXITED = 3,
	ZL_CONTAINER_REMOVING = 4, // RemoveContainer began
	ZL_CONTAINER_STARTING = 5, // StartContainer was handed to the supervisor, no answer yet
};

// Where a container's log is: bytes of each stream that are in the log file, whose size then was
// log_size. After a crash the file is cut to log_size and the streams go on at the offsets.
struct zl_log_commit {
	uint64_t stdout_offset;
	uint64_t stderr_offset;
	uint64_t log_size;
	uint32_t stdout_partial; // 1: the last line of the stream in the file is a partial one (tag
	                         // P)
	uint32_t stderr_partial;
};

struct zl_container_record {
	struct zl_arena arena; // owns the strings of a record that was read
	const char *id;
	const char *sandbox_id;
	const char *name; // sandbox, name and attempt together are unique
	uint32_t attempt;
	enum zl_container_phase phase;
	int64_t created_at_ns;
	int64_t started_at_ns;  // 0: never
	int64_t finished_at_ns; // 0: not yet
	int64_t pid;            // in the zone; 0: none
	int32_t exit_code;
	const char *reason; // CRI's: "Completed", "Error", "OOMKilled"
	const char *message;
	const char *image_id;     // "sha256:…"
	const char *image_ref;    // as CRI's image_ref: a digest reference
	const char *image_device; // in the zone ("/dev/xvdc"); "" under `host`
	const char *log_path;     // absolute; "" if none
	struct zl_log_commit log;
	const void *config; // packed runtime.v1.ContainerConfig
	size_t config_length;
	const char *extra; // JSON for whatever else the caller keeps
};
void zl_container_record_release(struct zl_container_record *record);
ZL_AUTO_DEFINE_VALUE(container_record, struct zl_container_record, zl_container_record_release);

// Reserves the name and stores. ALREADY_EXISTS names the container that holds it; NOT_FOUND: no
// such sandbox.
int zl_state_container_add(
        struct zl_state *state, const struct zl_container_record *record, struct zl_error *err);
// Stores everything but id, sandbox_id, name, attempt, created_at and the log commit. NOT_FOUND.
int zl_state_container_save(
        struct zl_state *state, const struct zl_container_record *record, struct zl_error *err);
// Only the log commit: the frequent one. NOT_FOUND.
int zl_state_container_log(struct zl_state *state, const char *id, const struct zl_log_commit *log,
        struct zl_error *err);
// NOT_FOUND. *ret is overwritten, release it.
int zl_state_container_get(struct zl_state *state, const char *id, struct zl_container_record *ret,
        struct zl_error *err);
// Its id by its name. NOT_FOUND.
int zl_state_container_find(struct zl_state *state, const char *sandbox_id, const char *name,
        uint32_t attempt, char ret_id[static 65], struct zl_error *err);
// All, or those of one sandbox (NULL: all), oldest first; free with zl_container_records_free.
int zl_state_container_list(struct zl_state *state, const char *sandbox_id,
        struct zl_container_record **ret, size_t *ret_count, struct zl_error *err);
void zl_container_records_free(struct zl_container_record *records, size_t count);
// Removes it; absent is success.
int zl_state_container_remove(struct zl_state *state, const char *id, struct zl_error *err);

// Whether any container is of this image.
int zl_state_image_used(
        struct zl_state *state, const char *image_id, bool *ret_used, struct zl_error *err);

#endif
