// SPDX-License-Identifier: Apache-2.0
//
// Bad requests, bad connections, and the end of the server.
#include <fcntl.h>
#include <pthread.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>

#include "rpc_fixture.h"

enum { TIMEOUT_MS = 30000 };

static void *call(const char *method, ProtobufCMessage *request)
{
	return zl_rpc_client_call(fixture.client, &runtime__v1__runtime_service__descriptor, method,
	        request, &fixture.arena, TIMEOUT_MS, NULL, &fixture.err);
}

static void check_alive(void)
{
	Runtime__V1__VersionRequest request = RUNTIME__V1__VERSION_REQUEST__INIT;

	request.version = "v1";
	ck_assert_msg(call("Version", &request.base) != NULL, "%s", fixture.err.message);
}

START_TEST(request_with_bad_utf8)
{
	Runtime__V1__VersionRequest request = RUNTIME__V1__VERSION_REQUEST__INIT;

	request.version = "v\xc3";
	ck_assert_ptr_null(call("Version", &request.base));
	ck_assert_int_eq(fixture.err.code, ZL_INVALID_ARGUMENT);
	ck_assert_str_eq(fixture.err.message, "VersionRequest: version: is not valid UTF-8");
	ck_assert_uint_eq(atomic_load(&fixture.ran), 0);
}
END_TEST

// A raw field, length included, as the packer passes unknown fields through.
static ProtobufCMessageUnknownField raw_field(uint32_t number, void *bytes, size_t length)
{
	return (ProtobufCMessageUnknownField){.tag = number,
	        .wire_type = PROTOBUF_C_WIRE_TYPE_LENGTH_PREFIXED,
	        .len = length,
	        .data = bytes};
}

START_TEST(request_with_nul)
{
	Runtime__V1__VersionRequest request = RUNTIME__V1__VERSION_REQUEST__INIT;
	char bytes[] = "\x03"
	               "v\0001";
	ProtobufCMessageUnknownField field = raw_field(1, bytes, 4);

	request.base.unknown_fields = &field;
	request.base.n_unknown_fields = 1;
	ck_assert_ptr_null(call("Version", &request.base));
	ck_assert_int_eq(fixture.err.code, ZL_INVALID_ARGUMENT);
	ck_assert_ptr_nonnull(strstr(fixture.err.message, "version: has a NUL byte"));
	ck_assert_uint_eq(atomic_load(&fixture.ran), 0);
}
END_TEST

START_TEST(request_that_is_no_protobuf)
{
	Runtime__V1__VersionRequest request = RUNTIME__V1__VERSION_REQUEST__INIT;
	char bytes[] = "\x7f"
	               "v";
	ProtobufCMessageUnknownField field = raw_field(1, bytes, 2);

	request.base.unknown_fields = &field;
	request.base.n_unknown_fields = 1;
	ck_assert_ptr_null(call("Version", &request.base));
	ck_assert_int_eq(fixture.err.code, ZL_INVALID_ARGUMENT);
	check_alive();
}
END_TEST

START_TEST(request_past_the_limit)
{
	enum { LENGTH = (16 << 20) + 1 };
	Runtime__V1__VersionRequest request = RUNTIME__V1__VERSION_REQUEST__INIT;
	char *text = zl_arena_alloc(&fixture.arena, LENGTH + 1);

	memset(text, 'x', LENGTH);
	request.version = text;
	ck_assert_ptr_null(call("Version", &request.base));
	ck_assert_msg(fixture.err.code == ZL_RESOURCE_EXHAUSTED, "%s %s",
	        zl_code_name(fixture.err.code), fixture.err.message);
	ck_assert_uint_eq(atomic_load(&fixture.ran), 0);
	check_alive();
}
END_TEST

// 14 MiB of empty sub-messages, which would decode to a gigabyte.
START_TEST(request_that_would_blow_up)
{
	enum { COUNT = 7 << 20 };
	Runtime__V1__RunPodSandboxRequest request = RUNTIME__V1__RUN_POD_SANDBOX_REQUEST__INIT;
	Runtime__V1__PodSandboxConfig config = RUNTIME__V1__POD_SANDBOX_CONFIG__INIT;
	Runtime__V1__PortMapping empty = RUNTIME__V1__PORT_MAPPING__INIT;
	Runtime__V1__PortMapping **mappings =
	        zl_arena_array(&fixture.arena, COUNT, sizeof(*mappings));

	for (size_t i = 0; i < COUNT; i++)
		mappings[i] = &empty;
	config.n_port_mappings = COUNT;
	config.port_mappings = mappings;
	request.config = &config;
	ck_assert_ptr_null(call("RunPodSandbox", &request.base));
	ck_assert_msg(fixture.err.code == ZL_RESOURCE_EXHAUSTED, "%s %s",
	        zl_code_name(fixture.err.code), fixture.err.message);
	ck_assert_ptr_nonnull(strstr(fixture.err.message, "RunPodSandboxRequest: decoding its"));
	ck_assert_uint_eq(atomic_load(&fixture.ran), 0);
	check_alive();
}
END_TEST

