// SPDX-License-Identifier: Apache-2.0
//
// What a node needs to run zones, as a table of checks; each one says what it found and, where
// something is missing, what to do about it.
#ifndef ZL_CRI_SERVER_ZONECTL_CHECK_H
#define ZL_CRI_SERVER_ZONECTL_CHECK_H

#include "cri-server/config/config.h"
#include "cri-server/message/arena.h"

enum zl_check_result {
	ZL_CHECK_OK,
	ZL_CHECK_WARNING, // works, but not all of it
	ZL_CHECK_MISSING, // pods cannot run
	ZL_CHECK_SKIPPED, // does not apply to this configuration
};

struct zl_check_context {
	const char *root; // put before every path of the system; "" (tests: a tree)
	const struct zl_config *config;
	struct zl_arena *arena; // for texts
};

struct zl_check_finding {
	enum zl_check_result result;
	const char *found;  // "Xen 4.20.2", "not there"
	const char *remedy; // "" unless something is missing
};

struct zl_check {
	const char *name;
	bool zones; // only matters to the zone handler
	struct zl_check_finding (*run)(
	        const struct zl_check *check, const struct zl_check_context *context);
	const char *subject; // for checks of one kind: a module's or program's name
	const char *remedy;  // for the same
};

extern const struct zl_check zl_checks[];
extern const size_t zl_check_count;

// Runs one, or skips it.
struct zl_check_finding zl_check_run(
        const struct zl_check *check, const struct zl_check_context *context);

// ---- findings, for the files that hold checks

struct zl_check_finding zl_check_ok(const char *found);
struct zl_check_finding zl_check_warning(const char *found, const char *remedy);
struct zl_check_finding zl_check_missing(const char *found, const char *remedy);

// The system's path in the arena, below the context's root.
const char *zl_check_path(const struct zl_check_context *context, const char *path);
// The whole small file with its trailing white space cut, or NULL.
const char *zl_check_read(const struct zl_check_context *context, const char *path);

// check_xen.c
struct zl_check_finding zl_check_dom0(const struct zl_check *, const struct zl_check_context *);
struct zl_check_finding zl_check_pvh(const struct zl_check *, const struct zl_check_context *);
struct zl_check_finding zl_check_xenstored(
        const struct zl_check *, const struct zl_check_context *);
struct zl_check_finding zl_check_xenconsoled(
        const struct zl_check *, const struct zl_check_context *);
struct zl_check_finding zl_check_xen_memory(
        const struct zl_check *, const struct zl_check_context *);
// check_node.c
struct zl_check_finding zl_check_module(const struct zl_check *, const struct zl_check_context *);
struct zl_check_finding zl_check_program(const struct zl_check *, const struct zl_check_context *);
struct zl_check_finding zl_check_device(const struct zl_check *, const struct zl_check_context *);
struct zl_check_finding zl_check_cgroup2(const struct zl_check *, const struct zl_check_context *);
struct zl_check_finding zl_check_apparmor(const struct zl_check *, const struct zl_check_context *);
// check_zonelet.c
struct zl_check_finding zl_check_zone_kernel(
        const struct zl_check *, const struct zl_check_context *);
struct zl_check_finding zl_check_zone_root(
        const struct zl_check *, const struct zl_check_context *);
struct zl_check_finding zl_check_helper(const struct zl_check *, const struct zl_check_context *);
struct zl_check_finding zl_check_user(const struct zl_check *, const struct zl_check_context *);
struct zl_check_finding zl_check_cni(const struct zl_check *, const struct zl_check_context *);

#endif
