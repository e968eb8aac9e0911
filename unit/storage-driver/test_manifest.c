// SPDX-License-Identifier: Apache-2.0
#include <check.h>
#include <stdlib.h>
#include <string.h>

#include "base/buffer.h"
#include "base/strv.h"
#include "storage-driver/image_config.h"
#include "storage-driver/manifest.h"

#define A                  "sha256:aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"
#define B                  "sha256:bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb"
#define C                  "sha256:cccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccc"
#define DESCRIPTOR(digest) "{\"digest\":\"" digest "\",\"size\":7}"
#define OCI_INDEX          "application/vnd.oci.image.index.v1+json"
#define OCI_MANIFEST       "application/vnd.oci.image.manifest.v1+json"

static int parse(const char *text, const char *type, struct zl_manifest *ret, struct zl_error *err)
{
	return zl_manifest_parse("manifest", text, strlen(text), type, ret, err);
}

START_TEST(reads_an_image)
{
	zl_auto(manifest) struct zl_manifest manifest = ZL_MANIFEST_INIT;
	struct zl_error err = ZL_ERROR_INIT;

	ck_assert_msg(
	        parse("{\"schemaVersion\":2,\"config\":" DESCRIPTOR(
	                      A) ",\"layers\":["
	                         "{\"mediaType\":\"application/vnd.oci.image.layer.v1.tar+zstd\","
	                         "\"digest\":\"" B
	                         "\",\"size\":9223372036854775807}," DESCRIPTOR(C) "]}",
	                OCI_MANIFEST, &manifest, &err) == 0,
	        "%s", err.message);
	ck_assert_int_eq(manifest.kind, ZL_MANIFEST_IMAGE);
	ck_assert_str_eq(manifest.config.digest, A);
	ck_assert_uint_eq(manifest.layer_count, 2);
	ck_assert_str_eq(manifest.layers[0].digest, B);
	ck_assert_uint_eq(manifest.layers[0].size, INT64_MAX);
	ck_assert_str_eq(manifest.layers[1].digest, C);
}
END_TEST

static const struct {
	const char *text;
	const char *type;
	const char *reason;
} malformed[] = {
        {"", NULL, "line 1"},
        {"[]", NULL, "not a JSON object"},
        {"{}", NULL, "must be either"},
        {"{\"layers\":[],\"config\":" DESCRIPTOR(A) "}", NULL, "no layers"},
        {"{\"layers\":{},\"config\":" DESCRIPTOR(A) "}", NULL, "no layers"},
        {"{\"layers\":[{}],\"config\":" DESCRIPTOR(A) "}", NULL, "digest"},
        {"{\"layers\":[{\"digest\":\"" B "\",\"size\":-1}],\"config\":" DESCRIPTOR(A) "}", NULL,
                "size"},
        {"{\"layers\":[{\"digest\":\"" B "\",\"size\":\"1\"}],\"config\":" DESCRIPTOR(A) "}", NULL,
                "size"},
        {"{\"layers\":[{\"digest\":\"sha256:../../etc\",\"size\":1}],\"config\":" DESCRIPTOR(A) "}",
                NULL, "digest"},
        {"{\"layers\":[" DESCRIPTOR(B) "]}", NULL, "digest"},
        {"{\"config\":" DESCRIPTOR(A) ",\"layers\":[" DESCRIPTOR(B) "],\"manifests\":[" DESCRIPTOR(
                 C) "]}",
                NULL, "either"},
        {"{\"config\":" DESCRIPTOR(A) ",\"layers\":[" DESCRIPTOR(B) "]}", OCI_INDEX, "says index"},
        {"{\"manifests\":[" DESCRIPTOR(C) "]}", OCI_MANIFEST, "says image"},
        {"{\"manifests\":[]}", OCI_INDEX, "without manifests"},
        {"{\"schemaVersion\":1,\"fsLayers\":[]}", NULL, "schema 1"},
        {"{\"schemaVersion\":2}", "application/vnd.docker.distribution.manifest.v1+prettyjws",
                "schema 1"},
        {"{\"config\":" DESCRIPTOR(
                 A) ",\"layers\":[{\"mediaType\":\"application/vnd.cncf.helm.chart\","
                    "\"digest\":\"" B "\",\"size\":1}]}",
                OCI_MANIFEST, "not a container image"},
        {"{\"config\":" DESCRIPTOR(A) ",\"config\":" DESCRIPTOR(A) ",\"layers\":[" DESCRIPTOR(
                 B) "]}",
                NULL, "duplicate"},
};

START_TEST(refuses_what_is_malformed)
{
	zl_auto(manifest) struct zl_manifest manifest = ZL_MANIFEST_INIT;
	struct zl_error err = ZL_ERROR_INIT;

	ck_assert_int_eq(parse(malformed[_i].text, malformed[_i].type, &manifest, &err), -1);
	ck_assert_int_eq(err.code, ZL_INVALID_ARGUMENT);
	ck_assert_msg(strstr(err.message, malformed[_i].reason) != NULL, "%s", err.message);
}
END_TEST

