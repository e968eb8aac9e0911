// SPDX-License-Identifier: Apache-2.0
// clang would warn of each initialiser that names what CRI deprecates.
#define PROTOBUF_C__NO_DEPRECATED

#include "cri-server/oci/capability.h"
#include "unit/cri-services/oci_input.h"

enum { COUNT = 41, DEFAULT_COUNT = 14 };

static const char *const kept_by_default[] = {"CAP_CHOWN", "CAP_DAC_OVERRIDE", "CAP_FSETID",
        "CAP_FOWNER", "CAP_MKNOD", "CAP_NET_RAW", "CAP_SETGID", "CAP_SETUID", "CAP_SETFCAP",
        "CAP_SETPCAP", "CAP_NET_BIND_SERVICE", "CAP_SYS_CHROOT", "CAP_KILL", "CAP_AUDIT_WRITE"};

struct lists {
	const char *add[48];
	const char *drop[48];
	const char *ambient[8];
};

static size_t length_of(const char *const *list)
{
	size_t count = 0;

	while (list[count] != NULL)
		count++;
	return count;
}

static json_t *make(struct lists *lists, struct zl_error *err)
{
	Runtime__V1__LinuxContainerSecurityContext context =
	        RUNTIME__V1__LINUX_CONTAINER_SECURITY_CONTEXT__INIT;
	Runtime__V1__Capability wanted = RUNTIME__V1__CAPABILITY__INIT;

	wanted.add_capabilities = lists->add;
	wanted.n_add_capabilities = length_of(lists->add);
	wanted.drop_capabilities = lists->drop;
	wanted.n_drop_capabilities = length_of(lists->drop);
	wanted.add_ambient_capabilities = lists->ambient;
	wanted.n_add_ambient_capabilities = length_of(lists->ambient);
	context.capabilities = &wanted;
	return zl_oci_capabilities(&context, 0, err);
}

static json_t *accepted(struct lists *lists)
{
	struct zl_error err = ZL_ERROR_INIT;
	json_t *capabilities = make(lists, &err);

	ck_assert_msg(capabilities != NULL, "%s", err.message);
	return capabilities;
}

static size_t count_in(const json_t *capabilities, const char *set)
{
	return json_array_size(oci_at(capabilities, set));
}

// Bounding, effective and permitted are one set; nothing is inheritable but what is ambient.
static void ck_sets(const json_t *capabilities, size_t count, size_t ambient)
{
	ck_assert_uint_eq(count_in(capabilities, "bounding"), count);
	ck_assert(json_equal(oci_at(capabilities, "bounding"), oci_at(capabilities, "effective")));
	ck_assert(json_equal(oci_at(capabilities, "bounding"), oci_at(capabilities, "permitted")));
	ck_assert_uint_eq(count_in(capabilities, "ambient"), ambient);
	ck_assert(json_equal(oci_at(capabilities, "ambient"), oci_at(capabilities, "inheritable")));
}

START_TEST(defaults_are_those_of_other_runtimes)
{
	Runtime__V1__LinuxContainerSecurityContext context =
	        RUNTIME__V1__LINUX_CONTAINER_SECURITY_CONTEXT__INIT;
	struct zl_error err = ZL_ERROR_INIT;
	zl_auto(json) json_t *without = zl_oci_capabilities(NULL, 0, &err);
	zl_auto(json) json_t *empty = zl_oci_capabilities(&context, 0, &err);
	zl_auto(json) json_t *lists = accepted(&(struct lists){0});

	ck_sets(without, DEFAULT_COUNT, 0);
	for (size_t i = 0; i < DEFAULT_COUNT; i++)
		ck_assert_msg(oci_contains(without, "bounding", kept_by_default[i]), "no %s",
		        kept_by_default[i]);
	ck_assert(json_equal(without, empty));
	ck_assert(json_equal(without, lists));
}
END_TEST

