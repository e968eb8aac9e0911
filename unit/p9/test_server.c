// SPDX-License-Identifier: Apache-2.0
//
// The file server by messages, without threads: what Linux's client relies on, and what it must
// never be able to do.
#include <check.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/xattr.h>

#include "base/cleanup.h"
#include "unit/p9/client.h"

static struct client *c;

static void setup(void)
{
	c = client_open();
}

static void teardown(void)
{
	client_close(c);
}

// ---- files

START_TEST(a_file_is_made_written_read_renamed_unlinked)
{
	char path[256];

	ck_assert_int_eq(walk(c, DIR_FID, 3, ""), 0);
	ck_assert_int_eq(create(c, 3, "f", O_RDWR, 0640), 0);
	ck_assert_int_eq(put(c, 3, 0, "hello"), 0);
	ck_assert_int_eq(put(c, 3, 5, " world"), 0);
	ck_assert_str_eq(get(c, 3, 3), "lo world");
	ck_assert_int_eq(ask(c, (struct zl_p9_message){.type = ZL_P9_TFSYNC, .fid = 3}), 0);
	ck_assert_int_eq(ask(c, (struct zl_p9_message){.type = ZL_P9_TRENAMEAT,
	                                .fid = DIR_FID,
	                                .name = text("f"),
	                                .other_fid = DIR_FID,
	                                .new_name = text("g")}),
	        0);
	ck_assert_int_eq(access(host_path(c, "g", path), F_OK), 0);
	ck_assert_int_eq(ask(c, (struct zl_p9_message){.type = ZL_P9_TUNLINKAT,
	                                .fid = DIR_FID,
	                                .name = text("g")}),
	        0);
	ck_assert_int_ne(access(path, F_OK), 0);
	ck_assert_str_eq(get(c, 3, 0), "hello world");
	ck_assert_int_eq(put(c, 3, 0, "H"), 0);
	ck_assert_int_eq(ask(c, (struct zl_p9_message){.type = ZL_P9_TGETATTR,
	                                .fid = 3,
	                                .mask = ZL_P9_GET_BASIC}),
	        0);
	ck_assert_uint_eq(c->answer.links, 0);
	ck_assert_uint_eq(c->answer.size, 11);
	ck_assert_uint_eq(c->answer.mode, S_IFREG | 0640);
	ck_assert_int_eq(clunk(c, 3), 0);
	ck_assert_int_eq(clunk(c, 3), EBADF);
}
END_TEST

START_TEST(attributes_are_set)
{
	struct stat status;
	char path[256];

	host_write(c, "f", "0123456789");
	ck_assert_int_eq(walk(c, DIR_FID, 3, "f"), 0);
	ck_assert_int_eq(ask(c, (struct zl_p9_message){.type = ZL_P9_TSETATTR,
	                                .fid = 3,
	                                .valid = ZL_P9_SET_MODE | ZL_P9_SET_SIZE | ZL_P9_SET_ATIME |
	                                         ZL_P9_SET_ATIME_GIVEN | ZL_P9_SET_MTIME |
	                                         ZL_P9_SET_MTIME_GIVEN | ZL_P9_SET_CTIME,
	                                .mode = 04711,
	                                .size = 4,
	                                .access_time = {100, 1},
	                                .modify_time = {200, 2}}),
	        0);
	ck_assert_int_eq(stat(host_path(c, "f", path), &status), 0);
	ck_assert_uint_eq(status.st_mode & 07777, 04711);
	ck_assert_int_eq(status.st_size, 4);
	ck_assert_int_eq(status.st_atim.tv_sec, 100);
	ck_assert_int_eq(status.st_mtim.tv_sec, 200);
	ck_assert_int_eq(status.st_mtim.tv_nsec, 2);
	ck_assert_int_eq(ask(c, (struct zl_p9_message){.type = ZL_P9_TSETATTR,
	                                .fid = 3,
	                                .valid = ZL_P9_SET_MTIME | ZL_P9_SET_MTIME_GIVEN,
	                                .modify_time = {1, 1000000000}}),
	        EINVAL);
	ck_assert_int_eq(ask(c, (struct zl_p9_message){.type = ZL_P9_TSETATTR,
	                                .fid = DIR_FID,
	                                .valid = ZL_P9_SET_SIZE}),
	        EISDIR);
}
END_TEST

