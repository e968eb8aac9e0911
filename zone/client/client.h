// SPDX-License-Identifier: Apache-2.0
//
// The daemon's side of the channel to a supervisor.
//
// One zl_zone_client per sandbox; one zl_zone_loop (an epoll thread) moves the bytes of all of
// them. Calls block the calling worker thread until the reply, the token, or the end of the
// channel. Every byte from the zone is hostile: frames are bounded and validated before they are
// believed, and a violation ends the channel with DATA_LOSS.
//
// Output is never lost: the supervisor keeps each stream's bytes until the daemon says that it
// consumed them, and after a reconnect sends again from there (zone/protocol/frame.h).
//
// Thread rule: calls from any thread; callbacks run on the loop's thread, must not block and must
// not call back into the client except where said.
#ifndef ZL_ZONE_CLIENT_H
#define ZL_ZONE_CLIENT_H

#include <stdbool.h>
#include <stdint.h>

#include "base/buffer.h"
#include "base/cancel.h"
#include "base/error.h"

struct zl_zone_loop;
struct zl_zone_client;
struct zl_transport; // zone/channel/transport.h

struct zl_zone_loop *zl_zone_loop_start(struct zl_error *err);
void zl_zone_loop_stop(struct zl_zone_loop *loop); // after all its clients are closed

// ---- what the supervisor tells by itself

enum zl_zone_stream { ZL_ZONE_STDOUT = 1, ZL_ZONE_STDERR = 2 };

struct zl_zone_exit {
	const char *container_id;
	const char *exec_id; // NULL: the container's own process
	int32_t exit_code;   // 0–255; 128 + signal where a signal ended it
	bool oom_killed;
	int64_t finished_at_ns; // clock of the zone, realtime
	const char *message;    // why a connection failed; "" else
};

struct zl_zone_callbacks {
	// Bytes of a container's (exec_id NULL) or an exec's output that start at `offset` of that
	// stream. Returns how many it has consumed for good, 0 to length; the rest is offered again
	// with the next bytes, or at once on zl_zone_client_resume. `eof`: nothing follows `bytes`.
	size_t (*output)(void *user, const char *container_id, const char *exec_id,
	        enum zl_zone_stream stream, uint64_t offset, const void *bytes, size_t length,
	        bool eof);
	void (*exited)(void *user, const struct zl_zone_exit *exit);
	// A stdin that zl_zone_stdin_put found full has room again, or takes no more. May be NULL.
	void (*input_ready)(void *user, const char *container_id, const char *exec_id);
	// The channel ended (zone died, supervisor died, protocol violation). Last callback.
	void (*closed)(void *user, const struct zl_error *why);
	// May be NULL. Called by zl_zone_client_open, on its caller's thread: with the client
	// before it waits for the hello, so that another thread can end that wait with
	// zl_zone_client_abort, and with NULL before a client that got no hello is freed.
	void (*opening)(void *user, struct zl_zone_client *client);
};

// Takes the transport over. Does the hello: checks the protocol's version, tells the consumed
// offsets (by asking `callbacks`' owner through zl_zone_resume, below) and returns when the
// supervisor has answered. UNAVAILABLE: it never says hello before the token fires.
struct zl_zone_client *zl_zone_client_open(struct zl_zone_loop *loop,
        struct zl_transport *transport, const struct zl_zone_callbacks *callbacks, void *user,
        const struct zl_cancel *cancel, struct zl_error *err);
// Closes the channel; the zone and its containers go on. No callback runs after its return.
void zl_zone_client_close(struct zl_zone_client *client);

// The zone is known to be gone: every call that waits fails at once with this error, and so does
// every later one. The channel itself cannot tell (a ring of shared memory outlives the domain at
// its other end). Output that has arrived is still delivered, then comes `closed`. From any thread,
// in a callback too; does not block. Once ended, further calls change nothing.
void zl_zone_client_abort(struct zl_zone_client *client, const struct zl_error *why);

// What the hello said.
struct zl_zone_hello {
	uint32_t protocol; // version agreed on
	char supervisor_version[64];
	int64_t boot_ns; // monotonic clock of the zone when the hello was sent
	bool configured; // zl_zone_configure was done before (this is a reconnect)
};
const struct zl_zone_hello *zl_zone_client_hello(const struct zl_zone_client *client);

// ---- the sandbox

