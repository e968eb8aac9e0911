// SPDX-License-Identifier: Apache-2.0
#include "storage-driver/puller/sandbox.h"

#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <linux/landlock.h>
#include <pwd.h>
#include <sched.h>
#include <seccomp.h>
#include <stdbool.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/syscall.h>

#include "base/cleanup.h"

enum { OPEN_FILES_MAX = 1024 };

// ---- limits and user

static int set_limit(__rlimit_resource_t what, rlim_t value, struct zl_error *err)
{
	struct rlimit limit = {value, value};
	struct rlimit now;

	if (getrlimit(what, &now) == 0 && now.rlim_max < value)
		return 0;
	if (setrlimit(what, &limit) < 0)
		return zl_error_errno(err, errno, "set a resource limit");
	return 0;
}

// No limit of file sizes: mkfs.erofs first makes its file 2 TiB long, as a hole. The tar filter
// bounds what it writes.
static int set_limits(struct zl_error *err)
{
	if (set_limit(RLIMIT_CORE, 0, err) < 0)
		return -1;
	return set_limit(RLIMIT_NOFILE, OPEN_FILES_MAX, err);
}

static int become(const char *user, struct zl_error *err)
{
	struct passwd entry;
	struct passwd *found = NULL;
	char strings[4096];
	int failure;

	if (user == NULL)
		return 0;
	failure = getpwnam_r(user, &entry, strings, sizeof(strings), &found);
	if (found == NULL)
		return zl_error_set(err, ZL_FAILED_PRECONDITION,
		        "there is no user '%s' to run the puller as%s; make it with: useradd "
		        "--system --no-create-home %s",
		        user, failure != 0 ? " (the user database cannot be read)" : "", user);
	if (setgroups(0, NULL) < 0 || setresgid(entry.pw_gid, entry.pw_gid, entry.pw_gid) < 0 ||
	        setresuid(entry.pw_uid, entry.pw_uid, entry.pw_uid) < 0)
		return zl_error_errno(err, errno, "become user '%s'", user);
	return 0;
}

// ---- Landlock (Documentation/userspace-api/landlock.rst)

enum {
	READ = LANDLOCK_ACCESS_FS_READ_FILE | LANDLOCK_ACCESS_FS_READ_DIR,
	RUN = READ | LANDLOCK_ACCESS_FS_EXECUTE,
	SELF = LANDLOCK_ACCESS_FS_READ_FILE | LANDLOCK_ACCESS_FS_EXECUTE,
	DEVICE = LANDLOCK_ACCESS_FS_READ_FILE | LANDLOCK_ACCESS_FS_WRITE_FILE,
	FILL = READ | LANDLOCK_ACCESS_FS_WRITE_FILE | LANDLOCK_ACCESS_FS_TRUNCATE |
	       LANDLOCK_ACCESS_FS_MAKE_REG | LANDLOCK_ACCESS_FS_REMOVE_FILE,
};

static const struct {
	const char *path;
	uint64_t access;
} system_paths[] = {
        {"/usr", RUN}, {"/bin", RUN}, {"/lib", RUN}, {"/lib64", RUN},
        {"/etc", READ}, // resolver, certificates, OpenSSL's settings
        {"/proc", READ}, {"/run/systemd/resolve", READ}, {"/run/NetworkManager", READ},
        {"/run/resolvconf", READ}, {"/dev/null", DEVICE}, {"/dev/urandom", DEVICE},
        {"/proc/self/exe", SELF}, // child.h
};

// All rights of the first version, and what each later one added, up to the kernel's.
static uint64_t handled_access(long version)
{
	uint64_t access = LANDLOCK_ACCESS_FS_MAKE_SYM * 2 - 1;

	if (version >= 2)
		access |= LANDLOCK_ACCESS_FS_REFER;
	if (version >= 3)
		access |= LANDLOCK_ACCESS_FS_TRUNCATE;
	return access;
}

// With O_PATH descriptors; a path that is not there needs no rule.
static int allow(int ruleset, int fd, uint64_t access, struct zl_error *err)
{
	struct landlock_path_beneath_attr rule = {.allowed_access = access, .parent_fd = fd};

	if (fd < 0)
		return 0;
	if (syscall(SYS_landlock_add_rule, ruleset, LANDLOCK_RULE_PATH_BENEATH, &rule, 0) < 0)
		return zl_error_errno(err, errno, "add a Landlock rule");
	return 0;
}

static int add_rules(
        int ruleset, uint64_t handled, const struct zl_sandbox *sandbox, struct zl_error *err)
{
	for (size_t i = 0; i < ZL_ARRAY_SIZE(system_paths); i++) {
		zl_auto(fd) int fd = open(system_paths[i].path, O_PATH | O_CLOEXEC);

		if (allow(ruleset, fd, system_paths[i].access & handled, err) < 0)
			return -1;
	}
	if (allow(ruleset, sandbox->blobs_fd, READ & handled, err) < 0)
		return -1;
	return allow(ruleset, sandbox->ingest_fd, FILL & handled, err);
}

