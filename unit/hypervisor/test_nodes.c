// SPDX-License-Identifier: Apache-2.0
#include <check.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "hypervisor/bus.h"
#include "hypervisor/xen_nodes.h"

static struct zl_error err;

// ---- a sink that writes down what it gets

static char written[8192];
static int left; // puts until one fails

static int note_directory(void *user, const char *path, uint32_t owner, uint32_t reader)
{
	size_t used = strlen(written);

	ck_assert_ptr_eq(user, written);
	(void)snprintf(written + used, sizeof(written) - used, "%s/ %u %u\n", path, (unsigned)owner,
	        (unsigned)reader);
	return 0;
}

static int note_put(void *user, const char *path, const char *value)
{
	size_t used = strlen(written);

	ck_assert_ptr_eq(user, written);
	if (left-- == 0)
		return -1;
	(void)snprintf(written + used, sizeof(written) - used, "%s = %s\n", path, value);
	return 0;
}

static const struct zl_node_sink sink = {
        .directory = note_directory, .put = note_put, .user = written};

static void setup(void)
{
	written[0] = '\0';
	left = 1000;
	zl_error_clear(&err);
}

static bool has(const char *line)
{
	size_t length = strlen(line);

	for (const char *at = written; (at = strstr(at, line)) != NULL; at++) {
		if ((at == written || at[-1] == '\n') && at[length] == '\n')
			return true;
	}
	return false;
}

static const struct zl_disk disk = {.vdev = "xvdc", .path = "/dev/loop7"};
static const struct zl_nic nic = {
        .devid = 0, .mac = {2, 0x1b, 0, 0, 0, 9}, .mtu = 1450, .ifname = "zl0123456789ab"};

static struct zl_attach disk_attach(void)
{
	return (struct zl_attach){
	        .device = {.kind = ZL_DEVICE_VBD, .domid = 7, .devid = 51744, .backend_domid = 3},
	        .disk = &disk,
	        .physical = "7:7",
	        .script = "/script",
	};
}

static struct zl_attach nic_attach(void)
{
	return (struct zl_attach){
	        .device = {.kind = ZL_DEVICE_VIF, .domid = 7, .devid = 0},
	        .nic = &nic,
	        .script = "/script",
	};
}

START_TEST(a_disk)
{
	struct zl_attach attach = disk_attach();

	ck_assert_int_eq(zl_attach_nodes(&attach, &sink), 0);
	// The guest owns its directory; the back end's owner is the back end.
	ck_assert(has("/local/domain/7/device/vbd/51744/ 7 3"));
	ck_assert(has("/local/domain/3/backend/vbd/7/51744/ 3 7"));
	ck_assert(has("/local/domain/7/device/vbd/51744/backend = "
	              "/local/domain/3/backend/vbd/7/51744"));
	ck_assert(has("/local/domain/7/device/vbd/51744/backend-id = 3"));
	ck_assert(has("/local/domain/7/device/vbd/51744/state = 1"));
	ck_assert(has("/local/domain/7/device/vbd/51744/virtual-device = 51744"));
	ck_assert(has("/local/domain/7/device/vbd/51744/device-type = disk"));
	ck_assert(has("/local/domain/3/backend/vbd/7/51744/frontend = "
	              "/local/domain/7/device/vbd/51744"));
	ck_assert(has("/local/domain/3/backend/vbd/7/51744/frontend-id = 7"));
	ck_assert(has("/local/domain/3/backend/vbd/7/51744/online = 1"));
	ck_assert(has("/local/domain/3/backend/vbd/7/51744/state = 1"));
	ck_assert(has("/local/domain/3/backend/vbd/7/51744/mode = w"));
	ck_assert(has("/local/domain/3/backend/vbd/7/51744/dev = xvdc"));
	ck_assert(has("/local/domain/3/backend/vbd/7/51744/params = /dev/loop7"));
	ck_assert(has("/local/domain/3/backend/vbd/7/51744/physical-device = 7:7"));
	ck_assert(has("/libxl/7/device/vbd/51744/backend = /local/domain/3/backend/vbd/7/51744"));
	ck_assert(has("/libxl/7/device/vbd/51744/type = phy"));
	ck_assert_ptr_null(strstr(written, "discard-enable"));
}
END_TEST

