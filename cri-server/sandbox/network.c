// SPDX-License-Identifier: Apache-2.0
#include "cri-server/sandbox/network.h"

#include <arpa/inet.h>
#include <ifaddrs.h>
#include <net/if.h>
#include <string.h>

#include "base/file.h"
#include "base/strv.h"
#include "cri-server/sandbox/backend.h"
#include "cri-server/sandbox/services.h"

enum { RESOLV_CONF_MAX = 64 * 1024 };

static const char *protocol_name(Runtime__V1__Protocol protocol)
{
	switch (protocol) {
	case RUNTIME__V1__PROTOCOL__UDP:
		return "udp";
	case RUNTIME__V1__PROTOCOL__SCTP:
		return "sctp";
	default:
		return "tcp";
	}
}

static struct zl_cni_port *list_ports(
        const Runtime__V1__PodSandboxConfig *config, struct zl_arena *arena, size_t *ret_count)
{
	struct zl_cni_port *ports =
	        zl_arena_array(arena, config->n_port_mappings, sizeof(struct zl_cni_port));
	size_t count = 0;

	for (size_t i = 0; i < config->n_port_mappings; i++) {
		const Runtime__V1__PortMapping *p = config->port_mappings[i];

		if (p->host_port <= 0)
			continue;
		ports[count++] = (struct zl_cni_port){
		        .host_port = p->host_port,
		        .container_port = p->container_port,
		        .protocol = protocol_name(p->protocol),
		        .host_ip = p->host_ip,
		};
	}
	*ret_count = count;
	return ports;
}

static void fill_pod(struct zl_sandbox *sandbox, struct zl_arena *arena, struct zl_cni_pod *pod)
{
	const Runtime__V1__PodSandboxMetadata *m = sandbox->config->metadata;

	*pod = (struct zl_cni_pod){
	        .sandbox_id = sandbox->id,
	        .name = m->name,
	        .namespace_ = m->namespace_,
	        .uid = m->uid,
	        .netns = sandbox->netns,
	};
	pod->ports = list_ports(sandbox->config, arena, &pod->port_count);
}

static void *run_add(void *argument)
{
	struct zl_network_job *job = argument;
	zl_auto(arena) struct zl_arena arena = ZL_ARENA_INIT;
	struct zl_cni_pod pod;

	fill_pod(job->sandbox, &arena, &pod);
	job->result = zl_cni_add(
	        job->sandbox->services->cni, &pod, job->cancel, &job->network, &job->error);
	zl_timeline_mark(job->sandbox, "cni");
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
	if (create_netns(sandbox, cancel, err) < 0)
		return -1;
	failure = pthread_create(&job->thread, NULL, run_add, job);
	if (failure != 0)
		return zl_error_errno(err, failure, "start a thread for the pod's network");
	job->started = true;
	return 0;
}

// The addresses without their prefix length, the first interface's first.
static int set_ips(
        struct zl_sandbox *sandbox, const struct zl_cni_result *network, struct zl_error *err)
{
	zl_auto(strv) char **ips = NULL;

	for (size_t i = 0; i < network->interface_count; i++) {
		const struct zl_cni_interface *each = &network->interfaces[i];

		for (size_t a = 0; a < each->address_count; a++) {
			const char *cidr = each->addresses[a].cidr;

			if (zl_strv_append_format(
			            &ips, err, "%.*s", (int)strcspn(cidr, "/"), cidr) < 0)
				return -1;
		}
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
	zl_auto(arena) struct zl_arena arena = ZL_ARENA_INIT;
	struct zl_cni_pod pod;

	if (sandbox->netns[0] == '\0')
		return 0;
	fill_pod(sandbox, &arena, &pod);
	if (access(sandbox->netns, F_OK) < 0)
		pod.netns = NULL;
	if (zl_cni_del(sandbox->services->cni, &pod, NULL, err) < 0)
		return -1;
	return zl_netns_remove(sandbox->netns, err);
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
