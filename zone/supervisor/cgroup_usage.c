// SPDX-License-Identifier: Apache-2.0
#include "zone/supervisor/cgroup_usage.h"

#include <inttypes.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

#include "base/file.h"

enum { FILE_MAX = 64 * 1024, PROCS_MAX = 1024 * 1024, DESCRIPTORS_MAX = 1024 * 1024 };

#define NS_PER_US UINT64_C(1000)
// Version 1 writes "no limit" as the largest number of whole pages.
#define V1_UNLIMITED (UINT64_C(1) << 62)

const struct zl_cgroup_tree zl_cgroup_tree = {.root = "/sys/fs/cgroup", .proc = "/proc"};

// One cgroup, and the file that was read last.
struct source {
	const struct zl_cgroup_tree *tree;
	const char *path;
	bool unified; // version 2
	struct zl_buffer text;
};

// ---- files

// controller: version 1's hierarchy; NULL: version 2's file.
static const char *read_file(struct source *source, const char *controller, const char *name)
{
	char path[PATH_MAX];

	if (controller != NULL)
		(void)snprintf(path, sizeof(path), "%s/%s%s/%s", source->tree->root, controller,
		        source->path, name);
	else
		(void)snprintf(
		        path, sizeof(path), "%s%s/%s", source->tree->root, source->path, name);
	source->text.length = 0;
	if (zl_file_read(path, PROCS_MAX, &source->text, NULL) < 0)
		return NULL;
	return zl_buffer_string(&source->text);
}

// The number in a file of one. "max" and what is not there is 0.
static uint64_t read_number(struct source *source, const char *controller, const char *name)
{
	const char *text = read_file(source, controller, name);

	return text != NULL ? strtoull(text, NULL, 10) : 0;
}

// Of a file with lines "key number".
static uint64_t value_of(const char *text, const char *key)
{
	size_t length = strlen(key);

	while (text != NULL && *text != '\0') {
		if (strncmp(text, key, length) == 0 && text[length] == ' ')
			return strtoull(text + length, NULL, 10);
		text = strchr(text, '\n');
		if (text != NULL)
			text++;
	}
	return 0;
}

// ---- cpu

static void read_cpu_v2(struct source *source, Zl__Zone__Usage *to)
{
	const char *text = read_file(source, NULL, "cpu.stat");

	to->cpu_ns = value_of(text, "usage_usec") * NS_PER_US;
	to->cpu_user_ns = value_of(text, "user_usec") * NS_PER_US;
	to->cpu_system_ns = value_of(text, "system_usec") * NS_PER_US;
	to->cfs_periods = value_of(text, "nr_periods");
	to->cfs_throttled = value_of(text, "nr_throttled");
	to->cfs_throttled_ns = value_of(text, "throttled_usec") * NS_PER_US;
}

static void read_cpu_v1(struct source *source, Zl__Zone__Usage *to)
{
	long ticks = sysconf(_SC_CLK_TCK);
	uint64_t tick_ns = UINT64_C(1000000000) / (uint64_t)(ticks > 0 ? ticks : 100);
	const char *text;

	to->cpu_ns = read_number(source, "cpuacct", "cpuacct.usage");
	text = read_file(source, "cpuacct", "cpuacct.stat");
	to->cpu_user_ns = value_of(text, "user") * tick_ns;
	to->cpu_system_ns = value_of(text, "system") * tick_ns;
	text = read_file(source, "cpu", "cpu.stat");
	to->cfs_periods = value_of(text, "nr_periods");
	to->cfs_throttled = value_of(text, "nr_throttled");
	to->cfs_throttled_ns = value_of(text, "throttled_time");
}

// ---- memory

static void read_memory_v2(struct source *source, Zl__Zone__Usage *to)
{
	const char *text = read_file(source, NULL, "memory.current");

	if (text == NULL)
		return;
	to->has_memory = true;
	to->memory_usage = strtoull(text, NULL, 10);
	text = read_file(source, NULL, "memory.stat");
	to->memory_inactive_file = value_of(text, "inactive_file");
	to->memory_anon = value_of(text, "anon");
	to->memory_file = value_of(text, "file");
	to->memory_mapped_file = value_of(text, "file_mapped");
	to->page_faults = value_of(text, "pgfault");
	to->major_page_faults = value_of(text, "pgmajfault");
	to->memory_limit = read_number(source, NULL, "memory.max");
	to->memory_peak = read_number(source, NULL, "memory.peak");
	text = read_file(source, NULL, "memory.events");
	to->memory_failures = value_of(text, "max");
	to->oom_kills = value_of(text, "oom_kill");
	text = read_file(source, NULL, "memory.swap.current");
	to->has_swap = text != NULL;
	if (text == NULL)
		return;
	to->swap_usage = strtoull(text, NULL, 10);
	text = read_file(source, NULL, "memory.swap.max");
	to->swap_limited = text != NULL && strncmp(text, "max", 3) != 0;
	if (to->swap_limited)
		to->swap_limit = strtoull(text, NULL, 10);
}

