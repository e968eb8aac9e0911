// SPDX-License-Identifier: Apache-2.0
//
// One operation through all plugins of a network (CNI spec 1.1, section 3).
//
// Thread rule: any thread; operations on one attachment are serialised by the caller, and GC runs
// alone.
#ifndef ZL_CNI_BRIDGE_CHAIN_H
#define ZL_CNI_BRIDGE_CHAIN_H

#include "base/cancel.h"
#include "base/error.h"
#include "cni-bridge/attachment.h"
#include "cni-bridge/conflist.h"

// How plugins are found and run.
struct zl_chain {
	const char *const *bin_dirs; // NULL-terminated
	int timeout_ms;              // of one plugin
	const struct zl_cancel *cancel;
};

// The kubelet knows one interface of a pod, and every runtime calls it so.
#define ZL_CNI_IFNAME "eth0"

// Each plugin gets the result of the one before; that of the last becomes pod->result. It ends at
// the first failure.
int zl_chain_add(const struct zl_chain *chain, struct zl_attachment *pod, struct zl_error *err);

// In reverse, each with the pod's result. It ends at the first failure: a port map must be gone
// before its address is given to another pod. netns: NULL when the namespace is gone.
int zl_chain_del(const struct zl_chain *chain, const struct zl_attachment *pod, const char *netns,
        struct zl_error *err);

// Each with the pod's result, until the first that is not content. The network must know CHECK
// (0.4.0) and not have it disabled: the caller sees to that.
int zl_chain_check(
        const struct zl_chain *chain, const struct zl_attachment *pod, struct zl_error *err);

// Whether each plugin is ready for an ADD. The network must be of 1.1.0.
int zl_chain_status(
        const struct zl_chain *chain, const struct zl_conflist *list, struct zl_error *err);

// Tells each plugin which attachments there are: `valid` is an array of {"containerID", "ifname"}.
// One that fails does not keep the others from it; the error is the first, with their number. The
// network must be of 1.1.0.
int zl_chain_gc(const struct zl_chain *chain, const struct zl_conflist *list, json_t *valid,
        struct zl_error *err);

#endif
