// SPDX-License-Identifier: Apache-2.0
//
// Seccomp profiles.
#include "cri-server/oci/seccomp.h"

#include <errno.h>

#include "unit/cri-services/oci_input.h"

#define DEFAULT    RUNTIME__V1__SECURITY_PROFILE__PROFILE_TYPE__RuntimeDefault
#define UNCONFINED RUNTIME__V1__SECURITY_PROFILE__PROFILE_TYPE__Unconfined
#define LOCALHOST  RUNTIME__V1__SECURITY_PROFILE__PROFILE_TYPE__Localhost

static json_t *spec_with(struct oci_input *input, Runtime__V1__SecurityProfile__ProfileType type)
{
	input->profile.profile_type = type;
	input->context.seccomp = &input->profile;
	return oci_spec(input);
}

// The rule that names a call and has no conditions on arguments.
static const json_t *rule_for(const json_t *spec, const char *name)
{
	const json_t *rules = oci_at(spec, "linux/seccomp/syscalls");

	for (size_t i = 0; i < json_array_size(rules); i++) {
		const json_t *rule = json_array_get(rules, i);

		if (json_object_get(rule, "args") == NULL && oci_contains(rule, "names", name))
			return rule;
	}
	return NULL;
}

static bool allows(const json_t *spec, const char *name)
{
	const json_t *rule = rule_for(spec, name);

	return rule != NULL && strcmp(zl_json_string(rule, "action"), "SCMP_ACT_ALLOW") == 0;
}

START_TEST(by_default_what_reaches_out_is_refused)
{
	static const char *const allowed[] = {"read", "write", "openat", "execve", "futex",
	        "clock_gettime", "ptrace", "statx", "close_range", "mseal", "chroot", "accept4",
	        "socketcall", "mmap2"};
	static const char *const refused[] = {"mount", "umount2", "setns", "unshare", "bpf",
	        "keyctl", "add_key", "io_uring_setup", "kexec_load", "init_module", "reboot",
	        "perf_event_open", "open_by_handle_at", "userfaultfd", "settimeofday", "swapon",
	        "pivot_root", "move_mount", "iopl", "sethostname"};
	struct oci_input input;
	zl_auto(json) json_t *spec = NULL;

	oci_input_init(&input);
	spec = spec_with(&input, DEFAULT);
	for (size_t i = 0; i < ZL_ARRAY_SIZE(allowed); i++)
		ck_assert_msg(allows(spec, allowed[i]), "%s is refused", allowed[i]);
	for (size_t i = 0; i < ZL_ARRAY_SIZE(refused); i++) {
		ck_assert_msg(!allows(spec, refused[i]), "%s is allowed", refused[i]);
		ck_assert_int_eq(
		        json_integer_value(json_object_get(rule_for(spec, refused[i]), "errnoRet")),
		        EPERM);
	}
	oci_equal(spec, "linux/seccomp/defaultAction", "\"SCMP_ACT_ERRNO\"");
	ck_assert_int_eq(json_integer_value(oci_at(spec, "linux/seccomp/defaultErrnoRet")), ENOSYS);
}
END_TEST

// Whoever may do a thing is not kept from it by the filter.
START_TEST(capabilities_open_the_default)
{
	const char *add[] = {"SYS_ADMIN", "SYS_TIME"};
	const char *drop[] = {"SYS_CHROOT"};
	struct oci_input input;
	zl_auto(json) json_t *spec = NULL;

	oci_input_init(&input);
	input.capabilities.add_capabilities = add;
	input.capabilities.n_add_capabilities = 2;
	input.capabilities.drop_capabilities = drop;
	input.capabilities.n_drop_capabilities = 1;
	spec = spec_with(&input, DEFAULT);
	ck_assert(allows(spec, "mount") && allows(spec, "unshare") && allows(spec, "clone3"));
	ck_assert(allows(spec, "settimeofday"));
	ck_assert(!allows(spec, "chroot"));
	ck_assert(!allows(spec, "init_module"));
	ck_assert(!allows(spec, "keyctl"));
}
END_TEST

