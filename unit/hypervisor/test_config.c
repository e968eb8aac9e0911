// SPDX-License-Identifier: Apache-2.0
#include <check.h>
#include <stdlib.h>
#include <string.h>

#include "hypervisor/domain_config.h"
#include "hypervisor/xen.h"

static struct zl_error err;

static const struct zl_disk disk = {.vdev = "xvda", .path = "/dev/loop0", .readonly = true};
static const struct zl_nic nic = {.devid = 0,
        .mac = {2, 0x11, 0x22, 0x33, 0x44, 0x55},
        .mtu = 1450,
        .ifname = "zl0123456789ab"};

static struct zl_domain_config good(void)
{
	return (struct zl_domain_config){
	        .name = "zone",
	        .uuid = "6d2f6a52-3b4c-4a93-8f4b-0123456789ab",
	        .type = ZL_DOMAIN_PVH,
	        .kernel = "/usr/lib/zonelet/vmlinux",
	        .ramdisk = "/usr/lib/zonelet/initrd",
	        .cmdline = "console=hvc0",
	        .memory_bytes = (UINT64_C(64) << 20) + 1,
	        .vcpus = 2,
	        .max_vcpus = 9,
	        .cpu_weight = 512,
	        .cpu_cap = 150,
	        .disks = &disk,
	        .disk_count = 1,
	        .nics = &nic,
	        .nic_count = 1,
	};
}

static void refused(const struct zl_domain_config *config, const char *word)
{
	zl_error_clear(&err);
	ck_assert_int_eq(zl_domain_config_check(config, &err), -1);
	ck_assert_int_eq(err.code, ZL_INVALID_ARGUMENT);
	ck_assert_msg(strstr(err.message, word) != NULL, "\"%s\" has no \"%s\"", err.message, word);
}

START_TEST(a_good_one_passes)
{
	struct zl_domain_config c = good();

	ck_assert_msg(zl_domain_config_check(&c, &err) == 0, "%s", err.message);
}
END_TEST

#define REFUSED(change, word)                                                                      \
	do {                                                                                       \
		struct zl_domain_config c = good();                                                \
		change;                                                                            \
		refused(&c, word);                                                                 \
	} while (0)

START_TEST(mistakes_are_named)
{
	REFUSED(c.name = NULL, "name");
	REFUSED(c.name = "", "name");
	REFUSED(c.name = "a/b", "name");
	REFUSED(c.name = "a b", "name");
	REFUSED(c.uuid = "6d2f6a52", "UUID");
	REFUSED(c.uuid = "6d2f6a52-3b4c-4a93-8f4b-0123456789abc", "UUID");
	REFUSED(c.uuid = "6d2f6a52-3b4c-4a93-8f4b-0123456789ag", "UUID");
	REFUSED(c.kernel = NULL, "kernel");
	REFUSED(c.kernel = "vmlinux", "kernel");
	REFUSED(c.memory_bytes = 4096, "memory");
	REFUSED(c.max_memory_bytes = c.memory_bytes - 1, "memory");
	REFUSED(c.vcpus = 0, "vcpus");
	REFUSED(c.vcpus = 10, "vcpus");
	REFUSED(c.max_vcpus = 1000, "vcpus");
	REFUSED(c.cpu_weight = 65536, "weight");
	REFUSED(c.cpu_cap = 901, "cap");
}
END_TEST

START_TEST(device_mistakes_are_named)
{
	struct zl_disk d = disk;
	struct zl_nic n = nic;

	d.vdev = "";
	ck_assert_int_eq(zl_disk_check(&d, &err), -1);
	d = disk;
	d.path = "loop0";
	ck_assert_int_eq(zl_disk_check(&d, &err), -1);
	ck_assert_ptr_nonnull(strstr(err.message, "loop0"));
	n.ifname = "sixteencharacter";
	ck_assert_int_eq(zl_nic_check(&n, &err), -1);
	n = nic;
	n.mac[0] = 1;
	ck_assert_int_eq(zl_nic_check(&n, &err), -1);
	n = nic;
	memset(n.mac, 0, sizeof(n.mac));
	ck_assert_int_eq(zl_nic_check(&n, &err), -1);
	n = nic;
	n.mtu = 67;
	ck_assert_int_eq(zl_nic_check(&n, &err), -1);
	n = nic;
	n.devid = -1;
	ck_assert_int_eq(zl_nic_check(&n, &err), -1);
}
END_TEST

// ---- what libxl gets

