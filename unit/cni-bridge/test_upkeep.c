// SPDX-License-Identifier: Apache-2.0
//
// What is asked of plugins beside ADD and DEL, and when: STATUS and the directory of
// configurations, CHECK, GC, and what is found after a restart.
#include <check.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "cni-bridge/cni.h"
#include "cni-bridge/netns.h"
#include "recorder.h"

// ---- status

START_TEST(status_follows_the_directory)
{
	struct zl_cni *cni = open_cni(TIMEOUT_MS);

	status_is(cni, NULL);
	lab_shell(NULL, "rm %s/10-pods.conflist", lab.conf);
	status_is(cni, "no network configuration in /mnt/");
	lab_shell(NULL, "rmdir %s", lab.conf);
	status_is(cni, "no network configuration in /mnt/");
	ck_assert_int_eq(mkdir(lab.conf, 0755), 0);
	lab_write(lab.conf, "20-pods.conf", 0644,
	        "{\"cniVersion\":\"1.0.0\",\"name\":\"a\","
	        "\"type\":\"one\"}");
	status_is(cni, NULL);
	lab_write(lab.conf, "10-x.conflist", 0644, "{");
	status_is(cni, "10-x.conflist: line 1");
	lab_write(lab.conf, "05-x.conflist", 0644,
	        "{\"cniVersion\":\"1.0.0\",\"name\":\"b\","
	        "\"plugins\":[{\"type\":\"none\"}]}");
	status_is(cni, "network \"b\": network plugin \"none\" is not in /nonexistent:/mnt/");
	lab_write(lab.bin, "none", 0755, "#!/bin/sh\n");
	status_is(cni, NULL);
	lab_write(lab.conf, "05-x.conflist", 0644,
	        "{\"cniVersion\":\"1.0.0\",\"name\":\"b\","
	        "\"plugins\":[{\"type\":\"none\","
	        "\"ipam\":{\"type\":\"leases\"}}]}");
	status_is(cni, "network plugin \"leases\" is not in");
	lab_write(lab.bin, "leases", 0755, "#!/bin/sh\n");
	status_is(cni, NULL);
	lab_shell(NULL, "mv %s %s.old", lab.conf, lab.conf);
	status_is(cni, "no network configuration");
	lab_shell(NULL, "mv %s.old %s", lab.conf, lab.conf);
	status_is(cni, NULL);
	zl_cni_close(cni);
}
END_TEST

START_TEST(status_asks_plugins_since_1_1)
{
	struct zl_cni *cni = open_cni(TIMEOUT_MS);

	lab_write(lab.conf, "10-pods.conflist", 0644,
	        "{\"cniVersion\":\"1.1.0\",\"name\":\"pods\",\"plugins\":[{\"type\":\"one\"}]}");
	lab_write(lab.bin, "one.STATUS.fail", 0644, "{\"code\":50,\"msg\":\"no agent\"}");
	status_is(cni, "plugin one STATUS: no agent (code 50)");
	lab_shell(NULL, "rm %s/one.STATUS.fail", lab.bin);
	status_is(cni, NULL);
	status_is(cni, NULL);
	log_is("STATUS one\nSTATUS one\n"); // the second "ready" was still good
	zl_cni_close(cni);
}
END_TEST

// ---- CHECK

