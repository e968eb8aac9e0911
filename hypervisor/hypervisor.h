// SPDX-License-Identifier: Apache-2.0
//
// Domains, and their disks, network interfaces and memory.
//
// An operations table with two implementations: `xen` (libxl; this folder alone includes its
// headers) and `fake` (in this process, for unit tests of what stands above). Nothing here knows of
// pods or images: a caller hands over block device paths and names and gets a domid.
//
// No shell hotplug scripts, no udev rules, no QEMU: PVH or PV with direct kernel boot, blkback and
// netback. The domain that serves a device is a parameter (`backend_domid`).
//
// Thread rule: every operation may be called from any thread at the same time for different
// domains; for one domain the caller serialises. Operations block; the token in them is honoured
// where the toolstack can be interrupted and otherwise at the next step.
#ifndef ZL_HYPERVISOR_HYPERVISOR_H
#define ZL_HYPERVISOR_HYPERVISOR_H

#include <stdbool.h>
#include <stdint.h>

#include "base/cancel.h"
#include "base/error.h"

enum zl_domain_type { ZL_DOMAIN_PVH, ZL_DOMAIN_PV };

// A block device for a domain.
struct zl_disk {
	const char *vdev; // name in the zone: "xvda"
	const char *path; // block device in the back end's domain: "/dev/loop3"
	bool readonly;
	uint32_t backend_domid; // 0: dom0
};

// A network interface of a domain. The one it has in the back end's domain is left down.
struct zl_nic {
	int devid; // 0 for the first: eth0 in the zone
	uint8_t mac[6];
	uint32_t mtu;       // 0: the default of the back end
	const char *ifname; // the back end's interface name, at most 15 characters; NULL: the one
	                    // it has from its driver, "vif<domid>.<devid>" (a rename costs time)
	uint32_t backend_domid; // 0: dom0
};

// A 9pfs device: nodes for a front end in the zone and a back end of ours in dom0
// (storage-driver/p9). The back end's process is the caller's.
struct zl_share_device {
	uint32_t devid;
	const char *tag;     // what the zone mounts by (trans=xen), at most 31 characters
	unsigned ring_order; // each of the two rings has 2^order pages of the zone's memory, 1 to 9
};

struct zl_domain_config {
	const char *name; // unique on the node
	const char *uuid; // 36 characters, or NULL for a random one
	enum zl_domain_type type;
	const char *kernel;        // path of the zone kernel (ELF vmlinux or bzImage)
	const char *ramdisk;       // path of an initramfs, or NULL
	const char *cmdline;       // kernel command line
	uint64_t memory_bytes;     // rounded up to whole KiB
	uint64_t max_memory_bytes; // 0: as memory_bytes (differing costs start time)
	uint32_t vcpus;
	uint32_t max_vcpus;  // 0: as vcpus
	uint32_t cpu_weight; // credit scheduler's weight, 1 to 65535; 0: the default (256)
	uint32_t cpu_cap;    // percent of one physical cpu; 0: none
	const struct zl_disk *disks;
	size_t disk_count;
	const struct zl_nic *nics;
	size_t nic_count;
};

// What a running domain may use, for domain_resize.
struct zl_domain_size {
	uint64_t memory_bytes; // rounded up to whole KiB; what it gives back is asked of its kernel
	uint32_t vcpus;        // online; at most what it was made with
	uint32_t cpu_weight;   // as in zl_domain_config; 0: the default
	uint32_t cpu_cap;      // percent of one physical cpu; 0: none
};

// Why a domain is no longer running.
enum zl_domain_end {
	ZL_DOMAIN_RUNNING, // it is running (or paused, or blocked)
	ZL_DOMAIN_POWEROFF,
	ZL_DOMAIN_REBOOT,
	ZL_DOMAIN_SUSPEND,
	ZL_DOMAIN_CRASH, // the zone kernel panicked, or Xen killed it
	ZL_DOMAIN_GONE,  // it does not exist any more
};

struct zl_domain_info {
	uint32_t domid;
	char name[128];
	char uuid[37];
	enum zl_domain_type type;
	enum zl_domain_end end;
	bool paused;
	uint64_t memory_bytes; // as Xen counts it, now
	uint64_t max_memory_bytes;
	uint32_t vcpus;       // online
	uint32_t max_vcpus;   // that it was made with
	uint64_t cpu_time_ns; // all vcpus together
};

struct zl_host_info {
	char version[64]; // "4.20.2"
	uint64_t memory_total_bytes;
	uint64_t memory_free_bytes; // what a new domain may take
	uint32_t cpus;
	bool has_pvh; // hardware virtualisation is there: PVH zones can run
};

