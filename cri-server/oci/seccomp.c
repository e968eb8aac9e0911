// SPDX-License-Identifier: Apache-2.0

// protobuf-c marks fields that CRI deprecates; seccomp_profile_path is still read.
#define PROTOBUF_C__NO_DEPRECATED

#include "cri-server/oci/seccomp.h"

#include <errno.h>
#include <seccomp.h>
#include <string.h>

#include "base/json.h"

// ---- which profile

static Runtime__V1__SecurityProfile__ProfileType type_of(
        const Runtime__V1__LinuxContainerSecurityContext *context)
{
	const char *old = context->seccomp_profile_path;

	if (context->privileged)
		return RUNTIME__V1__SECURITY_PROFILE__PROFILE_TYPE__Unconfined;
	if (context->seccomp != NULL)
		return context->seccomp->profile_type;
	if (strncmp(old, "localhost/", strlen("localhost/")) == 0)
		return RUNTIME__V1__SECURITY_PROFILE__PROFILE_TYPE__Localhost;
	if (strcmp(old, "runtime/default") == 0 || strcmp(old, "docker/default") == 0)
		return RUNTIME__V1__SECURITY_PROFILE__PROFILE_TYPE__RuntimeDefault;
	return RUNTIME__V1__SECURITY_PROFILE__PROFILE_TYPE__Unconfined;
}

const char *zl_seccomp_profile_path(const Runtime__V1__LinuxContainerSecurityContext *context)
{
	const char *path;

	if (context == NULL ||
	        type_of(context) != RUNTIME__V1__SECURITY_PROFILE__PROFILE_TYPE__Localhost)
		return NULL;
	path = context->seccomp != NULL ? context->seccomp->localhost_ref
	                                : context->seccomp_profile_path;
	if (strncmp(path, "localhost/", strlen("localhost/")) == 0)
		path += strlen("localhost/");
	return path;
}

static bool has_string(const json_t *list, const char *text)
{
	size_t index;
	json_t *each;

	json_array_foreach(list, index, each)
	{
		const char *string = json_string_value(each);

		if (string != NULL && strcmp(string, text) == 0)
			return true;
	}
	return false;
}

// ---- the default

// System calls that reach beyond a container. With the capability that the kernel asks for they
// are left to the kernel's own check; without one they are refused always.
static const struct {
	const char *capability;
	const char *names; // separated by spaces
} refused[] = {
        // Keys belong to users, not to namespaces (keyrings(7)).
        {NULL, "add_key keyctl request_key"},
        // Much of the kernel behind few calls, out of the filter's sight.
        {NULL, "io_uring_setup io_uring_enter io_uring_register"},
        // Stops the kernel in the middle of a copy: of use to attacks on it, rarely else.
        {NULL, "userfaultfd"},
        // Of no use to today's programs (man pages: obsolete or unimplemented).
        {NULL, "_sysctl afs_syscall create_module get_kernel_syms getpmsg nfsservctl putpmsg "
               "query_module security sysfs tuxcall uselib ustat vm86 vm86old vserver"},
        // Mounts, namespaces, names and quotas of the system.
        {"CAP_SYS_ADMIN", "fanotify_init fsconfig fsmount fsopen fspick lookup_dcookie "
                          "lsm_set_self_attr mount mount_setattr move_mount open_tree pivot_root "
                          "quotactl quotactl_fd setdomainname sethostname setns swapoff swapon "
                          "umount umount2 unshare"},
        {"CAP_BPF", "bpf"},
        {"CAP_PERFMON", "perf_event_open"},
        {"CAP_SYSLOG", "syslog"},
        {"CAP_SYS_BOOT", "kexec_file_load kexec_load reboot"},
        {"CAP_SYS_CHROOT", "chroot"},
        {"CAP_SYS_MODULE", "delete_module finit_module init_module"},
        {"CAP_SYS_NICE", "get_mempolicy mbind migrate_pages move_pages set_mempolicy "
                         "set_mempolicy_home_node"},
        {"CAP_SYS_PACCT", "acct"},
        {"CAP_SYS_RAWIO", "ioperm iopl pciconfig_iobase pciconfig_read pciconfig_write"},
        {"CAP_SYS_TIME", "clock_settime clock_settime64 settimeofday stime"},
        {"CAP_SYS_TTY_CONFIG", "vhangup"},
        // Opens a file by a number, wherever it lies in the file system.
        {"CAP_DAC_READ_SEARCH", "open_by_handle_at"},
};

