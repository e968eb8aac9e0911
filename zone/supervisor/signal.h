// SPDX-License-Identifier: Apache-2.0
//
// Signals that a container's first process does not hear.
//
// The kernel drops a signal for the first process of a pid namespace that neither handles nor
// blocks it (pid_namespaces(7)). A process that is told to end while it still starts would so run
// until the grace period is over. Such a signal is kept, and sent once the process handles it.
#ifndef ZL_ZONE_SUPERVISOR_SIGNAL_H
#define ZL_ZONE_SUPERVISOR_SIGNAL_H

#include <stdbool.h>
#include <sys/types.h>

#include "zone/supervisor/reactor.h"

struct zl_late_signal {
	struct zl_source
	        timer; // no event tells that a process sets a handler: it is looked at again
	int number;    // 0: none is kept
	pid_t pid;
	unsigned delay_ms;
};

// Whether the text of /proc/PID/status says that the process would not get this signal.
bool zl_signal_unheard(const char *status, int number);

// Sends it, now or when the process can hear it. A newer one replaces one that is kept.
int zl_late_signal_send(struct zl_reactor *reactor, struct zl_late_signal *late, pid_t pid,
        int number, struct zl_error *err);
// Forgets what is kept: the process ended. Again is fine.
void zl_late_signal_cancel(struct zl_reactor *reactor, struct zl_late_signal *late);

#endif