START_TEST(adds_and_drops_single_names)
{
	struct lists lists = {.add = {"SYS_ADMIN", "cap_net_admin", "Chown"}, .drop = {"CAP_kill"}};
	zl_auto(json) json_t *caps = accepted(&lists);

	ck_sets(caps, DEFAULT_COUNT + 2 - 1, 0);
	ck_assert(oci_contains(caps, "effective", "CAP_SYS_ADMIN"));
	ck_assert(oci_contains(caps, "effective", "CAP_NET_ADMIN"));
	ck_assert(!oci_contains(caps, "effective", "CAP_KILL"));
}
END_TEST

START_TEST(a_drop_wins_over_an_add)
{
	struct lists lists = {.add = {"SYS_ADMIN"}, .drop = {"SYS_ADMIN"}};
	zl_auto(json) json_t *caps = accepted(&lists);

	ck_sets(caps, DEFAULT_COUNT, 0);
}
END_TEST

static struct {
	struct lists lists;
	size_t count;
	const char *has;   // NULL: not asked
	const char *lacks; // NULL: not asked
} all_rules[] = {
        {{.add = {"ALL"}}, COUNT, "CAP_CHECKPOINT_RESTORE", NULL},
        {{.add = {"cap_all"}}, COUNT, "CAP_SYS_MODULE", NULL},
        {{.drop = {"all"}}, 0, NULL, "CAP_CHOWN"},
        {{.add = {"ALL"}, .drop = {"CHOWN"}}, COUNT - 1, "CAP_KILL", "CAP_CHOWN"},
        {{.add = {"CHOWN"}, .drop = {"ALL"}}, 1, "CAP_CHOWN", "CAP_KILL"},
        {{.add = {"ALL"}, .drop = {"ALL"}}, 0, NULL, "CAP_CHOWN"},
        {{.add = {"ALL", "BPF"}, .drop = {"ALL"}}, 1, "CAP_BPF", "CAP_CHOWN"},
        {{.add = {"CHOWN", "KILL"}, .drop = {"ALL", "KILL"}}, 1, "CAP_CHOWN", "CAP_KILL"},
};

START_TEST(all_comes_before_single_names)
{
	for (size_t i = 0; i < ZL_ARRAY_SIZE(all_rules); i++) {
		zl_auto(json) json_t *caps = accepted(&all_rules[i].lists);

		ck_assert_msg(count_in(caps, "bounding") == all_rules[i].count,
		        "rule %zu gives %zu", i, count_in(caps, "bounding"));
		ck_sets(caps, all_rules[i].count, 0);
		if (all_rules[i].has != NULL)
			ck_assert(oci_contains(caps, "bounding", all_rules[i].has));
		if (all_rules[i].lacks != NULL)
			ck_assert(!oci_contains(caps, "bounding", all_rules[i].lacks));
	}
}
END_TEST

// Each name by itself, all together without ALL, and then dropped one by one.
START_TEST(every_name_of_the_kernel_works)
{
	struct zl_error err = ZL_ERROR_INIT;
	struct lists every = {.add = {"ALL"}};
	zl_auto(json) json_t *all = accepted(&every);
	struct lists named = {0};
	zl_auto(json) json_t *together = NULL;

	for (size_t i = 0; i < COUNT; i++) {
		const char *name = json_string_value(json_array_get(oci_at(all, "bounding"), i));
		struct lists one = {.add = {name}, .drop = {"ALL"}};
		zl_auto(json) json_t *caps = make(&one, &err);

		ck_sets(caps, 1, 0);
		ck_assert(oci_contains(caps, "bounding", name));
		named.add[i] = name;
	}
	together = accepted(&named);
	ck_assert(json_equal(all, together));
}
END_TEST

START_TEST(ambient_ones_are_in_every_set)
{
	struct lists lists = {.drop = {"ALL"}, .ambient = {"NET_BIND_SERVICE"}};
	struct lists everything = {.ambient = {"ALL"}};
	zl_auto(json) json_t *one = accepted(&lists);
	zl_auto(json) json_t *all = accepted(&everything);

	ck_sets(one, 1, 1);
	ck_assert(oci_contains(one, "ambient", "CAP_NET_BIND_SERVICE"));
	ck_assert(oci_contains(one, "effective", "CAP_NET_BIND_SERVICE"));
	ck_sets(all, COUNT, COUNT);
}
END_TEST

