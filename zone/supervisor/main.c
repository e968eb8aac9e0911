// SPDX-License-Identifier: Apache-2.0
//
// zonelet-supervisor: PID 1 of a zone (no arguments), or the parent of a pod under `host`:
//
//   zonelet-supervisor --host (--listen PATH | --listen-fd N | --socket FD)
//                      [--netns PATH] [--host-ipc] [--state DIR]
//
// or, for a moment, the maker of a network namespace with a user namespace that owns it:
//
//   zonelet-supervisor --make-netns PATH UID-MAP GID-MAP      lines as in user_namespaces(7)
//
// --state      mount point of the tmpfs for bundles and mounts, which only this process and its
//              containers see; made if need be. All pods may share it.
// --listen     unix socket the daemon connects to, again after its restart
// --listen-fd  the same, listening already; --socket: one connected socket
// --netns      the pod's network namespace; without it the pod has the node's network and hostname
// --host-ipc   the pod has the node's IPC namespace
#include <errno.h>
#include <getopt.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/reboot.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/file.h"
#include "base/log.h"
#include "zone/supervisor/cgroup1.h"
#include "zone/supervisor/connection.h"
#include "zone/supervisor/container.h"
#include "zone/supervisor/supervisor.h"
#include "zone/supervisor/volume.h"

#define ZONE_STATE_DIR "/run/zonelet"
#define HOST_STATE_DIR "/run/zonelet/supervisor"

struct options {
	bool host;
	const char *state_dir;
	const char *listen;
	int listen_fd;
	int socket;
	struct zl_host_options namespaces;
};

static void complain(const char *message)
{
	zl_log_warning("%s", message);
}

int zl_supervisor_boot(struct zl_supervisor *s, struct zl_error *err)
{
	if (s->booted)
		return 0;
	if (zl_boot_root(err) < 0)
		return -1;
	zl_boot_mounts(complain);
	zl_boot_cgroups();
	if (zl_network_loopback(err) < 0)
		complain(err->message);
	zl_error_clear(err);
	if (zl_dir_make(ZONE_STATE_DIR, 0711, err) < 0)
		return -1;
	s->booted = true;
	return 0;
}

// The hello first: the daemon's wait ends with it, and the rest is done while it does its own.
static void boot_after_hello(struct zl_supervisor *s)
{
	struct zl_error err = ZL_ERROR_INIT;

	// A request that comes after a failure tries again, and tells.
	if (!s->booted && s->link.established && zl_link_idle(&s->link) &&
	        zl_supervisor_boot(s, &err) < 0)
		complain(err.message);
}

static void after_event(void *user)
{
	struct zl_supervisor *s = user;
	struct zl_container *next;

	for (struct zl_container *c = s->containers; c != NULL; c = next) {
		next = c->next;
		zl_exec_settle(c);
	}
	zl_connection_settle(s);
	zl_link_flush(&s->link);
	boot_after_hello(s);
	if (s->ended && zl_link_idle(&s->link))
		s->reactor.stop = true;
}

static void asked_to_end(void *user)
{
	zl_supervisor_end(user);
}

static int supervisor_init(
        struct zl_supervisor *s, bool host, const char *state_dir, struct zl_error *err)
{
	if (strlen(state_dir) >= sizeof(s->state_dir) - 128)
		return zl_error_set(err, ZL_INVALID_ARGUMENT, "the path %s is too long", state_dir);
	s->host = host;
	s->booted = host;
	s->next_stream = 1;
	(void)snprintf(s->state_dir, sizeof(s->state_dir), "%s", state_dir);
	if (zl_reactor_init(&s->reactor, err) < 0)
		return -1;
	s->reactor.after = after_event;
	s->reactor.shutdown = asked_to_end;
	s->reactor.user = s;
	zl_link_init(&s->link, &s->reactor, &zl_supervisor_handlers, s);
	zl_devices_init(&s->devices, &s->reactor);
	zl_network_init(&s->network, &s->reactor);
	zl_stats_init(&s->stats);
	return 0;
}

static void supervisor_release(struct zl_supervisor *s)
{
	zl_connection_drop_all(s);
	zl_link_release(&s->link);
	zl_devices_release(&s->devices);
	zl_network_release(&s->network);
	zl_reactor_release(&s->reactor);
}

// Nothing of the daemon's environment is for the pod; and crun heeds systemd's: with NOTIFY_SOCKET
// it makes a socket of its own for each container, in one place for all.
static void clean_environment(void)
{
	// NOLINTBEGIN(concurrency-mt-unsafe): before any thread
	(void)clearenv();
	(void)setenv("PATH", "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", 1);
	// NOLINTEND(concurrency-mt-unsafe)
}

// ---- in a zone

// Just enough for the hello.
static int boot_zone(struct zl_supervisor *s, struct zl_error *err)
{
	if (zl_boot_dev(err) < 0 || supervisor_init(s, false, ZONE_STATE_DIR, err) < 0)
		return -1;
	return zl_link_serve_vchan(&s->link, err);
}

static int run_zone(void)
{
	static struct zl_supervisor s;
	struct zl_error err = ZL_ERROR_INIT;

	(void)umask(022);
	clean_environment();
	if (boot_zone(&s, &err) < 0 || zl_reactor_run(&s.reactor, &err) < 0) {
		zl_log_error("the supervisor cannot go on: %s", err.message);
		// PID 1's end is a panic, which the daemon sees as a crash of the zone.
		return 1;
	}
	// Volumes were unmounted with the containers' namespaces; the scratch disk is worth
	// nothing.
	(void)reboot(RB_POWER_OFF);
	return 1;
}

