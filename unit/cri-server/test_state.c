// SPDX-License-Identifier: Apache-2.0
#include <check.h>
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>

#include "base/file.h"
#include "base/id.h"
#include "cri-server/state/state.h"

static char directory[64];
static char path[96];
static struct zl_state *state;
static struct zl_error err;

static void reopen(void)
{
	zl_state_close(state);
	state = zl_state_open(path, &err);
	ck_assert_msg(state != NULL, "%s", err.message);
}

static void setup(void)
{
	err = (struct zl_error)ZL_ERROR_INIT;
	state = NULL;
	strcpy(directory, "/tmp/zl-state-XXXXXX");
	ck_assert_ptr_nonnull(mkdtemp(directory));
	(void)snprintf(path, sizeof(path), "%s/state.db", directory);
	reopen();
}

static void teardown(void)
{
	zl_state_close(state);
	ck_assert_int_eq(zl_tree_remove(directory, &err), 0);
}

static const char *const ips[] = {"10.88.0.5", "fd00::5", NULL};

static struct zl_sandbox_record sandbox(const char *id, const char *name)
{
	return (struct zl_sandbox_record){
	        .id = id,
	        .name = name,
	        .namespace_ = "default",
	        .uid = "u-1",
	        .attempt = 2,
	        .handler = "zone",
	        .phase = ZL_SANDBOX_CREATING,
	        .step = ZL_STEP_RESERVED,
	        .created_at_ns = 1700000000123456789,
	        .config = "\x0a\x00\xff",
	        .config_length = 3,
	        .domid = -1,
	};
}

static struct zl_container_record container(const char *id, const char *sandbox_id)
{
	return (struct zl_container_record){
	        .id = id,
	        .sandbox_id = sandbox_id,
	        .name = "main",
	        .attempt = 1,
	        .created_at_ns = 5,
	        .image_id = "sha256:aa",
	        .log_path = "/var/log/pods/x/main/0.log",
	        .config = "\x00"
	                  "abc",
	        .config_length = 4,
	};
}

static void add_sandbox(const char *id, const char *name)
{
	struct zl_sandbox_record record = sandbox(id, name);

	ck_assert_msg(zl_state_sandbox_add(state, &record, &err) == 0, "%s", err.message);
}

static void add_container(const char *id, const char *sandbox_id)
{
	struct zl_container_record record = container(id, sandbox_id);

	ck_assert_msg(zl_state_container_add(state, &record, &err) == 0, "%s", err.message);
}

START_TEST(sandbox_survives_reopen)
{
	zl_auto(sandbox_record) struct zl_sandbox_record got = {.domid = -1};

	add_sandbox("aaa", "web");
	reopen();
	ck_assert_int_eq(zl_state_sandbox_get(state, "aaa", &got, &err), 0);
	ck_assert_str_eq(got.id, "aaa");
	ck_assert_str_eq(got.name, "web");
	ck_assert_str_eq(got.namespace_, "default");
	ck_assert_str_eq(got.uid, "u-1");
	ck_assert_uint_eq(got.attempt, 2);
	ck_assert_str_eq(got.handler, "zone");
	ck_assert_int_eq(got.phase, ZL_SANDBOX_CREATING);
	ck_assert_int_eq(got.created_at_ns, 1700000000123456789);
	ck_assert_uint_eq(got.config_length, 3);
	ck_assert_mem_eq(got.config, "\x0a\x00\xff", 3);
	ck_assert_int_eq(got.domid, -1);
	ck_assert_str_eq(got.netns, "");
	ck_assert_ptr_nonnull(got.ips);
	ck_assert_ptr_null(got.ips[0]);
}
END_TEST

