// SPDX-License-Identifier: Apache-2.0
//
// What a cgroup uses, read from trees made here in the form of each version, and the size of
// layers.
#include <check.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/file.h"
#include "unit/zone/tests.h"
#include "zone/supervisor/cgroup_usage.h"
#include "zone/supervisor/layer.h"
#include "zone/supervisor/stats.h"

static char root[64];
static char proc[80];
static struct zl_cgroup_tree tree;

static void setup(void)
{
	(void)snprintf(root, sizeof(root), "/tmp/zl-usage-XXXXXX");
	ck_assert_ptr_nonnull(mkdtemp(root));
	(void)snprintf(proc, sizeof(proc), "%s/proc", root);
	tree = (struct zl_cgroup_tree){.root = root, .proc = proc};
}

static void teardown(void)
{
	(void)zl_tree_remove(root, NULL);
}

static void put(const char *name, const char *text)
{
	char path[256];
	char *slash;

	(void)snprintf(path, sizeof(path), "%s/%s", root, name);
	slash = strrchr(path, '/');
	*slash = '\0';
	ck_assert_int_eq(zl_dir_make(path, 0700, NULL), 0);
	*slash = '/';
	ck_assert_int_eq(zl_file_write_atomic(path, text, strlen(text), 0600, NULL), 0);
}

START_TEST(version_2)
{
	static struct zl_usage usage;
	const Zl__Zone__Usage *m = &usage.message;

	put("cgroup.procs", "");
	put("a/b/cpu.stat", "usage_usec 1500\nuser_usec 1000\nsystem_usec 500\nnr_periods 7\n"
	                    "nr_throttled 3\nthrottled_usec 42\n");
	put("a/b/memory.current", "1000000\n");
	put("a/b/memory.stat",
	        "anon 300\nfile 400\nfile_mapped 50\ninactive_anon 1\ninactive_file 250\n"
	        "pgfault 11\npgmajfault 2\n");
	put("a/b/memory.max", "max\n");
	put("a/b/memory.peak", "2000000\n");
	put("a/b/memory.events", "low 0\nhigh 0\nmax 5\noom 1\noom_kill 1\n");
	put("a/b/memory.swap.current", "4096\n");
	put("a/b/memory.swap.max", "8192\n");
	put("a/b/io.stat", "254:0 rbytes=1 wbytes=2 rios=3 wios=4 dbytes=0 dios=0\n"
	                   "7:1 rbytes=10 wbytes=0 rios=1 wios=0 dbytes=0 dios=0\n");
	put("a/b/memory.pressure", "some avg10=1.25 avg60=0.50 avg300=100.00 total=123\n"
	                           "full avg10=0.00 avg60=0.00 avg300=0.00 total=45\n");
	put("a/b/pids.current", "9\n");
	put("a/b/pids.max", "100\n");
	put("a/b/cgroup.procs", "10\n11\n");
	zl_usage_read(&usage, &tree, "/a/b", false);
	ck_assert_uint_eq(m->cpu_ns, 1500000);
	ck_assert_uint_eq(m->cpu_user_ns, 1000000);
	ck_assert_uint_eq(m->cpu_system_ns, 500000);
	ck_assert_uint_eq(m->cfs_periods, 7);
	ck_assert_uint_eq(m->cfs_throttled, 3);
	ck_assert_uint_eq(m->cfs_throttled_ns, 42000);
	ck_assert(m->has_memory);
	ck_assert_uint_eq(m->memory_usage, 1000000);
	ck_assert_uint_eq(m->memory_inactive_file, 250);
	ck_assert_uint_eq(m->memory_anon, 300);
	ck_assert_uint_eq(m->memory_file, 400);
	ck_assert_uint_eq(m->memory_mapped_file, 50);
	ck_assert_uint_eq(m->memory_limit, 0);
	ck_assert_uint_eq(m->memory_peak, 2000000);
	ck_assert_uint_eq(m->memory_failures, 5);
	ck_assert_uint_eq(m->oom_kills, 1);
	ck_assert_uint_eq(m->page_faults, 11);
	ck_assert_uint_eq(m->major_page_faults, 2);
	ck_assert(m->has_swap && m->swap_limited);
	ck_assert_uint_eq(m->swap_usage, 4096);
	ck_assert_uint_eq(m->swap_limit, 8192);
	ck_assert_uint_eq(m->n_io, 2);
	ck_assert_uint_eq(m->io[0]->major, 254);
	ck_assert_uint_eq(m->io[0]->write_bytes, 2);
	ck_assert_uint_eq(m->io[0]->reads, 3);
	ck_assert_uint_eq(m->io[1]->minor, 1);
	ck_assert_uint_eq(m->io[1]->read_bytes, 10);
	ck_assert_ptr_null(m->cpu_pressure);
	ck_assert_uint_eq(m->memory_pressure->some->avg10, 125);
	ck_assert_uint_eq(m->memory_pressure->some->avg60, 50);
	ck_assert_uint_eq(m->memory_pressure->some->avg300, 10000);
	ck_assert_uint_eq(m->memory_pressure->some->total_us, 123);
	ck_assert_uint_eq(m->memory_pressure->full->total_us, 45);
	ck_assert_uint_eq(m->processes, 2);
	ck_assert_uint_eq(m->threads, 9);
	ck_assert_uint_eq(m->threads_max, 100);
}
END_TEST

