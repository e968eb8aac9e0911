// SPDX-License-Identifier: Apache-2.0
#include <check.h>
#include <fcntl.h>
#include <jansson.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/file.h"
#include "unit/zone/tests.h"
#include "zone/supervisor/command.h"

static char root[] = "/tmp/zl-command-XXXXXX";

static void make(const char *name, mode_t mode)
{
	char path[128];

	(void)snprintf(path, sizeof(path), "%s/%s", root, name);
	ck_assert_int_eq(zl_close(open(path, O_CREAT | O_WRONLY | O_CLOEXEC, mode)), -1);
}

static enum zl_code diagnose(const char *name, const char *cwd)
{
	json_t *process = json_pack(
	        "{s:[s], s:s, s:[s]}", "args", name, "cwd", cwd, "env", "PATH=/none:/bin:/link");
	enum zl_code code = zl_command_diagnose(process, root);

	json_decref(process);
	return code;
}

START_TEST(looks)
{
	char path[128];

	ck_assert_ptr_nonnull(mkdtemp(root));
	(void)snprintf(path, sizeof(path), "%s/bin", root);
	ck_assert_int_eq(mkdir(path, 0755), 0);
	make("bin/run", 0755);
	make("bin/text", 0644);
	(void)snprintf(path, sizeof(path), "%s/link", root);
	ck_assert_int_eq(symlink("/bin", path), 0);
	(void)snprintf(path, sizeof(path), "%s/out", root);
	ck_assert_int_eq(symlink("../../../../bin/sh", path), 0);

	ck_assert_int_eq(diagnose("run", "/"), ZL_INTERNAL); // it is there: something else
	ck_assert_int_eq(diagnose("/bin/run", "/"), ZL_INTERNAL);
	ck_assert_int_eq(diagnose("./run", "/bin"), ZL_INTERNAL);
	ck_assert_int_eq(diagnose("nothing", "/"), ZL_NOT_FOUND);
	ck_assert_int_eq(diagnose("/nothing", "/"), ZL_NOT_FOUND);
	ck_assert_int_eq(diagnose("text", "/"), ZL_INVALID_ARGUMENT);
	ck_assert_int_eq(diagnose("/bin", "/"), ZL_INVALID_ARGUMENT);
	ck_assert_int_eq(diagnose("run", "/nowhere"), ZL_INVALID_ARGUMENT);
	// Links do not lead out of the root.
	ck_assert_int_eq(diagnose("/out", "/"), ZL_NOT_FOUND);
	ck_assert_int_eq(zl_tree_remove(root, NULL), 0);
}
END_TEST

TCase *command_tests(void)
{
	TCase *tests = tcase_create("command");

	tcase_add_test(tests, looks);
	return tests;
}
