// SPDX-License-Identifier: Apache-2.0
//
// The `zone` back end: a sandbox is a Xen domain.
//
// Devices of a zone: xvda the zone root (one image for all zones, read-only), xvdb the scratch disk
// for writable layers, xvdc and on one device for each image its containers have; one vif.
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/log.h"
#include "cri-server/oci/namespace.h"
#include "cri-server/sandbox/backend.h"
#include "cri-server/sandbox/channel.h"
#include "cri-server/sandbox/lifecycle.h"
#include "cri-server/sandbox/services.h"
#include "cri-server/sandbox/share.h"
#include "cri-server/sandbox/zone_image.h"
#include "zone/channel/transport.h"

// What the zone kernel is told (Documentation/admin-guide/kernel-parameters.txt). acpi=off: a PVH
// zone has tables it does not need; panic=-1: a panic ends the domain at once, so that Xen reports
// a crash instead of a silent zone.
#define CMDLINE                                                                                    \
	"root=/dev/xvda rootfstype=erofs ro rootwait init=/sbin/init console=hvc0 quiet acpi=off " \
	"panic=-1"

// With a ramdisk the kernel starts that before any disk has connected (zone/kernel/patches/).
#define NO_WAIT " xenbus_probe_frontend.boot_wait=0"

enum { DEVICE_PATH_SIZE = 64, INTERFACES_MAX = 16 };

static int check(const Runtime__V1__PodSandboxConfig *config, struct zl_error *err)
{
	const char *what = zl_pod_node_namespace(config);

	if (what != NULL)
		return zl_error_set(err, ZL_INVALID_ARGUMENT,
		        "pod %s/%s wants the node's %s namespace, which a zone cannot share; run "
		        "it with the handler \"host\" (runtimeClassName), or allow its namespace "
		        "in "
		        "host_pods.namespaces",
		        config->metadata->namespace_, config->metadata->name, what);
	if (zl_pod_user_namespace(config) != NULL)
		return zl_error_set(err, ZL_INVALID_ARGUMENT,
		        "pod %s/%s wants a user namespace (hostUsers: false), which a zone does "
		        "not make: its kernel is the pod's own; run it with the handler \"host\" "
		        "(runtimeClassName)",
		        config->metadata->namespace_, config->metadata->name);
	return 0;
}

// ---- the domain

// Locally administered, unicast, from the sandbox's id and the device's number.
static void make_mac(const struct zl_sandbox *sandbox, size_t devid, uint8_t mac[static 6])
{
	mac[0] = 0x02;
	for (size_t i = 1; i < 6; i++) {
		const char digits[3] = {sandbox->id[2 * i], sandbox->id[2 * i + 1]};

		mac[i] = (uint8_t)strtoul(digits, NULL, 16);
	}
	mac[5] = (uint8_t)(mac[5] + devid);
}

// As netback names it: every rename makes udev run.
static void vif_name(const struct zl_sandbox *sandbox, size_t devid, char out[static 16])
{
	(void)snprintf(out, 16, "vif%u.%zu", (unsigned)sandbox->domid, devid);
}

static void record_end(struct zl_sandbox *sandbox, enum zl_domain_end end)
{
	static const char *const words[] = {
	        [ZL_DOMAIN_RUNNING] = "runs",
	        [ZL_DOMAIN_POWEROFF] = "powered itself off",
	        [ZL_DOMAIN_REBOOT] = "rebooted",
	        [ZL_DOMAIN_SUSPEND] = "was suspended",
	        [ZL_DOMAIN_CRASH] = "crashed",
	        [ZL_DOMAIN_GONE] = "was destroyed",
	};

	pthread_mutex_lock(&sandbox->lock);
	if (sandbox->message[0] == '\0')
		(void)snprintf(sandbox->message, sizeof(sandbox->message),
		        "the zone (domain %lld, %s) %s; `zonectl console %s` shows its kernel's "
		        "last words",
		        (long long)sandbox->domid, sandbox->domain_name, words[end],
		        sandbox->domain_name);
	pthread_mutex_unlock(&sandbox->lock);
}

