// SPDX-License-Identifier: Apache-2.0
//
// What the error stream of an exec or attach says at the end.
//
// From version 4 of channel.k8s.io on it is a metav1.Status in JSON, which carries the exit code
// (k8s.io/apimachinery pkg/util/remotecommand); before, a text, or nothing for success. Plain data
// in, plain data out.
#ifndef ZL_CRI_SERVER_STREAM_STATUS_H
#define ZL_CRI_SERVER_STREAM_STATUS_H

#include <stdint.h>

#include "base/buffer.h"
#include "base/error.h"

// It ended with this code.
int zl_stream_status_exit(
        int version, int32_t exit_code, struct zl_buffer *out, struct zl_error *err);
// It could not be run, or could not be served to its end.
int zl_stream_status_failure(
        int version, const struct zl_error *why, struct zl_buffer *out, struct zl_error *err);

#endif
