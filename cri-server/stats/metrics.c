// SPDX-License-Identifier: Apache-2.0
#include "cri-server/stats/metrics.h"

#include <inttypes.h>
#include <string.h>

#include "base/clock.h"
#include "cri-server/message/message.h"
#include "cri-server/stats/usage.h"

#define COUNTER RUNTIME__V1__METRIC_TYPE__COUNTER
#define GAUGE   RUNTIME__V1__METRIC_TYPE__GAUGE

enum { NS_PER_US = 1000, MOST_PER_METRIC = 8 };

static const char *const base_labels[ZL_METRIC_BASE_LABELS] = {
        "container", "id", "image", "name", "namespace", "pod"};

// Everything a metric is made of.
struct source {
	struct zl_arena *arena;
	const struct zl_metric_subject *subject;
	const Zl__Zone__Usage *usage;
	const Zl__Zone__ContainerStats *container; // NULL for a pod
	const Zl__Zone__Stats *pod;
	uint64_t cpu_ns;
	uint64_t memory_bytes;
	uint64_t working_set_bytes;
	Runtime__V1__Metric **list;
	size_t count;
	size_t capacity;
};

struct metric;
typedef void emit_function(struct source *source, const struct metric *metric);
typedef uint64_t get_function(const struct source *source);

struct metric {
	const char *name;
	const char *help;
	Runtime__V1__MetricType type;
	const char *labels[ZL_METRIC_LABELS - ZL_METRIC_BASE_LABELS + 1]; // its own
	get_function *get;   // one value, its own label (if any) being `value`
	const char *value;   // of its one label
	emit_function *emit; // several values
};

// ---- emitting

static void emit(struct source *s, const struct metric *metric, uint64_t value,
        const char *const *own, size_t own_count)
{
	const struct zl_metric_subject *subject = s->subject;
	const char *base[ZL_METRIC_BASE_LABELS] = {subject->container, subject->id, subject->image,
	        subject->name, subject->namespace_, subject->pod};
	Runtime__V1__Metric *m = ZL_MESSAGE_NEW(s->arena, Metric, metric);

	if (s->count == s->capacity)
		return;
	m->name = metric->name;
	m->metric_type = metric->type;
	m->label_values = zl_arena_array(s->arena, ZL_METRIC_LABELS, sizeof(char *));
	for (size_t i = 0; i < ZL_METRIC_BASE_LABELS; i++)
		m->label_values[m->n_label_values++] = zl_arena_strdup(s->arena, base[i]);
	for (size_t i = 0; i < own_count; i++)
		m->label_values[m->n_label_values++] = zl_arena_strdup(s->arena, own[i]);
	m->value = ZL_MESSAGE_NEW(s->arena, UInt64Value, uint64_value);
	m->value->value = value;
	s->list[s->count++] = m;
}

static void emit_one(struct source *s, const struct metric *metric)
{
	emit(s, metric, metric->get(s), &metric->value, metric->value != NULL ? 1 : 0);
}

// ---- one value each

static uint64_t seconds(uint64_t ns)
{
	return ns / (uint64_t)ZL_NS_PER_SECOND;
}

static const Runtime__V1__LinuxContainerResources *limits(const struct source *s)
{
	static const Runtime__V1__LinuxContainerResources none =
	        RUNTIME__V1__LINUX_CONTAINER_RESOURCES__INIT;

	return s->subject->resources != NULL ? s->subject->resources : &none;
}

static uint64_t positive(int64_t number)
{
	return number > 0 ? (uint64_t)number : 0;
}

#define GET(name, expression)                                                                      \
	static uint64_t get_##name(const struct source *s)                                         \
	{                                                                                          \
		return expression;                                                                 \
	}

static uint64_t psi_total(const Zl__Zone__Pressure *pressure, bool full)
{
	const Zl__Zone__Psi *psi = NULL;

	if (pressure != NULL)
		psi = full ? pressure->full : pressure->some;
	return psi != NULL ? seconds(psi->total_us * NS_PER_US) : 0;
}

