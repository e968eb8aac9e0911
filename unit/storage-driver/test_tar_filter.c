// SPDX-License-Identifier: Apache-2.0
#include <check.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "storage-driver/puller/implied.h"
#include "storage-driver/puller/tar_filter.h"

enum { LIMIT = 1000 * 1000 };

// ---- making archives

static void add_header(
        struct zl_buffer *to, const char *name, char type, const char *link, uint64_t size)
{
	uint8_t block[ZL_TAR_BLOCK] = {0};
	char text[16];

	(void)snprintf((char *)block, 100, "%s", name);
	memcpy(block + 100, "0000644\0000000000\0000000000", 24);
	(void)snprintf(text, sizeof(text), "%011llo", (unsigned long long)size);
	memcpy(block + 124, text, 12);
	memcpy(block + 136, "00000000000", 12);
	block[156] = (uint8_t)type;
	if (link != NULL)
		(void)snprintf((char *)block + 157, 100, "%s", link);
	memcpy(block + 257, "ustar\00000", 8);
	zl_tar_header_seal(block);
	ck_assert_int_eq(zl_buffer_append(to, block, sizeof(block), NULL), 0);
}

static void add_data(struct zl_buffer *to, const char *data, size_t length)
{
	static const uint8_t zeros[ZL_TAR_BLOCK];

	ck_assert_int_eq(zl_buffer_append(to, data, length, NULL), 0);
	if (length % ZL_TAR_BLOCK != 0)
		ck_assert_int_eq(
		        zl_buffer_append(to, zeros, ZL_TAR_BLOCK - length % ZL_TAR_BLOCK, NULL), 0);
}

static void add_entry(
        struct zl_buffer *to, const char *name, char type, const char *link, const char *data)
{
	add_header(to, name, type, link, strlen(data));
	add_data(to, data, strlen(data));
}

static void add_end(struct zl_buffer *to)
{
	static const uint8_t zeros[2 * ZL_TAR_BLOCK];

	ck_assert_int_eq(zl_buffer_append(to, zeros, sizeof(zeros), NULL), 0);
}

// ---- running the filter

static int gather(void *user, const uint8_t *bytes, size_t length, struct zl_error *err)
{
	return zl_buffer_append(user, bytes, length, err);
}

// Feeds the archive in pieces of `step` bytes.
static int filter_steps(
        const struct zl_buffer *archive, size_t step, struct zl_buffer *out, struct zl_error *err)
{
	zl_auto(tar_filter) struct zl_tar_filter filter;

	zl_tar_filter_init(&filter, LIMIT, gather, out);
	for (size_t at = 0; at < archive->length; at += step) {
		size_t left = archive->length - at;

		if (zl_tar_filter_feed(
		            &filter, archive->data + at, left < step ? left : step, err) < 0)
			return -1;
	}
	return zl_tar_filter_end(&filter, err);
}

static int filter_all(const struct zl_buffer *archive, struct zl_buffer *out, struct zl_error *err)
{
	return filter_steps(archive, archive->length + 1, out, err);
}

static bool has(const struct zl_buffer *bytes, const char *text)
{
	return bytes->length > 0 && memmem(bytes->data, bytes->length, text, strlen(text)) != NULL;
}

static size_t count(const struct zl_buffer *bytes, const char *text)
{
	const uint8_t *at = bytes->data;
	const uint8_t *end = bytes->data + bytes->length;
	size_t found = 0;

	while ((at = memmem(at, (size_t)(end - at), text, strlen(text))) != NULL) {
		found++;
		at++;
	}
	return found;
}

// ---- what passes

START_TEST(an_ordinary_archive_passes_unchanged)
{
	zl_auto(buffer) struct zl_buffer archive = ZL_BUFFER_INIT;
	zl_auto(buffer) struct zl_buffer out = ZL_BUFFER_INIT;
	zl_auto(buffer) struct zl_buffer slow = ZL_BUFFER_INIT;
	struct zl_error err = ZL_ERROR_INIT;

	add_entry(&archive, "./", '5', NULL, "");
	add_entry(&archive, "d/", '5', NULL, "");
	add_entry(&archive, "d/file", '0', NULL, "content");
	add_entry(&archive, "d/hard", '1', "./d/file", "");
	add_entry(&archive, "soft", '2', "../../etc/passwd", "");
	add_entry(&archive, "null", '3', NULL, "");
	add_entry(&archive, "pipe", '6', NULL, "");
	add_entry(&archive, "d/.wh.gone", '0', NULL, "");
	add_entry(&archive, "d/.wh..wh..opq", '0', NULL, "");
	add_entry(&archive, "/absolute", '0', NULL, "x");
	add_end(&archive);
	ck_assert_msg(filter_all(&archive, &out, &err) == 0, "%s", err.message);
	ck_assert_uint_eq(out.length, archive.length);
	ck_assert_mem_eq(out.data, archive.data, archive.length);
	ck_assert_int_eq(filter_steps(&archive, 7, &slow, &err), 0);
	ck_assert_uint_eq(slow.length, archive.length);
	ck_assert_mem_eq(slow.data, archive.data, archive.length);
}
END_TEST

