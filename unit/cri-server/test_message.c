// SPDX-License-Identifier: Apache-2.0
#include <check.h>
#include <stdlib.h>
#include <string.h>

#include "api.pb-c.h"
#include "cri-server/message/message.h"

static struct zl_arena arena;
static struct zl_error err;

static void setup(void)
{
	arena = (struct zl_arena)ZL_ARENA_INIT;
	err = (struct zl_error)ZL_ERROR_INIT;
}

static void teardown(void)
{
	zl_arena_release(&arena);
}

START_TEST(arena_pieces_are_zero_and_apart)
{
	char *first = zl_arena_alloc(&arena, 3);
	char *second = zl_arena_alloc(&arena, 100000);
	char *third = zl_arena_strndup(&arena, "abcdef", 3);

	memset(first, 1, 3);
	for (size_t i = 0; i < 100000; i++)
		ck_assert_int_eq(second[i], 0);
	memset(second, 2, 100000);
	ck_assert_int_eq(first[2], 1);
	ck_assert_str_eq(third, "abc");
	ck_assert_str_eq(zl_arena_printf(&arena, "%s-%d", third, 7), "abc-7");
	ck_assert_str_eq(zl_arena_strdup(&arena, NULL), "");
	ck_assert_ptr_null(zl_arena_try(&arena, SIZE_MAX));
}
END_TEST

static const struct {
	const char *bytes;
	bool valid;
} utf8[] = {
        {"", true},
        {"plain", true},
        {"\xc3\xa9\xe2\x82\xac\xf0\x9f\x98\x80", true},
        {"\xf4\x8f\xbf\xbf", true},  // U+10FFFF
        {"\xf4\x90\x80\x80", false}, // past it
        {"\xc0\xaf", false},         // overlong
        {"\xe0\x9f\xbf", false},     // overlong
        {"\xf0\x8f\xbf\xbf", false}, // overlong
        {"\xed\xa0\x80", false},     // surrogate
        {"\xed\x9f\xbf", true},      // last before them
        {"\x80", false},
        {"a\xe2\x82", false}, // cut short
        {"\xff", false},
};

START_TEST(utf8_validity)
{
	ck_assert_int_eq(zl_utf8_valid(utf8[_i].bytes, strlen(utf8[_i].bytes)), utf8[_i].valid);
}
END_TEST

START_TEST(utf8_scrub_keeps_good_bytes)
{
	ck_assert_str_eq(zl_utf8_scrub(&arena, "a\xff\xc3\xa9z", 5), "a\xef\xbf\xbd\xc3\xa9z");
	ck_assert_str_eq(zl_utf8_scrub(&arena, "\xe2\x82", 2), "\xef\xbf\xbd\xef\xbf\xbd");
	for (size_t i = 0; i < sizeof(utf8) / sizeof(utf8[0]); i++) {
		const char *text = zl_utf8_scrub(&arena, utf8[i].bytes, strlen(utf8[i].bytes));

		ck_assert(zl_utf8_valid(text, strlen(text)));
	}
}
END_TEST

START_TEST(new_has_defaults)
{
	Runtime__V1__PodSandboxStatus *status =
	        ZL_MESSAGE_NEW(&arena, PodSandboxStatus, pod_sandbox_status);

	ck_assert_ptr_eq(status->base.descriptor, &runtime__v1__pod_sandbox_status__descriptor);
	ck_assert_str_eq(status->id, "");
	ck_assert_ptr_null(status->metadata);
	ck_assert_uint_eq(status->n_labels, 0);
}
END_TEST

static Runtime__V1__RunPodSandboxRequest *sample(void)
{
	Runtime__V1__RunPodSandboxRequest *request =
	        ZL_MESSAGE_NEW(&arena, RunPodSandboxRequest, run_pod_sandbox_request);
	Runtime__V1__PodSandboxConfig *config =
	        ZL_MESSAGE_NEW(&arena, PodSandboxConfig, pod_sandbox_config);

	request->config = config;
	request->runtime_handler = "zone";
	config->metadata = ZL_MESSAGE_NEW(&arena, PodSandboxMetadata, pod_sandbox_metadata);
	config->metadata->name = "web";
	config->labels = zl_arena_array(&arena, 1, sizeof(void *));
	config->n_labels = 1;
	config->labels[0] = zl_message_map_entry(
	        &arena, &runtime__v1__pod_sandbox_config__labels_entry__descriptor, "app", "web");
	return request;
}

