// SPDX-License-Identifier: Apache-2.0
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "base/strv.h"
#include "hypervisor/domain_config.h"
#include "hypervisor/fake_parts.h"
#include "hypervisor/watch.h"

enum { HOST_CPUS = 8 };

static const uint64_t HOST_MEMORY = UINT64_C(64) << 30;

struct fake *zl_fake_of(struct zl_hypervisor *hv)
{
	return (struct fake *)hv;
}

void zl_fake_unlock(pthread_mutex_t **lock)
{
	pthread_mutex_unlock(*lock);
}

struct fake_domain **zl_fake_place(struct fake *fake, uint32_t domid)
{
	struct fake_domain **at = &fake->domains;

	while (*at != NULL && (*at)->info.domid != domid)
		at = &(*at)->next;
	return at;
}

static struct fake_domain *need(struct fake *fake, uint32_t domid, struct zl_error *err)
{
	struct fake_domain *domain = *zl_fake_place(fake, domid);

	if (domain == NULL)
		zl_error_set(err, ZL_NOT_FOUND, "there is no domain %u", (unsigned)domid);
	return domain;
}

// ---- devices

struct fake_disk *zl_fake_find_disk(struct fake_domain *domain, const char *vdev)
{
	for (size_t i = 0; i < MAX_DISKS; i++) {
		struct fake_disk *disk = &domain->disks[i];

		if (vdev == NULL ? disk->vdev == NULL
		                 : disk->vdev != NULL && strcmp(disk->vdev, vdev) == 0)
			return disk;
	}
	return NULL;
}

static void drop_disk(struct fake_disk *disk)
{
	free(disk->vdev);
	free(disk->path);
	*disk = (struct fake_disk){0};
}

static int put_disk(struct fake_domain *domain, const struct zl_disk *from, struct zl_error *err)
{
	struct fake_disk *disk;

	if (zl_fake_find_disk(domain, from->vdev) != NULL)
		return zl_error_set(err, ZL_ALREADY_EXISTS, "domain %u has a disk %s already",
		        (unsigned)domain->info.domid, from->vdev);
	disk = zl_fake_find_disk(domain, NULL);
	if (disk == NULL)
		return zl_error_set(err, ZL_RESOURCE_EXHAUSTED,
		        "domain %u has %d disks, the most it can have",
		        (unsigned)domain->info.domid, MAX_DISKS);
	disk->vdev = zl_strdup(from->vdev, err);
	disk->path = zl_strdup(from->path, err);
	disk->readonly = from->readonly;
	if (disk->vdev != NULL && disk->path != NULL)
		return 0;
	drop_disk(disk);
	return -1;
}

struct fake_nic *zl_fake_find_nic(struct fake_domain *domain, int devid)
{
	for (size_t i = 0; i < MAX_NICS; i++) {
		if (domain->nics[i].ifname != NULL && domain->nics[i].devid == devid)
			return &domain->nics[i];
	}
	return NULL;
}

static int put_nic(struct fake_domain *domain, const struct zl_nic *from, struct zl_error *err)
{
	struct fake_nic *nic = domain->nics;

	if (zl_fake_find_nic(domain, from->devid) != NULL)
		return zl_error_set(err, ZL_ALREADY_EXISTS,
		        "domain %u has a network interface %d already",
		        (unsigned)domain->info.domid, from->devid);
	while (nic < domain->nics + MAX_NICS && nic->ifname != NULL)
		nic++;
	if (nic == domain->nics + MAX_NICS)
		return zl_error_set(err, ZL_RESOURCE_EXHAUSTED,
		        "domain %u has %d network interfaces, the most it can have",
		        (unsigned)domain->info.domid, MAX_NICS);
	nic->ifname = from->ifname != NULL ? zl_strdup(from->ifname, err)
	                                   : zl_format(err, "vif%u.%d",
	                                             (unsigned)domain->info.domid, from->devid);
	nic->devid = from->devid;
	return nic->ifname != NULL ? 0 : -1;
}

// ---- domains

static void free_domain(struct fake_domain *domain)
{
	for (size_t i = 0; i < MAX_DISKS; i++)
		drop_disk(&domain->disks[i]);
	for (size_t i = 0; i < MAX_NICS; i++)
		free(domain->nics[i].ifname);
	free(domain->cmdline);
	free(domain);
}

static void remove_domain(struct fake_domain **at)
{
	struct fake_domain *gone = *at;

	*at = gone->next;
	free_domain(gone);
}

static uint64_t memory_taken(const struct fake *fake)
{
	uint64_t sum = 0;

	for (const struct fake_domain *d = fake->domains; d != NULL; d = d->next)
		sum += d->info.memory_bytes;
	return sum;
}

static uint64_t memory_free(const struct fake *fake)
{
	uint64_t taken = memory_taken(fake);

	return taken < fake->memory ? fake->memory - taken : 0;
}