START_TEST(sandbox_save_keeps_all)
{
	struct zl_sandbox_record record = sandbox("aaa", "web");
	zl_auto(sandbox_record) struct zl_sandbox_record got = {.domid = -1};

	add_sandbox("aaa", "web");
	record.phase = ZL_SANDBOX_READY;
	record.step = ZL_STEP_DONE;
	record.ready_at_ns = 9;
	record.reason = "r";
	record.message = "m";
	record.domid = 17;
	record.domain_uuid = "2f2d";
	record.pid = 100;
	record.pid_started = 200;
	record.netns = "/run/netns/x";
	record.network = "{}";
	record.ips = ips;
	record.memory_bytes = UINT64_C(1) << 40;
	record.vcpus = 4;
	record.scratch_bytes = UINT64_C(10) << 30;
	record.scratch = "/dev/loop4";
	record.extra = "{\"a\":1}";
	ck_assert_int_eq(zl_state_sandbox_save(state, &record, &err), 0);
	ck_assert_int_eq(zl_state_sandbox_get(state, "aaa", &got, &err), 0);
	ck_assert_int_eq(got.phase, ZL_SANDBOX_READY);
	ck_assert_int_eq(got.step, ZL_STEP_DONE);
	ck_assert_int_eq(got.ready_at_ns, 9);
	ck_assert_str_eq(got.reason, "r");
	ck_assert_str_eq(got.message, "m");
	ck_assert_int_eq(got.domid, 17);
	ck_assert_str_eq(got.domain_uuid, "2f2d");
	ck_assert_int_eq(got.pid, 100);
	ck_assert_int_eq(got.pid_started, 200);
	ck_assert_str_eq(got.netns, "/run/netns/x");
	ck_assert_str_eq(got.network, "{}");
	ck_assert_str_eq(got.ips[0], "10.88.0.5");
	ck_assert_str_eq(got.ips[1], "fd00::5");
	ck_assert_ptr_null(got.ips[2]);
	ck_assert_uint_eq(got.memory_bytes, UINT64_C(1) << 40);
	ck_assert_uint_eq(got.vcpus, 4);
	ck_assert_uint_eq(got.scratch_bytes, UINT64_C(10) << 30);
	ck_assert_str_eq(got.scratch, "/dev/loop4");
	ck_assert_str_eq(got.extra, "{\"a\":1}");
}
END_TEST

START_TEST(sandbox_phase)
{
	zl_auto(sandbox_record) struct zl_sandbox_record got = {.domid = -1};

	add_sandbox("aaa", "web");
	ck_assert_int_eq(
	        zl_state_sandbox_phase(state, "aaa", ZL_SANDBOX_NOTREADY, ZL_STEP_STOPPED, &err),
	        0);
	ck_assert_int_eq(zl_state_sandbox_get(state, "aaa", &got, &err), 0);
	ck_assert_int_eq(got.phase, ZL_SANDBOX_NOTREADY);
	ck_assert_int_eq(got.step, ZL_STEP_STOPPED);
	ck_assert_int_eq(
	        zl_state_sandbox_phase(state, "zzz", ZL_SANDBOX_READY, ZL_STEP_DONE, &err), -1);
	ck_assert_int_eq(err.code, ZL_NOT_FOUND);
}
END_TEST

START_TEST(names_are_unique)
{
	struct zl_sandbox_record again = sandbox("bbb", "web");
	char id[65];

	add_sandbox("aaa", "web");
	ck_assert_int_eq(zl_state_sandbox_add(state, &again, &err), -1);
	ck_assert_int_eq(err.code, ZL_ALREADY_EXISTS);
	ck_assert_ptr_nonnull(strstr(err.message, "default/web"));
	ck_assert_ptr_nonnull(strstr(err.message, "aaa"));
	again.attempt = 3;
	ck_assert_int_eq(zl_state_sandbox_add(state, &again, &err), 0);
	ck_assert_int_eq(zl_state_sandbox_find(state, "default", "web", "u-1", 3, id, &err), 0);
	ck_assert_str_eq(id, "bbb");
	ck_assert_int_eq(zl_state_sandbox_find(state, "default", "web", "u-1", 4, id, &err), -1);
	ck_assert_int_eq(err.code, ZL_NOT_FOUND);
	// A removed sandbox gives its name back.
	ck_assert_int_eq(zl_state_sandbox_remove(state, "bbb", &err), 0);
	ck_assert_int_eq(zl_state_sandbox_add(state, &again, &err), 0);
}
END_TEST

