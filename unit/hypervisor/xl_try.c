// SPDX-License-Identifier: Apache-2.0
//
// xl-try: the xen implementation on real Xen, in dom0. Prints the time of each step on dom0's clock
// (in the lab at shift 0 that is virtual time, one instruction a nanosecond).
//
//   xl-try KERNEL RAMDISK HOTPLUG DISK1 DISK2 pvh|pv [SCENARIO]
//
// RAMDISK holds xl-try-zone as /init. The first sector of DISK1 begins with "zonelet-try".
// unit/hypervisor/try-in-lab makes all of them and runs this.
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/spawn.h"
#include "unit/hypervisor/xl_try_step.h"

static const uint64_t MIB = UINT64_C(1) << 20;
static const unsigned XVDA = 51712; // 202 << 8 (xen-vbd-interface.txt)
static const unsigned XVDC = 51744;

static struct {
	const char *kernel;
	const char *ramdisk;
	const char *disk1;
	const char *disk2;
	enum zl_domain_type type;
} given;

static struct zl_hypervisor *hv;

struct zone {
	struct zl_disk disk;
	struct zl_nic nic;
	struct zl_domain_config config;
	char ifname[16];
	char cmdline[128];
	char uuid[37];
	uint32_t domid;
};

static void prepare(struct zone *zone, const char *name, unsigned number, const char *what)
{
	*zone = (struct zone){.disk = {.vdev = "xvda", .path = given.disk1, .readonly = true}};
	(void)snprintf(zone->ifname, sizeof(zone->ifname), "zltry%u", number);
	(void)snprintf(
	        zone->cmdline, sizeof(zone->cmdline), "console=hvc0 quiet panic=-1 %s", what);
	(void)snprintf(zone->uuid, sizeof(zone->uuid), "6d2f6a52-3b4c-4a93-8f4b-%012x", number);
	zone->nic = (struct zl_nic){
	        .mac = {2, 0, 0, 0, 0, (uint8_t)number}, .mtu = 1450, .ifname = zone->ifname};
	zone->config = (struct zl_domain_config){
	        .name = name,
	        .uuid = zone->uuid,
	        .type = given.type,
	        .kernel = given.kernel,
	        .ramdisk = given.ramdisk,
	        .cmdline = zone->cmdline,
	        .memory_bytes = 64 * MIB,
	        .vcpus = 1,
	        .cpu_weight = 512,
	        .cpu_cap = 80,
	        .disks = &zone->disk,
	        .disk_count = 1,
	        .nics = &zone->nic,
	        .nic_count = 1,
	};
}

static void create(struct zone *zone, const char *step)
{
	struct zl_error err = ZL_ERROR_INIT;
	int64_t start = step_now();

	step_expect(step, ZL_OK,
	        hv->ops->domain_create(hv, &zone->config, NULL, &zone->domid, &err), &err, start);
}

static void unpause(struct zone *zone)
{
	struct zl_error err = ZL_ERROR_INIT;
	int64_t start = step_now();

	step_expect("watch", ZL_OK,
	        hv->ops->domain_watch(hv, zone->domid, step_on_event, NULL, &err), &err, start);
	start = step_now();
	step_expect("unpause", ZL_OK, hv->ops->domain_unpause(hv, zone->domid, &err), &err, start);
}

static void boot(struct zone *zone)
{
	int64_t start = step_now();

	unpause(zone);
	step_await_state("vbd", zone->domid, XVDA, '4');
	step_print("unpause to disk connected", start);
	step_await_state("vif", zone->domid, 0, '4');
	step_print("unpause to vif connected", start);
}

static void destroy(struct zone *zone, const char *step)
{
	struct zl_error err = ZL_ERROR_INIT;
	int64_t start = step_now();

	step_expect(step, ZL_OK, hv->ops->domain_destroy(hv, zone->domid, &err), &err, start);
	step_need(step_await_event(zone->domid) == ZL_DOMAIN_GONE, "the event was not GONE");
	step_print("destroy to its event", start);
	step_no_traces(zone->domid, zone->uuid, zone->ifname);
	hv->ops->domain_unwatch(hv, zone->domid);
}

// ---- scenarios

static void host(void)
{
	struct zl_error err = ZL_ERROR_INIT;
	struct zl_host_info info;
	int64_t start = step_now();

	step_expect("host_info", ZL_OK, hv->ops->host_info(hv, &info, &err), &err, start);
	(void)printf("    Xen %s, %u cpus, PVH %s, memory %llu MiB, free %llu MiB\n", info.version,
	        (unsigned)info.cpus, info.has_pvh ? "yes" : "no",
	        (unsigned long long)(info.memory_total_bytes / MIB),
	        (unsigned long long)(info.memory_free_bytes / MIB));
}

