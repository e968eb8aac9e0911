// SPDX-License-Identifier: Apache-2.0
//
// What the commands of zonectl share.
#ifndef ZL_CRI_SERVER_ZONECTL_ZONECTL_H
#define ZL_CRI_SERVER_ZONECTL_ZONECTL_H

#include <stdbool.h>
#include <stdio.h>

#include "base/error.h"
#include "cri-server/config/config.h"
#include "cri-server/rpc/client.h"

enum { ZL_ZONECTL_TIMEOUT_MS = 10000 };

struct zl_zonectl {
	struct zl_config config; // of the daemon, for its paths
	const char *socket;      // where the daemon is
	bool json;               // -o json
	bool all;                // -a
	bool follow;             // -f
	bool raw;                // --raw
	int argc;                // after the command's name
	char **argv;
	struct zl_arena arena;
	struct zl_rpc_client *client; // zl_zonectl_connect
};

// Connects to the daemon, once.
int zl_zonectl_connect(struct zl_zonectl *ctl, struct zl_error *err);

// Commands: 0, 1 (`check` found something missing), or -1 with an error.
int zl_command_zones(struct zl_zonectl *ctl, struct zl_error *err);
int zl_command_console(struct zl_zonectl *ctl, struct zl_error *err);
int zl_command_check(struct zl_zonectl *ctl, struct zl_error *err);
int zl_command_version(struct zl_zonectl *ctl, struct zl_error *err);

#endif
