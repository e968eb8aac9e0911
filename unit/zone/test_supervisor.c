// SPDX-License-Identifier: Apache-2.0
//
// The real supervisor under `host`, with real containers by crun. Needs root and the programs of
// the build root.
#include <check.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/file.h"
#include "unit/zone/supervisor.h"

struct pod pod;

static void setup(void)
{
	pod_start(&pod);
}

static void teardown(void)
{
	pod_end(&pod);
}

const char *text_of(const struct pod_stream *stream)
{
	return zl_buffer_string(&stream->text);
}

void delete_container(const char *id)
{
	struct zl_error err = ZL_ERROR_INIT;

	ck_assert_msg(zl_zone_container_delete(pod.client, id, NULL, &err) == 0, "%s", err.message);
}

START_TEST(output_and_exit_code)
{
	pod_run(&pod, pod_id(1), "echo out; echo err >&2; exit 3", false);
	ck_assert_int_eq(pod_wait_exit(&pod, pod_id(1), NULL).code, 3);
	ck_assert_str_eq(text_of(pod_wait_eof(&pod, pod_id(1), NULL, ZL_ZONE_STDOUT)), "out\n");
	ck_assert_str_eq(text_of(pod_wait_eof(&pod, pod_id(1), NULL, ZL_ZONE_STDERR)), "err\n");
	delete_container(pod_id(1));
	delete_container(pod_id(1)); // absent is success
}
END_TEST

START_TEST(pod_files)
{
	pod_run(&pod, pod_id(1),
	        "cat /etc/resolv.conf /etc/hostname; hostname; cat /etc/plain; "
	        "echo new >/etc/plain; cat /etc/plain; echo shared >/dev/shm/x",
	        false);
	ck_assert_str_eq(text_of(pod_wait_eof(&pod, pod_id(1), NULL, ZL_ZONE_STDOUT)),
	        "nameserver 192.0.2.1\ntestpod\ntestpod\ndata\nnew\n");
	// Another container has its own layer, and the same /dev/shm.
	pod_run(&pod, pod_id(2), "cat /etc/plain /dev/shm/x", false);
	ck_assert_str_eq(
	        text_of(pod_wait_eof(&pod, pod_id(2), NULL, ZL_ZONE_STDOUT)), "data\nshared\n");
}
END_TEST

START_TEST(exec_output_and_code)
{
	pod_run(&pod, pod_id(1), "sleep 1000", false);
	pod_exec(&pod, pod_id(1), "e1", "echo from exec; echo bad >&2; exit 5");
	pod_exec(&pod, pod_id(1), "e2", "kill -9 $$");
	ck_assert_int_eq(pod_wait_exit(&pod, pod_id(1), "e1").code, 5);
	ck_assert_int_eq(pod_wait_exit(&pod, pod_id(1), "e2").code, 137);
	ck_assert_str_eq(
	        text_of(pod_wait_eof(&pod, pod_id(1), "e1", ZL_ZONE_STDOUT)), "from exec\n");
	ck_assert_str_eq(text_of(pod_wait_eof(&pod, pod_id(1), "e1", ZL_ZONE_STDERR)), "bad\n");
}
END_TEST

START_TEST(exec_with_stdin)
{
	zl_auto(free) char *process = pod_process("cat; echo end");
	struct zl_zone_exec exec = {.container_id = pod_id(1),
	        .exec_id = "in",
	        .oci_process = process,
	        .stdin_open = true};
	struct zl_error err = ZL_ERROR_INIT;

	pod_run(&pod, pod_id(1), "sleep 1000", false);
	ck_assert_int_eq(zl_zone_exec_start(pod.client, &exec, NULL, &err), 0);
	ck_assert_int_eq(
	        zl_zone_stdin_write(pod.client, pod_id(1), "in", "hello\n", 6, NULL, &err), 0);
	ck_assert_int_eq(zl_zone_stdin_write(pod.client, pod_id(1), "in", "", 0, NULL, &err), 0);
	ck_assert_str_eq(
	        text_of(pod_wait_eof(&pod, pod_id(1), "in", ZL_ZONE_STDOUT)), "hello\nend\n");
	ck_assert_int_eq(pod_wait_exit(&pod, pod_id(1), "in").code, 0);
}
END_TEST