static void *round_trip(const ProtobufCMessage *message)
{
	struct zl_buffer packed = ZL_BUFFER_INIT;
	void *result;

	ck_assert_int_eq(zl_message_pack(message, &packed, &err), 0);
	result = zl_message_unpack(&arena, message->descriptor, packed.data, packed.length,
	        ZL_MESSAGE_MEMORY_LIMIT, &err);
	zl_buffer_release(&packed);
	return result;
}

START_TEST(pack_and_unpack)
{
	Runtime__V1__RunPodSandboxRequest *got = round_trip(&sample()->base);

	ck_assert_ptr_nonnull(got);
	ck_assert_str_eq(got->runtime_handler, "zone");
	ck_assert_str_eq(got->config->metadata->name, "web");
	ck_assert_str_eq(
	        zl_message_map_get(got->config->labels, got->config->n_labels, "app"), "web");
	got = zl_message_copy(&arena, &got->base);
	ck_assert_str_eq(got->config->metadata->name, "web");
}
END_TEST

START_TEST(empty_message_unpacks)
{
	Runtime__V1__VersionRequest *got = zl_message_unpack(
	        &arena, &runtime__v1__version_request__descriptor, NULL, 0, 4096, &err);

	ck_assert_ptr_nonnull(got);
	ck_assert_str_eq(got->version, "");
	ck_assert_ptr_nonnull(round_trip(&got->base));
}
END_TEST

START_TEST(bad_utf8_names_the_field)
{
	Runtime__V1__RunPodSandboxRequest *request = sample();

	request->config->metadata->name = "w\xff"
	                                  "b";
	ck_assert_ptr_null(round_trip(&request->base));
	ck_assert_int_eq(err.code, ZL_INVALID_ARGUMENT);
	ck_assert_ptr_nonnull(strstr(err.message, "config.metadata.name: is not valid UTF-8"));
}
END_TEST

START_TEST(bad_utf8_in_a_map_names_the_field)
{
	Runtime__V1__RunPodSandboxRequest *request = sample();

	request->config->labels[0]->value = "\xc3";
	ck_assert_ptr_null(round_trip(&request->base));
	ck_assert_ptr_nonnull(strstr(err.message, "config.labels.value"));
}
END_TEST

static int unpack_status(const char *bytes, size_t length)
{
	return zl_message_unpack(&arena, &runtime__v1__run_pod_sandbox_request__descriptor, bytes,
	               length, ZL_MESSAGE_MEMORY_LIMIT, &err) == NULL
	               ? (int)err.code
	               : ZL_OK;
}

// Field 2 of RunPodSandboxRequest is the string runtime_handler, field 1 the message config.
static const struct {
	const char *bytes;
	size_t length;
	const char *message;
} malformed[] = {
        {"\x12\x03"
         "a\0b",
                5, "runtime_handler: has a NUL byte"},
        {"\x12\x05"
         "ab",
                4, "runtime_handler: is longer than the message that holds it"},
        {"\x12\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01", 11, "runtime_handler: is longer"},
        {"\x12", 1, "runtime_handler: is cut short"},
        {"\x10\x01", 2, "runtime_handler: is malformed"},
        {"\x0a\x02\x12\x05", 4, "config.hostname: is longer"},
        {"\x00\x01", 2, "a bad field number"},
        {"\x13\x14", 2, "runtime_handler: is malformed"},
        {"\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01", 11, "a bad field number"},
        {"\xf9\x06\x01\x02", 4, "an unknown field: is cut short"},
};

START_TEST(malformed_wire)
{
	ck_assert_int_eq(
	        unpack_status(malformed[_i].bytes, malformed[_i].length), ZL_INVALID_ARGUMENT);
	ck_assert_msg(strstr(err.message, malformed[_i].message) != NULL, "%s", err.message);
}
END_TEST

START_TEST(unknown_fields_are_ignored)
{
	ck_assert_int_eq(unpack_status("\xfa\x06\x02\xff\x00\x12\x01z", 8), ZL_OK);
}
END_TEST