START_TEST(check_asks_with_the_result_of_the_add)
{
	struct zl_cni *cni = open_cni(TIMEOUT_MS);
	struct zl_cni_pod pod = make_pod();
	zl_auto(cni_result) struct zl_cni_result result = {0};
	struct zl_error err = ZL_ERROR_INIT;

	ck_assert_int_eq(zl_cni_check(cni, "abc123", NULL, &err), -1);
	ck_assert_int_eq(err.code, ZL_NOT_FOUND);
	ck_assert_int_eq(zl_cni_add(cni, &pod, NULL, &result, &err), 0);
	lab_write(lab.conf, "10-pods.conflist", 0644, "{}"); // it is asked by that of the ADD
	ck_assert_msg(zl_cni_check(cni, "abc123", NULL, &err) == 0, "%s", err.message);
	log_is("ADD one\nADD two\nCHECK one\nCHECK two\n");
	has(lab.bin, "one.CHECK.in", "\"by\":\"two\"");
	has(lab.bin, "two.CHECK.in", "\"hostPort\":8080");
	has(lab.bin, "one.CHECK.env", "CNI_CONTAINERID=abc123\n");
	has(lab.bin, "one.CHECK.env", lab.netns);
	lab_write(lab.bin, "one.CHECK.fail", 0644, "{\"code\":100,\"msg\":\"eth0 is gone\"}");
	ck_assert_int_eq(zl_cni_check(cni, "abc123", NULL, &err), -1);
	message_has(&err, "plugin one CHECK: eth0 is gone (code 100)");
	log_is("ADD one\nADD two\nCHECK one\nCHECK two\nCHECK one\n");
	zl_cni_close(cni);
}
END_TEST

static void check_is_not_run(const char *network)
{
	struct zl_cni *cni = open_cni(TIMEOUT_MS);
	struct zl_cni_pod pod = make_pod();
	zl_auto(cni_result) struct zl_cni_result result = {0};
	struct zl_error err = ZL_ERROR_INIT;

	lab_write(lab.conf, "10-pods.conflist", 0644, network);
	ck_assert_msg(zl_cni_add(cni, &pod, NULL, &result, &err) == 0, "%s", err.message);
	ck_assert_msg(zl_cni_check(cni, "abc123", NULL, &err) == 0, "%s", err.message);
	ck_assert_int_eq(zl_cni_del(cni, &pod, NULL, &err), 0);
	zl_cni_close(cni);
}

START_TEST(check_where_there_is_none)
{
	check_is_not_run("{\"cniVersion\":\"0.3.1\",\"name\":\"pods\","
	                 "\"plugins\":[{\"type\":\"one\"}]}");
	check_is_not_run("{\"cniVersion\":\"1.0.0\",\"name\":\"pods\",\"disableCheck\":true,"
	                 "\"plugins\":[{\"type\":\"one\"}]}");
	log_is("ADD one\nDEL one\nADD one\nDEL one\n");
}
END_TEST

// ---- GC

// The sandboxes that there are, as the caller of zl_cni_gc knows them.
static bool is_known(void *data, const char *sandbox_id)
{
	for (const char *const *each = data; *each != NULL; each++) {
		if (strcmp(*each, sandbox_id) == 0)
			return true;
	}
	return false;
}

static int gc(struct zl_cni *cni, const char *known, struct zl_error *err)
{
	const char *all[] = {known, NULL};

	return zl_cni_gc(cni, is_known, all, NULL, err);
}

static void add_pod(struct zl_cni *cni, const char *id, char *netns, size_t size)
{
	struct zl_cni_pod pod = make_pod();
	zl_auto(cni_result) struct zl_cni_result result = {0};
	struct zl_error err = ZL_ERROR_INIT;

	(void)snprintf(netns, size, "%s/ns-%s", lab.dir, id);
	pod.sandbox_id = id;
	pod.netns = netns;
	ck_assert_msg(zl_netns_create(netns, &err) == 0, "%s", err.message);
	ck_assert_msg(zl_cni_add(cni, &pod, NULL, &result, &err) == 0, "%s", err.message);
}

