// SPDX-License-Identifier: Apache-2.0
#include <check.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

#include "hypervisor/fake.h"

static struct zl_hypervisor *hv;
static struct zl_error err;

static const struct zl_disk root = {.vdev = "xvda", .path = "/dev/loop0", .readonly = true};
static const struct zl_nic nic = {
        .devid = 0, .mac = {2, 0, 0, 0, 0, 1}, .ifname = "zl0123456789ab"};

static struct zl_domain_config config(void)
{
	return (struct zl_domain_config){
	        .name = "zone",
	        .uuid = "6d2f6a52-3b4c-4a93-8f4b-0123456789ab",
	        .type = ZL_DOMAIN_PV,
	        .kernel = "/usr/lib/zonelet/vmlinux",
	        .cmdline = "console=hvc0",
	        .memory_bytes = UINT64_C(64) << 20,
	        .vcpus = 2,
	        .disks = &root,
	        .disk_count = 1,
	        .nics = &nic,
	        .nic_count = 1,
	};
}

static void setup(void)
{
	zl_error_clear(&err);
	hv = zl_fake_open(&err);
	ck_assert_ptr_nonnull(hv);
}

static void teardown(void)
{
	zl_hypervisor_close(hv);
}

static uint32_t make(const char *name)
{
	struct zl_domain_config c = config();
	uint32_t domid = 0;

	c.name = name;
	c.uuid = NULL;
	ck_assert_msg(hv->ops->domain_create(hv, &c, NULL, &domid, &err) == 0, "%s", err.message);
	return domid;
}

START_TEST(resizes_within_the_limits)
{
	struct zl_domain_size size = {
	        .memory_bytes = UINT64_C(96) << 20, .vcpus = 1, .cpu_weight = 512, .cpu_cap = 50};
	struct zl_domain_size got;
	struct zl_domain_info info;
	uint32_t domid = make("zone");

	ck_assert(!zl_fake_size(hv, domid, &got));
	ck_assert_int_eq(hv->ops->domain_resize(hv, domid, &size, NULL, &err), 0);
	ck_assert(zl_fake_size(hv, domid, &got));
	ck_assert_uint_eq(got.cpu_weight, 512);
	ck_assert_uint_eq(got.cpu_cap, 50);
	ck_assert_int_eq(hv->ops->domain_info(hv, domid, &info, &err), 0);
	ck_assert_uint_eq(info.memory_bytes, size.memory_bytes);
	ck_assert_uint_eq(info.vcpus, 1);
	ck_assert_uint_eq(info.max_vcpus, 2);
	// Back up to what it was made with, and no further.
	size.vcpus = 2;
	ck_assert_int_eq(hv->ops->domain_resize(hv, domid, &size, NULL, &err), 0);
	size.vcpus = 3;
	ck_assert_int_lt(hv->ops->domain_resize(hv, domid, &size, NULL, &err), 0);
	ck_assert_int_eq(err.code, ZL_OUT_OF_RANGE);
	zl_fake_set_memory(hv, UINT64_C(128) << 20);
	size.vcpus = 2;
	size.memory_bytes = UINT64_C(129) << 20;
	ck_assert_int_lt(hv->ops->domain_resize(hv, domid, &size, NULL, &err), 0);
	ck_assert_int_eq(err.code, ZL_RESOURCE_EXHAUSTED);
	size.memory_bytes = UINT64_C(128) << 20;
	ck_assert_int_eq(hv->ops->domain_resize(hv, domid, &size, NULL, &err), 0);
	ck_assert_int_lt(hv->ops->domain_resize(hv, domid + 1, &size, NULL, &err), 0);
	ck_assert_int_eq(err.code, ZL_NOT_FOUND);
}
END_TEST

