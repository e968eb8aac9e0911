// SPDX-License-Identifier: Apache-2.0
#include "cri-server/sandbox/network.h"

#include <arpa/inet.h>
#include <ifaddrs.h>
#include <net/if.h>
#include <string.h>

#include "base/file.h"
#include "base/strv.h"
#include "cri-server/sandbox/backend.h"
#include "cri-server/sandbox/network_request.h"
#include "cri-server/sandbox/services.h"

enum { RESOLV_CONF_MAX = 64 * 1024 };

static void *run_add(void *argument)
{
	struct zl_network_job *job = argument;
	struct zl_sandbox *sandbox = job->sandbox;
	zl_auto(arena) struct zl_arena arena = ZL_ARENA_INIT;
	struct zl_cni_pod pod;

	job->result = zl_network_request(sandbox->config, &arena, &pod, &job->error);
	pod.sandbox_id = sandbox->id;
	pod.netns = sandbox->netns;
	if (job->result == 0)
		job->result = zl_cni_add(
		        sandbox->services->cni, &pod, job->cancel, &job->network, &job->error);
	zl_timeline_mark(sandbox, "cni");
	return NULL;
}

static int create_netns(
        struct zl_sandbox *sandbox, const struct zl_cancel *cancel, struct zl_error *err)
{
	if (sandbox->backend->netns_create != NULL)
		return sandbox->backend->netns_create(sandbox, cancel, err);
	return zl_netns_create(sandbox->netns, err);
}

// The node's addresses of one family: global ones of interfaces that are up.
static int add_node_ips(char ***ips, const struct ifaddrs *list, int family, struct zl_error *err)
{
	for (const struct ifaddrs *each = list; each != NULL; each = each->ifa_next) {
		char text[INET6_ADDRSTRLEN];
		struct sockaddr_in four;
		struct sockaddr_in6 six;
		const void *address = &four.sin_addr;

		if (each->ifa_addr == NULL || each->ifa_addr->sa_family != family ||
		        (each->ifa_flags & IFF_UP) == 0 || (each->ifa_flags & IFF_LOOPBACK) != 0)
			continue;
		if (family == AF_INET) {
			memcpy(&four, each->ifa_addr, sizeof(four));
		} else {
			memcpy(&six, each->ifa_addr, sizeof(six));
			if (IN6_IS_ADDR_LINKLOCAL(&six.sin6_addr))
				continue;
			address = &six.sin6_addr;
		}
		if (inet_ntop(family, address, text, sizeof(text)) != NULL &&
		        zl_strv_append(ips, text, err) < 0)
			return -1;
	}
	return 0;
}

// A pod on the node's network has the node's addresses; a node without any has none to tell.
static int set_node_ips(struct zl_sandbox *sandbox, struct zl_error *err)
{
	zl_auto(strv) char **ips = NULL;
	struct ifaddrs *list = NULL;
	int result;

	if (getifaddrs(&list) < 0)
		return zl_error_errno(err, errno, "read the node's addresses");
	result = add_node_ips(&ips, list, AF_INET, err);
	if (result == 0)
		result = add_node_ips(&ips, list, AF_INET6, err);
	freeifaddrs(list);
	if (result < 0)
		return -1;
	pthread_mutex_lock(&sandbox->lock);
	zl_strv_free(sandbox->ips);
	sandbox->ips = zl_take(ips);
	pthread_mutex_unlock(&sandbox->lock);
	return 0;
}

int zl_network_start(struct zl_network_job *job, struct zl_sandbox *sandbox,
        const struct zl_cancel *cancel, struct zl_error *err)
{
	int failure;

	*job = (struct zl_network_job){.sandbox = sandbox, .cancel = cancel, .result = -1};
	if (sandbox->netns[0] == '\0')
		return set_node_ips(sandbox, err);
	sandbox->network_gone = false;
	if (create_netns(sandbox, cancel, err) < 0)
		return -1;
	failure = pthread_create(&job->thread, NULL, run_add, job);
	if (failure != 0)
		return zl_error_errno(err, failure, "start a thread for the pod's network");
	job->started = true;
	return 0;
}

