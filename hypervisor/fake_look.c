// SPDX-License-Identifier: Apache-2.0
//
// What a test looks at in the fake hypervisor.
#include <stdio.h>
#include <string.h>

#include "hypervisor/fake_parts.h"

int64_t zl_fake_find(struct zl_hypervisor *hv, const char *name)
{
	struct fake *fake = zl_fake_of(hv);

	LOCKED(fake);
	for (const struct fake_domain *d = fake->domains; d != NULL; d = d->next) {
		if (strcmp(d->info.name, name) == 0)
			return d->info.domid;
	}
	return -1;
}

size_t zl_fake_domain_count(struct zl_hypervisor *hv)
{
	struct fake *fake = zl_fake_of(hv);
	size_t count = 0;

	LOCKED(fake);
	for (const struct fake_domain *d = fake->domains; d != NULL; d = d->next)
		count++;
	return count;
}

bool zl_fake_disk(struct zl_hypervisor *hv, uint32_t domid, const char *vdev, char *out_path,
        size_t size, bool *ret_readonly)
{
	struct fake *fake = zl_fake_of(hv);
	struct fake_domain *domain;
	struct fake_disk *disk;

	LOCKED(fake);
	domain = *zl_fake_place(fake, domid);
	disk = domain != NULL ? zl_fake_find_disk(domain, vdev) : NULL;
	(void)snprintf(out_path, size, "%s", disk != NULL ? disk->path : "");
	if (ret_readonly != NULL)
		*ret_readonly = disk != NULL && disk->readonly;
	return disk != NULL;
}

bool zl_fake_nic(struct zl_hypervisor *hv, uint32_t domid, int devid, char *out_ifname, size_t size)
{
	struct fake *fake = zl_fake_of(hv);
	struct fake_domain *domain;
	struct fake_nic *nic;

	LOCKED(fake);
	domain = *zl_fake_place(fake, domid);
	nic = domain != NULL ? zl_fake_find_nic(domain, devid) : NULL;
	(void)snprintf(out_ifname, size, "%s", nic != NULL ? nic->ifname : "");
	return nic != NULL;
}

bool zl_fake_size(struct zl_hypervisor *hv, uint32_t domid, struct zl_domain_size *ret)
{
	struct fake *fake = zl_fake_of(hv);
	struct fake_domain *domain;

	LOCKED(fake);
	domain = *zl_fake_place(fake, domid);
	if (domain == NULL || !domain->resized)
		return false;
	*ret = domain->size;
	return true;
}

void zl_fake_cmdline(struct zl_hypervisor *hv, uint32_t domid, char *out, size_t size)
{
	struct fake *fake = zl_fake_of(hv);
	struct fake_domain *domain;

	LOCKED(fake);
	domain = *zl_fake_place(fake, domid);
	(void)snprintf(out, size, "%s", domain != NULL ? domain->cmdline : "");
}