START_TEST(makes_a_paused_domain_with_its_devices)
{
	struct zl_domain_config c = config();
	struct zl_domain_info info;
	char text[64];
	bool readonly;
	uint32_t domid;

	ck_assert_int_eq(hv->ops->domain_create(hv, &c, NULL, &domid, &err), 0);
	ck_assert_int_eq(hv->ops->domain_info(hv, domid, &info, &err), 0);
	ck_assert_str_eq(info.name, c.name);
	ck_assert_str_eq(info.uuid, c.uuid);
	ck_assert_int_eq(info.type, ZL_DOMAIN_PV);
	ck_assert_int_eq(info.end, ZL_DOMAIN_RUNNING);
	ck_assert(info.paused);
	ck_assert_uint_eq(info.memory_bytes, c.memory_bytes);
	ck_assert_uint_eq(info.vcpus, 2);
	ck_assert(zl_fake_disk(hv, domid, "xvda", text, sizeof(text), &readonly));
	ck_assert_str_eq(text, "/dev/loop0");
	ck_assert(readonly);
	ck_assert(zl_fake_nic(hv, domid, 0, text, sizeof(text)));
	ck_assert_str_eq(text, nic.ifname);
	zl_fake_cmdline(hv, domid, text, sizeof(text));
	ck_assert_str_eq(text, c.cmdline);
	ck_assert_int_eq(hv->ops->domain_unpause(hv, domid, &err), 0);
	ck_assert_int_eq(hv->ops->domain_info(hv, domid, &info, &err), 0);
	ck_assert(!info.paused);
}
END_TEST

START_TEST(names_are_unique)
{
	struct zl_domain_config c = config();
	uint32_t domid;

	make("zone");
	ck_assert_int_eq(hv->ops->domain_create(hv, &c, NULL, &domid, &err), -1);
	ck_assert_int_eq(err.code, ZL_ALREADY_EXISTS);
	ck_assert_uint_eq(zl_fake_domain_count(hv), 1);
}
END_TEST

START_TEST(memory_runs_out_and_comes_back)
{
	struct zl_domain_config c = config();
	struct zl_host_info host;
	uint32_t first;
	uint32_t domid;

	zl_fake_set_memory(hv, UINT64_C(100) << 20);
	first = make("first");
	ck_assert_int_eq(hv->ops->domain_create(hv, &c, NULL, &domid, &err), -1);
	ck_assert_int_eq(err.code, ZL_RESOURCE_EXHAUSTED);
	ck_assert_ptr_nonnull(strstr(err.message, "64 MiB"));
	ck_assert_ptr_nonnull(strstr(err.message, "36 MiB"));
	ck_assert_int_eq(hv->ops->domain_destroy(hv, first, &err), 0);
	ck_assert_int_eq(hv->ops->host_info(hv, &host, &err), 0);
	ck_assert_uint_eq(host.memory_free_bytes, UINT64_C(100) << 20);
	ck_assert_int_eq(hv->ops->domain_create(hv, &c, NULL, &domid, &err), 0);
}
END_TEST

START_TEST(what_is_not_there)
{
	struct zl_domain_info info;

	ck_assert_int_eq(hv->ops->domain_destroy(hv, 7, &err), 0);
	ck_assert_int_eq(hv->ops->disk_remove(hv, 7, "xvda", NULL, &err), 0);
	ck_assert_int_eq(hv->ops->nic_remove(hv, 7, 0, NULL, &err), 0);
	ck_assert_int_eq(hv->ops->domain_info(hv, 7, &info, &err), -1);
	ck_assert_int_eq(err.code, ZL_NOT_FOUND);
	ck_assert_int_eq(hv->ops->domain_unpause(hv, 7, &err), -1);
	ck_assert_int_eq(err.code, ZL_NOT_FOUND);
	ck_assert_int_eq(hv->ops->disk_add(hv, 7, &root, NULL, &err), -1);
	ck_assert_int_eq(err.code, ZL_NOT_FOUND);
}
END_TEST

START_TEST(attaches_and_detaches)
{
	struct zl_disk image = {.vdev = "xvdc", .path = "/dev/loop7"};
	struct zl_nic second = {.devid = 1, .mac = {2, 0, 0, 0, 0, 2}};
	uint32_t domid = make("zone");
	char text[64];

	ck_assert_int_eq(hv->ops->disk_add(hv, domid, &image, NULL, &err), 0);
	ck_assert(zl_fake_disk(hv, domid, "xvdc", text, sizeof(text), NULL));
	ck_assert_int_eq(hv->ops->disk_add(hv, domid, &image, NULL, &err), -1);
	ck_assert_int_eq(err.code, ZL_ALREADY_EXISTS);
	ck_assert_int_eq(hv->ops->disk_remove(hv, domid, "xvdc", NULL, &err), 0);
	ck_assert(!zl_fake_disk(hv, domid, "xvdc", text, sizeof(text), NULL));
	ck_assert_int_eq(hv->ops->nic_add(hv, domid, &second, NULL, &err), 0);
	ck_assert(zl_fake_nic(hv, domid, 1, text, sizeof(text)));
	ck_assert_str_eq(text, "vif1.1");
	ck_assert_int_eq(hv->ops->nic_add(hv, domid, &second, NULL, &err), -1);
	ck_assert_int_eq(err.code, ZL_ALREADY_EXISTS);
	ck_assert_int_eq(hv->ops->nic_remove(hv, domid, 1, NULL, &err), 0);
	ck_assert(!zl_fake_nic(hv, domid, 1, text, sizeof(text)));
}
END_TEST

