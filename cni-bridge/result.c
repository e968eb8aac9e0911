// SPDX-License-Identifier: Apache-2.0
#include "cni-bridge/result.h"

#include <ctype.h>
#include <limits.h>
#include <string.h>

#include "base/strv.h"
#include "cni-bridge/ip.h"

// One address of the result with the interface it belongs to.
struct assigned {
	struct zl_ip ip;
	struct zl_ip gateway;
	unsigned prefix;
	size_t interface; // index in zl_cni_result.interfaces
};

// What is gathered while reading. An index into the plugin's own list of interfaces, which has host
// ends in it, is mapped to ours, which has not.
struct reading {
	const char *what;
	const char *ifname;
	struct zl_cni_result result;
	size_t place[ZL_CNI_RESULT_MAX_INTERFACES]; // SIZE_MAX: not in the pod
	size_t place_count;
	struct assigned assigned[ZL_CNI_RESULT_MAX_ADDRESSES];
	size_t assigned_count;
};

void zl_cni_result_release(struct zl_cni_result *result)
{
	for (size_t i = 0; i < result->interface_count; i++) {
		free(result->interfaces[i].addresses);
		free(result->interfaces[i].routes);
	}
	free(result->interfaces);
	zl_strv_free(result->nameservers);
	zl_strv_free(result->searches);
	zl_strv_free(result->dns_options);
	memset(result, 0, sizeof(*result));
}

// ---- plain values

// dev_valid_name() of the kernel, and no control characters: it is printed and logged.
static bool ifname_valid(const char *name)
{
	size_t length = strlen(name);

	if (length == 0 || length > 15 || strcmp(name, ".") == 0 || strcmp(name, "..") == 0)
		return false;
	for (const char *c = name; *c != '\0'; c++) {
		if (!isgraph((unsigned char)*c) || *c == '/' || *c == ':')
			return false;
	}
	return true;
}

static bool mac_copy(const char *text, char out[static 18])
{
	if (strlen(text) != 17)
		return false;
	for (size_t i = 0; i < 17; i++) {
		if (i % 3 == 2 ? text[i] != ':' : !isxdigit((unsigned char)text[i]))
			return false;
		out[i] = (char)tolower((unsigned char)text[i]);
	}
	out[17] = '\0';
	return true;
}

// ---- interfaces

// A new one of this name, or NULL.
static struct zl_cni_interface *add_interface(
        struct reading *r, const char *name, struct zl_error *err)
{
	struct zl_cni_interface *all = r->result.interfaces;

	for (size_t i = 0; i < r->result.interface_count; i++) {
		if (strcmp(all[i].name, name) == 0) {
			zl_error_set(err, ZL_INTERNAL, "%s: two interfaces \"%s\" in the pod",
			        r->what, name);
			return NULL;
		}
	}
	if (all == NULL)
		all = calloc(ZL_CNI_RESULT_MAX_INTERFACES, sizeof(*all));
	if (all == NULL) {
		zl_error_nomem(err);
		return NULL;
	}
	r->result.interfaces = all;
	all += r->result.interface_count++;
	(void)snprintf(all->name, sizeof(all->name), "%s", name);
	return all;
}

static int fill_interface(struct reading *r, const json_t *item, struct zl_cni_interface *interface,
        struct zl_error *err)
{
	const char *mac = zl_json_string(item, "mac");
	json_int_t mtu = json_integer_value(json_object_get(item, "mtu"));

	if (mac != NULL && *mac != '\0' && !mac_copy(mac, interface->mac))
		return zl_error_set(err, ZL_INTERNAL, "%s: interface %s: bad MAC \"%.32s\"",
		        r->what, interface->name, mac);
	if (mtu < 0 || mtu > INT_MAX)
		return zl_error_set(err, ZL_INTERNAL, "%s: interface %s: absurd \"mtu\"", r->what,
		        interface->name);
	interface->mtu = (uint32_t)mtu;
	return 0;
}

