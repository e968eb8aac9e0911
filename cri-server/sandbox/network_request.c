// SPDX-License-Identifier: Apache-2.0
#include "cri-server/sandbox/network_request.h"

#include <arpa/inet.h>
#include <ctype.h>
#include <string.h>

#include "cri-server/sandbox/quantity.h"

enum { PORT_MAX = 65535 };

// As the kubelet takes them (pkg/util/bandwidth): 1k to 1P.
static const int64_t BANDWIDTH_LEAST = 1000;
static const int64_t BANDWIDTH_MOST = 1000000000000000;

// ---- ports

static const char *protocol_name(Runtime__V1__Protocol protocol)
{
	switch (protocol) {
	case RUNTIME__V1__PROTOCOL__TCP:
		return "tcp";
	case RUNTIME__V1__PROTOCOL__UDP:
		return "udp";
	case RUNTIME__V1__PROTOCOL__SCTP:
		return "sctp";
	default:
		return NULL;
	}
}

static bool ip_valid(const char *text)
{
	uint8_t bytes[sizeof(struct in6_addr)];

	return inet_pton(AF_INET, text, bytes) == 1 || inet_pton(AF_INET6, text, bytes) == 1;
}

static int read_port(
        const Runtime__V1__PortMapping *p, struct zl_cni_port *ret, struct zl_error *err)
{
	const char *protocol = protocol_name(p->protocol);

	if (p->host_port > PORT_MAX || p->container_port < 1 || p->container_port > PORT_MAX)
		return zl_error_set(err, ZL_INVALID_ARGUMENT,
		        "port mapping of host port %d to %d: ports are 1 to %d", p->host_port,
		        p->container_port, PORT_MAX);
	if (protocol == NULL)
		return zl_error_set(err, ZL_INVALID_ARGUMENT,
		        "port mapping of host port %d: unknown protocol %d", p->host_port,
		        (int)p->protocol);
	if (p->host_ip[0] != '\0' && !ip_valid(p->host_ip))
		return zl_error_set(err, ZL_INVALID_ARGUMENT,
		        "port mapping of host port %d: \"%.64s\" is no IP address", p->host_port,
		        p->host_ip);
	*ret = (struct zl_cni_port){
	        .host_port = p->host_port,
	        .container_port = p->container_port,
	        .protocol = protocol,
	        .host_ip = p->host_ip,
	};
	return 0;
}

// Those without a host port are there for people to read.
static int read_ports(const Runtime__V1__PodSandboxConfig *config, struct zl_arena *arena,
        struct zl_cni_pod *ret, struct zl_error *err)
{
	struct zl_cni_port *ports = zl_arena_array(arena, config->n_port_mappings, sizeof(*ports));

	ret->ports = ports;
	for (size_t i = 0; i < config->n_port_mappings; i++) {
		if (config->port_mappings[i]->host_port <= 0)
			continue;
		if (read_port(config->port_mappings[i], &ports[ret->port_count], err) < 0)
			return -1;
		ret->port_count++;
	}
	return 0;
}

// ---- annotations

static void copy_annotations(
        const Runtime__V1__PodSandboxConfig *config, struct zl_arena *arena, struct zl_cni_pod *ret)
{
	struct zl_cni_annotation *all = zl_arena_array(arena, config->n_annotations, sizeof(*all));

	for (size_t i = 0; i < config->n_annotations; i++) {
		all[i].key = config->annotations[i]->key;
		all[i].value = config->annotations[i]->value;
	}
	ret->annotations = all;
	ret->annotation_count = config->n_annotations;
}

static const char *annotation(const struct zl_cni_pod *pod, const char *key)
{
	for (size_t i = 0; i < pod->annotation_count; i++) {
		if (strcmp(pod->annotations[i].key, key) == 0)
			return pod->annotations[i].value;
	}
	return NULL;
}

static int read_bandwidth(
        const struct zl_cni_pod *pod, const char *key, int64_t *ret, struct zl_error *err)
{
	const char *text = annotation(pod, key);

	*ret = 0;
	if (text == NULL)
		return 0;
	if (!zl_quantity_parse(text, ret) || *ret < BANDWIDTH_LEAST || *ret > BANDWIDTH_MOST)
		return zl_error_set(err, ZL_INVALID_ARGUMENT,
		        "annotation %s: \"%.64s\" is no quantity of bits a second from 1k to 1P",
		        key, text);
	return 0;
}

// Six bytes in hexadecimal; not one of a group, and not all zero.
static bool mac_valid(const char *text)
{
	if (strlen(text) != 17 || strcmp(text, "00:00:00:00:00:00") == 0)
		return false;
	for (size_t i = 0; i < 17; i++) {
		if (i % 3 == 2 ? text[i] != ':' : !isxdigit((unsigned char)text[i]))
			return false;
	}
	return strchr("02468aceACE", text[1]) != NULL;
}

static int read_mac(struct zl_cni_pod *pod, struct zl_error *err)
{
	pod->mac = annotation(pod, "zonelet/mac");
	if (pod->mac != NULL && !mac_valid(pod->mac))
		return zl_error_set(err, ZL_INVALID_ARGUMENT,
		        "annotation zonelet/mac: \"%.32s\" is no MAC of one interface "
		        "(02:00:00:00:00:01)",
		        pod->mac);
	return 0;
}

static int read_annotations(const Runtime__V1__PodSandboxConfig *config, struct zl_arena *arena,
        struct zl_cni_pod *ret, struct zl_error *err)
{
	copy_annotations(config, arena, ret);
	if (read_bandwidth(ret, "kubernetes.io/ingress-bandwidth", &ret->ingress_bits, err) < 0 ||
	        read_bandwidth(ret, "kubernetes.io/egress-bandwidth", &ret->egress_bits, err) < 0)
		return -1;
	return read_mac(ret, err);
}

// ---- the whole

static char **copy_strings(const char *const *strings, size_t count, struct zl_arena *arena)
{
	char **copy = zl_arena_array(arena, count + 1, sizeof(*copy));

	for (size_t i = 0; i < count; i++)
		copy[i] = (char *)strings[i];
	return copy;
}

static void copy_dns(
        const Runtime__V1__DNSConfig *dns, struct zl_arena *arena, struct zl_cni_pod *ret)
{
	if (dns == NULL)
		return;
	ret->nameservers = copy_strings(dns->servers, dns->n_servers, arena);
	ret->searches = copy_strings(dns->searches, dns->n_searches, arena);
	ret->dns_options = copy_strings(dns->options, dns->n_options, arena);
}

int zl_network_request(const Runtime__V1__PodSandboxConfig *config, struct zl_arena *arena,
        struct zl_cni_pod *ret, struct zl_error *err)
{
	const Runtime__V1__PodSandboxMetadata *m = config->metadata;

	*ret = (struct zl_cni_pod){
	        .name = m->name,
	        .namespace_ = m->namespace_,
	        .uid = m->uid,
	        .cgroup_path = config->linux != NULL ? config->linux->cgroup_parent : NULL,
	};
	copy_dns(config->dns_config, arena, ret);
	if (read_ports(config, arena, ret, err) < 0 ||
	        read_annotations(config, arena, ret, err) < 0)
		return zl_error_wrap(err, "pod %s/%s", m->namespace_, m->name);
	return 0;
}
