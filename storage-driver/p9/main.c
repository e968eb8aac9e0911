// SPDX-License-Identifier: Apache-2.0
//
// zonelet-9p: the file server of one pod in a zone.
//
//   zonelet-9p --control SOCKET --log FILE [--cgroup DIRECTORY --memory BYTES]
//              ( --domain DOMID --device DEVID --tags FILE | --fd N )
//
// The daemon starts it, and it outlives the daemon. The first process makes the namespaces, starts
// the one that serves (this program again, with --serve), and waits until that stands confined;
// then it says "ready" and ends with 0, or else ends with 1 after a line that says why not. Killed
// at any moment (the daemon died), it takes the other along, until the ready. What is exported
// comes over the control socket (control.h).
#include <fcntl.h>
#include <getopt.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/spawn.h"
#include "storage-driver/p9/confine.h"
#include "storage-driver/p9/control.h"
#include "storage-driver/p9/session.h"
#include "storage-driver/p9/xen.h"

enum { FRONT_END_TIMEOUT_MS = 30000 };

struct options {
	const char *control;
	const char *log;
	const char *cgroup;
	const char *tags;
	uint64_t memory_bytes;
	uint32_t domid;
	uint32_t devid;
	int fd;     // -1: Xen
	bool serve; // this is the second process
};

static int usage(void)
{
	(void)fprintf(stderr,
	        "usage: zonelet-9p --control SOCKET --log FILE [--cgroup DIRECTORY --memory BYTES] "
	        "(--domain DOMID --device DEVID --tags FILE | --fd N)\n");
	return 2;
}

static int parse(int argc, char **argv, struct options *out)
{
	static const struct option known[] = {
	        {"control", required_argument, NULL, 'c'},
	        {"log", required_argument, NULL, 'l'},
	        {"cgroup", required_argument, NULL, 'g'},
	        {"memory", required_argument, NULL, 'm'},
	        {"domain", required_argument, NULL, 'd'},
	        {"device", required_argument, NULL, 'v'},
	        {"tags", required_argument, NULL, 't'},
	        {"fd", required_argument, NULL, 'f'},
	        {"serve", no_argument, NULL, 's'},
	        {NULL, 0, NULL, 0},
	};
	int option;

	*out = (struct options){.fd = -1};
	// NOLINTNEXTLINE(concurrency-mt-unsafe): this process has one thread
	while ((option = getopt_long(argc, argv, "", known, NULL)) != -1) {
		unsigned long long number = optarg != NULL ? strtoull(optarg, NULL, 10) : 0;

		switch (option) {
		case 'c':
			out->control = optarg;
			break;
		case 'l':
			out->log = optarg;
			break;
		case 'g':
			out->cgroup = optarg;
			break;
		case 'm':
			out->memory_bytes = number;
			break;
		case 'd':
			out->domid = (uint32_t)number;
			break;
		case 'v':
			out->devid = (uint32_t)number;
			break;
		case 't':
			out->tags = optarg;
			break;
		case 'f':
			out->fd = (int)number;
			break;
		case 's':
			out->serve = true;
			break;
		default:
			return -1;
		}
	}
	return out->control != NULL && out->log != NULL && (out->fd >= 0) != (out->domid != 0) &&
	                       (out->fd >= 0 || out->tags != NULL)
	               ? 0
	               : -1;
}

// ---- the process that serves: PID 1 of its namespace

struct service {
	struct zl_p9_server server;
	struct zl_p9_transport *transport;
	struct zl_p9_tags *tags;
	int listener;
	int log;
	int proc_fd;
};

static struct zl_p9_transport *connect_client(
        const struct options *options, struct service *service, struct zl_error *err)
{
	if (options->fd >= 0)
		return zl_p9_transport_fd(options->fd, err);
	service->tags = zl_p9_tags_open(options->tags, err);
	if (service->tags == NULL)
		return NULL;
	return zl_p9_xen_connect(
	        options->domid, options->devid, FRONT_END_TIMEOUT_MS, service->tags, err);
}

