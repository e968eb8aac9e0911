// SPDX-License-Identifier: Apache-2.0
#include "rpc_fixture.h"

#include <poll.h>
#include <pthread.h>
#include <string.h>
#include <sys/eventfd.h>

#include "base/file.h"

struct rpc_fixture fixture;
static pthread_mutex_t peer_mutex = PTHREAD_MUTEX_INITIALIZER; // calls may run at once

static void add_one(int fd)
{
	uint64_t one = 1;

	ck_assert_int_eq(write(fd, &one, sizeof(one)), sizeof(one));
}

void rpc_fixture_await(int fd)
{
	uint64_t value;

	ck_assert_int_eq(read(fd, &value, sizeof(value)), sizeof(value));
}

ZL_RPC_HANDLER(handle_version, struct rpc_fixture, VersionRequest, VersionResponse)
{
	atomic_fetch_add(&service->ran, 1);
	(void)pthread_mutex_lock(&peer_mutex);
	service->peer = call->peer;
	(void)pthread_mutex_unlock(&peer_mutex);
	if (strncmp(request->version, "fail:", 5) == 0)
		return zl_error_set(err, (enum zl_code)atoi(request->version + 5),
		        "it failed with \xff in %s", request->version);
	if (strcmp(request->version, "silent") == 0)
		return -1;
	response->runtime_name = "zonelet";
	response->runtime_version = zl_call_printf(call, "%s", request->version);
	return 0;
}

static int block(struct rpc_fixture *service, struct zl_call *call, struct zl_error *err)
{
	int result;

	atomic_fetch_add(&service->ran, 1);
	add_one(service->started_fd);
	result = zl_cancel_poll(&call->cancel, service->release_fd, POLLIN, -1, err);
	atomic_store(&service->ended_code, result < 0 ? (int)err->code : ZL_OK);
	add_one(service->ended_fd);
	return result < 0 ? -1 : 0;
}

ZL_RPC_HANDLER(handle_exec_sync, struct rpc_fixture, ExecSyncRequest, ExecSyncResponse)
{
	return block(service, call, err);
}

ZL_RPC_HANDLER(handle_stop, struct rpc_fixture, StopContainerRequest, StopContainerResponse)
{
	return block(service, call, err);
}

ZL_RPC_HANDLER(handle_status, struct rpc_fixture, StatusRequest, StatusResponse)
{
	enum { LENGTH = 17 << 20 };
	char *text = zl_call_alloc(call, LENGTH + 1);

	memset(text, 'x', LENGTH);
	response->n_info = 1;
	response->info = zl_call_array(call, 1, sizeof(void *));
	response->info[0] = zl_message_map_entry(
	        &call->arena, &runtime__v1__status_response__info_entry__descriptor, text, "");
	return 0;
}

ZL_RPC_HANDLER(handle_events, struct rpc_fixture, GetEventsRequest, ContainerEventResponse)
{
	enum { LENGTH = 64 << 10, COUNT = 2000 };
	char *text = zl_call_alloc(call, LENGTH + 1);
	int result = 0;

	memset(text, 'x', LENGTH);
	add_one(service->started_fd);
	for (int i = 0; i < COUNT && result == 0; i++) {
		Runtime__V1__ContainerEventResponse event =
		        RUNTIME__V1__CONTAINER_EVENT_RESPONSE__INIT;

		event.container_id = text;
		event.created_at = i;
		result = zl_call_send(call, &event.base, err);
		if (result == 0)
			atomic_fetch_add(&service->sent, 1);
	}
	atomic_store(&service->ended_code, result < 0 ? (int)err->code : ZL_OK);
	add_one(service->ended_fd);
	return result;
}