static uint64_t limit_v1(struct source *source, const char *name)
{
	uint64_t limit = read_number(source, "memory", name);

	return limit < V1_UNLIMITED ? limit : 0;
}

// Version 1 counts memory and swap together; what is beyond the memory's own is swap.
static void read_swap_v1(struct source *source, Zl__Zone__Usage *to)
{
	const char *text = read_file(source, "memory", "memory.memsw.usage_in_bytes");
	uint64_t limit;

	to->has_swap = text != NULL;
	if (text == NULL)
		return;
	limit = limit_v1(source, "memory.memsw.limit_in_bytes");
	to->swap_limited = limit > 0;
	if (limit > to->memory_limit)
		to->swap_limit = limit - to->memory_limit;
	text = read_file(source, "memory", "memory.stat");
	to->swap_usage = value_of(text, "total_swap");
}

static void read_memory_v1(struct source *source, Zl__Zone__Usage *to)
{
	const char *text = read_file(source, "memory", "memory.usage_in_bytes");

	if (text == NULL)
		return;
	to->has_memory = true;
	to->memory_usage = strtoull(text, NULL, 10);
	text = read_file(source, "memory", "memory.stat");
	to->memory_inactive_file = value_of(text, "total_inactive_file");
	to->memory_anon = value_of(text, "total_rss");
	to->memory_file = value_of(text, "total_cache");
	to->memory_mapped_file = value_of(text, "total_mapped_file");
	to->page_faults = value_of(text, "total_pgfault");
	to->major_page_faults = value_of(text, "total_pgmajfault");
	to->memory_limit = limit_v1(source, "memory.limit_in_bytes");
	to->memory_peak = read_number(source, "memory", "memory.max_usage_in_bytes");
	to->memory_failures = read_number(source, "memory", "memory.failcnt");
	to->oom_kills = value_of(read_file(source, "memory", "memory.oom_control"), "oom_kill");
	read_swap_v1(source, to);
}

// ---- io

static Zl__Zone__DeviceIo *device_of(struct zl_usage *usage, uint32_t major, uint32_t minor)
{
	Zl__Zone__Usage *m = &usage->message;

	for (size_t i = 0; i < m->n_io; i++) {
		if (usage->devices[i].major == major && usage->devices[i].minor == minor)
			return &usage->devices[i];
	}
	if (m->n_io == ZL_USAGE_DEVICES)
		return NULL;
	zl__zone__device_io__init(&usage->devices[m->n_io]);
	usage->devices[m->n_io].major = major;
	usage->devices[m->n_io].minor = minor;
	usage->device_list[m->n_io] = &usage->devices[m->n_io];
	return &usage->devices[m->n_io++];
}

// "253:0 …"
static bool device_number(const char *line, uint32_t *ret_major, uint32_t *ret_minor)
{
	char *end;

	*ret_major = (uint32_t)strtoul(line, &end, 10);
	if (end == line || *end != ':')
		return false;
	line = end + 1;
	*ret_minor = (uint32_t)strtoul(line, &end, 10);
	return end != line && *end == ' ';
}

static uint64_t named(const char *line, const char *name)
{
	const char *at = strstr(line, name);

	return at != NULL ? strtoull(at + strlen(name), NULL, 10) : 0;
}

// "253:0 rbytes=4096 wbytes=0 rios=1 wios=0 dbytes=0 dios=0"
static void io_line_v2(struct zl_usage *usage, const char *line, uint32_t major, uint32_t minor)
{
	Zl__Zone__DeviceIo *device = device_of(usage, major, minor);

	if (device == NULL)
		return;
	device->read_bytes = named(line, " rbytes=");
	device->write_bytes = named(line, " wbytes=");
	device->reads = named(line, " rios=");
	device->writes = named(line, " wios=");
}

// "253:0 Read 4096", of bytes or of operations.
static void io_line_v1(
        struct zl_usage *usage, const char *line, uint32_t major, uint32_t minor, bool bytes)
{
	Zl__Zone__DeviceIo *device = device_of(usage, major, minor);

	if (device == NULL)
		return;
	if (strstr(line, " Read ") != NULL)
		*(bytes ? &device->read_bytes : &device->reads) = named(line, " Read ");
	else if (strstr(line, " Write ") != NULL)
		*(bytes ? &device->write_bytes : &device->writes) = named(line, " Write ");
}