// A zone that ends while it is being started is destroyed at once: whoever waits for its channel
// then learns that it will never come.
static void ended_task(void *argument)
{
	struct zl_sandbox *sandbox = argument;
	struct zl_hypervisor *hv = sandbox->services->hypervisor;
	int64_t domid;

	pthread_mutex_lock(&sandbox->lock);
	domid = sandbox->phase == ZL_SANDBOX_CREATING ? sandbox->domid : -1;
	pthread_mutex_unlock(&sandbox->lock);
	if (domid >= 0)
		(void)hv->ops->domain_destroy(hv, (uint32_t)domid, NULL);
	else
		zl_sandbox_died(sandbox);
	zl_sandbox_unref(sandbox);
}

static void abort_channel(struct zl_sandbox *sandbox)
{
	struct zl_error why = ZL_ERROR_INIT;

	pthread_mutex_lock(&sandbox->lock);
	zl_error_set(&why, ZL_UNAVAILABLE, "%s", sandbox->message);
	pthread_mutex_unlock(&sandbox->lock);
	zl_sandbox_abort_channel(sandbox, &why);
}

static void on_domain_event(void *user, uint32_t domid, enum zl_domain_end end)
{
	struct zl_sandbox *sandbox = user;

	(void)domid;
	if (end == ZL_DOMAIN_RUNNING)
		return;
	record_end(sandbox, end);
	abort_channel(sandbox);
	zl_tasks_post(sandbox->services->tasks, ended_task, zl_sandbox_ref(sandbox));
}

static enum zl_domain_type domain_type(const struct zl_services *services)
{
	switch (services->config->zone.type) {
	case ZL_ZONE_TYPE_PVH:
		return ZL_DOMAIN_PVH;
	case ZL_ZONE_TYPE_PV:
		return ZL_DOMAIN_PV;
	default:
		return services->host.has_pvh ? ZL_DOMAIN_PVH : ZL_DOMAIN_PV;
	}
}

// How many vcpus the domain may ever have.
static uint32_t max_vcpus(const struct zl_sandbox *sandbox)
{
	const struct zl_services *services = sandbox->services;
	uint64_t most = services->config->zone.max_vcpus;

	if (services->host.cpus > 0 && most > services->host.cpus)
		most = services->host.cpus;
	return most > sandbox->size.vcpus ? (uint32_t)most : sandbox->size.vcpus;
}

// A PVH kernel starts every vcpu that it finds; one of a PV zone could not add them later then.
static void make_cmdline(const struct zl_sandbox *sandbox, const struct zl_domain_config *domain,
        char out[static 1024])
{
	const char *own = sandbox->services->config->zone.cmdline;
	char fewer[32] = "";

	if (domain->type == ZL_DOMAIN_PVH && domain->max_vcpus > domain->vcpus)
		(void)snprintf(fewer, sizeof(fewer), " maxcpus=%u", (unsigned)domain->vcpus);
	(void)snprintf(out, 1024, "%s%s%s%s%s", CMDLINE, domain->ramdisk != NULL ? NO_WAIT : "",
	        fewer, own[0] != '\0' ? " " : "", own);
}

static int create_domain(struct zl_sandbox *sandbox, const char *root, const char *scratch,
        const struct zl_cancel *cancel, struct zl_error *err)
{
	const struct zl_config *config = sandbox->services->config;
	struct zl_hypervisor *hv = sandbox->services->hypervisor;
	char cmdline[1024];
	struct zl_nic nic = {.devid = 0};
	const struct zl_disk disks[] = {
	        {.vdev = "xvda", .path = root, .readonly = true},
	        {.vdev = "xvdb", .path = scratch},
	};
	struct zl_domain_config domain = {
	        .name = sandbox->domain_name,
	        .uuid = sandbox->domain_uuid,
	        .type = domain_type(sandbox->services),
	        .kernel = config->zone.kernel,
	        .ramdisk = config->zone.ramdisk[0] != '\0' ? config->zone.ramdisk : NULL,
	        .cmdline = cmdline,
	        .memory_bytes = sandbox->size.memory_bytes,
	        .vcpus = sandbox->size.vcpus,
	        .max_vcpus = max_vcpus(sandbox),
	        .cpu_weight = sandbox->size.cpu_weight,
	        .cpu_cap = sandbox->size.cpu_cap,
	        .disks = disks,
	        .disk_count = ZL_ARRAY_SIZE(disks),
	        .nics = &nic,
	        .nic_count = 1,
	};
	uint32_t domid;

	make_mac(sandbox, 0, nic.mac);
	make_cmdline(sandbox, &domain, cmdline);
	if (hv->ops->domain_create(hv, &domain, cancel, &domid, err) < 0)
		return -1;
	pthread_mutex_lock(&sandbox->lock);
	sandbox->domid = domid;
	pthread_mutex_unlock(&sandbox->lock);
	zl_timeline_mark(sandbox, "domain");
	return 0;
}