START_TEST(links_of_both_kinds)
{
	host_write(c, "f", "x");
	ck_assert_int_eq(walk(c, DIR_FID, 3, "f"), 0);
	ck_assert_int_eq(ask(c, (struct zl_p9_message){.type = ZL_P9_TLINK,
	                                .fid = DIR_FID,
	                                .other_fid = 3,
	                                .name = text("hard")}),
	        0);
	ck_assert_int_eq(ask(c, (struct zl_p9_message){.type = ZL_P9_TSYMLINK,
	                                .fid = DIR_FID,
	                                .name = text("soft"),
	                                .new_name = text("/etc/passwd")}),
	        0);
	ck_assert_uint_eq(c->answer.qid.type, ZL_P9_QID_SYMLINK);
	ck_assert_int_eq(walk(c, DIR_FID, 4, "soft"), 0);
	ck_assert_int_eq(ask(c, (struct zl_p9_message){.type = ZL_P9_TREADLINK, .fid = 4}), 0);
	ck_assert_uint_eq(c->answer.new_name.length, 11);
	ck_assert_int_eq(memcmp(c->answer.new_name.bytes, "/etc/passwd", 11), 0);
	// A link to a link is one to the link itself.
	ck_assert_int_eq(ask(c, (struct zl_p9_message){.type = ZL_P9_TLINK,
	                                .fid = DIR_FID,
	                                .other_fid = 4,
	                                .name = text("soft2")}),
	        0);
	ck_assert_int_eq(walk(c, DIR_FID, 5, "soft2"), 0);
	ck_assert_uint_eq(c->answer.qids[0].type, ZL_P9_QID_SYMLINK);
	ck_assert_int_eq(walk(c, DIR_FID, 6, "hard"), 0);
	ck_assert_int_eq(ask(c, (struct zl_p9_message){.type = ZL_P9_TGETATTR, .fid = 6}), 0);
	ck_assert_uint_eq(c->answer.links, 2);
}
END_TEST

// Every name once, with offsets that stay good while others come and go.
START_TEST(directories_are_listed_in_parts)
{
	enum { FILES = 300 };
	bool seen[FILES] = {false};
	struct zl_p9_message request = {.type = ZL_P9_TREADDIR, .fid = 3, .count = 500};
	unsigned found = 0;
	char name[32];

	for (int i = 0; i < FILES; i++) {
		(void)snprintf(name, sizeof(name), "file-%d", i);
		host_write(c, name, "");
	}
	ck_assert_int_eq(walk(c, DIR_FID, 3, ""), 0);
	ck_assert_int_eq(lopen(c, 3, O_RDONLY | O_DIRECTORY), 0);
	for (;;) {
		size_t at = 0;

		ck_assert_int_eq(ask(c, request), 0);
		if (c->answer.data_length == 0)
			break;
		ck_assert_uint_le(c->answer.data_length, 500);
		while (at < c->answer.data_length) {
			const uint8_t *entry = c->answer.data + at;
			size_t length = entry[22] | (size_t)entry[23] << 8;

			memcpy(&request.offset, entry + 13, 8);
			memcpy(name, entry + 24, length);
			name[length] = '\0';
			at += 24 + length;
			if (strncmp(name, "file-", 5) == 0) {
				long number = strtol(name + 5, NULL, 10);

				ck_assert(!seen[number]);
				seen[number] = true;
				found++;
			}
		}
	}
	ck_assert_uint_eq(found, FILES);
	request.offset = 0;
	request.count = 10;
	ck_assert_int_eq(ask(c, request), EINVAL);
}
END_TEST

