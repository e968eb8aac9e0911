// SPDX-License-Identifier: Apache-2.0
//
// Sandboxes and containers in memory, found by id.
//
// The database (cri-server/state) is what is true after a restart; these objects are what is true
// now. Both are counted: whoever looks one up holds a reference until zl_sandbox_unref or
// zl_container_unref (zl_auto(sandbox), zl_auto(container)).
//
// Lock order, outermost first:
//   1. sandbox->gate    whole operations; shared for work in its containers, exclusive for run,
//                       stop and remove. Not a mutex: waiting can be cancelled.
//   2. container->gate  whole operations on one container, always exclusive.
//   3. services->lock   the indexes.
//   4. sandbox->lock    the fields of a sandbox and of its containers.
// The mutexes (3, 4) are held for memory only: never across a call to a zone, a plugin, the
// toolstack or the database.
#ifndef ZL_CRI_SERVER_SANDBOX_SANDBOX_H
#define ZL_CRI_SERVER_SANDBOX_SANDBOX_H

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <uthash.h>

#include "api.pb-c.h"
#include "base/cancel.h"
#include "base/error.h"
#include "base/id.h"
#include "cri-server/container/log.h"
#include "cri-server/message/arena.h"
#include "cri-server/sandbox/gate.h"
#include "cri-server/sandbox/size.h"
#include "cri-server/state/state.h"
#include "cri-server/stats/cpu_sample.h"
#include "zone/client/client.h"
#include "zone/client/loop.h"

struct zl_services;
struct zl_backend;
struct zl_container;
struct zl_peer;

// An image attached to a zone as a block device, shared by the containers that have it.
struct zl_image_disk {
	char image_id[72];
	char vdev[8];   // "xvdc"; "" for a free slot
	unsigned users; // containers
};

enum { ZL_IMAGE_DISKS = 64 };

// An image that a container has as a volume.
struct zl_container_volume {
	const char *image_id;
	char vdev[8]; // its device in the zone; "" under `host` and while it has none
};

// The 9P server of a pod that is a zone (share.h). Guarded by disk_gate; the atomic members may be
// read without.
struct zl_pod_share {
	atomic_bool started;    // there may be a server, a device and files of it
	atomic_uint generation; // how often a server took a dead one's place
	bool watched;
	int pidfd; // of the server, while it is watched
	struct zl_loop_task task;
};

// Where the time of a start went, for the log and for `zonectl`.
enum { ZL_TIMELINE_STEPS = 16 };
struct zl_timeline {
	int64_t begin_ns; // monotonic
	size_t count;
	struct {
		const char *name;
		int64_t at_ns; // end of the step, since begin
	} steps[ZL_TIMELINE_STEPS];
};

// What may be used now (resources.h), in memory of its own.
struct zl_limits {
	struct zl_arena arena; // of what was set; what the configuration has lives in that
	Runtime__V1__LinuxContainerResources *resources;
	Runtime__V1__LinuxContainerResources *overhead; // a pod's
};

struct zl_sandbox {
	// fixed from creation on
	char id[ZL_ID_SIZE];
	struct zl_services *services;
	const struct zl_backend *backend;
	struct zl_arena arena;                       // config and the strings here
	const Runtime__V1__PodSandboxConfig *config; // never NULL, metadata never NULL
	const char *handler;                         // as the request named it ("zone")
	const char *netns;                           // path; "" for the node's own network
	const char *domain_name;                     // "" under `host`
	const char *domain_uuid;
	const char *run_dir;  // "<run_dir>/sandboxes/<id>"
	const char *hostname; // the pod's, or the node's where it has none
	int64_t created_at_ns;

	atomic_uint references;
	struct zl_gate gate;
	struct zl_cancel stopping; // fired when stop or remove begins: ends work in the sandbox
	struct zl_gate disk_gate;  // one attach or detach at a time; inside `gate`
	struct zl_pod_share share;
	UT_hash_handle hh; // services->sandboxes; guarded by services->lock

	pthread_mutex_t lock; // guards all below
	enum zl_sandbox_phase phase;
	int64_t ready_at_ns;
	char reason[64];
	char message[512];
	bool destroyed;    // the back end has taken everything down
	bool network_gone; // CNI DEL has succeeded; changed inside the gate, exclusive
	bool recovered;    // an earlier daemon made it
	bool ending;       // its stop began and has not succeeded yet
	bool forgotten;    // removed for good; changed inside the gate, exclusive
	int64_t domid;     // -1: none
	int64_t pid;       // supervisor under `host`; 0: none
	int64_t pid_started;
	char **ips;                     // NULL-terminated
	struct zl_zone_client *client;  // NULL while there is no channel; see zl_sandbox_client
	struct zl_zone_client *opening; // one that waits for the hello, only to be aborted
	struct zl_image_disk disks[ZL_IMAGE_DISKS];
	struct zl_container *containers; // hash by id (hh_sandbox)
	struct zl_peer *peers; // hash by the id of their exec or connection (container/peer.h)
	struct zl_timeline timeline;
	struct zl_zone_size size;
	struct zl_limits limits;
	struct zl_cpu_sample cpu; // as PodSandboxStats last told
};

