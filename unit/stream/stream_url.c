// SPDX-License-Identifier: Apache-2.0
//
// For end-to-end tests with clients of their own: asks a CRI server for a streaming URL and prints
// it.
//
//   stream-url [-n COUNT] SOCKET exec CONTAINER STREAMS COMMAND...
//   stream-url [-n COUNT] SOCKET attach CONTAINER STREAMS
//   stream-url [-n COUNT] SOCKET portforward POD
//
// STREAMS has a letter for each that is wanted: i(n), o(ut), e(rror), t(erminal). COUNT URLs, one a
// line: one.
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "api.pb-c.h"
#include "cri-server/rpc/client.h"

enum { TIMEOUT_MS = 30000 };

static bool wants(const char *streams, char letter)
{
	return strchr(streams, letter) != NULL;
}

static const char *ask(struct zl_rpc_client *client, int argc, char **argv, struct zl_arena *arena,
        struct zl_error *err)
{
	Runtime__V1__ExecRequest exec = RUNTIME__V1__EXEC_REQUEST__INIT;
	Runtime__V1__AttachRequest attach = RUNTIME__V1__ATTACH_REQUEST__INIT;
	Runtime__V1__PortForwardRequest forward = RUNTIME__V1__PORT_FORWARD_REQUEST__INIT;

	if (strcmp(argv[2], "portforward") == 0) {
		forward.pod_sandbox_id = argv[3];
		Runtime__V1__PortForwardResponse *reply = ZL_CRI_CALL(
		        client, runtime_service, PortForward, &forward, arena, TIMEOUT_MS, err);
		return reply != NULL ? reply->url : NULL;
	}
	if (strcmp(argv[2], "attach") == 0 && argc > 4) {
		attach.container_id = argv[3];
		attach.stdin = wants(argv[4], 'i');
		attach.stdout = wants(argv[4], 'o');
		attach.stderr = wants(argv[4], 'e');
		attach.tty = wants(argv[4], 't');
		Runtime__V1__AttachResponse *reply = ZL_CRI_CALL(
		        client, runtime_service, Attach, &attach, arena, TIMEOUT_MS, err);
		return reply != NULL ? reply->url : NULL;
	}
	exec.container_id = argv[3];
	exec.stdin = argc > 4 && wants(argv[4], 'i');
	exec.stdout = argc > 4 && wants(argv[4], 'o');
	exec.stderr = argc > 4 && wants(argv[4], 'e');
	exec.tty = argc > 4 && wants(argv[4], 't');
	exec.cmd = (__typeof__(exec.cmd))(argv + 5);
	exec.n_cmd = argc > 5 ? (size_t)(argc - 5) : 0;
	Runtime__V1__ExecResponse *reply =
	        ZL_CRI_CALL(client, runtime_service, Exec, &exec, arena, TIMEOUT_MS, err);
	return reply != NULL ? reply->url : NULL;
}

// Arguments as without -n.
static int run(int count, int argc, char **argv)
{
	zl_auto(arena) struct zl_arena arena = ZL_ARENA_INIT;
	struct zl_error err = ZL_ERROR_INIT;
	zl_auto(rpc_client) struct zl_rpc_client *client = zl_rpc_client_open(argv[1], &err);

	for (int i = 0; i < count; i++) {
		const char *url = client != NULL ? ask(client, argc, argv, &arena, &err) : NULL;

		if (url == NULL) {
			(void)fprintf(stderr, "code = %s desc = %s\n", zl_code_name(err.code),
			        err.message);
			return 1;
		}
		(void)puts(url);
	}
	return 0;
}

int main(int argc, char **argv)
{
	int count = 1;

	if (argc > 2 && strcmp(argv[1], "-n") == 0) {
		count = (int)strtol(argv[2], NULL, 10);
		argc -= 2;
		argv += 2;
	}
	if (argc < 4) {
		(void)fputs("usage: stream-url [-n COUNT] SOCKET exec|attach|portforward ID "
		            "[STREAMS [COMMAND...]]\n",
		        stderr);
		return 2;
	}
	return run(count, argc, argv);
}
