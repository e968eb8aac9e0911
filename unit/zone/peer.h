// SPDX-License-Identifier: Apache-2.0
//
// A supervisor that plays a part, on a thread, over a socket pair; and what the client told of it.
#ifndef ZL_UNIT_ZONE_PEER_H
#define ZL_UNIT_ZONE_PEER_H

#include <pthread.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "zone.pb-c.h"
#include "zone/channel/transport.h"
#include "zone/client/client.h"
#include "zone/protocol/message.h"
#include "zone/protocol/stream.h"

#define ID "00000000000000000000000000000000000000000000000000000000000000aa"

struct peer {
	int fd;
	void (*part)(struct peer *peer);
	struct zl_frame_parser parser;
	struct zl_zone_message_reader reader;
	uint8_t input[65536];
	const uint8_t *at;
	size_t left;
};

struct heard {
	pthread_mutex_t lock;
	pthread_cond_t changed;
	bool closed;
	struct zl_error why;
	size_t bytes;
	bool eof;
	unsigned exits;
};

struct stage {
	struct peer peer;
	pthread_t thread;
	struct zl_zone_loop *loop;
	struct zl_zone_client *client;
	struct zl_error err;
};

extern struct heard heard;
extern size_t appetite; // bytes of output that are taken at a time
extern struct zl_zone_client *opening;

// ---- the peer's means

void send_frame(struct peer *peer, const struct zl_frame *frame);
void send_message(struct peer *peer, Zl__Zone__FromZone *message);
// The next request, NULL when the client is gone. Other frames are skipped.
Zl__Zone__ToZone *next_request(struct peer *peer);
void send_sync(struct peer *peer, const Zl__Zone__ToZone *hello);
void send_hello(struct peer *peer, uint64_t request, uint32_t protocol);
void greet(struct peer *peer);
// Answers the create request: streams 1 (stdin), 2 and 3.
void open_container(struct peer *peer);
void send_exited(struct peer *peer, const char *id, int32_t code);
// Until the client is gone.
void linger(struct peer *peer);

// ---- the stage: a peer on a thread, and a client for it

void raise_curtain(
        struct stage *stage, void (*part)(struct peer *peer), const struct zl_cancel *cancel);
void drop_curtain(struct stage *stage);
int create(struct stage *stage);
void wait_closed(void);

#endif
