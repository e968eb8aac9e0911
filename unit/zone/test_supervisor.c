// SPDX-License-Identifier: Apache-2.0
//
// The real supervisor under `host`, with real containers by crun. Needs root and the programs of
// the build root.
#include <arpa/inet.h>
#include <check.h>
#include <netinet/in.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include "base/clock.h"
#include "base/file.h"
#include "unit/zone/pod.h"
#include "zone/client/stats.h"

static struct pod pod;

static void setup(void)
{
	pod_start(&pod);
}

static void teardown(void)
{
	pod_end(&pod);
}

static const char *text_of(const struct pod_stream *stream)
{
	return zl_buffer_string(&stream->text);
}

static void delete(const char *id)
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
	delete (pod_id(1));
	delete (pod_id(1)); // absent is success
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
	delete (pod_id(1));
}
END_TEST

// ---- connections to ports, of a listener of the test's

static int listener(uint16_t *ret_port)
{
	struct sockaddr_in address = {.sin_family = AF_INET};
	socklen_t size = sizeof(address);
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

	ck_assert_int_ge(fd, 0);
	address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	ck_assert_int_eq(bind(fd, (struct sockaddr *)&address, sizeof(address)), 0);
	ck_assert_int_eq(listen(fd, 8), 0);
	ck_assert_int_eq(getsockname(fd, (struct sockaddr *)&address, &size), 0);
	*ret_port = ntohs(address.sin_port);
	return fd;
}

static void connect_to(const char *id, uint16_t port)
{
	struct zl_error err = ZL_ERROR_INIT;

	ck_assert_msg(zl_zone_connect(pod.client, id, port, NULL, &err) == 0, "%s", err.message);
}

static void put(const char *id, const char *text)
{
	struct zl_error err = ZL_ERROR_INIT;
	size_t taken = 0;

	ck_assert_msg(zl_zone_stdin_put(pod.client, "", id, text, strlen(text), &taken, &err) == 0,
	        "%s", err.message);
	ck_assert_uint_eq(taken, strlen(text));
}

START_TEST(connection_goes_both_ways_and_half_closes)
{
	uint16_t port;
	zl_auto(fd) int fd = listener(&port);
	zl_auto(fd) int peer = -1;
	char text[16] = "";

	connect_to("c1", port);
	put("c1", "hello"); // perhaps before it is connected
	put("c1", "");
	peer = accept4(fd, NULL, NULL, SOCK_CLOEXEC);
	ck_assert_int_eq(recv(peer, text, 5, MSG_WAITALL), 5);
	ck_assert_str_eq(text, "hello");
	ck_assert_int_eq(recv(peer, text, 1, 0), 0); // its end
	ck_assert_int_eq(send(peer, "answer", 6, 0), 6);
	ck_assert_int_eq(shutdown(peer, SHUT_WR), 0);
	ck_assert_str_eq(text_of(pod_wait_eof(&pod, "", "c1", ZL_ZONE_STDOUT)), "answer");
	ck_assert_int_eq(pod_wait_exit(&pod, "", "c1").code, 0);
}
END_TEST

START_TEST(connection_to_nobody_says_so)
{
	struct zl_error err = ZL_ERROR_INIT;
	uint16_t port;
	int fd = listener(&port);

	(void)zl_close(fd);
	connect_to("c1", port);
	ck_assert_int_eq(pod_wait_exit(&pod, "", "c1").code, 1);
	(void)pod_wait_eof(&pod, "", "c1", ZL_ZONE_STDOUT);
	ck_assert_int_lt(zl_zone_connect(pod.client, "c2", 0, NULL, &err), 0);
	ck_assert_int_eq(err.code, ZL_INVALID_ARGUMENT);
}
END_TEST

START_TEST(connection_is_hung_up)
{
	struct zl_error err = ZL_ERROR_INIT;
	uint16_t port;
	zl_auto(fd) int fd = listener(&port);
	zl_auto(fd) int peer = -1;
	zl_auto(fd) int other = -1;
	char byte;

	connect_to("c1", port);
	peer = accept4(fd, NULL, NULL, SOCK_CLOEXEC);
	ck_assert_int_eq(zl_zone_hang_up(pod.client, "", "c1", &err), 0);
	ck_assert_int_eq(recv(peer, &byte, 1, 0), 0);
	// A daemon that dies leaves none either.
	connect_to("c2", port);
	other = accept4(fd, NULL, NULL, SOCK_CLOEXEC);
	pod_disconnect(&pod);
	pod_connect(&pod);
	ck_assert_int_eq(recv(other, &byte, 1, 0), 0);
}
END_TEST