static void look_at(struct zone *zone)
{
	struct zl_error err = ZL_ERROR_INIT;
	struct zl_domain_info info;
	struct zl_domain_info *list;
	size_t count;
	int64_t start = step_now();

	step_expect("domain_info", ZL_OK, hv->ops->domain_info(hv, zone->domid, &info, &err), &err,
	        start);
	step_need(strcmp(info.name, zone->config.name) == 0 && strcmp(info.uuid, zone->uuid) == 0 &&
	                  info.type == given.type && info.end == ZL_DOMAIN_RUNNING && info.paused &&
	                  info.vcpus == 1,
	        "domain_info: name %s uuid %s type %d end %d paused %d vcpus %u", info.name,
	        info.uuid, info.type, info.end, info.paused, (unsigned)info.vcpus);
	(void)printf("    memory as Xen counts it: %llu KiB of at most %llu KiB\n",
	        (unsigned long long)(info.memory_bytes / 1024),
	        (unsigned long long)(info.max_memory_bytes / 1024));
	start = step_now();
	step_expect(
	        "domain_list", ZL_OK, hv->ops->domain_list(hv, &list, &count, &err), &err, start);
	step_need(count == 1 && list[0].domid == zone->domid, "the list has %zu domains", count);
	free(list);
}

static void attach_and_detach(struct zone *zone)
{
	struct zl_error err = ZL_ERROR_INIT;
	struct zl_disk disk = {.vdev = "xvdc", .path = given.disk2};
	struct zl_nic nic = {.devid = 1, .mac = {2, 0, 0, 0, 1, 1}};
	char path[64];
	int64_t start = step_now();

	step_expect("disk_add", ZL_OK, hv->ops->disk_add(hv, zone->domid, &disk, NULL, &err), &err,
	        start);
	step_await_state("vbd", zone->domid, XVDC, '4');
	step_print("disk_add to connected", start);
	start = step_now();
	step_expect("disk_add, once more", ZL_ALREADY_EXISTS,
	        hv->ops->disk_add(hv, zone->domid, &disk, NULL, &err), &err, start);
	step_await_state("vbd", zone->domid, XVDC, '4');
	start = step_now();
	step_expect("disk_remove", ZL_OK, hv->ops->disk_remove(hv, zone->domid, "xvdc", NULL, &err),
	        &err, start);
	start = step_now();
	step_expect("disk_remove, once more", ZL_OK,
	        hv->ops->disk_remove(hv, zone->domid, "xvdc", NULL, &err), &err, start);
	start = step_now();
	step_expect(
	        "nic_add", ZL_OK, hv->ops->nic_add(hv, zone->domid, &nic, NULL, &err), &err, start);
	(void)snprintf(path, sizeof(path), "/sys/class/net/vif%u.1", (unsigned)zone->domid);
	step_need(access(path, F_OK) == 0, "there is no %s", path);
	step_await_state("vif", zone->domid, 1, '4');
	step_print("nic_add to connected", start);
	start = step_now();
	step_expect("nic_remove", ZL_OK, hv->ops->nic_remove(hv, zone->domid, 1, NULL, &err), &err,
	        start);
	step_await_gone(path);
}

// The first line of a file, "" if there is none.
static void read_line(const char *path, char out[static 16])
{
	FILE *file = fopen(path, "re");

	out[0] = '\0';
	if (file == NULL)
		return;
	(void)!fgets(out, 16, file);
	(void)fclose(file);
}

static void need_interface(struct zone *zone)
{
	char path[64];
	char text[16];

	(void)snprintf(path, sizeof(path), "/sys/class/net/%s/mtu", zone->ifname);
	read_line(path, text);
	step_need(strcmp(text, "1450\n") == 0, "the MTU of %s is %s", zone->ifname, text);
}

static void life(void)
{
	struct zone zone;

	(void)printf("one zone's life\n");
	prepare(&zone, "try-life", 1, "try=idle");
	create(&zone, "create with a disk and a vif");
	look_at(&zone);
	need_interface(&zone);
	boot(&zone);
	attach_and_detach(&zone);
	destroy(&zone, "destroy");
	prepare(&zone, "try-bare", 1, "try=idle");
	zone.config.disk_count = 0;
	zone.config.nic_count = 0;
	create(&zone, "create without devices");
	unpause(&zone);
	destroy(&zone, "destroy");
}