START_TEST(the_end_is_added_and_what_follows_it_dropped)
{
	zl_auto(buffer) struct zl_buffer archive = ZL_BUFFER_INIT;
	zl_auto(buffer) struct zl_buffer out = ZL_BUFFER_INIT;
	zl_auto(buffer) struct zl_buffer nothing = ZL_BUFFER_INIT;
	zl_auto(buffer) struct zl_buffer empty = ZL_BUFFER_INIT;
	struct zl_error err = ZL_ERROR_INIT;
	size_t wanted;

	add_entry(&archive, "./", '5', NULL, "");
	add_entry(&archive, "f", '0', NULL, "x");
	wanted = archive.length + 2 * (size_t)ZL_TAR_BLOCK;
	ck_assert_int_eq(filter_all(&archive, &out, &err), 0);
	ck_assert_uint_eq(out.length, wanted);
	add_end(&archive);
	add_entry(&archive, "../evil", '0', NULL, "");
	zl_buffer_release(&out);
	ck_assert_int_eq(filter_all(&archive, &out, &err), 0);
	ck_assert_uint_eq(out.length, wanted);
	ck_assert_int_eq(filter_all(&nothing, &empty, &err), 0);
	ck_assert_uint_eq(empty.length, 2 * (size_t)ZL_TAR_BLOCK);
}
END_TEST

START_TEST(missing_directories_are_added_once_with_the_mark)
{
	zl_auto(buffer) struct zl_buffer archive = ZL_BUFFER_INIT;
	zl_auto(buffer) struct zl_buffer out = ZL_BUFFER_INIT;
	struct zl_error err = ZL_ERROR_INIT;
	char mark[64];

	add_entry(&archive, "a/b/one", '0', NULL, "");
	add_entry(&archive, "a/b/two", '0', NULL, "");
	add_end(&archive);
	ck_assert_int_eq(filter_all(&archive, &out, &err), 0);
	(void)snprintf(mark, sizeof(mark), "mtime=0.%09d\n", ZL_IMPLIED_NS);
	ck_assert_uint_eq(count(&out, mark), 3); // the root, a, a/b
	ck_assert_uint_eq(count(&out, "path=./\n"), 1);
	ck_assert_uint_eq(count(&out, "path=a\n"), 1);
	ck_assert_uint_eq(count(&out, "path=a/b\n"), 1);
	// And it is an archive that passes as it is.
	zl_buffer_release(&archive);
	ck_assert_int_eq(filter_all(&out, &archive, &err), 0);
	ck_assert_uint_eq(archive.length, out.length);
}
END_TEST

START_TEST(aufs_and_global_headers_are_dropped)
{
	zl_auto(buffer) struct zl_buffer archive = ZL_BUFFER_INIT;
	zl_auto(buffer) struct zl_buffer out = ZL_BUFFER_INIT;
	struct zl_error err = ZL_ERROR_INIT;

	add_entry(&archive, "./", '5', NULL, "");
	add_entry(&archive, "pax_global_header", 'g', NULL, "19 comment=0123abc\n");
	add_entry(&archive, ".wh..wh.plnk", '5', NULL, "");
	add_entry(&archive, ".wh..wh.plnk/1.2", '0', NULL, "secret");
	add_entry(&archive, "kept", '0', NULL, "x");
	add_end(&archive);
	ck_assert_msg(filter_all(&archive, &out, &err) == 0, "%s", err.message);
	ck_assert(!has(&out, "comment") && !has(&out, "plnk") && !has(&out, "secret"));
	ck_assert(has(&out, "kept"));
}
END_TEST

