// SPDX-License-Identifier: Apache-2.0
//
// What a pod asks of plugins beside its interface: runtimeConfig, as values by capability.
#include <string.h>

#include "cni-bridge/conflist.h"

// *ret stays NULL where the pod has nothing to say. -1 without memory.
typedef int make_capability(const struct zl_cni_pod *pod, json_t **ret);

static json_t *port_mapping(const struct zl_cni_port *port)
{
	const char *host_ip =
	        port->host_ip != NULL && *port->host_ip != '\0' ? port->host_ip : NULL;

	return json_pack("{si si ss ss*}", "hostPort", (int)port->host_port, "containerPort",
	        (int)port->container_port, "protocol",
	        port->protocol != NULL ? port->protocol : "tcp", "hostIP", host_ip);
}

static int make_port_mappings(const struct zl_cni_pod *pod, json_t **ret)
{
	zl_auto(json) json_t *mappings = json_array();

	for (size_t i = 0; i < pod->port_count; i++) {
		if (pod->ports[i].host_port <= 0)
			continue;
		if (json_array_append_new(mappings, port_mapping(&pod->ports[i])) < 0)
			return -1;
	}
	if (json_array_size(mappings) > 0)
		*ret = zl_take(mappings);
	return 0;
}

static json_t *string_array(char *const *strings)
{
	zl_auto(json) json_t *array = json_array();

	for (; strings != NULL && *strings != NULL; strings++) {
		if (json_array_append_new(array, json_string(*strings)) < 0)
			return NULL;
	}
	return zl_take(array);
}

static int make_dns(const struct zl_cni_pod *pod, json_t **ret)
{
	if (pod->nameservers == NULL && pod->searches == NULL && pod->dns_options == NULL)
		return 0;
	*ret = json_pack("{so so so}", "servers", string_array(pod->nameservers), "searches",
	        string_array(pod->searches), "options", string_array(pod->dns_options));
	return *ret != NULL ? 0 : -1;
}

// A direction without a limit is left out: the plugin takes a rate without a burst for an error.
// A burst of INT32_MAX bits is what every runtime gives, since the annotations do not say one.
static int add_rate(json_t *bandwidth, const char *rate, const char *burst, int64_t bits)
{
	if (bits <= 0)
		return 0;
	if (json_object_set_new(bandwidth, rate, json_integer(bits)) < 0)
		return -1;
	return json_object_set_new(bandwidth, burst, json_integer(INT32_MAX));
}

static int make_bandwidth(const struct zl_cni_pod *pod, json_t **ret)
{
	zl_auto(json) json_t *bandwidth = NULL;

	if (pod->ingress_bits <= 0 && pod->egress_bits <= 0)
		return 0;
	bandwidth = json_object();
	if (add_rate(bandwidth, "ingressRate", "ingressBurst", pod->ingress_bits) < 0 ||
	        add_rate(bandwidth, "egressRate", "egressBurst", pod->egress_bits) < 0)
		return -1;
	*ret = zl_take(bandwidth);
	return 0;
}

static int make_mac(const struct zl_cni_pod *pod, json_t **ret)
{
	if (pod->mac == NULL || *pod->mac == '\0')
		return 0;
	*ret = json_string(pod->mac);
	return *ret != NULL ? 0 : -1;
}

static int make_cgroup_path(const struct zl_cni_pod *pod, json_t **ret)
{
	if (pod->cgroup_path == NULL || *pod->cgroup_path == '\0')
		return 0;
	*ret = json_string(pod->cgroup_path);
	return *ret != NULL ? 0 : -1;
}

static int make_annotations(const struct zl_cni_pod *pod, json_t **ret)
{
	zl_auto(json) json_t *all = NULL;

	if (pod->annotation_count == 0)
		return 0;
	all = json_object();
	for (size_t i = 0; i < pod->annotation_count; i++) {
		if (json_object_set_new(all, pod->annotations[i].key,
		            json_string(pod->annotations[i].value)) < 0)
			return -1;
	}
	*ret = zl_take(all);
	return 0;
}

// Names and forms: CNI's CONVENTIONS.md. The last is not there, but plugins know it from other CRI
// runtimes.
static const struct {
	const char *name;
	make_capability *make;
} capabilities[] = {
        {"portMappings", make_port_mappings},
        {"dns", make_dns},
        {"bandwidth", make_bandwidth},
        {"mac", make_mac},
        {"cgroupPath", make_cgroup_path},
        {"io.kubernetes.cri.pod-annotations", make_annotations},
};

json_t *zl_conflist_runtime(const struct zl_cni_pod *pod, json_t *ranges, struct zl_error *err)
{
	zl_auto(json) json_t *runtime = json_object();

	for (size_t i = 0; i < ZL_ARRAY_SIZE(capabilities); i++) {
		json_t *value = NULL;

		if (capabilities[i].make(pod, &value) < 0 ||
		        (value != NULL &&
		                json_object_set_new(runtime, capabilities[i].name, value) < 0)) {
			zl_error_set(err, ZL_INVALID_ARGUMENT,
			        "make \"%s\" for the network plugins: no memory, or text that is "
			        "not UTF-8",
			        capabilities[i].name);
			return NULL;
		}
	}
	if (ranges != NULL && json_object_set(runtime, "ipRanges", ranges) < 0) {
		zl_error_nomem(err);
		return NULL;
	}
	return zl_take(runtime);
}
