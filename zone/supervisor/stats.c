// SPDX-License-Identifier: Apache-2.0
#include "zone/supervisor/stats.h"

#include <errno.h>
#include <inttypes.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/statvfs.h>
#include <sys/timerfd.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/file.h"
#include "base/log.h"
#include "zone/protocol/enclosing.h"
#include "zone/supervisor/cgroup_usage.h"
#include "zone/supervisor/container.h"
#include "zone/supervisor/supervisor.h"

enum { FILE_MAX = 64 * 1024 };

// One container's share of an answer.
struct entry {
	Zl__Zone__ContainerStats message;
	struct zl_usage usage;
};

struct answer {
	Zl__Zone__Stats message;
	struct entry *entries;
	Zl__Zone__ContainerStats **list;
	struct zl_usage pod;
	Zl__Zone__InterfaceStats interfaces[ZL_STATS_INTERFACES];
	Zl__Zone__InterfaceStats *interface_list[ZL_STATS_INTERFACES];
	char names[ZL_STATS_INTERFACES][16];
};

// ---- containers

static void fill_container(struct entry *entry, struct zl_container *c, bool detail)
{
	Zl__Zone__ContainerStats *to = &entry->message;

	zl__zone__container_stats__init(to);
	to->id = c->process.container_id;
	zl_usage_read(&entry->usage, &zl_cgroup_tree, c->cgroups_path, detail);
	to->usage = &entry->usage.message;
	to->has_layer = c->layer[0] != '\0';
	to->layer_bytes = c->layer_size.bytes;
	to->layer_inodes = c->layer_size.inodes;
	to->layer_age_ms = (uint64_t)((zl_clock_monotonic() - c->layer_measured_ns) / ZL_NS_PER_MS);
}

// Those that have processes; of others there is nothing to tell.
static bool counts(const struct zl_container *c)
{
	return c->creating == NULL && c->state == ZL__ZONE__STATE__STARTED;
}

static int fill_containers(struct answer *answer, struct zl_supervisor *s, bool detail)
{
	answer->entries = calloc(s->container_count + 1, sizeof(*answer->entries));
	answer->list = calloc(s->container_count + 1, sizeof(*answer->list));
	if (answer->entries == NULL || answer->list == NULL)
		return -1;
	for (struct zl_container *c = s->containers; c != NULL; c = c->next) {
		struct entry *entry = &answer->entries[answer->message.n_containers];

		if (!counts(c))
			continue;
		fill_container(entry, c, detail);
		answer->list[answer->message.n_containers++] = &entry->message;
	}
	answer->message.containers = answer->list;
	return 0;
}

// ---- the pod

// What no controller counts for the pod's cgroup: processes are in those below it, not in itself.
static void fill_from_sum(Zl__Zone__Usage *to, const Zl__Zone__Usage *sum)
{
	to->processes = sum->processes;
	to->threads = sum->threads;
	to->open_files = sum->open_files;
	to->sockets = sum->sockets;
	if (to->has_memory)
		return;
	to->has_memory = sum->has_memory;
	to->memory_usage = sum->memory_usage;
	to->memory_anon = sum->memory_anon;
	to->memory_mapped_file = sum->memory_mapped_file;
}

static void fill_pod(struct answer *answer, const char *cgroup)
{
	struct zl_usage sum;

	zl_usage_init(&sum);
	zl_usage_init(&answer->pod);
	for (size_t i = 0; i < answer->message.n_containers; i++)
		zl_usage_add(cgroup[0] != '\0' ? &sum : &answer->pod, &answer->entries[i].usage);
	if (cgroup[0] != '\0') {
		zl_usage_read(&answer->pod, &zl_cgroup_tree, cgroup, false);
		fill_from_sum(&answer->pod.message, &sum.message);
	}
	answer->message.pod = &answer->pod.message;
}

