// SPDX-License-Identifier: Apache-2.0
//
// Where libxl's own words go: kept, so that an error can say what the toolstack said.
//
// libxl returns a number and logs the reason. Each libxl context gets a logger of this kind; an
// operation clears it, and on failure its first error lines, which name the cause (the later ones
// are its consequences), become part of the message.
//
// Thread rule: libxl may log from any thread that is inside the context; the logger locks itself.
#ifndef ZL_HYPERVISOR_XEN_LOG_H
#define ZL_HYPERVISOR_XEN_LOG_H

#include <pthread.h>
#include <xentoollog.h>

enum { ZL_XEN_LOG_SIZE = 640 };

struct zl_xen_log {
	xentoollog_logger logger; // first: libxl gets a pointer to it
	pthread_mutex_t lock;
	char words[ZL_XEN_LOG_SIZE]; // lines joined by "; ", cut at the end
};

void zl_xen_log_init(struct zl_xen_log *log);
void zl_xen_log_release(struct zl_xen_log *log);

void zl_xen_log_clear(struct zl_xen_log *log);
// Copies the words; "" when there are none.
void zl_xen_log_words(struct zl_xen_log *log, char out[static ZL_XEN_LOG_SIZE]);

// Skips "libxl_create.c:123:function: " at the start of a message, the form libxl__logv gives it
// (libxl_internal.c).
const char *zl_xen_log_trim(const char *message);

#endif