START_TEST(connection_that_is_not_read_holds_back)
{
	static const char block[16 * 1024];
	struct zl_error err = ZL_ERROR_INIT;
	uint16_t port;
	zl_auto(fd) int fd = listener(&port);
	zl_auto(fd) int peer = -1;
	size_t total = 0;
	size_t taken = 1;

	connect_to("c1", port);
	peer = accept4(fd, NULL, NULL, SOCK_CLOEXEC);
	// Until the window is full: what the kernel's buffers take goes on being acknowledged, so
	// it is full for good only when they are.
	while (total < (size_t)64 << 20) {
		ck_assert_int_eq(
		        zl_zone_stdin_put(pod.client, "", "c1", block, sizeof(block), &taken, &err),
		        0);
		total += taken;
		if (taken == 0 && !pod_wait_input(&pod, 500))
			break;
	}
	ck_assert_uint_lt(total, (size_t)32 << 20);
	// Read by its peer it goes on.
	while (!pod_wait_input(&pod, 10)) {
		static char sink[65536];

		(void)recv(peer, sink, sizeof(sink), MSG_DONTWAIT);
	}
	ck_assert_int_eq(zl_zone_hang_up(pod.client, "", "c1", &err), 0);
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

START_TEST(delete_while_running)
{
	pod_run(&pod, pod_id(1), "echo up; sleep 1000", false);
	pod_wait_text(&pod, pod_id(1), NULL, "up");
	pod_exec(&pod, pod_id(1), "e1", "sleep 1000");
	delete (pod_id(1));
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

// ---- what is used, and new limits

static const Zl__Zone__Stats *ask_stats(bool detail)
{
	struct zl_cancel limit = ZL_CANCEL_INIT;
	struct zl_zone_question *question = NULL;
	const Zl__Zone__Stats *stats = NULL;
	struct zl_error err = ZL_ERROR_INIT;

	limit.deadline_ns = zl_clock_monotonic() + 30 * ZL_NS_PER_SECOND;
	ck_assert_int_eq(zl_zone_stats_ask(pod.client, "", detail, &question, &err), 0);
	ck_assert_msg(zl_zone_stats_wait(question, &limit, &stats, &err) == 0, "%s", err.message);
	return stats;
}

static const Zl__Zone__ContainerStats *stats_of(const Zl__Zone__Stats *stats, const char *id)
{
	for (size_t i = 0; i < stats->n_containers; i++) {
		if (strcmp(stats->containers[i]->id, id) == 0)
			return stats->containers[i];
	}
	return NULL;
}

START_TEST(usage)
{
	const Zl__Zone__Stats *stats;
	const Zl__Zone__ContainerStats *one;

	pod_run(&pod, pod_id(1),
	        "dd if=/dev/zero of=/written bs=1024 count=256 2>/dev/null; "
	        "i=0; while [ $i -lt 20000 ]; do i=$((i+1)); done; echo up; exec sleep 1000",
	        false);
	pod_create(&pod, pod_id(2), "exec sleep 1000", false, false);
	pod_wait_text(&pod, pod_id(1), NULL, "up");
	stats = ask_stats(true);
	// Only what runs has something to tell.
	ck_assert_uint_eq(stats->n_containers, 1);
	one = stats_of(stats, pod_id(1));
	ck_assert_ptr_nonnull(one);
	ck_assert_uint_gt(one->usage->cpu_ns, 0);
	ck_assert(one->usage->has_memory);
	ck_assert_uint_gt(one->usage->memory_usage, 0);
	ck_assert_uint_eq(one->usage->processes, 1);
	ck_assert_uint_gt(one->usage->open_files, 0);
	ck_assert_uint_gt(one->usage->open_files_limit, 0);
	ck_assert_uint_eq(stats->pod->cpu_ns, one->usage->cpu_ns);
	ck_assert_uint_eq(stats->pod->processes, 1);
	ck_assert_uint_gt(stats->fs_bytes, 0);
	zl_zone_stats_free(stats);
	// The answer to the first question may have been faster than the walk.
	do {
		stats = ask_stats(false);
		one = stats_of(stats, pod_id(1));
		if (one->layer_bytes > 0)
			break;
		zl_zone_stats_free(stats);
	} while (true);
	ck_assert(one->has_layer);
	ck_assert_uint_ge(one->layer_bytes, 256 * 1024);
	ck_assert_uint_ge(one->layer_inodes, 1);
	zl_zone_stats_free(stats);
}
END_TEST

// Many questions at once: more than may wait, and all are answered.
START_TEST(usage_asked_many_times)
{
	enum { QUESTIONS = 32 };
	struct zl_zone_question *questions[QUESTIONS];
	struct zl_error err = ZL_ERROR_INIT;

	pod_run(&pod, pod_id(1), "echo up; exec sleep 1000", false);
	pod_wait_text(&pod, pod_id(1), NULL, "up");
	for (int i = 0; i < QUESTIONS; i++)
		ck_assert_int_eq(zl_zone_stats_ask(pod.client, "", false, &questions[i], &err), 0);
	for (int i = 0; i < QUESTIONS; i++) {
		const Zl__Zone__Stats *stats = NULL;

		ck_assert_int_eq(zl_zone_stats_wait(questions[i], NULL, &stats, &err), 0);
		ck_assert_uint_eq(stats->n_containers, 1);
		zl_zone_stats_free(stats);
	}
}
END_TEST

static void cgroup_value(const char *id, const char *file, char out[static 64])
{
	zl_auto(buffer) struct zl_buffer text = ZL_BUFFER_INIT;
	char path[512];

	(void)snprintf(
	        path, sizeof(path), "/sys/fs/cgroup/%s/%s/%s", strrchr(pod.dir, '/') + 1, id, file);
	ck_assert_int_eq(zl_file_read(path, 64, &text, NULL), 0);
	(void)snprintf(out, 64, "%.*s", (int)strcspn(zl_buffer_string(&text), "\n"),
	        zl_buffer_string(&text));
}

// hugetlb is the one controller that every machine these tests run on has in version 2.
#define HUGE(limit) "{\"hugepageLimits\":[{\"pageSize\":\"2MB\",\"limit\":" limit "}]}"

START_TEST(new_limits)
{
	struct zl_error err = ZL_ERROR_INIT;
	char value[64];

	pod_create(&pod, pod_id(1), "echo up; exec sleep 1000", false, false);
	ck_assert_msg(
	        zl_zone_container_update(pod.client, pod_id(1), HUGE("4194304"), NULL, &err) == 0,
	        "%s", err.message);
	ck_assert_int_eq(zl_zone_container_start(
	                         pod.client, pod_id(1), &(int32_t){0}, &(int64_t){0}, NULL, &err),
	        0);
	cgroup_value(pod_id(1), "hugetlb.2MB.max", value);
	ck_assert_str_eq(value, "4194304");
	ck_assert_msg(
	        zl_zone_container_update(pod.client, pod_id(1), HUGE("8388608"), NULL, &err) == 0,
	        "%s", err.message);
	cgroup_value(pod_id(1), "hugetlb.2MB.max", value);
	ck_assert_str_eq(value, "8388608");
	// crun refuses: its words come back, and the container goes on.
	ck_assert_int_lt(zl_zone_container_update(pod.client, pod_id(1),
	                         "{\"unified\":{\"no.such.file\":\"1\"}}", NULL, &err),
	        0);
	ck_assert_int_eq(err.code, ZL_INTERNAL);
	ck_assert_ptr_nonnull(strstr(err.message, "update container"));
	pod_exec(&pod, pod_id(1), "e1", "echo alive");
	ck_assert_str_eq(text_of(pod_wait_eof(&pod, pod_id(1), "e1", ZL_ZONE_STDOUT)), "alive\n");
}
END_TEST

START_TEST(new_limits_refused)
{
	struct zl_error err = ZL_ERROR_INIT;

	ck_assert_int_lt(zl_zone_container_update(pod.client, pod_id(1), HUGE("0"), NULL, &err), 0);
	ck_assert_int_eq(err.code, ZL_NOT_FOUND);
	pod_run(&pod, pod_id(1), "exit 0", false);
	(void)pod_wait_exit(&pod, pod_id(1), NULL);
	ck_assert_int_lt(zl_zone_container_update(pod.client, pod_id(1), HUGE("0"), NULL, &err), 0);
	ck_assert_int_eq(err.code, ZL_FAILED_PRECONDITION);
	ck_assert_int_lt(zl_zone_container_update(pod.client, pod_id(1), "[", NULL, &err), 0);
	ck_assert_int_eq(err.code, ZL_INVALID_ARGUMENT);
}
END_TEST

// A delete that comes while crun updates waits for it.
START_TEST(delete_while_updating)
{
	struct zl_cancel now = ZL_CANCEL_INIT;
	struct zl_error err = ZL_ERROR_INIT;

	pod_run(&pod, pod_id(1), "echo up; exec sleep 1000", false);
	pod_wait_text(&pod, pod_id(1), NULL, "up");
	now.deadline_ns = 1;
	(void)zl_zone_container_update(pod.client, pod_id(1), HUGE("0"), &now, &err);
	delete (pod_id(1));
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
	tcase_add_test(tests, standard_input);
	tcase_add_test(tests, large_standard_input);
	tcase_add_test(tests, stdin_of_one_who_does_not_read);
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
	tcase_add_test(tests, terminal);
	tcase_add_test(tests, hang_up_is_the_end_of_stdio_and_kills_nothing);
	tcase_add_test(tests, connection_goes_both_ways_and_half_closes);
	tcase_add_test(tests, connection_to_nobody_says_so);
	tcase_add_test(tests, connection_is_hung_up);
	tcase_add_test(tests, connection_that_is_not_read_holds_back);
	tcase_add_test(tests, reconnect_loses_nothing);
	tcase_add_test(tests, exit_while_nobody_is_there);
	tcase_add_test(tests, slow_reader);
	tcase_add_test(tests, delete_while_running);
	tcase_add_test(tests, shared_pid_namespace);
	tcase_add_test(tests, out_of_memory);
	tcase_add_test(tests, usage);
	tcase_add_test(tests, usage_asked_many_times);
	tcase_add_test(tests, new_limits);
	tcase_add_test(tests, new_limits_refused);
	tcase_add_test(tests, delete_while_updating);
	suite_add_tcase(suite, tests);
	srunner_run_all(runner, CK_ENV);
	failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
