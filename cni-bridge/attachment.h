// SPDX-License-Identifier: Apache-2.0
//
// One pod's tie to its network: all that a DEL needs to undo an ADD exactly, whatever has become of
// the configuration directory or of the daemon since. One file a pod in the cache directory, of two
// lines of JSON: one written before the first plugin runs, so that a daemon killed in between
// leaves a trace to clean up by, and one added after the last, with what it came to.
//
// The files are made whole but not synced to the disk: that would be four waits for it in
// each pod's start. A killed daemon loses none of them. A power failure may leave one empty or take
// it away, but with it goes nearly all that it is for (namespaces, links, rules); what stays are
// leases on the disk, and the DEL that cni.c then makes up from the network of now gives them back.
#ifndef ZL_CNI_BRIDGE_ATTACHMENT_H
#define ZL_CNI_BRIDGE_ATTACHMENT_H

#include "base/error.h"
#include "base/json.h"
#include "cni-bridge/cni.h"
#include "cni-bridge/conflist.h"

struct zl_attachment {
	char *id;                // CNI_CONTAINERID
	char *netns;             // path at the ADD
	char *args;              // CNI_ARGS
	json_t *runtime;         // values for capabilities (zl_conflist_runtime)
	struct zl_conflist list; // the configuration as it was
	json_t *result;          // the last plugin's; NULL while the ADD has not ended
	json_t *links; // {"eth0": {"mac": …, "mtu": …}} as the kernel had them; may be NULL
};

#define ZL_ATTACHMENT_INIT {.id = NULL}

void zl_attachment_release(struct zl_attachment *attachment);
ZL_AUTO_DEFINE_VALUE(attachment, struct zl_attachment, zl_attachment_release);

// Is it fit to be CNI_CONTAINERID and a file name? Letters, digits, '_', '.' and '-', the first a
// letter or digit, at most 128 of them.
bool zl_attachment_id_valid(const char *id);

// A new one, without a result. `list` is taken over (and left empty). `ranges` are the node's own
// for "ipRanges"; may be NULL. Of runtime only what some plugin declares is kept. INVALID_ARGUMENT
// where a name of the pod would break out of CNI_ARGS.
int zl_attachment_make(const struct zl_cni_pod *pod, struct zl_conflist *list, json_t *ranges,
        struct zl_attachment *ret, struct zl_error *err);

// The cache in directory `dir`. Load: NOT_FOUND if the pod has no entry; DATA_LOSS names a file
// that cannot be read as one. Store makes the file (and the directory) with all but the result;
// finish adds that. (A line added rather than a file replaced: with the latter ext4 starts writing
// at once, and waits for its journal.)
int zl_attachment_load(
        const char *dir, const char *id, struct zl_attachment *ret, struct zl_error *err);
int zl_attachment_store(
        const char *dir, const struct zl_attachment *attachment, struct zl_error *err);
int zl_attachment_finish(
        const char *dir, const struct zl_attachment *attachment, struct zl_error *err);
int zl_attachment_forget(const char *dir, const char *id, struct zl_error *err);

// A record's document. INVALID_ARGUMENT says what is wrong with "it".
int zl_attachment_parse(json_t *file, struct zl_attachment *ret, struct zl_error *err);

// The ids of all records in the directory, in no order; *ret is NULL if there are none.
int zl_attachment_list(const char *dir, char ***ret, struct zl_error *err);

// The result as plain values, with MAC and MTU as the kernel had them.
int zl_attachment_result(const struct zl_attachment *attachment, const char *ifname,
        struct zl_cni_result *ret, struct zl_error *err);

#endif
