// SPDX-License-Identifier: Apache-2.0
#include <check.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/utsname.h>

#include "base/file.h"
#include "cri-server/zonectl/check.h"
#include "cri-server/zonectl/console_log.h"
#include "cri-server/zonectl/pods.h"

static char root[64];
static struct zl_arena arena;
static struct zl_config config;
static struct zl_check_context context;
static struct zl_error err;

static void setup(void)
{
	err = (struct zl_error)ZL_ERROR_INIT;
	arena = (struct zl_arena)ZL_ARENA_INIT;
	strcpy(root, "/tmp/zl-check-XXXXXX");
	ck_assert_ptr_nonnull(mkdtemp(root));
	zl_config_defaults(&config);
	context = (struct zl_check_context){.root = root, .config = &config, .arena = &arena};
}

static void teardown(void)
{
	zl_config_release(&config);
	zl_arena_release(&arena);
	ck_assert_int_eq(zl_tree_remove(root, &err), 0);
}

// ---- check

static void put(const char *path, const char *text, mode_t mode)
{
	char *full = zl_arena_printf(&arena, "%s%s", root, path);
	char *slash = strrchr(full, '/');

	*slash = '\0';
	ck_assert_int_eq(zl_dir_make(full, 0755, &err), 0);
	*slash = '/';
	ck_assert_msg(
	        zl_file_write_atomic(full, text, strlen(text), mode, &err) == 0, "%s", err.message);
}

static struct zl_check_finding run(const char *name)
{
	for (size_t i = 0; i < zl_check_count; i++) {
		if (strcmp(zl_checks[i].name, name) == 0)
			return zl_check_run(&zl_checks[i], &context);
	}
	ck_abort_msg("no check is called %s", name);
	return (struct zl_check_finding){0};
}

static void expect(const char *name, enum zl_check_result result, const char *found)
{
	struct zl_check_finding finding = run(name);

	ck_assert_msg(finding.result == result, "%s: %d %s", name, finding.result, finding.found);
	ck_assert_msg(strstr(finding.found, found) != NULL, "%s: %s", name, finding.found);
	// What is missing has a remedy, what is there needs none.
	ck_assert_int_eq(finding.remedy[0] != '\0',
	        result == ZL_CHECK_MISSING || result == ZL_CHECK_WARNING);
}

START_TEST(an_empty_machine_lacks_everything)
{
	for (size_t i = 0; i < zl_check_count; i++) {
		struct zl_check_finding finding = zl_check_run(&zl_checks[i], &context);

		ck_assert_msg(
		        finding.result != ZL_CHECK_OK, "%s: %s", zl_checks[i].name, finding.found);
		if (finding.result != ZL_CHECK_SKIPPED)
			ck_assert_uint_gt(strlen(finding.remedy), 0);
	}
}
END_TEST

START_TEST(xen)
{
	put("/sys/hypervisor/type", "xen\n", 0644);
	expect("Xen", ZL_CHECK_MISSING, "/proc/xen is not mounted");
	put("/proc/xen/capabilities", "\n", 0644);
	expect("Xen", ZL_CHECK_MISSING, "guest of Xen");
	put("/proc/xen/capabilities", "control_d\n", 0644);
	put("/sys/hypervisor/version/major", "4\n", 0644);
	put("/sys/hypervisor/version/minor", "20\n", 0644);
	put("/sys/hypervisor/version/extra", ".2\n", 0644);
	expect("Xen", ZL_CHECK_OK, "Xen 4.20.2");
}
END_TEST

START_TEST(pvh)
{
	put("/sys/hypervisor/properties/capabilities", "xen-3.0-x86_64 hvm-3.0-x86_64 \n", 0644);
	expect("hardware virtualisation", ZL_CHECK_OK, "PVH");
	put("/sys/hypervisor/properties/capabilities", "xen-3.0-x86_64 \n", 0644);
	expect("hardware virtualisation", ZL_CHECK_WARNING, "PV");
	config.zone.type = ZL_ZONE_TYPE_PVH;
	expect("hardware virtualisation", ZL_CHECK_MISSING, "zone.type is pvh");
}
END_TEST