START_TEST(reply_past_the_limit)
{
	Runtime__V1__StatusRequest request = RUNTIME__V1__STATUS_REQUEST__INIT;

	ck_assert_ptr_null(call("Status", &request.base));
	ck_assert_int_eq(fixture.err.code, ZL_RESOURCE_EXHAUSTED);
	ck_assert_ptr_nonnull(strstr(fixture.err.message, "StatusResponse takes "));
	check_alive();
}
END_TEST

START_TEST(unknown_method)
{
	static const ProtobufCMethodDescriptor methods[] = {
	        {"Frobnicate", &runtime__v1__version_request__descriptor,
	                &runtime__v1__version_response__descriptor}};
	static const unsigned by_name[] = {0};
	const ProtobufCServiceDescriptor service = {
	        .magic = PROTOBUF_C__SERVICE_DESCRIPTOR_MAGIC,
	        .name = "runtime.v1alpha2.RuntimeService",
	        .short_name = "RuntimeService",
	        .c_name = "x",
	        .package = "runtime.v1alpha2",
	        .n_methods = 1,
	        .methods = methods,
	        .method_indices_by_name = by_name,
	};
	Runtime__V1__VersionRequest request = RUNTIME__V1__VERSION_REQUEST__INIT;

	ck_assert_ptr_null(zl_rpc_client_call(fixture.client, &service, "Frobnicate", &request.base,
	        &fixture.arena, TIMEOUT_MS, NULL, &fixture.err));
	ck_assert_int_eq(fixture.err.code, ZL_UNIMPLEMENTED);
	ck_assert_ptr_nonnull(
	        strstr(fixture.err.message, "/runtime.v1alpha2.RuntimeService/Frobnicate"));
}
END_TEST

START_TEST(table_with_a_wrong_name)
{
	static const struct zl_rpc_method wrong[] = {{.name = "RunPodSandBox"}};

	fixture.services[0].methods = wrong;
	fixture.services[0].method_count = 1;
	zl_rpc_server_stop(fixture.server, 0);
	fixture.server = zl_rpc_server_start(&fixture.options, &fixture.err);
	ck_assert_ptr_null(fixture.server);
	ck_assert_int_eq(fixture.err.code, ZL_INVALID_ARGUMENT);
	ck_assert_str_eq(
	        fixture.err.message, "runtime.v1.RuntimeService has no method RunPodSandBox");
}
END_TEST

START_TEST(no_server)
{
	zl_rpc_server_stop(fixture.server, 0);
	fixture.server = NULL;
	Runtime__V1__VersionRequest request = RUNTIME__V1__VERSION_REQUEST__INIT;

	ck_assert_ptr_null(call("Version", &request.base));
	ck_assert_int_eq(fixture.err.code, ZL_UNAVAILABLE);
	ck_assert_ptr_nonnull(strstr(fixture.err.message, fixture.socket_path));
}
END_TEST

START_TEST(second_server_is_refused)
{
	struct zl_rpc_options options = fixture.options;
	struct zl_rpc_server *second = zl_rpc_server_start(&options, &fixture.err);

	ck_assert_ptr_null(second);
	ck_assert_int_eq(fixture.err.code, ZL_ALREADY_EXISTS);
	ck_assert_ptr_nonnull(strstr(fixture.err.message, fixture.socket_path));
	check_alive();
}
END_TEST

START_TEST(stale_socket_is_replaced)
{
	struct sockaddr_un address = {.sun_family = AF_UNIX};
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

	zl_rpc_server_stop(fixture.server, 0);
	fixture.server = NULL;
	ck_assert_int_ne(access(fixture.socket_path, F_OK), 0);
	strcpy(address.sun_path, fixture.socket_path);
	ck_assert_int_eq(bind(fd, (struct sockaddr *)&address, sizeof(address)), 0);
	(void)close(fd);
	rpc_fixture_restart(0);
	check_alive();
}
END_TEST

START_TEST(other_file_is_left_alone)
{
	int fd;

	zl_rpc_server_stop(fixture.server, 0);
	fd = open(fixture.socket_path, O_CREAT | O_WRONLY | O_CLOEXEC, 0600);
	ck_assert_int_ge(fd, 0);
	(void)close(fd);
	fixture.server = zl_rpc_server_start(&fixture.options, &fixture.err);
	ck_assert_ptr_null(fixture.server);
	ck_assert_int_eq(fixture.err.code, ZL_FAILED_PRECONDITION);
	ck_assert_int_eq(access(fixture.socket_path, F_OK), 0);
}
END_TEST

static int connect_raw(void)
{
	struct sockaddr_un address = {.sun_family = AF_UNIX};
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

	strcpy(address.sun_path, fixture.socket_path);
	ck_assert_int_eq(connect(fd, (struct sockaddr *)&address, sizeof(address)), 0);
	return fd;
}