// Called when a domain stops or goes away. On a thread of the hypervisor's own: do not block and do
// not call back into it. Called once with what it became; a later death is a second call (GONE).
typedef void zl_domain_event(void *user, uint32_t domid, enum zl_domain_end end);

struct zl_hypervisor;

struct zl_hypervisor_ops {
	const char *name; // "xen", "fake"
	// Builds the domain, paused, with its devices. Nothing is left on failure.
	// RESOURCE_EXHAUSTED: not enough Xen memory (the message says how much is free);
	// NOT_FOUND: kernel or ramdisk missing; ALREADY_EXISTS: the name is taken.
	int (*domain_create)(struct zl_hypervisor *hv, const struct zl_domain_config *config,
	        const struct zl_cancel *cancel, uint32_t *ret_domid, struct zl_error *err);
	int (*domain_unpause)(struct zl_hypervisor *hv, uint32_t domid, struct zl_error *err);
	// Destroys it with all its devices. A domain that is not there is success; devices it left
	// behind are removed. Block devices are free at the return; the kernel takes the back end's
	// network interface down a moment later (0.1 s).
	int (*domain_destroy)(struct zl_hypervisor *hv, uint32_t domid, struct zl_error *err);
	// NOT_FOUND if there is none.
	int (*domain_info)(struct zl_hypervisor *hv, uint32_t domid, struct zl_domain_info *ret,
	        struct zl_error *err);
	// All domains but dom0. The caller frees *ret.
	int (*domain_list)(struct zl_hypervisor *hv, struct zl_domain_info **ret, size_t *ret_count,
	        struct zl_error *err);
	// Gives a running domain this size. Memory beyond what it was made with reaches it by
	// memory hotplug, vcpus by cpu hotplug: its kernel has to take them. Taking memory away
	// asks the kernel to give pages back, and returns before it has. RESOURCE_EXHAUSTED: not
	// that much Xen memory is free, nothing was changed; OUT_OF_RANGE: more vcpus than it was
	// made with.
	int (*domain_resize)(struct zl_hypervisor *hv, uint32_t domid,
	        const struct zl_domain_size *size, const struct zl_cancel *cancel,
	        struct zl_error *err);
	// Delivers events of this domain until it is gone or unwatched. Also tells of an end that
	// happened before the call.
	int (*domain_watch)(struct zl_hypervisor *hv, uint32_t domid, zl_domain_event *event,
	        void *user, struct zl_error *err);
	// After its return no event of this domain is delivered any more. Unknown is fine.
	void (*domain_unwatch)(struct zl_hypervisor *hv, uint32_t domid);
	// Attach to and detach from a running domain. Detaching what is not there is success.
	int (*disk_add)(struct zl_hypervisor *hv, uint32_t domid, const struct zl_disk *disk,
	        const struct zl_cancel *cancel, struct zl_error *err);
	int (*disk_remove)(struct zl_hypervisor *hv, uint32_t domid, const char *vdev,
	        const struct zl_cancel *cancel, struct zl_error *err);
	int (*nic_add)(struct zl_hypervisor *hv, uint32_t domid, const struct zl_nic *nic,
	        const struct zl_cancel *cancel, struct zl_error *err);
	int (*nic_remove)(struct zl_hypervisor *hv, uint32_t domid, int devid,
	        const struct zl_cancel *cancel, struct zl_error *err);
	// Makes the nodes of a 9pfs device; one that is there is success. Removing works without
	// the domain too, and comes before its destruction, after the end of the back end's
	// process.
	int (*share_add)(struct zl_hypervisor *hv, uint32_t domid,
	        const struct zl_share_device *share, struct zl_error *err);
	int (*share_remove)(
	        struct zl_hypervisor *hv, uint32_t domid, uint32_t devid, struct zl_error *err);
	int (*host_info)(struct zl_hypervisor *hv, struct zl_host_info *ret, struct zl_error *err);
	void (*close)(struct zl_hypervisor *hv);
};

// Each implementation embeds this as its first member.
struct zl_hypervisor {
	const struct zl_hypervisor_ops *ops;
};

// Opens Xen's toolstack. FAILED_PRECONDITION where this machine is not a Xen dom0, with the remedy.
// hotplug_program: absolute path of zonelet-hotplug, which is named in xenstore as the script of
// the devices, for `xl` and for driver zones; nothing here runs it.
struct zl_hypervisor *zl_xen_open(const char *hotplug_program, struct zl_error *err);

// For unit tests. Domains live in memory; see fake.h for scripting failures and events.
struct zl_hypervisor *zl_fake_open(struct zl_error *err);

static inline void zl_hypervisor_close(struct zl_hypervisor *hv)
{
	if (hv != NULL)
		hv->ops->close(hv);
}
ZL_AUTO_DEFINE(hypervisor, struct zl_hypervisor *, zl_hypervisor_close);

#endif
