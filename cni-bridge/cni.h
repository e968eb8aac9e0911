// SPDX-License-Identifier: Apache-2.0
//
// Pod networks by CNI plugins (CNI spec 1.1, and the older result formats plugins still speak).
//
// The daemon makes a network namespace per sandbox, runs the plugin chain of the first conflist in
// the configuration directory (by file name, as every runtime does) in it, and reads the addresses
// from the result. For a zone the interface that CNI made stays in that namespace and is spliced to
// the zone's vif (splice.h), so host-side policy and port maps see what they expect.
//
// Thread rule: zl_cni may be used from any thread; operations for one sandbox are serialised by the
// caller.
#ifndef ZL_CNI_BRIDGE_CNI_H
#define ZL_CNI_BRIDGE_CNI_H

#include <stdbool.h>
#include <stdint.h>

#include "base/cancel.h"
#include "base/error.h"

struct zl_cni;

struct zl_cni_options {
	const char *conf_dir;        // "/etc/cni/net.d"
	const char *const *bin_dirs; // NULL-terminated: "/opt/cni/bin", "/usr/lib/cni"
	const char *cache_dir;       // results kept for DEL after a restart: "/var/lib/zonelet/cni"
	int timeout_ms;              // one plugin's run; past it its process group is killed
};

struct zl_cni_annotation {
	const char *key;
	const char *value;
};

struct zl_cni_port {
	int32_t host_port;
	int32_t container_port;
	const char *protocol; // "tcp", "udp", "sctp"
	const char *host_ip;  // NULL or "": every address
};

struct zl_cni_pod {
	const char *sandbox_id; // CNI_CONTAINERID
	const char *name;       // K8S_POD_NAME
	const char *namespace_; // K8S_POD_NAMESPACE
	const char *uid;        // K8S_POD_UID
	const char *netns;      // path of the network namespace; DEL works without it (NULL)
	const struct zl_cni_port *ports; // those with host_port 0 are left out
	size_t port_count;
	// Given to plugins that declare the capability "dns"; all may be NULL, NULL-terminated.
	char *const *nameservers;
	char *const *searches;
	char *const *dns_options;
	// Given to plugins that declare "bandwidth", in bits a second; 0 is no limit.
	int64_t ingress_bits;
	int64_t egress_bits;
	// Given to plugins that declare "mac", "cgroupPath", "io.kubernetes.cri.pod-annotations";
	// NULL or 0: none.
	const char *mac; // "02:00:00:00:00:01"
	const char *cgroup_path;
	const struct zl_cni_annotation *annotations;
	size_t annotation_count;
	// For DEL: an earlier daemon added it, so that its record may have gone with the node's
	// power. Without a record it is then deleted by the network of now.
	bool recovered;
};

struct zl_cni_address {
	char cidr[64];    // "10.88.0.5/16"
	char gateway[48]; // "" if none
};
struct zl_cni_route {
	char destination[64]; // "0.0.0.0/0"
	char gateway[48]; // "": on link. A route that CNI left without one has its family's by now
};
struct zl_cni_interface {
	char name[16]; // in the pod: "eth0"
	char mac[18];
	uint32_t mtu; // as the kernel has it after the ADD
	struct zl_cni_address *addresses;
	size_t address_count;
	struct zl_cni_route *routes;
	size_t route_count;
};
struct zl_cni_result {
	struct zl_cni_interface *interfaces; // those inside the pod's namespace, "lo" left out
	size_t interface_count;
	char **nameservers; // NULL-terminated, may be NULL
	char **searches;
	char **dns_options;
};
void zl_cni_result_release(struct zl_cni_result *result);
ZL_AUTO_DEFINE_VALUE(cni_result, struct zl_cni_result, zl_cni_result_release);

struct zl_cni *zl_cni_open(const struct zl_cni_options *options, struct zl_error *err);
void zl_cni_close(struct zl_cni *cni);

// 0 when pods can be networked now; UNAVAILABLE says what is missing (no conflist in DIR, plugin X
// not found in DIRS, the plugin's STATUS answer) and what to do. Cheap: kept up to date by a watch;
// plugins that know STATUS are asked again after some seconds, and have ten of them to answer.
// *ret_reason (may be NULL) is one word for it, static, "" when ready: NoNetworkConfiguration,
// InvalidNetworkConfiguration, NetworkPluginMissing, PodCIDRUnknown, NetworkPluginNotReady.
int zl_cni_status(struct zl_cni *cni, const struct zl_cancel *cancel, const char **ret_reason,
        struct zl_error *err);