START_TEST(absent_sandbox)
{
	struct zl_sandbox_record record = sandbox("aaa", "web");
	struct zl_sandbox_record got;

	ck_assert_int_eq(zl_state_sandbox_get(state, "aaa", &got, &err), -1);
	ck_assert_int_eq(err.code, ZL_NOT_FOUND);
	ck_assert_int_eq(zl_state_sandbox_save(state, &record, &err), -1);
	ck_assert_int_eq(err.code, ZL_NOT_FOUND);
	ck_assert_int_eq(zl_state_sandbox_remove(state, "aaa", &err), 0);
}
END_TEST

START_TEST(sandboxes_are_listed_in_order)
{
	struct zl_sandbox_record *records;
	size_t count;

	ck_assert_int_eq(zl_state_sandbox_list(state, &records, &count, &err), 0);
	ck_assert_uint_eq(count, 0);
	zl_sandbox_records_free(records, count);
	add_sandbox("ccc", "one");
	add_sandbox("aaa", "two");
	add_sandbox("bbb", "three");
	ck_assert_int_eq(zl_state_sandbox_list(state, &records, &count, &err), 0);
	ck_assert_uint_eq(count, 3);
	ck_assert_str_eq(records[0].id, "ccc");
	ck_assert_str_eq(records[1].id, "aaa");
	ck_assert_str_eq(records[2].name, "three");
	zl_sandbox_records_free(records, count);
}
END_TEST

START_TEST(container_round_trip)
{
	struct zl_container_record record = container("c1", "aaa");
	struct zl_log_commit log = {.stdout_offset = UINT64_C(5) << 32,
	        .stderr_offset = 7,
	        .log_size = 99,
	        .stdout_partial = 1};
	zl_auto(container_record) struct zl_container_record got = {0};

	add_sandbox("aaa", "web");
	add_container("c1", "aaa");
	record.phase = ZL_CONTAINER_EXITED;
	record.started_at_ns = 10;
	record.finished_at_ns = 20;
	record.pid = 42;
	record.exit_code = 137;
	record.reason = "OOMKilled";
	record.message = "m";
	record.image_ref = "r";
	record.image_device = "/dev/xvdc";
	record.extra = "{}";
	ck_assert_int_eq(zl_state_container_log(state, "c1", &log, &err), 0);
	ck_assert_int_eq(zl_state_container_save(state, &record, &err), 0);
	reopen();
	ck_assert_int_eq(zl_state_container_get(state, "c1", &got, &err), 0);
	ck_assert_str_eq(got.sandbox_id, "aaa");
	ck_assert_str_eq(got.name, "main");
	ck_assert_uint_eq(got.attempt, 1);
	ck_assert_int_eq(got.phase, ZL_CONTAINER_EXITED);
	ck_assert_int_eq(got.created_at_ns, 5);
	ck_assert_int_eq(got.started_at_ns, 10);
	ck_assert_int_eq(got.finished_at_ns, 20);
	ck_assert_int_eq(got.pid, 42);
	ck_assert_int_eq(got.exit_code, 137);
	ck_assert_str_eq(got.reason, "OOMKilled");
	ck_assert_str_eq(got.message, "m");
	ck_assert_str_eq(got.image_id, "sha256:aa");
	ck_assert_str_eq(got.image_ref, "r");
	ck_assert_str_eq(got.image_device, "/dev/xvdc");
	ck_assert_str_eq(got.log_path, "/var/log/pods/x/main/0.log");
	ck_assert_mem_eq(got.config,
	        "\x00"
	        "abc",
	        4);
	ck_assert_str_eq(got.extra, "{}");
	// The log commit is not what save stores.
	ck_assert_mem_eq(&got.log, &log, sizeof(log));
}
END_TEST

