// SPDX-License-Identifier: Apache-2.0
//
// The state of one client, shared by the files of this folder.
//
// client.c    opens, closes, reads and writes frames
// process.c   the processes and their streams
// reply.c     believes or refuses what control messages say
// call.c      sends a request and waits
// requests.c  the functions of client.h, one request each
// output.c    bytes from the zone to the callbacks
// input.c     bytes to a process's stdin
//
// Locking: `lock` guards everything below it. Processes and streams are freed by the loop's thread
// alone (or after it let go), so that thread may use them with the lock released, in a callback.
#ifndef ZL_ZONE_CLIENT_SESSION_H
#define ZL_ZONE_CLIENT_SESSION_H

#include <pthread.h>
#include <stdatomic.h>
#include <uthash.h>

#include "zone.pb-c.h"
#include "zone/channel/transport.h"
#include "zone/client/client.h"
#include "zone/client/loop.h"
#include "zone/protocol/enclosing.h"
#include "zone/protocol/frame.h"
#include "zone/protocol/message.h"
#include "zone/protocol/stream.h"

enum {
	ZL_EXEC_ID_MAX = 64,
	ZL_PROCESS_KEY_SIZE = ZL_EXEC_ID_MAX + 65 + 1, // "container/exec"
};

struct process;

// One output stream of a process.
struct output {
	struct process *process;
	enum zl_zone_stream kind;
	struct zl_stream_in in;
	uint64_t produced;        // bytes the supervisor had sent when the client opened
	struct zl_buffer pending; // taken from the zone, not yet consumed; at most the window
	bool end_consumed;
	bool ack_due;
	UT_hash_handle hh; // client->outputs, by in.id
};

// A thread that waits for room in a stdin.
struct waiter {
	int event; // eventfd
	struct waiter *next;
};

struct process {
	char key[ZL_PROCESS_KEY_SIZE];
	char container_id[65];            // "": a connection
	char exec_id[ZL_EXEC_ID_MAX + 1]; // "": the container's own process
	struct output *outputs[2];        // stdout, stderr; NULL: there is none
	bool has_stdin;
	bool stdin_refused; // the process reads no more
	bool stdin_wanted;  // zl_zone_stdin_put found it full
	struct zl_stream_out input;
	struct waiter *waiters;
	uint64_t request; // in flight for it: the one that opens or deletes it
	bool opened;      // the supervisor told its streams
	bool exited;
	atomic_bool abandoned; // an exec whose caller gave up: nobody is told of it any more
	UT_hash_handle hh;     // client->processes, by key
};

struct call {
	uint64_t id;
	Zl__Zone__FromZone__BodyCase expected;
	Zl__Zone__FromZone *reply;
	bool done;
	struct zl_error error; // the channel's, when it ended first
	int event;             // eventfd
	struct call *next;
};

struct zl_zone_client {
	struct zl_loop_task task;       // first: the loop's pointer is the client's
	struct zl_transport *transport; // the loop's thread's; NULL after the channel ended
	struct zl_zone_callbacks callbacks;
	void *user;
	struct zl_frame_parser parser;        // the loop's thread's
	struct zl_zone_message_reader reader; // the loop's thread's
	uint32_t events;                      // what epoll waits for now
	struct zl_zone_hello hello;           // constant once open returned

	pthread_mutex_t lock;
	struct zl_buffer out; // frames to send
	size_t out_done;      // bytes of it that went
	uint64_t next_request;
	struct call *calls; // waiting for a reply
	struct process *processes;
	struct output *outputs;
	bool established; // the hello was answered
	bool resumed;     // output was asked for
	bool offer;       // zl_zone_client_resume: offer pending bytes again
	bool inputs_due;  // some stdin has bytes to send
	bool ended;
	bool aborted;        // by zl_zone_client_abort: the loop still has to end the channel
	struct zl_error why; // it ended
};

static inline struct zl_zone_client *zl_client_of(struct zl_loop_task *task)
{
	return ZL_ENCLOSING(task, struct zl_zone_client, task);
}

// ---- client.c

// A client that no loop runs yet. Takes the transport over.
struct zl_zone_client *zl_client_new(struct zl_transport *transport,
        const struct zl_zone_callbacks *callbacks, void *user, struct zl_error *err);
void zl_client_free(struct zl_zone_client *client); // NULL is fine
// Bytes came from the zone. On the loop's thread.
int zl_client_feed(
        struct zl_zone_client *client, const uint8_t *bytes, size_t length, struct zl_error *err);

// ---- reply.c: on the loop's thread

// Acts on a control message from the zone. DATA_LOSS: it cannot be true.
int zl_client_receive(
        struct zl_zone_client *client, Zl__Zone__FromZone *message, struct zl_error *err);

// ---- call.c

// Sends the request and waits. *ret_reply (may be NULL) is the caller's to free. Errors of the
// supervisor come back as they are.
int zl_client_call(struct zl_zone_client *client, Zl__Zone__ToZone *request, struct call *call,
        const struct zl_cancel *cancel, Zl__Zone__FromZone **ret_reply, struct zl_error *err);
// Its two halves: the first under the lock.
int zl_client_call_send(struct zl_zone_client *client, Zl__Zone__ToZone *request, struct call *call,
        struct zl_error *err);
int zl_client_call_wait(struct zl_zone_client *client, struct call *call,
        const struct zl_cancel *cancel, Zl__Zone__FromZone **ret_reply, struct zl_error *err);
// Under the lock: sends a request whose reply nobody waits for.
int zl_client_post(struct zl_zone_client *client, Zl__Zone__ToZone *request, struct zl_error *err);
// Under the lock: ends all waiting calls with the channel's error.
void zl_client_fail_calls(struct zl_zone_client *client);

// Under the lock: kills an exec whose caller gave up.
int zl_client_kill_exec(
        struct zl_zone_client *client, struct process *process, struct zl_error *err);
// Under the lock: lets go of an exec or a connection.
int zl_client_hang_up(struct zl_zone_client *client, struct process *process, struct zl_error *err);

// ---- process.c: under the lock

void zl_process_key(
        char key[static ZL_PROCESS_KEY_SIZE], const char *container_id, const char *exec_id);
struct process *zl_process_find(
        struct zl_zone_client *client, const char *container_id, const char *exec_id);
// Adds one that is not there yet. ALREADY_EXISTS, INVALID_ARGUMENT for bad ids.
struct process *zl_process_add(struct zl_zone_client *client, const char *container_id,
        const char *exec_id, struct zl_error *err);
// The supervisor told its streams.
int zl_process_open(struct zl_zone_client *client, struct process *process,
        const Zl__Zone__Opened *opened, struct zl_error *err);
void zl_process_free(struct zl_zone_client *client, struct process *process);
// Frees an exec that has exited and whose outputs were consumed.
void zl_process_settle(struct zl_zone_client *client, struct process *process);
void zl_process_wake(struct process *process);

// ---- output.c: on the loop's thread, without the lock

// A DATA or END frame.
int zl_output_take(
        struct zl_zone_client *client, const struct zl_frame *frame, struct zl_error *err);
// Offers what is pending again, after a resume.
void zl_output_offer_all(struct zl_zone_client *client);
// Under the lock: appends the acknowledgements that are due.
int zl_output_acknowledge(struct zl_zone_client *client, struct zl_error *err);

// ---- input.c: on the loop's thread

// An ACK or RESET frame. Without the lock.
int zl_input_take(
        struct zl_zone_client *client, const struct zl_frame *frame, struct zl_error *err);
// Under the lock from here on.
// Appends data frames while the queue is short.
int zl_input_send(struct zl_zone_client *client, struct zl_error *err);

#endif
