// SPDX-License-Identifier: Apache-2.0
//
// The inside of the server: what server.c (its life) and call.c (one call's way) share.
//
// A call's way: the core hands it over in the completion queue (arrived) → close and request are
// asked for in batches of their own (in one they would deadlock) → its request comes (received) → a
// worker decodes it, runs the handler and sends the reply (run) → the core has sent it (finished).
// "closed" comes at any time, with the client's cancel, its deadline, or the normal end.
//
// Events of the completion queue are told to tags, which the calls embed.
#ifndef ZL_CRI_SERVER_RPC_SERVER_H
#define ZL_CRI_SERVER_RPC_SERVER_H

#include <grpc/grpc.h>
#include <pthread.h>
#include <stdatomic.h>

#include "cri-server/rpc/listener.h"
#include "cri-server/rpc/method.h"
#include "cri-server/rpc/pool.h"
#include "cri-server/rpc/rpc.h"

struct rpc_call;

struct rpc_tag {
	void (*event)(struct rpc_call *call, bool success);
	struct rpc_call *call;
};

struct rpc_call {
	struct zl_call base; // first: a handler's zl_call is converted back by its address
	struct zl_task task;
	struct zl_rpc_server *server;
	struct rpc_call *previous; // the server's list, under its mutex
	struct rpc_call *next;
	bool listed;
	grpc_call *grpc;
	grpc_call_details details;
	grpc_metadata_array metadata;
	const struct zl_method *method;
	grpc_byte_buffer *request;
	grpc_byte_buffer *reply; // in flight
	int cancelled;           // written by the core before `closed`
	bool replying;           // initial metadata was sent
	struct rpc_tag arrived;
	struct rpc_tag closed;
	struct rpc_tag received;
	struct rpc_tag sent;
	struct rpc_tag finished;
	// One for the close event, one for the way from request to reply.
	atomic_uint references;
	// The core is not instrumented, so the thread sanitizer cannot see that an event follows
	// its batch. Released before each batch and acquired after each event, this tells it.
	atomic_uint order;
	int64_t began_ns; // monotonic
	// A stream waits here for its last message to be taken.
	pthread_mutex_t send_mutex;
	pthread_cond_t send_done;
	enum { SEND_IDLE, SEND_RUNNING, SEND_TAKEN, SEND_FAILED } send_state;
};

struct zl_rpc_server {
	const struct zl_rpc_options *options;
	struct zl_method_table methods;
	struct zl_pool *pool;
	struct zl_listener *listener;
	grpc_server *grpc;
	grpc_server_credentials *credentials;
	grpc_completion_queue *queue;
	pthread_t queue_thread;
	bool queue_running;
	struct rpc_tag shut_down; // its call is NULL
	pthread_mutex_t mutex;    // guards the list and what follows; a leaf
	pthread_cond_t changed;   // a call ended, or the core is shut down
	struct rpc_call *calls;
	size_t call_count;
	bool stopping;
	bool core_stopped;
};

// Asks the core for the next call.
void rpc_call_expect(struct zl_rpc_server *server);

#endif
