// SPDX-License-Identifier: Apache-2.0
//
// Who is told of a process's output and end: an ExecSync, or a streaming client's session.
//
// A sandbox knows its peers by the id of their exec (or of a connection to a port), a container
// those that are attached to its own process. The channel's thread finds them there.
//
// Thread rule: any. Operations are called with sandbox->lock held: they must not wait, and take no
// locks but innermost ones.
#ifndef ZL_CRI_SERVER_CONTAINER_PEER_H
#define ZL_CRI_SERVER_CONTAINER_PEER_H

#include <stdbool.h>
#include <stdint.h>
#include <uthash.h>

#include "base/error.h"
#include "zone/client/client.h"

struct zl_sandbox;
struct zl_container;
struct zl_peer;

enum { ZL_PEER_ID_SIZE = 33 };

struct zl_peer_ops {
	// Returns how many of the bytes it took; the rest is offered again by zl_zone_client_resume
	// or with the next bytes.
	size_t (*output)(struct zl_peer *peer, enum zl_zone_stream stream, const void *bytes,
	        size_t length, bool eof);
	void (*exited)(struct zl_peer *peer, int32_t exit_code, const char *message);
	// It will not be told of an end: the channel is gone or the pod is being stopped.
	void (*failed)(struct zl_peer *peer, const struct zl_error *why);
	// A stdin that was full may have room. May be NULL.
	void (*input_ready)(struct zl_peer *peer);
};

struct zl_peer {
	const struct zl_peer_ops *ops;
	char id[ZL_PEER_ID_SIZE];
	const char *container_id; // "": a connection
	UT_hash_handle hh;        // sandbox->peers
	struct zl_peer *next;     // container->attached
	uint64_t at[2];           // attached: the next byte it wants of stdout and stderr
};

// Gives it a new random id.
int zl_peer_make_id(struct zl_peer *peer, struct zl_error *err);

// Of an exec or a connection. UNAVAILABLE when the pod is being stopped: it is not added then.
int zl_peer_add(struct zl_sandbox *sandbox, struct zl_peer *peer, struct zl_error *err);
void zl_peer_remove(struct zl_sandbox *sandbox, struct zl_peer *peer);

// Joins it to a container's own process, from the next byte of output on. FAILED_PRECONDITION when
// that does not run, UNAVAILABLE when the pod is being stopped.
int zl_peer_attach(struct zl_container *container, struct zl_peer *peer, struct zl_error *err);
void zl_peer_detach(struct zl_container *container, struct zl_peer *peer);

// ---- called by the channel's thread

size_t zl_peer_output(struct zl_sandbox *sandbox, const char *id, enum zl_zone_stream stream,
        const void *bytes, size_t length, bool eof);
void zl_peer_exited(
        struct zl_sandbox *sandbox, const char *id, int32_t exit_code, const char *message);
void zl_peer_input_ready(struct zl_sandbox *sandbox, const char *container_id, const char *id);

// Offers a container's output, which begins at `offset`, to those attached; returns how much of it
// all of them have. A slow one so holds the container back, as a slow reader of a pipe does.
size_t zl_peer_tee(struct zl_container *container, enum zl_zone_stream stream, uint64_t offset,
        const void *bytes, size_t length, bool eof);
// The container's own process ended.
void zl_peer_container_exited(struct zl_container *container, int32_t exit_code);

// ---- any thread

// Ends all waits with this error: those of the sandbox, or of one container.
void zl_peer_fail_all(struct zl_sandbox *sandbox, const struct zl_error *why);
void zl_peer_fail_container(struct zl_container *container, const struct zl_error *why);

#endif