START_TEST(containers_and_their_sandbox)
{
	struct zl_container_record orphan = container("c9", "zzz");
	struct zl_container_record again = container("c2", "aaa");
	struct zl_container_record *records;
	size_t count;
	char id[65];

	ck_assert_int_eq(zl_state_container_add(state, &orphan, &err), -1);
	ck_assert_int_eq(err.code, ZL_NOT_FOUND);
	ck_assert_ptr_nonnull(strstr(err.message, "sandbox zzz"));
	add_sandbox("aaa", "web");
	add_sandbox("bbb", "db");
	add_container("c1", "aaa");
	ck_assert_int_eq(zl_state_container_add(state, &again, &err), -1);
	ck_assert_int_eq(err.code, ZL_ALREADY_EXISTS);
	ck_assert_ptr_nonnull(strstr(err.message, "c1"));
	add_container("c3", "bbb");
	ck_assert_int_eq(zl_state_container_find(state, "bbb", "main", 1, id, &err), 0);
	ck_assert_str_eq(id, "c3");

	ck_assert_int_eq(zl_state_container_list(state, NULL, &records, &count, &err), 0);
	ck_assert_uint_eq(count, 2);
	zl_container_records_free(records, count);
	ck_assert_int_eq(zl_state_container_list(state, "bbb", &records, &count, &err), 0);
	ck_assert_uint_eq(count, 1);
	ck_assert_str_eq(records[0].id, "c3");
	zl_container_records_free(records, count);

	ck_assert_int_eq(zl_state_sandbox_remove(state, "aaa", &err), -1);
	ck_assert_int_eq(err.code, ZL_FAILED_PRECONDITION);
	ck_assert_ptr_nonnull(strstr(err.message, "c1"));
	ck_assert_int_eq(zl_state_container_remove(state, "c1", &err), 0);
	ck_assert_int_eq(zl_state_container_remove(state, "c1", &err), 0);
	ck_assert_int_eq(zl_state_sandbox_remove(state, "aaa", &err), 0);
}
END_TEST

START_TEST(image_use)
{
	bool used = true;

	ck_assert_int_eq(zl_state_image_used(state, "sha256:aa", &used, &err), 0);
	ck_assert(!used);
	add_sandbox("aaa", "web");
	add_container("c1", "aaa");
	ck_assert_int_eq(zl_state_image_used(state, "sha256:aa", &used, &err), 0);
	ck_assert(used);
}
END_TEST

static void *add_many(void *user)
{
	const char *prefix = user;

	for (int i = 0; i < 50; i++) {
		char id[32];
		char name[32];
		struct zl_error own = ZL_ERROR_INIT;
		struct zl_sandbox_record record;

		(void)snprintf(id, sizeof(id), "%s%d", prefix, i);
		// All threads want the same names: each is given once.
		(void)snprintf(name, sizeof(name), "pod-%d", i);
		record = sandbox(id, name);
		if (zl_state_sandbox_add(state, &record, &own) < 0)
			ck_assert_int_eq(own.code, ZL_ALREADY_EXISTS);
	}
	return NULL;
}

START_TEST(many_threads)
{
	static char prefixes[4][2] = {"a", "b", "c", "d"};
	struct zl_sandbox_record *records;
	pthread_t threads[4];
	size_t count;

	for (size_t i = 0; i < 4; i++)
		ck_assert_int_eq(pthread_create(&threads[i], NULL, add_many, prefixes[i]), 0);
	for (size_t i = 0; i < 4; i++)
		ck_assert_int_eq(pthread_join(threads[i], NULL), 0);
	ck_assert_int_eq(zl_state_sandbox_list(state, &records, &count, &err), 0);
	ck_assert_uint_eq(count, 50);
	zl_sandbox_records_free(records, count);
}
END_TEST

