// SPDX-License-Identifier: Apache-2.0
//
// Without a version 1 hierarchy nothing is taken out of the spec, and nothing is made. (With one:
// e2e/critest on a node that has both versions.)
#include <check.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/file.h"
#include "base/json.h"
#include "unit/zone/tests.h"
#include "zone/supervisor/cgroup1.h"

START_TEST(leaves_to_crun_what_is_not_here)
{
	char base[] = "/tmp/zl-cgroup1-XXXXXX";
	struct zl_error err = ZL_ERROR_INIT;
	zl_auto(json) json_t *resources = json_loads(
	        "{\"memory\":{\"limit\":1,\"swap\":2},\"cpu\":{\"shares\":3,\"cpus\":\"0\"},"
	        "\"pids\":{\"limit\":4}}",
	        0, NULL);
	zl_auto(json) json_t *before = json_deep_copy(resources);

	ck_assert_ptr_nonnull(mkdtemp(base));
	ck_assert_msg(zl_cgroup1_apply(base, "/a/b", resources, &err) == 0, "%s", err.message);
	ck_assert(json_equal(resources, before));
	ck_assert(!zl_cgroup1_oom_killed(base, "/a/b"));
	zl_cgroup1_remove(base, "/a/b");
	// It is still empty.
	ck_assert_int_eq(rmdir(base), 0);
}
END_TEST

// A directory of that name that is no hierarchy must not be taken for one.
START_TEST(knows_a_hierarchy_by_its_kind)
{
	char base[] = "/tmp/zl-cgroup1-XXXXXX";
	char memory[64];
	struct zl_error err = ZL_ERROR_INIT;
	zl_auto(json) json_t *resources = json_loads("{\"memory\":{\"limit\":1}}", 0, NULL);

	ck_assert_ptr_nonnull(mkdtemp(base));
	(void)snprintf(memory, sizeof(memory), "%s/memory", base);
	ck_assert_int_eq(zl_dir_make(memory, 0700, &err), 0);
	ck_assert_int_eq(zl_cgroup1_apply(base, "/a", resources, &err), 0);
	ck_assert_ptr_nonnull(json_object_get(json_object_get(resources, "memory"), "limit"));
	ck_assert_int_eq(rmdir(memory), 0);
	ck_assert_int_eq(rmdir(base), 0);
}
END_TEST

TCase *cgroup1_tests(void)
{
	TCase *tcase = tcase_create("cgroup1");

	tcase_add_test(tcase, leaves_to_crun_what_is_not_here);
	tcase_add_test(tcase, knows_a_hierarchy_by_its_kind);
	return tcase;
}
