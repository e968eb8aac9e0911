// SPDX-License-Identifier: Apache-2.0
//
// Protobuf messages in and out, made safe.
//
// What protobuf-c leaves to its user (measured with protobuf-c 1.5.1): invalid UTF-8 is accepted
// although proto3 forbids it and Go peers reject a whole reply for it; a NUL byte inside a string
// silently cuts it; 15 MiB of empty sub-messages become a gigabyte of heap; a NULL inside a
// repeated string crashes the packer. So input is scanned on the wire before it is decoded,
// decoding has a memory limit, and output is scrubbed before it is packed.
//
// The generated CRI code is the CMake target zl_cri_proto: link it and `#include "api.pb-c.h"`.
// Types are Runtime__V1__<Message>, descriptors runtime__v1__<message>__descriptor. Strings in them
// are `const char *`: a literal or a record's string may be assigned as it is. Init functions and
// pack helpers are not generated (they are half of the generated code): make messages with
// zl_message_new or from the static RUNTIME__V1__<MESSAGE>__INIT.
#ifndef ZL_CRI_SERVER_MESSAGE_MESSAGE_H
#define ZL_CRI_SERVER_MESSAGE_MESSAGE_H

#include <protobuf-c/protobuf-c.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/buffer.h"
#include "base/error.h"
#include "cri-server/message/arena.h"

enum {
	// gRPC messages in either direction: what the kubelet allows (maxMsgSize in
	// k8s.io/cri-client, 16 MiB).
	ZL_MESSAGE_WIRE_LIMIT = 16 << 20,
	// Memory that one decoded request may take.
	ZL_MESSAGE_MEMORY_LIMIT = 128 << 20,
};

// An initialised message (proto3 defaults: "" for strings, NULL for messages), in the arena.
void *zl_message_new(struct zl_arena *arena, const ProtobufCMessageDescriptor *descriptor);

// As zl_message_new, typed: ZL_MESSAGE_NEW(arena, ContainerStatus, container_status).
#define ZL_MESSAGE_NEW(arena, Type, name)                                                          \
	((Runtime__V1__##Type *)zl_message_new((arena), &runtime__v1__##name##__descriptor))

// Decodes into the arena, which owns the result. memory_limit: bytes the decoded message may take.
// INVALID_ARGUMENT for malformed wire data and for strings with a NUL or invalid UTF-8, naming the
// field ("config.metadata.name"); RESOURCE_EXHAUSTED past the limit.
void *zl_message_unpack(struct zl_arena *arena, const ProtobufCMessageDescriptor *descriptor,
        const void *bytes, size_t length, size_t memory_limit, struct zl_error *err);

// Only the scan that zl_message_unpack begins with.
int zl_message_scan(const ProtobufCMessageDescriptor *descriptor, const void *bytes, size_t length,
        struct zl_error *err);

// Replaces strings that are not UTF-8 by copies in the arena with U+FFFD for each bad byte, and
// NULL in repeated strings by "". Sub-messages are changed in place.
void zl_message_scrub(struct zl_arena *arena, ProtobufCMessage *message);

// Appends the packed message. The message must be scrubbed if any string in it is not our own.
int zl_message_pack(const ProtobufCMessage *message, struct zl_buffer *out, struct zl_error *err);

// A deep copy in the arena.
void *zl_message_copy(struct zl_arena *arena, const ProtobufCMessage *message);

// Copies the entries of a map<string, string> field into entries of another such field:
//   status->labels = zl_message_map(arena,
//   &runtime__v1__pod_sandbox_status__labels_entry__descriptor,
//       config->labels, config->n_labels);
// The strings are copied too. `entries` is any Runtime__V1__…__…Entry **.
void *zl_message_map(struct zl_arena *arena, const ProtobufCMessageDescriptor *entry,
        const void *entries, size_t count);

// One entry of such a map, with copies of key and value.
void *zl_message_map_entry(struct zl_arena *arena, const ProtobufCMessageDescriptor *entry,
        const char *key, const char *value);

// The value of `key` in such a map (the last one, as protobuf says for duplicates), or NULL.
const char *zl_message_map_get(const void *entries, size_t count, const char *key);

// Whether every key and value of `selector` is in `entries` (CRI label selectors).
bool zl_message_map_matches(
        const void *entries, size_t count, const void *selector, size_t selector_count);

// Whether the bytes are UTF-8 (RFC 3629: no surrogates, no overlong forms, up to U+10FFFF). A NUL
// byte is valid here.
bool zl_utf8_valid(const void *bytes, size_t length);

// A copy with each bad byte replaced by U+FFFD.
char *zl_utf8_scrub(struct zl_arena *arena, const char *bytes, size_t length);

#endif