GET(cpu, seconds(s->cpu_ns))
GET(cpu_user, seconds(s->usage->cpu_user_ns))
GET(cpu_system, seconds(s->usage->cpu_system_ns))
GET(cfs_periods, s->usage->cfs_periods)
GET(cfs_throttled, s->usage->cfs_throttled)
GET(cfs_throttled_time, seconds(s->usage->cfs_throttled_ns))
GET(memory_usage, s->memory_bytes)
GET(working_set, s->working_set_bytes)
GET(memory_rss, s->usage->memory_anon)
GET(memory_cache, s->usage->memory_file)
GET(memory_mapped, s->usage->memory_mapped_file)
GET(memory_swap, s->usage->swap_usage)
GET(memory_peak, s->usage->memory_peak)
GET(memory_failures, s->usage->memory_failures)
GET(oom_kills, s->usage->oom_kills)
GET(spec_period, positive(limits(s)->cpu_period) > 0 ? positive(limits(s)->cpu_period) : 100000)
GET(spec_quota, positive(limits(s)->cpu_quota))
GET(spec_shares, positive(limits(s)->cpu_shares) > 0 ? positive(limits(s)->cpu_shares) : 2)
GET(spec_memory, positive(limits(s)->memory_limit_in_bytes))
GET(spec_swap, positive(limits(s)->memory_swap_limit_in_bytes))
// Kubernetes sets none.
GET(spec_reservation, s != NULL ? 0 : 1)
GET(start_time, seconds((uint64_t)s->subject->started_at_ns))
GET(last_seen, seconds((uint64_t)s->subject->now_ns))
GET(processes, s->usage->processes)
GET(threads, s->usage->threads)
GET(threads_max, s->usage->threads_max)
GET(open_files, s->usage->open_files)
GET(sockets, s->usage->sockets)
GET(open_files_limit, s->usage->open_files_limit)
GET(fs_usage, s->container->layer_bytes)
GET(fs_limit, s->pod->fs_bytes)
GET(fs_inodes, s->pod->fs_inodes)
GET(fs_inodes_free, s->pod->fs_inodes_free)
GET(cpu_waiting, psi_total(s->usage->cpu_pressure, false))
GET(cpu_stalled, psi_total(s->usage->cpu_pressure, true))
GET(memory_waiting, psi_total(s->usage->memory_pressure, false))
GET(memory_stalled, psi_total(s->usage->memory_pressure, true))
GET(io_waiting, psi_total(s->usage->io_pressure, false))
GET(io_stalled, psi_total(s->usage->io_pressure, true))

// ---- several values

// The cgroup is one container's: what it holds below it is counted as its own.
static void emit_failures(struct source *s, const struct metric *metric)
{
	static const char *const own[][2] = {{"pgfault", "container"}, {"pgmajfault", "container"},
	        {"pgfault", "hierarchy"}, {"pgmajfault", "hierarchy"}};

	for (size_t i = 0; i < ZL_ARRAY_SIZE(own); i++)
		emit(s, metric, i % 2 == 0 ? s->usage->page_faults : s->usage->major_page_faults,
		        own[i], 2);
}

// "253:0": what the device is called is known in the zone alone.
static const char *device_name(const struct source *s, const Zl__Zone__DeviceIo *io)
{
	return zl_arena_printf(s->arena, "%" PRIu32 ":%" PRIu32, io->major, io->minor);
}

static void emit_io(struct source *s, const struct metric *metric)
{
	for (size_t i = 0; i < s->usage->n_io; i++) {
		const Zl__Zone__DeviceIo *io = s->usage->io[i];
		const char *device = device_name(s, io);
		bool bytes = strstr(metric->name, "bytes") != NULL;

		if (strstr(metric->name, "_reads_") != NULL)
			emit(s, metric, bytes ? io->read_bytes : io->reads, &device, 1);
		else
			emit(s, metric, bytes ? io->write_bytes : io->writes, &device, 1);
	}
}

