// SPDX-License-Identifier: Apache-2.0
#include "hypervisor/xen.h"

#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <xencall.h>
#include <xenstore.h>

#include "base/buffer.h"
#include "base/cleanup.h"
#include "base/file.h"
#include "base/strv.h"

// Contexts kept while nobody needs them: as many operations as usually overlap on a node.
enum { MAX_IDLE = 4 };

// ---- hypercalls of children

// Stands before libxencall's own (the programs export it, CMakeLists.txt). That library has one
// mutex in the process for the buffers of all handles. libxl forks to destroy a domain; when
// another thread holds the mutex in that moment, the child waits for it for ever, and so does
// whoever wants the domain gone. A handle that is not for several threads does without the mutex,
// and ours are not: a context has one user at a time (xen.h).
xencall_handle *xencall_open(xentoollog_logger *logger, unsigned flags)
{
	__typeof__(xencall_open) *original;

	*(void **)&original = dlsym(RTLD_NEXT, "xencall_open");
	return original != NULL ? original(logger, flags | XENCALL_OPENFLAG_NON_REENTRANT) : NULL;
}

// ---- contexts

// "The application must not call libxl from here" (libxl_event.h), and without this callback libxl
// ends the process.
static void on_disaster(void *user, libxl_event_type type, const char *message, int errnum)
{
	struct zl_xen_context *context = user;

	(void)type;
	(void)message;
	(void)errnum;
	atomic_store(&context->broken, true);
}

static const libxl_event_hooks event_hooks = {.event_occurs_mask = 0, .disaster = on_disaster};

static const libxl_childproc_hooks childproc_hooks = {
        .chldowner = libxl_sigchld_owner_libxl_always_selective_reap};

static void disconnect(struct zl_xen_context *context)
{
	if (context->xs != NULL)
		xs_close(context->xs);
	context->xs = NULL;
	context->watched = false;
}

static void free_context(struct zl_xen_context *context)
{
	disconnect(context);
	(void)libxl_ctx_free(context->ctx);
	zl_xen_log_release(&context->log);
	free(context->fds);
	free(context);
}

static struct zl_xen_context *open_context(struct zl_error *err)
{
	struct zl_xen_context *context = calloc(1, sizeof(*context));
	int rc;

	if (context == NULL) {
		zl_error_nomem(err);
		return NULL;
	}
	zl_xen_log_init(&context->log);
	atomic_init(&context->broken, false);
	rc = libxl_ctx_alloc(&context->ctx, LIBXL_VERSION, 0, &context->log.logger);
	if (rc != 0) {
		zl_xen_error(context, rc, err, "open Xen's toolstack");
		free_context(context);
		return NULL;
	}
	libxl_event_register_callbacks(context->ctx, &event_hooks, context);
	libxl_childproc_setmode(context->ctx, &childproc_hooks, NULL);
	return context;
}

struct zl_xen_context *zl_xen_take(struct zl_xen *xen, struct zl_error *err)
{
	struct zl_xen_context *context;

	pthread_mutex_lock(&xen->lock);
	context = xen->idle;
	if (context != NULL) {
		xen->idle = context->next;
		xen->idle_count--;
	}
	pthread_mutex_unlock(&xen->lock);
	if (context == NULL)
		return open_context(err);
	zl_xen_log_clear(&context->log);
	return context;
}

int zl_xen_connect(struct zl_xen_context *context, struct zl_error *err)
{
	if (context->xs == NULL)
		context->xs = xs_open(0);
	return context->xs != NULL ? 0 : zl_error_errno(err, errno, "connect to xenstored");
}

void zl_xen_give(struct zl_xen *xen, struct zl_xen_context *context)
{
	bool keep;

	if (context->watched)
		disconnect(context);
	pthread_mutex_lock(&xen->lock);
	keep = !atomic_load(&context->broken) && xen->idle_count < MAX_IDLE;
	if (keep) {
		context->next = xen->idle;
		xen->idle = context;
		xen->idle_count++;
	}
	pthread_mutex_unlock(&xen->lock);
	if (!keep)
		free_context(context);
}

// ---- errors

enum zl_code zl_xen_code(int rc)
{
	switch (rc) {
	case ERROR_NOMEM:
		return ZL_RESOURCE_EXHAUSTED;
	case ERROR_TIMEDOUT:
	case ERROR_GUEST_TIMEDOUT:
		return ZL_DEADLINE_EXCEEDED;
	case ERROR_DEVICE_EXISTS:
		return ZL_ALREADY_EXISTS;
	case ERROR_DOMAIN_NOTFOUND:
	case ERROR_DOMAIN_DESTROYED:
	case ERROR_NOTFOUND:
		return ZL_NOT_FOUND;
	case ERROR_ABORTED:
		return ZL_CANCELLED;
	default:
		return ZL_INTERNAL;
	}
}

static int set_error(struct zl_xen_context *context, int rc, struct zl_error *err,
        const char *format, va_list args)
{
	char words[ZL_XEN_LOG_SIZE];
	const char *name = libxl_error_to_string((libxl_error)rc);

	zl_xen_log_words(&context->log, words);
	zl_error_set(err, zl_xen_code(rc), "%s (libxl: %s, %d)",
	        words[0] != '\0' ? words : "the toolstack gave no reason",
	        name != NULL ? name : "unknown", rc);
	if (err != NULL) {
		char what[256];

		(void)vsnprintf(what, sizeof(what), format, args);
		zl_error_wrap(err, "%s", what);
	}
	return -1;
}

