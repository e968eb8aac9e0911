// SPDX-License-Identifier: Apache-2.0
#include "storage-driver/p9/confine.h"

#include <fcntl.h>
#include <grp.h>
#include <linux/capability.h>
#include <linux/mount.h>
#include <linux/securebits.h>
#include <sched.h>
#include <seccomp.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <xen/xen.h>

#include <xen/sys/evtchn.h>

#include "base/cleanup.h"
#include "storage-driver/p9/fid.h"

enum {
	OPEN_FILES_MAX = 2 * ZL_P9_FIDS_MAX + 2 * ZL_P9_EXPORTS_MAX,
	ADDRESS_SPACE_MAX = 768 * 1024 * 1024, // mostly the stacks of threads, never touched
};

// ---- cgroup

static int write_control(const char *directory, const char *name, const char *text)
{
	char path[512];
	zl_auto(fd) int fd = -1;

	(void)snprintf(path, sizeof(path), "%s/%s", directory, name);
	fd = open(path, O_WRONLY | O_CLOEXEC);
	if (fd < 0)
		return -1;
	return write(fd, text, strlen(text)) < 0 ? -1 : 0;
}

int zl_p9_join_cgroup(const char *directory, uint64_t memory_bytes, struct zl_error *err)
{
	char limit[32];

	if (mkdir(directory, 0755) < 0 && errno != EEXIST)
		return zl_error_errno(err, errno, "make cgroup %s", directory);
	(void)snprintf(limit, sizeof(limit), "%llu", (unsigned long long)memory_bytes);
	if (memory_bytes != 0 && write_control(directory, "memory.max", limit) < 0 &&
	        errno != ENOENT && errno != EACCES)
		return zl_error_errno(err, errno, "limit the memory of cgroup %s", directory);
	if (write_control(directory, "cgroup.procs", "0") < 0)
		return zl_error_errno(err, errno, "enter cgroup %s", directory);
	return 0;
}

// ---- namespaces

int zl_p9_unshare(struct zl_error *err)
{
	int flags = CLONE_NEWNS | CLONE_NEWNET | CLONE_NEWIPC | CLONE_NEWUTS | CLONE_NEWCGROUP |
	            CLONE_NEWPID;

	if (unshare(flags) < 0)
		return zl_error_errno(err, errno, "make namespaces");
	if (mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) < 0)
		return zl_error_errno(err, errno, "make all mounts private");
	return 0;
}

// A /proc without a place, showing processes of this PID namespace only (subset=pid,
// Documentation/filesystems/proc.rst). The mount lasts as long as its descriptor, which is leaked
// on purpose.
static int open_proc(struct zl_error *err)
{
	zl_auto(fd) int context = (int)syscall(SYS_fsopen, "proc", FSOPEN_CLOEXEC);
	int tree;
	int fd;

	if (context < 0 ||
	        syscall(SYS_fsconfig, context, FSCONFIG_SET_STRING, "subset", "pid", 0) < 0 ||
	        syscall(SYS_fsconfig, context, FSCONFIG_CMD_CREATE, NULL, NULL, 0) < 0)
		return zl_error_errno(err, errno, "make a /proc");
	tree = (int)syscall(SYS_fsmount, context, FSMOUNT_CLOEXEC,
	        MOUNT_ATTR_NOSUID | MOUNT_ATTR_NODEV | MOUNT_ATTR_NOEXEC);
	if (tree < 0)
		return zl_error_errno(err, errno, "make a /proc");
	fd = openat(tree, "self/fd", O_PATH | O_DIRECTORY | O_CLOEXEC);
	if (fd < 0)
		return zl_error_errno(err, errno, "open the directory of own descriptors");
	return fd;
}

// Over /proc, since it exists everywhere; then the old root is under the new one, and taken away.
static int change_root(struct zl_error *err)
{
	unsigned long flags = MS_NOSUID | MS_NODEV | MS_NOEXEC;

	if (mount("tmpfs", "/proc", "tmpfs", flags, "size=4k,nr_inodes=1,mode=0555") < 0)
		return zl_error_errno(err, errno, "mount an empty root");
	if (chdir("/proc") < 0 || syscall(SYS_pivot_root, ".", ".") < 0 ||
	        umount2(".", MNT_DETACH) < 0 || chdir("/") < 0)
		return zl_error_errno(err, errno, "change to the empty root");
	if (mount(NULL, "/", NULL, flags | MS_REMOUNT | MS_BIND | MS_RDONLY, NULL) < 0)
		return zl_error_errno(err, errno, "make the empty root read-only");
	return 0;
}