static size_t count_conditional(const json_t *spec, const char *name, const char *wanted)
{
	const json_t *rules = oci_at(spec, "linux/seccomp/syscalls");
	size_t count = 0;

	for (size_t i = 0; i < json_array_size(rules); i++) {
		const json_t *rule = json_array_get(rules, i);
		const json_t *args = json_object_get(rule, "args");
		zl_auto(free) char *text =
		        args != NULL ? json_dumps(args, JSON_COMPACT | JSON_SORT_KEYS) : NULL;

		if (text != NULL && oci_contains(rule, "names", name) &&
		        strstr(text, wanted) != NULL)
			count++;
	}
	return count;
}

START_TEST(arguments_decide_where_they_can)
{
	struct oci_input input;
	zl_auto(json) json_t *spec = NULL;

	oci_input_init(&input);
	spec = spec_with(&input, DEFAULT);
	ck_assert(
	        !allows(spec, "clone") && !allows(spec, "socket") && !allows(spec, "personality"));
	ck_assert_uint_eq(count_conditional(spec, "clone", "SCMP_CMP_MASKED_EQ"), 1);
	ck_assert_uint_eq(count_conditional(spec, "clone", "\"value\":2114060288"), 1);
	ck_assert_uint_eq(count_conditional(spec, "socket", "SCMP_CMP_"), 3);
	ck_assert_uint_eq(count_conditional(spec, "socket", "\"value\":38"), 1);
	ck_assert_uint_eq(count_conditional(spec, "socket", "SCMP_CMP_EQ\",\"value\":38"), 0);
	ck_assert_uint_eq(count_conditional(spec, "personality", "\"value\":4294967295"), 1);
	// The C library falls back to clone.
	ck_assert_int_eq(
	        json_integer_value(json_object_get(rule_for(spec, "clone3"), "errnoRet")), ENOSYS);
}
END_TEST

START_TEST(no_filter_where_none_is_wanted)
{
	struct oci_input input;
	zl_auto(json) json_t *none = NULL;
	zl_auto(json) json_t *unconfined = NULL;
	zl_auto(json) json_t *privileged = NULL;

	oci_input_init(&input);
	none = oci_spec(&input);
	ck_assert(!oci_has(none, "linux/seccomp"));
	unconfined = spec_with(&input, UNCONFINED);
	ck_assert(!oci_has(unconfined, "linux/seccomp"));
	input.context.privileged = true;
	input.pod_context.privileged = true;
	input.profile.localhost_ref = "/profile.json";
	privileged = spec_with(&input, LOCALHOST);
	ck_assert(!oci_has(privileged, "linux/seccomp"));
	ck_assert_ptr_null(zl_seccomp_profile_path(&input.context));
}
END_TEST

START_TEST(names_the_profile_of_the_node)
{
	struct oci_input input;

	oci_input_init(&input);
	ck_assert_ptr_null(zl_seccomp_profile_path(NULL));
	ck_assert_ptr_null(zl_seccomp_profile_path(&input.context));
	input.profile.profile_type = LOCALHOST;
	input.profile.localhost_ref = "/a/b.json";
	input.context.seccomp = &input.profile;
	ck_assert_str_eq(zl_seccomp_profile_path(&input.context), "/a/b.json");
	input.profile.localhost_ref = "localhost//a/b.json";
	ck_assert_str_eq(zl_seccomp_profile_path(&input.context), "/a/b.json");
	// It was not read: it is no absolute path.
	input.profile.localhost_ref = "b.json";
	oci_refused(&input, ZL_INVALID_ARGUMENT, "\"b.json\" is no absolute path");
}
END_TEST

static json_t *with_profile(struct oci_input *input, const char *text)
{
	input->profile.localhost_ref = "/p.json";
	input->in.seccomp_profile = text;
	return spec_with(input, LOCALHOST);
}