START_TEST(exec_kill)
{
	struct zl_error err = ZL_ERROR_INIT;

	pod_run(&pod, pod_id(1), "sleep 1000", false);
	pod_exec(&pod, pod_id(1), "e1", "echo up; sleep 1000");
	pod_wait_text(&pod, pod_id(1), "e1", "up");
	ck_assert_int_eq(zl_zone_exec_kill(pod.client, pod_id(1), "e1", NULL, &err), 0);
	ck_assert_int_eq(pod_wait_exit(&pod, pod_id(1), "e1").code, 137);
	// Its child held the pipe, and was killed as well.
	(void)pod_wait_eof(&pod, pod_id(1), "e1", ZL_ZONE_STDOUT);
	ck_assert_int_eq(zl_zone_exec_kill(pod.client, pod_id(1), "gone", NULL, &err), 0);
}
END_TEST

START_TEST(command_not_found)
{
	zl_auto(free) char *process = pod_process(NULL);
	struct zl_zone_exec exec = {
	        .container_id = pod_id(2), .exec_id = "e1", .oci_process = process};
	struct zl_error err = ZL_ERROR_INIT;
	struct pod_stream const *stderr_text;

	pod_create(&pod, pod_id(1), NULL, false, false);
	ck_assert_int_lt(zl_zone_container_start(
	                         pod.client, pod_id(1), &(int32_t){0}, &(int64_t){0}, NULL, &err),
	        0);
	ck_assert_int_eq(err.code, ZL_NOT_FOUND);
	ck_assert_ptr_nonnull(strstr(err.message, "/nope"));
	// crun's words are not the container's output.
	stderr_text = pod_wait_eof(&pod, pod_id(1), NULL, ZL_ZONE_STDERR);
	ck_assert_uint_eq(stderr_text->text.length, 0);

	pod_run(&pod, pod_id(2), "sleep 1000", false);
	zl_error_clear(&err);
	ck_assert_int_lt(zl_zone_exec_start(pod.client, &exec, NULL, &err), 0);
	ck_assert_int_eq(err.code, ZL_NOT_FOUND);
	// The same id can be used again.
	pod_exec(&pod, pod_id(2), "e1", "exit 0");
	ck_assert_int_eq(pod_wait_exit(&pod, pod_id(2), "e1").code, 0);
}
END_TEST

START_TEST(signals)
{
	struct zl_error err = ZL_ERROR_INIT;

	pod_run(&pod, pod_id(1), "trap 'exit 7' TERM; echo up; while :; do sleep 0.1; done", false);
	pod_wait_text(&pod, pod_id(1), NULL, "up");
	ck_assert_int_eq(
	        zl_zone_container_signal(pod.client, pod_id(1), SIGTERM, false, NULL, &err), 0);
	ck_assert_int_eq(pod_wait_exit(&pod, pod_id(1), NULL).code, 7);
	ck_assert_int_eq(
	        zl_zone_container_signal(pod.client, pod_id(1), SIGKILL, true, NULL, &err), 0);
	ck_assert_int_lt(
	        zl_zone_container_signal(pod.client, pod_id(1), SIGTERM, false, NULL, &err), 0);
	ck_assert_int_eq(err.code, ZL_NOT_FOUND);

	pod_run(&pod, pod_id(2), "sleep 1000", false);
	ck_assert_int_eq(
	        zl_zone_container_signal(pod.client, pod_id(2), SIGKILL, true, NULL, &err), 0);
	ck_assert_int_eq(pod_wait_exit(&pod, pod_id(2), NULL).code, 137);
}
END_TEST

// The kernel drops a signal that the first process of a pid namespace does not handle yet.
START_TEST(a_signal_waits_for_its_handler)
{
	struct zl_error err = ZL_ERROR_INIT;

	pod_run(&pod, pod_id(1),
	        "echo up; while [ ! -e /dev/shm/go ]; do :; done; trap 'exit 7' TERM; "
	        "while :; do sleep 0.1; done",
	        false);
	pod_wait_text(&pod, pod_id(1), NULL, "up");
	ck_assert_int_eq(
	        zl_zone_container_signal(pod.client, pod_id(1), SIGTERM, false, NULL, &err), 0);
	pod_exec(&pod, pod_id(1), "go", "touch /dev/shm/go");
	ck_assert_int_eq(pod_wait_exit(&pod, pod_id(1), NULL).code, 7);
}
END_TEST