START_TEST(xenconsoled)
{
	put("/proc/1/comm", "systemd\n", 0644);
	put("/proc/self/comm", "xenconsoled\n", 0644);
	expect("xenconsoled", ZL_CHECK_MISSING, "does not run");
	put("/proc/77/comm", "xenconsoled\n", 0644);
	put("/proc/77/cmdline", "xenconsoled --pid-file x", 0644);
	expect("xenconsoled", ZL_CHECK_WARNING, "keeps no consoles");
	put("/proc/77/cmdline", "xenconsoled --log=guest --pid-file x", 0644);
	expect("xenconsoled", ZL_CHECK_OK, "keeps the zones' consoles");
}
END_TEST

START_TEST(modules)
{
	struct utsname name;

	ck_assert_int_eq(uname(&name), 0);
	expect("module xen-blkback", ZL_CHECK_MISSING, "this kernel does not have it");
	put(zl_arena_printf(&arena, "/lib/modules/%s/modules.dep", name.release),
	        "kernel/drivers/block/xen-blkback/xen-blkback.ko.xz: kernel/a/b.ko.xz\n"
	        "kernel/fs/erofs/erofs.ko.xz: kernel/lib/act_mirred.ko\n"
	        "kernel/x/my-loop.ko:",
	        0644);
	expect("module xen-blkback", ZL_CHECK_MISSING, "there, but not loaded");
	expect("module erofs", ZL_CHECK_OK, "loaded when needed");
	expect("module act_mirred", ZL_CHECK_MISSING, "this kernel does not have it");
	expect("module loop", ZL_CHECK_MISSING, "this kernel does not have it");
	put(zl_arena_printf(&arena, "/lib/modules/%s/modules.builtin", name.release),
	        "kernel/drivers/block/loop.ko\n", 0644);
	expect("module loop", ZL_CHECK_OK, "built in");
	put("/sys/module/xen_blkback/refcnt", "0", 0644);
	expect("module xen-blkback", ZL_CHECK_OK, "loaded");
}
END_TEST

START_TEST(files)
{
	char image[1028] = {0};
	char *path = zl_arena_printf(&arena, "%s%s", root, config.zone.root_image);

	put(config.zone.kernel, "kernel", 0644);
	expect("zone kernel", ZL_CHECK_OK, config.zone.kernel);
	put(config.zone.root_image, "not an image", 0644);
	expect("zone root", ZL_CHECK_MISSING, "is not an EROFS image");
	memcpy(image + 1024, "\xe2\xe1\xf5\xe0", 4);
	ck_assert_int_eq(zl_file_write_atomic(path, image, sizeof(image), 0644, &err), 0);
	expect("zone root", ZL_CHECK_OK, config.zone.root_image);
	put(config.images.puller, "x", 0755);
	expect("image puller", ZL_CHECK_OK, config.images.puller);
	put("/usr/bin/crun", "x", 0755);
	expect("crun", ZL_CHECK_OK, "/usr/bin/crun");
}
END_TEST

START_TEST(apparmor)
{
	expect("AppArmor", ZL_CHECK_SKIPPED, "");
	put("/sys/module/apparmor/parameters/enabled", "N\n", 0444);
	expect("AppArmor", ZL_CHECK_SKIPPED, "");
	put("/sys/module/apparmor/parameters/enabled", "Y\n", 0444);
	expect("AppArmor", ZL_CHECK_WARNING, "run without a profile");
	put("/usr/sbin/apparmor_parser", "x", 0755);
	expect("AppArmor", ZL_CHECK_OK, "can be loaded");
}
END_TEST

START_TEST(cni)
{
	expect("CNI", ZL_CHECK_MISSING, "no configuration in /etc/cni/net.d");
	put("/etc/cni/net.d/20-late.conflist", "{", 0644);
	put("/etc/cni/net.d/.placeholder", "", 0644);
	expect("CNI", ZL_CHECK_MISSING, "20-late.conflist");
	put("/etc/cni/net.d/10-first.conflist",
	        "{\"plugins\": [{\"type\": \"bridge\", \"ipam\": {\"type\": \"host-local\"}},"
	        " {\"type\": \"portmap\"}]}",
	        0644);
	put("/usr/lib/cni/bridge", "x", 0755);
	expect("CNI", ZL_CHECK_MISSING, "10-first.conflist wants the plugins: host-local portmap");
	put("/usr/lib/cni/host-local", "x", 0755);
	put("/opt/cni/bin/portmap", "x", 0755);
	expect("CNI", ZL_CHECK_OK, "/etc/cni/net.d/10-first.conflist");
}
END_TEST