// Connections that say nothing, or rubbish, hold up neither calls nor the server's end.
START_TEST(strange_connections)
{
	static const char rubbish[] = "GET / HTTP/1.1\r\nHost: x\r\n\r\n\0\xff\xff\xff";
	int silent[20];
	int loud[20];

	for (size_t i = 0; i < ZL_ARRAY_SIZE(silent); i++) {
		silent[i] = connect_raw();
		loud[i] = connect_raw();
		ck_assert_int_eq(write(loud[i], rubbish, sizeof(rubbish)), sizeof(rubbish));
	}
	check_alive();
	zl_rpc_server_stop(fixture.server, 0);
	fixture.server = NULL;
	for (size_t i = 0; i < ZL_ARRAY_SIZE(silent); i++) {
		char byte;

		while (read(silent[i], &byte, 1) > 0)
			;
		(void)close(silent[i]);
		(void)close(loud[i]);
	}
}
END_TEST

struct blocked {
	const char *method;
	struct zl_error err;
};

static void *block(void *user)
{
	Runtime__V1__ExecSyncRequest exec = RUNTIME__V1__EXEC_SYNC_REQUEST__INIT;
	Runtime__V1__StopContainerRequest stop = RUNTIME__V1__STOP_CONTAINER_REQUEST__INIT;
	zl_auto(arena) struct zl_arena arena = ZL_ARENA_INIT;
	struct blocked *blocked = user;
	bool slow = strcmp(blocked->method, "ExecSync") == 0;

	return zl_rpc_client_call(fixture.client, &runtime__v1__runtime_service__descriptor,
	               blocked->method, slow ? &exec.base : &stop.base, &arena, TIMEOUT_MS, NULL,
	               &blocked->err) == NULL
	               ? NULL
	               : user;
}

// At the end slow calls are told at once, others after the grace; both get an answer that says why.
START_TEST(stop_ends_calls)
{
	struct blocked blocked[] = {
	        {.method = "ExecSync", .err = ZL_ERROR_INIT},
	        {.method = "StopContainer", .err = ZL_ERROR_INIT},
	};
	pthread_t threads[2];

	for (int i = 0; i < 2; i++) {
		ck_assert_int_eq(pthread_create(&threads[i], NULL, block, &blocked[i]), 0);
		rpc_fixture_await(fixture.started_fd);
	}
	ck_assert_uint_eq(zl_rpc_server_call_count(fixture.server), 2);
	zl_rpc_server_stop(fixture.server, 50);
	fixture.server = NULL;
	for (int i = 0; i < 2; i++) {
		void *reply;

		ck_assert_int_eq(pthread_join(threads[i], &reply), 0);
		ck_assert_ptr_null(reply);
		ck_assert_int_eq(blocked[i].err.code, ZL_UNAVAILABLE);
		ck_assert_msg(strstr(blocked[i].err.message, "zoneletd is stopping") != NULL, "%s",
		        blocked[i].err.message);
	}
}
END_TEST

// A short call that finishes within the grace is answered as if nothing were.
START_TEST(stop_lets_short_calls_finish)
{
	struct blocked blocked = {.method = "StopContainer", .err = ZL_ERROR_INIT};
	pthread_t thread;
	uint64_t one = 1;
	void *reply;

	ck_assert_int_eq(pthread_create(&thread, NULL, block, &blocked), 0);
	rpc_fixture_await(fixture.started_fd);
	ck_assert_int_eq(write(fixture.release_fd, &one, sizeof(one)), sizeof(one));
	zl_rpc_server_stop(fixture.server, TIMEOUT_MS);
	fixture.server = NULL;
	ck_assert_int_eq(pthread_join(thread, &reply), 0);
	ck_assert_msg(reply != NULL, "%s", blocked.err.message);
}
END_TEST

TCase *rpc_faults_case(void)
{
	TCase *tcase = tcase_create("faults");

	tcase_set_timeout(tcase, 60);
	tcase_add_checked_fixture(tcase, rpc_fixture_setup, rpc_fixture_teardown);
	tcase_add_test(tcase, request_with_bad_utf8);
	tcase_add_test(tcase, request_with_nul);
	tcase_add_test(tcase, request_that_is_no_protobuf);
	tcase_add_test(tcase, request_past_the_limit);
	tcase_add_test(tcase, request_that_would_blow_up);
	tcase_add_test(tcase, reply_past_the_limit);
	tcase_add_test(tcase, unknown_method);
	tcase_add_test(tcase, table_with_a_wrong_name);
	tcase_add_test(tcase, no_server);
	tcase_add_test(tcase, second_server_is_refused);
	tcase_add_test(tcase, stale_socket_is_replaced);
	tcase_add_test(tcase, other_file_is_left_alone);
	tcase_add_test(tcase, strange_connections);
	tcase_add_test(tcase, stop_ends_calls);
	tcase_add_test(tcase, stop_lets_short_calls_finish);
	return tcase;
}