// Whoever sees that it ended finds its output.
START_TEST(the_end_comes_after_the_output)
{
	enum { SIZE = 30000 };

	for (int i = 1; i <= 5; i++) {
		pod_run(&pod, pod_id(i), "yes | head -c 30000; echo wrong >&2", false);
		(void)pod_wait_exit(&pod, pod_id(i), NULL);
		ck_assert_uint_eq(pod_length(&pod, pod_id(i), ZL_ZONE_STDOUT), SIZE);
		ck_assert_uint_eq(pod_length(&pod, pod_id(i), ZL_ZONE_STDERR), 6);
	}
}
END_TEST

START_TEST(list_tells_all)
{
	zl_auto(free) struct zl_zone_status *list = NULL;
	struct zl_error err = ZL_ERROR_INIT;
	size_t count = 0;
	int seen = 0;

	pod_create(&pod, pod_id(1), "true", false, false);
	pod_run(&pod, pod_id(2), "sleep 1000", false);
	pod_run(&pod, pod_id(3), "exit 9", false);
	(void)pod_wait_exit(&pod, pod_id(3), NULL);
	ck_assert_int_eq(zl_zone_container_list(pod.client, &list, &count, NULL, &err), 0);
	ck_assert_uint_eq(count, 3);
	for (size_t i = 0; i < count; i++) {
		if (strcmp(list[i].id, pod_id(1)) == 0) {
			ck_assert_int_eq(list[i].state, ZL_ZONE_CREATED);
			seen |= 1;
		} else if (strcmp(list[i].id, pod_id(2)) == 0) {
			ck_assert_int_eq(list[i].state, ZL_ZONE_STARTED);
			ck_assert_int_gt(list[i].pid, 0);
			seen |= 2;
		} else {
			ck_assert_int_eq(list[i].state, ZL_ZONE_EXITED);
			ck_assert_int_eq(list[i].exit_code, 9);
			seen |= 4;
		}
	}
	ck_assert_int_eq(seen, 7);
}
END_TEST

START_TEST(refusals)
{
	const char *files[2];
	const char *absent[] = {"/nonexistent.erofs", NULL};
	zl_auto(free) char *spec = pod_spec(pod_id(1), "true");
	struct zl_zone_container container = {
	        .id = pod_id(1), .rootfs = {.image_files = absent}, .oci_spec = spec, .user = ""};
	struct zl_zone_image_volume volume = {.sub_path = ""};
	struct zl_error err = ZL_ERROR_INIT;

	ck_assert_int_lt(zl_zone_container_create(pod.client, &container, NULL, NULL, &err), 0);
	ck_assert_ptr_nonnull(strstr(err.message, "/nonexistent.erofs"));
	container.rootfs = pod_rootfs(&pod, files);
	container.oci_spec = "{";
	ck_assert_int_lt(zl_zone_container_create(pod.client, &container, NULL, NULL, &err), 0);
	ck_assert_int_eq(err.code, ZL_INVALID_ARGUMENT);
	container.oci_spec = spec;
	container.user = "nobody-knows";
	ck_assert_int_lt(zl_zone_container_create(pod.client, &container, NULL, NULL, &err), 0);
	ck_assert_int_eq(err.code, ZL_INVALID_ARGUMENT);
	ck_assert_ptr_nonnull(strstr(err.message, "nobody-knows"));
	container.user = "";
	container.image_volumes = &volume;
	container.image_volume_count = 1;
	ck_assert_int_lt(zl_zone_container_create(pod.client, &container, NULL, NULL, &err), 0);
	ck_assert_ptr_nonnull(strstr(err.message, "neither an image device nor image files"));
	volume.image_files = absent;
	volume.image_device = "/dev/xvdz";
	ck_assert_int_lt(zl_zone_container_create(pod.client, &container, NULL, NULL, &err), 0);
	ck_assert_int_eq(err.code, ZL_INVALID_ARGUMENT);
	// Nothing of the failed ones is in the way.
	container.image_volume_count = 0;
	ck_assert_int_eq(zl_zone_container_create(pod.client, &container, NULL, NULL, &err), 0);
	ck_assert_int_lt(zl_zone_container_create(pod.client, &container, NULL, NULL, &err), 0);
	ck_assert_int_eq(err.code, ZL_ALREADY_EXISTS);
	ck_assert_int_lt(zl_zone_container_start(
	                         pod.client, pod_id(9), &(int32_t){0}, &(int64_t){0}, NULL, &err),
	        0);
	ck_assert_int_eq(err.code, ZL_NOT_FOUND);
}
END_TEST