static int check_room(
        const struct fake *fake, const struct zl_domain_config *config, struct zl_error *err)
{
	for (const struct fake_domain *d = fake->domains; d != NULL; d = d->next) {
		if (strcmp(d->info.name, config->name) == 0)
			return zl_error_set(err, ZL_ALREADY_EXISTS,
			        "domain %u has the name \"%s\" already", (unsigned)d->info.domid,
			        config->name);
	}
	if (config->memory_bytes > memory_free(fake))
		return zl_memory_exhausted(
		        config->name, config->memory_bytes, memory_free(fake), err);
	return 0;
}

static void fill_info(
        struct fake *fake, const struct zl_domain_config *config, struct zl_domain_info *info)
{
	info->domid = ++fake->next_domid;
	(void)snprintf(info->name, sizeof(info->name), "%s", config->name);
	if (config->uuid != NULL)
		(void)snprintf(info->uuid, sizeof(info->uuid), "%s", config->uuid);
	else
		(void)snprintf(info->uuid, sizeof(info->uuid), "00000000-0000-4000-8000-%012x",
		        (unsigned)info->domid);
	info->type = config->type;
	info->end = ZL_DOMAIN_RUNNING;
	info->paused = true;
	info->memory_bytes = config->memory_bytes;
	info->max_vcpus = config->max_vcpus != 0 ? config->max_vcpus : config->vcpus;
	info->max_memory_bytes =
	        config->max_memory_bytes != 0 ? config->max_memory_bytes : config->memory_bytes;
	info->vcpus = config->vcpus;
}

static int put_devices(
        struct fake_domain *domain, const struct zl_domain_config *config, struct zl_error *err)
{
	domain->cmdline = zl_strdup(config->cmdline != NULL ? config->cmdline : "", err);
	if (domain->cmdline == NULL)
		return -1;
	for (size_t i = 0; i < config->disk_count; i++) {
		if (put_disk(domain, &config->disks[i], err) < 0)
			return -1;
	}
	for (size_t i = 0; i < config->nic_count; i++) {
		if (put_nic(domain, &config->nics[i], err) < 0)
			return -1;
	}
	return 0;
}

static struct fake_domain *new_domain(
        struct fake *fake, const struct zl_domain_config *config, struct zl_error *err)
{
	struct fake_domain *domain = calloc(1, sizeof(*domain));

	if (domain == NULL) {
		zl_error_nomem(err);
		return NULL;
	}
	fill_info(fake, config, &domain->info);
	if (put_devices(domain, config, err) < 0) {
		free_domain(domain);
		return NULL;
	}
	return domain;
}

static int domain_create(struct zl_hypervisor *hv, const struct zl_domain_config *config,
        const struct zl_cancel *cancel, uint32_t *ret_domid, struct zl_error *err)
{
	struct fake *fake = zl_fake_of(hv);
	struct fake_domain *domain;

	if (zl_domain_config_check(config, err) < 0 ||
	        zl_fake_enter(fake, ZL_FAKE_DOMAIN_CREATE, cancel, err) < 0)
		return -1;
	LOCKED(fake);
	if (check_room(fake, config, err) < 0)
		return -1;
	domain = new_domain(fake, config, err);
	if (domain == NULL)
		return -1;
	domain->next = fake->domains;
	fake->domains = domain;
	*ret_domid = domain->info.domid;
	return 0;
}

static int domain_unpause(struct zl_hypervisor *hv, uint32_t domid, struct zl_error *err)
{
	struct fake *fake = zl_fake_of(hv);
	struct fake_domain *domain;

	if (zl_fake_enter(fake, ZL_FAKE_DOMAIN_UNPAUSE, NULL, err) < 0)
		return -1;
	LOCKED(fake);
	domain = need(fake, domid, err);
	if (domain == NULL)
		return -1;
	domain->info.paused = false;
	return 0;
}

static int domain_destroy(struct zl_hypervisor *hv, uint32_t domid, struct zl_error *err)
{
	struct fake *fake = zl_fake_of(hv);

	if (zl_fake_enter(fake, ZL_FAKE_DOMAIN_DESTROY, NULL, err) < 0)
		return -1;
	{
		LOCKED(fake);
		if (*zl_fake_place(fake, domid) != NULL)
			remove_domain(zl_fake_place(fake, domid));
	}
	zl_watches_wake(fake->watches);
	return 0;
}

static int domain_info(
        struct zl_hypervisor *hv, uint32_t domid, struct zl_domain_info *ret, struct zl_error *err)
{
	struct fake *fake = zl_fake_of(hv);
	struct fake_domain *domain;