// ---- under `host`

static int open_channel(
        struct zl_supervisor *s, const struct options *options, struct zl_error *err)
{
	int fd = options->listen_fd;

	if (options->socket >= 0)
		return zl_link_accept(&s->link, options->socket, err);
	if (fd < 0)
		fd = zl_socket_listen(options->listen, err);
	return fd >= 0 ? zl_link_listen(&s->link, fd, err) : -1;
}

// The state lives in a mount of this process's own namespace: it goes with the process, however
// that ends.
static int mount_state(const char *path, struct zl_error *err)
{
	if (mount("zonelet", path, "tmpfs", MS_NOSUID | MS_NODEV, "mode=0711") < 0)
		return zl_error_errno(err, errno, "mount the supervisor's state at %s", path);
	return 0;
}

static void clean_host(const struct zl_supervisor *s)
{
	if (s->pause_pid > 0)
		(void)kill(s->pause_pid, SIGKILL);
	zl_trash_wait();
}

static int run_host(const struct options *options)
{
	static struct zl_supervisor s;
	struct zl_error err = ZL_ERROR_INIT;
	int result;

	clean_environment();
	if (zl_dir_make(options->state_dir, 0711, &err) < 0 ||
	        zl_host_enter(&s, &options->namespaces, &err) < 0 ||
	        mount_state(options->state_dir, &err) < 0 ||
	        zl_cgroup1_enter(options->state_dir, &s.cgroup1, &err) < 0 ||
	        supervisor_init(&s, true, options->state_dir, &err) < 0 ||
	        open_channel(&s, options, &err) < 0) {
		zl_log_error("%s", err.message);
		return 1;
	}
	result = zl_reactor_run(&s.reactor, &err);
	if (result < 0)
		zl_log_error("%s", err.message);
	clean_host(&s);
	if (options->listen != NULL)
		(void)unlink(options->listen);
	supervisor_release(&s);
	return result < 0 ? 1 : 0;
}

// ---- arguments

static int parse_number(const char *text)
{
	char *end = NULL;
	long value = strtol(text, &end, 10);

	return end == text || *end != '\0' || value < 0 || value > 65535 ? -1 : (int)value;
}

static bool parse_options(int argc, char **argv, struct options *options)
{
	enum { HOST = 1, STATE, LISTEN, LISTEN_FD, SOCKET, NETNS, HOST_IPC };
	static const struct option names[] = {
	        {"host", no_argument, NULL, HOST},
	        {"state", required_argument, NULL, STATE},
	        {"listen", required_argument, NULL, LISTEN},
	        {"listen-fd", required_argument, NULL, LISTEN_FD},
	        {"socket", required_argument, NULL, SOCKET},
	        {"netns", required_argument, NULL, NETNS},
	        {"host-ipc", no_argument, NULL, HOST_IPC},
	        {NULL, 0, NULL, 0},
	};
	int option;

	// NOLINTNEXTLINE(concurrency-mt-unsafe): before any thread
	while ((option = getopt_long(argc, argv, "", names, NULL)) > 0) {
		switch (option) {
		case HOST:
			options->host = true;
			break;
		case STATE:
			options->state_dir = optarg;
			break;
		case LISTEN:
			options->listen = optarg;
			break;
		case LISTEN_FD:
			options->listen_fd = parse_number(optarg);
			break;
		case SOCKET:
			options->socket = parse_number(optarg);
			break;
		case NETNS:
			options->namespaces.netns = optarg[0] != '\0' ? optarg : NULL;
			break;
		case HOST_IPC:
			options->namespaces.host_ipc = true;
			break;
		default:
			return false;
		}
	}
	return optind == argc && options->host &&
	       (options->listen != NULL) + (options->listen_fd >= 0) + (options->socket >= 0) == 1;
}

static int make_netns(char **argv)
{
	struct zl_error err = ZL_ERROR_INIT;

	if (zl_host_make_netns(argv[2], argv[3], argv[4], &err) == 0)
		return 0;
	(void)fprintf(stderr, "%s\n", err.message);
	return 1;
}

// What it does in processes that it starts itself; -1: none of that.
static int other_life(int argc, char **argv)
{
	const char *life = argc > 1 ? argv[1] : "";

	if (argc == 2 && strcmp(life, "--pause") == 0)
		return zl_host_pause_main();
	if (argc == 2 && strcmp(life, "--hold") == 0)
		return zl_host_hold_main(3);
	if (argc == 2 && strcmp(life, "--unshare") == 0)
		return zl_host_unshare_main();
	if (argc == 4 && strcmp(life, "--share") == 0)
		return zl_volume_share_main(argv[2], argv[3]);
	if (argc >= 5 && strcmp(life, "--in-cgroups") == 0)
		return zl_cgroup1_exec_main(argv[2], argv[3], argv + 4);
	if (argc == 5 && strcmp(life, "--make-netns") == 0)
		return make_netns(argv);
	return -1;
}

int main(int argc, char **argv)
{
	struct options options = {.state_dir = HOST_STATE_DIR, .listen_fd = -1, .socket = -1};
	int life = other_life(argc, argv);

	if (life >= 0)
		return life;
	if (getpid() == 1 && argc == 1)
		return run_zone();
	if (!parse_options(argc, argv, &options)) {
		(void)fputs("usage: zonelet-supervisor --host (--listen PATH | --listen-fd N | "
		            "--socket FD) [--netns PATH] [--host-ipc] [--state DIR]\n"
		            "without arguments it is the first process of a zone\n",
		        stderr);
		return 2;
	}
	return run_host(&options);
}
