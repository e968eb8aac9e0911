// SPDX-License-Identifier: Apache-2.0
//
// A message as JSON, for people: with the .proto's own field names, and without what is not set.
// Maps are objects, enumerations their names.
#ifndef ZL_CRI_SERVER_MESSAGE_JSON_H
#define ZL_CRI_SERVER_MESSAGE_JSON_H

#include <protobuf-c/protobuf-c.h>

#include "base/json.h"

// The caller owns the result; NULL for NULL, and without memory.
json_t *zl_message_json(const ProtobufCMessage *message);

#endif
