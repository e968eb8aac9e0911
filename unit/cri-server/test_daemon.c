// SPDX-License-Identifier: Apache-2.0
//
// zoneletd as a process: its main program, with stub services, run and signalled.
#include <check.h>
#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/wait.h>

#include "api.pb-c.h"
#include "base/file.h"
#include "base/spawn.h"
#include "cri-server/rpc/client.h"

extern char **environ;

static struct {
	char directory[64];
	char config[96];
	char socket[96];
	char log[96];
	int notify_fd; // stands for systemd
	struct zl_process process;
	struct zl_arena arena;
	struct zl_error err;
} t;

static void write_config(const char *level)
{
	zl_auto(buffer) struct zl_buffer text = ZL_BUFFER_INIT;

	ck_assert_int_eq(zl_buffer_printf(&text, &t.err,
	                         "socket: %s\nroot_dir: %s/root\nrun_dir: %s/run\nlog_level: %s\n",
	                         t.socket, t.directory, t.directory, level),
	        0);
	ck_assert_int_eq(zl_file_write_atomic(t.config, text.data, text.length, 0600, &t.err), 0);
}

static void setup(void)
{
	struct sockaddr_un address = {.sun_family = AF_UNIX};

	memset(&t, 0, sizeof(t));
	t.process = (struct zl_process)ZL_PROCESS_INIT;
	strcpy(t.directory, "/tmp/zl-daemon-XXXXXX");
	ck_assert_ptr_nonnull(mkdtemp(t.directory));
	(void)snprintf(t.config, sizeof(t.config), "%s/zoneletd.yaml", t.directory);
	(void)snprintf(t.socket, sizeof(t.socket), "%s/sockets/z.sock", t.directory);
	(void)snprintf(t.log, sizeof(t.log), "%s/log", t.directory);
	(void)snprintf(address.sun_path, sizeof(address.sun_path), "%s/notify", t.directory);
	t.notify_fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	ck_assert_int_eq(bind(t.notify_fd, (struct sockaddr *)&address, sizeof(address)), 0);
	ck_assert_int_eq(setenv("NOTIFY_SOCKET", address.sun_path, 1), 0);
	ck_assert_int_eq(unsetenv("JOURNAL_STREAM"), 0);
	write_config("info");
}

static void teardown(void)
{
	zl_process_end(&t.process);
	(void)zl_close(t.notify_fd);
	zl_arena_release(&t.arena);
	ck_assert_int_eq(zl_tree_remove(t.directory, &t.err), 0);
}

static void start(void)
{
	const char *const argv[] = {"zoneletd", "--config", t.config, NULL};
	zl_auto(fd) int log = open(t.log, O_CREAT | O_WRONLY | O_APPEND | O_CLOEXEC, 0600);
	struct zl_spawn spawn = ZL_SPAWN_INIT;

	spawn.program = ZL_TEST_ZONELETD;
	spawn.argv = argv;
	spawn.env = (const char *const *)environ;
	spawn.stderr_fd = log;
	ck_assert_msg(zl_spawn_start(&spawn, &t.process, &t.err) == 0, "%s", t.err.message);
}

// The next message to systemd that has `text` in it.
static void await_notify(const char *text)
{
	char message[4096];
	ssize_t length;

	do {
		length = recv(t.notify_fd, message, sizeof(message) - 1, 0);
		ck_assert_int_gt(length, 0);
		message[length] = '\0';
	} while (strstr(message, text) == NULL);
}

static int end_status(int timeout_ms)
{
	int status;

	ck_assert_msg(zl_process_wait(&t.process, NULL, timeout_ms, &status, &t.err) == 0, "%s",
	        t.err.message);
	ck_assert_msg(WIFEXITED(status), "status %x", (unsigned)status);
	return WEXITSTATUS(status);
}

static const char *read_log(void)
{
	zl_auto(buffer) struct zl_buffer text = ZL_BUFFER_INIT;

	ck_assert_int_eq(zl_file_read(t.log, 1 << 20, &text, &t.err), 0);
	return zl_arena_strdup(&t.arena, zl_buffer_string(&text));
}

static void check_version(void)
{
	Runtime__V1__VersionRequest request = RUNTIME__V1__VERSION_REQUEST__INIT;
	zl_auto(rpc_client) struct zl_rpc_client *client = zl_rpc_client_open(t.socket, &t.err);
	Runtime__V1__VersionResponse *response =
	        ZL_CRI_CALL(client, runtime_service, Version, &request, &t.arena, 30000, &t.err);

	ck_assert_msg(response != NULL, "%s", t.err.message);
	ck_assert_str_eq(response->runtime_version, "0.0.test");
}

START_TEST(starts_serves_and_stops)
{
	start();
	await_notify("READY=1");
	check_version();
	ck_assert_int_eq(kill(t.process.pid, _i == 0 ? SIGTERM : SIGINT), 0);
	await_notify("STOPPING=1");
	ck_assert_int_eq(end_status(60000), 0);
	ck_assert_int_ne(access(t.socket, F_OK), 0);
	ck_assert_ptr_nonnull(strstr(read_log(), "pods go on"));
}
END_TEST