START_TEST(a_failed_create_leaves_nothing)
{
	struct zl_disk twice[] = {root, root};
	struct zl_domain_config c = config();
	uint32_t domid;

	c.disks = twice;
	c.disk_count = 2;
	ck_assert_int_eq(hv->ops->domain_create(hv, &c, NULL, &domid, &err), -1);
	ck_assert_int_eq(err.code, ZL_ALREADY_EXISTS);
	ck_assert_uint_eq(zl_fake_domain_count(hv), 0);
	ck_assert_int_eq(zl_fake_find(hv, "zone"), -1);
}
END_TEST

START_TEST(lists_all)
{
	struct zl_domain_info *list;
	size_t count;

	ck_assert_int_eq(hv->ops->domain_list(hv, &list, &count, &err), 0);
	ck_assert_uint_eq(count, 0);
	free(list);
	make("one");
	make("two");
	ck_assert_int_eq(hv->ops->domain_list(hv, &list, &count, &err), 0);
	ck_assert_uint_eq(count, 2);
	ck_assert_int_eq(zl_fake_find(hv, "two"), list[0].domid);
	free(list);
}
END_TEST

START_TEST(fails_as_scripted)
{
	struct zl_domain_info info;
	uint32_t domid = make("zone");

	zl_fake_fail(hv, ZL_FAKE_DOMAIN_INFO, 1, 2, ZL_UNAVAILABLE);
	ck_assert_int_eq(hv->ops->domain_info(hv, domid, &info, &err), 0);
	ck_assert_int_eq(hv->ops->domain_info(hv, domid, &info, &err), -1);
	ck_assert_int_eq(err.code, ZL_UNAVAILABLE);
	ck_assert_int_eq(hv->ops->domain_info(hv, domid, &info, &err), -1);
	ck_assert_int_eq(hv->ops->domain_info(hv, domid, &info, &err), 0);
	ck_assert_uint_eq(zl_fake_calls(hv, ZL_FAKE_DOMAIN_INFO), 4);
	ck_assert_uint_eq(zl_fake_calls(hv, ZL_FAKE_DOMAIN_LIST), 0);
}
END_TEST

// ---- holding

struct held_call {
	struct zl_cancel cancel;
	uint32_t domid;
	struct zl_error err;
	int result;
};

static void *attach(void *argument)
{
	struct held_call *call = argument;
	struct zl_disk image = {.vdev = "xvdc", .path = "/dev/loop7"};

	call->result = hv->ops->disk_add(hv, call->domid, &image, &call->cancel, &call->err);
	return NULL;
}

START_TEST(a_held_call_goes_on_when_released)
{
	struct held_call call = {.domid = make("zone")};
	pthread_t thread;

	ck_assert_int_eq(zl_cancel_init(&call.cancel, INT64_MAX, NULL, &err), 0);
	ck_assert_int_eq(zl_fake_hold(hv, ZL_FAKE_DISK_ADD, &err), 0);
	pthread_create(&thread, NULL, attach, &call);
	zl_fake_await_held(hv, ZL_FAKE_DISK_ADD, 1);
	ck_assert(!zl_fake_disk(hv, call.domid, "xvdc", (char[64]){0}, 64, NULL));
	zl_fake_release(hv, ZL_FAKE_DISK_ADD);
	pthread_join(thread, NULL);
	ck_assert_int_eq(call.result, 0);
	ck_assert(zl_fake_disk(hv, call.domid, "xvdc", (char[64]){0}, 64, NULL));
	zl_cancel_release(&call.cancel);
}
END_TEST

