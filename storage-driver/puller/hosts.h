// SPDX-License-Identifier: Apache-2.0
//
// Where the content of a registry is fetched from: the registry itself and the mirrors that the
// administrator names in containerd's layout (containerd docs/hosts.md):
//
//   <registry_dir>/<host[:port]>/hosts.toml, else <registry_dir>/_default/hosts.toml
//
//     server = "https://registry.example"
//     [host."https://mirror.example"]
//       capabilities = ["pull", "resolve"]
//       ca = "ca.pem"                       # relative to the file
//       client = [["client.cert", "client.key"]]
//       skip_verify = false
//       override_path = false
//       [host."https://mirror.example".header]
//         x-custom = "value"
//
// A directory without hosts.toml may have *.crt files (more CAs), as Docker has it.
//
// Everything is read when the list is made, certificates included: that is before the puller gives
// its rights away.
#ifndef ZL_STORAGE_DRIVER_PULLER_HOSTS_H
#define ZL_STORAGE_DRIVER_PULLER_HOSTS_H

#include <stdbool.h>
#include <stddef.h>

#include "base/buffer.h"
#include "base/error.h"

// One server to ask, in the order of asking.
struct zl_host {
	char *url;        // "https://mirror.example/v2", without a slash at the end
	char *name;       // "mirror.example:5000", for messages and for whose credentials these are
	bool upstream;    // the registry itself, no mirror
	bool can_resolve; // may be asked what a tag means
	bool skip_verify; // TLS without checking the certificate
	char **headers;   // "Name: value", sent with each request; may be NULL
	struct zl_buffer ca;          // PEM, in addition to the system's; empty if none
	struct zl_buffer client_cert; // PEM; empty if none
	struct zl_buffer client_key;  // PEM; empty: in client_cert
};

struct zl_hosts {
	struct zl_host *list;
	size_t count; // at least 1
};

#define ZL_HOSTS_INIT {.list = NULL}

void zl_hosts_release(struct zl_hosts *hosts);
ZL_AUTO_DEFINE_VALUE(hosts, struct zl_hosts, zl_hosts_release);

// The servers for a domain as in a reference ("docker.io"). registry_dir may be NULL or absent.
// `insecure` (NULL-terminated, may be NULL) names hosts reached by plain HTTP; loopback always is,
// unless on port 443. INVALID_ARGUMENT: the file is malformed; NOT_FOUND: a certificate is missing.
int zl_hosts_load(const char *registry_dir, const char *domain, char *const *insecure,
        struct zl_hosts *ret, struct zl_error *err);

// As zl_hosts_load, from the text of a hosts.toml in directory `dir`.
int zl_hosts_parse(const char *dir, const char *text, size_t length, const char *domain,
        char *const *insecure, struct zl_hosts *ret, struct zl_error *err);

// "localhost", 127.0.0.0/8 and ::1, with or without a port.
bool zl_host_is_loopback(const char *host);

#endif