// The interface that the kubelet knows; further ones are between the pod and its networks.
static const struct zl_cni_interface *main_interface(const struct zl_cni_result *network)
{
	for (size_t i = 0; i < network->interface_count; i++) {
		if (strcmp(network->interfaces[i].name, "eth0") == 0)
			return &network->interfaces[i];
	}
	return network->interface_count > 0 ? &network->interfaces[0] : NULL;
}

// Its addresses without their prefix length, in the plugins' order: the first is the pod's own.
static int set_ips(
        struct zl_sandbox *sandbox, const struct zl_cni_result *network, struct zl_error *err)
{
	const struct zl_cni_interface *interface = main_interface(network);
	zl_auto(strv) char **ips = NULL;

	for (size_t i = 0; interface != NULL && i < interface->address_count; i++) {
		const char *cidr = interface->addresses[i].cidr;

		if (zl_strv_append_format(&ips, err, "%.*s", (int)strcspn(cidr, "/"), cidr) < 0)
			return -1;
	}
	if (ips == NULL)
		return zl_error_set(err, ZL_UNAVAILABLE,
		        "pod %s: the CNI plugins gave it no address; check the network "
		        "configuration's ipam section",
		        zl_sandbox_pod(sandbox));
	pthread_mutex_lock(&sandbox->lock);
	zl_strv_free(sandbox->ips);
	sandbox->ips = zl_take(ips);
	pthread_mutex_unlock(&sandbox->lock);
	return 0;
}

int zl_network_join(struct zl_network_job *job, struct zl_error *err)
{
	if (!job->started)
		return 0;
	pthread_join(job->thread, NULL);
	job->started = false;
	if (job->result < 0) {
		if (err != NULL)
			*err = job->error;
		return -1;
	}
	return set_ips(job->sandbox, &job->network, err);
}

void zl_network_release(struct zl_network_job *job)
{
	if (job->started)
		pthread_join(job->thread, NULL);
	job->started = false;
	zl_cni_result_release(&job->network);
}

int zl_network_remove(struct zl_sandbox *sandbox, struct zl_error *err)
{
	const Runtime__V1__PodSandboxMetadata *m = sandbox->config->metadata;
	struct zl_cni_pod pod = {
	        .sandbox_id = sandbox->id,
	        .name = m->name,
	        .namespace_ = m->namespace_,
	        .netns = sandbox->netns,
	        .recovered = sandbox->recovered,
	};

	if (sandbox->netns[0] == '\0' || sandbox->network_gone)
		return 0;
	if (access(sandbox->netns, F_OK) < 0)
		pod.netns = NULL;
	if (zl_cni_del(sandbox->services->cni, &pod, NULL, err) < 0 ||
	        zl_netns_remove(sandbox->netns, err) < 0)
		return -1;
	sandbox->network_gone = true;
	return 0;
}

static const char *node_resolv_conf(struct zl_arena *arena, struct zl_error *err)
{
	zl_auto(buffer) struct zl_buffer text = ZL_BUFFER_INIT;

	if (zl_file_read("/etc/resolv.conf", RESOLV_CONF_MAX, &text, err) < 0)
		return NULL;
	return zl_arena_strdup(arena, zl_buffer_string(&text));
}

static void add_words(
        struct zl_buffer *text, const char *keyword, const char *const *words, size_t count)
{
	if (count == 0)
		return;
	(void)zl_buffer_append_string(text, keyword, NULL);
	for (size_t i = 0; i < count; i++)
		(void)zl_buffer_printf(text, NULL, " %s", words[i]);
	(void)zl_buffer_append_string(text, "\n", NULL);
}

const char *zl_network_resolv_conf(
        const Runtime__V1__DNSConfig *dns, struct zl_arena *arena, struct zl_error *err)
{
	zl_auto(buffer) struct zl_buffer text = ZL_BUFFER_LIMIT(RESOLV_CONF_MAX);
	const char *node;

	if (dns == NULL) {
		node = node_resolv_conf(arena, err);
		// A node without the file has no DNS to hand on.
		return node != NULL ? node : "";
	}
	add_words(&text, "search", dns->searches, dns->n_searches);
	for (size_t i = 0; i < dns->n_servers; i++)
		add_words(&text, "nameserver", &dns->servers[i], 1);
	add_words(&text, "options", dns->options, dns->n_options);
	return zl_arena_strdup(arena, zl_buffer_string(&text));
}
