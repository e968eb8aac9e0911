// SPDX-License-Identifier: Apache-2.0
//
// How a terminal reaches us: crun opens it inside the container and sends its master side over a
// unix socket (OCI runtime command line interface, --console-socket).
#ifndef ZL_ZONE_SUPERVISOR_CONSOLE_H
#define ZL_ZONE_SUPERVISOR_CONSOLE_H

#include "base/error.h"

#define ZL_CONSOLE_NAME "console"

struct zl_console {
	int directory; // crun reaches the socket through it: /proc/PID/fd/N/console, a short path
	int listener;
};

#define ZL_CONSOLE_INIT {-1, -1}

// Makes the socket `directory`/console.
int zl_console_listen(struct zl_console *console, const char *directory, struct zl_error *err);
void zl_console_close(struct zl_console *console);
// crun was successful, so what it sent is waiting. Returns the terminal.
int zl_console_receive(struct zl_console *console, struct zl_error *err);

#endif
