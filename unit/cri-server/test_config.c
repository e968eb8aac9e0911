// SPDX-License-Identifier: Apache-2.0
#include <check.h>
#include <stdlib.h>
#include <string.h>

#include "cri-server/config/config.h"
#include "cri-server/config/keys.h"

static struct zl_config config;
static struct zl_error err;

static void setup(void)
{
	config = (struct zl_config)ZL_CONFIG_INIT;
	err = (struct zl_error)ZL_ERROR_INIT;
}

static void teardown(void)
{
	zl_config_release(&config);
}

static int parse(const char *text)
{
	return zl_config_parse("z.yaml", text, strlen(text), &config, &err);
}

START_TEST(nothing_gives_defaults)
{
	static const char *const empty[] = {"", "# only a comment\n", "---\n", "zone:\ncni:\n"};

	ck_assert_msg(parse(empty[_i]) == 0, "%s", err.message);
	ck_assert_str_eq(config.socket, "/run/zonelet/zoneletd.sock");
	ck_assert_str_eq(config.handlers[0], "zone");
	ck_assert_str_eq(config.handlers[1], "host");
	ck_assert_ptr_null(config.handlers[2]);
	ck_assert_uint_eq(config.zone.memory_bytes, 256 << 20);
	ck_assert_int_eq(config.zone.hello_timeout_ns, INT64_C(30000000000));
	ck_assert_uint_eq(config.zone.type, ZL_ZONE_TYPE_AUTO);
	ck_assert_str_eq(config.cni.bin_dirs[1], "/usr/lib/cni");
	ck_assert_ptr_null(config.images.insecure_registries[0]);
	ck_assert_uint_eq(config.workers, 256);
}
END_TEST

START_TEST(every_kind_of_value)
{
	ck_assert_msg(parse("socket: /tmp/z.sock\n"
	                    "handlers: [host]\n"
	                    "default_handler: host\n"
	                    "log_level: \"debug\"\n"
	                    "workers: 8\n"
	                    "zone:\n"
	                    "  type: pv\n"
	                    "  memory: 1GiB\n"
	                    "  overhead: 1048576\n"
	                    "  hello_timeout: 1500ms\n"
	                    "  ramdisk: ''\n"
	                    "images:\n"
	                    "  insecure_registries:\n"
	                    "    - 10.0.2.2:5000\n"
	                    "    - \"registry\"\n") == 0,
	        "%s", err.message);
	ck_assert_str_eq(config.socket, "/tmp/z.sock");
	ck_assert_str_eq(config.handlers[0], "host");
	ck_assert_ptr_null(config.handlers[1]);
	ck_assert_str_eq(config.log_level, "debug");
	ck_assert_uint_eq(config.workers, 8);
	ck_assert_uint_eq(config.zone.type, ZL_ZONE_TYPE_PV);
	ck_assert_uint_eq(config.zone.memory_bytes, 1 << 30);
	ck_assert_uint_eq(config.zone.overhead_bytes, 1 << 20);
	ck_assert_int_eq(config.zone.hello_timeout_ns, 1500000000);
	ck_assert_str_eq(config.images.insecure_registries[0], "10.0.2.2:5000");
	ck_assert_str_eq(config.images.insecure_registries[1], "registry");
	ck_assert_ptr_null(config.images.insecure_registries[2]);
	ck_assert_str_eq(config.root_dir, "/var/lib/zonelet");
}
END_TEST

