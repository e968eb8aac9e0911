// SPDX-License-Identifier: Apache-2.0
//
// The order and the words of a chain's ADD and DEL, with plugins that write down how they were
// called, and with some that misbehave.
#include <check.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/json.h"
#include "cni-bridge/attachment.h"
#include "cni-bridge/cni.h"
#include "recorder.h"

START_TEST(add_runs_the_chain)
{
	struct zl_cni *cni = open_cni(TIMEOUT_MS);
	struct zl_cni_pod pod = make_pod();
	zl_auto(cni_result) struct zl_cni_result result = {0};
	struct zl_error err = ZL_ERROR_INIT;

	(void)setenv("CNI_ARGS", "stale", 1); // NOLINT(concurrency-mt-unsafe): one thread here
	ck_assert_msg(zl_cni_add(cni, &pod, NULL, &result, &err) == 0, "%s", err.message);
	log_is("ADD one\nADD two\n");
	ck_assert_str_eq(result.interfaces[0].addresses[0].cidr, "10.1.2.3/24");
	// Neither was in the plugins' result.
	ck_assert_str_eq(result.interfaces[0].mac, "0e:00:00:00:00:07");
	ck_assert_uint_eq(result.interfaces[0].mtu, 1432);
	has(lab.bin, "one.ADD.env", "CNI_CONTAINERID=abc123\n");
	has(lab.bin, "one.ADD.env", "CNI_IFNAME=eth0\n");
	has(lab.bin, "one.ADD.env", lab.netns);
	has(lab.bin, "one.ADD.env",
	        "CNI_ARGS=IgnoreUnknown=1;K8S_POD_NAMESPACE=default;K8S_POD_NAME=web;"
	        "K8S_POD_INFRA_CONTAINER_ID=abc123;K8S_POD_UID=u-1\n");
	has_not(lab.bin, "one.ADD.env", "stale");
	has_not(lab.bin, "one.ADD.in", "prevResult");
	has_not(lab.bin, "one.ADD.in", "runtimeConfig");
	has(lab.bin, "two.ADD.in", "\"by\":\"one\"");
	has(lab.bin, "two.ADD.in", "\"hostPort\":8080");
	zl_cni_close(cni);
}
END_TEST

START_TEST(add_again_is_answered_from_the_cache)
{
	struct zl_cni *cni = open_cni(TIMEOUT_MS);
	struct zl_cni_pod pod = make_pod();
	zl_auto(cni_result) struct zl_cni_result first = {0};
	zl_auto(cni_result) struct zl_cni_result second = {0};
	zl_auto(cni_result) struct zl_cni_result cached = {0};
	struct zl_error err = ZL_ERROR_INIT;

	ck_assert_int_eq(zl_cni_cached(cni, "abc123", &cached, &err), -1);
	ck_assert_int_eq(err.code, ZL_NOT_FOUND);
	ck_assert_int_eq(zl_cni_add(cni, &pod, NULL, &first, &err), 0);
	zl_cni_close(cni);
	cni = open_cni(TIMEOUT_MS);
	ck_assert_int_eq(zl_cni_add(cni, &pod, NULL, &second, &err), 0);
	log_is("ADD one\nADD two\n");
	ck_assert_int_eq(zl_cni_cached(cni, "abc123", &cached, &err), 0);
	ck_assert_str_eq(cached.interfaces[0].addresses[0].cidr, "10.1.2.3/24");
	ck_assert_str_eq(cached.interfaces[0].mac, "0e:00:00:00:00:07");
	zl_cni_close(cni);
}
END_TEST

START_TEST(del_undoes_in_reverse_what_was_added)
{
	struct zl_cni *cni = open_cni(TIMEOUT_MS);
	struct zl_cni_pod pod = make_pod();
	zl_auto(cni_result) struct zl_cni_result result = {0};
	struct zl_error err = ZL_ERROR_INIT;

	ck_assert_int_eq(zl_cni_add(cni, &pod, NULL, &result, &err), 0);
	// The configuration may be gone or another one; ports are those of the ADD.
	lab_write(lab.conf, "10-pods.conflist", 0644, "{}");
	pod.port_count = 0;
	ck_assert_msg(zl_cni_del(cni, &pod, NULL, &err) == 0, "%s", err.message);
	log_is("ADD one\nADD two\nDEL two\nDEL one\n");
	has(lab.bin, "one.DEL.in", "\"by\":\"two\""); // the pod's result, for all
	has(lab.bin, "two.DEL.in", "\"hostPort\":8080");
	has(lab.bin, "two.DEL.env", lab.netns);
	ck_assert_int_eq(zl_cni_del(cni, &pod, NULL, &err), 0);
	log_is("ADD one\nADD two\nDEL two\nDEL one\n");
	zl_cni_close(cni);
}
END_TEST