static int read_interface(struct reading *r, const json_t *item, struct zl_error *err)
{
	const char *name = zl_json_string(item, "name");
	const char *sandbox = zl_json_string(item, "sandbox");
	struct zl_cni_interface *interface;

	r->place[r->place_count++] = SIZE_MAX;
	if (sandbox == NULL || *sandbox == '\0')
		return 0;
	if (name == NULL || !ifname_valid(name))
		return zl_error_set(err, ZL_INTERNAL,
		        "%s: an interface of the pod has no valid \"name\"", r->what);
	if (strcmp(name, "lo") == 0)
		return 0;
	r->place[r->place_count - 1] = r->result.interface_count;
	interface = add_interface(r, name, err);
	return interface != NULL ? fill_interface(r, item, interface, err) : -1;
}

static int read_interfaces(struct reading *r, const json_t *list, struct zl_error *err)
{
	size_t i;
	const json_t *item;

	if (json_array_size(list) > ZL_CNI_RESULT_MAX_INTERFACES)
		return zl_error_set(err, ZL_INTERNAL, "%s: %zu interfaces, at most %d allowed",
		        r->what, json_array_size(list), ZL_CNI_RESULT_MAX_INTERFACES);
	json_array_foreach(list, i, item)
	{
		if (read_interface(r, item, err) < 0)
			return -1;
	}
	return 0;
}

// ---- addresses

// The interface of an address that names none: the one asked for, or else the first, or else one
// that is made for it.
static int default_interface(struct reading *r, size_t *ret, struct zl_error *err)
{
	*ret = 0;
	for (size_t i = 0; i < r->result.interface_count; i++) {
		if (strcmp(r->result.interfaces[i].name, r->ifname) == 0)
			*ret = i;
	}
	if (r->result.interface_count > 0)
		return 0;
	return add_interface(r, r->ifname, err) != NULL ? 0 : -1;
}

// Which of our interfaces the address is for; SIZE_MAX for one outside the pod.
static int find_interface(struct reading *r, const json_t *item, size_t *ret, struct zl_error *err)
{
	const json_t *named = json_object_get(item, "interface");
	json_int_t index = json_integer_value(named);

	if (named == NULL || json_is_null(named))
		return default_interface(r, ret, err);
	if (!json_is_integer(named) || index < 0 || (size_t)index >= r->place_count)
		return zl_error_set(err, ZL_INTERNAL,
		        "%s: an address is for an interface that is not in the list", r->what);
	*ret = r->place[index];
	return 0;
}

static int read_address(struct reading *r, const json_t *item, struct zl_error *err)
{
	const char *address = zl_json_string(item, "address");
	const char *gateway = zl_json_string(item, "gateway");
	struct assigned *a = &r->assigned[r->assigned_count];

	if (find_interface(r, item, &a->interface, err) < 0)
		return -1;
	if (a->interface == SIZE_MAX)
		return 0;
	if (address == NULL || !zl_cidr_parse(address, &a->ip, &a->prefix))
		return zl_error_set(err, ZL_INTERNAL, "%s: bad address \"%.64s\"", r->what,
		        address != NULL ? address : "");
	memset(&a->gateway, 0, sizeof(a->gateway));
	if (gateway != NULL && *gateway != '\0' &&
	        (!zl_ip_parse(gateway, &a->gateway) || a->gateway.family != a->ip.family))
		return zl_error_set(err, ZL_INTERNAL, "%s: address %.64s: bad gateway \"%.64s\"",
		        r->what, address, gateway);
	r->assigned_count++;
	return 0;
}

static int read_addresses(struct reading *r, const json_t *list, struct zl_error *err)
{
	size_t i;
	const json_t *item;

	if (json_array_size(list) > ZL_CNI_RESULT_MAX_ADDRESSES)
		return zl_error_set(err, ZL_INTERNAL, "%s: %zu addresses, at most %d allowed",
		        r->what, json_array_size(list), ZL_CNI_RESULT_MAX_ADDRESSES);
	json_array_foreach(list, i, item)
	{
		if (read_address(r, item, err) < 0)
			return -1;
	}
	return 0;
}