START_TEST(long_names_come_from_extended_headers)
{
	zl_auto(buffer) struct zl_buffer archive = ZL_BUFFER_INIT;
	zl_auto(buffer) struct zl_buffer out = ZL_BUFFER_INIT;
	struct zl_error err = ZL_ERROR_INIT;

	add_entry(&archive, "./", '5', NULL, "");
	add_entry(&archive, "././@LongLink", 'L', NULL, "gnu-name");
	add_entry(&archive, "short", '0', NULL, "x");
	add_entry(&archive, "x", 'x', NULL, "17 path=pax-name\n");
	add_entry(&archive, "short", '0', NULL, "y");
	add_entry(&archive, "hard", '1', "pax-name", "");
	add_entry(&archive, "hard2", '1', "gnu-name", "");
	add_end(&archive);
	ck_assert_msg(filter_all(&archive, &out, &err) == 0, "%s", err.message);
	ck_assert_uint_eq(out.length, archive.length);
}
END_TEST

START_TEST(a_size_on_a_link_is_cleared)
{
	zl_auto(buffer) struct zl_buffer archive = ZL_BUFFER_INIT;
	zl_auto(buffer) struct zl_buffer out = ZL_BUFFER_INIT;
	struct zl_error err = ZL_ERROR_INIT;

	add_entry(&archive, "./", '5', NULL, "");
	add_header(&archive, "soft", '2', "target", 77);
	add_entry(&archive, "f", '0', NULL, "x");
	add_end(&archive);
	ck_assert_msg(filter_all(&archive, &out, &err) == 0, "%s", err.message);
	ck_assert_mem_eq(out.data + ZL_TAR_BLOCK + 124, "00000000000", 12);
}
END_TEST

// ---- what does not

struct hostile {
	const char *what;
	const char *name;
	char type;
	const char *link;
	const char *data;
	const char *reason;
};

static const struct hostile hostile[] = {
        {"traversal", "../evil", '0', NULL, "x", "outside the root"},
        {"traversal inside", "a/../../evil", '0', NULL, "x", "outside the root"},
        {"traversal at the end", "a/..", '5', NULL, "", "outside the root"},
        {"absolute traversal", "/../evil", '0', NULL, "x", "outside the root"},
        {"traversal of a directory", "..", '5', NULL, "", "outside the root"},
        {"hard link outside", "l", '1', "../../etc/shadow", "", "outside the root"},
        {"hard link to nothing here", "l", '1', "etc/shadow", "", "does not have"},
        {"hard link without target", "l", '1', NULL, "", "without a target"},
        {"soft link without target", "l", '2', NULL, "", "without a target"},
        {"hard link to itself", "l", '1', "l", "", "does not have"},
        {"root as file", "./", '0', NULL, "", "root must be a directory"},
        {"empty whiteout", "d/.wh.", '0', NULL, "", "hides nothing"},
        {"whiteout of parent", "d/.wh...", '0', NULL, "", "hides nothing"},
        {"whiteout of self", ".wh..", '0', NULL, "", "hides nothing"},
        {"whiteout as directory", ".wh.a/b", '0', NULL, "", "used as a directory"},
        {"file as directory", "file/below", '0', NULL, "", "not a directory"},
        {"sparse", "s", 'S', NULL, "", "unknown type 'S'"},
        {"multi-volume", "m", 'M', NULL, "", "unknown type 'M'"},
        {"pax sparse", "x", 'x', NULL, "22 GNU.sparse.major=1\n", "sparse"},
        {"pax record too long", "x", 'x', NULL, "99 path=a\n", "malformed record"},
        {"pax record without key", "x", 'x', NULL, "6 =a\n\n", "malformed record"},
        {"pax record without length", "x", 'x', NULL, "path=a\n", "malformed record"},
        {"pax absurd size", "x", 'x', NULL, "29 size=99999999999999999999\n", "absurd"},
        {"pax negative size", "x", 'x', NULL, "11 size=-1\n", "absurd"},
        {"overlay xattr", "x", 'x', NULL, "48 SCHILY.xattr.trusted.overlay.redirect=/../..\n",
                "overlayfs"},
        {"global rename", "g", 'g', NULL, "14 path=/evil\n", "renames"},
};

