// SPDX-License-Identifier: Apache-2.0
//
// What the zone's kernel says, on the zone's console, where dom0 keeps it for `zonectl console`.
//
// The kernel boots quiet, since each character of a boot costs time that a pod waits for; its log
// is brought to the console afterwards, whenever the zone has nothing else to do.
#ifndef ZL_ZONE_SUPERVISOR_KLOG_H
#define ZL_ZONE_SUPERVISOR_KLOG_H

#include <stddef.h>

#include "base/error.h"

// Starts the thread that copies the log, from the boot on and for ever. Later calls do nothing.
// Failures are told on standard error: a zone without its log is still of use.
void zl_klog_start(void);

// One record of /dev/kmsg (Documentation/ABI/testing/dev-kmsg:
// "prefix,sequence,microseconds,flags;" and the message, whose odd bytes are escaped already, then
// lines of a dictionary), as a line of dmesg. Returns the line's length, 0 for a record that is
// none; *ret_level is its severity (0 to 7, syslog(2)). `line` is not terminated.
size_t zl_klog_line(const char *record, size_t length, char *line, size_t size, int *ret_level);

#endif
