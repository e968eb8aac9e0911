// SPDX-License-Identifier: Apache-2.0
#include <check.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>

#include "base/cleanup.h"
#include "storage-driver/p9/control.h"
#include "storage-driver/p9/packet.h"
#include "unit/p9/client.h"

static struct client *c;
static int listener;
static pthread_t thread;
static char path[256];

static void *serve(void *argument)
{
	zl_p9_control_serve(listener, argument);
	return NULL;
}

static void setup(void)
{
	c = client_open();
	listener = zl_p9_control_listen(host_path(c, "socket", path), NULL);
	ck_assert_int_ge(listener, 0);
	ck_assert_int_eq(pthread_create(&thread, NULL, serve, &c->server), 0);
}

static void teardown(void)
{
	(void)shutdown(listener, SHUT_RDWR);
	pthread_join(thread, NULL);
	listener = zl_close(listener);
	client_close(c);
}

START_TEST(exports_come_and_go)
{
	zl_auto(fd) int fd = open(c->directory, O_PATH | O_CLOEXEC);
	struct zl_error err = ZL_ERROR_INIT;
	struct stat status;

	ck_assert_int_eq(stat(path, &status), 0);
	ck_assert_uint_eq(status.st_mode & 07777, 0600);
	ck_assert_int_eq(zl_p9_control_call(path, 'a', "new", fd, &err), 0);
	ck_assert_int_eq(zl_p9_control_call(path, 'a', "new", fd, &err), 0);
	ck_assert_int_eq(walk(c, ROOT_FID, 3, "new"), 0);
	ck_assert_int_eq(zl_p9_control_call(path, 'r', "new", -1, &err), 0);
	ck_assert_int_eq(zl_p9_control_call(path, 'r', "new", -1, &err), 0);
	ck_assert_int_eq(walk(c, ROOT_FID, 4, "new"), ENOENT);
}
END_TEST

START_TEST(mistakes_are_told)
{
	zl_auto(fd) int fd = open(c->directory, O_PATH | O_CLOEXEC);
	struct zl_error err = ZL_ERROR_INIT;
	char name[300];

	ck_assert_int_eq(zl_p9_control_call(path, 'a', "../x", fd, &err), -1);
	ck_assert_int_eq(err.code, ZL_INVALID_ARGUMENT);
	ck_assert_int_eq(zl_p9_control_call(path, 'a', "x", -1, &err), -1);
	ck_assert_int_eq(err.code, ZL_INVALID_ARGUMENT);
	ck_assert_int_eq(zl_p9_control_call(path, '?', "x", -1, &err), -1);
	memset(name, 'x', sizeof(name) - 1);
	name[sizeof(name) - 1] = '\0';
	ck_assert_int_eq(zl_p9_control_call(path, 'r', name, -1, &err), -1);
	ck_assert_int_eq(zl_p9_control_call("/nonexistent", 'r', "x", -1, &err), -1);
	ck_assert_int_eq(err.code, ZL_UNAVAILABLE);
}
END_TEST

// A peer that says nothing, or hangs up, holds up nobody for long.
START_TEST(rude_peers_do_no_harm)
{
	int quiet = zl_p9_control_connect(path, NULL);

	ck_assert_int_ge(quiet, 0);
	(void)zl_close(quiet);
	ck_assert_int_eq(zl_p9_control_call(path, 'r', "x", -1, NULL), 0);
}
END_TEST

START_TEST(the_kernel_tells_who_serves)
{
	zl_auto(fd) int pidfd = zl_p9_control_pidfd(path, NULL);

	ck_assert_int_ge(pidfd, 0);
	ck_assert_int_eq(zl_p9_control_pidfd("/nonexistent", NULL), -1);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("9P control");
	TCase *tcase = tcase_create("all");
	SRunner *runner = srunner_create(suite);
	int failed;

	tcase_add_checked_fixture(tcase, setup, teardown);
	tcase_add_test(tcase, exports_come_and_go);
	tcase_add_test(tcase, mistakes_are_told);
	tcase_add_test(tcase, rude_peers_do_no_harm);
	tcase_add_test(tcase, the_kernel_tells_who_serves);
	suite_add_tcase(suite, tcase);
	srunner_run_all(runner, CK_ENV);
	failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