static void emit_blkio(struct source *s, const struct metric *metric)
{
	for (size_t i = 0; i < s->usage->n_io; i++) {
		const Zl__Zone__DeviceIo *io = s->usage->io[i];
		const char *own[] = {device_name(s, io),
		        zl_arena_printf(s->arena, "%" PRIu32, io->major),
		        zl_arena_printf(s->arena, "%" PRIu32, io->minor), "Read"};

		emit(s, metric, io->read_bytes, own, 4);
		own[3] = "Write";
		emit(s, metric, io->write_bytes, own, 4);
	}
}

// Which counter of an interface a metric is.
struct network_counter {
	const char *name;
	size_t offset;
};

#define NETWORK(metric, member)                                                                    \
	{"container_network_" metric "_total", offsetof(Zl__Zone__InterfaceStats, member)}

static const struct network_counter network_counters[] = {
        NETWORK("receive_bytes", rx_bytes),
        NETWORK("receive_packets", rx_packets),
        NETWORK("receive_errors", rx_errors),
        NETWORK("receive_packets_dropped", rx_dropped),
        NETWORK("transmit_bytes", tx_bytes),
        NETWORK("transmit_packets", tx_packets),
        NETWORK("transmit_errors", tx_errors),
        NETWORK("transmit_packets_dropped", tx_dropped),
};

static void emit_network(struct source *s, const struct metric *metric)
{
	size_t which = 0;

	while (strcmp(network_counters[which].name, metric->name) != 0)
		which++;
	for (size_t i = 0; i < s->pod->n_interfaces; i++) {
		const Zl__Zone__InterfaceStats *interface = s->pod->interfaces[i];
		const char *name = interface->name;
		uint64_t value;

		memcpy(&value, (const char *)interface + network_counters[which].offset,
		        sizeof(value));
		emit(s, metric, value, &name, 1);
	}
}

// ---- the tables