START_TEST(refuses_hostile_entries)
{
	zl_auto(buffer) struct zl_buffer archive = ZL_BUFFER_INIT;
	zl_auto(buffer) struct zl_buffer out = ZL_BUFFER_INIT;
	struct zl_error err = ZL_ERROR_INIT;
	const struct hostile *entry = &hostile[_i];

	add_entry(&archive, "./", '5', NULL, "");
	add_entry(&archive, "file", '0', NULL, "x");
	add_entry(&archive, entry->name, entry->type, entry->link, entry->data);
	add_entry(&archive, "after", '0', NULL, "x");
	add_end(&archive);
	ck_assert_msg(filter_all(&archive, &out, &err) == -1, "%s passes", entry->what);
	ck_assert_int_eq(err.code, ZL_INVALID_ARGUMENT);
	ck_assert_msg(
	        strstr(err.message, entry->reason) != NULL, "%s: %s", entry->what, err.message);
	ck_assert(!has(&out, "after"));
}
END_TEST

START_TEST(refuses_absurd_sizes)
{
	static const uint64_t sizes[] = {LIMIT + 1, UINT64_C(1) << 32};
	zl_auto(buffer) struct zl_buffer archive = ZL_BUFFER_INIT;
	zl_auto(buffer) struct zl_buffer out = ZL_BUFFER_INIT;
	struct zl_error err = ZL_ERROR_INIT;

	add_entry(&archive, "./", '5', NULL, "");
	add_header(&archive, "huge", '0', NULL, sizes[_i]);
	ck_assert_int_eq(filter_all(&archive, &out, &err), -1);
	ck_assert_int_eq(err.code, ZL_INVALID_ARGUMENT);
	ck_assert_ptr_nonnull(strstr(err.message, "'huge'"));
}
END_TEST

START_TEST(sizes_add_up)
{
	zl_auto(buffer) struct zl_buffer archive = ZL_BUFFER_INIT;
	zl_auto(buffer) struct zl_buffer out = ZL_BUFFER_INIT;
	zl_auto(free) char *data = calloc(1, LIMIT / 2 + 1);
	struct zl_error err = ZL_ERROR_INIT;

	for (int i = 0; i < 2; i++) {
		add_header(&archive, "f", '0', NULL, LIMIT / 2 + 1);
		add_data(&archive, data, LIMIT / 2 + 1);
	}
	ck_assert_int_eq(filter_all(&archive, &out, &err), -1);
	ck_assert_int_eq(err.code, ZL_INVALID_ARGUMENT);
}
END_TEST

START_TEST(reads_base_256_sizes)
{
	zl_auto(buffer) struct zl_buffer archive = ZL_BUFFER_INIT;
	zl_auto(buffer) struct zl_buffer out = ZL_BUFFER_INIT;
	struct zl_error err = ZL_ERROR_INIT;
	uint8_t *field;

	add_header(&archive, "f", '0', NULL, 0);
	field = archive.data + 124;
	memset(field, 0, 12);
	field[0] = _i == 0 ? 0x80 : _i == 1 ? 0xff : 0x80;
	field[_i == 2 ? 3 : 11] = 3;
	zl_tar_header_seal(archive.data);
	add_data(&archive, "abc", 3);
	add_end(&archive);
	ck_assert_int_eq(filter_all(&archive, &out, &err), _i == 0 ? 0 : -1);
}
END_TEST

START_TEST(refuses_what_is_no_archive)
{
	zl_auto(buffer) struct zl_buffer archive = ZL_BUFFER_INIT;
	zl_auto(buffer) struct zl_buffer out = ZL_BUFFER_INIT;
	struct zl_error err = ZL_ERROR_INIT;

	add_entry(&archive, "f", '0', NULL, "x");
	archive.data[0] ^= 1;
	ck_assert_int_eq(filter_all(&archive, &out, &err), -1);
	ck_assert_ptr_nonnull(strstr(err.message, "checksum"));
}
END_TEST

// Cut anywhere but between entries, an archive fails; it never passes as a shorter one. Only the
// padding after the last entry's last byte may be missing: nothing of the content is then.
START_TEST(refuses_an_archive_cut_short)
{
	zl_auto(buffer) struct zl_buffer archive = ZL_BUFFER_INIT;
	struct zl_error err = ZL_ERROR_INIT;

	add_entry(&archive, "./", '5', NULL, "");
	add_entry(&archive, "x", 'x', NULL, "17 path=pax-name\n");
	add_entry(&archive, "f", '0', NULL, "content");
	for (size_t length = archive.length - 1; length > 0; length--) {
		zl_auto(buffer) struct zl_buffer out = ZL_BUFFER_INIT;
		struct zl_buffer cut = {.data = archive.data, .length = length};
		bool between = length == ZL_TAR_BLOCK;
		bool padding = length >= archive.length - ZL_TAR_BLOCK + strlen("content");

		ck_assert_msg(filter_all(&cut, &out, &err) == (between || padding ? 0 : -1),
		        "cut at %zu of %zu", length, archive.length);
	}
}
END_TEST