static int start_domain(struct zl_sandbox *sandbox, struct zl_error *err)
{
	struct zl_hypervisor *hv = sandbox->services->hypervisor;
	uint32_t domid = (uint32_t)sandbox->domid;
	char vif[16];

	if (hv->ops->domain_watch(hv, domid, on_domain_event, sandbox, err) < 0 ||
	        hv->ops->domain_unpause(hv, domid, err) < 0)
		return -1;
	zl_timeline_mark(sandbox, "unpause");
	vif_name(sandbox, 0, vif);
	if (zl_splice_move(sandbox->netns, vif, err) < 0)
		return zl_error_wrap(err, "join the zone's interface to the pod's network");
	zl_timeline_mark(sandbox, "vif");
	return 0;
}

static int create(struct zl_sandbox *sandbox, const struct zl_cancel *cancel, struct zl_error *err)
{
	struct zl_services *services = sandbox->services;
	char root[DEVICE_PATH_SIZE];
	char scratch[DEVICE_PATH_SIZE];

	sandbox->destroyed = false;
	if (zl_store_shared_device(services->store, services->config->zone.root_image, root, err) <
	        0)
		return zl_error_wrap(err, "zone root");
	if (zl_store_scratch_create(
	            services->store, sandbox->id, sandbox->size.scratch_bytes, scratch, err) < 0)
		return zl_error_wrap(err, "scratch disk");
	zl_timeline_mark(sandbox, "disks");
	if (create_domain(sandbox, root, scratch, cancel, err) < 0)
		return -1;
	return start_domain(sandbox, err);
}

static struct zl_transport *connect_zone(
        struct zl_sandbox *sandbox, const struct zl_cancel *cancel, struct zl_error *err)
{
	struct zl_transport *transport = zl_vchan_connect((uint32_t)sandbox->domid, cancel, err);

	if (transport != NULL)
		return transport;
	pthread_mutex_lock(&sandbox->lock);
	if (sandbox->message[0] != '\0')
		zl_error_set(err, ZL_UNAVAILABLE, "%s", sandbox->message);
	else if (err != NULL && err->code == ZL_DEADLINE_EXCEEDED)
		zl_error_set(err, ZL_DEADLINE_EXCEEDED,
		        "the zone's supervisor did not say hello in time (domain %lld); `zonectl "
		        "console %s` shows how far its kernel came",
		        (long long)sandbox->domid, sandbox->domain_name);
	pthread_mutex_unlock(&sandbox->lock);
	return NULL;
}

// ---- network

static void fill_interface(struct zl_sandbox *sandbox, size_t devid,
        const struct zl_cni_interface *from, struct zl_zone_interface *to, struct zl_arena *arena)
{
	struct zl_zone_address *addresses =
	        zl_arena_array(arena, from->address_count, sizeof(*addresses));
	struct zl_zone_route *routes = zl_arena_array(arena, from->route_count, sizeof(*routes));
	uint8_t mac[6];

	make_mac(sandbox, devid, mac);
	for (size_t i = 0; i < from->address_count; i++)
		addresses[i].cidr = from->addresses[i].cidr;
	for (size_t i = 0; i < from->route_count; i++) {
		routes[i].destination = from->routes[i].destination;
		routes[i].gateway =
		        from->routes[i].gateway[0] != '\0' ? from->routes[i].gateway : NULL;
	}
	*to = (struct zl_zone_interface){
	        .name = from->name,
	        .mac = zl_arena_printf(arena, "%02x:%02x:%02x:%02x:%02x:%02x", mac[0], mac[1],
	                mac[2], mac[3], mac[4], mac[5]),
	        .set_mac = from->mac[0] != '\0' ? from->mac : NULL,
	        .mtu = from->mtu,
	        .addresses = addresses,
	        .address_count = from->address_count,
	        .routes = routes,
	        .route_count = from->route_count,
	};
}

