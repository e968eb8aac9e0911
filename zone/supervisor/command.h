// SPDX-License-Identifier: Apache-2.0
//
// Why a command did not start. crun says it in words and exits with the same code for everything;
// its words go to people as they are, the code is found by looking for the command ourselves.
#ifndef ZL_ZONE_SUPERVISOR_COMMAND_H
#define ZL_ZONE_SUPERVISOR_COMMAND_H

#include <jansson.h>

#include "base/error.h"

// `process` is an OCI process object, `root` the directory that is / to it. NOT_FOUND: args[0] is
// not there (its own path, or in PATH); INVALID_ARGUMENT: it is, but is no executable file, or cwd
// is no directory; INTERNAL: neither, so something else failed.
enum zl_code zl_command_diagnose(const json_t *process, const char *root);
// The same for a bundle's config.json or an exec's process.json.
enum zl_code zl_command_diagnose_file(const char *path, const char *root);

#endif
