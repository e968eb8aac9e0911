// SPDX-License-Identifier: Apache-2.0
//
// Keeps the files small in which xenconsoled writes what zones say on their consoles.
//
// xenconsoled has no bound of its own: a zone that prints without end would fill dom0's disk, if
// slowly (its daemon/io.c takes 30 events of at most 2 KiB from a domain in 200 ms, 300 KiB/s). It
// opens the files with O_APPEND, so they can be cut under it: the beginning, where the kernel
// boots, and the end stay, with a line between them. The consoles of zones that are gone are kept
// for `zonectl console`, the newest of them.
//
// A zone's file is guest-NAME.NAMESPACE.ID.log, ID the first 12 hexadecimal digits of the
// sandbox's; other domains' files are let alone. While zoneletd is down nothing is cut; it begins
// with that.
#ifndef ZL_CRI_SERVER_SANDBOX_CONSOLE_H
#define ZL_CRI_SERVER_SANDBOX_CONSOLE_H

#include <stdbool.h>
#include <stddef.h>

#include "base/cancel.h"
#include "base/error.h"

#define ZL_CONSOLE_DIR "/var/log/xen/console"

enum {
	ZL_CONSOLE_MAX = 1024 * 1024, // bytes of one file; past it is cut
	ZL_CONSOLE_HEAD = 128 * 1024, // bytes kept of its beginning
	ZL_CONSOLE_TAIL = 256 * 1024, // and of its end
	ZL_CONSOLE_FILES = 128,       // most files; the oldest go, if their zones are gone
	ZL_CONSOLE_TIDY = 32,         // how many new files are let come before that is looked at
};

// Whether this is the name of a zone's console file.
bool zl_console_is_zone(const char *name);

// Cuts one file if it is longer than ZL_CONSOLE_MAX. NOT_FOUND if it is not there.
int zl_console_cut(int directory, const char *name, struct zl_error *err);

// Cuts all zones' files, and removes the oldest past ZL_CONSOLE_FILES of those for which `in_use`
// (called with the domain's name) is false.
int zl_console_tidy(int directory, bool (*in_use)(void *user, const char *domain), void *user,
        struct zl_error *err);

// A thread that does this, and cuts each file as it grows. A node without the directory has none
// (NULL, and *err stays clear).
struct zl_console_keeper;
struct zl_console_keeper *zl_console_keeper_start(const char *directory,
        bool (*in_use)(void *user, const char *domain), void *user,
        const struct zl_cancel *stopping, struct zl_error *err);
// After `stopping` has fired. NULL is fine.
void zl_console_keeper_join(struct zl_console_keeper *keeper);

#endif