START_TEST(bounds_extended_headers)
{
	zl_auto(buffer) struct zl_buffer archive = ZL_BUFFER_INIT;
	zl_auto(buffer) struct zl_buffer out = ZL_BUFFER_INIT;
	struct zl_error err = ZL_ERROR_INIT;

	add_header(&archive, "x", "xLKg"[_i], NULL, ZL_TAR_META_MAX + 1);
	ck_assert_int_eq(filter_all(&archive, &out, &err), -1);
	ck_assert_ptr_nonnull(strstr(err.message, "extended tar header"));
}
END_TEST

static const struct {
	const char *name;
	const char *plain; // NULL: refused
} names[] = {
        {"", ""},
        {"/", ""},
        {".", ""},
        {"./", ""},
        {"./a", "a"},
        {"/a", "a"},
        {"//a///b//", "a/b"},
        {"a/./b", "a/b"},
        {"...", "..."},
        {"..a", "..a"},
        {"a..", "a.."},
        {"..", NULL},
        {"a/..", NULL},
        {"../a", NULL},
        {"a/../b", NULL},
        {"./..", NULL},
};

START_TEST(normalises_names)
{
	struct zl_error err = ZL_ERROR_INIT;
	char out[PATH_MAX];
	int result = zl_tar_name_normalise(names[_i].name, out, &err);

	ck_assert_int_eq(result, names[_i].plain != NULL ? 0 : -1);
	if (names[_i].plain != NULL)
		ck_assert_str_eq(out, names[_i].plain);
}
END_TEST

START_TEST(bounds_names)
{
	struct zl_error err = ZL_ERROR_INIT;
	char out[PATH_MAX];
	char name[2 * PATH_MAX];

	memset(name, 'a', sizeof(name));
	name[255] = '\0';
	ck_assert_int_eq(zl_tar_name_normalise(name, out, &err), 0);
	name[255] = 'a';
	name[256] = '\0';
	ck_assert_int_eq(zl_tar_name_normalise(name, out, &err), -1);
	for (size_t i = 0; i + 1 < sizeof(name); i++)
		name[i] = i % 2 == 0 ? 'a' : '/';
	name[sizeof(name) - 1] = '\0';
	ck_assert_int_eq(zl_tar_name_normalise(name, out, &err), -1);
	name[PATH_MAX - 1] = '\0';
	ck_assert_int_eq(zl_tar_name_normalise(name, out, &err), 0);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("tar filter");
	TCase *tests = tcase_create("all");
	SRunner *runner;
	int failed;

	tcase_set_timeout(tests, 60);
	tcase_add_test(tests, an_ordinary_archive_passes_unchanged);
	tcase_add_test(tests, the_end_is_added_and_what_follows_it_dropped);
	tcase_add_test(tests, missing_directories_are_added_once_with_the_mark);
	tcase_add_test(tests, aufs_and_global_headers_are_dropped);
	tcase_add_test(tests, long_names_come_from_extended_headers);
	tcase_add_test(tests, a_size_on_a_link_is_cleared);
	tcase_add_loop_test(tests, refuses_hostile_entries, 0, (int)ZL_ARRAY_SIZE(hostile));
	tcase_add_loop_test(tests, refuses_absurd_sizes, 0, 2);
	tcase_add_test(tests, sizes_add_up);
	tcase_add_loop_test(tests, reads_base_256_sizes, 0, 3);
	tcase_add_test(tests, refuses_what_is_no_archive);
	tcase_add_test(tests, refuses_an_archive_cut_short);
	tcase_add_loop_test(tests, bounds_extended_headers, 0, 4);
	tcase_add_loop_test(tests, normalises_names, 0, (int)ZL_ARRAY_SIZE(names));
	tcase_add_test(tests, bounds_names);
	suite_add_tcase(suite, tests);
	runner = srunner_create(suite);
	srunner_run_all(runner, CK_NORMAL);
	failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