static int place_address(
        struct zl_cni_interface *interface, const struct assigned *a, struct zl_error *err)
{
	struct zl_cni_address *grown =
	        reallocarray(interface->addresses, interface->address_count + 1, sizeof(*grown));

	if (grown == NULL)
		return zl_error_nomem(err);
	interface->addresses = grown;
	grown += interface->address_count++;
	zl_cidr_print(&a->ip, a->prefix, grown->cidr);
	zl_ip_print(&a->gateway, grown->gateway, sizeof(grown->gateway));
	return 0;
}

static int place_addresses(struct reading *r, struct zl_error *err)
{
	for (size_t i = 0; i < r->assigned_count; i++) {
		const struct assigned *a = &r->assigned[i];

		if (place_address(&r->result.interfaces[a->interface], a, err) < 0)
			return -1;
	}
	return 0;
}

// ---- routes

// The address whose network holds the next hop; without one, the first of that family; NULL if the
// pod has none of it.
static const struct assigned *address_towards(const struct reading *r, const struct zl_ip *hop)
{
	const struct assigned *first = NULL;

	for (size_t i = 0; i < r->assigned_count; i++) {
		const struct assigned *a = &r->assigned[i];

		if (zl_ip_within(hop, &a->ip, a->prefix))
			return a;
		if (first == NULL && a->ip.family == hop->family)
			first = a;
	}
	return first;
}

// "If unset, a value in gateway in the ips array may be used": bridge and ptp leave it out for all
// that host-local was told to route. Not for a route to the gateway itself, nor one of scope link
// (253, since spec 1.1).
static void complete_gateway(const struct reading *r, const json_t *item, const struct zl_ip *net,
        unsigned prefix, struct zl_ip *gateway)
{
	if (json_integer_value(json_object_get(item, "scope")) == 253)
		return;
	for (size_t i = 0; i < r->assigned_count && gateway->family == 0; i++) {
		const struct assigned *a = &r->assigned[i];

		if (a->gateway.family == net->family &&
		        (prefix == 0 || !zl_ip_within(&a->gateway, net, prefix)))
			*gateway = a->gateway;
	}
}

static int place_route(struct zl_cni_interface *interface, const struct zl_ip *net, unsigned prefix,
        const struct zl_ip *gateway, struct zl_error *err)
{
	struct zl_cni_route *grown =
	        reallocarray(interface->routes, interface->route_count + 1, sizeof(*grown));

	if (grown == NULL)
		return zl_error_nomem(err);
	interface->routes = grown;
	grown += interface->route_count++;
	zl_cidr_print(net, prefix, grown->destination);
	zl_ip_print(gateway, grown->gateway, sizeof(grown->gateway));
	return 0;
}

static int read_route(struct reading *r, const json_t *item, struct zl_error *err)
{
	const char *destination = zl_json_string(item, "dst");
	const char *hop = zl_json_string(item, "gw");
	const struct assigned *through;
	struct zl_ip net;
	struct zl_ip gateway = {0};
	unsigned prefix;

	if (destination == NULL || !zl_cidr_parse(destination, &net, &prefix))
		return zl_error_set(err, ZL_INTERNAL, "%s: route to bad \"dst\" \"%.64s\"", r->what,
		        destination != NULL ? destination : "");
	if (hop != NULL && *hop != '\0' && !zl_ip_parse(hop, &gateway))
		return zl_error_set(err, ZL_INTERNAL, "%s: route to %.64s: bad \"gw\" \"%.64s\"",
		        r->what, destination, hop);
	complete_gateway(r, item, &net, prefix, &gateway);
	through = address_towards(r, gateway.family != 0 ? &gateway : &net);
	if (through == NULL)
		return zl_error_set(err, ZL_INTERNAL,
		        "%s: route to %.64s, but the pod has no address of that family", r->what,
		        destination);
	return place_route(&r->result.interfaces[through->interface], &net, prefix, &gateway, err);
}