START_TEST(del_without_the_namespace_names_none)
{
	struct zl_cni *cni = open_cni(TIMEOUT_MS);
	struct zl_cni_pod pod = make_pod();
	zl_auto(cni_result) struct zl_cni_result result = {0};
	struct zl_error err = ZL_ERROR_INIT;

	ck_assert_int_eq(zl_cni_add(cni, &pod, NULL, &result, &err), 0);
	ck_assert_int_eq(zl_netns_remove(lab.netns, &err), 0);
	ck_assert_int_eq(zl_netns_remove(lab.netns, &err), 0);
	pod.netns = NULL;
	ck_assert_msg(zl_cni_del(cni, &pod, NULL, &err) == 0, "%s", err.message);
	has_not(lab.bin, "two.DEL.env", "CNI_NETNS");
	zl_cni_close(cni);
}
END_TEST

START_TEST(before_0_4_del_has_no_result)
{
	struct zl_cni *cni = open_cni(TIMEOUT_MS);
	struct zl_cni_pod pod = make_pod();
	zl_auto(cni_result) struct zl_cni_result result = {0};
	struct zl_error err = ZL_ERROR_INIT;

	lab_write(lab.conf, "10-pods.conflist", 0644,
	        "{\"cniVersion\":\"0.3.1\",\"name\":\"pods\",\"plugins\":[{\"type\":\"one\"},"
	        "{\"type\":\"two\"}]}");
	ck_assert_int_eq(zl_cni_add(cni, &pod, NULL, &result, &err), 0);
	has(lab.bin, "two.ADD.in", "\"prevResult\":{\"cniVersion\":\"0.3.1\"");
	ck_assert_int_eq(zl_cni_del(cni, &pod, NULL, &err), 0);
	has_not(lab.bin, "two.DEL.in", "prevResult");
	zl_cni_close(cni);
}
END_TEST

// The plugin's own words arrive, and what the first plugin made is taken back.
START_TEST(failed_add_is_undone)
{
	struct zl_cni *cni = open_cni(TIMEOUT_MS);
	struct zl_cni_pod pod = make_pod();
	zl_auto(cni_result) struct zl_cni_result result = {0};
	struct zl_error err = ZL_ERROR_INIT;

	lab_write(lab.bin, "two.ADD.fail", 0644,
	        "{\"cniVersion\":\"0.4.0\",\"code\":11,\"msg\":\"agent\\nstarting\","
	        "\"details\":\"no socket\"}");
	ck_assert_int_eq(zl_cni_add(cni, &pod, NULL, &result, &err), -1);
	ck_assert_int_eq(err.code, ZL_UNAVAILABLE);
	ck_assert_str_eq(err.message, "set up network of pod default/web: plugin two ADD: "
	                              "agent starting (code 11): no socket");
	log_is("ADD one\nADD two\nDEL two\nDEL one\n");
	ck_assert_int_eq(zl_cni_cached(cni, "abc123", &result, &err), -1);
	ck_assert_int_eq(err.code, ZL_NOT_FOUND);
	zl_cni_close(cni);
}
END_TEST

// A DEL that fails is tried again by the next; the record stays until one succeeds.
START_TEST(failed_del_can_be_repeated)
{
	struct zl_cni *cni = open_cni(TIMEOUT_MS);
	struct zl_cni_pod pod = make_pod();
	zl_auto(cni_result) struct zl_cni_result result = {0};
	struct zl_error err = ZL_ERROR_INIT;

	ck_assert_int_eq(zl_cni_add(cni, &pod, NULL, &result, &err), 0);
	lab_write(lab.bin, "two.DEL.fail", 0644, "{\"code\":100,\"msg\":\"busy\"}");
	ck_assert_int_eq(zl_cni_del(cni, &pod, NULL, &err), -1);
	ck_assert_str_eq(err.message,
	        "take down network of pod default/web: plugin two DEL: busy (code 100)");
	log_is("ADD one\nADD two\nDEL two\n");
	lab_shell(NULL, "rm %s/two.DEL.fail", lab.bin);
	ck_assert_int_eq(zl_cni_del(cni, &pod, NULL, &err), 0);
	log_is("ADD one\nADD two\nDEL two\nDEL two\nDEL one\n");
	zl_cni_close(cni);
}
END_TEST

