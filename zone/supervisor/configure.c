// SPDX-License-Identifier: Apache-2.0
#include "zone/supervisor/configure.h"
#include "zone/protocol/enclosing.h"

#include <errno.h>
#include <stddef.h>
#include <string.h>
#include <sys/mount.h>
#include <unistd.h>

#include "base/file.h"
#include "zone/supervisor/klog.h"

// A configure under way: what it waits for, and who waits for it.
struct zl_configuring {
	struct zl_supervisor *supervisor;
	struct zl_reply reply;
	Zl__Zone__ToZone *message; // its own copy
	const Zl__Zone__Configure *config;
	struct zl_device_wait scratch;
	bool scratch_ready;
	bool network_ready;
	bool settled; // the answer was sent: the owner frees it
};

static void configuring_free(struct zl_configuring *c)
{
	zl_zone_message_free(c->message);
	free(c);
}

static void leave(struct zl_configuring *c)
{
	struct zl_supervisor *s = c->supervisor;

	if (c->scratch.waiting)
		zl_device_wait_cancel(&s->devices, &c->scratch);
	zl_network_cancel(&s->network);
	if (s->configuring == c)
		s->configuring = NULL;
}

void zl_configure_cancel(struct zl_supervisor *s)
{
	struct zl_configuring *c = s->configuring;
	struct zl_error err = ZL_ERROR_INIT;

	if (c == NULL)
		return;
	leave(c);
	zl_error_set(&err, ZL_ABORTED, "another configure replaced this one");
	zl_link_reply_failure(&s->link, c->reply, &err);
	configuring_free(c);
}

static void fail(struct zl_configuring *c, struct zl_error *err)
{
	leave(c);
	c->settled = true;
	zl_error_wrap(err, "configure the sandbox");
	zl_link_reply_failure(&c->supervisor->link, c->reply, err);
}

// Last, since some of them belong to interfaces.
static int set_sysctls(const Zl__Zone__Configure *config, struct zl_error *err)
{
	for (size_t i = 0; i < config->n_sysctls; i++) {
		if (zl_sysctl_set(config->sysctls[i]->name, config->sysctls[i]->value, err) < 0)
			return -1;
	}
	return 0;
}

// Everything that was waited for is there, perhaps.
static void check_done(struct zl_configuring *c)
{
	struct zl_error err = ZL_ERROR_INIT;

	if (c->settled || !c->scratch_ready || !c->network_ready)
		return;
	if (set_sysctls(c->config, &err) < 0) {
		fail(c, &err);
		return;
	}
	leave(c);
	c->settled = true;
	c->supervisor->configured = true;
	if (!c->supervisor->host)
		zl_klog_start();
	zl_link_reply_done(&c->supervisor->link, c->reply);
}

// A callback that came later than the request: the memory is ours to free then.
static void check_done_later(struct zl_configuring *c)
{
	check_done(c);
	if (c->settled)
		configuring_free(c);
}

// ---- scratch

static int mount_scratch(struct zl_configuring *c, struct zl_error *err)
{
	struct zl_supervisor *s = c->supervisor;
	char path[sizeof(s->scratch_dir)];

	(void)snprintf(path, sizeof(path), "%.480s/scratch", s->state_dir);
	if (zl_dir_make(path, 0711, err) < 0)
		return -1;
	// Its content is worth nothing after the pod, so nothing waits for the disk.
	if (mount(c->scratch.path, path, "ext4", MS_NODEV | MS_NOATIME, "nobarrier") < 0)
		return zl_error_errno(err, errno, "mount the scratch disk %s", c->scratch.path);
	memcpy(s->scratch_dir, path, sizeof(path));
	return 0;
}

static void scratch_ready(struct zl_device_wait *wait)
{
	struct zl_configuring *c = ZL_ENCLOSING(wait, struct zl_configuring, scratch);
	bool later = c->supervisor->configuring == c;
	struct zl_error err = ZL_ERROR_INIT;

	if (mount_scratch(c, &err) < 0)
		fail(c, &err);
	c->scratch_ready = true;
	if (later && c->settled)
		configuring_free(c);
	else if (later)
		check_done_later(c);
}