	if (zl_fake_enter(fake, ZL_FAKE_DOMAIN_INFO, NULL, err) < 0)
		return -1;
	LOCKED(fake);
	domain = need(fake, domid, err);
	if (domain == NULL)
		return -1;
	*ret = domain->info;
	return 0;
}

static int domain_list(struct zl_hypervisor *hv, struct zl_domain_info **ret, size_t *ret_count,
        struct zl_error *err)
{
	struct fake *fake = zl_fake_of(hv);
	struct zl_domain_info *list;
	size_t count = 0;

	if (zl_fake_enter(fake, ZL_FAKE_DOMAIN_LIST, NULL, err) < 0)
		return -1;
	LOCKED(fake);
	for (const struct fake_domain *d = fake->domains; d != NULL; d = d->next)
		count++;
	list = calloc(count + 1, sizeof(*list));
	if (list == NULL)
		return zl_error_nomem(err);
	count = 0;
	for (const struct fake_domain *d = fake->domains; d != NULL; d = d->next)
		list[count++] = d->info;
	*ret = list;
	*ret_count = count;
	return 0;
}

// ---- watching

static enum zl_domain_end look(void *user, uint32_t domid)
{
	struct fake *fake = user;
	struct fake_domain *domain;

	LOCKED(fake);
	domain = *zl_fake_place(fake, domid);
	return domain != NULL ? domain->info.end : ZL_DOMAIN_GONE;
}

static int domain_watch(struct zl_hypervisor *hv, uint32_t domid, zl_domain_event *event,
        void *user, struct zl_error *err)
{
	struct fake *fake = zl_fake_of(hv);

	if (zl_fake_enter(fake, ZL_FAKE_DOMAIN_WATCH, NULL, err) < 0)
		return -1;
	return zl_watches_add(fake->watches, domid, event, user, err);
}

static void domain_unwatch(struct zl_hypervisor *hv, uint32_t domid)
{
	zl_watches_remove(zl_fake_of(hv)->watches, domid);
}

void zl_fake_end(struct zl_hypervisor *hv, uint32_t domid, enum zl_domain_end end)
{
	struct fake *fake = zl_fake_of(hv);

	{
		LOCKED(fake);
		struct fake_domain **at = zl_fake_place(fake, domid);

		if (*at != NULL && end == ZL_DOMAIN_GONE)
			remove_domain(at);
		else if (*at != NULL)
			(*at)->info.end = end;
	}
	zl_watches_settle(fake->watches);
}

// ---- attach and detach

static int disk_add(struct zl_hypervisor *hv, uint32_t domid, const struct zl_disk *disk,
        const struct zl_cancel *cancel, struct zl_error *err)
{
	struct fake *fake = zl_fake_of(hv);
	struct fake_domain *domain;

	if (zl_disk_check(disk, err) < 0 || zl_fake_enter(fake, ZL_FAKE_DISK_ADD, cancel, err) < 0)
		return -1;
	LOCKED(fake);
	domain = need(fake, domid, err);
	return domain != NULL ? put_disk(domain, disk, err) : -1;
}

static int disk_remove(struct zl_hypervisor *hv, uint32_t domid, const char *vdev,
        const struct zl_cancel *cancel, struct zl_error *err)
{
	struct fake *fake = zl_fake_of(hv);
	struct fake_domain *domain;
	struct fake_disk *disk;

	if (zl_fake_enter(fake, ZL_FAKE_DISK_REMOVE, cancel, err) < 0)
		return -1;
	LOCKED(fake);
	domain = *zl_fake_place(fake, domid);
	disk = domain != NULL ? zl_fake_find_disk(domain, vdev) : NULL;
	if (disk != NULL)
		drop_disk(disk);
	return 0;
}

static int nic_add(struct zl_hypervisor *hv, uint32_t domid, const struct zl_nic *nic,
        const struct zl_cancel *cancel, struct zl_error *err)
{
	struct fake *fake = zl_fake_of(hv);
	struct fake_domain *domain;

	if (zl_nic_check(nic, err) < 0 || zl_fake_enter(fake, ZL_FAKE_NIC_ADD, cancel, err) < 0)
		return -1;
	LOCKED(fake);
	domain = need(fake, domid, err);
	return domain != NULL ? put_nic(domain, nic, err) : -1;
}

static int nic_remove(struct zl_hypervisor *hv, uint32_t domid, int devid,
        const struct zl_cancel *cancel, struct zl_error *err)
{
	struct fake *fake = zl_fake_of(hv);
	struct fake_domain *domain;
	struct fake_nic *nic;

	if (zl_fake_enter(fake, ZL_FAKE_NIC_REMOVE, cancel, err) < 0)
		return -1;
	LOCKED(fake);
	domain = *zl_fake_place(fake, domid);
	nic = domain != NULL ? zl_fake_find_nic(domain, devid) : NULL;
	if (nic != NULL) {
		free(nic->ifname);
		*nic = (struct fake_nic){0};
	}
	return 0;
}

