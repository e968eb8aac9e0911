// SPDX-License-Identifier: Apache-2.0
#include "cri-server/oci/capability.h"

#include <stdbool.h>
#include <stdint.h>
#include <string.h>
#include <strings.h>

#include "base/json.h"

// In the order of linux/capability.h, so that the index is the number.
static const char *const names[] = {
        "CHOWN",
        "DAC_OVERRIDE",
        "DAC_READ_SEARCH",
        "FOWNER",
        "FSETID",
        "KILL",
        "SETGID",
        "SETUID",
        "SETPCAP",
        "LINUX_IMMUTABLE",
        "NET_BIND_SERVICE",
        "NET_BROADCAST",
        "NET_ADMIN",
        "NET_RAW",
        "IPC_LOCK",
        "IPC_OWNER",
        "SYS_MODULE",
        "SYS_RAWIO",
        "SYS_CHROOT",
        "SYS_PTRACE",
        "SYS_PACCT",
        "SYS_ADMIN",
        "SYS_BOOT",
        "SYS_NICE",
        "SYS_RESOURCE",
        "SYS_TIME",
        "SYS_TTY_CONFIG",
        "MKNOD",
        "LEASE",
        "AUDIT_WRITE",
        "AUDIT_CONTROL",
        "SETFCAP",
        "MAC_OVERRIDE",
        "MAC_ADMIN",
        "SYSLOG",
        "WAKE_ALARM",
        "BLOCK_SUSPEND",
        "AUDIT_READ",
        "PERFMON",
        "BPF",
        "CHECKPOINT_RESTORE",
};

// What a container has when nobody says otherwise: the set that Docker began with and every CRI
// runtime keeps.
static const char *const defaults[] = {
        "CHOWN",
        "DAC_OVERRIDE",
        "FSETID",
        "FOWNER",
        "MKNOD",
        "NET_RAW",
        "SETGID",
        "SETUID",
        "SETFCAP",
        "SETPCAP",
        "NET_BIND_SERVICE",
        "SYS_CHROOT",
        "KILL",
        "AUDIT_WRITE",
};

#define ALL_CAPABILITIES ((UINT64_C(1) << ZL_ARRAY_SIZE(names)) - 1)

// The set that a name stands for; 0 if it is none.
static uint64_t parse_name(const char *name)
{
	if (strncasecmp(name, "CAP_", 4) == 0)
		name += 4;
	if (strcasecmp(name, "ALL") == 0)
		return ALL_CAPABILITIES;
	for (size_t i = 0; i < ZL_ARRAY_SIZE(names); i++) {
		if (strcasecmp(name, names[i]) == 0)
			return UINT64_C(1) << i;
	}
	return 0;
}

// A list of names: those that stand for one capability each, and whether ALL is among them.
struct list {
	uint64_t single;
	bool all;
};

static int parse_list(
        const char *const *names_given, size_t count, struct list *ret, struct zl_error *err)
{
	*ret = (struct list){0};
	for (size_t i = 0; i < count; i++) {
		uint64_t set = parse_name(names_given[i]);

		if (set == 0)
			return zl_error_set(err, ZL_INVALID_ARGUMENT,
			        "unknown capability \"%s\" in the security context",
			        names_given[i]);
		if (set == ALL_CAPABILITIES)
			ret->all = true;
		else
			ret->single |= set;
	}
	return 0;
}

static int check_available(uint64_t wanted, uint64_t available, struct zl_error *err)
{
	for (size_t i = 0; i < ZL_ARRAY_SIZE(names); i++) {
		if ((wanted & ~available) & (UINT64_C(1) << i))
			return zl_error_set(err, ZL_FAILED_PRECONDITION,
			        "capability %s cannot be given: the runtime does not have it "
			        "itself",
			        names[i]);
	}
	return 0;
}

// ALL in either list comes before single names, and drops come last: "add ALL, drop X" and "drop
// ALL, add X" both mean what they say. That is how Docker and containerd read such pairs.
static int apply(const Runtime__V1__Capability *wanted, uint64_t available, uint64_t *set,
        uint64_t *ambient, struct zl_error *err)
{
	struct list add;
	struct list drop;
	struct list keep;

	if (parse_list(wanted->add_capabilities, wanted->n_add_capabilities, &add, err) < 0 ||
	        parse_list(wanted->drop_capabilities, wanted->n_drop_capabilities, &drop, err) <
	                0 ||
	        parse_list(wanted->add_ambient_capabilities, wanted->n_add_ambient_capabilities,
	                &keep, err) < 0)
		return -1;
	if (check_available((add.single | keep.single) & ~drop.single, available, err) < 0)
		return -1;
	if (add.all)
		*set = available;
	if (drop.all)
		*set = 0;
	*set = (*set | add.single) & ~drop.single;
	*ambient = keep.all ? available : keep.single;
	*set |= *ambient;
	return 0;
}

static json_t *to_list(uint64_t set)
{
	json_t *list = json_array();

	for (size_t i = 0; list != NULL && i < ZL_ARRAY_SIZE(names); i++) {
		if (set & (UINT64_C(1) << i))
			json_array_append_new(list, json_sprintf("CAP_%s", names[i]));
	}
	return list;
}

json_t *zl_oci_capabilities(const Runtime__V1__LinuxContainerSecurityContext *context,
        uint64_t available, struct zl_error *err)
{
	uint64_t set = 0;
	uint64_t ambient = 0;
	json_t *object;

	available = available == 0 ? ALL_CAPABILITIES : available & ALL_CAPABILITIES;
	for (size_t i = 0; i < ZL_ARRAY_SIZE(defaults); i++)
		set |= parse_name(defaults[i]);
	if (context != NULL && context->privileged)
		set = available;
	else if (context != NULL && context->capabilities != NULL &&
	         apply(context->capabilities, available, &set, &ambient, err) < 0)
		return NULL;
	set &= available;
	object = json_pack("{s:o, s:o, s:o, s:o, s:o}", "bounding", to_list(set), "effective",
	        to_list(set), "permitted", to_list(set), "inheritable", to_list(ambient), "ambient",
	        to_list(ambient));
	if (object == NULL)
		zl_error_nomem(err);
	return object;
}