START_TEST(without_zones_xen_does_not_matter)
{
	static const char *const host[] = {"host", NULL};

	config.handlers = host;
	expect("Xen", ZL_CHECK_SKIPPED, "");
	expect("zone kernel", ZL_CHECK_SKIPPED, "");
	expect("crun", ZL_CHECK_MISSING, "not there");
}
END_TEST

// ---- pods

static const struct zl_pod pods[] = {
        {.id = "aaaa1111", .namespace_ = "default", .name = "web", .state = "notready"},
        {.id = "aaaa2222", .namespace_ = "default", .name = "web", .state = "ready"},
        {.id = "bbbb1111", .namespace_ = "prod", .name = "db", .state = "ready"},
        {.id = "bbbb2222", .namespace_ = "test", .name = "db", .state = "ready"},
        {.id = "cccc1111", .namespace_ = "test", .name = "old", .state = "notready"},
};

static const struct {
	const char *what;
	const char *id; // NULL: not found
	enum zl_code code;
} finds[] = {
        {"web", "aaaa2222", ZL_OK}, // the one that is ready
        {"aaaa1111", "aaaa1111", ZL_OK},
        {"aaaa1", "aaaa1111", ZL_OK},
        {"bbbb", NULL, ZL_INVALID_ARGUMENT},
        {"db", NULL, ZL_INVALID_ARGUMENT},
        {"prod/db", "bbbb1111", ZL_OK},
        {"prod/web", NULL, ZL_NOT_FOUND},
        {"pro/db", NULL, ZL_NOT_FOUND},
        {"old", "cccc1111", ZL_OK},
        {"aaa", NULL, ZL_NOT_FOUND}, // too short for an id
        {"", NULL, ZL_NOT_FOUND},
        {"/", NULL, ZL_NOT_FOUND},
};

START_TEST(pod_by_name)
{
	const struct zl_pod *pod = zl_pods_find(pods, ZL_ARRAY_SIZE(pods), finds[_i].what, &err);

	ck_assert_msg(
	        (pod != NULL) == (finds[_i].id != NULL), "%s: %s", finds[_i].what, err.message);
	if (pod != NULL)
		ck_assert_str_eq(pod->id, finds[_i].id);
	ck_assert_int_eq(err.code, finds[_i].code);
}
END_TEST

START_TEST(pod_info)
{
	static const char *const rubbish[] = {"", "[]", "{", "{\"domid\": \"7\", \"name\": 3}",
	        "{\"domid\": 1e99, \"vcpus\": null}"};
	struct zl_pod pod = {.domid = -1, .handler = "h", .domain_name = "", .reason = ""};

	for (size_t i = 0; i < ZL_ARRAY_SIZE(rubbish); i++)
		zl_pod_read_info(&pod, rubbish[i], &arena);
	ck_assert_int_eq(pod.domid, -1);
	ck_assert_str_eq(pod.handler, "h");
	zl_pod_read_info(&pod,
	        "{\"handler\": \"zone\", \"domid\": 7, \"name\": \"zl-x\", \"memoryBytes\": "
	        "268435456, \"vcpus\": 2, \"uptimeNs\": 5000000000, \"reason\": \"r\"}",
	        &arena);
	ck_assert_int_eq(pod.domid, 7);
	ck_assert_str_eq(pod.handler, "zone");
	ck_assert_str_eq(pod.domain_name, "zl-x");
	ck_assert_int_eq(pod.memory_bytes, 268435456);
	ck_assert_int_eq(pod.vcpus, 2);
	ck_assert_int_eq(pod.uptime_ns, 5000000000);
	ck_assert_str_eq(pod.reason, "r");
}
END_TEST

// ---- console

START_TEST(console_is_cleaned)
{
	static const char dirty[] = "a\x1b[2J\r\n\tb\x07\0\x7f\xc3\xa9";
	zl_auto(buffer) struct zl_buffer clean = ZL_BUFFER_INIT;

	ck_assert_int_eq(zl_console_clean(dirty, sizeof(dirty) - 1, &clean, &err), 0);
	ck_assert_str_eq(zl_buffer_string(&clean), "a^[[2J\n\tb^G^@^?\xc3\xa9");
}
END_TEST