// What a crash in the middle of an ADD leaves is a record without a result.
START_TEST(half_made_add_is_undone_before_the_next)
{
	struct zl_cni *cni = open_cni(TIMEOUT_MS);
	struct zl_cni_pod pod = make_pod();
	zl_auto(conflist) struct zl_conflist list = ZL_CONFLIST_INIT;
	zl_auto(attachment) struct zl_attachment half = ZL_ATTACHMENT_INIT;
	zl_auto(cni_result) struct zl_cni_result result = {0};
	struct zl_error err = ZL_ERROR_INIT;

	ck_assert_int_eq(zl_conflist_parse("x", conflist, strlen(conflist), &list, &err), 0);
	ck_assert_int_eq(zl_attachment_make(&pod, &list, NULL, &half, &err), 0);
	ck_assert_int_eq(zl_attachment_store(lab.cache, &half, &err), 0);
	ck_assert_msg(zl_cni_add(cni, &pod, NULL, &result, &err) == 0, "%s", err.message);
	log_is("DEL two\nDEL one\nADD one\nADD two\n");
	zl_cni_close(cni);
}
END_TEST

// A daemon killed while it wrote the result down: the record has all of the ADD but its end.
START_TEST(torn_record_is_half_made)
{
	struct zl_cni *cni = open_cni(TIMEOUT_MS);
	struct zl_cni_pod pod = make_pod();
	zl_auto(cni_result) struct zl_cni_result first = {0};
	zl_auto(cni_result) struct zl_cni_result second = {0};
	struct zl_error err = ZL_ERROR_INIT;

	ck_assert_int_eq(zl_cni_add(cni, &pod, NULL, &first, &err), 0);
	lab_shell(NULL, "truncate -s -9 %s/abc123.json", lab.cache);
	ck_assert_int_eq(zl_cni_cached(cni, "abc123", &second, &err), -1);
	ck_assert_int_eq(err.code, ZL_NOT_FOUND);
	ck_assert_msg(zl_cni_add(cni, &pod, NULL, &second, &err) == 0, "%s", err.message);
	log_is("ADD one\nADD two\nDEL two\nDEL one\nADD one\nADD two\n");
	has_not(lab.bin, "one.DEL.in", "prevResult");
	zl_cni_close(cni);
}
END_TEST

// As a power failure may leave it. The network of now says whom to ask to let go of the pod.
START_TEST(damaged_record_is_undone_by_the_network_of_now)
{
	struct zl_cni *cni = open_cni(TIMEOUT_MS);
	struct zl_cni_pod pod = make_pod();
	zl_auto(cni_result) struct zl_cni_result result = {0};
	struct zl_error err = ZL_ERROR_INIT;

	ck_assert_int_eq(mkdir(lab.cache, 0700), 0);
	lab_write(lab.cache, "abc123.json", 0600, "");
	ck_assert_int_eq(zl_cni_cached(cni, "abc123", &result, &err), -1);
	ck_assert_int_eq(err.code, ZL_DATA_LOSS);
	message_has(&err, "cache/abc123.json");
	pod.netns = NULL;
	ck_assert_msg(zl_cni_del(cni, &pod, NULL, &err) == 0, "%s", err.message);
	log_is("DEL two\nDEL one\n");
	has(lab.bin, "one.DEL.env", "CNI_CONTAINERID=abc123\n");
	has_not(lab.bin, "one.DEL.env", "CNI_NETNS");
	lab_shell(NULL, "test -z \"$(ls %s)\"", lab.cache);
	lab_write(lab.cache, "abc123.json", 0600, "{\"format\":1,\"id\":\"abc123\"}");
	pod = make_pod();
	ck_assert_msg(zl_cni_add(cni, &pod, NULL, &result, &err) == 0, "%s", err.message);
	log_is("DEL two\nDEL one\nDEL two\nDEL one\nADD one\nADD two\n");
	zl_cni_close(cni);
}
END_TEST