int zl_p9_enter_root(int *ret_proc_fd, struct zl_error *err)
{
	zl_auto(fd) int proc_fd = open_proc(err);

	if (proc_fd < 0 || change_root(err) < 0)
		return -1;
	*ret_proc_fd = zl_take_fd(&proc_fd);
	return 0;
}

// ---- limits and capabilities

static int set_limit(__rlimit_resource_t what, rlim_t value, struct zl_error *err)
{
	struct rlimit limit = {value, value};

	if (setrlimit(what, &limit) < 0)
		return zl_error_errno(err, errno, "set a resource limit");
	return 0;
}

static int set_limits(struct zl_error *err)
{
#if !defined(__SANITIZE_ADDRESS__) && !defined(__SANITIZE_THREAD__)
	if (set_limit(RLIMIT_AS, ADDRESS_SPACE_MAX, err) < 0)
		return -1;
#endif
	if (set_limit(RLIMIT_CORE, 0, err) < 0 || set_limit(RLIMIT_MEMLOCK, 0, err) < 0)
		return -1;
	return set_limit(RLIMIT_NOFILE, OPEN_FILES_MAX, err);
}

// What root does to files, and to be another user while making some.
static const int kept[] = {
        CAP_CHOWN,
        CAP_DAC_OVERRIDE,
        CAP_FOWNER,
        CAP_FSETID,
        CAP_SETGID, // setfsgid
        CAP_SETUID, // setfsuid
        CAP_SETFCAP,
};

static int set_capabilities(struct zl_error *err)
{
	struct __user_cap_header_struct header = {.version = _LINUX_CAPABILITY_VERSION_3};
	struct __user_cap_data_struct data[2] = {{0}};

	for (size_t i = 0; i < ZL_ARRAY_SIZE(kept); i++) {
		data[CAP_TO_INDEX(kept[i])].effective |= CAP_TO_MASK(kept[i]);
		data[CAP_TO_INDEX(kept[i])].permitted |= CAP_TO_MASK(kept[i]);
	}
	for (int capability = 0; capability <= CAP_LAST_CAP; capability++) {
		if (prctl(PR_CAPBSET_DROP, capability, 0, 0, 0) < 0 && errno != EINVAL)
			return zl_error_errno(err, errno, "drop capability %d", capability);
	}
	if (syscall(SYS_capset, &header, data) < 0)
		return zl_error_errno(err, errno, "drop capabilities");
	return 0;
}

// NO_SETUID_FIXUP: setfsuid(2) does not take the capabilities away.
static int set_privileges(struct zl_error *err)
{
	unsigned long bits = SECBIT_NO_SETUID_FIXUP | SECBIT_NO_SETUID_FIXUP_LOCKED |
	                     SECBIT_NOROOT | SECBIT_NOROOT_LOCKED | SECBIT_KEEP_CAPS_LOCKED |
	                     SECBIT_NO_CAP_AMBIENT_RAISE | SECBIT_NO_CAP_AMBIENT_RAISE_LOCKED;

	if (setgroups(0, NULL) < 0)
		return zl_error_errno(err, errno, "leave all groups");
	if (prctl(PR_SET_SECUREBITS, bits, 0, 0, 0) < 0 ||
	        prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0 ||
	        prctl(PR_SET_DUMPABLE, 0, 0, 0, 0) < 0)
		return zl_error_errno(err, errno, "set securebits and no_new_privs");
	return set_capabilities(err);
}

// ---- seccomp