static const struct {
	const char *text;
	const char *message;
} wrong[] = {
        {"# one\nsocket: relative\n", "z.yaml:2: socket: \"relative\" is not a valid value"},
        {"sokcet: /x\n", "z.yaml:1: unknown key \"sokcet\""},
        {"zone:\n  memry: 1GiB\n", "z.yaml:2: unknown key \"memry\" in section zone"},
        {"zone.memory: 1GiB\n", "z.yaml:1: unknown key \"zone.memory\""},
        {"zone:\n  zone:\n    memory: 1GiB\n", "z.yaml:2: unknown key \"zone\""},
        {"socket: /a\nsocket: /b\n", "z.yaml:2: socket is set a second time"},
        {"zone:\n  vcpus: 1\nzone:\n  type: pv\n", "z.yaml:3: this section was there before"},
        {"zone: /kernel\n", "z.yaml:1: this is a section"},
        {"zone: [a]\n", "z.yaml:1: this is a section"},
        {"socket:\n  path: /x\n", "z.yaml:2: socket: wants a value"},
        {"socket: [/x]\n", "z.yaml:1: socket: wants one value"},
        {"handlers: zone\n", "z.yaml:1: handlers: wants a list of"},
        {"handlers: []\n", "z.yaml: handlers: at least one"},
        {"handlers: [zone, runc]\n", "z.yaml:1: handlers: \"runc\""},
        {"handlers: [[zone]]\n", "z.yaml:1: a list may hold plain values alone"},
        {"handlers: [host]\n", "z.yaml: default_handler: \"zone\" is not among handlers"},
        {"workers: many\n", "z.yaml:1: workers: \"many\""},
        {"workers: -1\n", "z.yaml:1: workers: \"-1\""},
        {"workers: 1\n", "z.yaml:1: workers: 1 is out of range (4 to 4096)"},
        {"workers: 99999999999999999999999\n", "z.yaml:1: workers: \"99999999999999999999999\""},
        {"workers:\n", "z.yaml:1: workers: \"\""},
        {"zone:\n  memory: 1GB\n", "z.yaml:2: zone.memory: \"1GB\""},
        {"zone:\n  memory: 18446744073709551615TiB\n", "z.yaml:2: zone.memory: \"184467"},
        {"zone:\n  hello_timeout: 30\n", "z.yaml:2: zone.hello_timeout: \"30\""},
        {"zone:\n  type: hvm\n", "one of: auto pvh pv"},
        {"socket: \"/a\\0b\"\n", "z.yaml:1: a value has a NUL byte"},
        {"a: &x 1\nb: *x\n", "z.yaml:1: unknown key \"a\""},
        {"socket: *x\n", "z.yaml:1: aliases are not supported"},
        {"- a\n", "z.yaml:1: the file must be a mapping"},
        {"plain\n", "z.yaml:1: the file must be a mapping"},
        {"socket: /a\n---\nsocket: /b\n", "z.yaml:2: a second document"},
        {"socket: [/a\nx: 1\n", "z.yaml:2: "},
        {"[a]: b\n", "z.yaml:1: a key must be a plain word"},
        {"socket: \xff\xfe\n", "z.yaml:1: "},
        {"zone:\n\tvcpus: 1\n", "z.yaml:2: "},
};

START_TEST(wrong_files)
{
	ck_assert_int_eq(parse(wrong[_i].text), -1);
	ck_assert_int_eq(err.code, ZL_INVALID_ARGUMENT);
	ck_assert_msg(strstr(err.message, wrong[_i].message) != NULL, "%s", err.message);
}
END_TEST

START_TEST(missing_file)
{
	ck_assert_int_eq(zl_config_load("/nonexistent/z.yaml", &config, &err), -1);
	ck_assert_int_eq(err.code, ZL_NOT_FOUND);
	ck_assert_ptr_nonnull(strstr(err.message, "/nonexistent/z.yaml"));
}
END_TEST

// What is printed is read again as the same, with and without help.
START_TEST(print_and_parse)
{
	zl_auto(buffer) struct zl_buffer once = ZL_BUFFER_INIT;
	zl_auto(buffer) struct zl_buffer twice = ZL_BUFFER_INIT;

	ck_assert_int_eq(parse("zone:\n  cmdline: \"a=\\\"b\\\" #c: \\\\ \"\n  memory: 96MiB\n"
	                       "socket_group: 'yes: no'\n"),
	        0);
	ck_assert_int_eq(zl_config_print(&config, _i == 1, &once, &err), 0);
	zl_config_release(&config);
	ck_assert_msg(
	        parse(zl_buffer_string(&once)) == 0, "%s\n%s", err.message, (char *)once.data);
	ck_assert_str_eq(config.zone.cmdline, "a=\"b\" #c: \\ ");
	ck_assert_str_eq(config.socket_group, "yes: no");
	ck_assert_int_eq(zl_config_print(&config, _i == 1, &twice, &err), 0);
	ck_assert_str_eq(zl_buffer_string(&once), zl_buffer_string(&twice));
}
END_TEST

START_TEST(every_key_is_documented)
{
	zl_auto(buffer) struct zl_buffer page = ZL_BUFFER_INIT;

	ck_assert_int_eq(zl_config_document(&page, &err), 0);
	for (size_t i = 0; i < zl_key_count; i++) {
		char name[80];

		(void)snprintf(name, sizeof(name), "| `%s` | ", zl_keys[i].name);
		ck_assert_ptr_nonnull(strstr(zl_buffer_string(&page), name));
		ck_assert_uint_gt(strlen(zl_keys[i].help), 10);
	}
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("config");
	TCase *tcase = tcase_create("config");
	SRunner *runner = srunner_create(suite);
	int failed;

	tcase_add_checked_fixture(tcase, setup, teardown);
	tcase_add_loop_test(tcase, nothing_gives_defaults, 0, 4);
	tcase_add_test(tcase, every_kind_of_value);
	tcase_add_loop_test(tcase, wrong_files, 0, ZL_ARRAY_SIZE(wrong));
	tcase_add_test(tcase, missing_file);
	tcase_add_loop_test(tcase, print_and_parse, 0, 2);
	tcase_add_test(tcase, every_key_is_documented);
	suite_add_tcase(suite, tcase);
	srunner_run_all(runner, CK_NORMAL);
	failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
