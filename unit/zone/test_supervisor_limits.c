// SPDX-License-Identifier: Apache-2.0
//
// The supervisor: what containers use, and new limits for them.
#include <check.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/file.h"
#include "unit/zone/supervisor.h"
#include "zone/client/stats.h"

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
	delete_container(pod_id(1));
}
END_TEST

void supervisor_limits_tests(TCase *tests)
{
	tcase_add_test(tests, usage);
	tcase_add_test(tests, usage_asked_many_times);
	tcase_add_test(tests, new_limits);
	tcase_add_test(tests, new_limits_refused);
	tcase_add_test(tests, delete_while_updating);
}