START_TEST(gc_deletes_pods_that_are_gone_and_tells_plugins_of_the_others)
{
	struct zl_cni *cni = open_cni(TIMEOUT_MS);
	struct zl_error err = ZL_ERROR_INIT;
	zl_auto(free) char *request = NULL;
	char netns[2][128];

	lab_write(lab.conf, "10-pods.conflist", 0644,
	        "{\"cniVersion\":\"1.1.0\",\"name\":\"pods\",\"plugins\":[{\"type\":\"one\","
	        "\"cni.dev/valid-attachments\":\"forged\"},{\"type\":\"two\"}]}");
	add_pod(cni, "stays", netns[0], sizeof(netns[0]));
	add_pod(cni, "gone", netns[1], sizeof(netns[1]));
	forget_log();
	ck_assert_msg(gc(cni, "stays", &err) == 0, "%s", err.message);
	log_is("DEL two\nDEL one\nGC one\nGC two\n");
	has(lab.bin, "one.DEL.env", "CNI_CONTAINERID=gone\n");
	ck_assert(zl_netns_exists(netns[0]));
	ck_assert(!zl_netns_exists(netns[1]));
	has(lab.bin, "one.GC.in",
	        "\"cni.dev/valid-attachments\":[{\"containerID\":\"stays\",\"ifname\":\"eth0\"}]");
	has(lab.bin, "two.GC.in", "\"cni.dev/attachments\":[{\"containerID\":\"stays\"");
	has(lab.bin, "one.GC.env", "CNI_PATH=");
	has_not(lab.bin, "one.GC.env", "CNI_CONTAINERID");
	has_not(lab.bin, "one.GC.env", "CNI_IFNAME");
	has_not(lab.bin, "one.ADD.in", "cni.dev/");
	request = lab_read(lab.bin, "one.GC.in");
	ck_assert_ptr_null(strstr(request, "gone"));
	zl_cni_close(cni);
}
END_TEST

// One that fails keeps nothing from the others, and is tried again by the next.
START_TEST(gc_goes_on_after_failures)
{
	struct zl_cni *cni = open_cni(TIMEOUT_MS);
	struct zl_error err = ZL_ERROR_INIT;
	char netns[128];

	lab_write(lab.conf, "10-pods.conflist", 0644,
	        "{\"cniVersion\":\"1.1.0\",\"name\":\"pods\",\"plugins\":[{\"type\":\"one\"},"
	        "{\"type\":\"two\"}]}");
	add_pod(cni, "gone", netns, sizeof(netns));
	lab_write(lab.bin, "two.DEL.fail", 0644, "{\"code\":100,\"msg\":\"busy\"}");
	lab_write(lab.bin, "one.GC.fail", 0644, "{\"code\":100,\"msg\":\"no database\"}");
	forget_log();
	ck_assert_int_eq(gc(cni, "stays", &err), -1);
	message_has(&err, "2 of 2 failed, the first: sandbox gone, which is gone: plugin two DEL: "
	                  "busy (code 100)");
	log_is("DEL two\nGC one\nGC two\n");
	has(lab.bin, "two.GC.in", "\"cni.dev/valid-attachments\":[]");
	ck_assert(zl_netns_exists(netns));
	lab_shell(NULL, "rm %s/two.DEL.fail %s/one.GC.fail", lab.bin, lab.bin);
	forget_log();
	ck_assert_msg(gc(cni, "stays", &err) == 0, "%s", err.message);
	log_is("DEL two\nDEL one\nGC one\nGC two\n");
	ck_assert(!zl_netns_exists(netns));
	forget_log();
	ck_assert_int_eq(gc(cni, "stays", &err), 0);
	log_is("GC one\nGC two\n");
	zl_cni_close(cni);
}
END_TEST

START_TEST(gc_of_plugins_where_there_is_none)
{
	struct zl_cni *cni = open_cni(TIMEOUT_MS);
	struct zl_error err = ZL_ERROR_INIT;

	ck_assert_int_eq(gc(cni, "x", &err), 0); // 0.4.0
	lab_write(lab.conf, "10-pods.conflist", 0644,
	        "{\"cniVersion\":\"1.1.0\",\"name\":\"pods\",\"disableGC\":true,"
	        "\"plugins\":[{\"type\":\"one\"}]}");
	ck_assert_int_eq(gc(cni, "x", &err), 0);
	lab_shell(NULL, "rm %s/10-pods.conflist", lab.conf);
	ck_assert_int_eq(gc(cni, "x", &err), 0);
	log_is("");
	zl_cni_close(cni);
}
END_TEST

static void *add_in_background(void *argument)
{
	char netns[128];

	add_pod(argument, "coming", netns, sizeof(netns));
	return NULL;
}