START_TEST(privileged_has_all)
{
	Runtime__V1__LinuxContainerSecurityContext context =
	        RUNTIME__V1__LINUX_CONTAINER_SECURITY_CONTEXT__INIT;
	Runtime__V1__Capability wanted = RUNTIME__V1__CAPABILITY__INIT;
	const char *drop[] = {"ALL"};
	struct zl_error err = ZL_ERROR_INIT;
	zl_auto(json) json_t *caps = NULL;

	wanted.drop_capabilities = drop;
	wanted.n_drop_capabilities = 1;
	context.capabilities = &wanted;
	context.privileged = true;
	caps = zl_oci_capabilities(&context, 0, &err);
	ck_sets(caps, COUNT, 0);
}
END_TEST

static const char *const no_names[] = {"", "CAP_", "ADMIN", "CAP_CAP_CHOWN", "CHOWN ", "AL", "ALLX",
        "SYS_ADMIN\n", "\xff\xfe", "CAP_SYS_ADMIN,CAP_KILL"};

START_TEST(refuses_unknown_names)
{
	for (size_t i = 0; i < ZL_ARRAY_SIZE(no_names); i++) {
		struct lists where[] = {{.add = {"KILL", no_names[i]}}, {.drop = {no_names[i]}},
		        {.ambient = {no_names[i]}}};

		for (size_t k = 0; k < ZL_ARRAY_SIZE(where); k++) {
			struct zl_error err = ZL_ERROR_INIT;

			ck_assert_msg(make(&where[k], &err) == NULL, "accepted: %s", no_names[i]);
			ck_assert_int_eq(err.code, ZL_INVALID_ARGUMENT);
			ck_assert_ptr_nonnull(strstr(err.message, "unknown capability"));
		}
	}
}
END_TEST

// A runtime that lacks a capability itself, as in a container, cannot pass it on.
START_TEST(gives_what_it_has)
{
	const uint64_t available = ((UINT64_C(1) << COUNT) - 1) & ~(UINT64_C(1) << 24);
	const char *all[] = {"ALL"};
	const char *resource[] = {"SYS_RESOURCE"};
	Runtime__V1__LinuxContainerSecurityContext context =
	        RUNTIME__V1__LINUX_CONTAINER_SECURITY_CONTEXT__INIT;
	Runtime__V1__Capability wanted = RUNTIME__V1__CAPABILITY__INIT;
	struct zl_error err = ZL_ERROR_INIT;
	zl_auto(json) json_t *everything = NULL;
	zl_auto(json) json_t *privileged = NULL;
	zl_auto(json) json_t *little = NULL;

	context.capabilities = &wanted;
	wanted.add_capabilities = all;
	wanted.n_add_capabilities = 1;
	everything = zl_oci_capabilities(&context, available, &err);
	ck_assert_uint_eq(count_in(everything, "bounding"), COUNT - 1);
	ck_assert(!oci_contains(everything, "bounding", "CAP_SYS_RESOURCE"));
	wanted.add_capabilities = resource;
	ck_assert_ptr_null(zl_oci_capabilities(&context, available, &err));
	ck_assert_int_eq(err.code, ZL_FAILED_PRECONDITION);
	ck_assert_ptr_nonnull(strstr(err.message, "SYS_RESOURCE"));
	context.privileged = true;
	privileged = zl_oci_capabilities(&context, available, &err);
	ck_assert_uint_eq(count_in(privileged, "bounding"), COUNT - 1);
	little = zl_oci_capabilities(NULL, 1, &err);
	oci_equal(little, "bounding", "[\"CAP_CHOWN\"]");
}
END_TEST

SUITE(oci_capability, gives_what_it_has, defaults_are_those_of_other_runtimes,
        adds_and_drops_single_names, a_drop_wins_over_an_add, all_comes_before_single_names,
        every_name_of_the_kernel_works, ambient_ones_are_in_every_set, privileged_has_all,
        refuses_unknown_names)