START_TEST(takes_a_profile_of_either_format)
{
	struct oci_input input;
	zl_auto(json) json_t *oci = NULL;
	zl_auto(json) json_t *docker = NULL;

	oci_input_init(&input);
	oci = with_profile(&input,
	        "{\"defaultAction\":\"SCMP_ACT_ALLOW\",\"listenerPath\":\"/x\",\"syscalls\":["
	        "{\"names\":[\"chmod\"],\"action\":\"SCMP_ACT_ERRNO\",\"errnoRet\":5}]}");
	oci_equal(oci, "linux/seccomp",
	        "{\"defaultAction\":\"SCMP_ACT_ALLOW\",\"syscalls\":[{\"action\":"
	        "\"SCMP_ACT_ERRNO\",\"errnoRet\":5,\"names\":[\"chmod\"]}]}");
	docker = with_profile(&input,
	        "{\"defaultAction\":\"SCMP_ACT_ERRNO\",\"archMap\":["
	        "{\"architecture\":\"SCMP_ARCH_X86_64\",\"subArchitectures\":[\"SCMP_ARCH_X86\"]},"
	        "{\"architecture\":\"SCMP_ARCH_AARCH64\",\"subArchitectures\":null}],"
	        "\"syscalls\":["
	        "{\"names\":[\"a\"],\"action\":\"SCMP_ACT_ALLOW\",\"includes\":{\"caps\":"
	        "[\"CAP_CHOWN\"]},\"excludes\":{}},"
	        "{\"names\":[\"b\"],\"action\":\"SCMP_ACT_ALLOW\",\"includes\":{\"caps\":"
	        "[\"CAP_SYS_ADMIN\"]}},"
	        "{\"names\":[\"c\"],\"action\":\"SCMP_ACT_ALLOW\",\"excludes\":{\"caps\":"
	        "[\"CAP_CHOWN\"]}},"
	        "{\"names\":[\"d\"],\"action\":\"SCMP_ACT_ALLOW\",\"includes\":{\"arches\":"
	        "[\"s390x\"]}},"
	        "{\"name\":\"e\",\"action\":\"SCMP_ACT_ALLOW\",\"comment\":\"\"}]}");
	oci_equal(docker, "linux/seccomp/syscalls",
	        "[{\"action\":\"SCMP_ACT_ALLOW\",\"names\":[\"a\"]},"
	        "{\"action\":\"SCMP_ACT_ALLOW\",\"names\":[\"e\"]}]");
#if defined(__x86_64__)
	oci_equal(
	        docker, "linux/seccomp/architectures", "[\"SCMP_ARCH_X86_64\",\"SCMP_ARCH_X86\"]");
#endif
}
END_TEST

START_TEST(refuses_a_broken_profile)
{
	static const struct {
		const char *text, *reason;
	} broken[] = {
	        {"{", "seccomp profile /p.json"},
	        {"[]", "no defaultAction"},
	        {"{\"defaultAction\":1}", "no defaultAction"},
	        {"{\"defaultAction\":\"A\",\"syscalls\":[{\"names\":[\"x\"]}]}", "rule 1 has no"},
	        {"{\"defaultAction\":\"A\",\"syscalls\":[{\"action\":\"A\"}]}", "rule 1 names no"},
	        {"{\"defaultAction\":\"A\",\"syscalls\":[3]}", "rule 1 has no action"},
	};
	struct oci_input input;

	oci_input_init(&input);
	input.profile.profile_type = LOCALHOST;
	input.profile.localhost_ref = "/p.json";
	input.context.seccomp = &input.profile;
	for (size_t i = 0; i < ZL_ARRAY_SIZE(broken); i++) {
		input.in.seccomp_profile = broken[i].text;
		oci_refused(&input, ZL_INVALID_ARGUMENT, broken[i].reason);
	}
}
END_TEST

SUITE(oci_seccomp, by_default_what_reaches_out_is_refused, capabilities_open_the_default,
        arguments_decide_where_they_can, no_filter_where_none_is_wanted,
        names_the_profile_of_the_node, takes_a_profile_of_either_format, refuses_a_broken_profile)