static int read_routes(struct reading *r, const json_t *list, struct zl_error *err)
{
	size_t i;
	const json_t *item;

	if (json_array_size(list) > ZL_CNI_RESULT_MAX_ROUTES)
		return zl_error_set(err, ZL_INTERNAL, "%s: %zu routes, at most %d allowed", r->what,
		        json_array_size(list), ZL_CNI_RESULT_MAX_ROUTES);
	json_array_foreach(list, i, item)
	{
		if (read_route(r, item, err) < 0)
			return -1;
	}
	return 0;
}

// ---- DNS

static bool nameserver_valid(const char *text)
{
	struct zl_ip ip;

	return zl_ip_parse(text, &ip);
}

// One word for a line of resolv.conf.
static bool word_valid(const char *text)
{
	size_t length = strlen(text);

	if (length == 0 || length > 253)
		return false;
	for (const char *c = text; *c != '\0'; c++) {
		if (!isalnum((unsigned char)*c) && strchr("._-:", *c) == NULL)
			return false;
	}
	return true;
}

static int read_words(struct reading *r, const json_t *dns, const char *key,
        bool (*valid)(const char *), char ***ret, struct zl_error *err)
{
	const json_t *list = json_object_get(dns, key);
	size_t i;
	const json_t *item;

	if (json_array_size(list) > ZL_CNI_RESULT_MAX_DNS)
		return zl_error_set(err, ZL_INTERNAL, "%s: dns.%s: %zu entries, at most %d allowed",
		        r->what, key, json_array_size(list), ZL_CNI_RESULT_MAX_DNS);
	json_array_foreach(list, i, item)
	{
		const char *word = json_string_value(item);

		if (word == NULL || !valid(word))
			return zl_error_set(
			        err, ZL_INTERNAL, "%s: dns.%s: bad entry %zu", r->what, key, i + 1);
		if (zl_strv_append(ret, word, err) < 0)
			return -1;
	}
	return 0;
}

static int read_dns(struct reading *r, const json_t *dns, struct zl_error *err)
{
	if (read_words(r, dns, "nameservers", nameserver_valid, &r->result.nameservers, err) < 0)
		return -1;
	if (read_words(r, dns, "search", word_valid, &r->result.searches, err) < 0)
		return -1;
	return read_words(r, dns, "options", word_valid, &r->result.dns_options, err);
}

// ---- the whole

static int read_all(struct reading *r, const json_t *json, struct zl_error *err)
{
	if (!json_is_object(json))
		return zl_error_set(err, ZL_INTERNAL, "%s: not a JSON object {…}", r->what);
	if (read_interfaces(r, json_object_get(json, "interfaces"), err) < 0 ||
	        read_addresses(r, json_object_get(json, "ips"), err) < 0 ||
	        place_addresses(r, err) < 0 ||
	        read_routes(r, json_object_get(json, "routes"), err) < 0)
		return -1;
	return read_dns(r, json_object_get(json, "dns"), err);
}

int zl_cni_result_read(const char *what, const json_t *json, const char *ifname,
        struct zl_cni_result *ret, struct zl_error *err)
{
	struct reading r = {.what = what, .ifname = ifname};

	if (read_all(&r, json, err) < 0) {
		zl_cni_result_release(&r.result);
		return -1;
	}
	*ret = r.result;
	return 0;
}

int zl_cni_result_convert(json_t *json, enum zl_cni_version version, struct zl_error *err)
{
	size_t i;
	json_t *item;

	if (json_object_set_new(json, "cniVersion", json_string(zl_cni_version_name(version))) < 0)
		return zl_error_set(err, ZL_INTERNAL, "a plugin's result is no JSON object");
	if (version >= ZL_CNI_1_0_0)
		return 0;
	json_array_foreach(json_object_get(json, "ips"), i, item)
	{
		const char *address = zl_json_string(item, "address");
		bool six = address != NULL && strchr(address, ':') != NULL;

		if (json_is_object(item) &&
		        json_object_set_new(item, "version", json_string(six ? "6" : "4")) < 0)
			return zl_error_nomem(err);
	}
	return 0;
}