struct zl_zone_address {
	const char *cidr; // "10.88.0.5/16", IPv6 as well
};
struct zl_zone_route {
	const char *destination; // CIDR
	const char *gateway;     // NULL: on link
};
struct zl_zone_interface {
	const char *name;    // wanted name: "eth0"
	const char *mac;     // finds it: the MAC that the device was made with, "02:…"
	const char *set_mac; // the MAC it shall have (the pod's, by CNI); NULL: as it is
	uint32_t mtu;        // 0: leave
	const struct zl_zone_address *addresses;
	size_t address_count;
	const struct zl_zone_route *routes;
	size_t route_count;
};
struct zl_zone_sysctl {
	const char *name; // "net.ipv4.ip_forward"
	const char *value;
};
struct zl_zone_config {
	const char *hostname;
	const struct zl_zone_interface *interfaces; // none under `host`, where CNI did it
	size_t interface_count;
	const struct zl_zone_sysctl *sysctls;
	size_t sysctl_count;
	const char *resolv_conf;    // text of the containers' /etc/resolv.conf, NULL: none
	const char *scratch_device; // block device with ext4 for writable layers ("/dev/xvdb"), or
	const char *scratch_path;   // a directory for them (`host`); exactly one is set
	int64_t realtime_ns; // daemon's clock, the zone sets its own by it if it is off; 0: leave
	uint64_t shm_bytes;  // size of the pod's /dev/shm; 0: 64 MiB
	const void *entropy; // bytes credited to the zone's random pool, up to 64
	size_t entropy_length;
};
// Idempotent: the same configuration again is fine.
int zl_zone_configure(struct zl_zone_client *client, const struct zl_zone_config *config,
        const struct zl_cancel *cancel, struct zl_error *err);

// Ends all containers (SIGKILL), unmounts, powers the zone off (a `host` supervisor exits). The
// channel closes. Grace is the containers' own StopContainer before it.
int zl_zone_shutdown(
        struct zl_zone_client *client, const struct zl_cancel *cancel, struct zl_error *err);

// ---- containers

struct zl_zone_rootfs {
	const char *image_device; // block device with EROFS ("/dev/xvdc"), waited for by uevent; or
	const char *const
	        *image_files; // NULL-terminated: merged.erofs, then the layers in order
	                      // (`host`: mounted file-backed, kernel 6.12); exactly one is set
	bool readonly;        // no writable layer
};
enum { ZL_ZONE_IMAGE_VOLUMES_MAX = 64 };
// An image as a volume, for a mount of the spec whose source is "zonelet:image:N".
struct zl_zone_image_volume {
	const char *image_device;       // as in zl_zone_rootfs, or
	const char *const *image_files; // NULL-terminated; exactly one is set
	const char *sub_path;           // of the image; "": all of it
};
struct zl_zone_container {
	const char *id;
	struct zl_zone_rootfs rootfs;
	const char *share_tag;  // of the 9pfs device that the spec's mounts need; NULL: none
	const char *share_name; // the spec has them at ZL_SHARE_DIR/share_name/…
	const char *oci_spec;   // JSON; root.path is set by the supervisor
	bool stdin_open;        // keep a stdin stream
	bool stdin_once;        // close it when its first writer is gone
	bool terminal;
	// Who the process is. The supervisor resolves it against /etc/passwd and /etc/group of the
	// container's root (hostile input stays in the zone) and puts the result into the spec's
	// process.user. "", "1000", "name", "name:group", "1000:1000" as in an image config.
	const char *user;
	bool has_group; // `group` replaces the primary group that `user` gives
	uint32_t group;
	const uint32_t *supplemental_groups;
	size_t supplemental_group_count;
	bool merge_groups; // SupplementalGroupsPolicy Merge: also those in /etc/group
	const struct zl_zone_image_volume *image_volumes; // by N
	size_t image_volume_count;
};
// Who it turned out to be.
struct zl_zone_user {
	uint32_t uid;
	uint32_t gid;
	uint32_t groups[64]; // supplemental, gid included where it counts as one
	size_t group_count;
};
// INVALID_ARGUMENT: no such user or group in the image. ret_user may be NULL.
int zl_zone_container_create(struct zl_zone_client *client,
        const struct zl_zone_container *container, struct zl_zone_user *ret_user,
        const struct zl_cancel *cancel, struct zl_error *err);
// *ret_pid: pid in the zone. NOT_FOUND / INVALID_ARGUMENT with crun's words when the command is
// not there or may not be run.
int zl_zone_container_start(struct zl_zone_client *client, const char *id, int32_t *ret_pid,
        int64_t *ret_started_ns, const struct zl_cancel *cancel, struct zl_error *err);
