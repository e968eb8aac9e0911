// SPDX-License-Identifier: Apache-2.0
// The test cases of this folder's main.c.
#ifndef ZL_UNIT_ZONE_TESTS_H
#define ZL_UNIT_ZONE_TESTS_H

#include <check.h>

TCase *frame_tests(void);
TCase *stream_tests(void);
TCase *message_tests(void);
TCase *client_tests(void);
TCase *client_lies_tests(void);
TCase *user_tests(void);
TCase *spec_tests(void);
TCase *command_tests(void);
TCase *klog_tests(void);
TCase *netlink_tests(void);
TCase *usage_tests(void);
TCase *devnode_tests(void);
TCase *signal_tests(void);
TCase *cgroup1_tests(void);

#endif