START_TEST(fills_in_the_domain)
{
	struct zl_domain_config c = good();
	libxl_domain_config xl;
	char uuid[37];

	libxl_domain_config_init(&xl);
	ck_assert_int_eq(zl_xen_config_fill(&c, &xl, &err), 0);
	ck_assert_int_eq(xl.c_info.type, LIBXL_DOMAIN_TYPE_PVH);
	ck_assert_int_eq(xl.b_info.type, LIBXL_DOMAIN_TYPE_PVH);
	ck_assert_str_eq(xl.c_info.name, "zone");
	(void)snprintf(uuid, sizeof(uuid), LIBXL_UUID_FMT, LIBXL_UUID_BYTES(xl.c_info.uuid));
	ck_assert_str_eq(uuid, c.uuid);
	ck_assert_str_eq(xl.b_info.kernel, c.kernel);
	ck_assert_str_eq(xl.b_info.ramdisk, c.ramdisk);
	ck_assert_str_eq(xl.b_info.cmdline, c.cmdline);
	ck_assert_uint_eq(xl.b_info.target_memkb, 64 * 1024 + 1);
	ck_assert_uint_eq(xl.b_info.max_memkb, 64 * 1024 + 1);
	ck_assert_int_eq(xl.b_info.max_vcpus, 9);
	ck_assert_int_eq(libxl_bitmap_count_set(&xl.b_info.avail_vcpus), 2);
	ck_assert(libxl_bitmap_test(&xl.b_info.avail_vcpus, 1));
	ck_assert_int_eq(xl.b_info.sched_params.weight, 512);
	ck_assert_int_eq(xl.b_info.sched_params.cap, 150);
	ck_assert(libxl_defbool_val(xl.b_info.claim_mode));
	ck_assert(libxl_defbool_val(xl.b_info.acpi));
	ck_assert_int_eq(xl.b_info.tsc_mode, LIBXL_TSC_MODE_NATIVE);
	libxl_domain_config_dispose(&xl);
}
END_TEST

START_TEST(no_acpi_tables_for_who_does_not_read_them)
{
	libxl_domain_config xl;
	struct zl_domain_config c = good();

	c.cmdline = "console=hvc0 acpi=off quiet";
	libxl_domain_config_init(&xl);
	ck_assert_int_eq(zl_xen_config_fill(&c, &xl, &err), 0);
	ck_assert(!libxl_defbool_val(xl.b_info.acpi));
	libxl_domain_config_dispose(&xl);
}
END_TEST

START_TEST(leaves_defaults_to_libxl)
{
	struct zl_domain_config c = good();
	libxl_domain_config xl;

	c.type = ZL_DOMAIN_PV;
	c.uuid = NULL;
	c.ramdisk = NULL;
	c.cpu_weight = 0;
	c.cpu_cap = 0;
	c.max_vcpus = 0;
	libxl_domain_config_init(&xl);
	ck_assert_int_eq(zl_xen_config_fill(&c, &xl, &err), 0);
	ck_assert_int_eq(xl.b_info.type, LIBXL_DOMAIN_TYPE_PV);
	ck_assert(!libxl_uuid_is_nil(&xl.c_info.uuid));
	ck_assert_ptr_null(xl.b_info.ramdisk);
	ck_assert_int_eq(xl.b_info.max_vcpus, 2);
	ck_assert_int_eq(xl.b_info.sched_params.weight, LIBXL_DOMAIN_SCHED_PARAM_WEIGHT_DEFAULT);
	ck_assert_int_eq(xl.b_info.sched_params.cap, LIBXL_DOMAIN_SCHED_PARAM_CAP_DEFAULT);
	libxl_domain_config_dispose(&xl);
}
END_TEST

// ---- and what comes back

START_TEST(reads_the_end)
{
	static const struct {
		libxl_shutdown_reason reason;
		enum zl_domain_end end;
	} ends[] = {
	        {LIBXL_SHUTDOWN_REASON_POWEROFF, ZL_DOMAIN_POWEROFF},
	        {LIBXL_SHUTDOWN_REASON_REBOOT, ZL_DOMAIN_REBOOT},
	        {LIBXL_SHUTDOWN_REASON_SUSPEND, ZL_DOMAIN_SUSPEND},
	        {LIBXL_SHUTDOWN_REASON_CRASH, ZL_DOMAIN_CRASH},
	        {LIBXL_SHUTDOWN_REASON_WATCHDOG, ZL_DOMAIN_CRASH},
	        {LIBXL_SHUTDOWN_REASON_UNKNOWN, ZL_DOMAIN_CRASH},
	        {LIBXL_SHUTDOWN_REASON_SOFT_RESET, ZL_DOMAIN_REBOOT},
	};
	libxl_dominfo info = {.running = true};

	ck_assert_int_eq(zl_xen_end(&info), ZL_DOMAIN_RUNNING);
	for (size_t i = 0; i < sizeof(ends) / sizeof(ends[0]); i++) {
		info = (libxl_dominfo){.shutdown = true, .shutdown_reason = ends[i].reason};
		ck_assert_int_eq(zl_xen_end(&info), ends[i].end);
	}
	info.dying = true;
	ck_assert_int_eq(zl_xen_end(&info), ZL_DOMAIN_GONE);
}
END_TEST