// Those of which an argument decides.
#define BY_ARGUMENT "clone clone3 personality socket"

// All CLONE_NEW* flags of clone(2); CLONE_NEWTIME is unshare's and clone3's.
#define CLONE_NAMESPACES 0x7e020000

// PER_LINUX, PER_LINUX32, each without and with UNAME26 (linux/personality.h), and the question
// which one it is.
static const uint32_t personalities[] = {0, 0x8, 0x20000, 0x20008, 0xffffffff};

// AF_ALG (38) loads kernel modules by name, AF_VSOCK (40) leads to the hypervisor's host; neither
// knows network namespaces.
static const struct {
	const char *operator;
	unsigned value;
} families[] = {{"SCMP_CMP_LT", 38}, {"SCMP_CMP_EQ", 39}, {"SCMP_CMP_GT", 40}};

#if defined(__x86_64__)
static const uint32_t architectures[] = {SCMP_ARCH_X86_64, SCMP_ARCH_X86};
static const char *const architecture_names[] = {"SCMP_ARCH_X86_64", "SCMP_ARCH_X86"};
#define DOCKER_ARCHITECTURE "amd64"
#elif defined(__aarch64__)
static const uint32_t architectures[] = {SCMP_ARCH_AARCH64, SCMP_ARCH_ARM};
static const char *const architecture_names[] = {"SCMP_ARCH_AARCH64", "SCMP_ARCH_ARM"};
#define DOCKER_ARCHITECTURE "arm64"
#else
#error "which architectures' system calls may a container use here?"
#endif

static bool has_word(const char *words, const char *word)
{
	size_t length = strlen(word);

	for (const char *at = words; (at = strstr(at, word)) != NULL; at += length) {
		if ((at == words || at[-1] == ' ') && (at[length] == ' ' || at[length] == '\0'))
			return true;
	}
	return false;
}

enum verdict { ALLOWED, REFUSED, ARGUMENT };

static enum verdict judge(const char *name, const json_t *capabilities)
{
	if (has_word(BY_ARGUMENT, name))
		return ARGUMENT;
	for (size_t i = 0; i < ZL_ARRAY_SIZE(refused); i++) {
		if (!has_word(refused[i].names, name))
			continue;
		return refused[i].capability != NULL &&
		                       has_string(capabilities, refused[i].capability)
		               ? ALLOWED
		               : REFUSED;
	}
	return ALLOWED;
}

// The names of the architecture's calls, each to the list of its verdict. One that two
// architectures have is listed twice, which is the same.
static void sort_calls(
        uint32_t architecture, const json_t *capabilities, json_t *allow, json_t *refuse)
{
	for (int number = 0; number <= ZL_SECCOMP_LAST; number++) {
		zl_auto(free) char *name = seccomp_syscall_resolve_num_arch(architecture, number);
		enum verdict verdict = name != NULL ? judge(name, capabilities) : ARGUMENT;

		if (verdict == ALLOWED)
			json_array_append_new(allow, json_string(name));
		else if (verdict == REFUSED)
			json_array_append_new(refuse, json_string(name));
	}
}

static json_t *allow_if(const char *name, int index, uint64_t value, const char *operator)
{
	return json_pack("{s:[s], s:s, s:[{s:i, s:I, s:s}]}", "names", name, "action",
	        "SCMP_ACT_ALLOW", "args", "index", index, "value", (json_int_t)value,
	        "op", operator);
}