// The spec has them apart: with an ADD under way, plugins are not asked to collect.
START_TEST(gc_keeps_out_of_an_add)
{
	struct zl_cni *cni = open_cni(TIMEOUT_MS);
	struct zl_error err = ZL_ERROR_INIT;
	pthread_t thread;
	char path[128];
	int fd;

	lab_write(lab.conf, "10-pods.conflist", 0644,
	        "{\"cniVersion\":\"1.1.0\",\"name\":\"pods\",\"plugins\":[{\"type\":\"wait\"},"
	        "{\"type\":\"one\"}]}");
	(void)snprintf(path, sizeof(path), "%s/fifo", lab.dir);
	ck_assert_int_eq(mkfifo(path, 0600), 0);
	// It opens the pipe, which lets our own opening go on, and waits for its other end's end.
	lab_write(lab.bin, "wait", 0755,
	        "#!/bin/sh\n[ $CNI_COMMAND = ADD ] || exit 0\n"
	        "cat $(dirname $0)/../fifo >/dev/null\necho {}\n");
	ck_assert_int_eq(pthread_create(&thread, NULL, add_in_background, cni), 0);
	fd = open(path, O_WRONLY | O_CLOEXEC);
	ck_assert_int_ge(fd, 0);
	ck_assert_int_eq(gc(cni, "coming", &err), 0);
	log_is("");
	(void)close(fd);
	(void)pthread_join(thread, NULL);
	log_is("ADD one\n");
	ck_assert_int_eq(gc(cni, "coming", &err), 0);
	log_is("ADD one\nGC one\n");
	zl_cni_close(cni);
}
END_TEST

// ---- after a restart

// A recovered pod's record may have gone with the node's power.
START_TEST(lost_record_of_a_recovered_pod_is_made_up)
{
	struct zl_cni *cni = open_cni(TIMEOUT_MS);
	struct zl_cni_pod pod = make_pod();
	struct zl_error err = ZL_ERROR_INIT;

	ck_assert_int_eq(zl_cni_del(cni, &pod, NULL, &err), 0);
	log_is("");
	pod.recovered = true;
	ck_assert_msg(zl_cni_del(cni, &pod, NULL, &err) == 0, "%s", err.message);
	log_is("DEL two\nDEL one\n");
	has_not(lab.bin, "one.DEL.in", "prevResult");
	lab_shell(NULL, "rm %s/10-pods.conflist", lab.conf);
	ck_assert_msg(zl_cni_del(cni, &pod, NULL, &err) == 0, "%s", err.message);
	log_is("DEL two\nDEL one\n");
	zl_cni_close(cni);
}
END_TEST

START_TEST(container_unknown_to_the_plugin_is_deleted)
{
	struct zl_cni *cni = open_cni(TIMEOUT_MS);
	struct zl_cni_pod pod = make_pod();
	zl_auto(cni_result) struct zl_cni_result result = {0};
	struct zl_error err = ZL_ERROR_INIT;

	ck_assert_int_eq(zl_cni_add(cni, &pod, NULL, &result, &err), 0);
	lab_write(lab.bin, "two.DEL.fail", 0644, "{\"code\":3,\"msg\":\"never heard of it\"}");
	ck_assert_msg(zl_cni_del(cni, &pod, NULL, &err) == 0, "%s", err.message);
	log_is("ADD one\nADD two\nDEL two\nDEL one\n");
	zl_cni_close(cni);
}
END_TEST

// ---- the directory of plugins, and the node's ranges