START_TEST(second_daemon_is_refused)
{
	struct zl_process first;

	start();
	await_notify("READY=1");
	first = t.process;
	start();
	ck_assert_int_eq(end_status(60000), 1);
	ck_assert_ptr_nonnull(strstr(read_log(), "another zoneletd works on"));
	t.process = first;
	check_version();
}
END_TEST

START_TEST(comes_back_after_kill)
{
	start();
	await_notify("READY=1");
	zl_process_end(&t.process); // SIGKILL: the socket stays
	ck_assert_int_eq(access(t.socket, F_OK), 0);
	start();
	await_notify("READY=1");
	check_version();
}
END_TEST

START_TEST(reloads_the_log_level)
{
	start();
	await_notify("READY=1");
	write_config("debug");
	ck_assert_int_eq(kill(t.process.pid, SIGHUP), 0);
	ck_assert_int_eq(kill(t.process.pid, SIGTERM), 0);
	ck_assert_int_eq(end_status(60000), 0);
	ck_assert_ptr_nonnull(strstr(read_log(), "reload: log level debug"));
}
END_TEST

START_TEST(bad_config_is_told)
{
	ck_assert_int_eq(zl_file_write_atomic(t.config, "sockt: x\n", 9, 0600, &t.err), 0);
	start();
	ck_assert_int_eq(end_status(60000), 1);
	ck_assert_ptr_nonnull(strstr(read_log(), "zoneletd.yaml:1: unknown key \"sockt\""));
}
END_TEST

START_TEST(watchdog_is_fed)
{
	ck_assert_int_eq(setenv("WATCHDOG_USEC", "20000", 1), 0);
	start();
	await_notify("READY=1");
	await_notify("WATCHDOG=1");
	await_notify("WATCHDOG=1");
}
END_TEST

static const struct {
	const char *argv[6];
	int status;
	const char *output;
} commands[] = {
        {{"zoneletd", "--version", NULL}, 0, "zoneletd 0.0.test\n"},
        {{"zoneletd", "--help", NULL}, 0, "--config FILE"},
        {{"zoneletd", "config", "default", NULL}, 0, "\n  # Kernel of the zones.\n  kernel: "},
        {{"zoneletd", "config", "doc", NULL}, 0, "| `zone.kernel` |"},
        {{"zoneletd", "config", "nonsense", NULL}, 1, ""},
        {{"zoneletd", "nonsense", NULL}, 1, ""},
        {{"zoneletd", "--config", "/nonexistent", "config", "check", NULL}, 1, ""},
        {{"zoneletd", "--log-level", "loud", NULL}, 1, ""},
};

START_TEST(command_line)
{
	zl_auto(buffer) struct zl_buffer out = ZL_BUFFER_INIT;
	zl_auto(buffer) struct zl_buffer diagnostics = ZL_BUFFER_LIMIT(65536);
	struct zl_spawn spawn = ZL_SPAWN_INIT;
	int status;

	spawn.program = ZL_TEST_ZONELETD;
	spawn.argv = commands[_i].argv;
	ck_assert_msg(zl_spawn_run(&spawn, NULL, 0, &out, &diagnostics, NULL, 60000, &status,
	                      &t.err) == 0,
	        "%s", t.err.message);
	ck_assert(WIFEXITED(status));
	ck_assert_int_eq(WEXITSTATUS(status), commands[_i].status);
	ck_assert_ptr_nonnull(strstr(zl_buffer_string(&out), commands[_i].output));
	if (commands[_i].status != 0)
		ck_assert_uint_gt(diagnostics.length, 0);
}
END_TEST

START_TEST(config_check_and_dump)
{
	const char *argv[] = {
	        "zoneletd", "--config", t.config, "config", _i == 0 ? "check" : "dump", NULL};
	zl_auto(buffer) struct zl_buffer out = ZL_BUFFER_INIT;
	struct zl_spawn spawn = ZL_SPAWN_INIT;
	int status;

	spawn.program = ZL_TEST_ZONELETD;
	spawn.argv = argv;
	ck_assert_int_eq(
	        zl_spawn_run(&spawn, NULL, 0, &out, NULL, NULL, 60000, &status, &t.err), 0);
	ck_assert_int_eq(status, 0);
	ck_assert_ptr_nonnull(strstr(zl_buffer_string(&out), _i == 0 ? "is valid" : t.socket));
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("daemon");
	TCase *tcase = tcase_create("daemon");
	SRunner *runner = srunner_create(suite);
	int failed;

	tcase_set_timeout(tcase, 90);
	tcase_add_checked_fixture(tcase, setup, teardown);
	tcase_add_loop_test(tcase, starts_serves_and_stops, 0, 2);
	tcase_add_test(tcase, second_daemon_is_refused);
	tcase_add_test(tcase, comes_back_after_kill);
	tcase_add_test(tcase, reloads_the_log_level);
	tcase_add_test(tcase, bad_config_is_told);
	tcase_add_test(tcase, watchdog_is_fed);
	tcase_add_loop_test(tcase, command_line, 0, ZL_ARRAY_SIZE(commands));
	tcase_add_loop_test(tcase, config_check_and_dump, 0, 2);
	suite_add_tcase(suite, tcase);
	srunner_run_all(runner, CK_NORMAL);
	failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