START_TEST(version_1)
{
	static struct zl_usage usage;
	const Zl__Zone__Usage *m = &usage.message;

	put("cpuacct/a/cpuacct.usage", "5000000\n");
	put("cpuacct/a/cpuacct.stat", "user 2\nsystem 1\n");
	put("cpu/a/cpu.stat", "nr_periods 7\nnr_throttled 3\nthrottled_time 42\n");
	put("memory/a/memory.usage_in_bytes", "1000000\n");
	put("memory/a/memory.stat",
	        "cache 1\ntotal_cache 400\ntotal_rss 300\ntotal_mapped_file 50\n"
	        "total_pgfault 11\ntotal_pgmajfault 2\ntotal_inactive_file 250\ntotal_swap 4096\n");
	put("memory/a/memory.limit_in_bytes", "2097152\n");
	put("memory/a/memory.memsw.usage_in_bytes", "1004096\n");
	put("memory/a/memory.memsw.limit_in_bytes", "3145728\n");
	put("memory/a/memory.max_usage_in_bytes", "1500000\n");
	put("memory/a/memory.failcnt", "6\n");
	put("memory/a/memory.oom_control", "oom_kill_disable 0\nunder_oom 0\noom_kill 2\n");
	put("blkio/a/blkio.throttle.io_service_bytes",
	        "254:0 Read 10\n254:0 Write 20\n254:0 Sync 30\n254:0 Total 30\nTotal 30\n");
	put("blkio/a/blkio.throttle.io_serviced", "254:0 Read 1\n254:0 Write 2\nTotal 3\n");
	put("pids/a/pids.current", "4\n");
	put("pids/a/pids.max", "max\n");
	put("memory/a/cgroup.procs", "10\n");
	zl_usage_read(&usage, &tree, "/a", false);
	ck_assert_uint_eq(m->cpu_ns, 5000000);
	ck_assert_uint_eq(m->cpu_user_ns, 20000000);
	ck_assert_uint_eq(m->cfs_throttled_ns, 42);
	ck_assert_uint_eq(m->memory_usage, 1000000);
	ck_assert_uint_eq(m->memory_file, 400);
	ck_assert_uint_eq(m->memory_anon, 300);
	ck_assert_uint_eq(m->memory_inactive_file, 250);
	ck_assert_uint_eq(m->memory_limit, 2097152);
	ck_assert_uint_eq(m->memory_peak, 1500000);
	ck_assert_uint_eq(m->memory_failures, 6);
	ck_assert_uint_eq(m->oom_kills, 2);
	ck_assert(m->has_swap && m->swap_limited);
	ck_assert_uint_eq(m->swap_usage, 4096);
	ck_assert_uint_eq(m->swap_limit, 1048576);
	ck_assert_uint_eq(m->n_io, 1);
	ck_assert_uint_eq(m->io[0]->read_bytes, 10);
	ck_assert_uint_eq(m->io[0]->write_bytes, 20);
	ck_assert_uint_eq(m->io[0]->reads, 1);
	ck_assert_uint_eq(m->io[0]->writes, 2);
	ck_assert_uint_eq(m->threads, 4);
	ck_assert_uint_eq(m->threads_max, 0);
	ck_assert_uint_eq(m->processes, 1);
	// Unlimited, as version 1 writes it.
	put("memory/a/memory.limit_in_bytes", "9223372036854771712\n");
	zl_usage_read(&usage, &tree, "/a", false);
	ck_assert_uint_eq(m->memory_limit, 0);
}
END_TEST

