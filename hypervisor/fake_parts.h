// SPDX-License-Identifier: Apache-2.0
//
// What the parts of the fake hypervisor share: fake.c does as Xen would, fake_script.c lets a test
// say when that fails or waits, fake_look.c shows a test what came of it.
#ifndef ZL_HYPERVISOR_FAKE_PARTS_H
#define ZL_HYPERVISOR_FAKE_PARTS_H

#include <pthread.h>

#include "hypervisor/fake.h"

enum { MAX_DISKS = 64, MAX_NICS = 8 };

struct fake_disk {
	char *vdev; // NULL: the slot is free
	char *path;
	bool readonly;
};

struct fake_nic {
	char *ifname; // NULL: the slot is free
	int devid;
};

struct fake_domain {
	struct zl_domain_info info;
	char *cmdline;
	struct zl_domain_size size; // by a resize
	bool resized;
	struct fake_disk disks[MAX_DISKS];
	struct fake_nic nics[MAX_NICS];
	struct fake_domain *next;
};

// What a test has in store for one operation.
struct script {
	unsigned calls;
	unsigned skip;
	unsigned times;
	enum zl_code code;
	int hold_fd;   // eventfd, readable once released; -1: no hold
	unsigned held; // calls that wait
};

struct fake {
	struct zl_hypervisor base;
	pthread_mutex_t lock; // all below
	pthread_cond_t held_changed;
	struct script scripts[ZL_FAKE_OP_COUNT];
	struct fake_domain *domains;
	uint32_t next_domid;
	uint64_t memory;
	bool has_pvh;
	struct zl_watches *watches;
};

// Holds the fake's lock to the end of the block.
void zl_fake_unlock(pthread_mutex_t **lock);
#define LOCKED(fake)                                                                               \
	__attribute__((cleanup(zl_fake_unlock))) pthread_mutex_t *locked = &(fake)->lock;          \
	pthread_mutex_lock(locked)

struct fake *zl_fake_of(struct zl_hypervisor *hv);

// With the lock. The place of the domain in the list, or of its end; a disk or interface, or NULL.
struct fake_domain **zl_fake_place(struct fake *fake, uint32_t domid);
struct fake_disk *zl_fake_find_disk(struct fake_domain *domain, const char *vdev);
struct fake_nic *zl_fake_find_nic(struct fake_domain *domain, int devid);

// The start of every operation: waits while the test holds it, then fails if the test wants it.
int zl_fake_enter(struct fake *fake, enum zl_fake_op op, const struct zl_cancel *cancel,
        struct zl_error *err);

#endif
