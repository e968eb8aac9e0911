// SPDX-License-Identifier: Apache-2.0
//
// A server with handlers made for tests, and a client, in this process.
#ifndef ZL_UNIT_CRI_SERVER_RPC_FIXTURE_H
#define ZL_UNIT_CRI_SERVER_RPC_FIXTURE_H

#include <check.h>
#include <stdatomic.h>

#include "api.pb-c.h"
#include "cri-server/rpc/client.h"
#include "cri-server/rpc/rpc.h"

// What the handlers tell the test, and the test tells them.
struct rpc_fixture {
	char directory[64];
	char socket_path[96];
	struct zl_rpc_options options;
	struct zl_rpc_service services[2];
	struct zl_rpc_server *server;
	struct zl_rpc_client *client;
	struct zl_arena arena;
	struct zl_error err;
	int started_fd;        // eventfd semaphore: +1 for each blocking handler that began
	int ended_fd;          // +1 for each that ended
	int release_fd;        // made readable by the test: blocking handlers return
	atomic_int ended_code; // how the last one ended
	atomic_uint sent;      // messages that a stream handler has sent
	atomic_uint ran;       // handlers run
	struct ucred peer;     // of the last Version call
};

extern struct rpc_fixture fixture;

void rpc_fixture_setup(void);
void rpc_fixture_teardown(void);
// Starts the server anew with so many workers.
void rpc_fixture_restart(unsigned workers);
// Waits for one more of started_fd or ended_fd.
void rpc_fixture_await(int fd);

// The handlers:
//   Version: echoes request->version as runtime_version; "fail:N" fails with code N.
//   ExecSync (slow): blocks until release_fd or its token.
//   StopContainer: the same, not slow.
//   Status: replies with a message of 17 MiB.
//   GetContainerEvents (stream): sends 64 KiB messages until told to stop: 2000 of them.
//   StreamImages (stream): sends three messages.
TCase *rpc_faults_case(void);

#endif