static const int allowed_calls[] = {
        // files
        SCMP_SYS(openat),
        SCMP_SYS(openat2),
        SCMP_SYS(open),
        SCMP_SYS(close),
        SCMP_SYS(read),
        SCMP_SYS(write),
        SCMP_SYS(pread64),
        SCMP_SYS(pwrite64),
        SCMP_SYS(lseek),
        SCMP_SYS(fstat),
        SCMP_SYS(newfstatat),
        SCMP_SYS(statx),
        SCMP_SYS(fstatfs),
        SCMP_SYS(getdents64),
        SCMP_SYS(readlinkat),
        SCMP_SYS(mkdirat),
        SCMP_SYS(mknodat),
        SCMP_SYS(symlinkat),
        SCMP_SYS(linkat),
        SCMP_SYS(renameat),
        SCMP_SYS(renameat2),
        SCMP_SYS(unlinkat),
        SCMP_SYS(truncate),
        SCMP_SYS(fchownat),
        SCMP_SYS(fchmodat2),
        SCMP_SYS(utimensat),
        SCMP_SYS(fsync),
        SCMP_SYS(fdatasync),
        SCMP_SYS(fcntl),
        SCMP_SYS(getxattr),
        SCMP_SYS(listxattr),
        SCMP_SYS(setxattr),
        SCMP_SYS(removexattr),
        SCMP_SYS(setfsuid),
        SCMP_SYS(setfsgid),
        // the control socket, which exists
        SCMP_SYS(accept4),
        SCMP_SYS(recvmsg),
        SCMP_SYS(sendmsg),
        SCMP_SYS(sendto),
        SCMP_SYS(recvfrom),
        SCMP_SYS(getsockopt),
        SCMP_SYS(setsockopt),
        SCMP_SYS(shutdown),
        SCMP_SYS(poll),
        SCMP_SYS(ppoll),
        // memory, threads, time, the end
        SCMP_SYS(brk),
        SCMP_SYS(munmap),
        SCMP_SYS(mremap),
        SCMP_SYS(madvise),
        SCMP_SYS(futex),
        SCMP_SYS(rt_sigaction),
        SCMP_SYS(rt_sigprocmask),
        SCMP_SYS(rt_sigreturn),
        SCMP_SYS(restart_syscall),
        SCMP_SYS(set_robust_list),
        SCMP_SYS(rseq),
        SCMP_SYS(gettid),
        SCMP_SYS(getpid),
        SCMP_SYS(sched_yield),
        SCMP_SYS(sched_getaffinity),
        SCMP_SYS(clock_gettime),
        SCMP_SYS(clock_nanosleep),
        SCMP_SYS(getrandom),
        SCMP_SYS(tgkill),
        SCMP_SYS(exit),
        SCMP_SYS(exit_group),
        SCMP_SYS(dup2),
        SCMP_SYS(setsid),
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
        SCMP_SYS(sigaltstack),
        SCMP_SYS(prctl),
        SCMP_SYS(getuid),
        SCMP_SYS(readlink),
        SCMP_SYS(prlimit64),
        SCMP_SYS(uname),
        SCMP_SYS(stat),
        SCMP_SYS(mmap),
#endif
};

// Calls with an argument that decides: memory is never executable, a clone is a thread, the one
// ioctl signals the zone.
static int add_rules(scmp_filter_ctx filter)
{
	int failure = seccomp_rule_add(filter, SCMP_ACT_ALLOW, SCMP_SYS(mmap), 1,
	        SCMP_A2(SCMP_CMP_MASKED_EQ, PROT_EXEC, 0));

	if (failure == 0)
		failure = seccomp_rule_add(filter, SCMP_ACT_ALLOW, SCMP_SYS(mprotect), 1,
		        SCMP_A2(SCMP_CMP_MASKED_EQ, PROT_EXEC, 0));
	if (failure == 0)
		failure = seccomp_rule_add(filter, SCMP_ACT_ALLOW, SCMP_SYS(clone), 1,
		        SCMP_A0(SCMP_CMP_MASKED_EQ, CLONE_THREAD, CLONE_THREAD));
	if (failure == 0)
		failure = seccomp_rule_add(filter, SCMP_ACT_ALLOW, SCMP_SYS(ioctl), 1,
		        SCMP_A1(SCMP_CMP_EQ, IOCTL_EVTCHN_NOTIFY));
	for (size_t i = 0; i < ZL_ARRAY_SIZE(allowed_calls) && failure == 0; i++)
		failure = seccomp_rule_add(filter, SCMP_ACT_ALLOW, allowed_calls[i], 0);
	return failure;
}

// ENOSYS, as a kernel without the call: the C library then does without (clone3).
static int restrict_calls(struct zl_error *err)
{
	scmp_filter_ctx filter = seccomp_init(SCMP_ACT_ERRNO(ENOSYS));
	int failure;

	if (filter == NULL)
		return zl_error_nomem(err);
	failure = add_rules(filter);
	if (failure == 0)
		failure = seccomp_load(filter);
	seccomp_release(filter);
	return failure == 0 ? 0 : zl_error_errno(err, -failure, "load the seccomp filter");
}

int zl_p9_confine(struct zl_error *err)
{
	if (set_limits(err) < 0 || set_privileges(err) < 0)
		return -1;
	return restrict_calls(err);
}