static int start_scratch(struct zl_configuring *c, struct zl_error *err)
{
	struct zl_supervisor *s = c->supervisor;
	const char *device = c->config->scratch_device;
	const char *path = c->config->scratch_path;

	c->scratch_ready = s->scratch_dir[0] != '\0';
	if (c->scratch_ready)
		return 0;
	if ((device[0] == '\0') == (path[0] == '\0') || strlen(path) >= sizeof(s->scratch_dir) ||
	        strlen(device) >= sizeof(c->scratch.path))
		return zl_error_set(err, ZL_INVALID_ARGUMENT,
		        "writable layers need either a scratch device or a scratch directory");
	if (path[0] != '\0') {
		c->scratch_ready = true;
		if (zl_dir_make(path, 0711, err) < 0)
			return -1;
		(void)snprintf(s->scratch_dir, sizeof(s->scratch_dir), "%s", path);
		return 0;
	}
	(void)snprintf(c->scratch.path, sizeof(c->scratch.path), "%s", device);
	c->scratch.ready = scratch_ready;
	return zl_device_wait(&s->devices, &c->scratch, err);
}

// ---- network

static void network_done(struct zl_network *network, const struct zl_error *failure)
{
	struct zl_supervisor *s = ZL_ENCLOSING(network, struct zl_supervisor, network);
	struct zl_configuring *c = network->user;
	bool later = s->configuring == c;
	struct zl_error err = failure != NULL ? *failure : (struct zl_error)ZL_ERROR_INIT;

	if (failure != NULL)
		fail(c, &err);
	c->network_ready = true;
	if (later && c->settled)
		configuring_free(c);
	else if (later)
		check_done_later(c);
}

static void start_network(struct zl_configuring *c)
{
	struct zl_network *network = &c->supervisor->network;

	if (c->config->n_interfaces == 0) {
		c->network_ready = true;
		return;
	}
	network->done = network_done;
	network->user = c;
	zl_network_apply(network, c->config->interfaces, c->config->n_interfaces);
}

// ---- the rest

static int set_hostname(struct zl_supervisor *s, const char *hostname, struct zl_error *err)
{
	if (strlen(hostname) >= sizeof(s->hostname))
		return zl_error_set(
		        err, ZL_INVALID_ARGUMENT, "the hostname %.80s is too long", hostname);
	(void)snprintf(s->hostname, sizeof(s->hostname), "%s", hostname);
	if (hostname[0] == '\0' || s->node_uts)
		return 0;
	if (sethostname(hostname, strlen(hostname)) < 0)
		return zl_error_errno(err, errno, "set the hostname");
	return 0;
}

static int settle_machine(struct zl_configuring *c, struct zl_error *err)
{
	if (c->supervisor->host)
		return 0;
	if (zl_entropy_add(c->config->entropy.data, c->config->entropy.len, err) < 0)
		return -1;
	return zl_clock_adjust(c->config->realtime_ns, err);
}

static int begin(struct zl_configuring *c, struct zl_error *err)
{
	struct zl_supervisor *s = c->supervisor;

	if (settle_machine(c, err) < 0 || set_hostname(s, c->config->hostname, err) < 0 ||
	        zl_pod_files(s, c->config, err) < 0)
		return -1;
	return start_scratch(c, err);
}

void zl_configure_request(
        struct zl_supervisor *s, struct zl_reply reply, const Zl__Zone__ToZone *message)
{
	struct zl_configuring *c = calloc(1, sizeof(*c));
	struct zl_error err = ZL_ERROR_INIT;

	zl_configure_cancel(s);
	if (c != NULL)
		c->message = zl_zone_message_copy(&message->base, &err);
	if (c == NULL || c->message == NULL) {
		free(c);
		zl_error_nomem(&err);
		zl_link_reply_failure(&s->link, reply, &err);
		return;
	}
	c->supervisor = s;
	c->reply = reply;
	c->config = c->message->configure;
	if (begin(c, &err) < 0)
		fail(c, &err);
	if (!c->settled)
		start_network(c);
	if (!c->settled)
		check_done(c);
	if (c->settled)
		configuring_free(c);
	else
		s->configuring = c;
}
