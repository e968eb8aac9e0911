// SPDX-License-Identifier: Apache-2.0
//
// The supervisor: standard input and output, terminals, and what a connection that is lost does to
// them.
#include <check.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/file.h"
#include "unit/zone/supervisor.h"

START_TEST(standard_input)
{
	struct zl_error err = ZL_ERROR_INIT;

	pod_create(&pod, pod_id(1), "cat", true, false);
	// Before the start: it waits.
	ck_assert_int_eq(
	        zl_zone_stdin_write(pod.client, pod_id(1), NULL, "early ", 6, NULL, &err), 0);
	ck_assert_int_eq(zl_zone_container_start(
	                         pod.client, pod_id(1), &(int32_t){0}, &(int64_t){0}, NULL, &err),
	        0);
	ck_assert_int_eq(
	        zl_zone_stdin_write(pod.client, pod_id(1), NULL, "late", 4, NULL, &err), 0);
	ck_assert_int_eq(zl_zone_stdin_write(pod.client, pod_id(1), NULL, "", 0, NULL, &err), 0);
	ck_assert_str_eq(
	        text_of(pod_wait_eof(&pod, pod_id(1), NULL, ZL_ZONE_STDOUT)), "early late");
	ck_assert_int_eq(pod_wait_exit(&pod, pod_id(1), NULL).code, 0);
	ck_assert_int_lt(zl_zone_stdin_write(pod.client, pod_id(1), NULL, "x", 1, NULL, &err), 0);
	ck_assert_int_eq(err.code, ZL_FAILED_PRECONDITION);
}
END_TEST

// More than pipe and window hold: the writer is held back until the reader goes on.
START_TEST(large_standard_input)
{
	enum { SIZE = 1024 * 1024 };
	static char bytes[SIZE];
	struct zl_error err = ZL_ERROR_INIT;

	memset(bytes, 'x', SIZE);
	pod_run(&pod, pod_id(1), "md5sum", true);
	ck_assert_int_eq(
	        zl_zone_stdin_write(pod.client, pod_id(1), NULL, bytes, SIZE, NULL, &err), 0);
	ck_assert_int_eq(zl_zone_stdin_write(pod.client, pod_id(1), NULL, "", 0, NULL, &err), 0);
	ck_assert_str_eq(text_of(pod_wait_eof(&pod, pod_id(1), NULL, ZL_ZONE_STDOUT)),
	        "b561f87202d04959e37588ee05cf5b10  -\n");
}
END_TEST

START_TEST(stdin_of_one_who_does_not_read)
{
	struct zl_cancel limit = ZL_CANCEL_INIT;
	static char bytes[256 * 1024];
	struct zl_error err = ZL_ERROR_INIT;

	pod_run(&pod, pod_id(1), "echo up; sleep 1000", true);
	pod_wait_text(&pod, pod_id(1), NULL, "up");
	// The token is what ends the wait for room.
	limit.deadline_ns = zl_clock_monotonic() + 300 * ZL_NS_PER_MS;
	ck_assert_int_lt(zl_zone_stdin_write(
	                         pod.client, pod_id(1), NULL, bytes, sizeof(bytes), &limit, &err),
	        0);
	ck_assert_int_eq(err.code, ZL_DEADLINE_EXCEEDED);
	// Others are not held up by it.
	pod_exec(&pod, pod_id(1), "e1", "echo alive");
	ck_assert_str_eq(text_of(pod_wait_eof(&pod, pod_id(1), "e1", ZL_ZONE_STDOUT)), "alive\n");
}
END_TEST