// No memory controller: what the processes have resident.
START_TEST(without_a_memory_controller)
{
	static struct zl_usage usage;
	static struct zl_usage sum;
	const Zl__Zone__Usage *m = &usage.message;
	uint64_t page = (uint64_t)sysconf(_SC_PAGESIZE);

	put("cgroup.procs", "");
	put("a/cgroup.procs", "10\n11\n12\n");
	put("proc/10/statm", "1000 100 40 1 0 50 0\n");
	put("proc/11/statm", "1000 10 4 1 0 50 0\n");
	zl_usage_read(&usage, &tree, "/a", false);
	ck_assert(m->has_memory);
	ck_assert_uint_eq(m->memory_usage, 110 * page);
	ck_assert_uint_eq(m->memory_anon, 66 * page);
	ck_assert_uint_eq(m->processes, 3);
	ck_assert_uint_eq(m->threads, 3);
	ck_assert(!m->has_swap);
	zl_usage_init(&sum);
	zl_usage_add(&sum, &usage);
	zl_usage_add(&sum, &usage);
	ck_assert_uint_eq(sum.message.memory_usage, 220 * page);
	ck_assert_uint_eq(sum.message.processes, 6);
}
END_TEST

START_TEST(descriptors)
{
	static struct zl_usage usage;
	const Zl__Zone__Usage *m = &usage.message;
	char path[256];

	put("cgroup.procs", "");
	put("a/cgroup.procs", "10\n");
	put("proc/10/fd/0", "");
	(void)snprintf(path, sizeof(path), "%s/10/fd/1", proc);
	ck_assert_int_eq(symlink("socket:[1234]", path), 0);
	zl_usage_read(&usage, &tree, "/a", false);
	ck_assert_uint_eq(m->open_files, 0);
	zl_usage_read(&usage, &tree, "/a", true);
	ck_assert_uint_eq(m->open_files, 2);
	ck_assert_uint_eq(m->sockets, 1);
}
END_TEST

START_TEST(nothing_there)
{
	static struct zl_usage usage;

	zl_usage_read(&usage, &tree, "/gone", true);
	ck_assert_uint_eq(usage.message.cpu_ns, 0);
	ck_assert(!usage.message.has_memory);
	ck_assert_uint_eq(usage.message.n_io, 0);
}
END_TEST

START_TEST(more_devices_than_fit)
{
	static struct zl_usage usage;
	char text[4096] = "";
	size_t length = 0;

	for (int i = 0; i < ZL_USAGE_DEVICES + 4; i++)
		length += (size_t)snprintf(text + length, sizeof(text) - length,
		        "8:%d rbytes=%d wbytes=0 rios=0 wios=0\n", i, i);
	put("cgroup.procs", "");
	put("a/io.stat", text);
	zl_usage_read(&usage, &tree, "/a", false);
	ck_assert_uint_eq(usage.message.n_io, ZL_USAGE_DEVICES);
	ck_assert_uint_eq(usage.message.io[5]->read_bytes, 5);
}
END_TEST

