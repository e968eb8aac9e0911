// SPDX-License-Identifier: Apache-2.0
#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <limits.h>
#include <linux/nsfs.h>
#include <sched.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/file.h"
#include "base/spawn.h"
#include "zone/supervisor/supervisor.h"

enum { MAP_MAX = 4096 };

// Starts this program in another of its lives, with a descriptor 3 and its stdin and stdout as
// pipes whose ends are returned; -1 for those that are not wanted.
static int start_self(const char *life, int extra, struct zl_process *process, int *ret_to,
        int *ret_from, struct zl_error *err)
{
	const char *const argv[] = {"zonelet-pause", life, NULL};
	struct zl_spawn spawn = ZL_SPAWN_INIT;
	int to[2] = {-1, -1};
	int from[2] = {-1, -1};
	int result = -1;

	spawn.program = "/proc/self/exe";
	spawn.argv = argv;
	spawn.extra_fds = &extra;
	spawn.extra_count = extra >= 0 ? 1 : 0;
	if ((ret_to != NULL && pipe2(to, O_CLOEXEC) < 0) ||
	        (ret_from != NULL && pipe2(from, O_CLOEXEC) < 0)) {
		zl_error_errno(err, errno, "make a pipe");
	} else {
		spawn.stdin_fd = to[0];
		spawn.stdout_fd = from[1];
		result = zl_spawn_start(&spawn, process, err);
	}
	zl_close(to[0]);
	zl_close(from[1]);
	if (ret_to != NULL)
		*ret_to = to[1];
	if (ret_from != NULL)
		*ret_from = from[0];
	return result;
}

// The other life says that it is where it should be, by one byte.
static int await_ready(int from, const char *what, struct zl_error *err)
{
	char ready;
	ssize_t got;

	do
		got = read(from, &ready, 1);
	while (got < 0 && errno == EINTR);
	if (got != 1)
		return zl_error_set(err, ZL_INTERNAL, "%s: it ended too early", what);
	return 0;
}

static int say_ready(void)
{
	return write(STDOUT_FILENO, "r", 1) == 1 ? 0 : -1;
}

static int join(const char *path, int kind, struct zl_error *err)
{
	zl_auto(fd) int fd = open(path, O_RDONLY | O_CLOEXEC);

	if (fd < 0 || setns(fd, kind) < 0)
		return zl_error_errno(err, errno, "join the namespace %s", path);
	return 0;
}

// ---- a user namespace

static int write_map(pid_t pid, const char *name, const char *map, struct zl_error *err)
{
	char path[64];
	zl_auto(fd) int fd = -1;

	(void)snprintf(path, sizeof(path), "/proc/%d/%s", (int)pid, name);
	fd = open(path, O_WRONLY | O_CLOEXEC);
	if (fd < 0 || write(fd, map, strlen(map)) != (ssize_t)strlen(map))
		return zl_error_errno(err, errno, "write \"%s\" to %s", map, name);
	return 0;
}

static int bind_netns(pid_t pid, const char *path, struct zl_error *err)
{
	char own[64];
	char parent[PATH_MAX];
	const char *slash = strrchr(path, '/');
	zl_auto(fd) int fd = -1;

	if (slash == NULL || slash == path || strlen(path) >= sizeof(parent))
		return zl_error_set(err, ZL_INVALID_ARGUMENT, "\"%s\" is no absolute path", path);
	(void)snprintf(parent, sizeof(parent), "%.*s", (int)(slash - path), path);
	if (zl_dir_make(parent, 0755, err) < 0)
		return -1;
	fd = open(path, O_RDONLY | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0444);
	if (fd < 0)
		return zl_error_errno(err, errno, "make %s", path);
	(void)snprintf(own, sizeof(own), "/proc/%d/ns/net", (int)pid);
	if (mount(own, path, NULL, MS_BIND, NULL) < 0) {
		zl_error_errno(err, errno, "bind a network namespace to %s", path);
		(void)unlink(path);
		return -1;
	}
	return 0;
}