START_TEST(damaged_record_without_a_network_is_named)
{
	struct zl_cni *cni = open_cni(TIMEOUT_MS);
	struct zl_cni_pod pod = make_pod();
	struct zl_error err = ZL_ERROR_INIT;

	ck_assert_int_eq(mkdir(lab.cache, 0700), 0);
	lab_write(lab.cache, "abc123.json", 0600, "");
	lab_shell(NULL, "rm %s/10-pods.conflist", lab.conf);
	ck_assert_int_eq(zl_cni_del(cni, &pod, NULL, &err), -1);
	ck_assert_int_eq(err.code, ZL_UNAVAILABLE);
	message_has(&err, "cache/abc123.json cannot be read");
	message_has(&err, "no network configuration");
	zl_cni_close(cni);
}
END_TEST

START_TEST(names_cannot_break_out)
{
	struct zl_cni *cni = open_cni(TIMEOUT_MS);
	struct zl_cni_pod pod = make_pod();
	zl_auto(cni_result) struct zl_cni_result result = {0};
	struct zl_error err = ZL_ERROR_INIT;

	pod.name = "web;K8S_POD_NAMESPACE=kube-system";
	ck_assert_int_eq(zl_cni_add(cni, &pod, NULL, &result, &err), -1);
	ck_assert_int_eq(err.code, ZL_INVALID_ARGUMENT);
	pod = make_pod();
	pod.sandbox_id = "../../etc/passwd";
	ck_assert_int_eq(zl_cni_add(cni, &pod, NULL, &result, &err), -1);
	ck_assert_int_eq(err.code, ZL_INVALID_ARGUMENT);
	ck_assert_int_eq(zl_cni_del(cni, &pod, NULL, &err), -1);
	log_is("");
	zl_cni_close(cni);
}
END_TEST

START_TEST(cancelled_add_is_undone)
{
	struct zl_cni *cni = open_cni(TIMEOUT_MS);
	struct zl_cni_pod pod = make_pod();
	zl_auto(cni_result) struct zl_cni_result result = {0};
	zl_auto(cancel) struct zl_cancel cancel = ZL_CANCEL_INIT;
	struct zl_error err = ZL_ERROR_INIT;

	ck_assert_int_eq(zl_cancel_init(&cancel, INT64_MAX, NULL, &err), 0);
	zl_cancel_fire(&cancel);
	ck_assert_int_eq(zl_cni_add(cni, &pod, &cancel, &result, &err), -1);
	ck_assert_int_eq(err.code, ZL_CANCELLED);
	log_is("DEL two\nDEL one\n");
	zl_cni_close(cni);
}
END_TEST

// ---- plugins that misbehave: the first of the chain

static void add_fails(struct zl_cni *cni, struct zl_error *err)
{
	struct zl_cni_pod pod = make_pod();
	struct zl_cni_result result = {0};

	ck_assert_int_eq(zl_cni_add(cni, &pod, NULL, &result, err), -1);
	ck_assert_ptr_null(result.interfaces);
	message_has(err, "set up network of pod default/web: plugin one ADD: ");
}

static void misbehave(const char *script, struct zl_error *err)
{
	struct zl_cni *cni = open_cni(TIMEOUT_MS);

	lab_write(lab.bin, "one", 0755, script);
	add_fails(cni, err);
	zl_cni_close(cni);
}

// Killed with all that it started: a descriptor that its child holds is closed.
START_TEST(hanging_plugin_is_killed_with_its_children)
{
	struct zl_cni *cni = open_cni(300);
	struct zl_error err = ZL_ERROR_INIT;
	struct pollfd fifo = {.events = POLLIN};
	char path[128];

	(void)snprintf(path, sizeof(path), "%s/fifo", lab.dir);
	ck_assert_int_eq(mkfifo(path, 0600), 0);
	fifo.fd = open(path, O_RDONLY | O_NONBLOCK | O_CLOEXEC);
	lab_write(lab.bin, "one", 0755,
	        "#!/bin/sh\n[ $CNI_COMMAND = ADD ] || exit 0\n"
	        "exec 9>$(dirname $0)/../fifo\necho x >&9\nsleep 1000 & sleep 1000\n");
	add_fails(cni, &err);
	ck_assert_int_eq(err.code, ZL_DEADLINE_EXCEEDED);
	ck_assert_int_eq(read(fifo.fd, path, sizeof(path)), 2); // it did run
	ck_assert_int_eq(poll(&fifo, 1, TIMEOUT_MS), 1);
	ck_assert_int_eq(read(fifo.fd, path, sizeof(path)), 0);
	(void)close(fifo.fd);
	zl_cni_close(cni);
}
END_TEST