struct zl_container {
	// fixed from creation on
	char id[ZL_ID_SIZE];
	struct zl_sandbox *sandbox; // counted
	struct zl_arena arena;
	const Runtime__V1__ContainerConfig *config; // never NULL, metadata never NULL
	const char *image_id;
	const char *image_ref;
	const char *log_path; // absolute; "" if none
	const char *spec;     // OCI runtime-spec as handed to the supervisor
	// For each mount of config, where the zone has it (share.h); NULL: none, or a recovered one
	const char *const *share_sources;
	const bool *share_served; // for each: its read-only is the server's alone (spec.h)
	char image_vdev[8];       // its image's device in the zone; "" if none
	struct zl_container_volume *volumes; // in the order of its mounts
	size_t volume_count;
	int64_t created_at_ns;

	int stop_signal;
	atomic_uint references;
	struct zl_gate gate;
	int exited_fd;             // eventfd, readable for good once the container has exited
	UT_hash_handle hh;         // services->containers; guarded by services->lock
	UT_hash_handle hh_sandbox; // sandbox->containers; guarded by sandbox->lock

	// guarded by sandbox->lock
	enum zl_container_phase phase;
	int32_t exit_code;
	int64_t started_at_ns;
	int64_t finished_at_ns;
	int64_t pid;
	char reason[64];
	char message[512];
	struct zl_zone_user user; // as the supervisor resolved it
	bool has_user;
	struct zl_container_log *log; // NULL before start
	struct zl_limits limits;
	struct zl_cpu_sample cpu; // as ContainerStats last told
	struct zl_peer *attached; // to its own process
	uint64_t seen[2];         // end of the stdout and stderr that came so far
};

// ---- sandboxes

// A new object with one reference and a new id, in no index yet. The configuration is copied.
struct zl_sandbox *zl_sandbox_new(struct zl_services *services, const struct zl_backend *backend,
        const char *handler, const char *id, const Runtime__V1__PodSandboxConfig *config,
        struct zl_error *err);
struct zl_sandbox *zl_sandbox_ref(struct zl_sandbox *sandbox);
void zl_sandbox_unref(struct zl_sandbox *sandbox); // NULL is fine
ZL_AUTO_DEFINE(sandbox, struct zl_sandbox *, zl_sandbox_unref);

void zl_sandbox_index(struct zl_sandbox *sandbox);   // takes a reference for the index
void zl_sandbox_unindex(struct zl_sandbox *sandbox); // gives it back; not indexed is fine

// By id or unique prefix of one. NOT_FOUND.
struct zl_sandbox *zl_sandbox_find(
        struct zl_services *services, const char *id, struct zl_error *err);
// All of them, counted; the caller unrefs each and frees the array (zl_sandbox_list_free).
struct zl_sandbox **zl_sandbox_list(struct zl_services *services, size_t *ret_count);
void zl_sandbox_list_free(struct zl_sandbox **list, size_t count);

// "namespace/name" for messages; in the sandbox's arena.
const char *zl_sandbox_pod(const struct zl_sandbox *sandbox);

// What the database keeps of it, filled from the fields now; strings point into the sandbox.
int zl_sandbox_save(struct zl_sandbox *sandbox, enum zl_sandbox_step step, struct zl_error *err);
int zl_sandbox_add_record(struct zl_sandbox *sandbox, struct zl_error *err);

enum zl_sandbox_phase zl_sandbox_phase(struct zl_sandbox *sandbox);
void zl_sandbox_set_phase(struct zl_sandbox *sandbox, enum zl_sandbox_phase phase,
        const char *reason, const char *message);

// The channel, for one who is inside the gate (only the exclusive side closes it).
// FAILED_PRECONDITION when the sandbox is not ready, with its reason.
struct zl_zone_client *zl_sandbox_client(struct zl_sandbox *sandbox, struct zl_error *err);

// Notes the end of a step of a start. Also the place where tests kill the daemon: failpoint
// "run.<step>" (base/failpoint.h).
void zl_timeline_mark(struct zl_sandbox *sandbox, const char *step);

// ---- containers

struct zl_container *zl_container_new(struct zl_sandbox *sandbox, const char *id,
        const Runtime__V1__ContainerConfig *config, struct zl_error *err);
struct zl_container *zl_container_ref(struct zl_container *container);
void zl_container_unref(struct zl_container *container);
ZL_AUTO_DEFINE(container, struct zl_container *, zl_container_unref);

void zl_container_index(struct zl_container *container);
void zl_container_unindex(struct zl_container *container);
struct zl_container *zl_container_find(
        struct zl_services *services, const char *id, struct zl_error *err);
// NULL if the sandbox has none of this id; counted. Any thread.
struct zl_container *zl_container_in(struct zl_sandbox *sandbox, const char *id);
// All, or those of one sandbox (NULL: all).
struct zl_container **zl_container_list(
        struct zl_services *services, struct zl_sandbox *sandbox, size_t *ret_count);
void zl_container_list_free(struct zl_container **list, size_t count);

int zl_container_add_record(struct zl_container *container, struct zl_error *err);
int zl_container_save(struct zl_container *container, struct zl_error *err);
enum zl_container_phase zl_container_phase(struct zl_container *container);

// Whether it has this image as a volume.
bool zl_container_has_volume(const struct zl_container *container, const char *image_id);

// Notes the end once; later calls change nothing. Wakes who waits on exited_fd. Returns whether it
// was the first. Persisting and the event are the caller's (zl_container_finish).
bool zl_container_set_exited(struct zl_container *container, int32_t exit_code, bool oom_killed,
        int64_t finished_at_ns, const char *reason, const char *message);

#endif