int zl_host_make_netns(
        const char *path, const char *uid_map, const char *gid_map, struct zl_error *err)
{
	zl_auto(process) struct zl_process process = ZL_PROCESS_INIT;
	zl_auto(fd) int to = -1;
	zl_auto(fd) int from = -1;

	if (start_self("--unshare", -1, &process, &to, &from, err) < 0 ||
	        await_ready(from, "make a user namespace", err) < 0 ||
	        write_map(process.pid, "uid_map", uid_map, err) < 0 ||
	        write_map(process.pid, "gid_map", gid_map, err) < 0)
		return -1;
	return bind_netns(process.pid, path, err);
}

int zl_host_unshare_main(void)
{
	struct zl_error err = ZL_ERROR_INIT;
	char end;

	if (unshare(CLONE_NEWUSER | CLONE_NEWNET) < 0 || zl_network_loopback(&err) < 0 ||
	        say_ready() < 0)
		return 1;
	// Until the maker has it all.
	(void)!read(STDIN_FILENO, &end, 1);
	return 0;
}

// The user namespace that owns a network namespace, if it is another than this process's; -1.
static int foreign_owner(int netns)
{
	zl_auto(fd) int owner = ioctl(netns, NS_GET_USERNS);
	struct stat its;
	struct stat ours;

	if (owner < 0 || fstat(owner, &its) < 0 || stat("/proc/self/ns/user", &ours) < 0 ||
	        (its.st_ino == ours.st_ino && its.st_dev == ours.st_dev))
		return -1;
	return zl_take_fd(&owner);
}

static int become_root_of(int userns)
{
	if (setns(userns, CLONE_NEWUSER) < 0 ||
	        unshare(CLONE_NEWIPC | CLONE_NEWUTS | CLONE_NEWPID) < 0)
		return -1;
	// Not the node's root any more.
	if (setgroups(0, NULL) < 0 || setresgid(0, 0, 0) < 0 || setresuid(0, 0, 0) < 0)
		return -1;
	// Last: a change of user clears it.
	return prctl(PR_SET_PDEATHSIG, SIGKILL, 0, 0, 0);
}

int zl_host_hold_main(int userns)
{
	struct zl_process first = ZL_PROCESS_INIT;

	if (become_root_of(userns) < 0)
		return 1;
	zl_close(userns);
	if (start_self("--pause", -1, &first, NULL, NULL, NULL) < 0 || say_ready() < 0)
		return 1;
	zl_close(STDOUT_FILENO);
	return zl_host_pause_main();
}

static int hold(struct zl_supervisor *s, int userns, struct zl_error *err)
{
	struct zl_process process = ZL_PROCESS_INIT;
	zl_auto(fd) int from = -1;
	char path[64];

	if (start_self("--hold", userns, &process, NULL, &from, err) < 0 ||
	        await_ready(from, "hold the pod's user namespace", err) < 0) {
		zl_process_end(&process);
		return -1;
	}
	zl_close(process.pidfd);
	s->userns = true;
	s->pause_pid = process.pid;
	(void)snprintf(path, sizeof(path), "/proc/%d/ns/ipc", (int)process.pid);
	if (join(path, CLONE_NEWIPC, err) < 0)
		return -1;
	(void)snprintf(path, sizeof(path), "/proc/%d/ns/uts", (int)process.pid);
	return join(path, CLONE_NEWUTS, err);
}

// What id 0 of the holder's user namespace is here: the second number of the map's only line.
static int64_t root_of(const struct zl_supervisor *s, const char *name, struct zl_error *err)
{
	zl_auto(buffer) struct zl_buffer text = ZL_BUFFER_LIMIT(MAP_MAX);
	char path[64];
	char *end;
	unsigned long inside;
	unsigned long outside;

	(void)snprintf(path, sizeof(path), "/proc/%d/%s", (int)s->pause_pid, name);
	if (zl_file_read(path, MAP_MAX, &text, err) < 0)
		return -1;
	inside = strtoul(zl_buffer_string(&text), &end, 10);
	outside = strtoul(end, NULL, 10);
	if (text.length == 0 || inside != 0 || outside > UINT32_MAX)
		return zl_error_set(err, ZL_INTERNAL, "%s maps no id 0", path);
	return (int64_t)outside;
}