// "  eth0: BYTES packets errs drop fifo frame compressed multicast BYTES packets errs drop …"
static bool parse_interface(const char *line, Zl__Zone__InterfaceStats *ret, char name[static 16])
{
	enum { RX = 0, TX = 8, COLUMNS = 16 };
	const char *colon = strchr(line, ':');
	const char *end = strchr(line, '\n');
	uint64_t numbers[COLUMNS];
	char *at;

	zl__zone__interface_stats__init(ret);
	while (*line == ' ')
		line++;
	if (colon == NULL || (end != NULL && colon > end) || colon - line > 15)
		return false;
	(void)snprintf(name, 16, "%.*s", (int)(colon - line), line);
	at = (char *)(uintptr_t)colon + 1;
	for (size_t i = 0; i < COLUMNS; i++)
		numbers[i] = strtoull(at, &at, 10);
	ret->name = name;
	ret->rx_bytes = numbers[RX];
	ret->rx_packets = numbers[RX + 1];
	ret->rx_errors = numbers[RX + 2];
	ret->rx_dropped = numbers[RX + 3];
	ret->tx_bytes = numbers[TX];
	ret->tx_packets = numbers[TX + 1];
	ret->tx_errors = numbers[TX + 2];
	ret->tx_dropped = numbers[TX + 3];
	return strcmp(name, "lo") != 0;
}

size_t zl_stats_parse_interfaces(
        const char *text, Zl__Zone__InterfaceStats *ret, char (*names)[16], size_t most)
{
	size_t count = 0;

	while (count < most && text != NULL && *text != '\0') {
		if (parse_interface(text, &ret[count], names[count]))
			count++;
		text = strchr(text, '\n');
		if (text != NULL)
			text++;
	}
	return count;
}

static void fill_interfaces(struct answer *answer)
{
	zl_auto(buffer) struct zl_buffer text = ZL_BUFFER_INIT;
	Zl__Zone__Stats *m = &answer->message;

	if (zl_file_read("/proc/net/dev", FILE_MAX, &text, NULL) < 0)
		return;
	m->n_interfaces = zl_stats_parse_interfaces(
	        zl_buffer_string(&text), answer->interfaces, answer->names, ZL_STATS_INTERFACES);
	for (size_t i = 0; i < m->n_interfaces; i++)
		answer->interface_list[i] = &answer->interfaces[i];
	m->interfaces = answer->interface_list;
}

// "MemFree:        123456 kB"
static uint64_t meminfo(const char *text, const char *key)
{
	const char *at = strstr(text, key);

	return at != NULL ? strtoull(at + strlen(key), NULL, 10) * 1024 : 0;
}

static void fill_zone_memory(Zl__Zone__Stats *m)
{
	zl_auto(buffer) struct zl_buffer text = ZL_BUFFER_INIT;
	const char *info;

	if (zl_file_read("/proc/meminfo", FILE_MAX, &text, NULL) < 0)
		return;
	info = zl_buffer_string(&text);
	m->memory_total = meminfo(info, "MemTotal:");
	m->memory_free = meminfo(info, "MemFree:");
	m->memory_inactive_file = meminfo(info, "Inactive(file):");
}

static void fill_file_system(Zl__Zone__Stats *m, const struct zl_supervisor *s)
{
	struct statvfs st;

	if (s->scratch_dir[0] == '\0' || statvfs(s->scratch_dir, &st) < 0)
		return;
	m->fs_bytes = (uint64_t)st.f_blocks * st.f_frsize;
	m->fs_free = (uint64_t)st.f_bavail * st.f_frsize;
	m->fs_inodes = st.f_files;
	m->fs_inodes_free = st.f_favail;
}

static void send_answer(struct zl_supervisor *s, const struct zl_stats_waiting *to)
{
	zl_auto(free) struct answer *answer = calloc(1, sizeof(*answer));
	Zl__Zone__FromZone message = ZL__ZONE__FROM_ZONE__INIT;
	struct zl_error err = ZL_ERROR_INIT;

	if (answer == NULL) {
		zl_error_nomem(&err);
		zl_link_reply_failure(&s->link, to->reply, &err);
		return;
	}
	zl__zone__stats__init(&answer->message);
	if (fill_containers(answer, s, to->detail) < 0) {
		zl_error_nomem(&err);
		zl_link_reply_failure(&s->link, to->reply, &err);
	} else {
		fill_pod(answer, to->pod_cgroup);
		if (!s->node_uts)
			fill_interfaces(answer);
		if (!s->host)
			fill_zone_memory(&answer->message);
		fill_file_system(&answer->message, s);
		message.body_case = ZL__ZONE__FROM_ZONE__BODY_STATS;
		message.stats = &answer->message;
		zl_link_reply(&s->link, to->reply, &message);
	}
	free(answer->entries);
	free((void *)answer->list);
}

// ---- waiting for the layers

static void set_timer(struct zl_stats *stats, int milliseconds)
{
	struct itimerspec when = {.it_value.tv_nsec = milliseconds * ZL_NS_PER_MS};

	(void)timerfd_settime(stats->timer.fd, 0, &when, NULL);
}

