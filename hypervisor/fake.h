// SPDX-License-Identifier: Apache-2.0
//
// What a unit test can do with the fake hypervisor (zl_fake_open): make operations fail or hang,
// end domains, and look at what was made.
//
// The fake keeps the contract of hypervisor.h: names are unique, memory runs out, what is not there
// is NOT_FOUND or success as written there, and events come on a thread of its own. It does not
// look at files: kernels and block devices are names to it.
//
// Thread rule: as the operations themselves, any thread.
#ifndef ZL_HYPERVISOR_FAKE_H
#define ZL_HYPERVISOR_FAKE_H

#include "hypervisor/hypervisor.h"

// The operations of the table, in its order.
enum zl_fake_op {
	ZL_FAKE_DOMAIN_CREATE,
	ZL_FAKE_DOMAIN_UNPAUSE,
	ZL_FAKE_DOMAIN_DESTROY,
	ZL_FAKE_DOMAIN_INFO,
	ZL_FAKE_DOMAIN_LIST,
	ZL_FAKE_DOMAIN_WATCH,
	ZL_FAKE_DISK_ADD,
	ZL_FAKE_DISK_REMOVE,
	ZL_FAKE_NIC_ADD,
	ZL_FAKE_NIC_REMOVE,
	ZL_FAKE_SHARE_ADD,
	ZL_FAKE_SHARE_REMOVE,
	ZL_FAKE_HOST_INFO,
	ZL_FAKE_OP_COUNT,
};

// After `skip` further calls that go their way, the next `times` calls fail with this code and
// change nothing. A second script for the same operation replaces the first.
void zl_fake_fail(struct zl_hypervisor *hv, enum zl_fake_op op, unsigned skip, unsigned times,
        enum zl_code code);

// From now on calls of the operation wait, before they do anything, until zl_fake_release or their
// cancel token. zl_fake_await_held returns once `count` calls wait.
int zl_fake_hold(struct zl_hypervisor *hv, enum zl_fake_op op, struct zl_error *err);
void zl_fake_release(struct zl_hypervisor *hv, enum zl_fake_op op);
void zl_fake_await_held(struct zl_hypervisor *hv, enum zl_fake_op op, unsigned count);

// How often the operation was called, failures included.
unsigned zl_fake_calls(struct zl_hypervisor *hv, enum zl_fake_op op);

// The memory of the node that domains can take (default 64 GiB), and whether PVH is there (default
// yes).
void zl_fake_set_memory(struct zl_hypervisor *hv, uint64_t bytes);
void zl_fake_set_pvh(struct zl_hypervisor *hv, bool has_pvh);

// The domain becomes this (ZL_DOMAIN_GONE: it vanishes, as if somebody else had destroyed it).
// Returns when whoever watches it was told. Not from within an event.
void zl_fake_end(struct zl_hypervisor *hv, uint32_t domid, enum zl_domain_end end);

// What a domain has. zl_fake_find gives the domid of a name, -1 if there is none. Paths and names
// are copied to out[size], "" where there is none.
int64_t zl_fake_find(struct zl_hypervisor *hv, const char *name);
size_t zl_fake_domain_count(struct zl_hypervisor *hv);
bool zl_fake_disk(struct zl_hypervisor *hv, uint32_t domid, const char *vdev, char *out_path,
        size_t size, bool *ret_readonly);
bool zl_fake_nic(
        struct zl_hypervisor *hv, uint32_t domid, int devid, char *out_ifname, size_t size);
void zl_fake_cmdline(struct zl_hypervisor *hv, uint32_t domid, char *out, size_t size);

#endif