START_TEST(bounds_the_number_of_layers)
{
	zl_auto(manifest) struct zl_manifest manifest = ZL_MANIFEST_INIT;
	zl_auto(buffer) struct zl_buffer text = ZL_BUFFER_INIT;
	struct zl_error err = ZL_ERROR_INIT;

	zl_buffer_append_string(&text, "{\"config\":" DESCRIPTOR(A) ",\"layers\":[", &err);
	for (int i = 0; i <= ZL_MANIFEST_LAYERS_MAX; i++)
		zl_buffer_printf(&text, &err, "%s%s", i > 0 ? "," : "", DESCRIPTOR(B));
	zl_buffer_append_string(&text, "]}", &err);
	ck_assert_int_eq(parse(zl_buffer_string(&text), NULL, &manifest, &err), -1);
	ck_assert_int_eq(err.code, ZL_INVALID_ARGUMENT);
}
END_TEST

#define ENTRY(digest, os, arch, variant)                                                           \
	"{\"digest\":\"" digest "\",\"size\":1,\"platform\":{\"os\":\"" os                         \
	"\",\"architecture\":\"" arch "\",\"variant\":\"" variant "\"}}"

static const struct {
	const char *entries;
	struct zl_platform want;
	const char *chosen; // NULL: none
} choices[] = {
        {ENTRY(A, "linux", "arm64", "") "," ENTRY(B, "linux", "amd64", ""), {"linux", "amd64", ""},
                B},
        {ENTRY(A, "windows", "amd64", "") "," ENTRY(B, "linux", "amd64", ""),
                {"linux", "amd64", ""}, B},
        // A newer amd64 variant may not run here; the best of those that do.
        {ENTRY(A, "linux", "amd64", "v3") "," ENTRY(B, "linux", "amd64", "v1"),
                {"linux", "amd64", ""}, B},
        {ENTRY(A, "linux", "arm", "v5") "," ENTRY(B, "linux", "arm", "v7") "," ENTRY(
                 C, "linux", "arm", "v6"),
                {"linux", "arm", "v7"}, B},
        {ENTRY(A, "linux", "arm", "v7") "," ENTRY(B, "linux", "arm", "v6"), {"linux", "arm", "v6"},
                B},
        {ENTRY(A, "linux", "arm64", "v8"), {"linux", "arm64", ""}, A},
        {ENTRY(A, "linux", "arm64", "v9"), {"linux", "arm64", ""}, NULL},
        {ENTRY(A, "unknown", "unknown", "") "," ENTRY(B, "linux", "s390x", ""),
                {"linux", "amd64", ""}, NULL},
        // Without a platform: only if nothing fits.
        {DESCRIPTOR(A) "," ENTRY(B, "linux", "amd64", ""), {"linux", "amd64", ""}, B},
        {DESCRIPTOR(A) "," ENTRY(B, "linux", "arm64", ""), {"linux", "amd64", ""}, A},
        {ENTRY(A, "linux", "amd64", "nonsense"), {"linux", "amd64", ""}, NULL},
};

START_TEST(chooses_a_platform)
{
	zl_auto(manifest) struct zl_manifest index = ZL_MANIFEST_INIT;
	zl_auto(buffer) struct zl_buffer text = ZL_BUFFER_INIT;
	struct zl_error err = ZL_ERROR_INIT;
	const struct zl_descriptor *chosen;

	zl_buffer_printf(&text, &err, "{\"manifests\":[%s]}", choices[_i].entries);
	ck_assert_int_eq(parse(zl_buffer_string(&text), OCI_INDEX, &index, &err), 0);
	chosen = zl_manifest_choose("index", &index, &choices[_i].want, &err);
	if (choices[_i].chosen == NULL) {
		ck_assert_ptr_null(chosen);
		ck_assert_int_eq(err.code, ZL_FAILED_PRECONDITION);
		ck_assert_ptr_nonnull(strstr(err.message, choices[_i].want.architecture));
		ck_assert_ptr_null(strstr(err.message, "unknown/"));
		return;
	}
	ck_assert_ptr_nonnull(chosen);
	ck_assert_str_eq(chosen->digest, choices[_i].chosen);
}
END_TEST

// ---- image config

#define ROOTFS "\"rootfs\":{\"type\":\"layers\",\"diff_ids\":[\"" A "\",\"" B "\",\"" A "\"]}"

static struct zl_image *config(const char *text, char ***diff_ids, struct zl_error *err)
{
	return zl_image_config_parse("config", text, strlen(text), diff_ids, err);
}