// A container that is not running is success for SIGKILL and NOT_FOUND else. `all`: every process.
int zl_zone_container_signal(struct zl_zone_client *client, const char *id, int signal, bool all,
        const struct zl_cancel *cancel, struct zl_error *err);
// Kills what runs, removes crun's state, unmounts, removes the writable layer. Absent is success.
int zl_zone_container_delete(struct zl_zone_client *client, const char *id,
        const struct zl_cancel *cancel, struct zl_error *err);

enum zl_zone_state { ZL_ZONE_CREATED, ZL_ZONE_STARTED, ZL_ZONE_EXITED };
struct zl_zone_status {
	char id[65];
	enum zl_zone_state state;
	int32_t pid;
	int32_t exit_code;
	bool oom_killed;
	int64_t started_at_ns;
	int64_t finished_at_ns;
};
// All containers the supervisor knows, for the daemon's restart. The caller frees *ret.
int zl_zone_container_list(struct zl_zone_client *client, struct zl_zone_status **ret,
        size_t *ret_count, const struct zl_cancel *cancel, struct zl_error *err);

// After a reconnect: consumption of this stream goes on at `offset` (what the log has). Call before
// zl_zone_client_resume for each stream that is not at 0.
int zl_zone_stream_seek(struct zl_zone_client *client, const char *container_id,
        enum zl_zone_stream stream, uint64_t offset, struct zl_error *err);
// Lets output flow. Until then the supervisor keeps it. Also offers unconsumed bytes again.
int zl_zone_client_resume(struct zl_zone_client *client, struct zl_error *err);

// ---- exec and stdin

struct zl_zone_exec {
	const char *container_id;
	const char *exec_id;     // made by the caller, unique in the sandbox
	const char *oci_process; // JSON of an OCI `process` object
	bool stdin_open;
	bool terminal;
};
// Starts it; output and exit come through the callbacks with this exec_id. After its exit and the
// eof of both streams the supervisor forgets it.
int zl_zone_exec_start(struct zl_zone_client *client, const struct zl_zone_exec *exec,
        const struct zl_cancel *cancel, struct zl_error *err);
// SIGKILL to the exec's processes; gone already is success.
int zl_zone_exec_kill(struct zl_zone_client *client, const char *container_id, const char *exec_id,
        const struct zl_cancel *cancel, struct zl_error *err);
// Sends bytes to stdin (exec_id NULL: the container's), blocking while its window is full; a final
// call with length 0 closes it.
int zl_zone_stdin_write(struct zl_zone_client *client, const char *container_id,
        const char *exec_id, const void *bytes, size_t length, const struct zl_cancel *cancel,
        struct zl_error *err);
// The same without waiting: takes what fits, *ret_taken of it (length 0 closes it). When that is
// less than length, the callback input_ready says when to try again. FAILED_PRECONDITION: nobody
// reads it any more.
int zl_zone_stdin_put(struct zl_zone_client *client, const char *container_id, const char *exec_id,
        const void *bytes, size_t length, size_t *ret_taken, struct zl_error *err);
int zl_zone_resize(struct zl_zone_client *client, const char *container_id, const char *exec_id,
        uint32_t columns, uint32_t rows, const struct zl_cancel *cancel, struct zl_error *err);
// Asks for it without waiting for the answer.
int zl_zone_resize_post(struct zl_zone_client *client, const char *container_id,
        const char *exec_id, uint32_t columns, uint32_t rows, struct zl_error *err);
// An exec's (or, container_id "", a connection's) client is gone: its descriptors are closed, as
// when a terminal is hung up, and no callback speaks of it any more. It is not killed. Does not
// wait: the id may be used again once the answer is here. Gone already is success.
int zl_zone_hang_up(struct zl_zone_client *client, const char *container_id, const char *exec_id,
        struct zl_error *err);

// ---- connections

// Connects to a TCP port of the pod's loopback (127.0.0.1, else ::1). Returns before it is
// connected. From here on it is like an exec with an empty container id and this exec_id: written
// by zl_zone_stdin_put (length 0 ends that direction), its bytes come as ZL_ZONE_STDOUT, and
// `exited` says with a message when it failed. To be ended by zl_zone_hang_up.
int zl_zone_connect(struct zl_zone_client *client, const char *connection_id, uint16_t port,
        const struct zl_cancel *cancel, struct zl_error *err);

#endif