// All that needs the machine, then the farewell to it.
static int prepare(const struct options *options, struct service *service, struct zl_error *err)
{
	service->log = open(options->log, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
	if (service->log < 0)
		return zl_error_errno(err, errno, "open %s", options->log);
	service->transport = connect_client(options, service, err);
	if (service->transport == NULL)
		return -1;
	service->listener = zl_p9_control_listen(options->control, err);
	if (service->listener < 0 || zl_p9_enter_root(&service->proc_fd, err) < 0)
		return -1;
	return zl_p9_server_init(
	        &service->server, service->proc_fd, service->transport->msize_max, err);
}

static void *serve_control(void *argument)
{
	struct service *service = argument;

	zl_p9_control_serve(service->listener, &service->server);
	return NULL;
}

// From here on what goes wrong is in the log.
static int detach(struct service *service)
{
	if (service->log < 0 || dup2(service->log, STDERR_FILENO) < 0 ||
	        dup2(service->log, STDOUT_FILENO) < 0)
		return -1;
	return zl_close(STDIN_FILENO) < 0 ? 0 : -1;
}

static int serve(struct service *service, struct zl_error *err)
{
	pthread_t thread;
	int failure = pthread_create(&thread, NULL, serve_control, service);

	if (failure != 0)
		return zl_error_errno(err, failure, "start the control thread");
	return zl_p9_session_run(&service->server, service->transport, service->tags, err);
}

// Its standard output is where it says that it is ready.
static int serve_main(const struct options *options)
{
	static struct service service;
	struct zl_error err = ZL_ERROR_INIT;
	int ready_fd = fcntl(STDOUT_FILENO, F_DUPFD_CLOEXEC, 0);

	(void)prctl(PR_SET_PDEATHSIG, SIGKILL);
	(void)signal(SIGPIPE, SIG_IGN);
	// Confined, it could not take the signal back; from here on it notices a starter that died
	// by the pipe.
	if (prepare(options, &service, &err) < 0 || prctl(PR_SET_PDEATHSIG, 0) < 0 ||
	        zl_p9_confine(&err) < 0) {
		(void)fprintf(stderr, "%s\n", err.message);
		return 1;
	}
	if (detach(&service) < 0 || write(ready_fd, "", 1) != 1)
		return 1;
	(void)zl_close(ready_fd);
	if (serve(&service, &err) < 0) {
		(void)fprintf(stderr, "the session ended: %s\n", err.message);
		return 1;
	}
	return 0;
}

// ---- the process that starts it

enum { ARGUMENTS_MAX = 32 };

// A PID namespace is for children, so there has to be one.
static int start_server(int argc, char **argv, const struct options *options, int ready_fd,
        struct zl_process *ret, struct zl_error *err)
{
	const char *arguments[ARGUMENTS_MAX + 4];
	struct zl_spawn spawn = ZL_SPAWN_INIT;
	size_t count = 0;

	if (argc > ARGUMENTS_MAX)
		return zl_error_set(err, ZL_INVALID_ARGUMENT, "too many arguments");
	while (count < (size_t)argc) {
		arguments[count] = argv[count];
		count++;
	}
	arguments[count++] = "--serve";
	if (options->fd >= 0) {
		// The later one counts.
		arguments[count++] = "--fd";
		arguments[count++] = "3";
		spawn.extra_fds = &options->fd;
		spawn.extra_count = 1;
	}
	arguments[count] = NULL;
	spawn.program = "/proc/self/exe";
	spawn.argv = arguments;
	spawn.stdout_fd = ready_fd;
	return zl_spawn_start(&spawn, ret, err);
}

static int start(int argc, char **argv, const struct options *options, struct zl_error *err)
{
	struct zl_process server = ZL_PROCESS_INIT;
	int fds[2];
	char byte;
	int result;

	if (options->cgroup != NULL &&
	        zl_p9_join_cgroup(options->cgroup, options->memory_bytes, err) < 0)
		return -1;
	if (zl_p9_unshare(err) < 0)
		return -1;
	if (pipe2(fds, O_CLOEXEC) < 0)
		return zl_error_errno(err, errno, "make a pipe");
	result = start_server(argc, argv, options, fds[1], &server, err);
	(void)zl_close(fds[1]);
	if (result < 0)
		return -1;
	// It has said why not.
	if (read(fds[0], &byte, 1) != 1) {
		zl_process_end(&server);
		return 1;
	}
	return 0;
}

int main(int argc, char **argv)
{
	struct zl_error err = ZL_ERROR_INIT;
	struct options options;
	int result;

	if (parse(argc, argv, &options) < 0)
		return usage();
	if (options.serve)
		return serve_main(&options);
	(void)prctl(PR_SET_PDEATHSIG, SIGKILL);
	result = start(argc, argv, &options, &err);
	if (result < 0)
		(void)fprintf(stderr, "%s\n", err.message);
	else if (result == 0)
		(void)printf("ready\n");
	return result == 0 ? 0 : 1;
}
