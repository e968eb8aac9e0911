// SPDX-License-Identifier: Apache-2.0
//
// The server as its clients see it, when all goes well or ends early.
#include <poll.h>
#include <pthread.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/stat.h>

#include "rpc_fixture.h"

enum { TIMEOUT_MS = 30000 };

static Runtime__V1__VersionResponse *version(const char *text, struct zl_error *err)
{
	Runtime__V1__VersionRequest request = RUNTIME__V1__VERSION_REQUEST__INIT;

	request.version = text;
	return ZL_CRI_CALL(fixture.client, runtime_service, Version, &request, &fixture.arena,
	        TIMEOUT_MS, err);
}

START_TEST(every_method_is_served)
{
	unsigned runtime = runtime__v1__runtime_service__descriptor.n_methods;
	unsigned image = runtime__v1__image_service__descriptor.n_methods;

	// CRI 0.36: 35 and 6. A new version of the definition shows here.
	ck_assert_uint_eq(runtime, 35);
	ck_assert_uint_eq(image, 6);
	ck_assert_uint_eq(zl_rpc_server_method_count(fixture.server), runtime + image);
}
END_TEST

static bool has_handler(const struct zl_rpc_service *service, const char *name)
{
	for (size_t i = 0; i < service->method_count; i++) {
		if (strcmp(service->methods[i].name, name) == 0)
			return service->methods[i].handler != NULL;
	}
	return false;
}

static unsigned check_unimplemented(const struct zl_rpc_service *service)
{
	const ProtobufCServiceDescriptor *descriptor = service->descriptor;
	unsigned count = 0;

	for (unsigned i = 0; i < descriptor->n_methods; i++) {
		const ProtobufCMethodDescriptor *method = &descriptor->methods[i];
		ProtobufCMessage *request = zl_message_new(&fixture.arena, method->input);
		struct zl_error err = ZL_ERROR_INIT;

		if (has_handler(service, method->name))
			continue;
		count++;
		ck_assert_ptr_null(zl_rpc_client_call(fixture.client, descriptor, method->name,
		        request, &fixture.arena, TIMEOUT_MS, NULL, &err));
		ck_assert_msg(err.code == ZL_UNIMPLEMENTED, "%s: %s %s", method->name,
		        zl_code_name(err.code), err.message);
		ck_assert_ptr_nonnull(strstr(err.message, method->name));
		ck_assert_ptr_nonnull(
		        strstr(err.message, "is not implemented by zonelet 0.0.test: "));
	}
	return count;
}

START_TEST(methods_without_handler_say_so)
{
	unsigned count = check_unimplemented(&fixture.services[0]) +
	                 check_unimplemented(&fixture.services[1]);

	ck_assert_uint_eq(count, 41 - 7);
}
END_TEST

START_TEST(unimplemented_says_why)
{
	Runtime__V1__AttachRequest request = RUNTIME__V1__ATTACH_REQUEST__INIT;

	ck_assert_ptr_null(ZL_CRI_CALL(fixture.client, runtime_service, Attach, &request,
	        &fixture.arena, TIMEOUT_MS, &fixture.err));
	ck_assert_str_eq(fixture.err.message,
	        "Attach is not implemented by zonelet 0.0.test: streaming is not there yet");
}
END_TEST

START_TEST(unary_call)
{
	Runtime__V1__VersionResponse *response = version("v1", &fixture.err);

	ck_assert_msg(response != NULL, "%s", fixture.err.message);
	ck_assert_str_eq(response->runtime_name, "zonelet");
	ck_assert_str_eq(response->runtime_version, "v1");
	ck_assert_str_eq(response->version, "");
}
END_TEST

START_TEST(peer_is_known)
{
	ck_assert_ptr_nonnull(version("v1", &fixture.err));
	ck_assert_int_eq(fixture.peer.pid, getpid());
	ck_assert_uint_eq(fixture.peer.uid, getuid());
	ck_assert_uint_eq(fixture.peer.gid, getgid());
}
END_TEST

START_TEST(every_code_arrives)
{
	char text[16];

	(void)snprintf(text, sizeof(text), "fail:%d", _i);
	ck_assert_ptr_null(version(text, &fixture.err));
	ck_assert_int_eq(fixture.err.code, _i);
	// The byte that is not UTF-8 was replaced.
	ck_assert_ptr_nonnull(strstr(fixture.err.message, "it failed with \xef\xbf\xbd in fail:"));
}
END_TEST

START_TEST(silent_failure_is_internal)
{
	ck_assert_ptr_null(version("silent", &fixture.err));
	ck_assert_int_eq(fixture.err.code, ZL_INTERNAL);
}
END_TEST

START_TEST(socket_is_private)
{
	struct stat status;

	ck_assert_int_eq(stat(fixture.socket_path, &status), 0);
	ck_assert_uint_eq(status.st_mode & 07777, 0660);
}
END_TEST

// ---- calls that end early