enum io_kind { IO_V2, IO_V1_BYTES, IO_V1_COUNTS };

static void read_io_file(
        struct source *source, struct zl_usage *usage, const char *name, enum io_kind kind)
{
	const char *text = read_file(source, kind == IO_V2 ? NULL : "blkio", name);
	char *save = NULL;

	if (text == NULL || source->text.length == 0)
		return;
	for (char *line = strtok_r((char *)source->text.data, "\n", &save); line != NULL;
	        line = strtok_r(NULL, "\n", &save)) {
		uint32_t major;
		uint32_t minor;

		if (!device_number(line, &major, &minor))
			continue;
		if (kind == IO_V2)
			io_line_v2(usage, line, major, minor);
		else
			io_line_v1(usage, line, major, minor, kind == IO_V1_BYTES);
	}
}

static void read_io(struct source *source, struct zl_usage *usage)
{
	usage->message.io = usage->device_list;
	if (source->unified) {
		read_io_file(source, usage, "io.stat", IO_V2);
		return;
	}
	read_io_file(source, usage, "blkio.throttle.io_service_bytes", IO_V1_BYTES);
	read_io_file(source, usage, "blkio.throttle.io_serviced", IO_V1_COUNTS);
}

// ---- pressure

// "12.34" as hundredths.
static uint32_t hundredths(const char *line, const char *name)
{
	const char *at = strstr(line, name);
	unsigned long whole;
	unsigned long part = 0;
	char *end;

	if (at == NULL)
		return 0;
	whole = strtoul(at + strlen(name), &end, 10);
	// Two digits, always (fs/seq_file, psi_show).
	if (*end == '.')
		part = strtoul(end + 1, NULL, 10);
	return whole >= 100 || part >= 100 ? 10000 : (uint32_t)(whole * 100 + part);
}

// "some avg10=0.00 avg60=0.00 avg300=0.00 total=0"
static Zl__Zone__Psi *read_psi(const char *text, const char *kind, Zl__Zone__Psi *to)
{
	const char *line = text != NULL ? strstr(text, kind) : NULL;

	if (line == NULL)
		return NULL;
	zl__zone__psi__init(to);
	to->total_us = named(line, " total=");
	to->avg10 = hundredths(line, " avg10=");
	to->avg60 = hundredths(line, " avg60=");
	to->avg300 = hundredths(line, " avg300=");
	return to;
}

static void read_pressures(struct source *source, struct zl_usage *usage)
{
	static const char *const names[] = {"cpu.pressure", "memory.pressure", "io.pressure"};
	Zl__Zone__Pressure **to[] = {&usage->message.cpu_pressure, &usage->message.memory_pressure,
	        &usage->message.io_pressure};

	for (size_t i = 0; i < ZL_ARRAY_SIZE(names); i++) {
		const char *text = read_file(source, source->unified ? NULL : "unified", names[i]);
		Zl__Zone__Pressure *pressure = &usage->pressures[i];

		zl__zone__pressure__init(pressure);
		pressure->some = read_psi(text, "some ", &usage->psis[2 * i]);
		pressure->full = read_psi(text, "full ", &usage->psis[2 * i + 1]);
		if (pressure->some != NULL || pressure->full != NULL)
			*to[i] = pressure;
	}
}

// ---- processes

// proc_pid_statm(5): pages that are resident, and those of files among them.
static void add_resident(struct source *source, long pid, Zl__Zone__Usage *to)
{
	zl_auto(buffer) struct zl_buffer text = ZL_BUFFER_INIT;
	uint64_t page = (uint64_t)sysconf(_SC_PAGESIZE);
	uint64_t numbers[3];
	char path[PATH_MAX];
	char *at;

	(void)snprintf(path, sizeof(path), "%s/%ld/statm", source->tree->proc, pid);
	if (zl_file_read(path, FILE_MAX, &text, NULL) < 0 || text.length == 0)
		return;
	at = (char *)text.data;
	for (size_t i = 0; i < ZL_ARRAY_SIZE(numbers); i++)
		numbers[i] = strtoull(at, &at, 10);
	to->has_memory = true;
	to->memory_usage += numbers[1] * page;
	to->memory_anon += (numbers[1] > numbers[2] ? numbers[1] - numbers[2] : 0) * page;
	to->memory_mapped_file += numbers[2] * page;
}

