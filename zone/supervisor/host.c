// SPDX-License-Identifier: Apache-2.0
#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/spawn.h"
#include "zone/supervisor/supervisor.h"

static int join_netns(const char *path, struct zl_error *err)
{
	zl_auto(fd) int fd = open(path, O_RDONLY | O_CLOEXEC);

	if (fd < 0 || setns(fd, CLONE_NEWNET) < 0)
		return zl_error_errno(err, errno, "join the network namespace %s", path);
	return 0;
}

int zl_host_enter(const struct zl_host_options *options, struct zl_error *err)
{
	// A pod on the node's network has the node's hostname too.
	int namespaces = CLONE_NEWNS | (options->netns != NULL ? CLONE_NEWUTS : 0) |
	                 (options->host_ipc ? 0 : CLONE_NEWIPC);

	if (options->netns != NULL && join_netns(options->netns, err) < 0)
		return -1;
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

static int spawn_pause(struct zl_process *process, struct zl_error *err)
{
	static const char *const argv[] = {"zonelet-pause", "--pause", NULL};
	struct zl_spawn spawn = ZL_SPAWN_INIT;

	spawn.program = "/proc/self/exe";
	spawn.argv = argv;
	return zl_spawn_start(&spawn, process, err);
}

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
	result = spawn_pause(&process, err);
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