START_TEST(memory_is_limited)
{
	enum { COUNT = 3 << 20 };
	unsigned char *bytes = malloc(2 * COUNT);

	// Empty mounts (field 7 of ContainerConfig): two bytes each on the wire.
	ck_assert_ptr_nonnull(bytes);
	for (size_t i = 0; i < COUNT; i++) {
		bytes[2 * i] = 7 << 3 | 2;
		bytes[2 * i + 1] = 0;
	}
	ck_assert_ptr_null(zl_message_unpack(&arena, &runtime__v1__container_config__descriptor,
	        bytes, 2 * COUNT, 16 << 20, &err));
	ck_assert_int_eq(err.code, ZL_RESOURCE_EXHAUSTED);
	ck_assert_uint_le(arena.allocated, 16 << 20);
	free(bytes);
}
END_TEST

START_TEST(scrub_mends_a_reply)
{
	Runtime__V1__ContainerStatus *status =
	        ZL_MESSAGE_NEW(&arena, ContainerStatus, container_status);
	const char *servers[] = {"10.0.0.10", NULL, "\xfe"};
	Runtime__V1__DNSConfig *dns = ZL_MESSAGE_NEW(&arena, DNSConfig, dnsconfig);
	Runtime__V1__Mount *mounts[] = {NULL};

	status->message = "panic: \xff\xfe";
	status->reason = NULL;
	status->n_mounts = 1;
	status->mounts = mounts;
	zl_message_scrub(&arena, &status->base);
	ck_assert_str_eq(status->message, "panic: \xef\xbf\xbd\xef\xbf\xbd");
	ck_assert_ptr_nonnull(status->mounts[0]);
	ck_assert_ptr_nonnull(round_trip(&status->base));

	dns->servers = servers;
	dns->n_servers = 3;
	zl_message_scrub(&arena, &dns->base);
	ck_assert_str_eq(servers[0], "10.0.0.10");
	ck_assert_str_eq(servers[1], "");
	ck_assert_str_eq(servers[2], "\xef\xbf\xbd");
	ck_assert_ptr_nonnull(round_trip(&dns->base));
}
END_TEST

START_TEST(maps)
{
	Runtime__V1__PodSandboxConfig *config = sample()->config;
	Runtime__V1__PodSandboxStatus *status =
	        ZL_MESSAGE_NEW(&arena, PodSandboxStatus, pod_sandbox_status);
	Runtime__V1__PodSandboxFilter__LabelSelectorEntry *selector[1];

	status->n_labels = config->n_labels;
	status->labels =
	        zl_message_map(&arena, &runtime__v1__pod_sandbox_status__labels_entry__descriptor,
	                config->labels, config->n_labels);
	ck_assert_ptr_eq(status->labels[0]->base.descriptor,
	        &runtime__v1__pod_sandbox_status__labels_entry__descriptor);
	ck_assert_str_eq(status->labels[0]->value, "web");
	ck_assert_ptr_null(zl_message_map_get(status->labels, 1, "none"));
	selector[0] = zl_message_map_entry(&arena,
	        &runtime__v1__pod_sandbox_filter__label_selector_entry__descriptor, "app", "web");
	ck_assert(zl_message_map_matches(status->labels, 1, selector, 1));
	ck_assert(zl_message_map_matches(status->labels, 1, selector, 0));
	selector[0]->value = "other";
	ck_assert(!zl_message_map_matches(status->labels, 1, selector, 1));
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("message");
	TCase *tcase = tcase_create("message");
	SRunner *runner = srunner_create(suite);
	int failed;

	tcase_add_checked_fixture(tcase, setup, teardown);
	tcase_add_test(tcase, arena_pieces_are_zero_and_apart);
	tcase_add_loop_test(tcase, utf8_validity, 0, sizeof(utf8) / sizeof(utf8[0]));
	tcase_add_test(tcase, utf8_scrub_keeps_good_bytes);
	tcase_add_test(tcase, new_has_defaults);
	tcase_add_test(tcase, pack_and_unpack);
	tcase_add_test(tcase, empty_message_unpacks);
	tcase_add_test(tcase, bad_utf8_names_the_field);
	tcase_add_test(tcase, bad_utf8_in_a_map_names_the_field);
	tcase_add_loop_test(tcase, malformed_wire, 0, sizeof(malformed) / sizeof(malformed[0]));
	tcase_add_test(tcase, unknown_fields_are_ignored);
	tcase_add_test(tcase, memory_is_limited);
	tcase_add_test(tcase, scrub_mends_a_reply);
	tcase_add_test(tcase, maps);
	suite_add_tcase(suite, tcase);
	srunner_run_all(runner, CK_NORMAL);
	failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