START_TEST(terminal)
{
	struct zl_error err = ZL_ERROR_INIT;
	const struct pod_stream *out;

	pod_create(&pod, pod_id(1), "tty; read line; stty size; echo got $line", true, true);
	ck_assert_int_eq(zl_zone_container_start(
	                         pod.client, pod_id(1), &(int32_t){0}, &(int64_t){0}, NULL, &err),
	        0);
	pod_wait_text(&pod, pod_id(1), NULL, "/dev/");
	ck_assert_msg(zl_zone_resize(pod.client, pod_id(1), NULL, 120, 40, NULL, &err) == 0, "%s",
	        err.message);
	ck_assert_int_eq(
	        zl_zone_stdin_write(pod.client, pod_id(1), NULL, "word\n", 5, NULL, &err), 0);
	out = pod_wait_eof(&pod, pod_id(1), NULL, ZL_ZONE_STDOUT);
	ck_assert_ptr_nonnull(strstr(text_of(out), "40 120"));
	ck_assert_ptr_nonnull(strstr(text_of(out), "got word"));
	ck_assert_int_eq(pod_wait_exit(&pod, pod_id(1), NULL).code, 0);
}
END_TEST

// The daemon dies in the middle of a megabyte, five times: no byte is lost, none comes twice (the
// callback checks each offset).
// A command that tells what it sees of its stdio's end in a file of its container.
static void start_with(const char *exec_id, const char *script, bool tty)
{
	zl_auto(free) char *process = pod_process(script);
	struct zl_zone_exec exec = {.container_id = pod_id(1),
	        .exec_id = exec_id,
	        .oci_process = process,
	        .stdin_open = true,
	        .terminal = tty};
	struct zl_error err = ZL_ERROR_INIT;

	ck_assert_msg(zl_zone_exec_start(pod.client, &exec, NULL, &err) == 0, "%s", err.message);
	pod_wait_text(&pod, pod_id(1), exec_id, "up");
}

START_TEST(hang_up_is_the_end_of_stdio_and_kills_nothing)
{
	static const char wait[] = "until [ -e /tmp/told ]; do :; done; cat /tmp/told";
	struct zl_error err = ZL_ERROR_INIT;

	pod_run(&pod, pod_id(1), "mkdir -p /tmp; sleep 1000", false);
	start_with("pipes",
	        "echo up; cat >/dev/null; echo eof >/tmp/t; mv /tmp/t /tmp/told; "
	        "until [ -e /tmp/go ]; do :; done; echo alive >/tmp/a; mv /tmp/a /tmp/alive",
	        false);
	ck_assert_int_eq(zl_zone_hang_up(pod.client, pod_id(1), "pipes", &err), 0);
	pod_exec(&pod, pod_id(1), "wait1", wait);
	ck_assert_str_eq(text_of(pod_wait_eof(&pod, pod_id(1), "wait1", ZL_ZONE_STDOUT)), "eof\n");
	start_with("tty",
	        "trap 'echo hup >/tmp/t; mv /tmp/t /tmp/told; exit' HUP; rm /tmp/told; echo up; "
	        "while :; do sleep 0.1; done",
	        true);
	ck_assert_int_eq(zl_zone_hang_up(pod.client, pod_id(1), "tty", &err), 0);
	pod_exec(&pod, pod_id(1), "wait2", wait);
	ck_assert_str_eq(text_of(pod_wait_eof(&pod, pod_id(1), "wait2", ZL_ZONE_STDOUT)), "hup\n");
	// The first goes on, and one that is not there is fine.
	ck_assert_int_eq(zl_zone_hang_up(pod.client, pod_id(1), "nothing", &err), 0);
	pod_exec(&pod, pod_id(1), "wait3",
	        ">/tmp/go; until [ -e /tmp/alive ]; do :; done; cat /tmp/alive");
	ck_assert_str_eq(
	        text_of(pod_wait_eof(&pod, pod_id(1), "wait3", ZL_ZONE_STDOUT)), "alive\n");
	delete_container(pod_id(1));
}
END_TEST