START_TEST(others_add_plugins_to_a_network)
{
	struct zl_cni *cni = open_cni(TIMEOUT_MS);
	struct zl_cni_pod pod = make_pod();
	zl_auto(cni_result) struct zl_cni_result result = {0};
	struct zl_error err = ZL_ERROR_INIT;
	char dir[128];

	status_is(cni, NULL);
	(void)snprintf(dir, sizeof(dir), "%s/pods", lab.conf);
	ck_assert_int_eq(mkdir(dir, 0755), 0);
	status_is(cni, NULL);
	lab_write(lab.bin, "three", 0755, recorder);
	lab_write(dir, "20-b.conf", 0644, "{\"type\":\"four\"}");
	status_is(cni, "network plugin \"four\" is not in");
	lab_shell(NULL, "rm %s/20-b.conf", dir);
	lab_write(dir, "10-a.conf", 0644, "{\"type\":\"three\"}");
	status_is(cni, NULL);
	ck_assert_msg(zl_cni_add(cni, &pod, NULL, &result, &err) == 0, "%s", err.message);
	log_is("ADD one\nADD two\nADD three\n");
	has(lab.bin, "three.ADD.in", "\"name\":\"pods\"");
	lab_write(dir, "10-a.conf", 0644, "{\"type\":\"../three\"}");
	status_is(cni, "pods/10-a.conf: plugin 3: \"type\"");
	// The network may keep them out; this pod's DEL still goes by what it was.
	lab_write(lab.conf, "10-pods.conflist", 0644,
	        "{\"cniVersion\":\"1.0.0\",\"name\":\"pods\",\"loadOnlyInlinedPlugins\":true,"
	        "\"plugins\":[{\"type\":\"one\"}]}");
	status_is(cni, NULL);
	forget_log();
	ck_assert_int_eq(zl_cni_del(cni, &pod, NULL, &err), 0);
	log_is("DEL three\nDEL two\nDEL one\n");
	zl_cni_close(cni);
}
END_TEST

START_TEST(pod_cidrs_are_the_plugins_ranges)
{
	struct zl_cni *cni = open_cni(TIMEOUT_MS);
	struct zl_cni_pod pod = make_pod();
	zl_auto(cni_result) struct zl_cni_result result = {0};
	struct zl_error err = ZL_ERROR_INIT;
	const char *reason;

	lab_write(lab.conf, "10-pods.conflist", 0644,
	        "{\"cniVersion\":\"1.0.0\",\"name\":\"pods\",\"plugins\":[{\"type\":\"one\","
	        "\"capabilities\":{\"ipRanges\":true}}]}");
	ck_assert_int_eq(zl_cni_status(cni, NULL, &reason, &err), -1);
	ck_assert_str_eq(reason, "PodCIDRUnknown");
	message_has(&err, "the node's pod CIDR, which the kubelet has not told yet");
	ck_assert_int_eq(zl_cni_set_pod_cidrs(cni, "10.1.2.0/24,nonsense", &err), -1);
	ck_assert_int_eq(err.code, ZL_INVALID_ARGUMENT);
	message_has(&err, "\"nonsense\" is no network");
	ck_assert_int_eq(zl_cni_set_pod_cidrs(cni, "", &err), 0);
	status_is(cni, "has not told yet");
	ck_assert_msg(zl_cni_set_pod_cidrs(cni, "10.1.2.3/24, fd00:1::/64", &err) == 0, "%s",
	        err.message);
	status_is(cni, NULL);
	zl_cni_close(cni);
	cni = open_cni(TIMEOUT_MS); // kept: the kubelet tells it once
	status_is(cni, NULL);
	ck_assert_int_eq(zl_cni_add(cni, &pod, NULL, &result, &err), 0);
	has(lab.bin, "one.ADD.in",
	        "\"runtimeConfig\":{\"ipRanges\":[[{\"subnet\":\"10.1.2.0/24\"}],"
	        "[{\"subnet\":\"fd00:1::/64\"}]]}");
	zl_cni_close(cni);
}
END_TEST

