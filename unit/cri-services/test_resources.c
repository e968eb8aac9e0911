// SPDX-License-Identifier: Apache-2.0
//
// Limits: CRI's form to the runtime-spec's, and one set over another.
#include <check.h>
#include <stdlib.h>

#include "base/cleanup.h"
#include "cri-server/message/message.h"
#include "cri-server/oci/resources.h"

static struct zl_arena arena;

static void teardown(void)
{
	zl_arena_release(&arena);
}

static Runtime__V1__LinuxContainerResources *made(void)
{
	return ZL_MESSAGE_NEW(&arena, LinuxContainerResources, linux_container_resources);
}

static Runtime__V1__HugepageLimit *page(const char *size, uint64_t limit)
{
	Runtime__V1__HugepageLimit *p = ZL_MESSAGE_NEW(&arena, HugepageLimit, hugepage_limit);

	p->page_size = size;
	p->limit = limit;
	return p;
}

static Runtime__V1__LinuxContainerResources__UnifiedEntry *entry(const char *key, const char *value)
{
	return zl_message_map_entry(&arena,
	        &runtime__v1__linux_container_resources__unified_entry__descriptor, key, value);
}

static void expect(
        const Runtime__V1__LinuxContainerResources *resources, bool zone, const char *expected)
{
	zl_auto(json) json_t *json = zl_oci_resources(resources, zone);
	zl_auto(free) char *text = json_dumps(json, JSON_COMPACT | JSON_SORT_KEYS);

	ck_assert_str_eq(text, expected);
}

START_TEST(nothing_is_an_empty_object)
{
	expect(NULL, false, "{}");
	expect(made(), false, "{}");
}
END_TEST

START_TEST(everything)
{
	Runtime__V1__LinuxContainerResources *r = made();
	Runtime__V1__HugepageLimit *pages[] = {page("2MB", 4096), page("1GB", 0)};
	Runtime__V1__LinuxContainerResources__UnifiedEntry *unified[] = {
	        entry("io.weight", "5"), entry("memory.swap.max", "0")};

	r->cpu_shares = 512;
	r->cpu_quota = -1;
	r->cpu_period = 100000;
	r->cpuset_cpus = "0-1";
	r->memory_limit_in_bytes = 1000;
	r->memory_swap_limit_in_bytes = 2000;
	r->n_hugepage_limits = 2;
	r->hugepage_limits = pages;
	r->n_unified = 2;
	r->unified = unified;
	expect(r, false,
	        "{\"cpu\":{\"cpus\":\"0-1\",\"period\":100000,\"quota\":-1,\"shares\":512},"
	        "\"hugepageLimits\":[{\"limit\":4096,\"pageSize\":\"2MB\"},"
	        "{\"limit\":0,\"pageSize\":\"1GB\"}],"
	        "\"memory\":{\"limit\":1000,\"swap\":2000},"
	        "\"unified\":{\"io.weight\":\"5\",\"memory.swap.max\":\"0\"}}");
	// In a zone the node's cpus have no meaning, its page sizes may not be there, and swap
	// never is.
	expect(r, true,
	        "{\"cpu\":{\"period\":100000,\"quota\":-1,\"shares\":512},"
	        "\"hugepageLimits\":[{\"limit\":4096,\"pageSize\":\"2MB\"}],"
	        "\"memory\":{\"limit\":1000},\"unified\":{\"io.weight\":\"5\"}}");
}
END_TEST

START_TEST(what_is_not_specified_stays)
{
	Runtime__V1__LinuxContainerResources *under = made();
	Runtime__V1__LinuxContainerResources *over = made();
	Runtime__V1__LinuxContainerResources *merged;
	Runtime__V1__HugepageLimit *pages[] = {page("2MB", 1), page("1GB", 2)};
	Runtime__V1__HugepageLimit *new_pages[] = {page("1GB", 3), page("64KB", 4)};
	Runtime__V1__LinuxContainerResources__UnifiedEntry *unified[] = {
	        entry("a", "1"), entry("b", "2")};
	Runtime__V1__LinuxContainerResources__UnifiedEntry *new_unified[] = {entry("b", "3")};

	under->cpu_shares = 512;
	under->memory_limit_in_bytes = 1000;
	under->cpuset_mems = "0";
	under->n_hugepage_limits = 2;
	under->hugepage_limits = pages;
	under->n_unified = 2;
	under->unified = unified;
	over->memory_limit_in_bytes = 2000;
	over->cpuset_cpus = "1";
	over->n_hugepage_limits = 2;
	over->hugepage_limits = new_pages;
	over->n_unified = 1;
	over->unified = new_unified;
	merged = zl_resources_merge(&arena, under, over);
	expect(merged, false,
	        "{\"cpu\":{\"cpus\":\"1\",\"mems\":\"0\",\"shares\":512},"
	        "\"hugepageLimits\":[{\"limit\":1,\"pageSize\":\"2MB\"},"
	        "{\"limit\":3,\"pageSize\":\"1GB\"},{\"limit\":4,\"pageSize\":\"64KB\"}],"
	        "\"memory\":{\"limit\":2000},\"unified\":{\"a\":\"1\",\"b\":\"3\"}}");
	// Those it was made of are as before.
	ck_assert_int_eq(under->memory_limit_in_bytes, 1000);
	ck_assert_uint_eq(pages[1]->limit, 2);
}
END_TEST

START_TEST(over_and_under_nothing)
{
	Runtime__V1__LinuxContainerResources *r = made();

	r->cpu_shares = 7;
	ck_assert_int_eq(zl_resources_merge(&arena, NULL, r)->cpu_shares, 7);
	ck_assert_int_eq(zl_resources_merge(&arena, r, NULL)->cpu_shares, 7);
	ck_assert_int_eq(zl_resources_merge(&arena, NULL, NULL)->cpu_shares, 0);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("resources");
	TCase *tests = tcase_create("resources");
	SRunner *runner = srunner_create(suite);
	int failed;

	tcase_add_checked_fixture(tests, NULL, teardown);
	tcase_add_test(tests, nothing_is_an_empty_object);
	tcase_add_test(tests, everything);
	tcase_add_test(tests, what_is_not_specified_stays);
	tcase_add_test(tests, over_and_under_nothing);
	suite_add_tcase(suite, tests);
	srunner_run_all(runner, CK_ENV);
	failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
