// SPDX-License-Identifier: Apache-2.0
//
// Devices of a container; a build machine has /dev/null, /dev/zero and a directory of terminals.
#include <check.h>
#include <stdlib.h>
#include <string.h>

#include "base/json.h"
#include "unit/zone/tests.h"
#include "zone/supervisor/devnode.h"

static json_t *linux_part(const char *devices)
{
	json_t *object = json_object();

	json_object_set_new(object, "zonelet:devices", json_loads(devices, 0, NULL));
	json_object_set_new(object, "resources",
	        json_pack("{s:[{s:b, s:s}]}", "devices", "allow", 0, "access", "rwm"));
	return object;
}

static const json_t *find(const json_t *list, const char *path)
{
	const json_t *each;
	size_t i;

	json_array_foreach(list, i, each)
	{
		if (strcmp(zl_json_string(each, "path"), path) == 0)
			return each;
	}
	return NULL;
}

START_TEST(describes_a_device)
{
	struct zl_error err = ZL_ERROR_INIT;
	zl_auto(json) json_t *part = linux_part(
	        "{\"all\":false,\"list\":[{\"source\":\"/dev/null\",\"path\":\"/dev/own\","
	        "\"access\":\"r\"}]}");
	zl_auto(free) char *rules = NULL;
	const json_t *device;

	ck_assert_msg(zl_devnodes_add(part, &err) == 0, "%s", err.message);
	ck_assert_ptr_null(json_object_get(part, "zonelet:devices"));
	device = find(json_object_get(part, "devices"), "/dev/own");
	ck_assert_ptr_nonnull(device);
	ck_assert_str_eq(zl_json_string(device, "type"), "c");
	ck_assert_int_eq(json_integer_value(json_object_get(device, "major")), 1);
	ck_assert_int_eq(json_integer_value(json_object_get(device, "minor")), 3);
	rules = json_dumps(json_object_get(json_object_get(part, "resources"), "devices"),
	        JSON_COMPACT | JSON_SORT_KEYS);
	ck_assert_str_eq(rules,
	        "[{\"access\":\"rwm\",\"allow\":false},"
	        "{\"access\":\"r\",\"allow\":true,\"major\":1,\"minor\":3,\"type\":\"c\"}]");
}
END_TEST

// Everything is allowed to a privileged container already.
START_TEST(a_privileged_container_has_all)
{
	struct zl_error err = ZL_ERROR_INIT;
	zl_auto(json) json_t *part = linux_part("{\"all\":true,\"list\":[]}");
	const json_t *list;

	ck_assert_msg(zl_devnodes_add(part, &err) == 0, "%s", err.message);
	list = json_object_get(part, "devices");
	ck_assert(json_is_array(list));
	// Its own are left out.
	ck_assert_ptr_null(find(list, "/dev/null"));
	ck_assert_ptr_null(find(list, "/dev/ptmx"));
	ck_assert_ptr_null(find(list, "/dev/pts/ptmx"));
	ck_assert_uint_eq(
	        json_array_size(json_object_get(json_object_get(part, "resources"), "devices")), 1);
}
END_TEST

START_TEST(nothing_asked_for_is_nothing)
{
	struct zl_error err = ZL_ERROR_INIT;
	zl_auto(json) json_t *part = linux_part("{\"all\":false,\"list\":[]}");
	zl_auto(json) json_t *without = json_object();

	ck_assert_int_eq(zl_devnodes_add(part, &err), 0);
	ck_assert_ptr_null(json_object_get(part, "devices"));
	ck_assert_ptr_null(json_object_get(part, "zonelet:devices"));
	ck_assert_int_eq(zl_devnodes_add(without, &err), 0);
	ck_assert_uint_eq(json_object_size(without), 0);
}
END_TEST

static const struct {
	const char *devices;
	enum zl_code code;
	const char *reason;
} wrong[] = {
        {"{\"list\":[{\"source\":\"/dev/none-of-this\",\"path\":\"/a\",\"access\":\"r\"}]}",
                ZL_NOT_FOUND, "/dev/none-of-this"},
        {"{\"list\":[{\"source\":\"/etc/passwd\",\"path\":\"/a\",\"access\":\"r\"}]}",
                ZL_INVALID_ARGUMENT, "is no device"},
        {"{\"list\":[{\"source\":\"dev/null\",\"path\":\"/a\",\"access\":\"r\"}]}",
                ZL_INVALID_ARGUMENT, "absolute paths"},
        {"{\"list\":[{\"source\":\"/dev/null\",\"path\":\"a\",\"access\":\"r\"}]}",
                ZL_INVALID_ARGUMENT, "absolute paths"},
        {"{\"list\":[{\"source\":\"/dev/null\",\"path\":\"/a\",\"access\":\"x\"}]}",
                ZL_INVALID_ARGUMENT, "rwm"},
        {"{\"list\":[3]}", ZL_INVALID_ARGUMENT, "absolute paths"},
};

START_TEST(refuses_what_is_no_device)
{
	for (size_t i = 0; i < ZL_ARRAY_SIZE(wrong); i++) {
		struct zl_error err = ZL_ERROR_INIT;
		zl_auto(json) json_t *part = linux_part(wrong[i].devices);

		ck_assert_int_eq(zl_devnodes_add(part, &err), -1);
		ck_assert_msg(err.code == wrong[i].code, "%s", err.message);
		ck_assert_msg(strstr(err.message, wrong[i].reason) != NULL, "%s", err.message);
	}
}
END_TEST

TCase *devnode_tests(void)
{
	TCase *tcase = tcase_create("devnode");

	tcase_add_test(tcase, describes_a_device);
	tcase_add_test(tcase, a_privileged_container_has_all);
	tcase_add_test(tcase, nothing_asked_for_is_nothing);
	tcase_add_test(tcase, refuses_what_is_no_device);
	return tcase;
}
