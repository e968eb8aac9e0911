// SPDX-License-Identifier: Apache-2.0
//
// The supervisor: runs the containers of one pod, PID 1 inside a zone or a process under `host`.
//
// main.c       arguments, the order of things
// boot.c       what a zone needs before and after the hello: mounts
// host.c       namespaces of a pod under `host`
// reactor.c    the event loop
// link.c       the channel to the daemon
// requests.c   a table from request to function
// configure.c  hostname, sysctls, files, clock, entropy, scratch disk
// network.c    interfaces, addresses and routes
// device.c     waiting for block devices
// container.c  the life of a container; container_create.c its beginning
// exec.c       the life of a further process in one
// connection.c connections to the pod's ports
// process.c    what both share: stdio and exit
// output.c, input.c, console.c   one stream each, terminals
// runtime.c    crun
// rootfs.c     the mounts below a container
// share.c      the node's directories, by 9P
// volume.c     the sources of its other mounts
// devnode.c    its devices
// signal.c     signals that it cannot hear yet
// spec.c       the OCI spec, completed
// user.c       /etc/passwd and /etc/group
// cgroup.c     out of memory, kill all
// cgroup1.c    limits on a node with version 1 hierarchies
// cgroup_usage.c, layer.c, stats.c   what is used
// update.c     new limits
//
// Everything runs on one thread (reactor.h), but the removal of writable layers
// (trash.c) and measuring them (layer.c).
#ifndef ZL_ZONE_SUPERVISOR_SUPERVISOR_H
#define ZL_ZONE_SUPERVISOR_SUPERVISOR_H

#include <limits.h>
#include <stdbool.h>
#include <stdint.h>

#include "base/error.h"
#include "zone/supervisor/device.h"
#include "zone/supervisor/link.h"
#include "zone/supervisor/network.h"
#include "zone/supervisor/reactor.h"
#include "zone/supervisor/rootfs.h"
#include "zone/supervisor/stats.h"

struct zl_connection;
struct zl_container;
struct zl_configuring;

struct zl_supervisor {
	bool host;                    // a process under `host`, else PID 1 of a zone
	bool booted;                  // what a zone needs beyond the hello is there
	bool node_uts;                // `host` with the node's hostname: not ours to set
	bool node_ipc;                // `host` with the node's ipc namespace, and its /dev/shm
	bool cgroup1;                 // `host` with version 1 hierarchies: state_dir/cgroup1
	int node_mounts;              // the node's mount namespace under `host`
	char state_dir[PATH_MAX / 8]; // bundles, mounts, crun's state: on a tmpfs
	struct zl_reactor reactor;
	struct zl_link link;
	struct zl_devices devices;
	struct zl_network network;
	struct zl_container *containers;
	unsigned container_count;
	struct zl_connection *connections;
	unsigned connection_count;
	uint32_t next_stream;
	struct zl_stats stats;
	// Holds the pod's pid namespace under `host` (as pid_for_children), and its user, ipc and
	// uts namespaces if it has a user namespace; 0: not needed yet.
	pid_t pause_pid;
	bool userns; // the pod has a user namespace: the one that owns its network namespace

	// Set by configure.
	bool configured;
	char hostname[65];
	char scratch_dir[PATH_MAX / 8];     // writable layers
	bool has_resolv_conf;               // state_dir/resolv.conf is there
	bool has_shm;                       // state_dir/shm is mounted
	struct zl_configuring *configuring; // one that waits for a device or a link

	bool ending; // a shutdown is under way
	bool ended;  // all containers are gone: when the answer is out, the loop stops
	bool has_end_reply;
	struct zl_reply end_reply;
};

// requests.c: what the link calls.
extern const struct zl_link_handlers zl_supervisor_handlers;

// Request handlers. Each answers its reply, now or later. The message is freed after the return.
typedef void zl_request_handler(
        struct zl_supervisor *s, struct zl_reply reply, const Zl__Zone__ToZone *message);
zl_request_handler zl_configure_request;
zl_request_handler zl_shutdown_request;
zl_request_handler zl_container_create_request;
zl_request_handler zl_container_start_request;
zl_request_handler zl_container_signal_request;
zl_request_handler zl_container_delete_request;
zl_request_handler zl_container_list_request;
zl_request_handler zl_exec_start_request;
zl_request_handler zl_exec_kill_request;
zl_request_handler zl_resize_request;
zl_request_handler zl_stats_request;
zl_request_handler zl_container_update_request;
zl_request_handler zl_connect_request;
zl_request_handler zl_hang_up_request;

// main.c: makes what a zone needs beyond the hello, once: at the first quiet moment after the
// hello, or before the first request. After a failure it can be tried again.
int zl_supervisor_boot(struct zl_supervisor *s, struct zl_error *err);

// shutdown.c: ends everything, answers whoever asked, and leaves the loop.
void zl_supervisor_end(struct zl_supervisor *s);
// A container is gone: goes on with an end that is under way.
void zl_supervisor_end_step(struct zl_supervisor *s);

// boot.c, in order: /dev, which the channel needs; the zone's root, for a supervisor that came in a
// ramdisk (waits for the disk); everything else a zone has mounted, as far as its kernel can;
// controllers for the containers' cgroups.
int zl_boot_dev(struct zl_error *err);
int zl_boot_root(struct zl_error *err);
void zl_boot_mounts(void (*complain)(const char *message));
void zl_boot_cgroups(void);

// host.c
struct zl_host_options {
	const char *netns; // path of the pod's network namespace; NULL: the node's
	bool host_ipc;     // the node's ipc namespace
};
// Moves into the pod's namespaces. Where the network namespace belongs to another user namespace
// (zl_host_make_netns), the pod lives in that: a process that holds it is started, and the pod's
// ipc and uts namespaces belong to it, too.
int zl_host_enter(
        struct zl_supervisor *s, const struct zl_host_options *options, struct zl_error *err);
// The pid of the process that holds the pod's shared namespaces; starts it the first time.
int zl_host_pause(struct zl_supervisor *s, pid_t *ret_pid, struct zl_error *err);
// The pod's user namespace; its descriptor is the caller's to close.
int zl_host_owners(struct zl_supervisor *s, struct zl_owners *ret, struct zl_error *err);
// What that process does: without a user namespace (fd -1) it is the first of the pid namespace.
int zl_host_pause_main(void);
int zl_host_hold_main(int userns);
// Makes a network namespace that belongs to a new user namespace and binds it to a path; the maps
// are the lines of /proc/PID/uid_map and gid_map.
int zl_host_make_netns(
        const char *path, const char *uid_map, const char *gid_map, struct zl_error *err);
int zl_host_unshare_main(void);

// trash.c: moves a directory away at once and removes it on a thread of its own.
int zl_trash(struct zl_supervisor *s, const char *path, struct zl_error *err);
// Waits until all that was thrown away is gone.
void zl_trash_wait(void);

#endif
