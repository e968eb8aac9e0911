// SPDX-License-Identifier: Apache-2.0
//
// Inside the xen implementation: libxl contexts, and operations on them.
//
// A libxl context has one recursive lock, which it holds while it builds a domain and lets go while
// it waits for devices. So an operation takes a context of its own from a pool: builds of different
// domains run in parallel, a device that hangs holds up nobody else, and the log lines of a context
// belong to one operation. A context costs a few descriptors and a connection to xenstored; a few
// idle ones are kept.
//
// An operation that may take long is started asynchronously and its context's event loop is run by
// the calling thread until it is done; when the caller's cancel token fires, libxl is asked to cut
// it short (libxl_ao_abort), which it does at the next wait for a device or a program.
//
// Disks and network interfaces are ours alone (xen_device.c); libxl makes and destroys the domain
// around them.
//
// Child processes: libxl forks to destroy a domain (xencall_open in xen.c says what that takes).
// Each context reaps its own children and no others
// (libxl_sigchld_owner_libxl_always_selective_reap), so whoever in this process uses
// waitid(P_PIDFD) is not disturbed. The handler libxl installs for SIGCHLD needs one thread that
// does not block it: the watch thread is that one.
#ifndef ZL_HYPERVISOR_XEN_H
#define ZL_HYPERVISOR_XEN_H

#include <libxl.h>
#include <libxl_event.h>
#include <libxl_utils.h>
#include <pthread.h>
#include <stdatomic.h>

#include "hypervisor/hypervisor.h"
#include "hypervisor/watch.h"
#include "hypervisor/xen_log.h"

struct xs_handle;
struct pollfd;
struct zl_device;

struct zl_xen_context {
	libxl_ctx *ctx;
	struct xs_handle *xs; // for what we do in xenstore ourselves; NULL before zl_xen_connect
	bool watched;         // a watch was set on it
	struct zl_xen_log log;
	atomic_bool broken; // libxl reported a disaster: not to be used again
	struct pollfd *fds; // room for the event loop
	int fds_size;
	struct zl_xen_context *next; // in the pool
};

struct zl_xen {
	struct zl_hypervisor base;
	char *hotplug_program;
	pthread_mutex_t lock; // idle and idle_count; a leaf
	struct zl_xen_context *idle;
	unsigned idle_count;
	struct zl_watches *watches;
	struct xs_handle *releases;           // its watch fires when some domain ends
	struct zl_xen_context *watch_context; // used by the watch thread alone
};

static inline struct zl_xen *zl_xen_of(struct zl_hypervisor *hv)
{
	return (struct zl_xen *)hv;
}

// ---- contexts (xen.c)

// A context for one operation, its log empty. NULL on error.
struct zl_xen_context *zl_xen_take(struct zl_xen *xen, struct zl_error *err);
void zl_xen_give(struct zl_xen *xen, struct zl_xen_context *context);
// Opens context->xs. One that was watched is closed when the context is given back: from its first
// watch on, a connection has a thread of libxenstore.
int zl_xen_connect(struct zl_xen_context *context, struct zl_error *err);

// Sets the error for a libxl return code: "<what>: <libxl's words>". Returns -1.
int zl_xen_error(struct zl_xen_context *context, int rc, struct zl_error *err, const char *format,
        ...) __attribute__((format(printf, 4, 5)));
// The code alone.
enum zl_code zl_xen_code(int rc);

// ---- asynchronous operations (xen_operation.c)

struct zl_xen_operation {
	libxl_asyncop_how how; // pass its address as ao_how
	bool done;
	int rc;
};

void zl_xen_operation_init(struct zl_xen_operation *operation);

// `started` is what the libxl function returned. Runs the context's event loop until the operation
// is done, and returns its result, a libxl return code; ERROR_ABORTED after the token fired.
int zl_xen_operation_wait(struct zl_xen_context *context, struct zl_xen_operation *operation,
        int started, const struct zl_cancel *cancel);

// As zl_xen_error, but a fired token's own error (CANCELLED, DEADLINE_EXCEEDED) comes first.
int zl_xen_operation_error(struct zl_xen_context *context, int rc, const struct zl_cancel *cancel,
        struct zl_error *err, const char *format, ...) __attribute__((format(printf, 5, 6)));

// ---- devices (xen_device.c)

// The block devices of the configuration can be opened as it says; their names are good.
int zl_xen_devices_check(const struct zl_domain_config *config, struct zl_error *err);