START_TEST(extended_attributes)
{
	struct zl_p9_message make = {
	        .type = ZL_P9_TXATTRCREATE, .fid = 4, .name = text("user.color"), .size = 4};

	host_write(c, "f", "");
	ck_assert_int_eq(walk(c, DIR_FID, 3, "f"), 0);
	ck_assert_int_eq(walk(c, 3, 4, ""), 0);
	ck_assert_int_eq(ask(c, make), 0);
	ck_assert_int_eq(put(c, 4, 0, "bl"), 0);
	ck_assert_int_eq(put(c, 4, 2, "ue"), 0);
	ck_assert_int_eq(put(c, 4, 4, "!"), ENOSPC);
	ck_assert_int_eq(clunk(c, 4), 0);
	ck_assert_int_eq(ask(c, (struct zl_p9_message){.type = ZL_P9_TXATTRWALK,
	                                .fid = 3,
	                                .other_fid = 5,
	                                .name = text("user.color")}),
	        0);
	ck_assert_uint_eq(c->answer.size, 4);
	ck_assert_str_eq(get(c, 5, 0), "blue");
	ck_assert_int_eq(clunk(c, 5), 0);
	ck_assert_int_eq(
	        ask(c, (struct zl_p9_message){.type = ZL_P9_TXATTRWALK, .fid = 3, .other_fid = 5}),
	        0);
	ck_assert_uint_eq(c->answer.size, sizeof("user.color"));
	ck_assert_str_eq(get(c, 5, 0), "user.color");
	ck_assert_int_eq(clunk(c, 5), 0);
	// Removal, as Linux asks for it.
	ck_assert_int_eq(walk(c, 3, 4, ""), 0);
	make.size = 0;
	make.flags = XATTR_REPLACE;
	ck_assert_int_eq(ask(c, make), 0);
	ck_assert_int_eq(clunk(c, 4), 0);
	ck_assert_int_eq(ask(c, (struct zl_p9_message){.type = ZL_P9_TXATTRWALK,
	                                .fid = 3,
	                                .other_fid = 5,
	                                .name = text("user.color")}),
	        ENODATA);
	// Too little written: not set.
	ck_assert_int_eq(walk(c, 3, 4, ""), 0);
	make.size = 4;
	make.flags = 0;
	ck_assert_int_eq(ask(c, make), 0);
	ck_assert_int_eq(clunk(c, 4), EINVAL);
}
END_TEST

START_TEST(only_some_extended_attributes_are_for_a_zone)
{
	static const char *const names[] = {"trusted.overlay.opaque", "security.selinux",
	        "system.nfs4_acl", "user.", "nothing"};

	host_write(c, "f", "");
	ck_assert_int_eq(walk(c, DIR_FID, 3, "f"), 0);
	for (size_t i = 0; i < ZL_ARRAY_SIZE(names); i++) {
		ck_assert_int_eq(ask(c, (struct zl_p9_message){.type = ZL_P9_TXATTRCREATE,
		                                .fid = 3,
		                                .name = text(names[i]),
		                                .size = 1}),
		        EOPNOTSUPP);
		ck_assert_int_eq(ask(c, (struct zl_p9_message){.type = ZL_P9_TXATTRWALK,
		                                .fid = 3,
		                                .other_fid = 4,
		                                .name = text(names[i])}),
		        EOPNOTSUPP);
	}
	ck_assert_int_eq(ask(c, (struct zl_p9_message){.type = ZL_P9_TXATTRCREATE,
	                                .fid = 3,
	                                .name = text("user.x"),
	                                .size = ZL_P9_XATTR_MAX + 1}),
	        E2BIG);
}
END_TEST

// ---- the boundary