int zl_xen_error(
        struct zl_xen_context *context, int rc, struct zl_error *err, const char *format, ...)
{
	va_list args;

	va_start(args, format);
	set_error(context, rc, err, format, args);
	va_end(args);
	return -1;
}

int zl_xen_operation_error(struct zl_xen_context *context, int rc, const struct zl_cancel *cancel,
        struct zl_error *err, const char *format, ...)
{
	va_list args;

	if (rc == ERROR_ABORTED && zl_cancel_check(cancel, err) < 0)
		return -1;
	va_start(args, format);
	set_error(context, rc, err, format, args);
	va_end(args);
	return -1;
}

// ---- open and close

static const struct zl_hypervisor_ops xen_ops;

// /proc/xen/capabilities says "control_d" in dom0 alone (drivers/xen/xenfs/super.c).
static int check_dom0(struct zl_error *err)
{
	zl_auto(buffer) struct zl_buffer text = ZL_BUFFER_LIMIT(256);

	if (access("/proc/xen", F_OK) < 0 && access("/sys/hypervisor/type", F_OK) < 0)
		return zl_error_set(err, ZL_FAILED_PRECONDITION,
		        "this machine does not run on Xen; boot it with the Xen hypervisor "
		        "(Debian: install xen-system-amd64 and reboot)");
	if (zl_file_read("/proc/xen/capabilities", text.limit, &text, NULL) < 0)
		return zl_error_set(err, ZL_FAILED_PRECONDITION,
		        "/proc/xen/capabilities cannot be read; mount -t xenfs xenfs /proc/xen, "
		        "or start proc-xen.mount, as root in dom0");
	if (strstr(zl_buffer_string(&text), "control_d") == NULL)
		return zl_error_set(err, ZL_FAILED_PRECONDITION,
		        "this is a guest of Xen, not its control domain (dom0); zones can only be "
		        "made in dom0");
	return 0;
}

static void close_xen(struct zl_hypervisor *hv)
{
	struct zl_xen *xen = zl_xen_of(hv);

	zl_xen_watch_stop(xen);
	while (xen->idle != NULL) {
		struct zl_xen_context *context = xen->idle;

		xen->idle = context->next;
		free_context(context);
	}
	if (xen->watch_context != NULL)
		free_context(xen->watch_context);
	pthread_mutex_destroy(&xen->lock);
	free(xen->hotplug_program);
	free(xen);
}

// The first pod finds a context that is open and connected.
static int prepare_context(struct zl_xen *xen, struct zl_error *err)
{
	struct zl_xen_context *context = zl_xen_take(xen, err);

	if (context == NULL)
		return -1;
	if (zl_xen_connect(context, err) < 0) {
		free_context(context);
		return -1;
	}
	zl_xen_give(xen, context);
	return 0;
}

static int open_xen(struct zl_xen *xen, const char *hotplug_program, struct zl_error *err)
{
	if (hotplug_program == NULL || hotplug_program[0] != '/' ||
	        access(hotplug_program, X_OK) < 0)
		return zl_error_set(err, ZL_FAILED_PRECONDITION,
		        "the hotplug program %s is not there or not executable; it is part of "
		        "zonelet's package (zonelet-hotplug)",
		        hotplug_program != NULL ? hotplug_program : "");
	xen->hotplug_program = zl_strdup(hotplug_program, err);
	if (xen->hotplug_program == NULL)
		return -1;
	xen->watch_context = open_context(err);
	if (xen->watch_context == NULL) {
		if (err != NULL)
			err->code = ZL_FAILED_PRECONDITION;
		return zl_error_wrap(err, "is xenstored running (systemctl status xen)?");
	}
	return prepare_context(xen, err) < 0 ? -1 : zl_xen_watch_start(xen, err);
}

struct zl_hypervisor *zl_xen_open(const char *hotplug_program, struct zl_error *err)
{
	struct zl_xen *xen;

	if (check_dom0(err) < 0)
		return NULL;
	xen = calloc(1, sizeof(*xen));
	if (xen == NULL) {
		zl_error_nomem(err);
		return NULL;
	}
	xen->base.ops = &xen_ops;
	pthread_mutex_init(&xen->lock, NULL);
	if (open_xen(xen, hotplug_program, err) < 0) {
		close_xen(&xen->base);
		return NULL;
	}
	return &xen->base;
}

static const struct zl_hypervisor_ops xen_ops = {
        .name = "xen",
        .domain_create = zl_xen_domain_create,
        .domain_unpause = zl_xen_domain_unpause,
        .domain_destroy = zl_xen_domain_destroy,
        .domain_info = zl_xen_domain_info,
        .domain_list = zl_xen_domain_list,
        .domain_resize = zl_xen_domain_resize,
        .domain_watch = zl_xen_domain_watch,
        .domain_unwatch = zl_xen_domain_unwatch,
        .disk_add = zl_xen_disk_add,
        .disk_remove = zl_xen_disk_remove,
        .nic_add = zl_xen_nic_add,
        .nic_remove = zl_xen_nic_remove,
        .share_add = zl_xen_share_add,
        .share_remove = zl_xen_share_remove,
        .host_info = zl_xen_host_info,
        .close = close_xen,
};