START_TEST(a_readonly_disk_of_another_domain)
{
	struct zl_attach attach = disk_attach();
	struct zl_disk readonly = disk;

	readonly.readonly = true;
	attach.disk = &readonly;
	attach.physical[0] = '\0';
	ck_assert_int_eq(zl_attach_nodes(&attach, &sink), 0);
	ck_assert(has("/local/domain/3/backend/vbd/7/51744/mode = r"));
	ck_assert(has("/local/domain/3/backend/vbd/7/51744/discard-enable = 0"));
	ck_assert_ptr_null(strstr(written, "physical-device"));
}
END_TEST

START_TEST(a_network_interface)
{
	struct zl_attach attach = nic_attach();

	ck_assert_int_eq(zl_attach_nodes(&attach, &sink), 0);
	ck_assert(has("/local/domain/7/device/vif/0/ 7 0"));
	ck_assert(has("/local/domain/0/backend/vif/7/0/ 0 7"));
	ck_assert(has("/local/domain/7/device/vif/0/handle = 0"));
	ck_assert(has("/local/domain/7/device/vif/0/mac = 02:1b:00:00:00:09"));
	ck_assert(has("/local/domain/7/device/vif/0/mtu = 1450"));
	ck_assert(has("/local/domain/0/backend/vif/7/0/handle = 0"));
	ck_assert(has("/local/domain/0/backend/vif/7/0/mac = 02:1b:00:00:00:09"));
	// netback reads the script, and does without hotplug-status until it connects.
	ck_assert(has("/local/domain/0/backend/vif/7/0/script = /script"));
	ck_assert_ptr_null(strstr(written, "hotplug-status"));
	// libxl takes it for an emulated one without.
	ck_assert(has("/local/domain/0/backend/vif/7/0/type = vif"));
	ck_assert(has("/libxl/7/device/vif/0/type = vif"));
}
END_TEST

START_TEST(a_network_interface_as_its_driver_makes_it)
{
	struct zl_attach attach = nic_attach();

	attach.as_made = true;
	ck_assert_int_eq(zl_attach_nodes(&attach, &sink), 0);
	ck_assert(has("/local/domain/0/backend/vif/7/0/hotplug-status = connected"));
}
END_TEST

START_TEST(a_share)
{
	const struct zl_share_device share = {.devid = 0, .tag = "pod", .ring_order = 7};
	const struct zl_attach attach = {
	        .device = {.kind = ZL_DEVICE_9PFS, .domid = 7, .devid = 0}, .share = &share};

	ck_assert_int_eq(zl_attach_nodes(&attach, &sink), 0);
	ck_assert(has("/local/domain/7/device/9pfs/0/ 7 0"));
	ck_assert(has("/local/domain/0/backend/9pfs/7/0/ 0 7"));
	ck_assert(has("/local/domain/7/device/9pfs/0/tag = pod"));
	ck_assert(has("/local/domain/7/device/9pfs/0/state = 1"));
	// It waits for the zone from the start.
	ck_assert(has("/local/domain/0/backend/9pfs/7/0/state = 2"));
	ck_assert(has("/local/domain/0/backend/9pfs/7/0/max-rings = 2"));
	ck_assert(has("/local/domain/0/backend/9pfs/7/0/max-ring-page-order = 7"));
	// libxl is not told.
	ck_assert_ptr_null(strstr(written, "/libxl/"));
}
END_TEST

START_TEST(every_failed_write_is_told)
{
	struct zl_attach attaches[] = {disk_attach(), nic_attach()};

	for (size_t i = 0; i < 2; i++) {
		int writes = 0;

		setup();
		ck_assert_int_eq(zl_attach_nodes(&attaches[i], &sink), 0);
		for (const char *at = written; (at = strstr(at, " = ")) != NULL; at++)
			writes++;
		for (int n = 0; n < writes; n++) {
			setup();
			left = n;
			ck_assert_int_eq(zl_attach_nodes(&attaches[i], &sink), -1);
		}
	}
}
END_TEST

START_TEST(disk_numbers)
{
	static const struct {
		const char *vdev;
		uint32_t devid;
	} good[] = {
	        {"xvda", 51712},
	        {"xvdb", 51728},
	        {"xvdp", 51952},
	        {"xvdq", 268439552}, // 1 << 28 | 16 << 8
	        {"xvdz", 268441856},
	        {"xvdaa", 268442112},
	        {"xvdzz", (1 << 28) | 701 << 8},
	};
	static const char *const bad[] = {
	        "", "xvd", "xvdA", "xvda1", "sda", "xvdaaa", "xvd-", "xvdaaaaaaaaaaaaaaaaaaaaaaaa"};
	uint32_t devid;

	for (size_t i = 0; i < sizeof(good) / sizeof(good[0]); i++) {
		ck_assert_msg(zl_disk_devid(good[i].vdev, &devid, &err) == 0, "%s", good[i].vdev);
		ck_assert_uint_eq(devid, good[i].devid);
	}
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		ck_assert_msg(zl_disk_devid(bad[i], &devid, &err) == -1, "%s", bad[i]);
		ck_assert_int_eq(err.code, ZL_INVALID_ARGUMENT);
	}
}
END_TEST