START_TEST(no_name_leads_out)
{
	static const char *const names[] = {"..", ".", "", "a/b", "/", "../x"};
	struct zl_p9_message walk_up = {
	        .type = ZL_P9_TWALK, .fid = DIR_FID, .other_fid = 9, .name_count = 1};

	ck_assert_int_eq(mkdirat(AT_FDCWD, c->directory, 0755), -1);
	for (size_t i = 0; i < ZL_ARRAY_SIZE(names); i++) {
		struct zl_p9_text name = text(names[i]);

		walk_up.names[0] = name;
		ck_assert_int_ne(ask(c, walk_up), 0);
		ck_assert_int_eq(ask(c, (struct zl_p9_message){.type = ZL_P9_TMKDIR,
		                                .fid = DIR_FID,
		                                .name = name,
		                                .mode = 0755}),
		        EINVAL);
		ck_assert_int_eq(ask(c, (struct zl_p9_message){.type = ZL_P9_TUNLINKAT,
		                                .fid = DIR_FID,
		                                .name = name,
		                                .flags = ZL_P9_UNLINK_DIRECTORY}),
		        EINVAL);
		ck_assert_int_eq(ask(c, (struct zl_p9_message){.type = ZL_P9_TRENAMEAT,
		                                .fid = DIR_FID,
		                                .name = text("x"),
		                                .other_fid = DIR_FID,
		                                .new_name = name}),
		        EINVAL);
		ck_assert_int_eq(ask(c, (struct zl_p9_message){.type = ZL_P9_TLCREATE,
		                                .fid = DIR_FID,
		                                .name = name,
		                                .flags = O_RDWR}),
		        EINVAL);
	}
}
END_TEST

START_TEST(no_link_is_followed)
{
	char path[256];

	ck_assert_int_eq(symlink("/etc", host_path(c, "etc", path)), 0);
	ck_assert_int_eq(symlink("/etc/hostname", host_path(c, "file", path)), 0);
	ck_assert_int_eq(walk(c, DIR_FID, 3, "etc/hostname"), ENOENT);
	ck_assert_int_eq(walk(c, DIR_FID, 3, "file"), 0);
	ck_assert_uint_eq(c->answer.qids[0].type, ZL_P9_QID_SYMLINK);
	ck_assert_int_eq(lopen(c, 3, O_RDONLY), ELOOP);
	ck_assert_int_eq(walk(c, DIR_FID, 4, ""), 0);
	ck_assert_int_eq(create(c, 4, "file", O_WRONLY | O_TRUNC, 0644), ELOOP);
	ck_assert_int_eq(ask(c, (struct zl_p9_message){.type = ZL_P9_TSETATTR,
	                                .fid = 3,
	                                .valid = ZL_P9_SET_SIZE}),
	        EINVAL);
}
END_TEST

START_TEST(no_device_is_made_or_opened)
{
	struct zl_p9_message node = {.type = ZL_P9_TMKNOD,
	        .fid = DIR_FID,
	        .name = text("n"),
	        .mode = S_IFBLK | 0600,
	        .major = 8};
	char path[256];

	ck_assert_int_eq(ask(c, node), EPERM);
	node.mode = S_IFCHR | 0600;
	ck_assert_int_eq(ask(c, node), EPERM);
	node.mode = S_IFDIR | 0600;
	ck_assert_int_eq(ask(c, node), EINVAL);
	node.mode = S_IFSOCK | 0600;
	ck_assert_int_eq(ask(c, node), 0);
	ck_assert_int_eq(mkfifo(host_path(c, "fifo", path), 0600), 0);
	ck_assert_int_eq(walk(c, DIR_FID, 3, "fifo"), 0);
	ck_assert_int_eq(lopen(c, 3, O_RDWR), ENXIO);
	ck_assert_int_eq(walk(c, DIR_FID, 4, ""), 0);
	ck_assert_int_eq(create(c, 4, "fifo", O_RDWR, 0600), EEXIST);
}
END_TEST