START_TEST(status_has_a_word_for_each_reason)
{
	struct zl_cni *cni = open_cni(TIMEOUT_MS);
	struct zl_error err = ZL_ERROR_INIT;
	const char *reason;

	ck_assert_int_eq(zl_cni_status(cni, NULL, &reason, &err), 0);
	ck_assert_str_eq(reason, "");
	lab_write(lab.conf, "05-x.conflist", 0644, "{");
	ck_assert_int_eq(zl_cni_status(cni, NULL, &reason, &err), -1);
	ck_assert_str_eq(reason, "InvalidNetworkConfiguration");
	lab_write(lab.conf, "05-x.conflist", 0644,
	        "{\"cniVersion\":\"1.1.0\",\"name\":\"b\",\"plugins\":[{\"type\":\"none\"}]}");
	ck_assert_int_eq(zl_cni_status(cni, NULL, &reason, &err), -1);
	ck_assert_str_eq(reason, "NetworkPluginMissing");
	lab_write(lab.bin, "none", 0755,
	        "#!/bin/sh\nprintf 'agent \\377\\033[2J down' >&2; exit 1\n");
	ck_assert_int_eq(zl_cni_status(cni, NULL, &reason, &err), -1);
	ck_assert_str_eq(reason, "NetworkPluginNotReady");
	message_has(&err, "network \"b\": plugin none STATUS: exit status 1: agent ");
	ck_assert_ptr_null(strchr(err.message, '\033'));
	lab_shell(NULL, "rm %s/*", lab.conf);
	ck_assert_int_eq(zl_cni_status(cni, NULL, &reason, &err), -1);
	ck_assert_str_eq(reason, "NoNetworkConfiguration");
	zl_cni_close(cni);
}
END_TEST

// "Ready" is believed for some seconds, but not of another network.
START_TEST(status_asks_a_new_network_at_once)
{
	struct zl_cni *cni = open_cni(TIMEOUT_MS);

	lab_write(lab.conf, "10-pods.conflist", 0644,
	        "{\"cniVersion\":\"1.1.0\",\"name\":\"pods\",\"plugins\":[{\"type\":\"one\"}]}");
	status_is(cni, NULL);
	lab_write(lab.bin, "two.STATUS.fail", 0644, "{\"code\":51,\"msg\":\"no agent\"}");
	lab_write(lab.conf, "10-pods.conflist", 0644,
	        "{\"cniVersion\":\"1.1.0\",\"name\":\"pods\",\"plugins\":[{\"type\":\"two\"}]}");
	status_is(cni, "plugin two STATUS: no agent (code 51)");
	log_is("STATUS one\nSTATUS two\n");
	zl_cni_close(cni);
}
END_TEST

START_TEST(describe_is_for_people)
{
	struct zl_cni *cni = open_cni(TIMEOUT_MS);
	zl_auto(free) char *text = zl_cni_describe(cni);

	ck_assert_ptr_nonnull(strstr(text, "\"name\":\"pods\""));
	ck_assert_ptr_nonnull(strstr(text, "\"plugins\":[\"one\",\"two\"]"));
	ck_assert_ptr_nonnull(strstr(text, "10-pods.conflist"));
	zl_cni_close(cni);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("upkeep");
	TCase *tcase = tcase_create("all");
	SRunner *runner = srunner_create(suite);
	int failed;

	if (getuid() != 0) {
		(void)fprintf(stderr, "skipped: network namespaces need root\n");
		return 77;
	}
	tcase_add_checked_fixture(tcase, set_up, NULL);
	tcase_set_timeout(tcase, 60);
	tcase_add_test(tcase, status_follows_the_directory);
	tcase_add_test(tcase, status_asks_plugins_since_1_1);
	tcase_add_test(tcase, check_asks_with_the_result_of_the_add);
	tcase_add_test(tcase, check_where_there_is_none);
	tcase_add_test(tcase, gc_deletes_pods_that_are_gone_and_tells_plugins_of_the_others);
	tcase_add_test(tcase, gc_goes_on_after_failures);
	tcase_add_test(tcase, gc_of_plugins_where_there_is_none);
	tcase_add_test(tcase, gc_keeps_out_of_an_add);
	tcase_add_test(tcase, lost_record_of_a_recovered_pod_is_made_up);
	tcase_add_test(tcase, container_unknown_to_the_plugin_is_deleted);
	tcase_add_test(tcase, others_add_plugins_to_a_network);
	tcase_add_test(tcase, pod_cidrs_are_the_plugins_ranges);
	tcase_add_test(tcase, status_has_a_word_for_each_reason);
	tcase_add_test(tcase, status_asks_a_new_network_at_once);
	tcase_add_test(tcase, describe_is_for_people);
	suite_add_tcase(suite, tcase);
	srunner_run_all(runner, CK_NORMAL);
	failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
