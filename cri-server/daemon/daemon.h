// SPDX-License-Identifier: Apache-2.0
//
// The life of zoneletd: lock, services, socket, signals, systemd.
//
// SIGTERM and SIGINT stop it; pods go on without it. SIGHUP reads the log level anew. With a
// watchdog in its unit (WatchdogSec=) it reports as long as its main loop and the server's lock are
// alive.
#ifndef ZL_CRI_SERVER_DAEMON_DAEMON_H
#define ZL_CRI_SERVER_DAEMON_DAEMON_H

#include "base/error.h"
#include "cri-server/config/config.h"

struct zl_daemon_options {
	const char *config_path; // read again on SIGHUP
	const char *version;
	const char *log_level; // overrides the configuration's; NULL: none
};

// Sets the log's level by its name ("info").
void zl_daemon_log_level(const char *name);

// Runs until a signal ends it. -1: it could not start.
int zl_daemon_run(const struct zl_daemon_options *options, const struct zl_config *config,
        struct zl_error *err);

#endif