static int restrict_files(const struct zl_sandbox *sandbox, struct zl_error *err)
{
	long version =
	        syscall(SYS_landlock_create_ruleset, NULL, 0, LANDLOCK_CREATE_RULESET_VERSION);
	struct landlock_ruleset_attr attributes = {.handled_access_fs = handled_access(version)};
	zl_auto(fd) int ruleset = -1;

	if (version < 1)
		return 0;
	ruleset = (int)syscall(SYS_landlock_create_ruleset, &attributes, sizeof(attributes), 0);
	if (ruleset < 0)
		return zl_error_errno(err, errno, "make a Landlock ruleset");
	if (add_rules(ruleset, attributes.handled_access_fs, sandbox, err) < 0)
		return -1;
	if (syscall(SYS_landlock_restrict_self, ruleset, 0) < 0)
		return zl_error_errno(err, errno, "enter the Landlock ruleset");
	return 0;
}

// ---- seccomp

// What neither a downloader nor mkfs.erofs calls, and what an intruder would.
static const int denied_calls[] = {
        SCMP_SYS(acct),
        SCMP_SYS(add_key),
        SCMP_SYS(bpf),
        SCMP_SYS(chroot),
        SCMP_SYS(delete_module),
        SCMP_SYS(finit_module),
        SCMP_SYS(fsconfig),
        SCMP_SYS(fsmount),
        SCMP_SYS(fsopen),
        SCMP_SYS(init_module),
        SCMP_SYS(io_uring_enter),
        SCMP_SYS(io_uring_register),
        SCMP_SYS(io_uring_setup),
        SCMP_SYS(ioperm),
        SCMP_SYS(iopl),
        SCMP_SYS(kcmp),
        SCMP_SYS(kexec_file_load),
        SCMP_SYS(kexec_load),
        SCMP_SYS(keyctl),
        SCMP_SYS(mount),
        SCMP_SYS(mount_setattr),
        SCMP_SYS(move_mount),
        SCMP_SYS(mknod),
        SCMP_SYS(mknodat),
        SCMP_SYS(name_to_handle_at),
        SCMP_SYS(open_by_handle_at),
        SCMP_SYS(open_tree),
        SCMP_SYS(perf_event_open),
        SCMP_SYS(pidfd_getfd),
        SCMP_SYS(pivot_root),
        SCMP_SYS(process_vm_readv),
        SCMP_SYS(process_vm_writev),
        SCMP_SYS(ptrace),
        SCMP_SYS(quotactl),
        SCMP_SYS(reboot),
        SCMP_SYS(request_key),
        SCMP_SYS(setns),
        SCMP_SYS(settimeofday),
        SCMP_SYS(swapon),
        SCMP_SYS(swapoff),
        SCMP_SYS(syslog),
        SCMP_SYS(umount2),
        SCMP_SYS(unshare),
        SCMP_SYS(userfaultfd),
        SCMP_SYS(vmsplice),
};

static bool family_needed(int family)
{
	// Unix for name services, netlink for getaddrinfo's list of addresses.
	return family == AF_UNIX || family == AF_INET || family == AF_INET6 || family == AF_NETLINK;
}

static int add_socket_rules(scmp_filter_ctx filter)
{
	int failure = seccomp_rule_add(filter, SCMP_ACT_ERRNO(EAFNOSUPPORT), SCMP_SYS(socket), 1,
	        SCMP_A0(SCMP_CMP_GT, AF_NETLINK, 0));

	for (int family = 0; family <= AF_NETLINK && failure == 0; family++) {
		if (!family_needed(family))
			failure = seccomp_rule_add(filter, SCMP_ACT_ERRNO(EAFNOSUPPORT),
			        SCMP_SYS(socket), 1, SCMP_A0(SCMP_CMP_EQ, (scmp_datum_t)family, 0));
	}
	return failure;
}

static int fill_filter(scmp_filter_ctx filter)
{
	// A filter cannot look into clone3's arguments: glibc falls back to clone on ENOSYS.
	int failure = seccomp_rule_add(filter, SCMP_ACT_ERRNO(ENOSYS), SCMP_SYS(clone3), 0);

	if (failure == 0)
		failure = seccomp_rule_add(filter, SCMP_ACT_ERRNO(EPERM), SCMP_SYS(clone), 1,
		        SCMP_A0(SCMP_CMP_MASKED_EQ, CLONE_NEWUSER, CLONE_NEWUSER));
	for (size_t i = 0; i < ZL_ARRAY_SIZE(denied_calls) && failure == 0; i++)
		failure = seccomp_rule_add(filter, SCMP_ACT_ERRNO(EPERM), denied_calls[i], 0);
	return failure == 0 ? add_socket_rules(filter) : failure;
}

static int restrict_calls(struct zl_error *err)
{
	scmp_filter_ctx filter = seccomp_init(SCMP_ACT_ALLOW);
	int failure;

	if (filter == NULL)
		return zl_error_nomem(err);
	failure = fill_filter(filter);
	if (failure == 0)
		failure = seccomp_load(filter);
	seccomp_release(filter);
	return failure == 0 ? 0 : zl_error_errno(err, -failure, "load the seccomp filter");
}

int zl_sandbox_enter(const struct zl_sandbox *sandbox, struct zl_error *err)
{
	if (fchdir(sandbox->ingest_fd) < 0)
		return zl_error_errno(err, errno, "enter the ingest directory");
	if (set_limits(err) < 0 || become(sandbox->user, err) < 0)
		return -1;
	if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0)
		return zl_error_errno(err, errno, "set no_new_privs");
	if (restrict_files(sandbox, err) < 0)
		return -1;
	return restrict_calls(err);
}