static void answer_all(struct zl_supervisor *s)
{
	struct zl_stats *stats = &s->stats;

	set_timer(stats, 0);
	for (size_t i = 0; i < stats->count; i++)
		send_answer(s, &stats->waiting[i]);
	stats->count = 0;
}

static void take_sizes(struct zl_supervisor *s)
{
	struct zl_layer_size size;
	const char *id;

	for (size_t i = 0; zl_layer_meter_take(s->stats.meter, i, &id, &size); i++) {
		struct zl_container *c = zl_container_find(s, id);

		if (c == NULL)
			continue;
		c->layer_size = size;
		c->layer_measured_ns = zl_clock_monotonic();
	}
}

static void on_done(struct zl_source *source, uint32_t events)
{
	struct zl_stats *stats = ZL_ENCLOSING(source, struct zl_stats, done);
	struct zl_supervisor *s = ZL_ENCLOSING(stats, struct zl_supervisor, stats);
	uint64_t count;

	(void)events;
	(void)!read(source->fd, &count, sizeof(count));
	take_sizes(s);
	answer_all(s);
}

static void on_timer(struct zl_source *source, uint32_t events)
{
	struct zl_stats *stats = ZL_ENCLOSING(source, struct zl_stats, timer);
	uint64_t count;

	(void)events;
	(void)!read(source->fd, &count, sizeof(count));
	answer_all(ZL_ENCLOSING(stats, struct zl_supervisor, stats));
}

void zl_stats_init(struct zl_stats *stats)
{
	stats->done = (struct zl_source){.fd = -1, .ready = on_done};
	stats->timer = (struct zl_source){.fd = -1, .ready = on_timer};
}

static int open_meter(struct zl_supervisor *s, struct zl_error *err)
{
	struct zl_stats *stats = &s->stats;

	if (stats->meter != NULL)
		return 0;
	if (stats->done.fd < 0)
		stats->done.fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	if (stats->timer.fd < 0)
		stats->timer.fd = timerfd_create(CLOCK_MONOTONIC, TFD_CLOEXEC | TFD_NONBLOCK);
	if (stats->done.fd < 0 || stats->timer.fd < 0)
		return zl_error_errno(err, errno, "make descriptors");
	if (zl_source_watch(&s->reactor, &stats->done, EPOLLIN, err) < 0 ||
	        zl_source_watch(&s->reactor, &stats->timer, EPOLLIN, err) < 0)
		return -1;
	stats->meter = zl_layer_meter_new(stats->done.fd, err);
	return stats->meter != NULL ? 0 : -1;
}

static bool begin_walk(struct zl_supervisor *s)
{
	const char **ids = calloc(s->container_count + 1, sizeof(*ids));
	const char **paths = calloc(s->container_count + 1, sizeof(*paths));
	size_t count = 0;
	bool begun = false;

	for (struct zl_container *c = s->containers; ids != NULL && paths != NULL && c != NULL;
	        c = c->next) {
		if (!counts(c) || c->layer[0] == '\0')
			continue;
		ids[count] = c->process.container_id;
		paths[count++] = c->upper;
	}
	if (count > 0)
		begun = zl_layer_meter_begin(s->stats.meter, ids, paths, count);
	free((void *)ids);
	free((void *)paths);
	return begun;
}

// Whether a walk is under way that is worth waiting for.
static bool measure(struct zl_supervisor *s)
{
	struct zl_error err = ZL_ERROR_INIT;

	if (open_meter(s, &err) < 0) {
		zl_log_warning("measure the writable layers: %s", err.message);
		return false;
	}
	if (!zl_layer_meter_due(s->stats.meter, zl_clock_monotonic()))
		return s->stats.count > 0;
	return begin_walk(s);
}

void zl_stats_request(
        struct zl_supervisor *s, struct zl_reply reply, const Zl__Zone__ToZone *message)
{
	const Zl__Zone__StatsRequest *request = message->stats;
	struct zl_stats *stats = &s->stats;
	struct zl_stats_waiting waiting = {.reply = reply, .detail = request->detail != 0};

	(void)snprintf(waiting.pod_cgroup, sizeof(waiting.pod_cgroup), "%s", request->pod_cgroup);
	if (stats->count == ZL_STATS_WAITING || !measure(s)) {
		send_answer(s, &waiting);
		return;
	}
	stats->waiting[stats->count++] = waiting;
	if (stats->count == 1)
		set_timer(stats, ZL_STATS_WAIT_MS);
}
