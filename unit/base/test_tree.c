// SPDX-License-Identifier: Apache-2.0
//
// Removal of trees that a container may have made.
#include "unit/base/suites.h"

#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <stdlib.h>
#include <sys/mount.h>
#include <sys/resource.h>
#include <sys/stat.h>

#include "base/cleanup.h"
#include "base/file.h"

static char directory[64];

static void make_directory(void)
{
	(void)strcpy(directory, "/tmp/zl-unit-tree.XXXXXX");
	ck_assert_ptr_nonnull(mkdtemp(directory));
	ck_assert_int_eq(chdir(directory), 0);
}

static void remove_directory(void)
{
	ck_assert_int_eq(chdir("/"), 0);
	ck_assert_int_eq(zl_tree_remove(directory, NULL), 0);
}

static void make_file(const char *path)
{
	int fd = open(path, O_WRONLY | O_CREAT | O_CLOEXEC, 0600);

	ck_assert_int_ge(fd, 0);
	zl_close(fd);
}

static bool exists(const char *path)
{
	struct stat status;

	return lstat(path, &status) == 0;
}

START_TEST(removes_every_kind_of_file)
{
	struct zl_error err = ZL_ERROR_INIT;

	ck_assert_int_eq(mkdir("t", 0700), 0);
	ck_assert_int_eq(mkdir("t/empty", 0), 0);
	ck_assert_int_eq(mkdir("t/d", 0700), 0);
	make_file("t/d/f");
	ck_assert_int_eq(link("t/d/f", "t/hard"), 0);
	ck_assert_int_eq(mkfifo("t/fifo", 0600), 0);
	ck_assert_int_eq(symlink("nowhere", "t/dangling"), 0);
	ck_assert_int_eq(symlink("loop", "t/loop"), 0);
	make_file("t/\xff\n odd");
	ck_ok(zl_tree_remove("t", &err), err);
	ck_assert(!exists("t"));
	ck_ok(zl_tree_remove("t", &err), err);
	ck_ok(zl_tree_remove("no/such/t", &err), err);
}
END_TEST

START_TEST(takes_files_and_odd_paths)
{
	struct zl_error err = ZL_ERROR_INIT;
	char path[128];

	make_file("f");
	ck_ok(zl_tree_remove("f", &err), err);
	ck_assert(!exists("f"));
	ck_assert_int_eq(mkdir("d", 0700), 0);
	(void)snprintf(path, sizeof(path), "%s/d///", directory);
	ck_ok(zl_tree_remove(path, &err), err);
	ck_assert(!exists("d"));
	ck_assert_int_eq(zl_tree_remove("/", &err), -1);
	ck_error(err, ZL_INVALID_ARGUMENT, "bad path");
	ck_assert_int_eq(zl_tree_remove("", &err), -1);
	ck_assert_int_eq(err.code, ZL_INVALID_ARGUMENT);
	ck_assert_int_eq(zl_tree_remove(".", &err), -1);
	ck_assert_int_eq(zl_tree_remove("a/..", &err), -1);
	ck_assert_int_eq(err.code, ZL_INVALID_ARGUMENT);
}
END_TEST

// Links out of the tree, as its top, within it, and as a directory's name.
START_TEST(follows_no_link)
{
	struct zl_error err = ZL_ERROR_INIT;

	ck_assert_int_eq(mkdir("outside", 0700), 0);
	make_file("outside/precious");
	ck_assert_int_eq(mkdir("t", 0700), 0);
	ck_assert_int_eq(symlink("../outside", "t/relative"), 0);
	ck_assert_int_eq(symlink("/etc", "t/absolute"), 0);
	ck_assert_int_eq(symlink("../outside/precious", "t/file"), 0);
	ck_ok(zl_tree_remove("t", &err), err);
	ck_assert(!exists("t"));
	ck_assert(exists("outside/precious"));
	ck_assert(exists("/etc/passwd"));
	ck_assert_int_eq(symlink("outside", "link"), 0);
	ck_ok(zl_tree_remove("link", &err), err);
	ck_assert(!exists("link"));
	ck_assert(exists("outside/precious"));
}
END_TEST

static void private_mounts(void)
{
	ck_assert_int_eq(unshare(CLONE_NEWNS), 0);
	ck_assert_int_eq(mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL), 0);
}