START_TEST(reconnect_loses_nothing)
{
	struct zl_error err = ZL_ERROR_INIT;
	const struct pod_stream *out;
	unsigned long line = 0;
	char *at;

	pod_set_appetite(&pod, 70000);
	pod_run(&pod, pod_id(1), "seq 1 200000; echo done >&2", false);
	for (int round = 0; round < 5; round++) {
		pod_disconnect(&pod);
		pod_connect(&pod);
		ck_assert(zl_zone_client_hello(pod.client)->configured);
		pod_set_appetite(&pod, 150000 + (size_t)round * 10007);
		ck_assert_msg(zl_zone_stream_seek(pod.client, pod_id(1), ZL_ZONE_STDOUT,
		                      pod_length(&pod, pod_id(1), ZL_ZONE_STDOUT), &err) == 0,
		        "%s", err.message);
		ck_assert_int_eq(zl_zone_client_resume(pod.client, &err), 0);
	}
	pod_set_appetite(&pod, SIZE_MAX);
	ck_assert_int_eq(zl_zone_client_resume(pod.client, &err), 0);
	out = pod_wait_eof(&pod, pod_id(1), NULL, ZL_ZONE_STDOUT);
	ck_assert_uint_eq(out->text.length, 1288895);
	at = (char *)out->text.data;
	for (unsigned long i = 1; i <= 200000; i++) {
		line = strtoul(at, &at, 10);
		ck_assert_uint_eq(line, i);
	}
	ck_assert_str_eq(text_of(pod_wait_eof(&pod, pod_id(1), NULL, ZL_ZONE_STDERR)), "done\n");
}
END_TEST

START_TEST(exit_while_nobody_is_there)
{
	zl_auto(free) struct zl_zone_status *list = NULL;
	struct zl_error err = ZL_ERROR_INIT;
	size_t count = 0;

	pod_run(&pod, pod_id(1), "exit 4", false);
	pod_disconnect(&pod);
	pod_connect(&pod);
	// The list knows, or the event came or comes.
	ck_assert_int_eq(zl_zone_client_resume(pod.client, &err), 0);
	ck_assert_int_eq(zl_zone_container_list(pod.client, &list, &count, NULL, &err), 0);
	ck_assert_uint_eq(count, 1);
	if (list[0].state != ZL_ZONE_EXITED)
		ck_assert_int_eq(pod_wait_exit(&pod, pod_id(1), NULL).code, 4);
	else
		ck_assert_int_eq(list[0].exit_code, 4);
	(void)pod_wait_eof(&pod, pod_id(1), NULL, ZL_ZONE_STDOUT);
	// An end that is told twice would have ended the channel.
	ck_assert_int_eq(zl_zone_container_delete(pod.client, pod_id(1), NULL, &err), 0);
}
END_TEST

// A reader that stops holds the writer back; nothing is dropped, and others go on.
START_TEST(slow_reader)
{
	struct zl_error err = ZL_ERROR_INIT;

	pod_set_appetite(&pod, 0);
	pod_run(&pod, pod_id(1), "yes | head -c 500000; echo wrote >/dev/shm/done", false);
	pod_run(&pod, pod_id(2), "sleep 1000", false);
	pod_set_appetite(&pod, 0);
	ck_assert_int_eq(zl_zone_client_resume(pod.client, &err), 0);
	pod_set_appetite(&pod, SIZE_MAX);
	ck_assert_int_eq(zl_zone_client_resume(pod.client, &err), 0);
	ck_assert_uint_eq(pod_wait_eof(&pod, pod_id(1), NULL, ZL_ZONE_STDOUT)->text.length, 500000);
}
END_TEST

void supervisor_stdio_tests(TCase *tests)
{
	tcase_add_test(tests, standard_input);
	tcase_add_test(tests, large_standard_input);
	tcase_add_test(tests, stdin_of_one_who_does_not_read);
	tcase_add_test(tests, terminal);
	tcase_add_test(tests, hang_up_is_the_end_of_stdio_and_kills_nothing);
	tcase_add_test(tests, reconnect_loses_nothing);
	tcase_add_test(tests, exit_while_nobody_is_there);
	tcase_add_test(tests, slow_reader);
}