START_TEST(console_once)
{
	zl_auto(buffer) struct zl_buffer got = ZL_BUFFER_INIT;
	char *path = zl_arena_printf(&arena, "%s/guest-x.log", root);
	int pipe_fds[2];

	ck_assert_int_eq(pipe(pipe_fds), 0);
	ck_assert_int_eq(zl_console_copy(path, false, false, pipe_fds[1], NULL, &err), -1);
	ck_assert_int_eq(err.code, ZL_NOT_FOUND);
	ck_assert_ptr_nonnull(strstr(err.message, "XENCONSOLED_TRACE=guest"));
	put("/guest-x.log", "Linux\x1b\r\n", 0600);
	ck_assert_int_eq(zl_console_copy(path, _i == 1, false, pipe_fds[1], NULL, &err), 0);
	(void)close(pipe_fds[1]);
	ck_assert_int_eq(zl_buffer_read_all(&got, pipe_fds[0], &err), 0);
	ck_assert_str_eq(zl_buffer_string(&got), _i == 1 ? "Linux\x1b\r\n" : "Linux^[\n");
	(void)close(pipe_fds[0]);
}
END_TEST

struct follow {
	const char *path;
	int out_fd;
	struct zl_cancel cancel;
	int result;
};

static void *follow_run(void *user)
{
	struct follow *follow = user;

	follow->result =
	        zl_console_copy(follow->path, true, true, follow->out_fd, &follow->cancel, NULL);
	(void)close(follow->out_fd);
	return NULL;
}

static void expect_text(int fd, const char *text)
{
	char got[256] = "";

	for (size_t used = 0; used < strlen(text);) {
		ssize_t length = read(fd, got + used, strlen(text) - used);

		ck_assert_int_gt(length, 0);
		used += (size_t)length;
	}
	ck_assert_str_eq(got, text);
}

static void append(const char *path, const char *text)
{
	zl_auto(fd) int fd = open(path, O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC, 0600);

	ck_assert_int_eq(write(fd, text, strlen(text)), (ssize_t)strlen(text));
}

// The file is made, grows, is cut, and is replaced, all while it is followed.
START_TEST(console_followed)
{
	char *path = zl_arena_printf(&arena, "%s/guest-x.log", root);
	struct follow follow = {.path = path, .cancel = ZL_CANCEL_INIT, .result = -1};
	pthread_t thread;
	int pipe_fds[2];
	char byte;

	ck_assert_int_eq(pipe(pipe_fds), 0);
	follow.out_fd = pipe_fds[1];
	ck_assert_int_eq(zl_cancel_init(&follow.cancel, INT64_MAX, NULL, &err), 0);
	ck_assert_int_eq(pthread_create(&thread, NULL, follow_run, &follow), 0);
	append(path, "one\n");
	expect_text(pipe_fds[0], "one\n");
	append(path, "two two two\n");
	expect_text(pipe_fds[0], "two two two\n");
	ck_assert_int_eq(truncate(path, 0), 0);
	append(path, "3\n");
	expect_text(pipe_fds[0], "3\n");
	ck_assert_int_eq(rename(path, zl_arena_printf(&arena, "%s.1", path)), 0);
	append(path, "four\n");
	expect_text(pipe_fds[0], "four\n");
	zl_cancel_fire(&follow.cancel);
	ck_assert_int_eq(pthread_join(thread, NULL), 0);
	ck_assert_int_eq(follow.result, 0);
	ck_assert_int_eq(read(pipe_fds[0], &byte, 1), 0);
	(void)close(pipe_fds[0]);
	zl_cancel_release(&follow.cancel);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("zonectl");
	TCase *tcase = tcase_create("zonectl");
	SRunner *runner = srunner_create(suite);
	int failed;

	tcase_set_timeout(tcase, 60);
	tcase_add_checked_fixture(tcase, setup, teardown);
	tcase_add_test(tcase, an_empty_machine_lacks_everything);
	tcase_add_test(tcase, xen);
	tcase_add_test(tcase, pvh);
	tcase_add_test(tcase, xenconsoled);
	tcase_add_test(tcase, modules);
	tcase_add_test(tcase, files);
	tcase_add_test(tcase, apparmor);
	tcase_add_test(tcase, cni);
	tcase_add_test(tcase, without_zones_xen_does_not_matter);
	tcase_add_loop_test(tcase, pod_by_name, 0, ZL_ARRAY_SIZE(finds));
	tcase_add_test(tcase, pod_info);
	tcase_add_test(tcase, console_is_cleaned);
	tcase_add_loop_test(tcase, console_once, 0, 2);
	tcase_add_test(tcase, console_followed);
	suite_add_tcase(suite, tcase);
	srunner_run_all(runner, CK_NORMAL);
	failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