static void add_by_argument(json_t *rules, const json_t *capabilities)
{
	bool admin = has_string(capabilities, "CAP_SYS_ADMIN");

	for (size_t i = 0; i < ZL_ARRAY_SIZE(personalities); i++)
		json_array_append_new(
		        rules, allow_if("personality", 0, personalities[i], "SCMP_CMP_EQ"));
	for (size_t i = 0; i < ZL_ARRAY_SIZE(families); i++)
		json_array_append_new(
		        rules, allow_if("socket", 0, families[i].value, families[i].operator));
	if (admin) {
		json_array_append_new(rules, json_pack("{s:[s, s], s:s}", "names", "clone",
		                                     "clone3", "action", "SCMP_ACT_ALLOW"));
		return;
	}
	// clone3's flags are in memory, where a filter cannot look: ENOSYS makes the C library
	// use clone.
	json_array_append_new(rules, json_pack("{s:[s], s:s, s:i}", "names", "clone3", "action",
	                                     "SCMP_ACT_ERRNO", "errnoRet", ENOSYS));
	json_array_append_new(rules,
	        json_pack("{s:[s], s:s, s:[{s:i, s:I, s:I, s:s}]}", "names", "clone", "action",
	                "SCMP_ACT_ALLOW", "args", "index", 0, "value", (json_int_t)CLONE_NAMESPACES,
	                "valueTwo", (json_int_t)0, "op", "SCMP_CMP_MASKED_EQ"));
}

static json_t *default_profile(const json_t *capabilities)
{
	json_t *allow = json_array();
	json_t *refuse = json_array();
	json_t *names = json_array();
	json_t *rules = json_array();

	for (size_t i = 0; i < ZL_ARRAY_SIZE(architectures); i++) {
		json_array_append_new(names, json_string(architecture_names[i]));
		sort_calls(architectures[i], capabilities, allow, refuse);
	}
	json_array_append_new(
	        rules, json_pack("{s:o, s:s}", "names", allow, "action", "SCMP_ACT_ALLOW"));
	json_array_append_new(rules, json_pack("{s:o, s:s, s:i}", "names", refuse, "action",
	                                     "SCMP_ACT_ERRNO", "errnoRet", EPERM));
	add_by_argument(rules, capabilities);
	return json_pack("{s:s, s:i, s:o, s:o}", "defaultAction", "SCMP_ACT_ERRNO",
	        "defaultErrnoRet", ENOSYS, "architectures", names, "syscalls", rules);
}

// ---- a file

// A condition of Docker's format: lists of capabilities and architectures. False if it has none.
static bool condition_met(const json_t *condition, const json_t *capabilities, bool all)
{
	const json_t *caps = json_object_get(condition, "caps");
	const json_t *arches = json_object_get(condition, "arches");
	size_t index;
	json_t *each;
	size_t met = 0;

	json_array_foreach(caps, index, each)
	{
		if (json_is_string(each) && has_string(capabilities, json_string_value(each)))
			met++;
	}
	if (all)
		return met == json_array_size(caps) &&
		       (json_array_size(arches) == 0 || has_string(arches, DOCKER_ARCHITECTURE));
	return met > 0 || has_string(arches, DOCKER_ARCHITECTURE);
}

static bool rule_applies(const json_t *rule, const json_t *capabilities)
{
	return condition_met(json_object_get(rule, "includes"), capabilities, true) &&
	       !condition_met(json_object_get(rule, "excludes"), capabilities, false);
}

static void copy_key(json_t *to, const json_t *from, const char *key)
{
	json_t *value = json_object_get(from, key);

	if (value != NULL && !json_is_null(value))
		json_object_set(to, key, value);
}