static int resize(struct fake *fake, struct fake_domain *domain, const struct zl_domain_size *size,
        struct zl_error *err)
{
	uint64_t room = memory_free(fake) + domain->info.memory_bytes;

	if (size->memory_bytes > room)
		return zl_memory_exhausted(domain->info.name, size->memory_bytes, room, err);
	if (size->vcpus > domain->info.max_vcpus)
		return zl_vcpus_exceeded(
		        domain->info.name, size->vcpus, domain->info.max_vcpus, err);
	domain->info.memory_bytes = size->memory_bytes;
	if (domain->info.max_memory_bytes < size->memory_bytes)
		domain->info.max_memory_bytes = size->memory_bytes;
	domain->info.vcpus = size->vcpus;
	domain->size = *size;
	domain->resized = true;
	return 0;
}

static int domain_resize(struct zl_hypervisor *hv, uint32_t domid,
        const struct zl_domain_size *size, const struct zl_cancel *cancel, struct zl_error *err)
{
	struct fake *fake = zl_fake_of(hv);
	struct fake_domain *domain;

	if (zl_fake_enter(fake, ZL_FAKE_DOMAIN_RESIZE, cancel, err) < 0)
		return -1;
	LOCKED(fake);
	domain = need(fake, domid, err);
	return domain != NULL ? resize(fake, domain, size, err) : -1;
}

static int share_add(struct zl_hypervisor *hv, uint32_t domid, const struct zl_share_device *share,
        struct zl_error *err)
{
	struct fake *fake = zl_fake_of(hv);

	(void)share;
	if (zl_fake_enter(fake, ZL_FAKE_SHARE_ADD, NULL, err) < 0)
		return -1;
	LOCKED(fake);
	return need(fake, domid, err) != NULL ? 0 : -1;
}

static int share_remove(
        struct zl_hypervisor *hv, uint32_t domid, uint32_t devid, struct zl_error *err)
{
	(void)domid;
	(void)devid;
	return zl_fake_enter(zl_fake_of(hv), ZL_FAKE_SHARE_REMOVE, NULL, err);
}

static int host_info(struct zl_hypervisor *hv, struct zl_host_info *ret, struct zl_error *err)
{
	struct fake *fake = zl_fake_of(hv);

	if (zl_fake_enter(fake, ZL_FAKE_HOST_INFO, NULL, err) < 0)
		return -1;
	LOCKED(fake);
	*ret = (struct zl_host_info){
	        .version = "fake",
	        .memory_total_bytes = fake->memory,
	        .memory_free_bytes = memory_free(fake),
	        .cpus = HOST_CPUS,
	        .has_pvh = fake->has_pvh,
	};
	return 0;
}

// ---- open and close

static void close_fake(struct zl_hypervisor *hv)
{
	struct fake *fake = zl_fake_of(hv);

	zl_watches_stop(fake->watches);
	while (fake->domains != NULL)
		remove_domain(&fake->domains);
	for (size_t i = 0; i < ZL_FAKE_OP_COUNT; i++)
		(void)zl_close(fake->scripts[i].hold_fd);
	pthread_cond_destroy(&fake->held_changed);
	pthread_mutex_destroy(&fake->lock);
	free(fake);
}

static const struct zl_hypervisor_ops fake_ops = {
        .name = "fake",
        .domain_create = domain_create,
        .domain_unpause = domain_unpause,
        .domain_destroy = domain_destroy,
        .domain_info = domain_info,
        .domain_list = domain_list,
        .domain_resize = domain_resize,
        .domain_watch = domain_watch,
        .domain_unwatch = domain_unwatch,
        .disk_add = disk_add,
        .disk_remove = disk_remove,
        .nic_add = nic_add,
        .nic_remove = nic_remove,
        .share_add = share_add,
        .share_remove = share_remove,
        .host_info = host_info,
        .close = close_fake,
};

struct zl_hypervisor *zl_fake_open(struct zl_error *err)
{
	struct fake *fake = calloc(1, sizeof(*fake));
	struct zl_watches_source source = {.fd = -1, .look = look, .user = fake};

	if (fake == NULL) {
		zl_error_nomem(err);
		return NULL;
	}
	fake->base.ops = &fake_ops;
	fake->memory = HOST_MEMORY;
	fake->has_pvh = true;
	for (size_t i = 0; i < ZL_FAKE_OP_COUNT; i++)
		fake->scripts[i].hold_fd = -1;
	pthread_mutex_init(&fake->lock, NULL);
	pthread_cond_init(&fake->held_changed, NULL);
	fake->watches = zl_watches_start(&source, err);
	if (fake->watches == NULL) {
		close_fake(&fake->base);
		return NULL;
	}
	return &fake->base;
}