START_TEST(dying_plugin)
{
	struct zl_error err = ZL_ERROR_INIT;

	misbehave("#!/bin/sh\n[ $CNI_COMMAND = ADD ] || exit 0\n"
	          "echo first >&2; echo 'panic: nil map' >&2; kill -9 $$\n",
	        &err);
	ck_assert_int_eq(err.code, ZL_INTERNAL);
	message_has(&err, "killed by signal 9 (Killed): panic: nil map");
}
END_TEST

START_TEST(failing_plugin_without_a_word)
{
	struct zl_error err = ZL_ERROR_INIT;

	misbehave("#!/bin/sh\n[ $CNI_COMMAND = ADD ] || exit 0\nexit 3\n", &err);
	message_has(&err, "exit status 3: it printed no reason");
}
END_TEST

START_TEST(plugin_that_prints_rubbish)
{
	struct zl_error err = ZL_ERROR_INIT;

	misbehave("#!/bin/sh\n[ $CNI_COMMAND = ADD ] || exit 0\necho '{\"ips\":'\n", &err);
	ck_assert_int_eq(err.code, ZL_INTERNAL);
	message_has(&err, "its output: line");
}
END_TEST

START_TEST(plugin_that_prints_nothing)
{
	struct zl_error err = ZL_ERROR_INIT;

	misbehave("#!/bin/sh\nexit 0\n", &err);
	message_has(&err, "it printed no result");
}
END_TEST

START_TEST(plugin_that_prints_a_gigabyte)
{
	struct zl_error err = ZL_ERROR_INIT;

	misbehave("#!/bin/sh\n[ $CNI_COMMAND = ADD ] || exit 0\nhead -c 1073741824 /dev/zero\n",
	        &err);
	ck_assert_int_eq(err.code, ZL_RESOURCE_EXHAUSTED);
}
END_TEST

// It claims an interface that it did not make.
START_TEST(plugin_that_lies)
{
	struct zl_cni *cni = open_cni(TIMEOUT_MS);
	struct zl_cni_pod pod = make_pod();
	struct zl_cni_result result = {0};
	struct zl_error err = ZL_ERROR_INIT;

	lab_write(lab.bin, "two", 0755,
	        "#!/bin/sh\n[ $CNI_COMMAND = ADD ] || exit 0\n"
	        "echo '{\"interfaces\":[{\"name\":\"eth7\",\"sandbox\":\"/x\"}]}'\n");
	ck_assert_int_eq(zl_cni_add(cni, &pod, NULL, &result, &err), -1);
	ck_assert_int_eq(err.code, ZL_NOT_FOUND);
	message_has(&err, "find interface eth7");
	zl_cni_close(cni);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("chain");
	TCase *tcase = tcase_create("all");
	SRunner *runner = srunner_create(suite);
	int failed;

	if (getuid() != 0) {
		(void)fprintf(stderr, "skipped: network namespaces need root\n");
		return 77;
	}
	tcase_add_checked_fixture(tcase, set_up, NULL);
	tcase_set_timeout(tcase, 60);
	tcase_add_test(tcase, add_runs_the_chain);
	tcase_add_test(tcase, add_again_is_answered_from_the_cache);
	tcase_add_test(tcase, del_undoes_in_reverse_what_was_added);
	tcase_add_test(tcase, del_without_the_namespace_names_none);
	tcase_add_test(tcase, before_0_4_del_has_no_result);
	tcase_add_test(tcase, failed_add_is_undone);
	tcase_add_test(tcase, failed_del_can_be_repeated);
	tcase_add_test(tcase, half_made_add_is_undone_before_the_next);
	tcase_add_test(tcase, torn_record_is_half_made);
	tcase_add_test(tcase, damaged_record_is_undone_by_the_network_of_now);
	tcase_add_test(tcase, damaged_record_without_a_network_is_named);
	tcase_add_test(tcase, names_cannot_break_out);
	tcase_add_test(tcase, cancelled_add_is_undone);
	tcase_add_test(tcase, hanging_plugin_is_killed_with_its_children);
	tcase_add_test(tcase, dying_plugin);
	tcase_add_test(tcase, failing_plugin_without_a_word);
	tcase_add_test(tcase, plugin_that_prints_rubbish);
	tcase_add_test(tcase, plugin_that_prints_nothing);
	tcase_add_test(tcase, plugin_that_prints_a_gigabyte);
	tcase_add_test(tcase, plugin_that_lies);
	suite_add_tcase(suite, tcase);
	srunner_run_all(runner, CK_NORMAL);
	failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