// The domain was made with one device, before anybody knew how many interfaces the plugins make.
static int add_nic(struct zl_sandbox *sandbox, size_t devid, struct zl_error *err)
{
	struct zl_hypervisor *hv = sandbox->services->hypervisor;
	struct zl_nic nic = {.devid = (int)devid};

	make_mac(sandbox, devid, nic.mac);
	return hv->ops->nic_add(hv, (uint32_t)sandbox->domid, &nic, &sandbox->stopping, err);
}

static int join_interface(struct zl_sandbox *sandbox, size_t devid,
        const struct zl_cni_interface *interface, struct zl_error *err)
{
	char vif[16];

	vif_name(sandbox, devid, vif);
	if (devid > 0 && add_nic(sandbox, devid, err) < 0)
		return zl_error_wrap(err, "give the zone a device for %s", interface->name);
	if (zl_splice_add(sandbox->netns, interface->name, vif, err) < 0)
		return zl_error_wrap(err, "join the zone's interface to the pod's network");
	return 0;
}

static int network(struct zl_sandbox *sandbox, const struct zl_cni_result *network_result,
        struct zl_zone_config *config, struct zl_arena *arena, struct zl_error *err)
{
	size_t count = network_result->interface_count;
	struct zl_zone_interface *interfaces = zl_arena_array(arena, count, sizeof(*interfaces));

	if (count == 0 || count > INTERFACES_MAX)
		return zl_error_set(err, ZL_FAILED_PRECONDITION,
		        "the CNI plugins made %zu interfaces for the pod; a zone has 1 to %d",
		        count, INTERFACES_MAX);
	for (size_t i = 0; i < count; i++) {
		const struct zl_cni_interface *each = &network_result->interfaces[i];

		if (join_interface(sandbox, i, each, err) < 0)
			return -1;
		fill_interface(sandbox, i, each, &interfaces[i], arena);
	}
	config->interfaces = interfaces;
	config->interface_count = count;
	return 0;
}

static void scratch(struct zl_sandbox *sandbox, struct zl_zone_config *config)
{
	(void)sandbox;
	config->scratch_device = "/dev/xvdb";
}

// ---- another size

static int resize(struct zl_sandbox *sandbox, const Runtime__V1__LinuxContainerResources *resources,
        const Runtime__V1__LinuxContainerResources *overhead, const struct zl_cancel *cancel,
        struct zl_error *err)
{
	struct zl_services *services = sandbox->services;
	struct zl_hypervisor *hv = services->hypervisor;
	Runtime__V1__LinuxPodSandboxConfig lin = RUNTIME__V1__LINUX_POD_SANDBOX_CONFIG__INIT;
	Runtime__V1__PodSandboxConfig config = *sandbox->config;
	struct zl_domain_size wanted;
	struct zl_zone_size size;

	// Read only.
	lin.resources = (Runtime__V1__LinuxContainerResources *)(uintptr_t)resources;
	lin.overhead = (Runtime__V1__LinuxContainerResources *)(uintptr_t)overhead;
	config.linux = &lin;
	if (zl_zone_size(&config, services->config, services->host.cpus, &size, err) < 0)
		return -1;
	wanted = (struct zl_domain_size){
	        .memory_bytes = size.memory_bytes,
	        .vcpus = size.vcpus,
	        .cpu_weight = size.cpu_weight,
	        .cpu_cap = size.cpu_cap,
	};
	if (hv->ops->domain_resize(hv, (uint32_t)sandbox->domid, &wanted, cancel, err) < 0)
		return -1;
	pthread_mutex_lock(&sandbox->lock);
	size.scratch_bytes = sandbox->size.scratch_bytes;
	sandbox->size = size;
	pthread_mutex_unlock(&sandbox->lock);
	return 0;
}