ZL_RPC_HANDLER(handle_images, struct rpc_fixture, StreamImagesRequest, StreamImagesResponse)
{
	for (int i = 0; i < 3; i++) {
		Runtime__V1__StreamImagesResponse *message =
		        ZL_CALL_NEW(call, StreamImagesResponse, stream_images_response);
		Runtime__V1__Image *image = ZL_CALL_NEW(call, Image, image);

		image->id = zl_call_printf(call, "image-%d\xff", i);
		message->n_images = 1;
		message->images = ZL_CALL_NEW_LIST(call, Image, 1);
		message->images[0] = image;
		if (zl_call_send(call, &message->base, err) < 0)
			return -1;
	}
	if (request->filter != NULL)
		return zl_error_set(err, ZL_ABORTED, "after three");
	return 0;
}

ZL_RPC_HANDLER(handle_run, struct rpc_fixture, RunPodSandboxRequest, RunPodSandboxResponse)
{
	atomic_fetch_add(&service->ran, 1);
	return 0;
}

static const struct zl_rpc_method runtime_methods[] = {
        {.name = "RunPodSandbox", .handler = handle_run},
        {.name = "Version", .handler = handle_version},
        {.name = "ExecSync", .handler = handle_exec_sync, .slow = true},
        {.name = "StopContainer", .handler = handle_stop},
        {.name = "Status", .handler = handle_status},
        {.name = "GetContainerEvents", .handler = handle_events, .stream = true},
        {.name = "Attach", .why = "streaming is not there yet"},
        {.name = "CreateContainer", .handler = NULL},
};
static const struct zl_rpc_method image_methods[] = {
        {.name = "StreamImages", .handler = handle_images, .stream = true},
};

void rpc_fixture_restart(unsigned workers)
{
	zl_rpc_client_close(fixture.client);
	zl_rpc_server_stop(fixture.server, 0);
	fixture.options.workers = workers;
	fixture.server = zl_rpc_server_start(&fixture.options, &fixture.err);
	ck_assert_msg(fixture.server != NULL, "%s", fixture.err.message);
	fixture.client = zl_rpc_client_open(fixture.socket_path, &fixture.err);
	ck_assert_msg(fixture.client != NULL, "%s", fixture.err.message);
}

void rpc_fixture_setup(void)
{
	fixture = (struct rpc_fixture){.arena = ZL_ARENA_INIT, .err = ZL_ERROR_INIT};
	strcpy(fixture.directory, "/tmp/zl-rpc-XXXXXX");
	ck_assert_ptr_nonnull(mkdtemp(fixture.directory));
	(void)snprintf(
	        fixture.socket_path, sizeof(fixture.socket_path), "%s/zl.sock", fixture.directory);
	fixture.started_fd = eventfd(0, EFD_CLOEXEC | EFD_SEMAPHORE);
	fixture.ended_fd = eventfd(0, EFD_CLOEXEC | EFD_SEMAPHORE);
	fixture.release_fd = eventfd(0, EFD_CLOEXEC);
	fixture.services[0] =
	        (struct zl_rpc_service){.descriptor = &runtime__v1__runtime_service__descriptor,
	                .methods = runtime_methods,
	                .method_count = ZL_ARRAY_SIZE(runtime_methods),
	                .service = &fixture};
	fixture.services[1] =
	        (struct zl_rpc_service){.descriptor = &runtime__v1__image_service__descriptor,
	                .methods = image_methods,
	                .method_count = ZL_ARRAY_SIZE(image_methods),
	                .service = &fixture};
	fixture.options = (struct zl_rpc_options){.socket_path = fixture.socket_path,
	        .socket_group = (gid_t)-1,
	        .services = fixture.services,
	        .service_count = 2,
	        .version = "0.0.test"};
	rpc_fixture_restart(0);
}

void rpc_fixture_teardown(void)
{
	zl_rpc_client_close(fixture.client);
	zl_rpc_server_stop(fixture.server, 0);
	zl_arena_release(&fixture.arena);
	(void)zl_close(fixture.started_fd);
	(void)zl_close(fixture.ended_fd);
	(void)zl_close(fixture.release_fd);
	ck_assert_int_eq(zl_tree_remove(fixture.directory, &fixture.err), 0);
}
