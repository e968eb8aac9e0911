// SPDX-License-Identifier: Apache-2.0
//
// A sandbox's channel: connecting, and where the supervisor's output and exits go.
#ifndef ZL_CRI_SERVER_SANDBOX_CHANNEL_H
#define ZL_CRI_SERVER_SANDBOX_CHANNEL_H

#include "base/cancel.h"
#include "base/error.h"
#include "cri-server/sandbox/sandbox.h"

// Waits for the supervisor (at most the configured hello timeout) and says hello. Inside the gate,
// exclusive. Output flows only after zl_zone_client_resume.
int zl_sandbox_connect(
        struct zl_sandbox *sandbox, const struct zl_cancel *cancel, struct zl_error *err);

// Closes the channel, if there is one. Inside the gate, exclusive.
void zl_sandbox_disconnect(struct zl_sandbox *sandbox);

// From any thread: the zone is gone, which a channel of shared memory does not notice. Whoever
// waits for it fails with this error; the channel is still to be closed with zl_sandbox_disconnect.
void zl_sandbox_abort_channel(struct zl_sandbox *sandbox, const struct zl_error *why);

#endif
