// SPDX-License-Identifier: Apache-2.0
//
// The splice, in traffic control's terms: each of the two interfaces gets the qdisc "clsact" (which
// only holds filters), and at its ingress one filter that matches everything, with the action
// "mirred egress redirect" to the other. A redirect at ingress happens before the kernel looks at
// the frame in any other way (sch_handle_ingress in net/core/dev.c), so frames pass as they are:
// ARP, VLANs, and offloads too: a large or not yet checksummed packet is segmented or summed on the
// way out only where the other interface cannot take it (validate_xmit_skb).
//
// The classifier is u32 without a key rather than matchall: it is in more kernels, and its filter
// can be replaced in place, so that no frame slips through to the pod namespace's own stack (which
// would reset a connection) while a splice is made again.
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/if_ether.h>
#include <linux/pkt_cls.h>
#include <linux/pkt_sched.h>
#include <linux/rtnetlink.h>
#include <linux/tc_act/tc_mirred.h>

#include "cni-bridge/cni.h"
#include "cni-bridge/netlink.h"

enum { PRIORITY = 1 };

// Node 1 of the first hash table, which cls_u32 numbers 0x800: the only one with nobody else there.
static const uint32_t FILTER_HANDLE = 0x80000001;

static struct tcmsg *put_tc(struct nlmsghdr *message, int ifindex, uint32_t parent, uint32_t handle)
{
	struct tcmsg *tc = mnl_nlmsg_put_extra_header(message, sizeof(*tc));

	tc->tcm_family = AF_UNSPEC;
	tc->tcm_ifindex = ifindex;
	tc->tcm_parent = parent;
	tc->tcm_handle = handle;
	return tc;
}

static int put_clsact(
        struct zl_netlink *netlink, int ifindex, const char *name, struct zl_error *err)
{
	struct nlmsghdr *message =
	        zl_netlink_put(netlink, RTM_NEWQDISC, NLM_F_CREATE | NLM_F_EXCL, EEXIST, err,
	                "add a clsact qdisc (kernel module sch_ingress) to interface %s", name);

	if (message == NULL)
		return -1;
	(void)put_tc(message, ifindex, TC_H_CLSACT, TC_H_MAKE(TC_H_CLSACT, 0));
	mnl_attr_put_strz(message, TCA_KIND, "clsact");
	return 0;
}

static void put_mirred(struct nlmsghdr *message, int target)
{
	struct tc_mirred parms = {
	        .action = TC_ACT_STOLEN, .eaction = TCA_EGRESS_REDIR, .ifindex = (uint32_t)target};
	struct nlattr *actions = mnl_attr_nest_start(message, TCA_U32_ACT);
	struct nlattr *first = mnl_attr_nest_start(message, 1); // actions are numbered from 1
	struct nlattr *own;

	mnl_attr_put_strz(message, TCA_ACT_KIND, "mirred");
	own = mnl_attr_nest_start(message, TCA_ACT_OPTIONS);
	mnl_attr_put(message, TCA_MIRRED_PARMS, sizeof(parms), &parms);
	mnl_attr_nest_end(message, own);
	mnl_attr_nest_end(message, first);
	mnl_attr_nest_end(message, actions);
}

// Makes the filter, or gives the one that is there this target.
static int put_redirect(
        struct zl_netlink *netlink, int ifindex, int target, const char *name, struct zl_error *err)
{
	struct tc_u32_sel everything = {.flags = TC_U32_TERMINAL}; // no key to compare
	struct nlmsghdr *message = zl_netlink_put(netlink, RTM_NEWTFILTER, NLM_F_CREATE, 0, err,
	        "add a redirect (kernel modules cls_u32, act_mirred) to interface %s", name);
	struct nlattr *options;

	if (message == NULL)
		return -1;
	put_tc(message, ifindex, TC_H_MAKE(TC_H_CLSACT, TC_H_MIN_INGRESS), FILTER_HANDLE)
	        ->tcm_info = TC_H_MAKE((uint32_t)PRIORITY << 16, htons(ETH_P_ALL));
	mnl_attr_put_strz(message, TCA_KIND, "u32");
	options = mnl_attr_nest_start(message, TCA_OPTIONS);
	mnl_attr_put(message, TCA_U32_SEL, sizeof(everything), &everything);
	put_mirred(message, target);
	mnl_attr_nest_end(message, options);
	return 0;
}

static int put_splice(
        struct zl_netlink *netlink, int ifindex, int target, const char *name, struct zl_error *err)
{
	if (put_clsact(netlink, ifindex, name, err) < 0)
		return -1;
	return put_redirect(netlink, ifindex, target, name, err);
}

static int move_vif(const char *netns, const char *vif, struct zl_error *err)
{
	zl_auto(netlink) struct zl_netlink own = ZL_NETLINK_INIT;
	zl_auto(fd) int fd = open(netns, O_RDONLY | O_CLOEXEC);

	if (fd < 0)
		return zl_error_errno(err, errno, "open network namespace %s", netns);
	if (zl_netlink_open(&own, NULL, err) < 0 || zl_link_put_netns(&own, vif, fd, err) < 0)
		return -1;
	return zl_netlink_commit(&own, NULL, NULL, err);
}

// The vif as it is in the pod's namespace, moved there if it is not there yet.
static int bring_vif(struct zl_netlink *pod, const char *netns, const char *vif,
        struct zl_link *ret, struct zl_error *err)
{
	struct zl_error absent = ZL_ERROR_INIT;

	if (zl_link_get(pod, vif, ret, &absent) == 0)
		return 0;
	if (move_vif(netns, vif, err) < 0)
		return -1;
	return zl_link_get(pod, vif, ret, err);
}

static int splice_links(
        const char *netns, const char *ifname, const char *vif, struct zl_error *err)
{
	zl_auto(netlink) struct zl_netlink pod = ZL_NETLINK_INIT;
	struct zl_link eth;
	struct zl_link back;

	if (zl_netlink_open(&pod, netns, err) < 0 || zl_link_get(&pod, ifname, &eth, err) < 0 ||
	        bring_vif(&pod, netns, vif, &back, err) < 0)
		return -1;
	// The vif's own kernel side must stay silent: a link-local address would bring router
	// solicitations and neighbour discovery of dom0 into the zone.
	if (zl_link_put_no_addrgen(&pod, vif, err) < 0 ||
	        zl_link_put_mtu(&pod, vif, eth.mtu, err) < 0 ||
	        zl_link_put_up(&pod, vif, err) < 0 || zl_link_put_up(&pod, ifname, err) < 0 ||
	        put_splice(&pod, eth.index, back.index, ifname, err) < 0 ||
	        put_splice(&pod, back.index, eth.index, vif, err) < 0)
		return -1;
	return zl_netlink_commit(&pod, NULL, NULL, err);
}

int zl_splice_add(const char *netns, const char *ifname, const char *vif, struct zl_error *err)
{
	if (splice_links(netns, ifname, vif, err) < 0)
		return zl_error_wrap(err, "splice %s to %s in %s", vif, ifname, netns);
	return 0;
}

int zl_splice_move(const char *netns, const char *vif, struct zl_error *err)
{
	if (move_vif(netns, vif, err) < 0)
		return zl_error_wrap(err, "move %s to %s", vif, netns);
	return 0;
}