static void ends(void)
{
	static const struct {
		const char *what;
		enum zl_domain_end end;
		uint32_t vcpus;
	} all[] = {
	        {"try=exit", ZL_DOMAIN_CRASH, 1},
	        {"try=poweroff", ZL_DOMAIN_POWEROFF, 1},
	        {"try=reboot", ZL_DOMAIN_REBOOT, 1},
	        {"try=read", ZL_DOMAIN_POWEROFF, 1},
	        {"try=cpus cpus=2", ZL_DOMAIN_POWEROFF, 2},
	};

	for (size_t i = 0; i < sizeof(all) / sizeof(all[0]); i++) {
		struct zone zone;
		enum zl_domain_end end;

		(void)printf("a zone that ends: %s\n", all[i].what);
		prepare(&zone, "try-end", 2, all[i].what);
		zone.config.vcpus = all[i].vcpus;
		create(&zone, "create");
		unpause(&zone);
		end = step_await_event(zone.domid);
		step_need(end == all[i].end, "the event was %d, not %d", end, all[i].end);
		destroy(&zone, "destroy");
	}
}

static void destroyed_by_others(void)
{
	struct zone zone;
	struct zl_error err = ZL_ERROR_INIT;
	zl_auto(buffer) struct zl_buffer out = ZL_BUFFER_LIMIT(4096);
	const char *const argv[] = {"xl", "destroy", "try-others", NULL};
	int64_t start;

	(void)printf("a zone that somebody else destroys\n");
	prepare(&zone, "try-others", 3, "try=idle");
	create(&zone, "create");
	boot(&zone);
	start = step_now();
	step_expect(
	        "xl destroy", ZL_OK, zl_spawn_check(argv, &out, NULL, 60000, &err), &err, start);
	step_need(step_await_event(zone.domid) == ZL_DOMAIN_GONE, "the event was not GONE");
	start = step_now();
	step_expect("destroy what is gone", ZL_OK, hv->ops->domain_destroy(hv, zone.domid, &err),
	        &err, start);
	step_no_traces(zone.domid, zone.uuid, zone.ifname);
}

static void refuse(const char *step, const struct zone *zone, enum zl_code code)
{
	struct zl_error err = ZL_ERROR_INIT;
	int64_t start = step_now();
	uint32_t domid;

	step_expect(step, code, hv->ops->domain_create(hv, &zone->config, NULL, &domid, &err), &err,
	        start);
	step_no_traces(0xffff, zone->uuid, zone->ifname);
}

static void mistakes(void)
{
	struct zone good;
	struct zone zone;
	struct zl_domain_info info;
	struct zl_error err = ZL_ERROR_INIT;
	int64_t start;

	(void)printf("what must fail\n");
	prepare(&good, "try-taken", 4, "try=idle");
	create(&good, "create");
	prepare(&zone, "try-taken", 5, "try=idle");
	refuse("a name that is taken", &zone, ZL_ALREADY_EXISTS);
	prepare(&zone, "try-mistake", 5, "try=idle");
	zone.config.kernel = "/nowhere/vmlinux";
	refuse("a missing kernel", &zone, ZL_NOT_FOUND);
	prepare(&zone, "try-mistake", 5, "try=idle");
	zone.config.kernel = "/bin/true";
	refuse("a kernel that is none", &zone, ZL_INTERNAL);
	prepare(&zone, "try-mistake", 5, "try=idle");
	zone.disk.path = "/dev/nowhere";
	refuse("a missing disk", &zone, ZL_NOT_FOUND);
	prepare(&zone, "try-mistake", 5, "try=idle");
	zone.config.memory_bytes = UINT64_C(1) << 40;
	refuse("too much memory", &zone, ZL_RESOURCE_EXHAUSTED);
	prepare(&zone, "try-mistake", 5, "try=idle");
	(void)snprintf(zone.ifname, sizeof(zone.ifname), "lo");
	start = step_now();
	step_expect("an interface name that is taken", ZL_ALREADY_EXISTS,
	        hv->ops->domain_create(hv, &zone.config, NULL, &zone.domid, &err), &err, start);
	step_no_traces(0xffff, zone.uuid, "zltry5");
	start = step_now();
	step_expect("info of no domain", ZL_NOT_FOUND, hv->ops->domain_info(hv, 30000, &info, &err),
	        &err, start);
	step_expect("unpause no domain", ZL_NOT_FOUND, hv->ops->domain_unpause(hv, 30000, &err),
	        &err, start);
	step_expect("detach from no domain", ZL_OK,
	        hv->ops->disk_remove(hv, 30000, "xvda", NULL, &err), &err, start);
	step_expect("attach to no domain", ZL_NOT_FOUND,
	        hv->ops->disk_add(hv, 30000, &zone.disk, NULL, &err), &err, start);
	step_need(hv->ops->domain_watch(hv, good.domid, step_on_event, NULL, &err) == 0, "watch");
	destroy(&good, "destroy");
}

