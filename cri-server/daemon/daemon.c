// SPDX-License-Identifier: Apache-2.0
#include "cri-server/daemon/daemon.h"

#include <grp.h>
#include <limits.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <string.h>
#include <sys/signalfd.h>
#include <systemd/sd-daemon.h>

#include "base/cleanup.h"
#include "base/file.h"
#include "base/log.h"
#include "base/strv.h"
#include "cri-server/daemon/lock.h"
#include "cri-server/rpc/rpc.h"
#include "cri-server/sandbox/services.h"

// How long short calls may go on once the daemon stops. Less than the unit's TimeoutStopSec.
enum { STOP_GRACE_MS = 5000 };

void zl_daemon_log_level(const char *name)
{
	static const struct {
		const char *name;
		enum zl_log_level level;
	} levels[] = {{"error", ZL_LOG_ERROR}, {"warning", ZL_LOG_WARNING}, {"info", ZL_LOG_INFO},
	        {"debug", ZL_LOG_DEBUG}};

	for (size_t i = 0; i < ZL_ARRAY_SIZE(levels); i++) {
		if (strcmp(levels[i].name, name) == 0)
			zl_log_set_level(levels[i].level);
	}
}

static int find_group(const char *name, gid_t *ret, struct zl_error *err)
{
	char buffer[16384];
	struct group group;
	struct group *found = NULL;
	int failure;

	*ret = (gid_t)-1;
	if (name[0] == '\0')
		return 0;
	failure = getgrnam_r(name, &group, buffer, sizeof(buffer), &found);
	if (failure != 0)
		return zl_error_errno(err, failure, "look up the group %s (socket_group)", name);
	if (found == NULL)
		return zl_error_set(err, ZL_NOT_FOUND,
		        "there is no group %s (socket_group); make it by `groupadd --system %s`",
		        name, name);
	*ret = group.gr_gid;
	return 0;
}

// Blocked in every thread that is made from here on, and read from the descriptor instead.
static int take_signals(struct zl_error *err)
{
	sigset_t set;
	int fd;

	(void)sigemptyset(&set);
	(void)sigaddset(&set, SIGTERM);
	(void)sigaddset(&set, SIGINT);
	(void)sigaddset(&set, SIGHUP);
	(void)pthread_sigmask(SIG_BLOCK, &set, NULL);
	(void)signal(SIGPIPE, SIG_IGN);
	fd = signalfd(-1, &set, SFD_CLOEXEC);
	return fd >= 0 ? fd : zl_error_errno(err, errno, "make a signalfd");
}

static int make_parent(const char *path, struct zl_error *err)
{
	zl_auto(free) char *parent = zl_strdup(path, err);
	char *slash;

	if (parent == NULL)
		return -1;
	slash = strrchr(parent, '/');
	if (slash == NULL || slash == parent)
		return 0;
	*slash = '\0';
	return zl_dir_make(parent, 0755, err);
}

static void reload(const struct zl_daemon_options *options)
{
	zl_auto(config) struct zl_config config = ZL_CONFIG_INIT;
	struct zl_error err = ZL_ERROR_INIT;

	if (zl_config_load(options->config_path, &config, &err) < 0) {
		zl_log_error("reload: %s; nothing was changed", err.message);
		return;
	}
	if (options->log_level == NULL)
		zl_daemon_log_level(config.log_level);
	zl_log_info("reload: log level %s; other keys need a restart, which pods do not notice",
	        config.log_level);
}

// Half of the watchdog's interval, or -1 where there is none.
static int watchdog_ms(void)
{
	uint64_t interval_us = 0;

	if (sd_watchdog_enabled(0, &interval_us) <= 0)
		return -1;
	interval_us /= 2000;
	return interval_us > INT_MAX ? INT_MAX : (int)interval_us;
}

static void watch(struct zl_rpc_server *server)
{
	// Takes the server's lock: were it held for good, so would this loop, and systemd would
	// know.
	(void)zl_rpc_server_call_count(server);
	(void)sd_notify(0, "WATCHDOG=1");
}

static void serve(
        const struct zl_daemon_options *options, struct zl_rpc_server *server, int signals)
{
	int interval_ms = watchdog_ms();

	for (;;) {
		struct pollfd pollfd = {.fd = signals, .events = POLLIN};
		struct signalfd_siginfo info;

		if (poll(&pollfd, 1, interval_ms) == 0)
			watch(server);
		if (pollfd.revents == 0)
			continue;
		if (read(signals, &info, sizeof(info)) != (ssize_t)sizeof(info))
			continue;
		if (info.ssi_signo != SIGHUP) {
			zl_log_info("stopping on signal %u; pods go on", info.ssi_signo);
			return;
		}
		reload(options);
	}
}

static int run_server(const struct zl_daemon_options *options, const struct zl_config *config,
        struct zl_services *services, int signals, struct zl_error *err)
{
	struct zl_rpc_service tables[2];
	struct zl_rpc_options rpc = {
	        .socket_path = config->socket,
	        .services = tables,
	        .service_count = ZL_ARRAY_SIZE(tables),
	        .workers = (unsigned)config->workers,
	        .version = options->version,
	};
	struct zl_rpc_server *server;

	zl_services_rpc(services, tables);
	if (find_group(config->socket_group, &rpc.socket_group, err) < 0 ||
	        make_parent(config->socket, err) < 0)
		return -1;
	server = zl_rpc_server_start(&rpc, err);
	if (server == NULL)
		return -1;
	zl_log_info("zoneletd %s serves the CRI at %s (%zu methods)", options->version,
	        config->socket, zl_rpc_server_method_count(server));
	(void)sd_notifyf(0, "READY=1\nSTATUS=serving the CRI at %s", config->socket);
	serve(options, server, signals);
	(void)sd_notify(0, "STOPPING=1");
	zl_rpc_server_stop(server, STOP_GRACE_MS);
	return 0;
}

int zl_daemon_run(const struct zl_daemon_options *options, const struct zl_config *config,
        struct zl_error *err)
{
	zl_auto(fd) int signals = take_signals(err);
	zl_auto(fd) int lock = -1;
	struct zl_services *services;
	int result;

	if (signals < 0)
		return -1;
	lock = zl_daemon_lock(config->root_dir, err);
	if (lock < 0)
		return -1;
	services = zl_services_start(config, options->version, NULL, err);
	if (services == NULL)
		return -1;
	result = run_server(options, config, services, signals, err);
	zl_services_stop(services);
	if (result == 0)
		zl_log_info("stopped");
	return result;
}