START_TEST(users)
{
	const char *files[2];
	zl_auto(free) char *spec = pod_spec(pod_id(1), "id -u; id -g; id -G");
	const uint32_t supplemental[] = {2000};
	struct zl_zone_container container = {.id = pod_id(1),
	        .rootfs = pod_rootfs(&pod, files),
	        .oci_spec = spec,
	        .user = "app",
	        .supplemental_groups = supplemental,
	        .supplemental_group_count = 1,
	        .merge_groups = true};
	struct zl_zone_user user = {0};
	struct zl_error err = ZL_ERROR_INIT;

	ck_assert_int_eq(zl_zone_container_create(pod.client, &container, &user, NULL, &err), 0);
	ck_assert_uint_eq(user.uid, 1000);
	ck_assert_uint_eq(user.gid, 1001);
	ck_assert_int_eq(zl_zone_container_start(
	                         pod.client, pod_id(1), &(int32_t){0}, &(int64_t){0}, NULL, &err),
	        0);
	ck_assert_str_eq(text_of(pod_wait_eof(&pod, pod_id(1), NULL, ZL_ZONE_STDOUT)),
	        "1000\n1001\n1001 1005 2000\n");
}
END_TEST

START_TEST(readonly_root)
{
	const char *files[2];
	zl_auto(free) char *spec =
	        pod_spec(pod_id(1), "touch /etc/new 2>/dev/null && echo written || echo refused");
	struct zl_zone_container container = {
	        .id = pod_id(1), .rootfs = pod_rootfs(&pod, files), .oci_spec = spec, .user = ""};
	struct zl_error err = ZL_ERROR_INIT;

	container.rootfs.readonly = true;
	ck_assert_int_eq(zl_zone_container_create(pod.client, &container, NULL, NULL, &err), 0);
	ck_assert_int_eq(zl_zone_container_start(
	                         pod.client, pod_id(1), &(int32_t){0}, &(int64_t){0}, NULL, &err),
	        0);
	ck_assert_str_eq(text_of(pod_wait_eof(&pod, pod_id(1), NULL, ZL_ZONE_STDOUT)), "refused\n");
}
END_TEST

START_TEST(delete_while_running)
{
	pod_run(&pod, pod_id(1), "echo up; sleep 1000", false);
	pod_wait_text(&pod, pod_id(1), NULL, "up");
	pod_exec(&pod, pod_id(1), "e1", "sleep 1000");
	delete_container(pod_id(1));
	ck_assert_int_eq(pod_wait_exit(&pod, pod_id(1), NULL).code, 137);
	// The same id again is a new container.
	pod_forget(&pod, pod_id(1));
	pod_run(&pod, pod_id(1), "exit 0", false);
}
END_TEST

START_TEST(shared_pid_namespace)
{
	const char *files[2];
	zl_auto(free) char *spec = pod_spec(pod_id(1), "ps; sleep 1000");
	char *own = strstr(spec, "{\"type\":\"pid\"}");
	zl_auto(buffer) struct zl_buffer changed = ZL_BUFFER_INIT;
	struct zl_zone_container container = {
	        .id = pod_id(1), .rootfs = pod_rootfs(&pod, files), .user = ""};
	struct zl_error err = ZL_ERROR_INIT;

	ck_assert_ptr_nonnull(own);
	ck_assert_int_eq(zl_buffer_printf(&changed, &err,
	                         "%.*s{\"type\":\"pid\",\"path\":\"zonelet:pod\"}%s",
	                         (int)(own - spec), spec, own + strlen("{\"type\":\"pid\"}")),
	        0);
	container.oci_spec = zl_buffer_string(&changed);
	ck_assert_int_eq(zl_zone_container_create(pod.client, &container, NULL, NULL, &err), 0);
	ck_assert_msg(zl_zone_container_start(
	                      pod.client, pod_id(1), &(int32_t){0}, &(int64_t){0}, NULL, &err) == 0,
	        "%s", err.message);
	// Its first process is the pod's, not its own shell.
	pod_wait_text(&pod, pod_id(1), NULL, pod.zone != NULL ? "init" : "pause");
	ck_assert_int_eq(
	        zl_zone_container_signal(pod.client, pod_id(1), SIGKILL, true, NULL, &err), 0);
	ck_assert_int_eq(pod_wait_exit(&pod, pod_id(1), NULL).code, 137);
}
END_TEST

