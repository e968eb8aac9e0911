// SPDX-License-Identifier: Apache-2.0
#include "cri-server/stream/negotiate.h"

#include <string.h>
#include <strings.h>

struct name {
	const char *name;
	bool remote;  // of exec and attach
	bool forward; // of port forwarding
	enum zl_stream_transport transport;
	int version;
	bool base64;
};

// The kubelet serves a client that names no protocol with the first version.
static const struct name spdy_names[] = {
        {"v5.channel.k8s.io", true, false, ZL_TRANSPORT_SPDY, 5, false},
        {"v4.channel.k8s.io", true, false, ZL_TRANSPORT_SPDY, 4, false},
        {"v3.channel.k8s.io", true, false, ZL_TRANSPORT_SPDY, 3, false},
        {"v2.channel.k8s.io", true, false, ZL_TRANSPORT_SPDY, 2, false},
        {"channel.k8s.io", true, false, ZL_TRANSPORT_SPDY, 1, false},
        {"portforward.k8s.io", false, true, ZL_TRANSPORT_SPDY, 4, false},
        {"", true, true, ZL_TRANSPORT_SPDY, 1, false},
};

static const struct name websocket_names[] = {
        {"v5.channel.k8s.io", true, false, ZL_TRANSPORT_WEBSOCKET, 5, false},
        {"v4.channel.k8s.io", true, true, ZL_TRANSPORT_WEBSOCKET, 4, false},
        {"v4.base64.channel.k8s.io", true, true, ZL_TRANSPORT_WEBSOCKET, 4, true},
        {"channel.k8s.io", true, false, ZL_TRANSPORT_WEBSOCKET, 1, false},
        {"base64.channel.k8s.io", true, false, ZL_TRANSPORT_WEBSOCKET, 1, true},
        {"SPDY/3.1+portforward.k8s.io", false, true, ZL_TRANSPORT_TUNNEL, 4, false},
        {"", true, true, ZL_TRANSPORT_WEBSOCKET, 1, false},
};

// The next item of a list with commas; false at its end.
static bool next_item(const char **list, const char **ret, size_t *ret_length)
{
	const char *at = *list + strspn(*list, ", \t");
	size_t length = strcspn(at, ",");

	if (*at == '\0')
		return false;
	*list = at + length;
	while (length > 0 && (at[length - 1] == ' ' || at[length - 1] == '\t'))
		length--;
	*ret = at;
	*ret_length = length;
	return true;
}

// Whether a header's list has this item, in any case.
static bool has_item(const char *list, const char *wanted)
{
	const char *item;
	size_t length;

	while (list != NULL && next_item(&list, &item, &length)) {
		if (length == strlen(wanted) && strncasecmp(item, wanted, length) == 0)
			return true;
	}
	return false;
}

static const struct name *find_name(const struct name *names, size_t count,
        enum zl_stream_kind kind, const char *text, size_t length)
{
	for (size_t i = 0; i < count; i++) {
		if ((kind == ZL_STREAM_PORT_FORWARD ? names[i].forward : names[i].remote) &&
		        strlen(names[i].name) == length && memcmp(names[i].name, text, length) == 0)
			return &names[i];
	}
	return NULL;
}

// The first of the client's that is ours: it puts the best first.
static int choose(const struct name *names, size_t count, enum zl_stream_kind kind,
        const char *offered, struct zl_stream_protocol *ret, struct zl_error *err)
{
	const struct name *found = NULL;
	const char *list = offered != NULL ? offered : "";
	const char *item = "";
	size_t length = 0;

	if (!next_item(&list, &item, &length))
		found = find_name(names, count, kind, "", 0);
	else
		do {
			found = find_name(names, count, kind, item, length);
		} while (found == NULL && next_item(&list, &item, &length));
	if (found == NULL)
		return zl_error_set(err, ZL_PERMISSION_DENIED,
		        "none of the protocols %.200s is spoken here", offered);
	ret->transport = found->transport;
	ret->version = found->version;
	ret->base64 = found->base64;
	ret->name = found->name;
	return 0;
}

static bool read_port(const char *text, size_t length, uint16_t *ret)
{
	unsigned value = 0;

	if (length == 0 || length > 5)
		return false;
	for (size_t i = 0; i < length; i++) {
		if (text[i] < '0' || text[i] > '9')
			return false;
		value = value * 10 + (unsigned)(text[i] - '0');
	}
	*ret = (uint16_t)value;
	return value >= 1 && value <= UINT16_MAX;
}

static int read_ports(const char *list, struct zl_stream_protocol *ret, struct zl_error *err)
{
	const char *item;
	size_t length;

	while (list != NULL && next_item(&list, &item, &length)) {
		if (ret->port_count == ZL_WEBSOCKET_PORTS_MAX)
			return zl_error_set(err, ZL_INVALID_ARGUMENT,
			        "more than %d ports are asked for", ZL_WEBSOCKET_PORTS_MAX);
		if (!read_port(item, length, &ret->ports[ret->port_count++]))
			return zl_error_set(err, ZL_INVALID_ARGUMENT, "\"%.*s\" is no port",
			        length < 32 ? (int)length : 32, item);
	}
	if (ret->port_count == 0)
		return zl_error_set(
		        err, ZL_INVALID_ARGUMENT, "the query parameter \"port\" is required");
	return 0;
}

static int negotiate_websocket(enum zl_stream_kind kind, const struct zl_stream_offer *offer,
        struct zl_stream_protocol *ret, struct zl_error *err)
{
	if (offer->websocket_version == NULL || strcmp(offer->websocket_version, "13") != 0 ||
	        offer->websocket_key == NULL ||
	        !zl_websocket_accept(offer->websocket_key, ret->accept))
		return zl_error_set(err, ZL_INVALID_ARGUMENT,
		        "unable to upgrade: this is no handshake of WebSocket version 13");
	if (choose(websocket_names, ZL_ARRAY_SIZE(websocket_names), kind,
	            offer->websocket_protocols, ret, err) < 0)
		return -1;
	if (kind == ZL_STREAM_PORT_FORWARD && ret->transport == ZL_TRANSPORT_WEBSOCKET)
		return read_ports(offer->ports, ret, err);
	return 0;
}

int zl_negotiate(enum zl_stream_kind kind, const struct zl_stream_offer *offer,
        struct zl_stream_protocol *ret, struct zl_error *err)
{
	*ret = (struct zl_stream_protocol){.name = ""};
	if (has_item(offer->connection, "upgrade") && has_item(offer->upgrade, "websocket"))
		return negotiate_websocket(kind, offer, ret, err);
	if (has_item(offer->connection, "upgrade") && has_item(offer->upgrade, "SPDY/3.1"))
		return choose(spdy_names, ZL_ARRAY_SIZE(spdy_names), kind, offer->spdy_protocols,
		        ret, err);
	return zl_error_set(err, ZL_INVALID_ARGUMENT,
	        "unable to upgrade: the request asks for neither SPDY/3.1 nor WebSocket");
}

const char *zl_negotiate_spdy_names(enum zl_stream_kind kind)
{
	return kind == ZL_STREAM_PORT_FORWARD
	               ? "portforward.k8s.io"
	               : "v5.channel.k8s.io,v4.channel.k8s.io,v3.channel.k8s.io,"
	                 "v2.channel.k8s.io,channel.k8s.io";
}