// A bind mount of the same file system has the same device number as the tree.
START_TEST(enters_no_mount)
{
	struct zl_error err = ZL_ERROR_INIT;

	private_mounts();
	ck_assert_int_eq(mkdir("volume", 0700), 0);
	make_file("volume/precious");
	ck_assert_int_eq(mkdir("t", 0700), 0);
	ck_assert_int_eq(mkdir("t/bind", 0700), 0);
	ck_assert_int_eq(mount("volume", "t/bind", NULL, MS_BIND, NULL), 0);
	ck_assert_int_eq(zl_tree_remove("t", &err), -1);
	ck_error(err, ZL_FAILED_PRECONDITION, "bind is a mount point");
	ck_assert(exists("volume/precious"));
	ck_assert_int_eq(zl_tree_remove("t/bind", &err), -1);
	ck_error(err, ZL_FAILED_PRECONDITION, "bind is a mount point");
	ck_assert(exists("volume/precious"));
	ck_assert_int_eq(umount2("t/bind", MNT_DETACH), 0);
	ck_ok(zl_tree_remove("t", &err), err);
	ck_assert(!exists("t"));
}
END_TEST

START_TEST(enters_no_other_file_system)
{
	struct zl_error err = ZL_ERROR_INIT;

	private_mounts();
	ck_assert_int_eq(mkdir("t", 0700), 0);
	ck_assert_int_eq(mkdir("t/tmp", 0700), 0);
	ck_assert_int_eq(mount("none", "t/tmp", "tmpfs", 0, NULL), 0);
	make_file("t/tmp/precious");
	make_file("t/file");
	make_file("other");
	ck_assert_int_eq(mount("other", "t/file", NULL, MS_BIND, NULL), 0);
	ck_assert_int_eq(zl_tree_remove("t/tmp", &err), -1);
	ck_error(err, ZL_FAILED_PRECONDITION, "mount point");
	ck_assert(exists("t/tmp/precious"));
	ck_assert_int_eq(zl_tree_remove("t/file", &err), -1);
	ck_error(err, ZL_FAILED_PRECONDITION, "mount point");
	ck_assert_int_eq(umount2("t/file", MNT_DETACH), 0);
	ck_assert_int_eq(umount2("t/tmp", MNT_DETACH), 0);
	ck_ok(zl_tree_remove("t", &err), err);
}
END_TEST

// Nests `depth` directories, each with a file beside the next.
static void nest(const char *top, int depth)
{
	int here;

	ck_assert_int_eq(mkdir(top, 0700), 0);
	here = open(top, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	for (int i = 0; i < depth; i++) {
		int next;

		if (mkdirat(here, "deeper", 0700) < 0)
			ck_abort_msg("mkdirat: %m");
		zl_close(openat(here, "file", O_WRONLY | O_CREAT | O_CLOEXEC, 0600));
		next = openat(here, "deeper", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
		if (next < 0)
			ck_abort_msg("openat: %m");
		zl_close(here);
		here = next;
	}
	zl_close(here);
}

// Far deeper than a path can name, than descriptors last, and than the stack would allow.
START_TEST(removes_however_deep)
{
	struct zl_error err = ZL_ERROR_INIT;
	struct rlimit few = {.rlim_cur = 200, .rlim_max = 4096};

	ck_assert_int_eq(setrlimit(RLIMIT_NOFILE, &few), 0);
	nest("t", 5000);
	// What it moves things to may be there already.
	make_file("t/.zl-removed-0");
	ck_assert_int_eq(mkdir("t/.zl-removed-1", 0700), 0);
	ck_ok(zl_tree_remove("t", &err), err);
	ck_assert(!exists("t"));
}
END_TEST

START_TEST(removes_however_wide)
{
	struct zl_error err = ZL_ERROR_INIT;
	char name[32];

	ck_assert_int_eq(mkdir("t", 0700), 0);
	for (int i = 0; i < 3000; i++) {
		(void)snprintf(name, sizeof(name), "t/%d", i);
		if (i % 3 == 0)
			ck_assert_int_eq(mkdir(name, 0700), 0);
		else
			make_file(name);
	}
	ck_ok(zl_tree_remove("t", &err), err);
	ck_assert(!exists("t"));
}
END_TEST

SUITE_WITH(tree, make_directory, remove_directory, removes_every_kind_of_file,
        takes_files_and_odd_paths, follows_no_link, enters_no_mount, enters_no_other_file_system,
        removes_however_deep, removes_however_wide)