// ---- at the same time

struct attach {
	uint32_t domid;
	uint32_t backend_domid;
	struct zl_cancel cancel;
	struct zl_error err;
	int result;
};

static void *attach_hanging(void *argument)
{
	struct attach *attach = argument;
	struct zl_disk disk = {
	        .vdev = "xvdc", .path = given.disk2, .backend_domid = attach->backend_domid};

	attach->result = hv->ops->disk_add(hv, attach->domid, &disk, &attach->cancel, &attach->err);
	return NULL;
}

// The back end is to be in a zone that has no driver for it.
static void hung_attach(void)
{
	struct zone zone;
	struct zone other;
	struct attach attach = {0};
	struct zl_error err = ZL_ERROR_INIT;
	struct zl_disk disk = {.vdev = "xvdc", .path = given.disk2};
	pthread_t thread;
	int64_t start;

	(void)printf("an attach that hangs\n");
	prepare(&zone, "try-hung", 6, "try=idle");
	create(&zone, "create");
	unpause(&zone);
	attach.domid = zone.domid;
	attach.backend_domid = zone.domid;
	step_need(zl_cancel_init(&attach.cancel, INT64_MAX, NULL, NULL) == 0, "no token");
	pthread_create(&thread, NULL, attach_hanging, &attach);
	prepare(&other, "try-beside", 7, "try=idle");
	create(&other, "create another beside it");
	unpause(&other);
	destroy(&other, "destroy the other");
	start = step_now();
	zl_cancel_fire(&attach.cancel);
	pthread_join(thread, NULL);
	step_expect("cancel to the hung attach's return", ZL_CANCELLED, attach.result, &attach.err,
	        start);
	disk.backend_domid = zone.domid;
	start = step_now();
	step_expect("the same, to its own limit", ZL_UNAVAILABLE,
	        hv->ops->disk_add(hv, zone.domid, &disk, NULL, &err), &err, start);
	disk.backend_domid = 0;
	start = step_now();
	step_expect("the same disk from dom0", ZL_OK,
	        hv->ops->disk_add(hv, zone.domid, &disk, NULL, &err), &err, start);
	destroy(&zone, "destroy");
	zl_cancel_release(&attach.cancel);
}

// The front end has just begun to look at the disk, or not yet.
static void destroy_after_attach(void)
{
	struct zl_disk disk = {.vdev = "xvdc", .path = given.disk2};

	(void)printf("a disk attached and the zone destroyed at once\n");
	for (int round = 0; round < 3; round++) {
		struct zone zone;
		struct zl_error err = ZL_ERROR_INIT;
		int64_t start;

		prepare(&zone, "try-quick", 14, "try=idle");
		create(&zone, "create");
		if (round == 0)
			boot(&zone);
		else
			unpause(&zone);
		start = step_now();
		step_expect("disk_add", ZL_OK, hv->ops->disk_add(hv, zone.domid, &disk, NULL, &err),
		        &err, start);
		if (round == 2)
			step_await_state("vbd", zone.domid, XVDC, '4');
		destroy(&zone, "destroy");
	}
}

// The zone never sees it: it is paused.
static void detach_from_a_paused_zone(void)
{
	struct zone zone;
	struct zl_error err = ZL_ERROR_INIT;
	const char *const argv[] = {"xl", "pause", "try-paused", NULL};
	zl_auto(buffer) struct zl_buffer out = ZL_BUFFER_LIMIT(4096);
	struct zl_cancel cancel;
	int64_t start;

	(void)printf("a zone that does not let go of its disk\n");
	prepare(&zone, "try-paused", 8, "try=idle");
	create(&zone, "create");
	boot(&zone);
	step_need(zl_spawn_check(argv, &out, NULL, 60000, &err) == 0, "xl pause: %s", err.message);
	start = step_now();
	step_need(zl_cancel_init(&cancel, zl_clock_monotonic() + ZL_NS_PER_SECOND, NULL, NULL) == 0,
	        "no token");
	step_expect("disk_remove with a deadline of 1 s", ZL_DEADLINE_EXCEEDED,
	        hv->ops->disk_remove(hv, zone.domid, "xvda", &cancel, &err), &err, start);
	zl_cancel_release(&cancel);
	start = step_now();
	step_expect("disk_remove by force, after libxl's limit", ZL_OK,
	        hv->ops->disk_remove(hv, zone.domid, "xvda", NULL, &err), &err, start);
	destroy(&zone, "destroy");
}