START_TEST(a_held_call_can_be_cancelled)
{
	struct held_call call = {.domid = make("zone")};
	pthread_t thread;

	ck_assert_int_eq(zl_cancel_init(&call.cancel, INT64_MAX, NULL, &err), 0);
	ck_assert_int_eq(zl_fake_hold(hv, ZL_FAKE_DISK_ADD, &err), 0);
	pthread_create(&thread, NULL, attach, &call);
	zl_fake_await_held(hv, ZL_FAKE_DISK_ADD, 1);
	zl_cancel_fire(&call.cancel);
	pthread_join(thread, NULL);
	ck_assert_int_eq(call.result, -1);
	ck_assert_int_eq(call.err.code, ZL_CANCELLED);
	ck_assert(!zl_fake_disk(hv, call.domid, "xvdc", (char[64]){0}, 64, NULL));
	zl_cancel_release(&call.cancel);
}
END_TEST

// ---- events

static atomic_uint events;
static _Atomic enum zl_domain_end last;

static void on_event(void *user, uint32_t domid, enum zl_domain_end end)
{
	ck_assert_ptr_eq(user, &events);
	ck_assert_uint_eq(domid, 1);
	atomic_store(&last, end);
	atomic_fetch_add(&events, 1);
}

START_TEST(tells_of_the_end)
{
	uint32_t domid = make("zone");
	struct zl_domain_info info;

	ck_assert_int_eq(hv->ops->domain_watch(hv, domid, on_event, &events, &err), 0);
	zl_fake_end(hv, domid, ZL_DOMAIN_CRASH);
	ck_assert_uint_eq(events, 1);
	ck_assert_int_eq(last, ZL_DOMAIN_CRASH);
	ck_assert_int_eq(hv->ops->domain_info(hv, domid, &info, &err), 0);
	ck_assert_int_eq(info.end, ZL_DOMAIN_CRASH);
	zl_fake_end(hv, domid, ZL_DOMAIN_GONE);
	ck_assert_uint_eq(events, 2);
	ck_assert_int_eq(last, ZL_DOMAIN_GONE);
	ck_assert_int_eq(hv->ops->domain_info(hv, domid, &info, &err), -1);
}
END_TEST

START_TEST(an_unwatched_end_is_not_told)
{
	uint32_t domid = make("zone");

	ck_assert_int_eq(hv->ops->domain_watch(hv, domid, on_event, &events, &err), 0);
	hv->ops->domain_unwatch(hv, domid);
	hv->ops->domain_unwatch(hv, 99);
	zl_fake_end(hv, domid, ZL_DOMAIN_CRASH);
	ck_assert_uint_eq(events, 0);
}
END_TEST

START_TEST(destroying_tells_gone)
{
	uint32_t domid = make("zone");

	ck_assert_int_eq(hv->ops->domain_watch(hv, domid, on_event, &events, &err), 0);
	ck_assert_int_eq(hv->ops->domain_destroy(hv, domid, &err), 0);
	zl_fake_end(hv, domid, ZL_DOMAIN_GONE); // settles
	ck_assert_uint_eq(events, 1);
	ck_assert_int_eq(last, ZL_DOMAIN_GONE);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("hypervisor-fake");
	TCase *tests = tcase_create("fake");
	SRunner *runner;
	int failed;

	tcase_add_checked_fixture(tests, setup, teardown);
	tcase_add_test(tests, resizes_within_the_limits);
	tcase_add_test(tests, makes_a_paused_domain_with_its_devices);
	tcase_add_test(tests, names_are_unique);
	tcase_add_test(tests, memory_runs_out_and_comes_back);
	tcase_add_test(tests, what_is_not_there);
	tcase_add_test(tests, attaches_and_detaches);
	tcase_add_test(tests, a_failed_create_leaves_nothing);
	tcase_add_test(tests, lists_all);
	tcase_add_test(tests, fails_as_scripted);
	tcase_add_test(tests, a_held_call_goes_on_when_released);
	tcase_add_test(tests, a_held_call_can_be_cancelled);
	tcase_add_test(tests, tells_of_the_end);
	tcase_add_test(tests, an_unwatched_end_is_not_told);
	tcase_add_test(tests, destroying_tells_gone);
	suite_add_tcase(suite, tests);
	runner = srunner_create(suite);
	srunner_run_all(runner, CK_NORMAL);
	failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
