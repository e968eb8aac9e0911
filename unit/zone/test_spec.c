// SPDX-License-Identifier: Apache-2.0
#include <check.h>
#include <stdlib.h>
#include <string.h>

#include "base/json.h"
#include "unit/zone/tests.h"
#include "zone/supervisor/spec.h"

static pid_t holder(void *user, const char *kind, const char *container_id, struct zl_error *err)
{
	(void)user;
	if (container_id != NULL && strcmp(kind, "pid") == 0)
		return 77;
	if (container_id != NULL)
		return zl_error_set(err, ZL_FAILED_PRECONDITION, "not running");
	return 0;
}

static const struct zl_user user = {.uid = 5, .gid = 6, .groups = {6, 7}, .group_count = 2};
static const struct zl_spec_facts facts = {
        .root = "/r",
        .user = &user,
        .resolv_conf = "/s/resolv.conf",
        .hostname = "/s/hostname",
        .shm = "/s/shm",
        .holder = holder,
};

static json_t *complete(const char *text, struct zl_error *err)
{
	zl_auto(buffer) struct zl_buffer out = ZL_BUFFER_INIT;
	char cgroup[ZL_CGROUPS_PATH_SIZE];

	if (zl_spec_complete(text, &facts, &out, cgroup, err) < 0)
		return NULL;
	return zl_json_parse("result", out.data, out.length, ZL_SPEC_MAX, err);
}

START_TEST(fills_in)
{
	struct zl_error err = ZL_ERROR_INIT;
	json_t *spec = complete(
	        "{\"process\":{\"args\":[\"x\"],\"terminal\":true},\"root\":{\"path\":\"?\","
	        "\"readonly\":true},\"linux\":{\"cgroupsPath\":\"/a\",\"namespaces\":["
	        "{\"type\":\"network\",\"path\":\"zonelet:pod\"},{\"type\":\"mount\"},"
	        "{\"type\":\"ipc\",\"path\":\"zonelet:pod\"},{\"type\":\"pid\",\"path\":"
	        "\"zonelet:container:"
	        "0000000000000000000000000000000000000000000000000000000000000001\"}]},"
	        "\"mounts\":[{\"destination\":\"/etc/hostname\",\"source\":\"/own\"},"
	        "{\"destination\":\"/dev/shm\",\"type\":\"tmpfs\",\"source\":\"shm\"}]}",
	        &err);
	zl_auto(free) char *text = NULL;

	ck_assert_msg(spec != NULL, "%s", err.message);
	text = json_dumps(spec, JSON_COMPACT | JSON_SORT_KEYS);
	ck_assert_str_eq(text,
	        "{\"linux\":{\"cgroupsPath\":\"/a\",\"namespaces\":[{\"type\":\"mount\"},"
	        "{\"path\":\"/proc/77/ns/pid\",\"type\":\"pid\"}]},"
	        "\"mounts\":[{\"destination\":\"/etc/hostname\",\"source\":\"/own\"},"
	        "{\"destination\":\"/dev/shm\",\"options\":[\"rbind\",\"rw\",\"nosuid\",\"nodev\"],"
	        "\"source\":\"/s/shm\",\"type\":\"bind\"},"
	        "{\"destination\":\"/etc/resolv.conf\",\"options\":[\"rbind\",\"ro\",\"nosuid\","
	        "\"nodev\"],\"source\":\"/s/resolv.conf\",\"type\":\"bind\"}],"
	        "\"process\":{\"args\":[\"x\"],\"terminal\":false,\"user\":{\"additionalGids\":"
	        "[6,7],\"gid\":6,\"uid\":5}},\"root\":{\"path\":\"/r\",\"readonly\":true}}");
	json_decref(spec);
}
END_TEST

// NOLINTBEGIN(bugprone-suspicious-missing-comma): long lines
static const char *const bad[] = {
        "",
        "[]",
        "{}",
        "{\"process\":{}}",
        "{\"process\":{},\"linux\":{}}",
        "{\"process\":{},\"linux\":{\"cgroupsPath\":\"/../x\"}}",
        "{\"process\":[],\"linux\":{\"cgroupsPath\":\"/x\"}}",
        "{\"process\":{},\"linux\":{\"cgroupsPath\":\"/x\"},\"mounts\":7}",
        "{\"process\":{},\"linux\":{\"cgroupsPath\":\"/x\",\"namespaces\":[{\"type\":\"pid\","
        "\"path\":\"zonelet:container:../../1\"}]}}",
};
// NOLINTEND(bugprone-suspicious-missing-comma)

START_TEST(refuses)
{
	struct zl_error err = ZL_ERROR_INIT;

	ck_assert_ptr_null(complete(bad[_i], &err));
	ck_assert_int_eq(err.code, ZL_INVALID_ARGUMENT);
}
END_TEST

TCase *spec_tests(void)
{
	TCase *tests = tcase_create("spec");

	tcase_add_test(tests, fills_in);
	tcase_add_loop_test(tests, refuses, 0, (int)ZL_ARRAY_SIZE(bad));
	return tests;
}
