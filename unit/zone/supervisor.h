// SPDX-License-Identifier: Apache-2.0
//
// What the supervisor's tests share, and the parts they are in. Each test has a pod of its own.
#ifndef ZL_UNIT_ZONE_SUPERVISOR_H
#define ZL_UNIT_ZONE_SUPERVISOR_H

#include <check.h>

#include "unit/zone/pod.h"

extern struct pod pod;

const char *text_of(const struct pod_stream *stream);
void delete_container(const char *id);

void supervisor_stdio_tests(TCase *tests);
void supervisor_port_tests(TCase *tests);
void supervisor_limits_tests(TCase *tests);

#endif