static void cancelled_create(void)
{
	(void)printf("creates that are cancelled\n");
	for (int ms = 5; ms <= 125; ms += 20) {
		struct zone zone;
		struct zl_error err = ZL_ERROR_INIT;
		struct zl_cancel cancel;
		int64_t start = step_now();
		int result;
		char step[64];

		prepare(&zone, "try-cancel", 9, "try=idle");
		step_need(zl_cancel_init(&cancel, zl_clock_monotonic() + ms * ZL_NS_PER_MS, NULL,
		                  NULL) == 0,
		        "no token");
		result = hv->ops->domain_create(hv, &zone.config, &cancel, &zone.domid, &err);
		(void)snprintf(step, sizeof(step), "create with a deadline of %d ms: %s", ms,
		        result == 0 ? "OK" : zl_code_name(err.code));
		step_print(step, start);
		step_need(result == 0 || err.code == ZL_DEADLINE_EXCEEDED, "%s", err.message);
		if (result == 0)
			step_need(hv->ops->domain_destroy(hv, zone.domid, &err) == 0, "%s",
			        err.message);
		step_no_traces(0xffff, zone.uuid, zone.ifname);
		zl_cancel_release(&cancel);
	}
}

enum { CROWD = 4 };

static void *live(void *argument)
{
	struct zone *zone = argument;
	struct zl_error err = ZL_ERROR_INIT;

	step_need(hv->ops->domain_create(hv, &zone->config, NULL, &zone->domid, &err) == 0 &&
	                  hv->ops->domain_unpause(hv, zone->domid, &err) == 0,
	        "%s: %s", zone->config.name, err.message);
	return NULL;
}

static void *die(void *argument)
{
	struct zone *zone = argument;
	struct zl_error err = ZL_ERROR_INIT;

	step_need(hv->ops->domain_destroy(hv, zone->domid, &err) == 0, "%s: %s", zone->config.name,
	        err.message);
	return NULL;
}

static void all_at_once(struct zone zones[static CROWD], void *(*work)(void *), const char *step)
{
	pthread_t threads[CROWD];
	int64_t start = step_now();

	for (int i = 0; i < CROWD; i++)
		pthread_create(&threads[i], NULL, work, &zones[i]);
	for (int i = 0; i < CROWD; i++)
		pthread_join(threads[i], NULL);
	step_print(step, start);
}

static void crowd(void)
{
	struct zone zones[CROWD];
	char names[CROWD][16];

	(void)printf("four at the same time\n");
	for (int i = 0; i < CROWD; i++) {
		(void)snprintf(names[i], sizeof(names[i]), "try-crowd-%d", i);
		prepare(&zones[i], names[i], 10 + (unsigned)i, "try=idle");
	}
	all_at_once(zones, live, "create and unpause four");
	for (int i = 0; i < CROWD; i++)
		step_await_state("vif", zones[i].domid, 0, '4');
	all_at_once(zones, die, "destroy four");
	for (int i = 0; i < CROWD; i++)
		step_no_traces(zones[i].domid, zones[i].uuid, zones[i].ifname);
}

static const struct {
	const char *name;
	void (*run)(void);
} scenarios[] = {
        {"host", host},
        {"life", life},
        {"life", life},
        {"ends", ends},
        {"others", destroyed_by_others},
        {"mistakes", mistakes},
        {"hung", hung_attach},
        {"quick", destroy_after_attach},
        {"paused", detach_from_a_paused_zone},
        {"cancel", cancelled_create},
        {"crowd", crowd},
};

int main(int argc, char **argv)
{
	struct zl_error err = ZL_ERROR_INIT;
	int64_t start = step_now();

	step_need(argc == 7 || argc == 8,
	        "usage: xl-try KERNEL RAMDISK HOTPLUG DISK1 DISK2 pvh|pv [SCENARIO]");
	given.kernel = argv[1];
	given.ramdisk = argv[2];
	given.disk1 = argv[4];
	given.disk2 = argv[5];
	given.type = strcmp(argv[6], "pv") == 0 ? ZL_DOMAIN_PV : ZL_DOMAIN_PVH;
	hv = zl_xen_open(argv[3], &err);
	step_need(hv != NULL, "open: %s", err.message);
	step_print("open", start);
	for (size_t i = 0; i < ZL_ARRAY_SIZE(scenarios); i++) {
		if (argc == 7 || strcmp(argv[7], scenarios[i].name) == 0)
			scenarios[i].run();
	}
	start = step_now();
	zl_hypervisor_close(hv);
	step_print("close", start);
	(void)printf("all as it should be\n");
	return 0;
}
