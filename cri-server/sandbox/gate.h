// SPDX-License-Identifier: Apache-2.0
//
// A gate: many may be inside together, or one alone, and waiting for it can be cancelled.
//
// It serialises whole operations on a sandbox or a container (which wait for zones, plugins and
// toolstacks), where a mutex may not be held. Who waits sleeps on a descriptor with its token, so a
// client that goes away does not leave a worker behind. First come, first served: a waiting
// exclusive entry is not overtaken.
#ifndef ZL_CRI_SERVER_SANDBOX_GATE_H
#define ZL_CRI_SERVER_SANDBOX_GATE_H

#include <pthread.h>
#include <stdbool.h>

#include "base/cancel.h"
#include "base/error.h"

struct zl_gate_waiter;

struct zl_gate {
	pthread_mutex_t lock;         // innermost: nothing is taken while it is held
	unsigned inside;              // shared entries now inside
	bool exclusive;               // one is inside alone
	struct zl_gate_waiter *first; // the queue
	struct zl_gate_waiter *last;
};

void zl_gate_init(struct zl_gate *gate);
void zl_gate_release(struct zl_gate *gate); // nobody may be inside or waiting

// CANCELLED or DEADLINE_EXCEEDED when the token comes first.
int zl_gate_enter(
        struct zl_gate *gate, bool exclusive, const struct zl_cancel *cancel, struct zl_error *err);
void zl_gate_leave(struct zl_gate *gate);

// zl_auto(gate) struct zl_gate *in = NULL; … in = gate; leaves at the end of the block.
static inline void zl_gate_leave_if(struct zl_gate *gate)
{
	if (gate != NULL)
		zl_gate_leave(gate);
}
ZL_AUTO_DEFINE(gate, struct zl_gate *, zl_gate_leave_if);

#endif
