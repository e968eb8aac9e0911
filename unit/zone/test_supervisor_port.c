// SPDX-License-Identifier: Apache-2.0
//
// The supervisor: connections to ports of the pod.
#include <arpa/inet.h>
#include <check.h>
#include <netinet/in.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include "base/clock.h"
#include "unit/zone/supervisor.h"

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

void supervisor_port_tests(TCase *tests)
{
	tcase_add_test(tests, connection_goes_both_ways_and_half_closes);
	tcase_add_test(tests, connection_to_nobody_says_so);
	tcase_add_test(tests, connection_is_hung_up);
	tcase_add_test(tests, connection_that_is_not_read_holds_back);
}
