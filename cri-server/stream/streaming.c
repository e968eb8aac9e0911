// SPDX-License-Identifier: Apache-2.0
#include "cri-server/stream/streaming.h"

#include "cri-server/container/exec.h"
#include "cri-server/sandbox/services.h"
#include "cri-server/stream/server.h"

// The same conditions as the kubelet's streaming package makes.
static int check_streams(
        const char *what, const struct zl_stream_request *streams, struct zl_error *err)
{
	if (streams->tty && streams->has_stderr)
		return zl_error_set(err, ZL_INVALID_ARGUMENT,
		        "%s: tty and stderr cannot both be true: a terminal has one output", what);
	if (!streams->has_stdin && !streams->has_stdout && !streams->has_stderr)
		return zl_error_set(err, ZL_INVALID_ARGUMENT,
		        "%s: one of stdin, stdout, or stderr must be set", what);
	return 0;
}

// Takes the request over.
static char *offer(struct zl_services *services, struct zl_call *call,
        struct zl_stream_request *request, struct zl_error *err)
{
	zl_auto(buffer) struct zl_buffer url = ZL_BUFFER_INIT;

	if (request == NULL || zl_stream_server_offer(services->streams, request, &url, err) < 0)
		return NULL;
	return zl_call_strdup(call, zl_buffer_string(&url));
}

static char *offer_remote(struct zl_services *services, struct zl_call *call,
        const struct zl_stream_request *streams, struct zl_container *container, char **argv,
        struct zl_error *err)
{
	struct zl_stream_request *request = zl_remote_new(container, streams->kind, argv, err);

	if (request == NULL)
		return NULL;
	request->has_stdin = streams->has_stdin;
	request->has_stdout = streams->has_stdout;
	request->has_stderr = streams->has_stderr;
	request->tty = streams->tty;
	return offer(services, call, request, err);
}

ZL_RPC_HANDLER(zl_handle_exec, struct zl_services, ExecRequest, ExecResponse)
{
	const struct zl_stream_request streams = {
	        .kind = ZL_STREAM_EXEC,
	        .has_stdin = request->stdin,
	        .has_stdout = request->stdout,
	        .has_stderr = request->stderr,
	        .tty = request->tty,
	};
	zl_auto(container) struct zl_container *container =
	        zl_container_find(service, request->container_id, err);
	char **argv;

	if (container == NULL || check_streams("exec", &streams, err) < 0 ||
	        zl_exec_check(container, request->n_cmd, err) < 0)
		return -1;
	argv = zl_strv_copy((char *const *)(uintptr_t)request->cmd, request->n_cmd, err);
	if (argv == NULL)
		return -1;
	response->url = offer_remote(service, call, &streams, container, argv, err);
	return response->url != NULL ? 0 : -1;
}

ZL_RPC_HANDLER(zl_handle_attach, struct zl_services, AttachRequest, AttachResponse)
{
	const struct zl_stream_request streams = {
	        .kind = ZL_STREAM_ATTACH,
	        .has_stdin = request->stdin,
	        .has_stdout = request->stdout,
	        .has_stderr = request->stderr,
	        .tty = request->tty,
	};
	zl_auto(container) struct zl_container *container =
	        zl_container_find(service, request->container_id, err);

	if (container == NULL || check_streams("attach", &streams, err) < 0)
		return -1;
	if (zl_container_phase(container) != ZL_CONTAINER_RUNNING)
		return zl_error_set(err, ZL_FAILED_PRECONDITION,
		        "attach to %s: the container is not running",
		        container->config->metadata->name);
	response->url = offer_remote(service, call, &streams, container, NULL, err);
	return response->url != NULL ? 0 : -1;
}

// The request's ports say what the client is going to ask for; they are asked for on the streams
// themselves.
ZL_RPC_HANDLER(zl_handle_port_forward, struct zl_services, PortForwardRequest, PortForwardResponse)
{
	zl_auto(sandbox) struct zl_sandbox *sandbox =
	        zl_sandbox_find(service, request->pod_sandbox_id, err);

	if (sandbox == NULL)
		return -1;
	if (zl_sandbox_phase(sandbox) != ZL_SANDBOX_READY)
		return zl_error_set(err, ZL_FAILED_PRECONDITION,
		        "forward ports of pod %s: it is not ready", zl_sandbox_pod(sandbox));
	response->url = offer(service, call, zl_forward_new(sandbox, err), err);
	return response->url != NULL ? 0 : -1;
}