// Adds pods with one container each and tells the parent of each commit, until it is killed.
static void write_until_killed(int report)
{
	struct zl_state *own = zl_state_open(path, &err);

	for (uint32_t i = 0; own != NULL; i++) {
		char id[ZL_ID_SIZE];
		struct zl_sandbox_record pod;
		struct zl_container_record in_it;

		if (zl_id_make(id, &err) < 0)
			break;
		pod = sandbox(id, "web");
		pod.attempt = i;
		in_it = container(id, id);
		if (zl_state_sandbox_add(own, &pod, &err) < 0 ||
		        zl_state_container_add(own, &in_it, &err) < 0 ||
		        write(report, &i, sizeof(i)) != sizeof(i))
			break;
	}
	_exit(1);
}

// A writer is killed in the middle of its work; what it had committed is there, whole.
START_TEST(kill_loses_nothing)
{
	struct zl_sandbox_record *pods;
	struct zl_container_record *containers;
	size_t pod_count;
	size_t container_count;
	uint32_t last = 0;
	int report[2];
	int status;
	pid_t child;

	ck_assert_int_eq(pipe(report), 0);
	zl_state_close(state);
	state = NULL;
	child = fork();
	if (child == 0)
		write_until_killed(report[1]);
	(void)close(report[1]);
	for (int i = 0; i < 50 + _i * 7; i++)
		ck_assert_int_eq(read(report[0], &last, sizeof(last)), sizeof(last));
	ck_assert_int_eq(kill(child, SIGKILL), 0);
	ck_assert_int_eq(waitpid(child, &status, 0), child);
	ck_assert(WIFSIGNALED(status));
	while (read(report[0], &last, sizeof(last)) == sizeof(last))
		;
	(void)close(report[0]);

	reopen();
	ck_assert_int_eq(zl_state_sandbox_list(state, &pods, &pod_count, &err), 0);
	ck_assert_int_eq(
	        zl_state_container_list(state, NULL, &containers, &container_count, &err), 0);
	// One more of each may have been committed but not reported.
	ck_assert_uint_ge(pod_count, last + 1);
	ck_assert_uint_le(pod_count, last + 2);
	ck_assert_uint_ge(container_count, last + 1);
	ck_assert_uint_le(container_count, pod_count);
	for (size_t i = 0; i < container_count; i++) {
		ck_assert_str_eq(containers[i].sandbox_id, pods[i].id);
		ck_assert_uint_eq(pods[i].config_length, 3);
	}
	zl_sandbox_records_free(pods, pod_count);
	zl_container_records_free(containers, container_count);
}
END_TEST

START_TEST(damaged_file)
{
	char rubbish[8192];

	zl_state_close(state);
	memset(rubbish, 0x5a, sizeof(rubbish));
	ck_assert_int_eq(zl_file_write_atomic(path, rubbish, sizeof(rubbish), 0600, &err), 0);
	state = zl_state_open(path, &err);
	ck_assert_ptr_null(state);
	ck_assert_int_eq(err.code, ZL_DATA_LOSS);
	ck_assert_ptr_nonnull(strstr(err.message, path));
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("state");
	TCase *tcase = tcase_create("state");
	SRunner *runner = srunner_create(suite);
	int failed;

	tcase_set_timeout(tcase, 60);
	tcase_add_checked_fixture(tcase, setup, teardown);
	tcase_add_test(tcase, sandbox_survives_reopen);
	tcase_add_test(tcase, sandbox_save_keeps_all);
	tcase_add_test(tcase, sandbox_phase);
	tcase_add_test(tcase, names_are_unique);
	tcase_add_test(tcase, absent_sandbox);
	tcase_add_test(tcase, sandboxes_are_listed_in_order);
	tcase_add_test(tcase, container_round_trip);
	tcase_add_test(tcase, containers_and_their_sandbox);
	tcase_add_test(tcase, image_use);
	tcase_add_test(tcase, many_threads);
	tcase_add_loop_test(tcase, kill_loses_nothing, 0, 5);
	tcase_add_test(tcase, damaged_file);
	suite_add_tcase(suite, tcase);
	srunner_run_all(runner, CK_NORMAL);
	failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