START_TEST(the_root_is_a_table)
{
	struct zl_p9_message read = {.type = ZL_P9_TREADDIR, .fid = 3, .count = 4096};

	ck_assert_int_eq(ask(c,
	                         (struct zl_p9_message){
	                                 .type = ZL_P9_TMKDIR, .fid = ROOT_FID, .name = text("x")}),
	        EROFS);
	ck_assert_int_eq(
	        ask(c, (struct zl_p9_message){.type = ZL_P9_TSETATTR, .fid = ROOT_FID}), EROFS);
	ck_assert_int_eq(ask(c, (struct zl_p9_message){.type = ZL_P9_TSTATFS, .fid = ROOT_FID}), 0);
	ck_assert_int_eq(walk(c, ROOT_FID, 3, "nothing"), ENOENT);
	ck_assert_int_eq(walk(c, ROOT_FID, 3, ""), 0);
	ck_assert_int_eq(lopen(c, 3, O_RDWR), EISDIR);
	ck_assert_int_eq(lopen(c, 3, O_RDONLY), 0);
	ck_assert_int_eq(ask(c, read), 0);
	ck_assert_uint_eq(c->answer.data_length, 25 + 26 + 25);
	read.offset = 3;
	ck_assert_int_eq(ask(c, read), 0);
	ck_assert_uint_eq(c->answer.data_length, 0);
	// Nothing moves from one export to another, nor into the root.
	ck_assert_int_eq(ask(c, (struct zl_p9_message){.type = ZL_P9_TRENAMEAT,
	                                .fid = DIR_FID,
	                                .name = text("x"),
	                                .other_fid = ROOT_FID,
	                                .new_name = text("y")}),
	        EROFS);
}
END_TEST

START_TEST(a_removed_export_is_gone_and_a_file_is_one_too)
{
	char path[256];
	int fd;

	host_write(c, "f", "single");
	fd = open(host_path(c, "f", path), O_PATH | O_CLOEXEC);
	ck_assert_int_eq(zl_p9_export_add(&c->server.exports, "file", fd, NULL), 0);
	ck_assert_int_eq(zl_p9_export_add(&c->server.exports, "../x", -1, NULL), -1);
	ck_assert_int_eq(walk(c, ROOT_FID, 3, "file"), 0);
	ck_assert_int_eq(walk(c, ROOT_FID, 4, "file/x"), ENOENT);
	ck_assert_int_eq(lopen(c, 3, O_RDONLY), 0);
	ck_assert_str_eq(get(c, 3, 0), "single");
	zl_p9_server_remove(&c->server, "file");
	ck_assert_int_eq(
	        ask(c, (struct zl_p9_message){.type = ZL_P9_TREAD, .fid = 3, .count = 1}), EBADF);
	ck_assert_int_eq(walk(c, ROOT_FID, 3, "file"), ENOENT);
	ck_assert_int_eq(walk(c, DIR_FID, 3, "f"), 0);
}
END_TEST

// ---- rules of the protocol

START_TEST(fids_are_used_as_they_should)
{
	host_write(c, "f", "x");
	ck_assert_int_eq(walk(c, 77, 3, ""), EBADF);
	ck_assert_int_eq(walk(c, DIR_FID, DIR_FID + 0, "f"), 0);  // it becomes the file
	ck_assert_int_eq(walk(c, ROOT_FID, DIR_FID, "d"), EBADF); // in use
	ck_assert_int_eq(lopen(c, DIR_FID, O_RDONLY), 0);
	ck_assert_int_eq(lopen(c, DIR_FID, O_RDONLY), EBADF);
	ck_assert_int_eq(put(c, DIR_FID, 0, "y"), EBADF); // the kernel's: opened for reading
	ck_assert_int_eq(walk(c, ROOT_FID, ZL_P9_NO_FID, "d"), EBADF);
	ck_assert_int_eq(
	        ask(c, (struct zl_p9_message){.type = ZL_P9_TRENAME, .fid = ROOT_FID}), EOPNOTSUPP);
	ck_assert_int_eq(
	        ask(c, (struct zl_p9_message){.type = ZL_P9_TREMOVE, .fid = DIR_FID}), EOPNOTSUPP);
	ck_assert_int_eq(clunk(c, DIR_FID), EBADF); // remove clunks all the same
	ck_assert_int_eq(ask(c, (struct zl_p9_message){.type = ZL_P9_TAUTH, .fid = 9}), EOPNOTSUPP);
}
END_TEST

