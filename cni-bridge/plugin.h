// SPDX-License-Identifier: Apache-2.0
//
// Running one CNI plugin: parameters in the environment, the request on stdin, the result or an
// error on stdout (CNI spec 1.1, section 2).
#ifndef ZL_CNI_BRIDGE_PLUGIN_H
#define ZL_CNI_BRIDGE_PLUGIN_H

#include <limits.h>

#include "base/cancel.h"
#include "base/error.h"
#include "base/json.h"

struct zl_plugin_call {
	const char *const *bin_dirs; // where to look for programs, NULL-terminated
	int timeout_ms;              // past it the plugin's process group is killed
	const char *command;         // "ADD", "DEL", "CHECK", "STATUS", "GC"
	const char *type;            // the program's name
	const char *container_id;    // NULL for STATUS and GC
	const char *netns;           // NULL: none (any more)
	const char *ifname;          // NULL for STATUS and GC
	const char *args;            // CNI_ARGS; NULL: none
	const json_t *request;
	const struct zl_cancel *cancel;
};

// The path of a plugin's program, from the first directory that has it. UNAVAILABLE names the
// directories.
int zl_plugin_find(const char *const *bin_dirs, const char *type, char out[static PATH_MAX],
        struct zl_error *err);

// What a run of `command` that ended with `status` (waitpid(2)) came to, from what it printed on
// stdout and stderr. Plain data in, plain data out; the bytes may be anything. *ret_result is the
// document of an ADD, owned by the caller; NULL if it printed nothing, and for the other commands.
// The error is that of zl_plugin_run, without the plugin's name.
int zl_plugin_judge(const char *command, int status, const struct zl_buffer *out,
        const struct zl_buffer *diagnostics, json_t **ret_result, struct zl_error *err);

// Runs it to its end. *ret_result is what it printed, owned by the caller; NULL if it printed
// nothing. The message of an error begins with "plugin TYPE COMMAND: " and has the plugin's code,
// msg and details; its code is UNAVAILABLE where a later try may do (11, 50, 51),
// FAILED_PRECONDITION where the configuration is at fault (1, 2, 7), else INTERNAL.
int zl_plugin_run(const struct zl_plugin_call *call, json_t **ret_result, struct zl_error *err);

#endif
