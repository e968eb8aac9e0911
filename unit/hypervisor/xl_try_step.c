// SPDX-License-Identifier: Apache-2.0
#include "unit/hypervisor/xl_try_step.h"

#include <dirent.h>
#include <poll.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <xenstore.h>

#include "base/clock.h"

enum { PATIENCE_S = 60 };

void step_need(bool good, const char *format, ...)
{
	va_list args;

	if (good)
		return;
	va_start(args, format);
	(void)fprintf(stdout, "FAILED: ");
	(void)vfprintf(stdout, format, args);
	(void)fprintf(stdout, "\n");
	va_end(args);
	(void)fflush(stdout);
	_exit(1);
}

int64_t step_now(void)
{
	return zl_clock_monotonic() / 1000;
}

void step_print(const char *name, int64_t start)
{
	int64_t took = step_now() - start;

	(void)printf("  %-44s %7.2f ms\n", name, (double)took / 1000.0);
	(void)fflush(stdout);
}

void step_expect(
        const char *name, enum zl_code code, int result, const struct zl_error *err, int64_t start)
{
	step_print(name, start);
	step_need(result == (code == ZL_OK ? 0 : -1) && (code == ZL_OK || err->code == code),
	        "%s: wanted %s, got %s: %s", name, zl_code_name(code),
	        result == 0 ? "success" : zl_code_name(err->code), err->message);
	if (code != ZL_OK)
		(void)printf("    %s: %s\n", zl_code_name(err->code), err->message);
}

// ---- xenstore

static struct xs_handle *xenstore(void)
{
	static struct xs_handle *xs;

	if (xs == NULL)
		xs = xs_open(0);
	step_need(xs != NULL, "no connection to xenstored");
	return xs;
}

void step_await_state(const char *type, uint32_t domid, unsigned devid, char state)
{
	struct xs_handle *xs = xenstore();
	char path[128];
	bool reached = false;

	(void)snprintf(
	        path, sizeof(path), "/local/domain/0/backend/%s/%u/%u/state", type, domid, devid);
	step_need(xs_watch(xs, path, "state"), "cannot watch %s", path);
	while (!reached) {
		struct pollfd fd = {.fd = xs_fileno(xs), .events = POLLIN};
		unsigned count;
		char *value = xs_read(xs, XBT_NULL, path, &count);

		reached = value != NULL && value[0] == state;
		free(value);
		if (reached)
			break;
		step_need(poll(&fd, 1, PATIENCE_S * 1000) == 1, "%s never became %c", path, state);
		free(xs_read_watch(xs, &count));
	}
	(void)xs_unwatch(xs, path, "state");
}

void step_await_gone(const char *path)
{
	int64_t start = step_now();

	while (access(path, F_OK) == 0)
		step_need(step_now() - start < PATIENCE_S * 1000000LL, "still there: %s", path);
	step_print("  until the kernel had let go of it", start);
}

static void need_no_node(const char *format, ...)
{
	char path[256];
	va_list args;
	unsigned count;
	char **list;

	va_start(args, format);
	(void)vsnprintf(path, sizeof(path), format, args);
	va_end(args);
	list = xs_directory(xenstore(), XBT_NULL, path, &count);
	step_need(list == NULL, "left in xenstore: %s", path);
}

static void need_no_file(const char *directory, const char *part)
{
	DIR *dir = opendir(directory);
	struct dirent *entry;

	while (dir != NULL &&
	        (entry = readdir(dir)) != NULL) // NOLINT(concurrency-mt-unsafe): its own DIR
		step_need(strstr(entry->d_name, part) == NULL, "left: %s/%s", directory,
		        entry->d_name);
	if (dir != NULL)
		(void)closedir(dir);
}

void step_no_traces(uint32_t domid, const char *uuid, const char *ifname)
{
	char text[64];

	(void)snprintf(text, sizeof(text), "/sys/class/net/%s", ifname);
	step_await_gone(text);
	need_no_node("/local/domain/%u", domid);
	need_no_node("/local/domain/0/backend/vbd/%u", domid);
	need_no_node("/local/domain/0/backend/vif/%u", domid);
	need_no_node("/local/domain/0/backend/console/%u", domid);
	need_no_node("/libxl/%u", domid);
	need_no_node("/vm/%s", uuid);
	need_no_file("/var/lib/xen", uuid);
	need_no_file("/var/run/xen", uuid);
	(void)snprintf(text, sizeof(text), "vif%u.", domid);
	need_no_file("/sys/class/net", text);
}

// ---- events

static struct {
	pthread_mutex_t lock;
	pthread_cond_t changed;
	struct {
		uint32_t domid;
		enum zl_domain_end end;
	} queue[64];
	size_t count;
} events = {.lock = PTHREAD_MUTEX_INITIALIZER, .changed = PTHREAD_COND_INITIALIZER};

void step_on_event(void *user, uint32_t domid, enum zl_domain_end end)
{
	(void)user;
	pthread_mutex_lock(&events.lock);
	step_need(events.count < 64, "more events than anybody wanted");
	events.queue[events.count].domid = domid;
	events.queue[events.count++].end = end;
	pthread_cond_broadcast(&events.changed);
	pthread_mutex_unlock(&events.lock);
}

static bool take_event(uint32_t domid, enum zl_domain_end *ret)
{
	for (size_t i = 0; i < events.count; i++) {
		if (events.queue[i].domid != domid)
			continue;
		*ret = events.queue[i].end;
		memmove(&events.queue[i], &events.queue[i + 1],
		        (events.count - i - 1) * sizeof(events.queue[0]));
		events.count--;
		return true;
	}
	return false;
}

enum zl_domain_end step_await_event(uint32_t domid)
{
	enum zl_domain_end end = ZL_DOMAIN_RUNNING;
	struct timespec until;

	(void)clock_gettime(CLOCK_REALTIME, &until);
	until.tv_sec += PATIENCE_S;
	pthread_mutex_lock(&events.lock);
	while (!take_event(domid, &end)) {
		step_need(pthread_cond_timedwait(&events.changed, &events.lock, &until) == 0,
		        "no event of domain %u", domid);
	}
	pthread_mutex_unlock(&events.lock);
	return end;
}