START_TEST(names_on_the_bus)
{
	struct zl_device device = disk_attach().device;
	char name[ZL_NODE_SIZE];

	zl_device_bus_name(&device, name);
	ck_assert_str_eq(name, "vbd-7-51744");
	device = nic_attach().device;
	zl_device_bus_name(&device, name);
	ck_assert_str_eq(name, "vif-7-0");
}
END_TEST

static bool matches(const char *message, size_t length, const char *action, const char *name)
{
	struct zl_bus_event event = {.action = action};

	(void)snprintf(event.name, sizeof(event.name), "%s", name);
	return zl_bus_matches(message, length, &event);
}

#define MESSAGE(text) text, sizeof(text)

START_TEST(kernel_events)
{
	ck_assert(matches(MESSAGE("remove@/devices/vbd-7-51744\0ACTION=remove"), ZL_BUS_REMOVE,
	        "vbd-7-51744"));
	ck_assert(matches(MESSAGE("bind@/devices/vif-7-0"), ZL_BUS_BIND, "vif-7-0"));
	ck_assert(!matches(MESSAGE("unbind@/devices/vif-7-0"), ZL_BUS_BIND, "vif-7-0"));
	ck_assert(!matches(MESSAGE("bind@/devices/vif-7-0"), ZL_BUS_REMOVE, "vif-7-0"));
	ck_assert(!matches(MESSAGE("remove@/devices/vbd-7-51744"), ZL_BUS_REMOVE, "vbd-7-5174"));
	ck_assert(!matches(MESSAGE("remove@/devices/vbd-7-51744"), ZL_BUS_REMOVE, "vbd-7-517440"));
	ck_assert(!matches(
	        MESSAGE("remove@/devices/vif-7-0/net/zl0123456789ab"), ZL_BUS_REMOVE, "vif-7-0"));
	ck_assert(!matches("", 0, ZL_BUS_REMOVE, "vif-7-0"));
	// Cut off before its zero byte.
	ck_assert(!matches("remove@/devices/vif-7-0", 23, ZL_BUS_REMOVE, "vif-7-0"));
}
END_TEST

// A device that is not on the bus has been removed, whatever is heard.
START_TEST(nothing_to_wait_for)
{
	struct zl_bus_event events[] = {
	        {.action = ZL_BUS_REMOVE, .name = "vbd-7-51744"},
	        {.action = ZL_BUS_REMOVE, .name = "vif-7-0"},
	};

	ck_assert_int_eq(zl_bus_await(-1, events, 2, NULL, 0, &err), 0);
	ck_assert(events[0].happened && events[1].happened);
	ck_assert_int_eq(zl_bus_await(-1, events, 0, NULL, 0, &err), 0);
}
END_TEST

START_TEST(what_does_not_happen)
{
	struct zl_bus_event event = {.action = ZL_BUS_BIND, .name = "vif-7-0"};

	ck_assert_int_eq(zl_bus_await(-1, &event, 1, NULL, 0, &err), -1);
	ck_assert_int_eq(err.code, ZL_DEADLINE_EXCEEDED);
	ck_assert_ptr_nonnull(strstr(err.message, "vif-7-0"));
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("hypervisor-nodes");
	TCase *tests = tcase_create("nodes");
	SRunner *runner;
	int failed;

	tcase_add_checked_fixture(tests, setup, NULL);
	tcase_add_test(tests, a_disk);
	tcase_add_test(tests, a_readonly_disk_of_another_domain);
	tcase_add_test(tests, a_network_interface);
	tcase_add_test(tests, a_network_interface_as_its_driver_makes_it);
	tcase_add_test(tests, a_share);
	tcase_add_test(tests, every_failed_write_is_told);
	tcase_add_test(tests, disk_numbers);
	tcase_add_test(tests, names_on_the_bus);
	tcase_add_test(tests, kernel_events);
	tcase_add_test(tests, nothing_to_wait_for);
	tcase_add_test(tests, what_does_not_happen);
	suite_add_tcase(suite, tests);
	runner = srunner_create(suite);
	srunner_run_all(runner, CK_NORMAL);
	failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