START_TEST(fids_are_bounded_and_a_new_version_ends_them)
{
	struct zl_p9_message version = {.type = ZL_P9_TVERSION, .msize = 1 << 30};
	uint32_t fid = 100;

	while (walk(c, ROOT_FID, fid, "") == 0)
		fid++;
	ck_assert_uint_eq(c->answer.error, ENFILE);
	ck_assert_uint_eq(fid, 100 + ZL_P9_FIDS_MAX - 2);
	version.name = text("9P2000.L");
	ck_assert_int_eq(ask(c, version), 0);
	ck_assert_uint_eq(c->answer.msize, CLIENT_MSIZE);
	ck_assert_int_eq(walk(c, ROOT_FID, 3, ""), EBADF);
	version.name = text("9P2000");
	ck_assert_int_eq(ask(c, version), 0);
	ck_assert_int_eq(memcmp(c->answer.name.bytes, "unknown", 7), 0);
}
END_TEST

START_TEST(what_is_made_belongs_to_who_asks)
{
	struct stat status;
	char path[256];

	if (getuid() != 0)
		return;
	ck_assert_int_eq(ask(c, (struct zl_p9_message){.type = ZL_P9_TATTACH,
	                                .fid = 10,
	                                .other_fid = ZL_P9_NO_FID,
	                                .uid = 1234}),
	        0);
	ck_assert_int_eq(chmod(c->directory, 0777), 0);
	ck_assert_int_eq(walk(c, 10, 11, "d"), 0);
	ck_assert_int_eq(ask(c, (struct zl_p9_message){.type = ZL_P9_TMKDIR,
	                                .fid = 11,
	                                .name = text("m"),
	                                .mode = 0777,
	                                .gid = 4321}),
	        0);
	ck_assert_int_eq(stat(host_path(c, "m", path), &status), 0);
	ck_assert_uint_eq(status.st_uid, 1234);
	ck_assert_uint_eq(status.st_gid, 4321);
	ck_assert_uint_eq(status.st_mode & 07777, 0777);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("9P server");
	TCase *tcase = tcase_create("all");
	SRunner *runner = srunner_create(suite);
	int failed;

	tcase_add_checked_fixture(tcase, setup, teardown);
	tcase_set_timeout(tcase, 120);
	tcase_add_test(tcase, a_file_is_made_written_read_renamed_unlinked);
	tcase_add_test(tcase, attributes_are_set);
	tcase_add_test(tcase, links_of_both_kinds);
	tcase_add_test(tcase, directories_are_listed_in_parts);
	tcase_add_test(tcase, extended_attributes);
	tcase_add_test(tcase, only_some_extended_attributes_are_for_a_zone);
	tcase_add_test(tcase, no_name_leads_out);
	tcase_add_test(tcase, no_link_is_followed);
	tcase_add_test(tcase, no_device_is_made_or_opened);
	tcase_add_test(tcase, the_root_is_a_table);
	tcase_add_test(tcase, a_removed_export_is_gone_and_a_file_is_one_too);
	tcase_add_test(tcase, fids_are_used_as_they_should);
	tcase_add_test(tcase, fids_are_bounded_and_a_new_version_ends_them);
	tcase_add_test(tcase, what_is_made_belongs_to_who_asks);
	suite_add_tcase(suite, tcase);
	srunner_run_all(runner, CK_ENV);
	failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
