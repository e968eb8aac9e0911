// SPDX-License-Identifier: Apache-2.0
#include <check.h>
#include <stdlib.h>
#include <string.h>

#include "storage-driver/reference.h"

#define SHA   "sha256:0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"
#define HEX64 "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"

static const struct {
	const char *text;
	const char *domain;
	const char *path;
	const char *tag;
	const char *normal;
} good[] = {
        {"busybox", "docker.io", "library/busybox", "latest", "docker.io/library/busybox:latest"},
        {"busybox:1.36", "docker.io", "library/busybox", "1.36", "docker.io/library/busybox:1.36"},
        {"user/app", "docker.io", "user/app", "latest", "docker.io/user/app:latest"},
        {"docker.io/busybox", "docker.io", "library/busybox", "latest",
                "docker.io/library/busybox:latest"},
        {"index.docker.io/user/app:x", "docker.io", "user/app", "x", "docker.io/user/app:x"},
        {"localhost/app", "localhost", "app", "latest", "localhost/app:latest"},
        {"localhost:5000/a/b/c:t", "localhost:5000", "a/b/c", "t", "localhost:5000/a/b/c:t"},
        {"registry.k8s.io/pause:3.10", "registry.k8s.io", "pause", "3.10",
                "registry.k8s.io/pause:3.10"},
        {"[::1]:5000/app", "[::1]:5000", "app", "latest", "[::1]:5000/app:latest"},
        {"Host/app", "Host", "app", "latest", "Host/app:latest"},
        {"a__b/c---d/e.f_g", "docker.io", "a__b/c---d/e.f_g", "latest",
                "docker.io/a__b/c---d/e.f_g:latest"},
        {"app@" SHA, "docker.io", "library/app", "", "docker.io/library/app@" SHA},
        {"q.io/app:v1@" SHA, "q.io", "app", "v1", "q.io/app@" SHA},
        {"app:_tag.with-all", "docker.io", "library/app", "_tag.with-all",
                "docker.io/library/app:_tag.with-all"},
};

START_TEST(accepts_what_docker_accepts)
{
	struct zl_error err = ZL_ERROR_INIT;
	struct zl_reference reference;
	char text[ZL_REFERENCE_TEXT_SIZE];

	ck_assert_msg(zl_reference_parse(good[_i].text, &reference, &err) == 0, "%s", err.message);
	ck_assert_str_eq(reference.domain, good[_i].domain);
	ck_assert_str_eq(reference.path, good[_i].path);
	ck_assert_str_eq(reference.tag, good[_i].tag);
	zl_reference_format(&reference, text);
	ck_assert_str_eq(text, good[_i].normal);
	// What was normalised stays as it is.
	ck_assert_int_eq(zl_reference_parse(text, &reference, &err), 0);
	zl_reference_format(&reference, text);
	ck_assert_str_eq(text, good[_i].normal);
}
END_TEST

static const char *const bad[] = {
        "",
        " ",
        "busybox ",
        "Busybox",
        "a/B",
        "app:",
        "app:tag!",
        "app:.tag",
        "app:-tag",
        "/app",
        "app/",
        "a//b",
        "app@",
        "app@sha256:12",
        "app@md5:00",
        "a/../b",
        "..",
        "a/./b",
        "-app",
        "app-",
        "a_",
        "a___b",
        "host:port/app",
        "host:123456/app",
        "bad-.io/app",
        "-bad.io/app",
        HEX64,
        "http://host/app",
        "app:tag:tag",
        "a\nb",
        "app@" SHA "0",
        "app@sha256:"
        "G123456789abcdef"
        "0123456789abcdef0123456789abcdef0123456789abcdef",
        "[::1/app",
        "host.io:/app",
        "\xff",
};

START_TEST(refuses_what_is_malformed)
{
	struct zl_error err = ZL_ERROR_INIT;
	struct zl_reference reference = {.domain = "untouched"};

	ck_assert_msg(zl_reference_parse(bad[_i], &reference, &err) == -1, "'%s' passes", bad[_i]);
	ck_assert_int_eq(err.code, ZL_INVALID_ARGUMENT);
	ck_assert_str_eq(reference.domain, "untouched");
}
END_TEST

START_TEST(bounds_lengths)
{
	struct zl_error err = ZL_ERROR_INIT;
	struct zl_reference reference;
	char text[4096];

	memset(text, 'a', sizeof(text));
	text[sizeof(text) - 1] = '\0';
	ck_assert_int_eq(zl_reference_parse(text, &reference, &err), -1);
	text[255] = '\0'; // with "docker.io/library/" before it, too long
	ck_assert_int_eq(zl_reference_parse(text, &reference, &err), -1);
	text[255] = 'a';
	text[200] = '\0';
	ck_assert_int_eq(zl_reference_parse(text, &reference, &err), 0);
	text[200] = ':';
	text[200 + 129] = '\0'; // a tag of 128
	ck_assert_int_eq(zl_reference_parse(text, &reference, &err), 0);
	text[200 + 129] = 'a';
	text[200 + 130] = '\0';
	ck_assert_int_eq(zl_reference_parse(text, &reference, &err), -1);
}
END_TEST

START_TEST(digests)
{
	ck_assert(zl_digest_valid(SHA));
	ck_assert(!zl_digest_valid(NULL));
	ck_assert(!zl_digest_valid("sha256:"));
	ck_assert(!zl_digest_valid("sha512:" HEX64));
	ck_assert(zl_digest_valid("sha512:" HEX64 HEX64));
	ck_assert(!zl_digest_valid("sha256:0123456789ABCDEF"
	                           "0123456789abcdef"
	                           "0123456789abcdef0123456789abcdef"));
	ck_assert_str_eq(zl_digest_hex(SHA), HEX64);
}
END_TEST

START_TEST(digest_of_known_bytes)
{
	struct zl_error err = ZL_ERROR_INIT;
	char digest[ZL_DIGEST_SIZE];

	ck_assert_int_eq(zl_digest_bytes(NULL, "abc", 3, digest, &err), 0);
	ck_assert_str_eq(
	        digest, "sha256:ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
	ck_assert_int_eq(zl_digest_check("text", digest, "abd", 3, &err), -1);
	ck_assert_int_eq(err.code, ZL_DATA_LOSS);
	ck_assert_int_eq(zl_digest_bytes("sha512:", "abc", 3, digest, &err), 0);
	ck_assert(zl_digest_valid(digest));
	ck_assert_int_eq(zl_digest_check("text", digest, "abc", 3, &err), 0);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("reference");
	TCase *tests = tcase_create("all");
	SRunner *runner;
	int failed;

	tcase_add_loop_test(tests, accepts_what_docker_accepts, 0, (int)ZL_ARRAY_SIZE(good));
	tcase_add_loop_test(tests, refuses_what_is_malformed, 0, (int)ZL_ARRAY_SIZE(bad));
	tcase_add_test(tests, bounds_lengths);
	tcase_add_test(tests, digests);
	tcase_add_test(tests, digest_of_known_bytes);
	suite_add_tcase(suite, tests);
	runner = srunner_create(suite);
	srunner_run_all(runner, CK_NORMAL);
	failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