// ---- end and recovery

// The domid of the domain with the sandbox's UUID, -1 if there is none.
static int find_domain(struct zl_sandbox *sandbox, int64_t *ret_domid, struct zl_error *err)
{
	struct zl_hypervisor *hv = sandbox->services->hypervisor;
	zl_auto(free) struct zl_domain_info *domains = NULL;
	size_t count;

	*ret_domid = -1;
	if (hv->ops->domain_list(hv, &domains, &count, err) < 0)
		return -1;
	for (size_t i = 0; i < count; i++) {
		if (strcasecmp(domains[i].uuid, sandbox->domain_uuid) == 0)
			*ret_domid = domains[i].domid;
	}
	return 0;
}

static int destroy_domain(struct zl_sandbox *sandbox, struct zl_error *err)
{
	struct zl_hypervisor *hv = sandbox->services->hypervisor;
	int64_t domid = sandbox->domid;

	if (domid < 0 && find_domain(sandbox, &domid, err) < 0)
		return -1;
	if (domid < 0)
		return 0;
	hv->ops->domain_unwatch(hv, (uint32_t)domid);
	return hv->ops->domain_destroy(hv, (uint32_t)domid, err);
}

static int destroy(struct zl_sandbox *sandbox, struct zl_error *err)
{
	if (sandbox->destroyed)
		return 0;
	// First, since a domain whose memory is still mapped does not go away.
	if (zl_pod_share_stop(sandbox, err) < 0)
		return zl_error_wrap(err, "end the 9P server of pod %s", zl_sandbox_pod(sandbox));
	if (destroy_domain(sandbox, err) < 0)
		return zl_error_wrap(err, "destroy the domain of pod %s", zl_sandbox_pod(sandbox));
	pthread_mutex_lock(&sandbox->lock);
	sandbox->domid = -1;
	pthread_mutex_unlock(&sandbox->lock);
	if (zl_zone_images_release(sandbox, err) < 0 ||
	        zl_store_scratch_remove(sandbox->services->store, sandbox->id, err) < 0)
		return -1;
	sandbox->destroyed = true;
	return 0;
}

// A pod whose server cannot be had again lives on without its mounts.
static void recover_share(struct zl_sandbox *sandbox)
{
	struct zl_error why = ZL_ERROR_INIT;

	if (zl_pod_share_recover(sandbox, &why) < 0)
		zl_log_error("the pod's 9P server: %s", why.message);
}

static int recover(struct zl_sandbox *sandbox, struct zl_error *err)
{
	struct zl_hypervisor *hv = sandbox->services->hypervisor;
	struct zl_domain_info info;

	if (sandbox->domid < 0 ||
	        hv->ops->domain_info(hv, (uint32_t)sandbox->domid, &info, NULL) < 0 ||
	        strcasecmp(info.uuid, sandbox->domain_uuid) != 0)
		return zl_error_set(err, ZL_NOT_FOUND,
		        "its domain is gone (destroyed, or the node was restarted)");
	if (info.end != ZL_DOMAIN_RUNNING)
		return zl_error_set(err, ZL_NOT_FOUND, "its domain ended while zoneletd was away");
	if (hv->ops->domain_watch(hv, (uint32_t)sandbox->domid, on_domain_event, sandbox, err) < 0)
		return -1;
	recover_share(sandbox);
	return 0;
}

const struct zl_backend zl_backend_zone = {
        .name = "zone",
        .zone = true,
        .check = check,
        .create = create,
        .connect = connect_zone,
        .network = network,
        .scratch = scratch,
        .resize = resize,
        .destroy = destroy,
        .recover = recover,
        .mounts_plan = zl_pod_share_plan,
        .mounts_add = zl_pod_share_attach,
        .mounts_remove = zl_pod_share_detach,
        .rootfs_add = zl_zone_image_add,
        .volume_add = zl_zone_volume_add,
        .rootfs_remove = zl_zone_image_remove,
        .rootfs_recover = zl_zone_image_recover,
};