// Attaches all devices of the configuration. After a failure some may be there.
int zl_xen_devices_add(struct zl_xen_context *context, const char *script, uint32_t domid,
        const struct zl_domain_config *config, const struct zl_cancel *cancel,
        struct zl_error *err);

// Devices that were told to go, while the kernel is still at it.
struct zl_xen_drop {
	uint32_t domid;
	struct zl_device *devices;
	size_t count;
	int fd; // hears the kernel's events
};

// Takes away all devices of a domain at once, asking nobody; then waits until the kernel has let go
// of them, and removes what it wrote meanwhile. An interface takes the kernel several RCU grace
// periods, during which nobody is kept from anything: `disks_alone` does not wait for it. (Its
// driver writes nothing any more, unless it was just being attached.) Release `drop` after either.
int zl_xen_devices_drop(struct zl_xen_context *context, uint32_t domid, struct zl_xen_drop *drop,
        struct zl_error *err);
int zl_xen_devices_drop_wait(struct zl_xen_context *context, const struct zl_xen_drop *drop,
        bool disks_alone, struct zl_error *err);
void zl_xen_drop_release(struct zl_xen_drop *drop);
ZL_AUTO_DEFINE_VALUE(xen_drop, struct zl_xen_drop, zl_xen_drop_release);

// ---- configuration as libxl has it (xen_config.c); data in, data out

// Fills an initialised libxl_domain_config, which the caller disposes of, also after a failure.
// Devices are not part of it.
int zl_xen_config_fill(
        const struct zl_domain_config *config, libxl_domain_config *out, struct zl_error *err);
enum zl_domain_end zl_xen_end(const libxl_dominfo *info);

// ---- operations of the table

int zl_xen_domain_create(struct zl_hypervisor *hv, const struct zl_domain_config *config,
        const struct zl_cancel *cancel, uint32_t *ret_domid, struct zl_error *err);
int zl_xen_domain_unpause(struct zl_hypervisor *hv, uint32_t domid, struct zl_error *err);
int zl_xen_domain_destroy(struct zl_hypervisor *hv, uint32_t domid, struct zl_error *err);
int zl_xen_domain_info(
        struct zl_hypervisor *hv, uint32_t domid, struct zl_domain_info *ret, struct zl_error *err);
int zl_xen_domain_list(struct zl_hypervisor *hv, struct zl_domain_info **ret, size_t *ret_count,
        struct zl_error *err);
int zl_xen_domain_resize(struct zl_hypervisor *hv, uint32_t domid,
        const struct zl_domain_size *size, const struct zl_cancel *cancel, struct zl_error *err);
int zl_xen_host_info(struct zl_hypervisor *hv, struct zl_host_info *ret, struct zl_error *err);

int zl_xen_disk_add(struct zl_hypervisor *hv, uint32_t domid, const struct zl_disk *disk,
        const struct zl_cancel *cancel, struct zl_error *err);
int zl_xen_disk_remove(struct zl_hypervisor *hv, uint32_t domid, const char *vdev,
        const struct zl_cancel *cancel, struct zl_error *err);
int zl_xen_nic_add(struct zl_hypervisor *hv, uint32_t domid, const struct zl_nic *nic,
        const struct zl_cancel *cancel, struct zl_error *err);
int zl_xen_nic_remove(struct zl_hypervisor *hv, uint32_t domid, int devid,
        const struct zl_cancel *cancel, struct zl_error *err);

int zl_xen_share_add(struct zl_hypervisor *hv, uint32_t domid, const struct zl_share_device *share,
        struct zl_error *err);
int zl_xen_share_remove(
        struct zl_hypervisor *hv, uint32_t domid, uint32_t devid, struct zl_error *err);

// What a new domain may take.
int zl_xen_free_memory(struct zl_xen_context *context, uint64_t *ret_bytes, struct zl_error *err);

// NOT_FOUND unless there is such a domain: most of libxl says only "failed" then.
int zl_xen_need_domain(struct zl_xen_context *context, uint32_t domid, struct zl_error *err);

int zl_xen_domain_watch(struct zl_hypervisor *hv, uint32_t domid, zl_domain_event *event,
        void *user, struct zl_error *err);
void zl_xen_domain_unwatch(struct zl_hypervisor *hv, uint32_t domid);
int zl_xen_watch_start(struct zl_xen *xen, struct zl_error *err);
void zl_xen_watch_stop(struct zl_xen *xen);

#endif