static void add_descriptors(struct source *source, long pid, Zl__Zone__Usage *to)
{
	struct rlimit limit;
	char path[PATH_MAX];
	struct dirent *entry;

	(void)snprintf(path, sizeof(path), "%s/%ld/fd", source->tree->proc, pid);
	zl_auto(dir) DIR *dir = opendir(path);

	while (dir != NULL && to->open_files < DESCRIPTORS_MAX &&
	        // NOLINTNEXTLINE(concurrency-mt-unsafe): a stream of our own
	        (entry = readdir(dir)) != NULL) {
		char target[16];
		ssize_t length;

		if (entry->d_name[0] == '.')
			continue;
		to->open_files++;
		length = readlinkat(dirfd(dir), entry->d_name, target, sizeof(target));
		if (length >= 7 && strncmp(target, "socket:", 7) == 0)
			to->sockets++;
	}
	// Of the first process, as cAdvisor has it.
	if (to->open_files_limit == 0 && prlimit((pid_t)pid, RLIMIT_NOFILE, NULL, &limit) == 0)
		to->open_files_limit = limit.rlim_cur;
}

static void read_processes(struct source *source, Zl__Zone__Usage *to, bool detail)
{
	// Its own: each process reads files.
	zl_auto(buffer) struct zl_buffer pids = ZL_BUFFER_INIT;
	const char *text = read_file(source, source->unified ? NULL : "memory", "cgroup.procs");
	bool count_memory = !to->has_memory;
	char *save = NULL;

	if (text == NULL || source->text.length == 0 ||
	        zl_buffer_append(&pids, text, source->text.length, NULL) < 0)
		return;
	for (char *line = strtok_r((char *)pids.data, "\n", &save); line != NULL;
	        line = strtok_r(NULL, "\n", &save)) {
		long pid = strtol(line, NULL, 10);

		if (pid <= 0 || ++to->processes > ZL_USAGE_PROCESSES)
			continue;
		if (count_memory)
			add_resident(source, pid, to);
		if (detail)
			add_descriptors(source, pid, to);
	}
}

static void read_threads(struct source *source, Zl__Zone__Usage *to)
{
	const char *controller = source->unified ? NULL : "pids";

	to->threads = read_number(source, controller, "pids.current");
	to->threads_max = read_number(source, controller, "pids.max");
}

// ---- all

static bool is_unified(const struct zl_cgroup_tree *tree)
{
	char path[PATH_MAX];

	(void)snprintf(path, sizeof(path), "%s/cgroup.procs", tree->root);
	return access(path, F_OK) == 0;
}

void zl_usage_init(struct zl_usage *usage)
{
	zl__zone__usage__init(&usage->message);
	usage->message.io = usage->device_list;
}

void zl_usage_read(
        struct zl_usage *usage, const struct zl_cgroup_tree *tree, const char *path, bool detail)
{
	struct source source = {.tree = tree, .path = path, .unified = is_unified(tree)};
	Zl__Zone__Usage *to = &usage->message;

	zl_usage_init(usage);
	if (source.unified) {
		read_cpu_v2(&source, to);
		read_memory_v2(&source, to);
	} else {
		read_cpu_v1(&source, to);
		read_memory_v1(&source, to);
	}
	read_io(&source, usage);
	read_pressures(&source, usage);
	read_threads(&source, to);
	read_processes(&source, to, detail);
	if (to->threads < to->processes)
		to->threads = to->processes; // no pids controller
	zl_buffer_release(&source.text);
}

void zl_usage_add(struct zl_usage *sum, const struct zl_usage *usage)
{
	const Zl__Zone__Usage *from = &usage->message;
	Zl__Zone__Usage *to = &sum->message;

	to->cpu_ns += from->cpu_ns;
	to->cpu_user_ns += from->cpu_user_ns;
	to->cpu_system_ns += from->cpu_system_ns;
	to->has_memory = to->has_memory || from->has_memory;
	to->memory_usage += from->memory_usage;
	to->memory_inactive_file += from->memory_inactive_file;
	to->memory_anon += from->memory_anon;
	to->memory_file += from->memory_file;
	to->memory_mapped_file += from->memory_mapped_file;
	to->page_faults += from->page_faults;
	to->major_page_faults += from->major_page_faults;
	to->oom_kills += from->oom_kills;
	to->has_swap = to->has_swap || from->has_swap;
	to->swap_usage += from->swap_usage;
	to->processes += from->processes;
	to->threads += from->threads;
	to->open_files += from->open_files;
	to->sockets += from->sockets;
	for (size_t i = 0; i < from->n_io; i++) {
		const Zl__Zone__DeviceIo *io = from->io[i];
		Zl__Zone__DeviceIo *device = device_of(sum, io->major, io->minor);

		if (device == NULL)
			break;
		device->read_bytes += io->read_bytes;
		device->write_bytes += io->write_bytes;
		device->reads += io->reads;
		device->writes += io->writes;
	}
}