static void *exec_sync(int timeout_ms, const struct zl_cancel *token, struct zl_error *err)
{
	Runtime__V1__ExecSyncRequest request = RUNTIME__V1__EXEC_SYNC_REQUEST__INIT;
	zl_auto(arena) struct zl_arena arena = ZL_ARENA_INIT;

	return zl_rpc_client_call(fixture.client, &runtime__v1__runtime_service__descriptor,
	        "ExecSync", &request.base, &arena, timeout_ms, token, err);
}

static void *fire_when_started(void *token)
{
	rpc_fixture_await(fixture.started_fd);
	zl_cancel_fire(token);
	return NULL;
}

START_TEST(cancel_reaches_the_handler)
{
	struct zl_cancel token = ZL_CANCEL_INIT;
	pthread_t thread;

	ck_assert_int_eq(zl_cancel_init(&token, INT64_MAX, NULL, &fixture.err), 0);
	ck_assert_int_eq(pthread_create(&thread, NULL, fire_when_started, &token), 0);
	ck_assert_ptr_null(exec_sync(TIMEOUT_MS, &token, &fixture.err));
	ck_assert_int_eq(fixture.err.code, ZL_CANCELLED);
	rpc_fixture_await(fixture.ended_fd);
	ck_assert_int_eq(atomic_load(&fixture.ended_code), ZL_CANCELLED);
	ck_assert_int_eq(pthread_join(thread, NULL), 0);
	zl_cancel_release(&token);
}
END_TEST

START_TEST(deadline_reaches_the_handler)
{
	ck_assert_ptr_null(exec_sync(100, NULL, &fixture.err));
	ck_assert_int_eq(fixture.err.code, ZL_DEADLINE_EXCEEDED);
	// It may have come before a worker took the call up; if not, the handler ends.
	if (atomic_load(&fixture.ran) > 0) {
		rpc_fixture_await(fixture.ended_fd);
		ck_assert_int_ne(atomic_load(&fixture.ended_code), ZL_OK);
	}
	ck_assert_ptr_nonnull(version("still there", &fixture.err));
}
END_TEST

// ---- streams

static struct zl_rpc_stream *images(bool with_filter)
{
	Runtime__V1__StreamImagesRequest request = RUNTIME__V1__STREAM_IMAGES_REQUEST__INIT;
	Runtime__V1__ImageFilter filter = RUNTIME__V1__IMAGE_FILTER__INIT;
	struct zl_rpc_stream *stream;

	request.filter = with_filter ? &filter : NULL;
	stream = zl_rpc_client_stream(fixture.client, &runtime__v1__image_service__descriptor,
	        "StreamImages", &request.base, TIMEOUT_MS, &fixture.err);
	ck_assert_ptr_nonnull(stream);
	return stream;
}

START_TEST(stream_of_three)
{
	struct zl_rpc_stream *stream = images(_i == 1);
	Runtime__V1__StreamImagesResponse *message;

	for (int i = 0; i < 3; i++) {
		char name[32];

		message = zl_rpc_stream_next(stream, &fixture.arena, NULL, &fixture.err);
		ck_assert_msg(message != NULL, "%s", fixture.err.message);
		(void)snprintf(name, sizeof(name), "image-%d\xef\xbf\xbd", i);
		ck_assert_str_eq(message->images[0]->id, name);
	}
	message = zl_rpc_stream_next(stream, &fixture.arena, NULL, &fixture.err);
	ck_assert_ptr_null(message);
	ck_assert_int_eq(fixture.err.code, _i == 1 ? ZL_ABORTED : ZL_OK);
	zl_rpc_stream_close(stream);
}
END_TEST

static struct zl_rpc_stream *events(void)
{
	Runtime__V1__GetEventsRequest request = RUNTIME__V1__GET_EVENTS_REQUEST__INIT;
	struct zl_rpc_stream *stream =
	        zl_rpc_client_stream(fixture.client, &runtime__v1__runtime_service__descriptor,
	                "GetContainerEvents", &request.base, -1, &fixture.err);

	ck_assert_ptr_nonnull(stream);
	rpc_fixture_await(fixture.started_fd);
	return stream;
}

START_TEST(stream_waits_for_its_reader)
{
	struct zl_rpc_stream *stream = events();
	unsigned sent;

	// Other calls are served meanwhile, and give the stream time to run away, were it free to.
	for (int i = 0; i < 300; i++)
		ck_assert_ptr_nonnull(version("v1", &fixture.err));
	sent = atomic_load(&fixture.sent);
	ck_assert_msg(sent < 200, "%u messages of 64 KiB sent to a client that reads none", sent);
	for (int i = 0; i < 2000; i++) {
		zl_auto(arena) struct zl_arena arena = ZL_ARENA_INIT;
		Runtime__V1__ContainerEventResponse *event =
		        zl_rpc_stream_next(stream, &arena, NULL, &fixture.err);

		ck_assert_msg(event != NULL, "%d: %s", i, fixture.err.message);
		ck_assert_int_eq(event->created_at, i);
	}
	ck_assert_ptr_null(zl_rpc_stream_next(stream, &fixture.arena, NULL, &fixture.err));
	ck_assert_int_eq(fixture.err.code, ZL_OK);
	zl_rpc_stream_close(stream);
}
END_TEST