START_TEST(reads_a_config)
{
	zl_auto(image) struct zl_image *image = NULL;
	zl_auto(strv) char **diff_ids = NULL;
	struct zl_error err = ZL_ERROR_INIT;
	struct zl_platform amd64 = {"linux", "amd64", ""};
	struct zl_platform arm64 = {"linux", "arm64", ""};

	image = config("{\"os\":\"linux\",\"architecture\":\"amd64\"," ROOTFS ",\"config\":{"
	               "\"User\":\"1000:0\",\"Env\":[\"A=b\",\"C=\"],\"Entrypoint\":null,"
	               "\"Cmd\":[\"sh\"],\"WorkingDir\":\"/w\",\"StopSignal\":\"SIGINT\","
	               "\"Volumes\":{\"/data\":{}},\"Labels\":{\"k\":\"v\",\"e\":\"\"}}}",
	        &diff_ids, &err);
	ck_assert_msg(image != NULL, "%s", err.message);
	ck_assert_str_eq(image->user, "1000:0");
	ck_assert_str_eq(image->env[1], "C=");
	ck_assert_ptr_null(image->env[2]);
	ck_assert_ptr_null(image->entrypoint[0]);
	ck_assert_str_eq(image->command[0], "sh");
	ck_assert_str_eq(image->working_dir, "/w");
	ck_assert_str_eq(image->stop_signal, "SIGINT");
	ck_assert_str_eq(image->volumes[0], "/data");
	ck_assert_str_eq(image->labels[0], "k=v");
	ck_assert_str_eq(image->labels[1], "e=");
	ck_assert_int_eq(strncmp(image->id, "sha256:", 7), 0);
	ck_assert_uint_eq(strlen(image->id), 71);
	ck_assert_uint_eq(zl_strv_length(diff_ids), 3);
	ck_assert_int_eq(zl_image_config_check_platform("config", image, &amd64, &err), 0);
	ck_assert_int_eq(zl_image_config_check_platform("config", image, &arm64, &err), -1);
	ck_assert_int_eq(err.code, ZL_FAILED_PRECONDITION);
}
END_TEST

START_TEST(a_config_may_say_little)
{
	zl_auto(image) struct zl_image *image = NULL;
	zl_auto(strv) char **diff_ids = NULL;
	struct zl_error err = ZL_ERROR_INIT;

	image = config("{" ROOTFS "}", &diff_ids, &err);
	ck_assert_msg(image != NULL, "%s", err.message);
	ck_assert_str_eq(image->user, "");
	ck_assert_ptr_null(image->env[0]);
	ck_assert_ptr_null(image->repo_tags[0]);
}
END_TEST

static const char *const bad_configs[] = {
        "",
        "null",
        "{}",
        "{\"rootfs\":{}}",
        "{\"rootfs\":{\"type\":\"squash\",\"diff_ids\":[]}}",
        "{\"rootfs\":{\"type\":\"layers\",\"diff_ids\":[\"sha256:x\"]}}",
        "{\"rootfs\":{\"type\":\"layers\",\"diff_ids\":[1]}}",
        "{" ROOTFS ",\"config\":{\"Env\":\"A=b\"}}",
        "{" ROOTFS ",\"config\":{\"Env\":[{}]}}",
        "{" ROOTFS ",\"config\":{\"Labels\":[]}}",
        "{" ROOTFS ",\"config\":{\"Env\":[\"a\\u0000b\"]}}",
};

START_TEST(refuses_bad_configs)
{
	char **diff_ids = NULL;
	struct zl_error err = ZL_ERROR_INIT;

	ck_assert_ptr_null(config(bad_configs[_i], &diff_ids, &err));
	ck_assert_int_eq(err.code, ZL_INVALID_ARGUMENT);
	ck_assert_ptr_null(diff_ids);
}
END_TEST

START_TEST(equal_layers_are_one)
{
	struct zl_error err = ZL_ERROR_INIT;
	zl_auto(strv) char **ids = NULL;
	const char *const list[] = {A, B, A, C, B};
	char key[ZL_DIGEST_SIZE];
	char other[ZL_DIGEST_SIZE];

	for (size_t i = 0; i < ZL_ARRAY_SIZE(list); i++)
		ck_assert_int_eq(zl_strv_append(&ids, list[i], &err), 0);
	ck_assert_int_eq(zl_layers_key(ids, other, &err), 0);
	zl_layers_unique(ids);
	ck_assert_uint_eq(zl_strv_length(ids), 3);
	ck_assert_str_eq(ids[0], A);
	ck_assert_str_eq(ids[1], C);
	ck_assert_str_eq(ids[2], B);
	ck_assert_int_eq(zl_layers_key(ids, key, &err), 0);
	ck_assert_str_ne(key, other);
	ck_assert(zl_digest_valid(key));
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("manifest");
	TCase *tests = tcase_create("all");
	SRunner *runner;
	int failed;

	tcase_add_test(tests, reads_an_image);
	tcase_add_loop_test(tests, refuses_what_is_malformed, 0, (int)ZL_ARRAY_SIZE(malformed));
	tcase_add_test(tests, bounds_the_number_of_layers);
	tcase_add_loop_test(tests, chooses_a_platform, 0, (int)ZL_ARRAY_SIZE(choices));
	tcase_add_test(tests, reads_a_config);
	tcase_add_test(tests, a_config_may_say_little);
	tcase_add_loop_test(tests, refuses_bad_configs, 0, (int)ZL_ARRAY_SIZE(bad_configs));
	tcase_add_test(tests, equal_layers_are_one);
	suite_add_tcase(suite, tests);
	runner = srunner_create(suite);
	srunner_run_all(runner, CK_NORMAL);
	failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
