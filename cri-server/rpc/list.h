// SPDX-License-Identifier: Apache-2.0
//
// Lists as streams: CRI's Stream* methods (KEP 5825) send in pieces what their List* sisters send
// in one message.
#ifndef ZL_CRI_SERVER_RPC_LIST_H
#define ZL_CRI_SERVER_RPC_LIST_H

#include "cri-server/rpc/rpc.h"

enum {
	ZL_LIST_ITEMS = 256,     // most items of a message
	ZL_LIST_BYTES = 1 << 20, // a message is sent once it has this many
};

// Sends `items` (pointers to messages) in messages of this type, whose first and only field is a
// list of them; none: nothing is sent, the stream just ends.
int zl_call_send_list(struct zl_call *call, const ProtobufCMessageDescriptor *type, void **items,
        size_t count, struct zl_error *err);

#endif