START_TEST(stream_ends_with_its_client)
{
	zl_rpc_stream_close(events());
	rpc_fixture_await(fixture.ended_fd);
	ck_assert_int_eq(atomic_load(&fixture.ended_code), ZL_CANCELLED);
	ck_assert_uint_lt(atomic_load(&fixture.sent), 2000);
}
END_TEST

// ---- many

static void *call_often(void *unused)
{
	for (int i = 0; i < 30; i++) {
		Runtime__V1__VersionRequest request = RUNTIME__V1__VERSION_REQUEST__INIT;
		zl_auto(arena) struct zl_arena arena = ZL_ARENA_INIT;
		struct zl_error err = ZL_ERROR_INIT;
		Runtime__V1__VersionResponse *response;

		request.version = "v1";
		response = ZL_CRI_CALL(fixture.client, runtime_service, Version, &request, &arena,
		        TIMEOUT_MS, &err);
		ck_assert_msg(response != NULL, "%s", err.message);
	}
	return unused;
}

START_TEST(sixty_four_clients)
{
	pthread_t threads[64];

	for (size_t i = 0; i < ZL_ARRAY_SIZE(threads); i++)
		ck_assert_int_eq(pthread_create(&threads[i], NULL, call_often, NULL), 0);
	for (size_t i = 0; i < ZL_ARRAY_SIZE(threads); i++)
		ck_assert_int_eq(pthread_join(threads[i], NULL), 0);
	ck_assert_uint_eq(atomic_load(&fixture.ran), 64 * 30);
}
END_TEST

static void *block_until_released(void *unused)
{
	Runtime__V1__ExecSyncRequest request = RUNTIME__V1__EXEC_SYNC_REQUEST__INIT;
	zl_auto(arena) struct zl_arena arena = ZL_ARENA_INIT;
	struct zl_error err = ZL_ERROR_INIT;
	void *reply = zl_rpc_client_call(fixture.client, &runtime__v1__runtime_service__descriptor,
	        "ExecSync", &request.base, &arena, -1, NULL, &err);

	ck_assert_msg(reply != NULL, "%s", err.message);
	return unused;
}

// 64 calls that block, on a pool that lets 16 of them run (loop 0) or all (loop 1).
START_TEST(blocked_calls_starve_nobody)
{
	unsigned running = _i == 0 ? 16 : 64;
	pthread_t threads[64];
	uint64_t one = 1;

	rpc_fixture_restart(_i == 0 ? 32 : 0);
	for (size_t i = 0; i < ZL_ARRAY_SIZE(threads); i++)
		ck_assert_int_eq(pthread_create(&threads[i], NULL, block_until_released, NULL), 0);
	for (unsigned i = 0; i < running; i++)
		rpc_fixture_await(fixture.started_fd);
	for (int i = 0; i < 20; i++)
		ck_assert_ptr_nonnull(version("v1", &fixture.err));
	ck_assert_uint_eq(atomic_load(&fixture.ran), running + 20);
	ck_assert_int_eq(write(fixture.release_fd, &one, sizeof(one)), sizeof(one));
	for (size_t i = 0; i < ZL_ARRAY_SIZE(threads); i++)
		ck_assert_int_eq(pthread_join(threads[i], NULL), 0);
	ck_assert_uint_eq(atomic_load(&fixture.ran), 64 + 20);
}
END_TEST

static TCase *calls_case(void)
{
	TCase *tcase = tcase_create("calls");

	tcase_set_timeout(tcase, 60);
	tcase_add_checked_fixture(tcase, rpc_fixture_setup, rpc_fixture_teardown);
	tcase_add_test(tcase, every_method_is_served);
	tcase_add_test(tcase, methods_without_handler_say_so);
	tcase_add_test(tcase, unimplemented_says_why);
	tcase_add_test(tcase, unary_call);
	tcase_add_test(tcase, peer_is_known);
	tcase_add_loop_test(tcase, every_code_arrives, ZL_CANCELLED, ZL_UNAUTHENTICATED + 1);
	tcase_add_test(tcase, silent_failure_is_internal);
	tcase_add_test(tcase, socket_is_private);
	tcase_add_test(tcase, cancel_reaches_the_handler);
	tcase_add_test(tcase, deadline_reaches_the_handler);
	tcase_add_loop_test(tcase, stream_of_three, 0, 2);
	tcase_add_test(tcase, stream_waits_for_its_reader);
	tcase_add_test(tcase, stream_ends_with_its_client);
	tcase_add_test(tcase, sixty_four_clients);
	tcase_add_loop_test(tcase, blocked_calls_starve_nobody, 0, 2);
	return tcase;
}

int main(void)
{
	Suite *suite = suite_create("rpc");
	SRunner *runner = srunner_create(suite);
	int failed;

	suite_add_tcase(suite, calls_case());
	suite_add_tcase(suite, rpc_faults_case());
	srunner_run_all(runner, CK_NORMAL);
	failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