#define ONE(name, type, getter, help)                                                              \
	{"container_" name, help, type, {NULL}, get_##getter, NULL, NULL}
#define LABELLED(name, type, getter, label, value, help)                                           \
	{"container_" name, help, type, {label}, get_##getter, value, NULL}
#define SEVERAL(name, type, emitter, help, ...)                                                    \
	{"container_" name, help, type, {__VA_ARGS__}, NULL, NULL, emit_##emitter}

// Of containers; the first ones of pods as well.
static const struct metric container_table[] = {
        LABELLED("cpu_usage_seconds_total", COUNTER, cpu, "cpu", "total",
                "Cumulative cpu time consumed, in seconds."),
        ONE("memory_usage_bytes", GAUGE, memory_usage, "Memory in use now, in bytes."),
        ONE("memory_working_set_bytes", GAUGE, working_set,
                "Memory in use that cannot be given back at once, in bytes."),
        ONE("memory_rss", GAUGE, memory_rss, "Anonymous memory in use, in bytes."),
        ONE("last_seen", GAUGE, last_seen, "When it was last seen, in seconds since 1970."),
        ONE("pressure_cpu_waiting_seconds_total", COUNTER, cpu_waiting,
                "Time in which some tasks waited for a cpu, in seconds."),
        ONE("pressure_cpu_stalled_seconds_total", COUNTER, cpu_stalled,
                "Time in which all tasks waited for a cpu, in seconds."),
        ONE("pressure_memory_waiting_seconds_total", COUNTER, memory_waiting,
                "Time in which some tasks waited for memory, in seconds."),
        ONE("pressure_memory_stalled_seconds_total", COUNTER, memory_stalled,
                "Time in which all tasks waited for memory, in seconds."),
        ONE("pressure_io_waiting_seconds_total", COUNTER, io_waiting,
                "Time in which some tasks waited for input or output, in seconds."),
        ONE("pressure_io_stalled_seconds_total", COUNTER, io_stalled,
                "Time in which all tasks waited for input or output, in seconds."),
        ONE("cpu_user_seconds_total", COUNTER, cpu_user,
                "Cumulative cpu time of programs, in seconds."),
        ONE("cpu_system_seconds_total", COUNTER, cpu_system,
                "Cumulative cpu time of the kernel, in seconds."),
        ONE("cpu_cfs_periods_total", COUNTER, cfs_periods,
                "Periods in which the cpu quota was looked at."),
        ONE("cpu_cfs_throttled_periods_total", COUNTER, cfs_throttled,
                "Periods in which it was held back."),
        ONE("cpu_cfs_throttled_seconds_total", COUNTER, cfs_throttled_time,
                "Time for which it was held back, in seconds."),
        ONE("memory_cache", GAUGE, memory_cache, "Page cache, in bytes."),
        ONE("memory_mapped_file", GAUGE, memory_mapped, "Mapped files, in bytes."),
        ONE("memory_swap", GAUGE, memory_swap, "Swap in use, in bytes."),
        ONE("memory_max_usage_bytes", GAUGE, memory_peak,
                "Most memory it ever had in use, in bytes."),
        ONE("memory_failcnt", COUNTER, memory_failures, "How often it ran into its limit."),
        SEVERAL("memory_failures_total", COUNTER, failures, "Page faults.", "failure_type",
                "scope"),
        ONE("oom_events_total", COUNTER, oom_kills,
                "Processes that were killed for want of memory."),
        ONE("spec_cpu_period", GAUGE, spec_period, "Period of the cpu quota, in microseconds."),
        ONE("spec_cpu_quota", GAUGE, spec_quota, "The cpu quota, in microseconds; 0: none."),
        ONE("spec_cpu_shares", GAUGE, spec_shares, "The cpu shares."),
        ONE("spec_memory_limit_bytes", GAUGE, spec_memory, "The memory limit, in bytes; 0: none."),
        ONE("spec_memory_reservation_limit_bytes", GAUGE, spec_reservation,
                "The memory reservation, in bytes; 0: none."),
        ONE("spec_memory_swap_limit_bytes", GAUGE, spec_swap,
                "The limit of memory and swap together, in bytes; 0: none."),
        ONE("start_time_seconds", GAUGE, start_time, "When it was started, in seconds since 1970."),
        ONE("processes", GAUGE, processes, "Processes."),
        ONE("threads", GAUGE, threads, "Threads."),
        ONE("threads_max", GAUGE, threads_max, "Most threads allowed; 0: no limit."),
        ONE("file_descriptors", GAUGE, open_files, "Open file descriptors."),
        ONE("sockets", GAUGE, sockets, "Open sockets."),
        LABELLED("ulimits_soft", GAUGE, open_files_limit, "ulimit", "max_open_files",
                "Soft limit of open files of its first process."),
        LABELLED("fs_usage_bytes", GAUGE, fs_usage, "device", "scratch",
                "What it has written into its own layer, in bytes."),
        LABELLED("fs_limit_bytes", GAUGE, fs_limit, "device", "scratch",
                "Size of the file system of its layer, in bytes."),
        LABELLED("fs_inodes_total", GAUGE, fs_inodes, "device", "scratch",
                "Inodes of the file system of its layer."),
        LABELLED("fs_inodes_free", GAUGE, fs_inodes_free, "device", "scratch",
                "Free inodes of the file system of its layer."),
        SEVERAL("fs_reads_total", COUNTER, io, "Reads from devices.", "device"),
        SEVERAL("fs_writes_total", COUNTER, io, "Writes to devices.", "device"),
        SEVERAL("fs_reads_bytes_total", COUNTER, io, "Bytes read from devices.", "device"),
        SEVERAL("fs_writes_bytes_total", COUNTER, io, "Bytes written to devices.", "device"),
        SEVERAL("blkio_device_usage_total", COUNTER, blkio, "Bytes moved by devices.", "device",
                "major", "minor", "operation"),
};
enum { OF_PODS = 11 };

static const struct metric network_table[] = {
        SEVERAL("network_receive_bytes_total", COUNTER, network, "Bytes received.", "interface"),
        SEVERAL("network_receive_packets_total", COUNTER, network, "Packets received.",
                "interface"),
        SEVERAL("network_receive_errors_total", COUNTER, network, "Errors in receiving.",
                "interface"),
        SEVERAL("network_receive_packets_dropped_total", COUNTER, network,
                "Packets dropped in receiving.", "interface"),
        SEVERAL("network_transmit_bytes_total", COUNTER, network, "Bytes sent.", "interface"),
        SEVERAL("network_transmit_packets_total", COUNTER, network, "Packets sent.", "interface"),
        SEVERAL("network_transmit_errors_total", COUNTER, network, "Errors in sending.",
                "interface"),
        SEVERAL("network_transmit_packets_dropped_total", COUNTER, network,
                "Packets dropped in sending.", "interface"),
};

static Runtime__V1__MetricDescriptor *describe(struct zl_arena *arena, const struct metric *metric)
{
	Runtime__V1__MetricDescriptor *d =
	        ZL_MESSAGE_NEW(arena, MetricDescriptor, metric_descriptor);

	d->name = metric->name;
	d->help = metric->help;
	d->label_keys = zl_arena_array(arena, ZL_METRIC_LABELS, sizeof(char *));
	for (size_t i = 0; i < ZL_METRIC_BASE_LABELS; i++)
		d->label_keys[d->n_label_keys++] = base_labels[i];
	for (size_t i = 0; metric->labels[i] != NULL; i++)
		d->label_keys[d->n_label_keys++] = metric->labels[i];
	return d;
}

Runtime__V1__MetricDescriptor **zl_metric_descriptors(struct zl_arena *arena, size_t *ret_count)
{
	const size_t count = ZL_ARRAY_SIZE(container_table) + ZL_ARRAY_SIZE(network_table);
	Runtime__V1__MetricDescriptor **list = zl_arena_array(arena, count, sizeof(*list));
	size_t n = 0;

	for (size_t i = 0; i < ZL_ARRAY_SIZE(container_table); i++)
		list[n++] = describe(arena, &container_table[i]);
	for (size_t i = 0; i < ZL_ARRAY_SIZE(network_table); i++)
		list[n++] = describe(arena, &network_table[i]);
	*ret_count = n;
	return list;
}

// Room for the most that a table can give.
static void make_room(struct source *s, size_t metrics)
{
	size_t each = s->usage->n_io * 2 + s->pod->n_interfaces + MOST_PER_METRIC;

	s->capacity = s->count + metrics * each;
	s->list = zl_arena_array(s->arena, s->capacity, sizeof(*s->list));
}

static void emit_all(struct source *s, const struct metric *table, size_t count)
{
	for (size_t i = 0; i < count; i++) {
		if (table[i].emit != NULL)
			table[i].emit(s, &table[i]);
		else
			emit_one(s, &table[i]);
	}
}

Runtime__V1__Metric **zl_container_metrics(struct zl_arena *arena,
        const struct zl_metric_subject *subject, const Zl__Zone__ContainerStats *stats,
        const Zl__Zone__Stats *pod, size_t *ret_count)
{
	struct source s = {
	        .arena = arena,
	        .subject = subject,
	        .usage = stats->usage,
	        .container = stats,
	        .pod = pod,
	        .cpu_ns = stats->usage->cpu_ns,
	        .memory_bytes = stats->usage->memory_usage,
	        .working_set_bytes = zl_working_set(stats->usage),
	};

	make_room(&s, ZL_ARRAY_SIZE(container_table));
	emit_all(&s, container_table, ZL_ARRAY_SIZE(container_table));
	*ret_count = s.count;
	return s.list;
}

Runtime__V1__Metric **zl_pod_metrics(struct zl_arena *arena,
        const struct zl_metric_subject *subject, const Zl__Zone__Stats *stats, uint64_t cpu_ns,
        uint64_t memory_bytes, uint64_t working_set_bytes, size_t *ret_count)
{
	struct zl_metric_subject network = *subject;
	struct source s = {
	        .arena = arena,
	        .subject = subject,
	        .usage = stats->pod,
	        .pod = stats,
	        .cpu_ns = cpu_ns,
	        .memory_bytes = memory_bytes,
	        .working_set_bytes = working_set_bytes,
	};

	make_room(&s, OF_PODS + ZL_ARRAY_SIZE(network_table));
	emit_all(&s, container_table, OF_PODS);
	network.container = "POD";
	s.subject = &network;
	emit_all(&s, network_table, ZL_ARRAY_SIZE(network_table));
	*ret_count = s.count;
	return s.list;
}