int zl_host_owners(struct zl_supervisor *s, struct zl_owners *ret, struct zl_error *err)
{
	char path[64];
	int64_t uid;
	int64_t gid;

	*ret = (struct zl_owners){.userns = -1};
	if (!s->userns)
		return 0;
	uid = root_of(s, "uid_map", err);
	gid = uid >= 0 ? root_of(s, "gid_map", err) : -1;
	if (gid < 0)
		return -1;
	(void)snprintf(path, sizeof(path), "/proc/%d/ns/user", (int)s->pause_pid);
	ret->uid = (uid_t)uid;
	ret->gid = (gid_t)gid;
	ret->userns = open(path, O_RDONLY | O_CLOEXEC);
	if (ret->userns < 0)
		return zl_error_errno(err, errno, "open the pod's user namespace");
	return 0;
}

// ----

static int enter_network(struct zl_supervisor *s, const char *path, struct zl_error *err)
{
	zl_auto(fd) int netns = open(path, O_RDONLY | O_CLOEXEC);
	zl_auto(fd) int owner = netns >= 0 ? foreign_owner(netns) : -1;

	if (netns < 0 || setns(netns, CLONE_NEWNET) < 0)
		return zl_error_errno(err, errno, "join the network namespace %s", path);
	return owner >= 0 ? hold(s, owner, err) : 0;
}

int zl_host_enter(
        struct zl_supervisor *s, const struct zl_host_options *options, struct zl_error *err)
{
	int namespaces = CLONE_NEWNS;

	s->node_mounts = open("/proc/self/ns/mnt", O_RDONLY | O_CLOEXEC);
	if (s->node_mounts < 0)
		return zl_error_errno(err, errno, "open the node's mount namespace");
	s->node_ipc = options->host_ipc;
	// A pod on the node's network has the node's hostname too.
	s->node_uts = options->netns == NULL;
	if (options->netns != NULL && enter_network(s, options->netns, err) < 0)
		return -1;
	if (!s->userns)
		namespaces |= (s->node_uts ? 0 : CLONE_NEWUTS) | (s->node_ipc ? 0 : CLONE_NEWIPC);
	if (unshare(namespaces) < 0)
		return zl_error_errno(err, errno, "make the pod's namespaces");
	// What the node mounts later (volumes) is seen here; what is mounted here is not seen
	// there.
	if (mount(NULL, "/", NULL, MS_REC | MS_SLAVE, NULL) < 0)
		return zl_error_errno(err, errno, "make the pod's mounts its own");
	// crun goes when a container runs, and leaves it to us.
	if (prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0) < 0)
		return zl_error_errno(err, errno, "become the parent of containers");
	return 0;
}

// ---- the pod's shared pid namespace

int zl_host_pause(struct zl_supervisor *s, pid_t *ret_pid, struct zl_error *err)
{
	struct zl_process process = ZL_PROCESS_INIT;
	zl_auto(fd) int own = -1;
	int result;

	if (s->pause_pid > 0) {
		*ret_pid = s->pause_pid;
		return 0;
	}
	own = open("/proc/self/ns/pid", O_RDONLY | O_CLOEXEC);
	// The next child is the first process of the new namespace; those after it are ours again.
	if (own < 0 || unshare(CLONE_NEWPID) < 0)
		return zl_error_errno(err, errno, "make the pod's pid namespace");
	result = start_self("--pause", -1, &process, NULL, NULL, err);
	if (setns(own, CLONE_NEWPID) < 0)
		return zl_error_errno(err, errno, "return from the pod's pid namespace");
	if (result < 0)
		return -1;
	zl_close(process.pidfd);
	s->pause_pid = process.pid;
	*ret_pid = process.pid;
	return 0;
}

// Reaps whatever the pod's processes leave behind, and ends with its parent.
int zl_host_pause_main(void)
{
	sigset_t wanted;
	int number;

	(void)prctl(PR_SET_PDEATHSIG, SIGKILL, 0, 0, 0);
	sigemptyset(&wanted);
	sigaddset(&wanted, SIGCHLD);
	sigaddset(&wanted, SIGTERM);
	sigaddset(&wanted, SIGINT);
	pthread_sigmask(SIG_BLOCK, &wanted, NULL);
	while (sigwait(&wanted, &number) == 0 && number == SIGCHLD) {
		while (waitpid(-1, NULL, WNOHANG) > 0)
			;
	}
	return 0;
}