static int add_rule(
        json_t *rules, const json_t *rule, const json_t *capabilities, struct zl_error *err)
{
	static const char *const keys[] = {"names", "action", "errnoRet", "args"};
	json_t *copy;

	if (!json_is_object(rule) || !json_is_string(json_object_get(rule, "action")))
		return zl_error_set(err, ZL_INVALID_ARGUMENT, "rule %zu has no action",
		        json_array_size(rules) + 1);
	if (!rule_applies(rule, capabilities))
		return 0;
	copy = json_object();
	for (size_t i = 0; i < ZL_ARRAY_SIZE(keys); i++)
		copy_key(copy, rule, keys[i]);
	// An old form of Docker's: one name.
	if (json_is_string(json_object_get(rule, "name")))
		json_object_set_new(copy, "names", json_pack("[O]", json_object_get(rule, "name")));
	if (!json_is_array(json_object_get(copy, "names"))) {
		json_decref(copy);
		return zl_error_set(err, ZL_INVALID_ARGUMENT, "rule %zu names no system calls",
		        json_array_size(rules) + 1);
	}
	return json_array_append_new(rules, copy);
}

// Docker's archMap: an architecture and those that its processes may change to.
static void add_architectures(json_t *list, const json_t *map)
{
	size_t index;
	size_t sub;
	json_t *entry;
	json_t *name;

	json_array_foreach(map, index, entry)
	{
		if (!json_is_string(json_object_get(entry, "architecture")) ||
		        strcmp(json_string_value(json_object_get(entry, "architecture")),
		                architecture_names[0]) != 0)
			continue;
		json_array_append(list, json_object_get(entry, "architecture"));
		json_array_foreach(json_object_get(entry, "subArchitectures"), sub, name)
		        json_array_append(list, name);
	}
}

json_t *zl_seccomp_parse(const char *text, const json_t *capabilities, struct zl_error *err)
{
	static const char *const keys[] = {
	        "defaultAction", "defaultErrnoRet", "architectures", "flags"};
	zl_auto(json) json_t *file =
	        zl_json_parse("the profile", text, strlen(text), ZL_SECCOMP_PROFILE_MAX, err);
	zl_auto(json) json_t *object = json_object();
	json_t *rules = json_array();
	size_t index;
	json_t *rule;

	json_object_set_new(object, "syscalls", rules);
	if (file == NULL)
		return NULL;
	for (size_t i = 0; i < ZL_ARRAY_SIZE(keys); i++)
		copy_key(object, file, keys[i]);
	if (!json_is_string(json_object_get(object, "defaultAction"))) {
		zl_error_set(err, ZL_INVALID_ARGUMENT, "it has no defaultAction");
		return NULL;
	}
	if (json_object_get(object, "architectures") == NULL &&
	        json_is_array(json_object_get(file, "archMap"))) {
		json_t *list = json_array();

		add_architectures(list, json_object_get(file, "archMap"));
		json_object_set_new(object, "architectures", list);
	}
	json_array_foreach(json_object_get(file, "syscalls"), index, rule)
	{
		if (add_rule(rules, rule, capabilities, err) < 0)
			return NULL;
	}
	return zl_take(object);
}

int zl_oci_seccomp(const Runtime__V1__LinuxContainerSecurityContext *context,
        const json_t *capabilities, const char *profile, json_t **ret, struct zl_error *err)
{
	const char *path = zl_seccomp_profile_path(context);

	*ret = NULL;
	if (type_of(context) == RUNTIME__V1__SECURITY_PROFILE__PROFILE_TYPE__RuntimeDefault) {
		*ret = default_profile(capabilities);
		return *ret != NULL ? 0 : zl_error_nomem(err);
	}
	if (path == NULL)
		return 0;
	if (profile == NULL)
		return zl_error_set(err, ZL_INVALID_ARGUMENT,
		        "seccomp profile \"%s\" is no absolute path of a file", path);
	*ret = zl_seccomp_parse(profile, capabilities, err);
	if (*ret == NULL)
		return zl_error_wrap(err, "seccomp profile %s", path);
	return 0;
}