// Whether containers can be given a limit here: not on a machine with version 1 hierarchies.
static bool has_memory_controller(void)
{
	zl_auto(buffer) struct zl_buffer text = ZL_BUFFER_INIT;

	return pod.zone != NULL ||
	       (zl_file_read("/sys/fs/cgroup/cgroup.controllers", 4096, &text, NULL) == 0 &&
	               strstr(zl_buffer_string(&text), "memory") != NULL);
}

START_TEST(out_of_memory)
{
	const char *files[2];
	zl_auto(free) char *spec = pod_spec(pod_id(1), "tail /dev/zero");
	zl_auto(buffer) struct zl_buffer limited = ZL_BUFFER_INIT;
	char *part = strstr(spec, "\"cgroupsPath\"");
	struct zl_zone_container container = {
	        .id = pod_id(1), .rootfs = pod_rootfs(&pod, files), .user = ""};
	struct zl_error err = ZL_ERROR_INIT;
	struct pod_exit gone;

	if (!has_memory_controller())
		return;
	ck_assert_int_eq(zl_buffer_printf(&limited, &err,
	                         "%.*s\"resources\":{\"memory\":{\"limit\":16777216}},%s",
	                         (int)(part - spec), spec, part),
	        0);
	container.oci_spec = zl_buffer_string(&limited);
	ck_assert_int_eq(zl_zone_container_create(pod.client, &container, NULL, NULL, &err), 0);
	ck_assert_msg(zl_zone_container_start(
	                      pod.client, pod_id(1), &(int32_t){0}, &(int64_t){0}, NULL, &err) == 0,
	        "%s", err.message);
	gone = pod_wait_exit(&pod, pod_id(1), NULL);
	ck_assert_int_eq(gone.code, 137);
	ck_assert(gone.oom);
}
END_TEST

int main(int argc, char **argv)
{
	Suite *suite = suite_create("supervisor");
	TCase *tests = tcase_create("containers");
	SRunner *runner = srunner_create(suite);
	int failed;

	if (argc == 3 && strcmp(argv[1], "--image") == 0) {
		struct zl_error err = ZL_ERROR_INIT;

		if (pod_make_image(argv[2], &err) == 0)
			return EXIT_SUCCESS;
		(void)fprintf(stderr, "%s\n", err.message);
		return EXIT_FAILURE;
	}
	// An own process for each test costs nothing here, and shows what a test leaves behind.
	tcase_add_checked_fixture(tests, setup, teardown);
	tcase_set_timeout(tests, 120);
	tcase_add_test(tests, output_and_exit_code);
	tcase_add_test(tests, pod_files);
	tcase_add_test(tests, exec_output_and_code);
	tcase_add_test(tests, exec_with_stdin);
	tcase_add_test(tests, exec_kill);
	tcase_add_test(tests, command_not_found);
	tcase_add_test(tests, signals);
	tcase_add_test(tests, a_signal_waits_for_its_handler);
	tcase_add_test(tests, the_end_comes_after_the_output);
	tcase_add_test(tests, list_tells_all);
	tcase_add_test(tests, refusals);
	tcase_add_test(tests, users);
	tcase_add_test(tests, readonly_root);
	tcase_add_test(tests, delete_while_running);
	tcase_add_test(tests, shared_pid_namespace);
	tcase_add_test(tests, out_of_memory);
	supervisor_stdio_tests(tests);
	supervisor_port_tests(tests);
	supervisor_limits_tests(tests);
	suite_add_tcase(suite, tests);
	srunner_run_all(runner, CK_ENV);
	failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
