// SPDX-License-Identifier: Apache-2.0
//
// Control messages (zone.proto) in and out of control frames.
//
// The receiving side is bounded twice: the packed bytes by a limit that differs by direction, and
// what unpacking may allocate by ZL_ZONE_MESSAGE_EXPANSION times that, since packed protobuf grows
// up to sixtyfold when unpacked (facts: 15 MiB of empty submessages become 976 MiB).
#ifndef ZL_ZONE_PROTOCOL_MESSAGE_H
#define ZL_ZONE_PROTOCOL_MESSAGE_H

#include <protobuf-c/protobuf-c.h>

#include "base/buffer.h"
#include "base/error.h"
#include "zone/protocol/frame.h"

enum {
	ZL_PROTOCOL_VERSION = 1,
	// An OCI spec with thousands of environment variables is a megabyte.
	ZL_ZONE_MESSAGE_TO_ZONE_MAX = 4 * 1024 * 1024,
	ZL_ZONE_MESSAGE_FROM_ZONE_MAX = 256 * 1024,
	ZL_ZONE_MESSAGE_EXPANSION = 8,
	// Containers of a pod, so that their list fits the limit.
	ZL_ZONE_CONTAINERS_MAX = 256,
};

// Packs a message and appends its control frames.
int zl_zone_message_append(
        struct zl_buffer *out, const ProtobufCMessage *message, struct zl_error *err);

// Gathers the pieces of one message.
struct zl_zone_message_reader {
	const ProtobufCMessageDescriptor *type; // what is expected
	bool scrub;                             // the peer is a zone: zl_zone_message_scrub is done
	struct zl_buffer partial;               // pieces so far; its limit is the message's
};

void zl_zone_message_reader_release(struct zl_zone_message_reader *reader);

// Adds a control frame. *ret is the message when it is complete (free with zl_zone_message_free),
// NULL while pieces are missing. DATA_LOSS for what is too long or does not unpack.
int zl_zone_message_take(struct zl_zone_message_reader *reader, const struct zl_frame *frame,
        void **ret, struct zl_error *err);

// Unpacks with a bound on what is allocated.
void *zl_zone_message_unpack(const ProtobufCMessageDescriptor *type, const void *bytes,
        size_t length, struct zl_error *err);

// A copy of its own, to be freed with zl_zone_message_free.
void *zl_zone_message_copy(const ProtobufCMessage *message, struct zl_error *err);

void zl_zone_message_free(void *message); // NULL is fine
ZL_AUTO_DEFINE(zone_message, void *, zl_zone_message_free);

// Replaces, in every string of a message, each byte that is not part of valid UTF-8 or is a control
// character other than tab and newline, by '?'. Such bytes would fail a whole reply at the kubelet.
void zl_zone_message_scrub(ProtobufCMessage *message);
// The same for one string.
void zl_zone_text_scrub(char *text);

#endif