START_TEST(knows_libxl_codes)
{
	ck_assert_int_eq(zl_xen_code(ERROR_NOMEM), ZL_RESOURCE_EXHAUSTED);
	ck_assert_int_eq(zl_xen_code(ERROR_TIMEDOUT), ZL_DEADLINE_EXCEEDED);
	ck_assert_int_eq(zl_xen_code(ERROR_DEVICE_EXISTS), ZL_ALREADY_EXISTS);
	ck_assert_int_eq(zl_xen_code(ERROR_DOMAIN_NOTFOUND), ZL_NOT_FOUND);
	ck_assert_int_eq(zl_xen_code(ERROR_ABORTED), ZL_CANCELLED);
	ck_assert_int_eq(zl_xen_code(ERROR_FAIL), ZL_INTERNAL);
	ck_assert_int_eq(zl_xen_code(-1000), ZL_INTERNAL);
}
END_TEST

static void say(struct zl_xen_log *log, xentoollog_level level, int errnum, const char *text)
{
	xtl_log(&log->logger, level, errnum, "libxl", "%s", text);
}

START_TEST(keeps_the_first_errors)
{
	struct zl_xen_log log;
	char words[ZL_XEN_LOG_SIZE];

	zl_xen_log_init(&log);
	say(&log, XTL_DEBUG, -1, "libxl_a.c:1:f: noise");
	say(&log, XTL_WARN, -1, "libxl_a.c:1:f: noise");
	zl_xen_log_words(&log, words);
	ck_assert_str_eq(words, "");
	say(&log, XTL_ERROR, ENOENT, "libxl_device.c:1254:device_hotplug: Domain 5:cannot open");
	say(&log, XTL_ERROR, -1, "libxl_create.c:9:g: Domain 5:consequence\n");
	zl_xen_log_words(&log, words);
	ck_assert_str_eq(
	        words, "Domain 5:cannot open: No such file or directory; Domain 5:consequence ");
	for (int i = 0; i < 100; i++)
		say(&log, XTL_ERROR, -1, "and so on and so on");
	zl_xen_log_words(&log, words);
	ck_assert_uint_eq(strlen(words), ZL_XEN_LOG_SIZE - 1);
	zl_xen_log_clear(&log);
	zl_xen_log_words(&log, words);
	ck_assert_str_eq(words, "");
	zl_xen_log_release(&log);
}
END_TEST

START_TEST(trims_the_source_line)
{
	ck_assert_str_eq(zl_xen_log_trim("libxl_a.c:12:fun: words: more"), "words: more");
	ck_assert_str_eq(zl_xen_log_trim("words alone"), "words alone");
	ck_assert_str_eq(zl_xen_log_trim("see libxl_a.c:12: there"), "see libxl_a.c:12: there");
	ck_assert_str_eq(zl_xen_log_trim("a.c:x"), "a.c:x");
	ck_assert_str_eq(zl_xen_log_trim("a.c:12"), "");
	ck_assert_str_eq(zl_xen_log_trim(""), "");
}
END_TEST

// Where this test runs is no dom0.
START_TEST(says_that_it_is_no_dom0)
{
	if (access("/proc/xen/capabilities", F_OK) == 0)
		return;
	ck_assert_ptr_null(zl_xen_open("/libexec/hotplug", &err));
	ck_assert_int_eq(err.code, ZL_FAILED_PRECONDITION);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("hypervisor-config");
	TCase *tests = tcase_create("config");
	SRunner *runner;
	int failed;

	tcase_add_test(tests, a_good_one_passes);
	tcase_add_test(tests, mistakes_are_named);
	tcase_add_test(tests, device_mistakes_are_named);
	tcase_add_test(tests, fills_in_the_domain);
	tcase_add_test(tests, no_acpi_tables_for_who_does_not_read_them);
	tcase_add_test(tests, leaves_defaults_to_libxl);
	tcase_add_test(tests, reads_the_end);
	tcase_add_test(tests, knows_libxl_codes);
	tcase_add_test(tests, keeps_the_first_errors);
	tcase_add_test(tests, trims_the_source_line);
	tcase_add_test(tests, says_that_it_is_no_dom0);
	suite_add_tcase(suite, tests);
	runner = srunner_create(suite);
	srunner_run_all(runner, CK_NORMAL);
	failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
