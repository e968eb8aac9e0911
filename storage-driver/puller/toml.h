// SPDX-License-Identifier: Apache-2.0
//
// The part of TOML (toml.io/en/v1.0.0) that hosts.toml files use: tables with bare or quoted dotted
// names, keys with strings (basic and literal), booleans, integers and arrays of them (nested once,
// over several lines), comments. Anything else (multi-line strings, floats, dates, inline tables,
// arrays of tables) is an error with its line, never a guess.
#ifndef ZL_STORAGE_DRIVER_PULLER_TOML_H
#define ZL_STORAGE_DRIVER_PULLER_TOML_H

#include <stddef.h>

#include "base/error.h"
#include "base/json.h"

enum { ZL_TOML_LIMIT = 1024 * 1024, ZL_TOML_DEPTH_MAX = 16 };

// The document as a JSON object, members in file order. `what` names the file in errors
// (INVALID_ARGUMENT with the line).
json_t *zl_toml_parse(const char *what, const char *text, size_t length, struct zl_error *err);

#endif