// The network of now for people and tools, as a JSON object: file, name, cniVersion, plugins,
// podCIDRs, and error where there is none. NULL without memory; the caller frees it.
char *zl_cni_describe(struct zl_cni *cni);

// The node's pod CIDRs, "10.244.1.0/24" or several with commas between (UpdateRuntimeConfig), for
// plugins that declare the capability "ipRanges". Kept across restarts in the cache directory,
// since the kubelet tells them once. "" changes nothing. INVALID_ARGUMENT for what is no CIDR.
int zl_cni_set_pod_cidrs(struct zl_cni *cni, const char *text, struct zl_error *err);

// Runs ADD through the chain, in a namespace of zl_netns_create. On failure runs DEL through it (so
// nothing stays), even if it was `cancel` that ended the ADD. Idempotent: a pod that has been added
// in the same namespace gets its cached result; what a crash left of an ADD is deleted before the
// new one. The interface is "eth0". An error names the pod and the plugin, and carries the plugin's
// code, message and details.
int zl_cni_add(struct zl_cni *cni, const struct zl_cni_pod *pod, const struct zl_cancel *cancel,
        struct zl_cni_result *ret, struct zl_error *err);
// Runs DEL with the cached configuration and result of the ADD, even if the conflist is gone by
// now. Of `pod`, sandbox_id, name and namespace_ (for errors) and netns are used: ports and the
// rest are those of the ADD. Idempotent: 0 for a pod that was never added; the cache entry goes
// only when DEL succeeded. Should the record be damaged, DEL runs with the network of now.
int zl_cni_del(struct zl_cni *cni, const struct zl_cni_pod *pod, const struct zl_cancel *cancel,
        struct zl_error *err);
// Asks the chain by CHECK whether an added pod's network still is as it was made, with the
// configuration and result of the ADD. 0, too, where the network is too old for CHECK or has it
// disabled. NOT_FOUND if the pod has no network.
int zl_cni_check(struct zl_cni *cni, const char *sandbox_id, const struct zl_cancel *cancel,
        struct zl_error *err);

// Releases what belongs to no pod: DEL for each record whose sandbox is not `known`, and the end of
// its network namespace; then, if no pod is being added or deleted just now, GC through the network
// of now, where it is of spec 1.1 and has it not disabled. ADD and DEL wait while GC runs (the spec
// wants them apart); its plugins have ten seconds each. The error counts and names what failed;
// everything else is done all the same.
//
// A sandbox must be known before its zl_cni_add begins and until its zl_cni_del has succeeded.
typedef bool zl_cni_known(void *data, const char *sandbox_id);
int zl_cni_gc(struct zl_cni *cni, zl_cni_known *known, void *data, const struct zl_cancel *cancel,
        struct zl_error *err);

// The cached result of an earlier ADD; NOT_FOUND if there is none.
int zl_cni_cached(struct zl_cni *cni, const char *sandbox_id, struct zl_cni_result *ret,
        struct zl_error *err);

// ---- network namespaces (netns.c)

// Makes a network namespace, with lo up, held by a bind mount at `path` (parents are made).
// Idempotent.
int zl_netns_create(const char *path, struct zl_error *err);
int zl_netns_remove(const char *path, struct zl_error *err); // absent is fine

// ---- splice (splice.c)

// Moves the back end's interface `vif` (in the daemon's own namespace) into the namespace at
// `netns`, gives it the MTU of `ifname` there, sets it up, and redirects everything between the two
// in both directions (clsact and mirred egress redirect), by netlink. Idempotent.
//
// From then on nothing that arrives at `ifname` reaches the kernel of that namespace, neither ARP
// nor ND nor TCP: the zone has the MAC and the addresses of `ifname` and answers for itself. The
// addresses stay on `ifname` all the same, since plugins look for them there at DEL (bridge finds
// by them the masquerading rules that it has to take back).
int zl_splice_add(const char *netns, const char *ifname, const char *vif, struct zl_error *err);

// The first part of it alone, which needs no `ifname` yet: the kernel waits several times for all
// readers of its tables when it moves an interface, so it is done while a zone boots.
int zl_splice_move(const char *netns, const char *vif, struct zl_error *err);

#endif
