// SPDX-License-Identifier: Apache-2.0
#ifndef ZL_UNIT_STREAM_TESTS_H
#define ZL_UNIT_STREAM_TESTS_H

#include <check.h>

Suite *token_suite(void);
Suite *spdy_frame_suite(void);
Suite *spdy_suite(void);
Suite *websocket_suite(void);
Suite *negotiate_suite(void);
Suite *status_suite(void);

#endif