START_TEST(interfaces)
{
	static const char text[] =
	        "Inter-|   Receive                                                |  Transmit\n"
	        " face |bytes    packets errs drop fifo frame compressed multicast|bytes    "
	        "packets "
	        "errs drop fifo colls carrier compressed\n"
	        "    lo:     100       1    0    0    0     0          0         0      100       "
	        "1  "
	        "  0    0    0     0       0          0\n"
	        "  eth0: 18446744073709551615 2 3 4 0 0 0 0 5 6 7 8 0 0 0 0\n"
	        "net123:1 1 1 1 0 0 0 0 1 1 1 1 0 0 0 0\n";
	Zl__Zone__InterfaceStats stats[2];
	char names[2][16];

	ck_assert_uint_eq(zl_stats_parse_interfaces(text, stats, names, 2), 2);
	ck_assert_str_eq(stats[0].name, "eth0");
	ck_assert_uint_eq(stats[0].rx_bytes, UINT64_MAX);
	ck_assert_uint_eq(stats[0].rx_packets, 2);
	ck_assert_uint_eq(stats[0].rx_errors, 3);
	ck_assert_uint_eq(stats[0].rx_dropped, 4);
	ck_assert_uint_eq(stats[0].tx_bytes, 5);
	ck_assert_uint_eq(stats[0].tx_packets, 6);
	ck_assert_uint_eq(stats[0].tx_errors, 7);
	ck_assert_uint_eq(stats[0].tx_dropped, 8);
	ck_assert_str_eq(stats[1].name, "net123");
	ck_assert_uint_eq(zl_stats_parse_interfaces(text, stats, names, 1), 1);
	ck_assert_uint_eq(zl_stats_parse_interfaces("", stats, names, 2), 0);
}
END_TEST

// ---- layers

START_TEST(layer_size)
{
	struct zl_layer_size empty;
	struct zl_layer_size full;
	static char bytes[64 * 1024];
	char path[256];
	char other[256];

	(void)snprintf(path, sizeof(path), "%s/upper", root);
	ck_assert_int_eq(mkdir(path, 0700), 0);
	ck_assert_int_eq(zl_layer_measure(path, &empty, NULL), 0);
	ck_assert_uint_eq(empty.inodes, 0);
	ck_assert_uint_eq(empty.bytes, 0);
	memset(bytes, 'x', sizeof(bytes) - 1);
	put("upper/d/file", bytes);
	// A second name, and a link that leads elsewhere, cost nothing.
	(void)snprintf(path, sizeof(path), "%s/upper/d/file", root);
	(void)snprintf(other, sizeof(other), "%s/upper/second", root);
	ck_assert_int_eq(link(path, other), 0);
	(void)snprintf(other, sizeof(other), "%s/upper/away", root);
	ck_assert_int_eq(symlink("/usr", other), 0);
	(void)snprintf(path, sizeof(path), "%s/upper", root);
	ck_assert_int_eq(zl_layer_measure(path, &full, NULL), 0);
	ck_assert_uint_eq(full.inodes, 3); // d, file, away
	ck_assert_uint_ge(full.bytes, sizeof(bytes));
	ck_assert_uint_lt(full.bytes, 2 * sizeof(bytes));
}
END_TEST

START_TEST(layer_that_is_too_deep)
{
	struct zl_layer_size size;
	int at = open(root, O_RDONLY | O_DIRECTORY);

	for (int i = 0; i < 4 * ZL_LAYER_DEPTH; i++) {
		int next;

		ck_assert_int_eq(mkdirat(at, "d", 0700), 0);
		next = openat(at, "d", O_RDONLY | O_DIRECTORY);
		close(at);
		at = next;
	}
	close(at);
	ck_assert_int_eq(zl_layer_measure(root, &size, NULL), 0);
	ck_assert_uint_eq(size.inodes, ZL_LAYER_DEPTH + 1);
}
END_TEST

START_TEST(layer_that_is_not_there)
{
	struct zl_layer_size size;
	struct zl_error err = ZL_ERROR_INIT;

	ck_assert_int_lt(zl_layer_measure("/nonexistent/upper", &size, &err), 0);
	ck_assert_int_eq(err.code, ZL_NOT_FOUND);
}
END_TEST

TCase *usage_tests(void)
{
	TCase *tests = tcase_create("usage");

	tcase_add_checked_fixture(tests, setup, teardown);
	tcase_add_test(tests, version_2);
	tcase_add_test(tests, version_1);
	tcase_add_test(tests, without_a_memory_controller);
	tcase_add_test(tests, descriptors);
	tcase_add_test(tests, nothing_there);
	tcase_add_test(tests, more_devices_than_fit);
	tcase_add_test(tests, interfaces);
	tcase_add_test(tests, layer_size);
	tcase_add_test(tests, layer_that_is_too_deep);
	tcase_add_test(tests, layer_that_is_not_there);
	return tests;
}
